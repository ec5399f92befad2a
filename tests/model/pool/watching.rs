//! What a server does for the watcher: it reads, notifies, and notes what is owed and settled.

use super::state::{Assignment, Client, InFlight, Law, Notify, State, Watcher, member};
use crate::rules::{Rule, Rules};

impl State {
    /// A wake: the document is read once.
    pub(crate) fn hear_wake(&mut self, at: usize) {
        let version = self.store.version;
        if let Some(watcher) = &mut self.servers[at].watcher {
            watcher.hold(version);
        }
    }

    pub(super) fn activate_watcher(&mut self, at: usize) {
        self.change_epoch(Client::Watcher);
        let store = &mut self.store;
        store.watcher.activated = store.watcher.epoch;
        let settled = store.members[member(at)].settled;
        let is_settled = store.version <= store.watcher.told.unwrap_or(settled);
        let mut watcher = Watcher {
            epoch: store.watcher.epoch,
            held: 0,
            told: if is_settled && !store.owed {
                store.version
            } else {
                0
            },
            in_flight: InFlight::Nothing,
        };
        watcher.hold(store.version);
        self.servers[at].watcher = Some(watcher);
    }

    /// Writes the counter of the last sweep as settled, once what it covers is answered or owed.
    pub(crate) fn settle(&mut self, rules: Rules, at: usize) {
        let Some(settling) = self.servers[at].settling else {
            return;
        };
        let is_here = usize::from(self.store.watcher.server) == member(at);
        let may_settle = match self.servers[at].watcher {
            Some(watcher) => watcher.told >= settling.version || self.store.owed,
            None => !is_here || settling.watcher.is_none() || !rules.keep(Rule::SettledCoversStore),
        };
        if !may_settle || !self.checked(at) {
            return;
        }
        let version = if rules.keep(Rule::SettledFromSnapshot) {
            settling.version
        } else {
            self.store.version
        };
        let settled = &mut self.store.members[member(at)].settled;
        *settled = version.max(*settled);
        let row = &mut self.store.watcher;
        let is_covered = settling.watcher == Some(row.epoch) || !rules.keep(Rule::ToldForgotten);
        if is_here && is_covered {
            row.told = None;
        }
        self.servers[at].settling = None;
        self.accept_beat(at);
    }

    /// A SUBSCRIBE of the watcher's phone commits, reads the document and is answered.
    pub(crate) fn subscribe(&mut self, rules: Rules, at: usize) {
        let row = self.store.watcher;
        let is_owner = |watcher: Watcher| owns(row, &watcher, at);
        if !self.checked(at) || !self.servers[at].watcher.is_some_and(is_owner) {
            return;
        }
        self.faults.subscribes -= 1;
        self.store.owed |= rules.keep(Rule::SubscribeOwes);
        self.is_awaiting |= !self.servers[at].is_late;
        let version = self.store.version;
        if let Some(watcher) = &mut self.servers[at].watcher {
            watcher.told = 0;
            watcher.hold(version);
        }
    }

    /// A NOTIFY is unanswered for 2 s: the subscription is owed one.
    pub(crate) fn owe(&mut self, at: usize) {
        if let Some(watcher) = self.servers[at].watcher
            && let InFlight::Sent(_) = watcher.in_flight
        {
            self.write_owed(at, true);
        }
    }

    /// What was owed is answered.
    pub(crate) fn clear(&mut self, rules: Rules, at: usize) {
        let Some(watcher) = self.servers[at].watcher else {
            return;
        };
        let is_caught_up =
            watcher.in_flight == InFlight::Nothing || !rules.keep(Rule::ClearWhenCaughtUp);
        let is_sent = matches!(watcher.in_flight, InFlight::Sent(_));
        if is_caught_up && !is_sent && watcher.told > 0 {
            self.write_owed(at, false);
        }
    }

    fn write_owed(&mut self, at: usize, owed: bool) {
        if self.store.owed == owed || !self.checked(at) {
            return;
        }
        let row = self.store.watcher;
        let server = &mut self.servers[at];
        if server
            .watcher
            .is_some_and(|watcher| owns(row, &watcher, at))
        {
            self.store.owed = owed;
        } else {
            server.watcher = None;
        }
    }

    /// Hands a NOTIFY to the network; the clock is read again just before.
    pub(crate) fn notify(&mut self, rules: Rules, at: usize) {
        let server = &mut self.servers[at];
        let is_mute = server.is_late && rules.keep(Rule::Mute);
        let Some(watcher) = server.watcher.as_mut().filter(|_| !is_mute) else {
            return;
        };
        let InFlight::Decided(version) = watcher.in_flight else {
            return;
        };
        watcher.in_flight = InFlight::Sent(version);
        let epoch = watcher.epoch;
        self.notifies[at] = Some(Notify { epoch, version });
        if epoch < self.store.watcher.activated {
            self.broken = Some(Law::OneActor);
        }
    }

    /// A NOTIFY comes to the phone, which takes it if its CSeq is higher, and answers in any case.
    pub(crate) fn deliver(&mut self, rules: Rules, at: usize) {
        let Some(notify) = self.notifies[at].take() else {
            return;
        };
        if notify.epoch >= self.seen.epoch || !rules.keep(Rule::CseqGrows) {
            self.is_awaiting = false;
            if notify.version < self.seen.version {
                self.broken = Some(Law::NeverBackwards);
            }
            self.seen = notify;
        }
        if let Some(watcher) = &mut self.servers[at].watcher
            && watcher.epoch == notify.epoch
            && watcher.in_flight == InFlight::Sent(notify.version)
        {
            watcher.told = notify.version;
            watcher.in_flight = InFlight::Nothing;
            watcher.hold(notify.version);
        }
    }

    /// A NOTIFY that nobody sends again does not come to the phone.
    pub(crate) fn lose_notify(&mut self, at: usize) {
        let Some(notify) = self.notifies[at] else {
            return;
        };
        let is_repeated = self.servers[at].watcher.is_some_and(|watcher| {
            watcher.epoch == notify.epoch && watcher.in_flight == InFlight::Sent(notify.version)
        });
        if !is_repeated {
            self.notifies[at] = None;
        }
    }
}

/// Whether the watcher at `at` is the one whom the store assigns there.
pub(super) fn owns(row: Assignment, watcher: &Watcher, at: usize) -> bool {
    usize::from(row.server) == member(at) && row.epoch == watcher.epoch
}
