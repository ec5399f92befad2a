//! What the tests stand on: a balancer, a store that answers at once or not at all, and the texts
//! of what was sent.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use presently_pool::{
    Assignment, ClientId, Epoch, FlowToken, Incarnation, Kind, Member, MemberId, MemberState,
    Membership, Passage, Role,
};
use presently_sip::{Aor, Flow, Framing, Index, MacKey, Moment, Now, Protocol, WallTime};
use presently_store::{Completion, Operation, Outcome, Refused, Ticket};

use crate::{Balancer, Config, Domains, Listener, Outputs};

pub(super) const SERVER: MemberId = MemberId(11);
pub(super) const OTHER: MemberId = MemberId(12);
pub(super) const BALANCER: MemberId = MemberId(3);
pub(super) const ALICE: &str = "sip:alice@example.com";
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const PHONE: &str = "198.51.100.7:5070";
pub(super) const KEY: [u8; 16] = [7; 16];

/// Something that left the balancer.
#[derive(Clone, Debug)]
pub(super) enum Sent {
    Server {
        server: MemberId,
        passage: Box<Passage>,
        text: String,
        vias_removed: usize,
    },
    Phone {
        flow: Flow,
        text: String,
        body: Bytes,
    },
}

/// How the store behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum StoreMood {
    /// Finds and assigns.
    Answers,
    /// Finds, but has no server to assign.
    HasNoServer,
    /// Refuses all.
    Refuses(Refused),
    /// Keeps the operations in [`Play::asked`].
    Silent,
}

pub(super) struct Play {
    pub(super) balancer: Balancer,
    pub(super) now: Now,
    pub(super) mood: StoreMood,
    pub(super) asked: Vec<(Ticket, Operation)>,
    /// What the store holds.
    pub(super) assigned: BTreeMap<Aor, Assignment>,
    /// To which server the store assigns.
    pub(super) fewest: MemberId,
    pub(super) fenced: bool,
    /// Who was said to have been moved, and where to.
    pub(super) told: Vec<(Aor, MemberId)>,
    index: Index,
    out: Outputs,
    counter: u64,
}

pub(super) fn config() -> Config {
    let listener = |protocol, host: &str, port, bound: &str| Listener {
        protocol,
        advertised_host: host.into(),
        advertised_port: port,
        bound: bound.parse().unwrap(),
    };
    Config {
        domains: Domains::Listed(vec!["example.com".into()]),
        listeners: vec![
            listener(Protocol::Udp, "sip.example.com", 5060, "192.0.2.1:5060"),
            listener(Protocol::Tcp, "sip.example.com", 5060, "192.0.2.1:5060"),
            listener(Protocol::Udp, "2001:db8::1", 5062, "[2001:db8::1]:5062"),
            listener(Protocol::Udp, "203.0.113.9", 5080, "10.0.0.1:5060"),
            listener(Protocol::Udp, "203.0.113.9", 5090, "0.0.0.0:5090"),
        ],
        ..Config::default()
    }
}

pub(super) fn server(id: MemberId, state: MemberState) -> Member {
    Member {
        id,
        name: format!("server-{}", id.0).into(),
        role: Role::Server,
        incarnation: Incarnation(1),
        state,
        beat: 1,
        sip: None,
        oob: None,
        weight: 1,
        is_draining: false,
        clients: 0,
    }
}

/// A request of alice's phone at [`PHONE`], with the given lines instead of or beside the usual.
pub(super) fn request(method: &str, uri: &str, lines: &[&str]) -> String {
    let usual = [
        "Via: SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bKphone;rport",
        "Max-Forwards: 70",
        "From: Alice <sip:alice@example.com>;tag=from",
        "To: <sip:alice@example.com>",
        "Call-ID: call@198.51.100.7",
        &format!("CSeq: 1 {method}"),
    ];
    let name = |line: &str| line.split(':').next().unwrap().to_owned();
    let replaced = |line: &&str| !lines.iter().any(|other| name(other) == name(line));
    let kept: Vec<&str> = usual
        .iter()
        .copied()
        .filter(|line| replaced(line))
        .collect();
    let mut text = format!("{method} {uri} SIP/2.0\r\n");
    for line in kept
        .iter()
        .chain(lines)
        .filter(|line| !line.ends_with(": -"))
    {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text + "Content-Length: 0\r\n\r\n"
}

/// Alice publishes about herself.
pub(super) fn publish(cseq: u32) -> String {
    request("PUBLISH", ALICE, &[&format!("CSeq: {cseq} PUBLISH")])
}

pub(super) fn register() -> String {
    let contact = "Contact: <sip:alice@198.51.100.7:5070>";
    request("REGISTER", "sip:example.com", &[contact])
}

/// A connection of that phone.
pub(super) fn stream() -> Flow {
    Flow {
        protocol: Protocol::Tcp,
        slot: 4,
        generation: 2,
        ..Flow::udp(1, PHONE.parse().unwrap())
    }
}

/// A response to `request` as its receiver writes it.
pub(super) fn response(request: &str, status: &str) -> String {
    let copied = ["Via", "From", "To", "Call-ID", "CSeq"];
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in request.lines().skip(1) {
        if copied.contains(&line.split(':').next().unwrap()) {
            text.push_str(line);
            text.push_str("\r\n");
        }
    }
    text + "X-Unknown:  kept  \r\nContent-Length: 0\r\n\r\n"
}

/// The value of the first header called `name`.
pub(super) fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let lines = text.lines();
    let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    values.next()
}

