//! One timer wheel a loop: timers by the hundred thousand, each armed and cancelled in constant time.

use crate::Moment;

/// Timers over a slab, hashed by their due time. Resolution is a few milliseconds; a timer never fires
/// early.
#[derive(Debug)]
pub struct Wheel<T> {
    items: Vec<T>,
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
        let _ = (
            now,
            TimerId {
                slot: 0,
                generation: 0,
            },
        );
        Self { items: Vec::new() }
    }

    /// Arms a timer.
    pub fn arm(&mut self, due: Moment, item: T) -> TimerId {
        let _ = (due, item);
        todo!()
    }

    /// Takes a timer back; `None` when it has fired or was cancelled.
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        let _ = (id.slot, id.generation);
        todo!()
    }

    /// When [`Wheel::expire`] should be called next: never later than the first due time rounded up to
    /// the resolution.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        todo!()
    }

    /// Moves what is due at `now` into `fired`, in due order up to the resolution.
    pub fn expire(&mut self, now: Moment, fired: &mut Vec<T>) {
        let _ = (now, fired);
        todo!()
    }

    /// How many timers are armed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether none is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}
