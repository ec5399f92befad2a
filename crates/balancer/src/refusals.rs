//! Requests that were refused for want of room or time. Their phones take them for undone, so a
//! copy that the network held back must not be done by whoever has room, or the client, by then.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use presently_pool::Membership;
use presently_sip::Moment;

use crate::keys::BRANCH_LIFE;

/// The latest refusals, each for as long as a copy may come; at the bound the oldest goes.
#[derive(Debug)]
pub(crate) struct Refusals {
    by_branch: HashMap<u64, By, RandomState>,
    order: VecDeque<(Moment, u64)>,
    max: usize,
}

/// Who refused a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum By {
    /// The balancer itself.
    Balancer,
    /// A server, which gives copies the same answer while it lives and has the client.
    Server(Membership),
}

impl Refusals {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            by_branch: HashMap::default(),
            order: VecDeque::new(),
            max,
        }
    }

    /// The request with that branch was refused.
    pub(crate) fn note(&mut self, now: Moment, identity: u64, by: By) {
        self.forget(now);
        if self.order.len() >= self.max {
            self.forget_oldest();
        }
        if self.by_branch.insert(identity, by).is_none() {
            self.order.push_back((now, identity));
        }
    }

    /// Who refused the request with that branch.
    pub(crate) fn find(&mut self, now: Moment, identity: u64) -> Option<By> {
        self.forget(now);
        // Nearly always: nothing was refused lately.
        if self.order.is_empty() {
            return None;
        }
        self.by_branch.get(&identity).copied()
    }

    /// No copy comes any more of what was refused so long ago.
    fn forget(&mut self, now: Moment) {
        let is_over = |(at, _): &(Moment, u64)| now.since(*at) >= BRANCH_LIFE;
        while self.order.front().is_some_and(is_over) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, identity)) = self.order.pop_front() {
            self.by_branch.remove(&identity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_at_the_bound_and_each_after_its_time() {
        let mut refusals = Refusals::new(2);
        let at = |secs| Moment(secs * 1_000_000);
        for identity in 1..4 {
            refusals.note(at(identity), identity, By::Balancer);
        }
        let found = |refusals: &mut Refusals, now| [1, 2, 3].map(|it| refusals.find(now, it));
        let by = Some(By::Balancer);
        assert_eq!(found(&mut refusals, at(33)), [None, by, by]);
        assert_eq!(found(&mut refusals, at(34)), [None, None, by]);
        assert_eq!(found(&mut refusals, at(35)), [None; 3]);
        assert!(refusals.by_branch.is_empty());
    }
}
