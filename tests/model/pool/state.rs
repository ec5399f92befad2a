//! The state of the pool: the store's rows, servers, balancers, what is on the network, two phones.

use crate::rules::Faults;

/// The whole pool at one moment.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct State {
    pub(crate) store: Store,
    /// One process a member, and in the last place a second process of member 0.
    pub(crate) servers: [Server; PROCESSES],
    pub(crate) balancers: [Balancer; BALANCERS],
    /// Wakes on their way, one place a member: another is the same hint.
    pub(crate) wakes: [bool; MEMBERS],
    /// `moved` on its way to a member.
    pub(crate) moved: [bool; MEMBERS],
    /// NOTIFYs on their way, one place a process.
    pub(crate) notifies: [Option<Notify>; PROCESSES],
    /// The watcher's phone.
    pub(crate) seen: Notify,
    /// The watcher's phone has a 200 for a SUBSCRIBE and no NOTIFY since.
    pub(crate) is_awaiting: bool,
    /// How many PUBLISHs the presentity's phone has a 200 for.
    pub(crate) answered: u8,
    pub(crate) faults: Faults,
    /// The law that the last step broke.
    pub(crate) broken: Option<Law>,
}

/// What is committed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Store {
    pub(crate) members: [Member; MEMBERS],
    /// The server of the presentity.
    pub(crate) publisher: u8,
    /// The row of the watcher.
    pub(crate) watcher: Assignment,
    /// The document's version, which is also the counter as far as `settled` can tell.
    pub(crate) version: u8,
    /// The last PUBLISH applied: its request key.
    pub(crate) key: u8,
    /// Of the one subscription.
    pub(crate) owed: bool,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Member {
    pub(crate) is_alive: bool,
    pub(crate) settled: u8,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Assignment {
    pub(crate) server: u8,
    pub(crate) epoch: u8,
    /// The epoch of the last activation.
    pub(crate) activated: u8,
    /// What a former server had settled; `None` when its present server's word counts.
    pub(crate) told: Option<u8>,
}

/// One process of a server.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Server {
    pub(crate) is_up: bool,
    pub(crate) life: Life,
    /// 1.25 s have gone since its last committed beat was sent.
    pub(crate) is_late: bool,
    /// It has seen its name stand still; `true` while nothing has changed since.
    pub(crate) joining: Option<bool>,
    pub(crate) publisher: Publisher,
    pub(crate) watcher: Option<Watcher>,
    /// The sweep whose counter is still to be written as settled.
    pub(crate) settling: Option<Settling>,
}

/// Which life of its member a process holds itself for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Life {
    /// Of the member's row, alive or ended.
    Current,
    /// One that another process has replaced.
    Former,
    /// It has not joined, or knows that it was fenced.
    None,
}

/// The presentity's actor. Its epoch is compared for equality only: is it the row's?
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Publisher {
    Absent,
    /// With the last request key in memory.
    Idle {
        is_current: bool,
        key: u8,
    },
    /// The commit of `key` is done, its outcome on the way.
    Writing {
        is_current: bool,
        key: u8,
        version: u8,
        /// The watcher's server in the commit's snapshot.
        wake: u8,
    },
}

/// The watcher's actor with its one subscription.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Watcher {
    pub(crate) epoch: u8,
    /// The version held of the resource.
    pub(crate) held: u8,
    /// The version of the last NOTIFY answered, or that needs none.
    pub(crate) told: u8,
    pub(crate) in_flight: InFlight,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum InFlight {
    Nothing,
    /// Decided, not yet handed to the network.
    Decided(u8),
    /// Sent, and sent again until answered.
    Sent(u8),
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Settling {
    pub(crate) version: u8,
    /// The epoch under which the store assigned the watcher to this server in the snapshot.
    pub(crate) watcher: Option<u8>,
}

/// A NOTIFY's CSeq, which begins with the epoch's activation, and its document's version.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Notify {
    pub(crate) epoch: u8,
    pub(crate) version: u8,
}

/// What a balancer has decided and not yet committed; `true` while what it compares is unchanged.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Balancer {
    pub(crate) is_up: bool,
    pub(crate) ending: Option<(u8, bool)>,
    pub(crate) moving: Option<(Client, bool)>,
    /// Members to be told of a move.
    pub(crate) to_tell: [bool; MEMBERS],
}

/// The presentity's client, and the watcher's.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Client {
    Publisher,
    Watcher,
}

/// What can be seen broken in one step.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Law {
    /// A request was applied a second time.
    AppliedOnce,
    /// An older version was shown after a newer one.
    NeverBackwards,
    /// A server notified for a client that another server had activated.
    OneActor,
    /// A second balancer ended the same life.
    OneWinner,
    /// A write was accepted under an old epoch or from an ended life.
    OwnEpoch,
}

