//! What a server does for the presentity: it commits what is published, answers, and wakes.

use super::state::{Law, Publisher, State, member};
use crate::rules::{Rule, Rules};

impl State {
    /// Commits the PUBLISH that the phone repeats until it has its 200.
    pub(crate) fn publish(&mut self, rules: Rules, at: usize) {
        let Publisher::Idle { is_current, key } = self.servers[at].publisher else {
            return;
        };
        let is_owner = is_current && self.is_member(at);
        if rules.keep(Rule::EpochChecked) && !is_owner {
            if self.checked(at) {
                self.servers[at].publisher = Publisher::Absent;
            }
            return;
        }
        let key = key + 1;
        if !is_owner {
            self.broken = Some(Law::OwnEpoch);
        } else if self.store.key >= key {
            self.broken = Some(Law::AppliedOnce);
        }
        self.store.key = key;
        self.store.version += 1;
        self.servers[at].publisher = Publisher::Writing {
            is_current,
            key,
            version: self.store.version,
            wake: self.store.watcher.server,
        };
        if !rules.keep(Rule::CommitFirst) {
            self.answered = key + 1;
        }
    }

    /// The commit's outcome comes: 200 to the phone, a wake to the watcher's server.
    pub(crate) fn take_outcome(&mut self, at: usize) {
        let Publisher::Writing {
            is_current,
            key,
            version,
            wake,
        } = self.servers[at].publisher
        else {
            return;
        };
        self.servers[at].publisher = Publisher::Idle { is_current, key };
        if !self.servers[at].is_late {
            self.answered = self.answered.max(key);
        }
        let wake = usize::from(wake);
        if wake != member(at) {
            self.wakes[wake] = true;
        } else if let Some(watcher) = &mut self.servers[at].watcher {
            watcher.hold(version);
        }
    }

    /// The commit's outcome does not come.
    pub(crate) fn lose_outcome(&mut self, rules: Rules, at: usize) {
        let Publisher::Writing {
            is_current, key, ..
        } = self.servers[at].publisher
        else {
            return;
        };
        self.servers[at].publisher = if rules.keep(Rule::UnknownDrops) {
            Publisher::Absent
        } else {
            Publisher::Idle {
                is_current,
                key: key - 1,
            }
        };
    }

    /// Answers a repeated PUBLISH from memory.
    pub(crate) fn answer_repeat(&mut self, rules: Rules, at: usize) {
        let server = &self.servers[at];
        if let Publisher::Idle { key, .. } = server.publisher
            && key > self.answered
            && !(server.is_late && rules.keep(Rule::Mute))
        {
            self.answered += 1;
        }
    }
}
