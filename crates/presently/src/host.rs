//! The machines of one loop, and the turn that joins them.
//!
//! ```text
//!   phones ──► balancer ──► servers ──► batch ──► store ──► completions ──┐
//!     ▲            ▲            │                                         │
//!     └────────────┴────────────┴──► wakes ──► links ──► other members    │
//!                               ▲                                         │
//!                               └─────────────────────────────────────────┘
//! ```
//!
//! A host is a machine too: it has no socket and no clock. The program drives it with real ones;
//! the simulation drives several with a virtual network, and neither can tell.

mod beat;
mod flows;
mod held_back;
mod legacy;
mod moved;
mod outside;
mod takeover;
mod turn;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use presently_balancer::{Balancer, Domains};
use presently_oob::Links;
use presently_pool::{Member, MemberId, Membership};
use presently_presence::{Expires, Server};
use presently_sip::{Framing, Index, MacKey, Moment, Now, Spans};
use presently_store::{Completion, Operation, Store, Ticket};

use self::beat::Beat;
use self::held_back::HeldBack;
pub use self::legacy::Legacy;
pub use self::outside::{LinkMessage, Outside};

/// One loop's machines.
pub struct Host {
    store: Box<dyn Store>,
    balancer: Option<HostedBalancer>,
    servers: Vec<HostedServer>,
    members: Arc<[Member]>,
    next_beat: Moment,
    index: Index,
    batch: Vec<(Ticket, Operation)>,
    /// Hand-overs, to be asked for when what was written before them has left.
    hand_overs: Vec<(Ticket, Operation)>,
    done: Vec<Completion>,
    /// Texts for members of other processes.
    to_links: Vec<LinkMessage>,
    /// Beats on their way to the store, by their tickets.
    beats: BTreeMap<u64, Beat>,
    beats_asked: u64,
    balancers: flows::Balancers,
    counters: Counters,
    /// Operations the machines wait for.
    in_flight: usize,
    /// The operation whose time is taken at present.
    timed: Option<(Ticket, Moment)>,
    last_turn: Moment,
    /// Until when what arrives may have lain in a socket while the process stood still.
    past_until: Moment,
    is_fenced: bool,
}

/// A balancer and what it wrote in this turn.
struct HostedBalancer {
    machine: Balancer,
    me: Membership,
    out: presently_balancer::Outputs,
    /// Who said each of the messages to phones in `out`: a server here, or the balancer, for itself
    /// or for a server elsewhere. What is beyond its end is the balancer's.
    speakers: Vec<MemberId>,
    links: HostedLinks,
}

/// A server and what it wrote in this turn.
struct HostedServer {
    machine: Server,
    me: Membership,
    out: presently_presence::Outputs,
    held_back: HeldBack,
    is_draining: bool,
    links: HostedLinks,
}

/// A member's out-of-band links and what they wrote in this turn.
struct HostedLinks {
    machine: Links,
    out: presently_oob::Outputs,
}

/// What the host itself counts.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "each field is the noun it counts")]
pub struct Counters {
    pub turns: u64,
    pub batches: u64,
    pub operations: u64,
    pub completions_refused: u64,
    pub messages_unreadable: u64,
    pub datagrams_past: u64,
    pub link_messages_unreadable: u64,
    pub beats: u64,
    pub turns_held_back: u64,
    pub words_lost: u64,
    /// From an operation that is given to the store to its completion, one of them at a time.
    pub store_spans: Spans,
}

impl Host {
    /// A host without machines on `store`.
    #[must_use]
    pub fn new(now: Now, store: Box<dyn Store>) -> Self {
        Self {
            store,
            balancer: None,
            servers: Vec::new(),
            members: Arc::new([]),
            next_beat: now.moment,
            index: Index::default(),
            batch: Vec::new(),
            hand_overs: Vec::new(),
            done: Vec::new(),
            to_links: Vec::new(),
            beats: BTreeMap::new(),
            beats_asked: 0,
            balancers: flows::Balancers::default(),
            counters: Counters::default(),
            in_flight: 0,
            timed: None,
            last_turn: now.moment,
            past_until: Moment::default(),
            is_fenced: false,
        }
    }