impl State {
    /// Everybody is up and knows the first version; the watcher is on `watcher`.
    pub(crate) fn new(members: usize, balancers: usize, watcher: u8, faults: Faults) -> Self {
        let publisher = 0;
        let row = |id| Member {
            is_alive: id < members,
            settled: 1,
        };
        let mut servers = [Server::out(); PROCESSES];
        for server in servers.iter_mut().take(members) {
            server.is_up = true;
            server.life = Life::Current;
        }
        servers[usize::from(publisher)].publisher = Publisher::Idle {
            is_current: true,
            key: 0,
        };
        servers[usize::from(watcher)].watcher = Some(Watcher {
            epoch: 1,
            held: 1,
            told: 1,
            in_flight: InFlight::Nothing,
        });
        Self {
            store: Store {
                members: std::array::from_fn(row),
                publisher,
                watcher: Assignment {
                    server: watcher,
                    epoch: 1,
                    activated: 1,
                    told: None,
                },
                version: 1,
                key: 0,
                owed: false,
            },
            servers,
            balancers: std::array::from_fn(|place| Balancer {
                is_up: place < balancers,
                ..Balancer::out()
            }),
            wakes: [false; MEMBERS],
            moved: [false; MEMBERS],
            notifies: [None; PROCESSES],
            seen: Notify {
                epoch: 1,
                version: 1,
            },
            is_awaiting: false,
            answered: 0,
            faults,
            broken: None,
        }
    }

    /// Whether the store takes `process` for the present life of its member.
    pub(crate) fn is_member(&self, process: usize) -> bool {
        self.servers[process].life == Life::Current && self.store.members[member(process)].is_alive
    }

    /// Whether nobody has seen a beat of this member for 1.5 s: then its life is late, or gone.
    pub(crate) fn stands_still(&self, id: usize) -> bool {
        let mut processes = self.servers.iter().enumerate();
        !processes.any(|(process, server)| {
            member(process) == id && server.is_up && server.life == Life::Current && !server.is_late
        })
    }

    /// Whose client it is by the store.
    pub(crate) fn server_of(&self, client: Client) -> u8 {
        match client {
            Client::Publisher => self.store.publisher,
            Client::Watcher => self.store.watcher.server,
        }
    }

    /// Whether a client can be served at all.
    pub(crate) fn has_server(&self) -> bool {
        (0..PROCESSES).any(|process| self.servers[process].is_up && self.is_member(process))
    }

    /// The same state as all that differ from it in nothing that matters: of epochs only the order
    /// does, and balancers have no names.
    pub(crate) fn canonical(mut self) -> Self {
        self.balancers.sort_unstable();
        let mut used = [false; EPOCHS];
        self.each_epoch(|epoch| used[usize::from(*epoch)] = true);
        let mut ranks = [0; EPOCHS];
        let mut next = 0;
        for (rank, is_used) in ranks.iter_mut().zip(used) {
            *rank = next;
            next += u8::from(is_used);
        }
        self.each_epoch(|epoch| *epoch = ranks[usize::from(*epoch)]);
        self
    }

    fn each_epoch(&mut self, mut visit: impl FnMut(&mut u8)) {
        visit(&mut self.store.watcher.epoch);
        visit(&mut self.store.watcher.activated);
        visit(&mut self.seen.epoch);
        for watcher in self.servers.iter_mut().flat_map(|one| &mut one.watcher) {
            visit(&mut watcher.epoch);
        }
        let settling = self.servers.iter_mut().flat_map(|one| &mut one.settling);
        for epoch in settling.flat_map(|settling| &mut settling.watcher) {
            visit(epoch);
        }
        for notify in self.notifies.iter_mut().flatten() {
            visit(&mut notify.epoch);
        }
    }
}

impl Server {
    /// A process that does not run.
    pub(crate) fn out() -> Self {
        Self {
            is_up: false,
            life: Life::None,
            is_late: false,
            joining: None,
            publisher: Publisher::Absent,
            watcher: None,
            settling: None,
        }
    }
}

impl Balancer {
    /// One that does not run.
    pub(crate) fn out() -> Self {
        Self {
            is_up: false,
            ending: None,
            moving: None,
            to_tell: [false; MEMBERS],
        }
    }
}

impl Watcher {
    /// Decides the next NOTIFY when a newer version is held and none is in flight.
    pub(crate) fn hold(&mut self, version: u8) {
        self.held = self.held.max(version);
        if self.in_flight == InFlight::Nothing && self.held > self.told {
            self.in_flight = InFlight::Decided(self.held);
        }
    }
}

/// Whose process it is.
pub(crate) fn member(process: usize) -> usize {
    if process == SECOND { 0 } else { process }
}

pub(crate) const MEMBERS: usize = 3;
/// The place of the second process of member 0.
pub(crate) const SECOND: usize = MEMBERS;
pub(crate) const PROCESSES: usize = MEMBERS + 1;
pub(crate) const BALANCERS: usize = 2;
/// Epochs in one state are fewer, ranked as they are.
const EPOCHS: usize = 32;
