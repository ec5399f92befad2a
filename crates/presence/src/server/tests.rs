//! Goal: what a server says and counts when its store or its room fails it, and that a late copy
//! makes nothing again at another. Method: servers alone, and a store that is a list of rows.

use std::time::Duration;

use presently_pool::{FlowToken, Incarnation};
use presently_sip::{EntityTag, Flow, Framing, Index, WallTime};
use presently_store::{Activated, Change, Outcome, Publication, Refused, Repeat, Subscription};

use super::*;
use crate::package::Packages;

/// A server, and what the store holds of its one client.
struct Play {
    server: Server,
    out: Outputs,
    now: Now,
    rows: Rows,
    /// The store can do nothing.
    is_down: bool,
    /// Where requests come from.
    source: [u8; 4],
}

/// What outlives a server.
#[derive(Clone, Default)]
struct Rows {
    publications: Vec<Publication>,
    repeats: Vec<Repeat>,
    bindings: Vec<presently_store::Binding>,
    subscriptions: Vec<(Subscription, Version)>,
    /// How far the store's counter is beyond the epochs. Whatever is read, there are no documents.
    counted: u64,
}

impl Play {
    fn new(member: u32, rows: Rows) -> Self {
        let me = Membership {
            member: MemberId(member),
            incarnation: Incarnation(2),
        };
        let secrets = Secrets {
            pool: [7; 16],
            seed: [8; 16],
        };
        let now = Now {
            moment: Moment(1_000_000),
            wall: WallTime(1_795_219_200_000_000),
        };
        let config = Config::new("s1", Arc::new(Packages::default()));
        Self {
            server: Server::new(now, me, config, &secrets),
            out: Outputs::default(),
            now,
            rows,
            is_down: false,
            source: [192, 0, 2, 1],
        }
    }

    /// A server that asks phones which say nothing for a minute.
    fn asking(member: u32, rows: Rows) -> Self {
        let mut play = Self::new(member, rows);
        play.server.config.ask_after = Duration::from_mins(1);
        play
    }

    /// Takes a request of Alice's; gives what is answered at once.
    fn ask(&mut self, text: &str) -> Vec<String> {
        self.arrive(text);
        self.complete();
        self.take()
    }

    /// Takes a request of Alice's, and leaves what it asks of the store.
    fn arrive(&mut self, text: &str) {
        let passage = Passage {
            kind: Kind::Forward,
            client: Some((ClientId(1), Aor::parse("sip:alice@example.test").unwrap())),
            epoch: Epoch(1),
            flow: Some(FlowToken {
                balancer: MemberId(1),
                flow: Flow::udp(0, (self.source, 5060).into()),
            }),
            advertised: Some("192.0.2.9".into()),
        };
        let mut index = Index::default();
        let message = index.read(text.as_bytes(), Framing::Datagram).unwrap();
        self.server.handle_request(
            self.now,
            &passage,
            &message,
            &Edits::default(),
            &mut self.out,
        );
    }

    /// The phone answers a NOTIFY.
    fn answer(&mut self, notify: &str) {
        let (_, head) = notify.split_once("\r\n").unwrap();
        let text = format!("SIP/2.0 200 OK\r\n{head}");
        let mut index = Index::default();
        let message = index.read(text.as_bytes(), Framing::Datagram).unwrap();
        self.server
            .handle_response(self.now, &message, 0, &mut self.out);
    }

    fn complete(&mut self) {
        while !self.out.operations.is_empty() {
            self.complete_some();
        }
    }

    fn complete_some(&mut self) {
        for (ticket, operation) in std::mem::take(&mut self.out.operations) {
            let result = if self.is_down {
                Err(Refused::Unavailable)
            } else {
                Ok(self.rows.take(operation))
            };
            let completion = Completion { ticket, result };
            self.server
                .handle_completion(self.now, completion, &mut self.out);
        }
    }

    fn take(&mut self) -> Vec<String> {
        let messages = self.out.to_balancers.drain(..);
        let texts =
            messages.map(|one| String::from_utf8_lossy(&self.out.text[one.head]).into_owned());
        let texts = texts.collect();
        self.out.text.clear();
        texts
    }

    fn pass(&mut self, span: Duration) {
        let until = self.now.moment.after(span);
        while let Some(due) = self.server.poll_timeout().filter(|due| *due <= until) {
            self.go_to(due.max(self.now.moment));
            self.server.handle_timeout(self.now, &mut self.out);
            self.complete();
        }
        self.go_to(until);
    }

