//! When something is due next: at most one moment for each timer.

use std::collections::{BTreeMap, BTreeSet};

use presently_sip::Moment;

use crate::Subject;

/// Whose time comes.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Timer {
    /// A request waits for its answer.
    Exchange(u64),
    /// Something is to be refreshed, tried again, or given up.
    Subject(Subject),
}

/// Timers in order of their moments; among equal moments in the order of their names, so that a run
/// repeats exactly.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    order: BTreeSet<(Moment, Timer)>,
    moments: BTreeMap<Timer, Moment>,
}

impl Agenda {
    /// Sets, moves or (`None`) takes back the moment of `timer`.
    pub(crate) fn set(&mut self, timer: Timer, due: Option<Moment>) {
        if let Some(earlier) = self.moments.remove(&timer) {
            self.order.remove(&(earlier, timer.clone()));
        }
        if let Some(due) = due {
            self.moments.insert(timer.clone(), due);
            self.order.insert((due, timer));
        }
    }

    pub(crate) fn next(&self) -> Option<Moment> {
        self.order.first().map(|(due, _)| *due)
    }

    /// Takes the first timer whose moment has come.
    pub(crate) fn take_due(&mut self, now: Moment) -> Option<Timer> {
        if self.next().is_none_or(|due| due > now) {
            return None;
        }
        let (_, timer) = self.order.pop_first()?;
        self.moments.remove(&timer);
        Some(timer)
    }
}
