//! A pool of one balancer and two servers in one host, and phones that are templates: what the host
//! does can be counted, because nothing else here allocates while it runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use presently::host::{Host, Outside};
use presently_balancer::{Balancer, Domains, Listener};
use presently_pool::{MemberId, Role};
use presently_presence::package::Packages;
use presently_presence::{Secrets, Server};
use presently_sip::{Flow, Framing, MacKey, Moment, Now, Protocol, WallTime};
use presently_store::sqlite::Inline;
use presently_store::{Operation, Outcome, Store, Ticket};

/// The host, its virtual clock, and what it has sent.
pub(crate) struct Stage {
    host: Host,
    now: Moment,
    pub(crate) sent: Sent,
    members: Vec<(MemberId, SocketAddr)>,
    out_of_band: Vec<(MemberId, SocketAddr, Vec<u8>)>,
}

/// What a host has sent, in memory that is kept.
#[derive(Default)]
pub(crate) struct Sent {
    now: Moment,
    bytes: Vec<u8>,
    to_phones: Vec<(Flow, usize, usize)>,
    to_members: Vec<(MemberId, SocketAddr, usize, usize)>,
}

impl Outside for Sent {
    fn now(&mut self) -> Moment {
        self.now
    }

    fn to_phone(&mut self, flow: Flow, head: &[u8], body: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(head);
        self.bytes.extend_from_slice(body);
        self.to_phones.push((flow, start, self.bytes.len()));
    }

    fn to_link(&mut self, _: MemberId, _: MemberId, _: &[u8]) {
        panic!("all members are in this host");
    }

    fn to_member(&mut self, from: MemberId, to: SocketAddr, datagram: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(datagram);
        self.to_members.push((from, to, start, self.bytes.len()));
    }
}

impl Stage {
    /// A pool that has beaten twice, so that all know each other.
    pub(crate) fn new() -> Self {
        let store = Inline::open_in_memory().expect("memory for a store");
        let now = Moment(1_000_000);
        let mut host = Host::new(at(now), Box::new(store.clone()));
        let mut members = Vec::new();
        for (name, port) in [("b1", 7000), ("s1", 7001), ("s2", 7002)] {
            let oob = SocketAddr::from(([127, 0, 0, 1], port));
            members.push((add(&mut host, store.clone(), (name, oob), now), oob));
        }
        let mut stage = Self {
            host,
            now,
            sent: Sent::default(),
            members,
            out_of_band: Vec::new(),
        };
        for _ in 0..20 {
            stage.pass(Duration::from_millis(50));
        }
        stage
    }

    /// A phone sends `text`; the host takes a turn.
    pub(crate) fn phone_sends(&mut self, phone: u16, text: &[u8]) {
        let flow = Flow::udp(0, ([10, 0, 0, 1], phone).into());
        let now = at(self.now);
        self.host.handle_phone(now, flow, text, Framing::Datagram);
        self.turn();
    }

    /// Time goes on; datagrams between members arrive.
    pub(crate) fn pass(&mut self, span: Duration) {
        self.now = self.now.after(span);
        self.sent.now = self.now;
        self.host.handle_timeout(at(self.now));
        self.turn();
        self.deliver();
    }

    /// Keeps what was sent between members for [`Stage::deliver`], and forgets what phones were
    /// sent.
    pub(crate) fn clear(&mut self) {
        let bytes = &self.sent.bytes;
        let kept = self.sent.to_members.drain(..);
        self.out_of_band
            .extend(kept.map(|(from, to, start, end)| (from, to, bytes[start..end].to_vec())));
        self.sent.to_phones.clear();
        self.sent.bytes.clear();
    }

    /// Hands over the datagrams that members sent each other; the host takes a turn after each.
    pub(crate) fn deliver(&mut self) {
        while !self.out_of_band.is_empty() || !self.sent.to_members.is_empty() {
            self.clear();
            for (from, to, bytes) in std::mem::take(&mut self.out_of_band) {
                self.deliver_one(from, to, &bytes);
            }
        }
    }

    /// The datagrams that wait.
    pub(crate) fn take_out_of_band(&mut self) -> Vec<(MemberId, SocketAddr, Vec<u8>)> {
        self.clear();
        std::mem::take(&mut self.out_of_band)
    }

    /// Hands over one datagram; the host takes a turn.
    pub(crate) fn deliver_one(&mut self, from: MemberId, to: SocketAddr, bytes: &[u8]) {
        let address = |wanted| self.members.iter().find(|(id, _)| *id == wanted);
        let (_, from) = *address(from).expect("a member sent it");
        let receiver = self.members.iter().find(|(_, address)| *address == to);
        let (receiver, _) = *receiver.expect("it is for a member");
        self.host
            .handle_datagram(at(self.now), receiver, from, bytes);
        self.turn();
    }

    fn turn(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        self.host.turn(at(self.now), &mut context, &mut self.sent);
    }
}

impl Sent {
    /// Every message to a phone since the last clearing: to which phone, and the text.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (u16, &str)> {
        self.to_phones.iter().map(|(flow, start, end)| {
            let text = std::str::from_utf8(&self.bytes[*start..*end]);
            (flow.remote.port(), text.expect("messages are text"))
        })
    }
}

fn at(moment: Moment) -> Now {
    Now {
        moment,
        wall: WallTime(1_795_219_200_000_000 + moment.0),
    }
}

fn add(
    host: &mut Host,
    mut store: Inline,
    (name, oob): (&str, SocketAddr),
    now: Moment,
) -> MemberId {
    let role = match name {
        "b1" => Role::Balancer,
        _ => Role::Server,
    };
    store.submit(&mut vec![(
        Ticket(0),
        Operation::Join {
            name: name.into(),
            over: None,
            role,
            host: "here".into(),
            pid: 1,
            started: 1,
            sip: None,
            oob: Some(oob),
            weight: 1,
            seed: [1; 16],
        },
    )]);
    let mut done = Vec::new();
    let _ = store.poll(&mut Context::from_waker(Waker::noop()), &mut done);
    let Some(Ok(Outcome::Joined {
        membership, key, ..
    })) = done.pop().map(|completion| completion.result)
    else {
        panic!("{name} did not join");
    };
    if role == Role::Balancer {
        let config = presently_balancer::Config {
            domains: Domains::Any,
            listeners: vec![Listener {
                protocol: Protocol::Udp,
                advertised_host: "127.0.0.1".into(),
                advertised_port: 5060,
                bound: ([127, 0, 0, 1], 5060).into(),
            }],
            ..presently_balancer::Config::default()
        };
        let machine = Balancer::new(config, membership, MacKey::new(key), at(now));
        host.add_balancer(machine, membership, key);
    } else {
        let seed = [u8::try_from(oob.port() % 256).expect("below 256"); 16];
        let secrets = Secrets { pool: key, seed };
        let config = presently_presence::Config::new(name, Arc::new(Packages::default()));
        let machine = Server::new(at(now), membership, config, &secrets);
        host.add_server(machine, key);
    }
    membership.member
}
