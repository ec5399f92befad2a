//! Which frames of a peer have arrived, and which are missing.
//!
//! ```text
//!      all arrived or given up │ ? 1 ? ? 1 1 ?          (1 arrived, ? missing)
//!   ───────────────────────────┼──────────────────
//!                         floor┘             └ top: the highest heard of
//! ```

use std::ops::RangeInclusive;

/// The receiving end of one link. Bounded: a gap wider than the window is given up at once.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    floor: u64,
    top: u64,
    arrived: [u64; WORDS],
}

/// Whether all that is missing can still be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Missing {
    /// Something is lost for good: the store has to be read.
    Lost,
    /// Nothing, or it may still come.
    Repairable,
}

impl Window {
    /// A window that asks for nothing up to `sequence`.
    pub(crate) fn starting_after(sequence: u64) -> Self {
        Self {
            floor: sequence,
            top: sequence,
            arrived: [0; WORDS],
        }
    }

    /// Whether the frame has arrived before, or was given up.
    pub(crate) fn has(&self, sequence: u64) -> bool {
        sequence <= self.floor || (sequence - self.floor <= WINDOW && self.bit(sequence))
    }

    /// Notes that a frame has arrived.
    pub(crate) fn arrive(&mut self, sequence: u64) -> Missing {
        let missing = self.hear_of(sequence);
        if sequence > self.floor {
            self.set(sequence, true);
            self.advance();
        }
        missing
    }

    /// Notes that the peer has sent up to `last` and still has what is not below `oldest`.
    pub(crate) fn announce(&mut self, oldest: u64, last: u64) -> Missing {
        let mut missing = self.hear_of(last);
        while self.floor.saturating_add(1) < oldest && self.floor < self.top {
            // `advance` stops below what is missing, so the next one is.
            self.floor += 1;
            self.advance();
            missing = Missing::Lost;
        }
        missing
    }

    /// Stops waiting for anything that is missing.
    pub(crate) fn give_up(&mut self) {
        *self = Self::starting_after(self.top);
    }

    /// Up to which sequence nothing is missing.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// Whether nothing is missing.
    pub(crate) fn is_whole(&self) -> bool {
        self.floor == self.top
    }

    /// The runs of missing frames, lowest first.
    pub(crate) fn missing(&self) -> impl Iterator<Item = RangeInclusive<u64>> {
        let mut next = self.floor + 1;
        std::iter::from_fn(move || {
            let first = (next..=self.top).find(|&sequence| !self.bit(sequence))?;
            let after = (first..=self.top).find(|&sequence| self.bit(sequence));
            next = after.unwrap_or(self.top + 1);
            Some(first..=next - 1)
        })
    }

    fn hear_of(&mut self, sequence: u64) -> Missing {
        if sequence.saturating_sub(self.floor) > WINDOW {
            *self = Self::starting_after(sequence);
            return Missing::Lost;
        }
        self.top = self.top.max(sequence);
        Missing::Repairable
    }

    /// Raises the floor over what has arrived.
    fn advance(&mut self) {
        while self.floor < self.top && self.bit(self.floor + 1) {
            self.floor += 1;
            self.set(self.floor, false);
        }
    }

    fn bit(&self, sequence: u64) -> bool {
        let (word, mask) = place(sequence);
        self.arrived.get(word).is_some_and(|word| word & mask != 0)
    }

    fn set(&mut self, sequence: u64, value: bool) {
        let (word, mask) = place(sequence);
        let word = self.arrived.get_mut(word).expect("within the window");
        *word = if value { *word | mask } else { *word & !mask };
    }
}

fn place(sequence: u64) -> (usize, u64) {
    let place = sequence % WINDOW;
    let word = usize::try_from(place / 64).expect("below the number of words");
    (word, 1 << (place % 64))
}

/// Four times what the far end keeps.
const WINDOW: u64 = 1_024;
const WORDS: usize = 16;

#[cfg(test)]
mod tests;
