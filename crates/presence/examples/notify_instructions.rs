//! Notifies 100 watchers of one resource as often as the first argument says, for counting
//! instructions: two runs under callgrind that collect inside `Server::handle_completion` differ,
//! for each round, by the cost of taking a document in and writing 100 NOTIFYs.
//!
//! ```sh
//! cargo build --release -p presently-presence --example notify_instructions
//! for n in 10 20; do
//!     valgrind --tool=callgrind --toggle-collect='*Server*handle_completion*' \
//!         target/release/examples/notify_instructions $n
//! done
//! ```

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use presently_pool::{
    ClientId, Epoch, FlowToken, Incarnation, Kind, MemberId, Membership, PackageName, Passage,
    ResourceId, Version, Wake,
};
use presently_presence::package::Packages;
use presently_presence::{Config, Outputs, Secrets, Server};
use presently_sip::{Aor, Edits, Flow, Framing, Index, Now};
use presently_store::{Activated, Completion, Document, Operation, Outcome};

fn main() {
    let rounds: u64 = std::env::args()
        .nth(1)
        .map_or(10, |text| text.parse().expect("a number"));
    let mut play = Play::new();
    for watcher in 1..=WATCHERS {
        play.subscribe(watcher);
        assert_eq!(play.answer_notifies(), 1);
    }
    for version in 1..=rounds {
        let wake = Wake {
            resource: Play::document(version).resource.clone(),
            version: Version(version),
        };
        play.server.handle_wake(&wake, &mut play.out);
        play.complete(version);
        assert_eq!(play.answer_notifies(), WATCHERS);
    }
    println!("{} NOTIFYs", play.server.counters().notifies_sent);
}

/// A server whose store always says what it should.
struct Play {
    server: Server,
    out: Outputs,
    index: Index,
    now: Now,
}

impl Play {
    fn new() -> Self {
        let me = Membership {
            member: MemberId(2),
            incarnation: Incarnation(2),
        };
        let secrets = Secrets {
            pool: [7; 16],
            seed: [8; 16],
        };
        let config = Config::new("s1", Arc::new(Packages::default()));
        let now = Now::default();
        Self {
            server: Server::new(now, me, config, &secrets),
            out: Outputs::default(),
            index: Index::default(),
            now,
        }
    }

    fn subscribe(&mut self, watcher: u64) {
        let text = format!(
            "SUBSCRIBE sip:alice@example.com SIP/2.0\r\n\
             Via: SIP/2.0/UDP 10.0.0.1:{watcher};branch=z9hG4bK{watcher}\r\n\
             From: <sip:w{watcher}@example.com>;tag={watcher}\r\n\
             To: <sip:alice@example.com>\r\n\
             Call-ID: call-of-watcher-{watcher}@10.0.0.1\r\n\
             CSeq: 1 SUBSCRIBE\r\n\
             Contact: <sip:w{watcher}@10.0.0.1:{watcher}>\r\n\
             Event: presence\r\n\
             Accept: application/pidf+xml\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let aor = Aor::parse(&format!("sip:w{watcher}@example.com")).expect("an address of record");
        let port = u16::try_from(watcher).expect("few watchers");
        let passage = Passage {
            kind: Kind::Forward,
            client: Some((ClientId(watcher), aor)),
            epoch: Epoch(1),
            flow: Some(FlowToken {
                balancer: MemberId(1),
                flow: Flow::udp(0, ([10, 0, 0, 1], port).into()),
            }),
            advertised: Some("127.0.0.1:5060".into()),
        };
        let read = self.index.read(text.as_bytes(), Framing::Datagram);
        let message = read.expect("the message is whole");
        let (edits, out) = (Edits::default(), &mut self.out);
        self.server
            .handle_request(self.now, &passage, &message, &edits, out);
        self.complete(0);
    }

    /// Does what was asked of the store until nothing is; documents are read at `version`.
    fn complete(&mut self, version: u64) {
        while !self.out.operations.is_empty() {
            for (ticket, operation) in std::mem::take(&mut self.out.operations) {
                let result = Ok(Self::outcome(&operation, version));
                let completion = Completion { ticket, result };
                let out = &mut self.out;
                self.server
                    .handle_completion(self.now, black_box(completion), out);
            }
        }
    }

    fn outcome(operation: &Operation, version: u64) -> Outcome {
        let document = Self::document(version);
        match operation {
            Operation::Activate { .. } => Outcome::Activated(Some(Box::new(Activated {
                client: ClientId(1),
                epoch: Epoch(1),
                activation: 1,
                told: 0,
                bindings: Vec::new(),
                publications: Vec::new(),
                documents: Vec::new(),
                subscriptions: Vec::new(),
                repeats: Vec::new(),
            }))),
            Operation::Commit { .. } => Outcome::Committed {
                written: Vec::new(),
                read: vec![document],
                released: false,
            },
            Operation::Documents { .. } => Outcome::Documents(vec![document]),
            _ => Outcome::Done,
        }
    }

    fn document(version: u64) -> Arc<Document> {
        Arc::new(Document {
            resource: ResourceId {
                aor: Aor::parse("sip:alice@example.com").expect("an address of record"),
                package: PackageName::new("presence"),
            },
            version: Version(version),
            content_type: "application/pidf+xml".into(),
            body: Bytes::from_static(BODY),
        })
    }

    /// Answers 200 to every NOTIFY written; how many there were.
    fn answer_notifies(&mut self) -> u64 {
        let messages = std::mem::take(&mut self.out.to_balancers);
        let text = std::mem::take(&mut self.out.text);
        let mut count = 0;
        for message in &messages {
            let head = text.get(message.head.clone()).unwrap_or_default();
            if !head.starts_with(b"NOTIFY ") {
                continue;
            }
            count += 1;
            let answer = answer(std::str::from_utf8(head).expect("a NOTIFY is text"));
            let read = self.index.read(answer.as_bytes(), Framing::Datagram);
            let message = read.expect("the answer is whole");
            let out = &mut self.out;
            self.server.handle_response(self.now, &message, 0, out);
        }
        count
    }
}

fn answer(notify: &str) -> String {
    let echoed = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let lines = notify.lines();
    let lines = lines.filter(|line| echoed.iter().any(|name| line.starts_with(name)));
    let lines: Vec<&str> = lines.collect();
    format!(
        "SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n",
        lines.join("\r\n")
    )
}

const WATCHERS: u64 = 100;
const BODY: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.com\">\n\
    <tuple id=\"t1\"><status><basic>open</basic></status></tuple></presence>\n";