impl Play {
    pub(super) fn new() -> Self {
        Self::with(config())
    }

    pub(super) fn with(config: Config) -> Self {
        let now = Now {
            moment: Moment(1_000_000),
            wall: WallTime(1_700_000_000_000_000),
        };
        let membership = Membership {
            member: BALANCER,
            incarnation: Incarnation(5),
        };
        let mut balancer = Balancer::new(config, membership, MacKey::new(KEY), now);
        balancer.set_members(&[
            server(SERVER, MemberState::Alive),
            server(OTHER, MemberState::Alive),
        ]);
        Self {
            balancer,
            now,
            mood: StoreMood::Answers,
            asked: Vec::new(),
            assigned: BTreeMap::new(),
            fewest: SERVER,
            fenced: false,
            told: Vec::new(),
            index: Index::default(),
            out: Outputs::default(),
            counter: 100,
        }
    }

    /// A datagram from `source` at the first listener.
    pub(super) fn phone(&mut self, source: &str, text: impl AsRef<[u8]>) -> Vec<Sent> {
        self.arrive(Flow::udp(0, source.parse().unwrap()), text)
    }

    pub(super) fn arrive(&mut self, flow: Flow, text: impl AsRef<[u8]>) -> Vec<Sent> {
        let mut index = std::mem::take(&mut self.index);
        let mut sent = Vec::new();
        if let Ok(message) = index.read(text.as_ref(), Framing::Datagram) {
            let Self {
                balancer, now, out, ..
            } = self;
            balancer.handle_phone(*now, flow, message, out);
            sent = self.collect(Some(text.as_ref()), &index);
        }
        self.index = index;
        sent.extend(self.settle());
        sent
    }

    /// A message from a server.
    pub(super) fn server(
        &mut self,
        server: MemberId,
        passage: &Passage,
        text: &str,
        body: &[u8],
    ) -> Vec<Sent> {
        self.try_server(server, passage, text.as_bytes(), body)
    }

    /// As [`Play::server`] of any bytes; what cannot be read is dropped.
    pub(super) fn try_server(
        &mut self,
        server: MemberId,
        passage: &Passage,
        bytes: &[u8],
        body: &[u8],
    ) -> Vec<Sent> {
        let mut index = std::mem::take(&mut self.index);
        let mut sent = Vec::new();
        if let Ok(message) = index.read(bytes, Framing::Datagram) {
            let body = Bytes::copy_from_slice(body);
            let Self {
                balancer, now, out, ..
            } = self;
            balancer.handle_server(*now, server, passage, message, &body, out);
            sent = self.collect(Some(bytes), &index);
        }
        self.index = index;
        sent.extend(self.settle());
        sent
    }

    pub(super) fn complete(
        &mut self,
        ticket: Ticket,
        result: Result<Outcome, Refused>,
    ) -> Vec<Sent> {
        let completion = Completion { ticket, result };
        self.balancer
            .handle_completion(self.now, completion, &mut self.out);
        let mut sent = self.collect(None, &Index::default());
        sent.extend(self.settle());
        sent
    }

    /// A connection was closed.
    pub(super) fn closed(&mut self, flow: Flow) {
        self.balancer.handle_closed(self.now, flow, &mut self.out);
    }

    /// Which servers are to be told that which clients lost a flow.
    pub(super) fn flows_gone(&mut self) -> Vec<(MemberId, ClientId, FlowToken)> {
        std::mem::take(&mut self.out.flows_gone)
    }

    /// A beat of the balancer was committed, and read this table.
    pub(super) fn beaten(&mut self, members: &[Member]) -> Vec<Sent> {
        self.balancer
            .handle_beaten(self.now, members, &mut self.out);
        self.settle()
    }

    /// The store has ended its life: it begins another, and nothing that was asked is answered.
    pub(super) fn begin_anew(&mut self) {
        let fresh = Self::new().balancer;
        let former = std::mem::replace(&mut self.balancer, fresh);
        self.asked.clear();
        self.balancer.succeed(self.now, former, &mut self.out);
    }

    /// The link to a server broke.
    pub(super) fn break_link(&mut self, server: MemberId) -> Vec<Sent> {
        let (now, out) = (self.now, &mut self.out);
        self.balancer.handle_link_broken(now, server, out);
        let mut sent = self.collect(None, &Index::default());
        sent.extend(self.settle());
        sent
    }

