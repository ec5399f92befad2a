//! One timer wheel a loop: timers by the hundred thousand, each armed and cancelled in constant
//! time.
//!
//! A hashed wheel: a timer lies in the slot of its due tick modulo the wheel's size, in a list that
//! runs through a slab. A delay longer than one turn is passed over until its tick has come.

use slab::Slab;

use crate::Moment;

/// Timers over a slab, hashed by their due time. Resolution is 8.192 ms; a timer never fires early.
#[derive(Debug)]
pub struct Wheel<T> {
    timers: Slab<Timer<T>>,
    slots: Vec<Slot>,
    occupied: Occupied,
    /// The last tick whose timers have fired.
    tick: u64,
    /// Told apart from every other use of the same slab key.
    generation: u32,
}

/// Names one armed timer; stale after it fired or was cancelled, and then harmless.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TimerId {
    slot: u32,
    generation: u32,
}

impl<T> Wheel<T> {
    /// A wheel that starts turning at `now`.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self {
            timers: Slab::new(),
            slots: vec![Slot::default(); SLOTS],
            occupied: Occupied::default(),
            tick: now.0 / TICK_MICROS,
            generation: 0,
        }
    }

    /// Arms a timer. One that is due already fires with the next tick.
    pub fn arm(&mut self, due: Moment, item: T) -> TimerId {
        let tick = due.0.div_ceil(TICK_MICROS).max(self.tick + 1);
        self.generation = self.generation.wrapping_add(1);
        let place = slot_of(tick);
        let slot = self.slot(place);
        let key = key_of(self.timers.insert(Timer {
            item,
            tick,
            generation: self.generation,
            previous: slot.last,
            next: NONE,
        }));
        self.join(place, slot.last, key);
        self.join(place, key, NONE);
        self.occupied.set(place);
        TimerId {
            slot: key,
            generation: self.generation,
        }
    }

    /// Takes a timer back; `None` when it has fired or was cancelled.
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        let timer = self.timers.get(index_of(id.slot))?;
        if timer.generation != id.generation {
            return None;
        }
        Some(self.remove(id.slot).item)
    }

    /// When [`Wheel::expire`] should be called next: never later than the first due time rounded
    /// up to the resolution. A delay of more than one turn may ask to be called once a turn for
    /// nothing.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        let next = self.occupied.next_after(self.tick)?;
        Some(Moment(next.saturating_mul(TICK_MICROS)))
    }

    /// Moves what is due at `now` into `fired`, in due order up to the resolution.
    pub fn expire(&mut self, now: Moment, fired: &mut Vec<T>) {
        let until = now.0 / TICK_MICROS;
        if until.saturating_sub(self.tick) >= TURN_TICKS {
            self.expire_all(until, fired);
        }
        while let Some(tick) = self
            .occupied
            .next_after(self.tick)
            .filter(|tick| *tick <= until)
        {
            self.expire_slot(tick, fired);
            self.tick = tick;
        }
        self.tick = self.tick.max(until);
    }

    /// How many timers are armed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timers.len()
    }

    /// Whether none is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timers.is_empty()
    }

    fn expire_slot(&mut self, tick: u64, fired: &mut Vec<T>) {
        let mut key = self.slot(slot_of(tick)).first;
        while let Some(timer) = self.timers.get(index_of(key)) {
            let next = timer.next;
            if timer.tick <= tick {
                fired.push(self.remove(key).item);
            }
            key = next;
        }
    }

    /// After a jump of more than a turn one slot holds timers of several turns: sort them.
    fn expire_all(&mut self, until: u64, fired: &mut Vec<T>) {
        let due = self.timers.iter().filter(|(_, timer)| timer.tick <= until);
        let mut due: Vec<(u64, u32, u32)> = due
            .map(|(key, timer)| (timer.tick, timer.generation, key_of(key)))
            .collect();
        due.sort_unstable();
        fired.extend(due.into_iter().map(|(_, _, key)| self.remove(key).item));
        self.tick = until;
    }

    fn remove(&mut self, key: u32) -> Timer<T> {
        let timer = self.timers.remove(index_of(key));
        let place = slot_of(timer.tick);
        self.join(place, timer.previous, timer.next);
        if self.slot(place).first == NONE {
            self.occupied.clear(place);
        }
        timer
    }

    /// Makes two timers of one slot neighbours; [`NONE`] on either side is the end of the list.
    fn join(&mut self, place: usize, before: u32, after: u32) {
        let slot = self.slots.get_mut(place).expect("a place is below SLOTS");
        match self.timers.get_mut(index_of(before)) {
            Some(timer) => timer.next = after,
            None => slot.first = after,
        }
        match self.timers.get_mut(index_of(after)) {
            Some(timer) => timer.previous = before,
            None => slot.last = before,
        }
    }

    fn slot(&self, place: usize) -> Slot {
        *self.slots.get(place).expect("a place is below SLOTS")
    }
}