    fn go_to(&mut self, moment: Moment) {
        self.now.wall = self.now.wall.after(moment.since(self.now.moment));
        self.now.moment = moment;
    }
}

impl Rows {
    fn tags(&self) -> Vec<EntityTag> {
        let rows = self.publications.iter();
        rows.map(|row| row.tag.clone()).collect()
    }

    fn take(&mut self, operation: Operation) -> Outcome {
        match operation {
            Operation::Activate { .. } => Outcome::Activated(Some(Box::new(Activated {
                client: ClientId(1),
                epoch: Epoch(1),
                activation: 1,
                told: 0,
                bindings: self.bindings.clone(),
                publications: self.publications.clone(),
                documents: Vec::new(),
                subscriptions: self.subscriptions.clone(),
                repeats: self.repeats.clone(),
            }))),
            Operation::Commit { changes, .. } => self.commit(changes),
            Operation::Documents { resources } => {
                let nothing = |resource| Arc::new(Document::nothing(resource, 1 + self.counted));
                Outcome::Documents(resources.into_iter().map(nothing).collect())
            }
            _ => Outcome::Done,
        }
    }

    fn commit(&mut self, changes: Vec<Change>) -> Outcome {
        let (mut written, mut read) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::PutBinding(row) => {
                    self.bindings.retain(|held| held.key != row.key);
                    self.bindings.push(row);
                }
                Change::RemoveBinding { key, tombstone } => {
                    self.bindings.retain(|row| row.key != key);
                    self.repeats.extend(tombstone.map(|(repeat, _)| repeat));
                }
                Change::PutSubscription(row) => self.subscriptions.push((*row, Version(0))),
                Change::PutPublication {
                    publication,
                    replaces,
                } => {
                    self.publications
                        .retain(|row| Some(&row.tag) != replaces.as_ref());
                    self.publications.push(publication);
                }
                Change::RemovePublication { tag, tombstone, .. } => {
                    self.publications.retain(|row| row.tag != tag);
                    self.repeats.extend(tombstone.map(|(repeat, _)| repeat));
                }
                Change::Remember { repeat, .. } => self.repeats.push(repeat),
                Change::WriteDocument { resource, .. } => written.push(presently_store::Written {
                    resource,
                    version: Version(1),
                    servers: Vec::new(),
                }),
                Change::ReadDocument(resource) => {
                    read.push(Arc::new(Document::nothing(resource, 1 + self.counted)));
                }
                Change::RemoveSubscription { key, tombstone } => {
                    self.subscriptions.retain(|(row, _)| row.key() != key);
                    self.repeats.extend(tombstone.map(|(repeat, _)| repeat));
                }
            }
        }
        Outcome::Committed {
            written,
            read,
            released: false,
        }
    }
}

fn request(method: &str, number: usize, more: &str, body: &str) -> String {
    format!(
        "{method} sip:alice@example.test SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{method}{number}\r\n\
         From: <sip:alice@example.test>;tag={number}\r\n\
         To: <sip:alice@example.test>\r\n\
         Call-ID: {method}-{number}\r\n\
         CSeq: {number} {method}\r\n\
         {more}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn fetch(number: usize) -> String {
    let more = "Contact: <sip:alice@192.0.2.1>\r\nEvent: presence\r\nExpires: 0\r\n";
    let text = request("SUBSCRIBE", number, more, "");
    text.replacen("sip:alice", &format!("sip:presentity{number}"), 1)
}

fn register(number: usize, expires_secs: u32) -> String {
    let contact = format!("Contact: <sip:alice@192.0.2.1>;expires={expires_secs}\r\n");
    let text = request("REGISTER", number, &contact, "");
    text.replace(&format!("REGISTER-{number}\r"), "REGISTER\r")
}

fn publish(number: usize, tag: Option<&str>, expires_secs: u32, note: &str) -> String {
    let if_match = tag.map_or(String::new(), |tag| format!("SIP-If-Match: {tag}\r\n"));
    let more = format!(
        "{if_match}Event: presence\r\nExpires: {expires_secs}\r\n\
         Content-Type: application/pidf+xml\r\n"
    );
    let body = format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.test\">\
         <note>{note}</note></presence>"
    );
    request(
        "PUBLISH",
        number,
        &more,
        if note.is_empty() { "" } else { &body },
    )
}

