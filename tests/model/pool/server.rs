//! How a server lives: beats, joins, goes; which clients it takes for its own.
//! A step that has nothing to do leaves the state as it was, here and beside.

use super::state::{Client, Life, Publisher, Server, Settling, State, Watcher, member};
use super::watching::owns;
use crate::rules::{Rule, Rules};

impl State {
    /// A sweep: versions against memory, clients against actors, in one snapshot.
    pub(crate) fn sweep(&mut self, rules: Rules, at: usize) {
        if !self.checked(at) {
            return;
        }
        if rules.keep(Rule::SweepCompares) {
            self.drop_foreign(at);
        }
        let version = self.store.version;
        let id = member(at);
        let has_watcher = usize::from(self.store.watcher.server) == id;
        // The store looks for what the clients it assigns here watch.
        if has_watcher {
            self.hear_wake(at);
        }
        let row = self.store.watcher;
        let is_told = !has_watcher || row.told.is_none();
        if version > self.store.members[id].settled || !is_told {
            let watcher = has_watcher.then_some(row.epoch);
            self.servers[at].settling = Some(Settling { version, watcher });
        }
    }

    /// Drops the actors of clients that are another's.
    pub(crate) fn drop_foreign(&mut self, at: usize) {
        let row = self.store.watcher;
        let server = &mut self.servers[at];
        let is_ours = |watcher: &Watcher| owns(row, watcher, at);
        server.watcher = server.watcher.filter(is_ours);
        if let Publisher::Idle {
            is_current: false, ..
        } = server.publisher
        {
            server.publisher = Publisher::Absent;
        }
    }

    /// Takes a fresh epoch for a client and reads all of it in one snapshot.
    pub(crate) fn activate(&mut self, at: usize, client: Client) {
        if !self.checked(at) {
            return;
        }
        match client {
            Client::Publisher if usize::from(self.store.publisher) == member(at) => {
                self.change_epoch(Client::Publisher);
                self.servers[at].publisher = Publisher::Idle {
                    is_current: true,
                    key: self.store.key,
                };
            }
            Client::Watcher if usize::from(self.store.watcher.server) == member(at) => {
                self.activate_watcher(at);
            }
            Client::Publisher | Client::Watcher => {}
        }
    }

    /// Takes a fresh epoch, and its outcome does not come.
    pub(crate) fn activate_in_vain(&mut self, at: usize, client: Client) {
        if self.checked(at) {
            self.faults.replies -= 1;
            self.change_epoch(client);
        }
    }

    /// A beat commits, and the server goes on as it was; or it learns that its life is over.
    pub(crate) fn beat(&mut self, at: usize) {
        if self.checked(at) {
            self.accept_beat(at);
        }
    }

    pub(super) fn accept_beat(&mut self, at: usize) {
        if self.servers[at].is_late {
            self.servers[at].is_late = false;
            self.stir(member(at));
        }
    }

    /// The operation's check of the asker. A server that is fenced drops all; one fenced by its own
    /// name ends.
    pub(super) fn checked(&mut self, at: usize) -> bool {
        let is_member = self.is_member(at);
        if !is_member {
            let is_replaced = self.servers[at].life == Life::Former;
            self.servers[at] = Server {
                is_up: !is_replaced,
                ..Server::out()
            };
        }
        is_member
    }

    /// The process is gone, with what it had not sent.
    pub(crate) fn kill(&mut self, at: usize) {
        // Its life is still the row's until somebody ends it or joins over it.
        self.servers[at] = Server::out();
    }

    /// The server says good-bye: its clients are moved from now on.
    pub(crate) fn leave(&mut self, rules: Rules, at: usize) {
        if self.checked(at) {
            self.faults.leaves -= 1;
            self.store.members[member(at)].is_alive = false;
            self.stir(member(at));
            if rules.keep(Rule::LeaverSilent) {
                self.servers[at] = Server::out();
            }
        }
    }

    /// Joins under a name whose life has ended.
    pub(crate) fn join(&mut self, at: usize) {
        if !self.store.members[member(at)].is_alive {
            self.begin_life(at);
        }
    }

    /// Sees that its name has stood still for 1.5 s; or that it moves, and ends.
    pub(crate) fn look(&mut self, at: usize) {
        let id = member(at);
        if !self.store.members[id].is_alive {
            return;
        }
        if self.stands_still(id) {
            self.servers[at].joining = Some(true);
        } else {
            self.servers[at] = Server::out();
        }
    }

    /// Joins under a name that stood still.
    pub(crate) fn join_over(&mut self, rules: Rules, at: usize) {
        let is_same = self.servers[at].joining.take() == Some(true);
        if self.store.members[member(at)].is_alive && (is_same || !rules.keep(Rule::JoinCompares)) {
            self.begin_life(at);
        }
    }

    fn begin_life(&mut self, at: usize) {
        let id = member(at);
        for (process, server) in self.servers.iter_mut().enumerate() {
            if member(process) == id && server.life == Life::Current {
                server.life = Life::Former;
            }
        }
        self.store.members[id].is_alive = true;
        self.servers[at] = Server {
            is_up: true,
            life: Life::Current,
            ..Server::out()
        };
        self.stir(id);
    }

    /// Moves a client of its own to another server: the actor is still from the question to the
    /// outcome, and then gone.
    pub(crate) fn move_away(&mut self, rules: Rules, at: usize, client: Client, to: usize) {
        if !self.checked(at) {
            return;
        }
        let row = self.store.watcher;
        let server = &mut self.servers[at];
        let is_owner = match client {
            Client::Publisher => matches!(
                server.publisher,
                Publisher::Idle {
                    is_current: true,
                    ..
                }
            ),
            Client::Watcher => server
                .watcher
                .is_some_and(|watcher| owns(row, &watcher, at)),
        };
        if !is_owner {
            return;
        }
        match client {
            Client::Publisher => server.publisher = Publisher::Absent,
            Client::Watcher => server.watcher = None,
        }
        self.faults.moves -= 1;
        self.assign(rules, client, to);
        self.tell_moved(rules, to);
    }

    /// `moved` is on its way. Where sweeps compare clients it does nothing that they do not.
    pub(crate) fn tell_moved(&mut self, rules: Rules, to: usize) {
        self.moved[to] |= !rules.keep(Rule::SweepCompares);
    }

    /// `moved` arrives: whose the clients are is read from the store.
    pub(crate) fn hear_moved(&mut self, at: usize) {
        self.moved[member(at)] = false;
        if self.checked(at) {
            self.drop_foreign(at);
            if self.servers[at].watcher.is_none() {
                self.activate(at, Client::Watcher);
            }
        }
    }
}
