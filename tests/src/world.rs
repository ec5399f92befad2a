//! The whole pool in one thread under one seed: hosts, phones, a store that takes its time, a
//! network that loses, repeats and reorders, and one virtual clock.
//!
//! Nothing here sleeps or reads a clock. A failure prints its seed, and the seed replays it.

mod check;
mod journal;
mod ledger;
mod network;
mod phone;
mod pool;
mod raw;
mod slow_store;
mod wakes;

use std::net::SocketAddr;
use std::task::{Context, Waker};
use std::time::Duration;

use presently::host::{Host, Outside};
use presently_pool::{MemberId, Membership};
use presently_presence::Server;
use presently_sip::{Aor, Flow, Framing, Moment, Now, WallTime};
use presently_store::sqlite::Inline;
use presently_store::{ClientState, Completion, Operation, Outcome, PoolStatus, Store, Ticket};

pub use self::check::presence_of;
pub use self::journal::{Assigned, Document, Entries, Journal};
pub use self::ledger::{Ledger, Linked, Sent};
pub use self::network::{Faults, Network, Packet};
pub use self::phone::Phone;
pub use self::raw::Heard;
use self::slow_store::Latency;
pub use self::wakes::{Signals, Wakes};

/// How the members are spread over processes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Arrangement {
    /// Balancer and servers in one host: messages pass in memory.
    Together,
    /// A host each: messages pass as text over links.
    Apart,
}

/// A simulated pool and its phones.
pub struct World {
    /// The only source of chance.
    pub random: fastrand::Rng,
    /// The network between everybody.
    pub network: Network,
    /// Who is there to talk.
    pub phones: Vec<Phone>,
    /// What was seen, for the laws.
    pub ledger: Ledger,
    /// What the store has committed.
    pub journal: Journal,
    /// A handle on the store, for looking.
    pub store: Inline,
    arrangement: Arrangement,
    weights: Vec<u32>,
    hosts: Vec<Node>,
    /// What reached addresses without a phone.
    heard: Vec<Heard>,
    now: Moment,
    /// A turn that is due though no machine waits for it.
    nudge: Option<Moment>,
    /// Events so far: a bound on every run.
    steps: u64,
}

struct Node {
    host: Host,
    latency: Latency,
    oob: Vec<(MemberId, SocketAddr)>,
}

impl World {
    /// A pool of one balancer and `servers` servers of equal weight, joined and beating.
    #[must_use]
    pub fn new(seed: u64, servers: usize, arrangement: Arrangement) -> Self {
        Self::weighted(seed, &vec![1; servers], arrangement)
    }

    /// A pool of one balancer and a server for each weight.
    ///
    /// # Panics
    ///
    /// The store cannot be opened in memory.
    #[must_use]
    pub fn weighted(seed: u64, weights: &[u32], arrangement: Arrangement) -> Self {
        let journal = Journal::default();
        let mut world = Self {
            random: fastrand::Rng::with_seed(seed),
            network: Network::default(),
            phones: Vec::new(),
            ledger: Ledger::new(journal.clone()),
            journal,
            store: Inline::open_in_memory().expect("memory for a store"),
            arrangement,
            weights: weights.to_vec(),
            hosts: Vec::new(),
            heard: Vec::new(),
            now: Moment(1_000_000),
            nudge: None,
            steps: 0,
        };
        world.start();
        world
    }