    /// Adds the balancer of this loop; there is one at the most.
    pub fn add_balancer(&mut self, machine: Balancer, me: Membership, key: [u8; 16]) {
        self.balancer = Some(HostedBalancer {
            machine,
            me,
            out: presently_balancer::Outputs::default(),
            speakers: Vec::new(),
            links: HostedLinks::new(me, key),
        });
    }

    /// Adds a server.
    pub fn add_server(&mut self, machine: Server, key: [u8; 16]) {
        let me = machine.membership();
        self.servers.push(HostedServer {
            machine,
            me,
            out: presently_presence::Outputs::default(),
            held_back: HeldBack::default(),
            is_draining: false,
            links: HostedLinks::new(me, key),
        });
    }

    /// Takes one message of a phone.
    pub fn handle_phone(
        &mut self,
        now: Now,
        flow: presently_sip::Flow,
        bytes: &[u8],
        framing: Framing,
    ) {
        if framing == Framing::Datagram && self.is_past(now.moment) {
            self.counters.datagrams_past += 1;
            return;
        }
        let Some(hosted) = &mut self.balancer else {
            return;
        };
        // Lent out, so that the message may be read while the machines change.
        let mut index = std::mem::take(&mut self.index);
        match index.read(bytes, framing) {
            Ok(message) => {
                hosted
                    .machine
                    .handle_phone(now, flow, message, &mut hosted.out);
                self.forward(now, Some(message));
            }
            Err(presently_sip::ReadError::Ping) => {}
            Err(_) => self.counters.messages_unreadable += 1,
        }
        self.index = index;
    }

    /// Takes one message that `from`, a member of another process, sent to `to` of this one.
    pub fn handle_link(&mut self, now: Now, from: MemberId, to: MemberId, bytes: &[u8]) {
        let mut index = std::mem::take(&mut self.index);
        let message = index.read(bytes, Framing::Stream).ok();
        let passage = message.and_then(|message| {
            let value = message.text(presently_sip::Name::Presently)?;
            presently_pool::Passage::read(value).ok()
        });
        match (message, passage) {
            (Some(message), Some(passage)) => {
                self.take_from_link(now, (from, to), &passage, message);
            }
            _ => self.counters.link_messages_unreadable += 1,
        }
        self.index = index;
    }

    /// The link to `peer`, a member of another process, broke: what was on it may be lost.
    pub fn handle_link_broken(&mut self, now: Now, peer: MemberId) {
        if let Some(hosted) = &mut self.balancer {
            let out = &mut hosted.out;
            hosted.machine.handle_link_broken(now, peer, out);
            self.forward(now, None);
        }
        for hosted in &mut self.servers {
            let out = &mut hosted.out;
            hosted.machine.handle_link_broken(now, peer, out);
        }
    }

    /// Takes one out-of-band datagram that arrived at the socket of `to`.
    pub fn handle_datagram(&mut self, now: Now, to: MemberId, from: SocketAddr, bytes: &[u8]) {
        if let Some(links) = self.links_of(to) {
            links
                .machine
                .handle_datagram(now.moment, bytes, from, &mut links.out);
        }
    }

    /// When [`Host::handle_timeout`] is due next.
    #[must_use]
    pub fn poll_timeout(&self) -> Moment {
        let balancer = self.balancer.iter().flat_map(|hosted| {
            [
                hosted.machine.poll_timeout(),
                hosted.links.machine.poll_timeout(),
            ]
        });
        let servers = self.servers.iter().flat_map(|hosted| {
            [
                hosted.machine.poll_timeout(),
                hosted.links.machine.poll_timeout(),
            ]
        });
        let machines = balancer.chain(servers).flatten();
        machines.fold(self.next_beat, Moment::min)
    }