fn tag(answer: &str) -> &str {
    let rest = answer.split("SIP-ETag: ").nth(1).expect("an entity-tag");
    rest.lines().next().unwrap()
}

/// Whoever fetches and never answers fills no memory.
// RFC 6665 §4.4.3
#[test]
fn fetches_that_are_not_answered_are_bounded() {
    let mut play = Play::new(2, Rows::default());
    let first = play.ask(&fetch(0)).remove(1);
    for number in 1..10_000 {
        if number % 1_000 == 0 {
            let said = play.ask(&fetch(number)).concat();
            assert!(said.starts_with("SIP/2.0 503 "), "one source: {said}");
            play.source[3] += 1;
        }
        assert_eq!(play.ask(&fetch(number)).len(), 2, "200 and NOTIFY");
    }
    play.source[3] += 1;
    let refused = play.server.counters().requests_refused;
    let said = play.ask(&fetch(10_000)).concat();
    assert!(said.starts_with("SIP/2.0 503 "), "{said}");
    assert!(said.contains("\r\nRetry-After: "), "{said}");
    assert_eq!(play.server.counters().requests_refused, refused + 1);
    play.answer(&first);
    assert_eq!(play.ask(&fetch(10_001)).len(), 2);
}

/// A subscription stands still while its row is written; what it learns meanwhile is told then,
/// also when the row could not be written.
#[test]
fn what_is_learnt_while_a_refresh_is_refused_is_told() {
    let mut play = Play::new(2, Rows::default());
    let subscribe = fetch(1).replace("Expires: 0", "Expires: 600");
    let notify = play.ask(&subscribe).remove(1);
    play.answer(&notify);
    let tag = notify.split("From: ").nth(1).unwrap();
    let tag = tag.split(";tag=").nth(1).unwrap().lines().next().unwrap();
    let refresh = subscribe
        .replace("CSeq: 1 ", "CSeq: 2 ")
        .replace("SUBSCRIBE1\r", "SUBSCRIBE2\r")
        .replace("test>\r\nCall", &format!("test>;tag={tag}\r\nCall"));
    play.arrive(&refresh);
    let writing = std::mem::take(&mut play.out.operations);
    let resource = play.rows.subscriptions[0].0.resource.clone();
    let document = Arc::new(Document {
        resource: resource.clone(),
        version: Version(5),
        content_type: "application/pidf+xml".into(),
        body: bytes::Bytes::from_static(b"<presence/>"),
    });
    play.server.handle_wake(
        &Wake {
            resource,
            version: Version(5),
        },
        &mut play.out,
    );
    for (ticket, _) in std::mem::take(&mut play.out.operations) {
        let result = Ok(Outcome::Documents(vec![Arc::clone(&document)]));
        play.server
            .handle_completion(play.now, Completion { ticket, result }, &mut play.out);
    }
    assert_eq!(play.take(), Vec::<String>::new());
    for (ticket, _) in writing {
        let result = Err(Refused::Unavailable);
        play.server
            .handle_completion(play.now, Completion { ticket, result }, &mut play.out);
    }
    let said = play.take().concat();
    assert!(
        said.starts_with("NOTIFY ") && said.contains("CSeq: 3 "),
        "{said}"
    );
}

/// What an activation finds told is not read before it changes.
// RFC 6665 §4.4.1
#[test]
fn a_subscription_that_was_told_elsewhere_gets_its_last_notify() {
    let mut play = Play::new(2, Rows::default());
    play.ask(&fetch(1).replace("Expires: 0", "Expires: 600"));
    for (row, _) in &mut play.rows.subscriptions {
        row.owed = false;
    }
    let mut other = Play::new(3, play.rows);
    assert_eq!(
        other.ask(&register(1, 3600)).len(),
        1,
        "nothing is told again"
    );
    other.pass(Duration::from_secs(599));
    assert_eq!(other.take(), Vec::<String>::new());
    other.pass(Duration::from_secs(2));
    let said = other.take().concat();
    assert!(said.contains("terminated;reason=timeout"), "{said}");
}

