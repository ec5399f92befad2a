//! Users who were released by presence a moment ago: one who is back at once had not left (S30).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use presently_sip::Moment;

/// Releases of the last seconds, by a number for each user: no user is remembered.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    order: VecDeque<(Moment, u64)>,
    moments: BTreeMap<u64, Moment>,
}

impl Recent {
    /// The user called `name` was released. Beyond [`RECENT_MAX`] the oldest is forgotten.
    pub(crate) fn released(&mut self, now: Moment, name: u64) {
        self.order.push_back((now, name));
        self.moments.insert(name, now);
        while let Some((at, name)) = self.order.front().copied() {
            let is_over = now.since(at) > WRONG_WITHIN || self.order.len() > RECENT_MAX;
            if !is_over {
                break;
            }
            self.order.pop_front();
            if self.moments.get(&name) == Some(&at) {
                self.moments.remove(&name);
            }
        }
    }

    /// Whether the user called `name`, who is here at `now`, was released a moment ago; true once.
    pub(crate) fn take(&mut self, now: Moment, name: u64) -> bool {
        let released = self.moments.remove(&name);
        released.is_some_and(|at| now.since(at) <= WRONG_WITHIN)
    }
}

/// A user who is back within this time did not leave: nobody logs off, and on again, sooner.
const WRONG_WITHIN: Duration = Duration::from_secs(5);

/// Releases remembered; more in five seconds are a mass release, which the guard prevents.
const RECENT_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment(millis * 1000)
    }

    // S30
    #[test]
    fn who_is_back_within_seconds_counts_once() {
        let mut recent = Recent::default();
        recent.released(at(1_000), 7);
        recent.released(at(2_000), 8);
        assert!(recent.take(at(5_999), 7));
        assert!(!recent.take(at(5_999), 7));
        assert!(!recent.take(at(7_001), 8));
        assert!(!recent.take(at(7_001), 9));
    }

    #[test]
    fn it_does_not_grow_without_bound() {
        let mut recent = Recent::default();
        for name in 0..100_000 {
            recent.released(at(1_000), name);
        }
        assert_eq!(recent.order.len(), RECENT_MAX);
        assert_eq!(recent.moments.len(), RECENT_MAX);
        recent.released(at(9_000), 1);
        assert_eq!(recent.moments.len(), 1);
    }
}
