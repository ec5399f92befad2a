//! The guard against a failure of presence itself (S23): when too many users go offline at once, it
//! is not the users who have left.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use presently_sip::Moment;

use crate::SessionId;

/// When closures are too many to be true.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GuardLimits {
    /// More than this share of the users followed, in percent; 100 or more turns the guard off.
    pub share_percent: u8,
    /// And at least this many.
    pub at_least: usize,
    /// Within this long.
    pub within: Duration,
    /// For how long nothing is released by presence then, counted from the last time that there
    /// were too many.
    pub hold: Duration,
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self {
            // A presence server that fails takes nearly all of its users along; half of them do not
            // leave together, not even at the end of a shift.
            share_percent: 30,
            // A few users may well leave together.
            at_least: 10,
            // Longer than a server needs to tell everybody.
            within: Duration::from_secs(10),
            // Phones that register afresh do so within a few minutes.
            hold: Duration::from_mins(5),
        }
    }
}

/// What may be done about a user who is said to have gone offline.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Closure {
    /// Nothing: too many have gone lately, as was known before.
    Held,
    /// It may be acted on, if [`Guard::may_act`] still says so when it comes to that.
    MayAct,
    /// Nothing: with this one they are too many. The time for an alarm.
    Trips,
}

/// Counts the users who went offline lately, each once.
#[derive(Debug)]
pub struct Guard {
    limits: GuardLimits,
    /// The last closure of each user within the window, in order; an entry counts while `last`
    /// has the same moment for it.
    recent: VecDeque<(Moment, SessionId)>,
    last: HashMap<SessionId, Moment>,
    held_until: Option<Moment>,
}

impl Guard {
    /// A guard that has seen nothing.
    pub fn new(limits: GuardLimits) -> Self {
        Self {
            limits,
            recent: VecDeque::new(),
            last: HashMap::new(),
            held_until: None,
        }
    }

    /// The user of `session` is said to have gone offline, one of `followed` users.
    pub fn closed(&mut self, now: Moment, session: SessionId, followed: usize) -> Closure {
        self.forget(now, followed.max(self.limits.at_least));
        self.last.insert(session, now);
        self.recent.push_back((now, session));
        let was_held = !self.may_act(now);
        if self.are_too_many(followed) {
            self.held_until = Some(now.after(self.limits.hold));
        }
        match (was_held, self.may_act(now)) {
            (true, _) => Closure::Held,
            (false, true) => Closure::MayAct,
            (false, false) => Closure::Trips,
        }
    }

    /// The user of `session` is there after all: its closure does not count.
    pub fn opened(&mut self, session: SessionId) {
        self.last.remove(&session);
    }

    /// Whether a user may be released at `now` because presence says that it has left.
    pub fn may_act(&self, now: Moment) -> bool {
        self.held_until.is_none_or(|until| until <= now)
    }

    /// Until when nothing is released by presence, if that is later than `now`.
    pub fn held_until(&self, now: Moment) -> Option<Moment> {
        self.held_until.filter(|until| *until > now)
    }

    fn are_too_many(&self, followed: usize) -> bool {
        let (count, share) = (self.last.len(), usize::from(self.limits.share_percent));
        share < 100
            && count >= self.limits.at_least
            && count.saturating_mul(100) > followed.saturating_mul(share)
    }

    /// Drops what is older than the window, and the oldest beyond `most`: more than all users
    /// followed make no difference.
    fn forget(&mut self, now: Moment, most: usize) {
        while let Some((at, session)) = self.recent.front().copied() {
            let is_current = self.last.get(&session) == Some(&at);
            let is_old = now.since(at) >= self.limits.within;
            if is_current && !is_old && self.last.len() <= most {
                break;
            }
            if is_current {
                self.last.remove(&session);
            }
            self.recent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
