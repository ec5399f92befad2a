//! The whole pool in one thread under one seed: hosts, phones, a store that takes its time, a network that
//! loses, repeats and reorders, and one virtual clock.
//!
//! Nothing here sleeps or reads a clock. A failure prints its seed, and the seed replays it.

mod ledger;
mod network;
mod phone;
mod raw;
mod slow_store;

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use presently::host::{Host, Outside};
use presently_balancer::Balancer;
use presently_pool::{MemberId, Membership, Role};
use presently_presence::package::Packages;
use presently_presence::{Secrets, Server};
use presently_sip::{Flow, Framing, MacKey, Moment, Now, Protocol, WallTime};
use presently_store::sqlite::Inline;
use presently_store::{Completion, Operation, Outcome, Store, Ticket};

pub use self::ledger::{Ledger, Sent};
pub use self::network::{Faults, Network, Packet};
pub use self::phone::Phone;
pub use self::raw::Heard;
use self::slow_store::{Latency, SlowStore};

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
    /// A handle on the store, for looking.
    pub store: Inline,
    hosts: Vec<Node>,
    /// What reached addresses without a phone.
    heard: Vec<Heard>,
    now: Moment,
    /// Events so far: a bound on every run.
    steps: u64,
}

struct Node {
    host: Host,
    latency: Latency,
    oob: Vec<(MemberId, SocketAddr)>,
}

impl World {
    /// A pool of one balancer and `servers` servers, joined and beating.
    ///
    /// # Panics
    ///
    /// The store cannot be opened in memory.
    #[must_use]
    pub fn new(seed: u64, servers: u16, arrangement: Arrangement) -> Self {
        let store = Inline::open_in_memory().expect("memory for a store");
        let mut world = Self {
            random: fastrand::Rng::with_seed(seed),
            network: Network::default(),
            phones: Vec::new(),
            ledger: Ledger::default(),
            store,
            hosts: Vec::new(),
            heard: Vec::new(),
            now: Moment(1_000_000),
            steps: 0,
        };
        let roles = std::iter::once(Role::Balancer);
        let roles = roles.chain((0..servers).map(|_| Role::Server));
        for (place, role) in (0_u16..).zip(roles) {
            if place == 0 || arrangement == Arrangement::Apart {
                world.add_host();
            }
            world.add_member(place, role);
        }
        // Two beats: everybody is known to everybody.
        world.run_for(Duration::from_millis(600));
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
        self.store.submit(&mut vec![(Ticket(0), operation)]);
        let _ = self
            .store
            .poll(&mut Context::from_waker(Waker::noop()), &mut done);
        let completion = done.pop().expect("an inline store answers at once");
        completion
            .result
            .expect("a look at the store is not refused")
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

    fn add_host(&mut self) {
        let (store, latency) = SlowStore::new(self.store.clone(), self.random.u64(..));
        latency.set(self.now);
        let host = Host::new(self.now(), Box::new(store));
        self.hosts.push(Node {
            host,
            latency,
            oob: Vec::new(),
        });
    }

    fn add_member(&mut self, place: u16, role: Role) {
        let oob = SocketAddr::from(([10, 0, 0, 1], 7000 + place));
        let name = match role {
            Role::Balancer => "b1".to_owned(),
            Role::Server => format!("s{place}"),
        };
        let mut seed = [0; 16];
        self.random.fill(&mut seed);
        let outcome = self.ask(Operation::Join {
            name: name.clone().into(),
            role,
            host: "simulation".into(),
            pid: 1,
            started: 1,
            sip: None,
            oob: Some(oob),
            weight: 1,
            seed,
        });
        let Outcome::Joined {
            membership, key, ..
        } = outcome
        else {
            panic!("{name} did not join");
        };
        self.random.fill(&mut seed);
        let now = self.now();
        let node = self.hosts.last_mut().expect("a host was added");
        node.oob.push((membership.member, oob));
        match role {
            Role::Balancer => {
                let machine = balancer(membership, key, now);
                node.host.add_balancer(machine, membership, key);
            }
            Role::Server => {
                let secrets = Secrets { pool: key, seed };
                let config = presently_presence::Config::new(&name, Arc::new(Packages::default()));
                let machine = Server::new(now, membership, config, &secrets);
                node.host.add_server(machine, key);
            }
        }
    }

    fn next_event(&self) -> Option<Moment> {
        let hosts = self.hosts.iter().flat_map(|node| {
            let timer = Some(node.host.poll_timeout());
            [timer, node.latency.next_due()]
        });
        let phones = self.phones.iter().map(Phone::poll_timeout);
        let others = [self.network.next_due()];
        hosts.chain(phones).chain(others).flatten().min()
    }

    /// Everything that is due at this moment.
    fn step(&mut self) {
        self.steps += 1;
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
    fn to_phone(&mut self, flow: Flow, head: &[u8], body: &[u8]) {
        let bytes = [head, body].concat();
        self.ledger.sent_to_phone(self.now, &bytes);
        let packet = Packet::ToPhone {
            to: flow.remote,
            bytes: bytes.into(),
        };
        self.network.send(self.now.moment, packet, self.random);
    }

    fn to_link(&mut self, from: MemberId, to: MemberId, text: &[u8]) {
        let bytes = text.to_vec().into();
        let packet = Packet::ToLink { from, to, bytes };
        self.network.send(self.now.moment, packet, self.random);
    }

    fn to_member(&mut self, from: MemberId, to: SocketAddr, datagram: &[u8]) {
        let port = 7000 + u16::try_from(from.0).expect("few members") - 1;
        let packet = Packet::ToMember {
            from: SocketAddr::from(([10, 0, 0, 1], port)),
            to,
            bytes: datagram.to_vec().into(),
        };
        self.network.send(self.now.moment, packet, self.random);
    }
}

fn balancer(me: Membership, key: [u8; 16], now: Now) -> Balancer {
    let config = presently_balancer::Config {
        domains: presently_balancer::Domains::Listed(vec!["example.com".into()]),
        listeners: vec![listener(Protocol::Udp), listener(Protocol::Tcp)],
        ..presently_balancer::Config::default()
    };
    Balancer::new(config, me, MacKey::new(key), now)
}

/// 2026-11-21T00:00:00Z.
const EPOCH_MICROS: u64 = 1_795_219_200_000_000;
const STEPS_MAX: u64 = 5_000_000;

fn listener(protocol: Protocol) -> presently_balancer::Listener {
    presently_balancer::Listener {
        protocol,
        advertised_host: "10.0.0.1".into(),
        advertised_port: 5060,
        bound: SocketAddr::from(([10, 0, 0, 1], 5060)),
    }
}