    /// Adds a phone of `user` and gives its place.
    pub fn add_phone(&mut self, user: &str) -> usize {
        let place = self.phones.len();
        let seed = self.random.u64(..);
        self.phones.push(Phone::new(user, place, seed));
        place
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Now {
        Now {
            moment: self.now,
            wall: WallTime(EPOCH_MICROS + self.now.0),
        }
    }

    /// Lets a phone do something, and sends what it wrote.
    pub fn with_phone<R>(&mut self, place: usize, act: impl FnOnce(&mut Phone, Now) -> R) -> R {
        let now = self.now();
        let phone = self.phones.get_mut(place).expect("the phone was added");
        let result = act(phone, now);
        self.collect(place);
        result
    }

    /// Runs for a while of virtual time.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now.after(span);
        while let Some(next) = self.next_event().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.step();
        }
        self.now = until;
    }

    /// Runs until `is_done`, at most for `bound`; `false` when the bound came first.
    pub fn run_until(&mut self, bound: Duration, is_done: impl Fn(&Self) -> bool) -> bool {
        let until = self.now.after(bound);
        while !is_done(self) {
            match self.next_event().filter(|next| *next <= until) {
                Some(next) => self.now = self.now.max(next),
                None => return is_done(self),
            }
            self.step();
        }
        true
    }

    /// Asks the store something at once, beside the pool.
    pub fn ask(&mut self, operation: Operation) -> Outcome {
        let mut done: Vec<Completion> = Vec::new();
        self.store.submit(&mut vec![(Ticket(0), operation.clone())]);
        let _ = self
            .store
            .poll(&mut Context::from_waker(Waker::noop()), &mut done);
        let completion = done.pop().expect("an inline store answers at once");
        let outcome = completion.result.expect("it is not refused");
        self.journal.note(self.now, &operation, &outcome);
        outcome
    }

    /// What the store has of a user; `None` when it has nothing.
    ///
    /// # Panics
    ///
    /// `user` is no user part.
    pub fn show(&mut self, user: &str) -> Option<ClientState> {
        let client = aor(user);
        match self.ask(Operation::Show { client }) {
            Outcome::Client(state) => state.map(|state| *state),
            outcome => panic!("shown {outcome:?}"),
        }
    }

    /// The members and their counts, as the store has them.
    ///
    /// # Panics
    ///
    /// The store answers something else.
    pub fn status(&mut self) -> PoolStatus {
        match self.ask(Operation::Status) {
            Outcome::Status(status) => *status,
            outcome => panic!("a status of {outcome:?}"),
        }
    }

    /// The distinguished server of a user, if there is one.
    pub fn server_of(&mut self, user: &str) -> Option<MemberId> {
        let state = self.show(user)?;
        Some(state.assignment?.server)
    }

    /// The hosts, to look at.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().map(|node| &node.host)
    }

    /// Every server machine, to look at.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.hosts()
            .flat_map(Host::servers)
            .map(|(server, _)| server)
    }

    fn next_event(&self) -> Option<Moment> {
        let hosts = self.hosts.iter().flat_map(|node| {
            let timer = Some(node.host.poll_timeout());
            [timer, node.latency.next_due()]
        });
        let phones = self.phones.iter().map(Phone::poll_timeout);
        let others = [self.network.next_due(), self.nudge];
        hosts.chain(phones).chain(others).flatten().min()
    }

    /// Everything that is due at this moment.
    fn step(&mut self) {
        self.steps += 1;
        self.nudge = None;
        assert!(self.steps < STEPS_MAX, "the world does not come to rest");
        let now = self.now();
        while let Some(packet) = self.network.take_due(self.now) {
            self.deliver(now, packet);
        }
        for place in 0..self.phones.len() {
            let phone = self.phones.get_mut(place).expect("in range");
            if phone.poll_timeout().is_some_and(|due| due <= self.now) {
                phone.handle_timeout(now);
                self.collect(place);
            }
        }
        let Self {
            hosts,
            network,
            ledger,
            random,
            ..
        } = self;
        for node in hosts {
            node.latency.set(now.moment);
            node.host.handle_timeout(now);
            let mut outside = Wire {
                now,
                network,
                ledger,
                random,
            };
            let mut context = Context::from_waker(Waker::noop());
            node.host.turn(now, &mut context, &mut outside);
        }
    }

    fn deliver(&mut self, now: Now, packet: Packet) {
        match packet {
            Packet::ToPool { from, bytes } => {
                self.ledger.hear_phone(&bytes);
                let flow = Flow::udp(0, from);
                for node in &mut self.hosts {
                    if node.host.balancer().is_some() {
                        node.host.handle_phone(now, flow, &bytes, Framing::Datagram);
                    }
                }
            }
            Packet::ToPhone { to, bytes } => {
                let place = self.phones.iter().position(|phone| phone.address == to);
                match place {
                    Some(place) => {
                        self.phones[place].handle_message(now, &bytes);
                        self.collect(place);
                    }
                    None => self.hear_raw(to, &bytes),
                }
            }
            Packet::ToMember { from, to, bytes } => {
                for node in &mut self.hosts {
                    let member = node.oob.iter().find(|(_, address)| *address == to);
                    if let Some((member, _)) = member {
                        node.host.handle_datagram(now, *member, from, &bytes);
                    }
                }
            }
            Packet::ToLink { from, to, bytes } => {
                for node in &mut self.hosts {
                    if node.host.own().any(|own: Membership| own.member == to) {
                        node.host.handle_link(now, from, to, &bytes);
                    }
                }
            }
        }
    }

    /// Sends what a phone wrote.
    fn collect(&mut self, place: usize) {
        let phone = self.phones.get_mut(place).expect("in range");
        let from = phone.address;
        for bytes in phone.take_datagrams() {
            let packet = Packet::ToPool { from, bytes };
            self.network.send(self.now, packet, &mut self.random);
        }
    }
}

/// What a host sends goes onto the network and into the ledger.
struct Wire<'a> {
    now: Now,
    network: &'a mut Network,
    ledger: &'a mut Ledger,
    random: &'a mut fastrand::Rng,
}

impl Outside for Wire<'_> {
    fn now(&mut self) -> Moment {
        self.now.moment
    }

    fn to_phone(&mut self, flow: Flow, head: &[u8], body: &[u8]) {
        let bytes = [head, body].concat();
        self.ledger.sent_to_phone(self.now.moment, &bytes);
        let packet = Packet::ToPhone {
            to: flow.remote,
            bytes: bytes.into(),
        };
        self.network.send(self.now.moment, packet, self.random);
    }

    fn to_link(&mut self, from: MemberId, to: MemberId, text: &[u8]) {
        self.ledger.sent_over_link(from, to, text);
        let bytes = text.to_vec().into();
        let packet = Packet::ToLink { from, to, bytes };
        self.network.send(self.now.moment, packet, self.random);
    }

    fn to_member(&mut self, from: MemberId, to: SocketAddr, datagram: &[u8]) {
        self.ledger.sent_out_of_band(self.now.moment, datagram);
        let port = 7000 + u16::try_from(from.0).expect("few members") - 1;
        let packet = Packet::ToMember {
            from: SocketAddr::from(([10, 0, 0, 1], port)),
            to,
            bytes: datagram.to_vec().into(),
        };
        self.network.send(self.now.moment, packet, self.random);
    }
}

/// The address of record of a user of the simulated domain.
///
/// # Panics
///
/// `user` is no user part.
#[must_use]
pub fn aor(user: &str) -> Aor {
    Aor::parse(&format!("sip:{user}@example.com")).expect("a user part")
}

/// 2026-11-21T00:00:00Z.
const EPOCH_MICROS: u64 = 1_795_219_200_000_000;
const STEPS_MAX: u64 = 5_000_000;
