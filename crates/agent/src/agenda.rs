//! When something is due next: at most one moment for each timer.

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

/// Timers in order of their moments, the next one last; among equal moments in the order of their
/// names, so that a run repeats exactly. A phone has a handful of them.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    entries: Vec<(Moment, Timer)>,
}

impl Agenda {
    /// Sets, moves or (`None`) takes back the moment of `timer`.
    pub(crate) fn set(&mut self, timer: Timer, due: Option<Moment>) {
        if let Some(place) = self.entries.iter().position(|(_, it)| *it == timer) {
            self.entries.remove(place);
        }
        if let Some(due) = due {
            let entry = (due, timer);
            let place = self.entries.partition_point(|it| *it > entry);
            self.entries.insert(place, entry);
        }
    }

    pub(crate) fn next(&self) -> Option<Moment> {
        self.entries.last().map(|(due, _)| *due)
    }

    /// When a request that waits for its answer is due.
    pub(crate) fn next_exchange(&self) -> Option<Moment> {
        self.first(|timer| matches!(timer, Timer::Exchange(_)))
    }

    /// When something is to be asked for that waits for no answer.
    pub(crate) fn next_subject(&self) -> Option<Moment> {
        self.first(|timer| matches!(timer, Timer::Subject(_)))
    }

    /// Takes the first exchange whose moment has come.
    pub(crate) fn take_due_exchange(&mut self, now: Moment) -> Option<u64> {
        let is_due = |(due, timer): &(Moment, Timer)| match timer {
            Timer::Exchange(number) => (*due <= now).then_some(*number),
            Timer::Subject(_) => None,
        };
        let number = self.entries.iter().rev().find_map(is_due)?;
        self.set(Timer::Exchange(number), None);
        Some(number)
    }

    fn first(&self, is_meant: fn(&Timer) -> bool) -> Option<Moment> {
        let mut entries = self.entries.iter().rev();
        entries.find(|(_, it)| is_meant(it)).map(|(due, _)| *due)
    }

    /// Takes the first timer whose moment has come.
    pub(crate) fn take_due(&mut self, now: Moment) -> Option<Timer> {
        let (_, timer) = self.entries.pop_if(|(due, _)| *due <= now)?;
        Some(timer)
    }
}