/// Whoever speaks is there, also while his server does not know yet that it is his.
// C21
#[test]
fn a_request_that_activates_its_client_shows_a_hidden_phone() {
    let mut play = Play::asking(2, Rows::default());
    play.ask(&register(1, 3600));
    for row in &mut play.rows.bindings {
        row.is_silent = true;
    }
    for is_down in [false, true] {
        let mut other = Play::asking(3, play.rows.clone());
        other.is_down = is_down;
        let mut said = other.ask(&fetch(1));
        other.is_down = false;
        other.pass(Duration::from_millis(300));
        said.extend(other.take());
        assert_eq!(said.len(), 2, "200 and NOTIFY: {said:?}");
        let marks: Vec<_> = other
            .rows
            .bindings
            .iter()
            .map(|row| row.is_silent)
            .collect();
        assert_eq!(marks, [false], "{is_down}");
        assert_eq!(other.server.counters().phones_asked, 0);
    }
}

/// A wake that the network kept until its document was gone.
#[test]
fn a_wake_for_what_is_gone_is_read_once() {
    let mut play = Play::new(2, Rows::default());
    play.ask(&fetch(1).replace("Expires: 0", "Expires: 600"));
    let (row, _) = &play.rows.subscriptions[0];
    let resource = row.resource.clone();
    play.rows.counted = 9;
    let mut hear = |version| {
        let version = Version(version);
        let resource = resource.clone();
        let before = play.server.counters().documents_read;
        play.server
            .handle_wake(&Wake { resource, version }, &mut play.out);
        // One that is not done with it asks again at once.
        for _ in 0..3 {
            play.complete_some();
        }
        assert!(play.out.operations.is_empty());
        play.server.counters().documents_read - before
    };
    assert_eq!(hear(5), 1);
    assert_eq!([hear(5), hear(6)], [0, 0]);
    assert_eq!(play.take(), Vec::<String>::new(), "told already");
}

#[test]
fn a_request_that_waits_is_counted_once() {
    let mut play = Play::new(2, Rows::default());
    play.ask(&register(1, 3600));
    assert_eq!(play.server.counters().requests_held, 0);
    play.is_down = true;
    play.ask(&register(2, 3600));
    play.ask(&publish(1, None, 600, "here"));
    play.pass(Duration::from_secs(2));
    assert_eq!(play.server.counters().requests_held, 2);
    play.is_down = false;
    play.pass(Duration::from_secs(1));
    assert_eq!(play.take().len(), 2);
    assert_eq!(play.server.counters().requests_held, 2);
}

/// What a phone does after its first PUBLISH.
#[derive(Clone, Copy, Debug)]
enum Next {
    LogOff,
    Modify,
    Refresh,
    Remove,
}

/// The network keeps a copy of the first PUBLISH until another server has the client.
// RFC 3903 §6
#[test]
fn a_late_copy_of_a_publish_makes_nothing_again_at_another_server() {
    for next in [Next::LogOff, Next::Modify, Next::Refresh, Next::Remove] {
        let mut play = Play::new(2, Rows::default());
        play.ask(&register(1, 3600));
        let first = publish(1, None, 600, "here");
        let answer = play.ask(&first).concat();
        let tag = tag(&answer);
        let said = play.ask(&match next {
            Next::LogOff => register(2, 0),
            Next::Modify => publish(2, Some(tag), 600, "there"),
            Next::Refresh => publish(2, Some(tag), 600, ""),
            Next::Remove => publish(2, Some(tag), 0, ""),
        });
        assert!(
            said.concat().starts_with("SIP/2.0 200 "),
            "{next:?} {said:?}"
        );
        let left = play.rows.tags();
        let is_kept = matches!(next, Next::Modify | Next::Refresh);
        assert_eq!(left.len(), usize::from(is_kept), "{next:?}");
        let mut other = Play::new(3, play.rows);
        other.now = play.now;
        let said = other.ask(&first).concat();
        assert!(
            said.contains(&format!("\r\nSIP-ETag: {tag}\r\n")),
            "{next:?}: {said}"
        );
        assert_eq!(other.rows.tags(), left, "{next:?}");
    }
}

/// A phone that refreshes in time costs no tombstone.
#[test]
fn a_publish_that_no_copy_of_can_come_leaves_nothing_when_it_is_replaced() {
    let mut play = Play::new(2, Rows::default());
    let answer = play.ask(&publish(1, None, 600, "here")).concat();
    play.pass(Duration::from_secs(33));
    play.ask(&publish(2, Some(tag(&answer)), 600, "there"));
    assert!(play.rows.repeats.is_empty());
}