#[derive(Debug)]
struct Timer<T> {
    item: T,
    tick: u64,
    generation: u32,
    previous: u32,
    next: u32,
}

/// The ends of one slot's list.
#[derive(Clone, Copy, Debug)]
struct Slot {
    first: u32,
    last: u32,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            first: NONE,
            last: NONE,
        }
    }
}

/// Which slots hold a timer: one bit each, and one bit for each word of them.
#[derive(Debug)]
struct Occupied {
    words: [u64; WORDS],
    summary: u64,
}

impl Default for Occupied {
    fn default() -> Self {
        Self {
            words: [0; WORDS],
            summary: 0,
        }
    }
}

impl Occupied {
    fn set(&mut self, place: usize) {
        if let Some(word) = self.words.get_mut(place / 64) {
            *word |= 1 << (place % 64);
            self.summary |= 1 << (place / 64);
        }
    }

    fn clear(&mut self, place: usize) {
        if let Some(word) = self.words.get_mut(place / 64) {
            *word &= !(1 << (place % 64));
            if *word == 0 {
                self.summary &= !(1 << (place / 64));
            }
        }
    }

    /// The first tick after `tick`, within one turn, whose slot holds a timer.
    fn next_after(&self, tick: u64) -> Option<u64> {
        let start = slot_of(tick + 1);
        let found = self.first_from(start).or_else(|| self.first_from(0))?;
        let distance = (found + SLOTS - start) % SLOTS;
        Some(tick + 1 + u64::try_from(distance).expect("a distance is below SLOTS"))
    }

    fn first_from(&self, place: usize) -> Option<usize> {
        let word = place / 64;
        let bits = self.words.get(word)? & (u64::MAX << (place % 64));
        if bits != 0 {
            return Some(word * 64 + index_of(bits.trailing_zeros()));
        }
        let later = self.summary & u64::MAX.checked_shl(key_of(word) + 1).unwrap_or(0);
        let word = index_of((later != 0).then(|| later.trailing_zeros())?);
        Some(word * 64 + index_of(self.words.get(word)?.trailing_zeros()))
    }
}

fn slot_of(tick: u64) -> usize {
    usize::try_from(tick % TURN_TICKS).expect("the remainder is below SLOTS")
}

fn key_of(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than 2³² timers fit in memory")
}

fn index_of(key: u32) -> usize {
    usize::try_from(key).unwrap_or(usize::MAX)
}

/// The resolution: below what a person or a retransmission timer of 500 ms could notice.
const TICK_MICROS: u64 = 8_192;

/// One turn is 33.5 s: a little more than 64·T1, so that no transaction timer goes round twice.
const SLOTS: usize = 4_096;
const TURN_TICKS: u64 = 4_096;
const WORDS: usize = SLOTS / 64;

/// No timer: the end of a list. No slab grows to this key.
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests;