    /// Lets time go on, timer by timer.
    pub(super) fn pass(&mut self, span: Duration) -> Vec<Sent> {
        let end = self.now.moment.after(span);
        let mut sent = Vec::new();
        for _ in 0..10_000 {
            let due = self.balancer.poll_timeout().filter(|due| *due <= end);
            let Some(due) = due else {
                self.now.moment = end;
                return sent;
            };
            self.now.moment = due.max(self.now.moment);
            self.balancer.handle_timeout(self.now, &mut self.out);
            sent.extend(self.collect(None, &Index::default()));
            sent.extend(self.settle());
        }
        panic!("the timers never end");
    }

    /// Lets the store answer what was asked, in its present mood.
    pub(super) fn settle(&mut self) -> Vec<Sent> {
        self.asked.append(&mut self.out.operations);
        self.fenced |= std::mem::take(&mut self.out.fenced);
        let moved = self.out.moved.drain(..);
        self.told
            .extend(moved.map(|(aor, assignment)| (aor, assignment.server)));
        let mut sent = Vec::new();
        if self.mood == StoreMood::Silent {
            return sent;
        }
        for (ticket, operation) in std::mem::take(&mut self.asked) {
            let result = self.answer(&operation);
            sent.extend(self.complete(ticket, result));
        }
        sent
    }

    pub(super) fn assign(&mut self, aor: &str, server: MemberId) -> Assignment {
        self.counter += 1;
        let assignment = Assignment {
            client: ClientId(self.counter),
            server,
            epoch: Epoch(self.counter),
        };
        self.assigned.insert(Aor::parse(aor).unwrap(), assignment);
        assignment
    }

    /// Moves a client in the store; its row stays.
    pub(super) fn moved(&mut self, aor: &str, server: MemberId) -> Epoch {
        self.counter += 1;
        let epoch = Epoch(self.counter);
        let held = self.assigned.get_mut(&Aor::parse(aor).unwrap()).unwrap();
        (held.server, held.epoch) = (server, epoch);
        epoch
    }

    fn answer(&mut self, operation: &Operation) -> Result<Outcome, Refused> {
        if let StoreMood::Refuses(refused) = self.mood {
            return Err(refused);
        }
        match operation {
            Operation::Assign { client, create, .. } => {
                let mut found = self.assigned.get(client).copied();
                if found.is_none() && *create && self.mood != StoreMood::HasNoServer {
                    let text = client.to_string();
                    found = Some(self.assign(&text, self.fewest));
                }
                Ok(Outcome::Assigned(found))
            }
            Operation::Find { client } => {
                let mut held = self.assigned.iter();
                let found = held.find(|(_, assignment)| assignment.client == *client);
                Ok(Outcome::Found(found.map(|(aor, at)| (aor.clone(), *at))))
            }
            other => panic!("a balancer does not ask {other:?}"),
        }
    }

    fn collect(&mut self, current: Option<&[u8]>, index: &Index) -> Vec<Sent> {
        let text = std::mem::take(&mut self.out.text);
        let mut sent = Vec::new();
        for forward in self.out.forwards.drain(..) {
            let current = current.map(|bytes| index.message(bytes));
            let message = forward.message(current).expect("the message it is about");
            let mut written = Vec::new();
            let edits = forward.edits(&text);
            if forward.vias_removed > 0 {
                edits.write_response(&message, 0, &mut written);
            } else {
                edits.write(&message, &mut written);
            }
            sent.push(Sent::Server {
                server: forward.server,
                passage: Box::new(forward.passage),
                text: String::from_utf8_lossy(&written).into_owned(),
                vias_removed: forward.vias_removed,
            });
        }
        for to_phone in self.out.to_phones.drain(..) {
            sent.push(Sent::Phone {
                flow: to_phone.flow,
                text: String::from_utf8_lossy(&text[to_phone.head]).into_owned(),
                body: to_phone.body,
            });
        }
        sent
    }
}

impl Sent {
    /// The text of what went to a phone.
    pub(super) fn to_phone(&self) -> (&Flow, &str) {
        match self {
            Self::Phone { flow, text, .. } => (flow, text),
            Self::Server { .. } => panic!("not to a phone: {self:?}"),
        }
    }

    pub(super) fn to_server(&self) -> (MemberId, &Passage, &str) {
        match self {
            Self::Server {
                server,
                passage,
                text,
                ..
            } => (*server, passage, text),
            Self::Phone { .. } => panic!("not to a server: {self:?}"),
        }
    }

    /// The status of what went to a phone, 0 for anything else.
    pub(super) fn status(&self) -> u16 {
        let Self::Phone { text, .. } = self else {
            return 0;
        };
        let status = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3));
        status.map_or(0, |status| status.parse().unwrap())
    }
}

/// What a server says of a message that is not handed back.
pub(super) fn plain() -> Passage {
    Passage {
        kind: Kind::Forward,
        client: None,
        epoch: Epoch(0),
        flow: None,
        advertised: None,
    }
}