    /// Does what time has come for.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.next_beat <= now.moment {
            self.beat(now);
        }
        if let Some(hosted) = &mut self.balancer {
            hosted.machine.handle_timeout(now, &mut hosted.out);
            hosted.links.handle_timeout(now);
        }
        for hosted in &mut self.servers {
            let is_due = |due: Option<Moment>| due.is_some_and(|due| due <= now.moment);
            if is_due(hosted.machine.poll_timeout()) {
                hosted.machine.handle_timeout(now, &mut hosted.out);
            }
            hosted.links.handle_timeout(now);
        }
    }

    /// Every member of the pool that has not left, or has clients still, as the last beat read it.
    #[must_use]
    pub fn members(&self) -> &Arc<[Member]> {
        &self.members
    }

    /// The members of this host.
    pub fn own(&self) -> impl Iterator<Item = Membership> {
        let balancer = self.balancer.iter().map(|hosted| hosted.me);
        balancer.chain(self.servers.iter().map(|hosted| hosted.me))
    }

    /// Tells the machines what they serve and grant from now on.
    pub fn set_terms(&mut self, domains: &Domains, expires: Expires) {
        if let Some(hosted) = &mut self.balancer {
            hosted.machine.set_domains(domains.clone());
        }
        for hosted in &mut self.servers {
            hosted.machine.set_expires(expires);
        }
    }

    /// The balancer, to look at.
    #[must_use]
    pub fn balancer(&self) -> Option<&Balancer> {
        self.balancer.as_ref().map(|hosted| &hosted.machine)
    }

    /// The servers and their links' counters, to look at.
    pub fn servers(&self) -> impl Iterator<Item = (&Server, &presently_oob::Counters)> {
        self.servers
            .iter()
            .map(|hosted| (&hosted.machine, hosted.links.machine.counters()))
    }

    /// How many operations the machines wait for; beats are not counted.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many operations the store has not answered, beats included.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.in_flight + self.beats.len()
    }

    /// What the host itself has counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether the store has ended a life of this host: nothing it says counts any more.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.is_fenced || self.servers.iter().any(|hosted| hosted.machine.is_fenced())
    }

    /// Whether a datagram that arrives now may be from before a standstill of this process. Its
    /// phone has gone on since, by way of others too: what it wanted then must not be done now.
    /// What it still wants it repeats.
    fn is_past(&mut self, now: Moment) -> bool {
        if now.since(self.last_turn) >= STANDSTILL {
            self.past_until = now.after(BUFFER_READ_WITHIN);
        }
        now < self.past_until
    }

    fn links_of(&mut self, member: MemberId) -> Option<&mut HostedLinks> {
        let balancer = self.balancer.iter_mut();
        let balancer = balancer.map(|hosted| (hosted.me, &mut hosted.links));
        let servers = self.servers.iter_mut();
        let servers = servers.map(|hosted| (hosted.me, &mut hosted.links));
        let mut all = balancer.chain(servers);
        all.find(|(me, _)| me.member == member)
            .map(|(_, links)| links)
    }
}

impl HostedLinks {
    fn new(me: Membership, key: [u8; 16]) -> Self {
        Self {
            machine: Links::new(me, MacKey::new(key)),
            out: presently_oob::Outputs::default(),
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        let due = self.machine.poll_timeout();
        if due.is_some_and(|due| due <= now.moment) {
            self.machine.handle_timeout(now.moment, &mut self.out);
        }
    }
}

/// Turns are 250 ms apart at the most, for beats: who took none for so long stood still, and
/// another may have spoken in the meantime.
const STANDSTILL: Duration = Duration::from_millis(1_250);
/// After a standstill the sockets' buffers are empty by then.
const BUFFER_READ_WITHIN: Duration = Duration::from_millis(20);
