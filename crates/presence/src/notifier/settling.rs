//! How far the past is told: the counter of the store up to which every subscription here has its
//! answer, or is noted in the store as owed one.
//!
//! A sweep has seen everything up to its counter. What becomes known after it belongs to the next
//! round; once nothing of the round before is open, that counter is settled. So it may be too old,
//! never too new, and a takeover that tells again what lies above it leaves nothing out.

use presently_pool::Epoch;

/// Which of the two rounds that can be open something belongs to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Round(bool);

/// What is open of each round, and what is settled.
#[derive(Debug, Default)]
pub(crate) struct Settling {
    /// The round that what becomes known now belongs to.
    present: Round,
    open_first: u64,
    open_second: u64,
    /// The counter of the sweep that closed the round before, while something of it is open.
    closing: Option<u64>,
    settled: u64,
}

impl Settling {
    /// Something became known that is to be told.
    pub(crate) fn begin(&mut self) -> Round {
        self.begin_in(self.present)
    }

    /// Something that is as old as `round` is to be told.
    pub(crate) fn begin_in(&mut self, round: Round) -> Round {
        *self.open(round) += 1;
        round
    }

    /// Something of `round` is told, noted as owed, or nobody's business any more.
    pub(crate) fn end(&mut self, round: Round) {
        let open = self.open(round);
        *open = open.saturating_sub(1);
        self.conclude();
    }

    /// A sweep has seen all up to `counter`, and what it found was begun. Does nothing while the
    /// round before is still open; says whether it did.
    pub(crate) fn close(&mut self, counter: u64) -> bool {
        if self.closing.is_some() {
            return false;
        }
        self.closing = Some(counter);
        self.present = self.present.other();
        self.conclude();
        true
    }

    /// The round that things of unknown age belong to.
    pub(crate) fn oldest(&self) -> Round {
        self.closing().unwrap_or(self.present)
    }

    /// The round of what a client is to be told that has its epoch from the store: who was given it
    /// after the closing sweep looked is no part of what that sweep settles.
    pub(crate) fn round_of(&self, epoch: Epoch) -> Round {
        match self.closing {
            Some(counter) if epoch.0 > counter => self.present,
            _ => self.oldest(),
        }
    }

    /// The present round.
    pub(crate) fn present(&self) -> Round {
        self.present
    }

    /// The round whose end is awaited.
    pub(crate) fn closing(&self) -> Option<Round> {
        self.closing.map(|_| self.present.other())
    }

    /// The counter up to which all is told or owed; `None` before the first.
    pub(crate) fn settled(&self) -> Option<u64> {
        (self.settled > 0).then_some(self.settled)
    }

    fn conclude(&mut self) {
        if *self.open(self.present.other()) > 0 {
            return;
        }
        if let Some(counter) = self.closing.take() {
            self.settled = self.settled.max(counter);
        }
    }

    fn open(&mut self, round: Round) -> &mut u64 {
        match round {
            Round(false) => &mut self.open_first,
            Round(true) => &mut self.open_second,
        }
    }
}

impl Round {
    fn other(self) -> Self {
        Self(!self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_settled_when_all_that_was_known_before_it_is_told() {
        let mut settling = Settling::default();
        let before = settling.begin();
        assert!(settling.close(10));
        assert_eq!(settling.closing(), Some(before));
        let after = settling.begin();
        assert_eq!(settling.settled(), None);
        settling.end(before);
        assert_eq!(
            settling.settled(),
            Some(10),
            "what came after does not hold it up"
        );
        assert_eq!(settling.closing(), None);
        assert_eq!(settling.oldest(), after);
    }

    #[test]
    fn a_sweep_during_an_open_round_settles_nothing_more() {
        let mut settling = Settling::default();
        let old = settling.begin();
        settling.close(10);
        let new = settling.begin();
        assert!(!settling.close(20));
        let late = settling.begin_in(settling.oldest());
        settling.end(old);
        assert_eq!(
            settling.settled(),
            None,
            "what has no age is as old as can be"
        );
        settling.end(late);
        assert_eq!(settling.settled(), Some(10));
        assert!(settling.close(30));
        settling.end(new);
        assert_eq!(settling.settled(), Some(30));
    }

    /// A client that the sweep saw here and that a request activates before its turn comes.
    #[test]
    fn a_client_whose_epoch_the_sweep_has_seen_holds_its_counter_up() {
        let mut settling = Settling::default();
        let absent = settling.begin();
        assert!(settling.close(10));
        let old = settling.begin_in(settling.round_of(Epoch(9)));
        let new = settling.begin_in(settling.round_of(Epoch(11)));
        settling.end(absent);
        assert_eq!(settling.settled(), None, "what it is owed is not told");
        settling.end(old);
        assert_eq!(settling.settled(), Some(10));
        assert_eq!(settling.round_of(Epoch(9)), new);
    }

    #[test]
    fn an_idle_server_settles_with_each_sweep() {
        let mut settling = Settling::default();
        for counter in [3, 4, 9] {
            assert!(settling.close(counter));
            assert_eq!(settling.settled(), Some(counter));
        }
    }
}
