//! What the tests stand on: a pool in the simulated world, and phones that are a text each.
//!
//! A phone here does nothing of itself but answer a NOTIFY with 200, and not even that when told
//! so.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use presently_sip::{Moment, Protocol};
use presently_tests::world::{Arrangement, World};

use crate::text::{Text, response};

/// How a phone answers a NOTIFY.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Not at all.
    Silence,
    /// With this status line's end, and these lines.
    With(&'static str, &'static [&'static str]),
}

/// A pool and what its phones have heard.
pub(crate) struct Play {
    pub(crate) world: World,
    /// Everything heard, in order of arrival.
    pub(crate) heard: Vec<(Moment, SocketAddr, Text)>,
    replies: BTreeMap<SocketAddr, Reply>,
    phones: u16,
}

/// A phone: where it is, and the dialog or series of requests it is at.
#[derive(Clone, Debug)]
pub(crate) struct Phone {
    pub(crate) user: String,
    pub(crate) at: SocketAddr,
    pub(crate) protocol: Protocol,
    pub(crate) call_id: String,
    pub(crate) tag: String,
    pub(crate) to_tag: Option<String>,
    pub(crate) cseq: u32,
}

/// Runs `test` on a pool whose balancer and servers share a host, then on one of a host each. What
/// left the pool must have been whole, and CSeq in order, in both.
pub(crate) fn in_each(test: impl Fn(&mut Play)) {
    for arrangement in [Arrangement::Together, Arrangement::Apart] {
        println!("{arrangement:?}");
        let mut play = Play::new(arrangement);
        test(&mut play);
        assert_eq!(play.world.ledger.broken, Vec::<String>::new());
    }
}

impl Play {
    pub(crate) fn new(arrangement: Arrangement) -> Self {
        let mut world = World::new(7, 3, arrangement);
        world.network.phone_delay = Some(Duration::from_millis(1));
        Self {
            world,
            heard: Vec::new(),
            replies: BTreeMap::new(),
            phones: 0,
        }
    }

    /// A phone of `user` at an address of its own.
    pub(crate) fn phone(&mut self, user: &str) -> Phone {
        self.phones += 1;
        Phone {
            user: user.to_owned(),
            at: SocketAddr::from(([192, 0, 2, 1], 5060 + self.phones)),
            protocol: Protocol::Udp,
            call_id: format!("call-{}", self.phones),
            tag: format!("tag-{}", self.phones),
            to_tag: None,
            cseq: 0,
        }
    }

    /// As [`Play::phone`], over a connection.
    pub(crate) fn stream_phone(&mut self, user: &str) -> Phone {
        Phone {
            protocol: Protocol::Tcp,
            ..self.phone(user)
        }
    }

    /// From now on `phone` answers NOTIFYs so.
    pub(crate) fn replies(&mut self, phone: &Phone, reply: Reply) {
        self.replies.insert(phone.at, reply);
    }

    /// Sends `text` from where `phone` is.
    pub(crate) fn send(&mut self, phone: &Phone, text: &str) {
        self.world
            .raw_send(phone.at, phone.protocol, text.as_bytes());
    }

    /// Sends `request` and gives its final answer.
    pub(crate) fn ask(&mut self, phone: &Phone, request: &str) -> Text {
        let known = self.heard.len();
        self.send(phone, request);
        let text = Text(request.to_owned());
        let is_it = |heard: &Text| {
            heard.status().is_some_and(|status| status >= 200)
                && heard.header("CSeq") == text.header("CSeq")
                && heard.header("Call-ID") == text.header("Call-ID")
        };
        for _ in 0..ROUNDS_MAX {
            self.run(Duration::from_millis(5));
            let new = self.heard.iter().skip(known);
            if let Some((.., answer)) = new.clone().find(|(_, _, heard)| is_it(heard)) {
                return answer.clone();
            }
        }
        panic!("no answer to {request}\nheard {:?}", self.answers(phone));
    }

    /// The status of the final answer to `request`.
    pub(crate) fn status(&mut self, phone: &Phone, request: &str) -> u16 {
        let answer = self.ask(phone, request);
        answer.status().expect("an answer")
    }

    /// Lets time pass; phones answer NOTIFYs as they come.
    pub(crate) fn run(&mut self, span: Duration) {
        let until = self.world.now().moment.after(span);
        loop {
            let left = until.since(self.world.now().moment);
            if !self.world.run_until(left, World::has_heard) {
                break;
            }
            for heard in self.world.take_heard() {
                let text = Text(heard.text);
                self.reply(heard.to, &text);
                self.heard.push((heard.at, heard.to, text));
            }
        }
        let left = until.since(self.world.now().moment);
        self.world.run_for(left);
    }

    /// Lets everything under way arrive.
    pub(crate) fn settle(&mut self) {
        self.run(Duration::from_millis(100));
    }

    /// The NOTIFYs that reached `phone`, in order; a repeat counts again.
    pub(crate) fn notifies(&self, phone: &Phone) -> Vec<Text> {
        let all = self.timed_notifies(phone).into_iter();
        all.map(|(_, text)| text).collect()
    }

    /// As [`Play::notifies`], with the time of arrival.
    pub(crate) fn timed_notifies(&self, phone: &Phone) -> Vec<(Moment, Text)> {
        let at_phone = self.heard.iter().filter(|(_, to, _)| *to == phone.at);
        let is_one = |text: &Text| {
            text.is_request("NOTIFY") && text.header("Call-ID") == Some(&*phone.call_id)
        };
        at_phone
            .filter(|(_, _, text)| is_one(text))
            .map(|(at, _, text)| (*at, text.clone()))
            .collect()
    }

    /// The answers that reached `phone`.
    pub(crate) fn answers(&self, phone: &Phone) -> Vec<Text> {
        let at_phone = self.heard.iter().filter(|(_, to, _)| *to == phone.at);
        let texts = at_phone.map(|(_, _, text)| text.clone());
        texts.filter(|text| text.status().is_some()).collect()
    }

    /// Requests of `method` that reached `phone`.
    pub(crate) fn requests(&self, phone: &Phone, method: &str) -> Vec<Text> {
        let at_phone = self.heard.iter().filter(|(_, to, _)| *to == phone.at);
        let texts = at_phone.map(|(_, _, text)| text.clone());
        texts.filter(|text| text.is_request(method)).collect()
    }

    /// Registers `phone` and says nothing more.
    pub(crate) fn register(&mut self, phone: &mut Phone) {
        let contact = phone.contact();
        let text = phone.register(&[&contact]);
        assert_eq!(self.status(phone, &text), 200);
    }

    /// Subscribes `phone` to `target`'s presence: its dialog is in `phone`, its first NOTIFY has
    /// come.
    pub(crate) fn watch(&mut self, phone: &mut Phone, target: &str) -> Text {
        let text = phone.subscribe(target, &[]);
        let answer = self.ask(phone, &text);
        assert_eq!(answer.status(), Some(200), "{answer:?}");
        phone.to_tag = answer.tag("To").map(str::to_owned);
        self.settle();
        answer
    }

    /// Publishes `note` for `phone`'s user and gives the entity-tag.
    pub(crate) fn publish(&mut self, phone: &mut Phone, note: &str) -> String {
        let text = phone.publish(&[], &pidf(&phone.user, note));
        let answer = self.ask(phone, &text);
        assert_eq!(answer.status(), Some(200), "{answer:?}");
        answer.header("SIP-ETag").expect("a tag").to_owned()
    }

    fn reply(&mut self, at: SocketAddr, text: &Text) {
        let is_answerable = text.is_request("NOTIFY") || text.is_request("MESSAGE");
        let reply = self.replies.get(&at).cloned();
        if let (true, Reply::With(status, lines)) = (is_answerable, reply.unwrap_or_default()) {
            let protocol = match text.header("Via") {
                Some(via) if via.contains("/TCP") => Protocol::Tcp,
                _ => Protocol::Udp,
            };
            let answer = response(text, status, lines);
            self.world.raw_send(at, protocol, answer.as_bytes());
        }
    }
}

impl Default for Reply {
    fn default() -> Self {
        Self::With("200 OK", &[])
    }
}

impl Phone {
    /// The next request of this phone, with the given lines instead of or beside the usual; a line
    /// that ends in `: -` takes that header out.
    pub(crate) fn request(
        &mut self,
        method: &str,
        uri: &str,
        lines: &[&str],
        body: &str,
    ) -> String {
        self.cseq += 1;
        let Self {
            user,
            at,
            tag,
            cseq,
            call_id,
            ..
        } = self;
        let to_tag = self
            .to_tag
            .as_ref()
            .map_or(String::new(), |tag| format!(";tag={tag}"));
        let to = match method {
            "SUBSCRIBE" | "MESSAGE" => uri.to_owned(),
            _ => format!("sip:{user}@example.com"),
        };
        let token = self.protocol.token();
        let usual = [
            format!("Via: SIP/2.0/{token} {at};branch=z9hG4bK-{call_id}-{cseq};rport"),
            "Max-Forwards: 70".to_owned(),
            format!("From: <sip:{user}@example.com>;tag={tag}"),
            format!("To: <{to}>{to_tag}"),
            format!("Call-ID: {call_id}"),
            format!("CSeq: {cseq} {method}"),
        ];
        let name = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
        let is_kept = |line: &&String| !lines.iter().any(|other| name(other) == name(line));
        let mut text = format!("{method} {uri} SIP/2.0\r\n");
        let written = lines.iter().filter(|line| !line.ends_with(": -"));
        for line in usual
            .iter()
            .filter(is_kept)
            .map(String::as_str)
            .chain(written.copied())
        {
            text.push_str(line);
            text.push_str("\r\n");
        }
        if !lines.iter().any(|line| name(line) == "Content-Length") {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text + "\r\n" + body
    }

    pub(crate) fn contact(&self) -> String {
        format!("Contact: <sip:{}@{}>", self.user, self.at)
    }

    pub(crate) fn register(&mut self, lines: &[&str]) -> String {
        self.request("REGISTER", "sip:example.com", lines, "")
    }

    /// A SUBSCRIBE to `target`'s presence; in the dialog once there is one.
    pub(crate) fn subscribe(&mut self, target: &str, lines: &[&str]) -> String {
        let contact = self.contact();
        let mut all = vec!["Event: presence", contact.as_str()];
        all.retain(|line| {
            let name = line.split(':').next().unwrap_or_default();
            !lines
                .iter()
                .any(|other| other.starts_with(&format!("{name}:")))
        });
        all.extend(lines);
        self.request("SUBSCRIBE", &format!("sip:{target}@example.com"), &all, "")
    }

    /// A PUBLISH about its own user; without a type when there is no body.
    pub(crate) fn publish(&mut self, lines: &[&str], body: &str) -> String {
        let mut all = vec!["Event: presence"];
        if !body.is_empty() {
            all.push("Content-Type: application/pidf+xml");
        }
        all.retain(|line| {
            let name = line.split(':').next().unwrap_or_default();
            !lines
                .iter()
                .any(|other| other.starts_with(&format!("{name}:")))
        });
        all.extend(lines);
        let uri = format!("sip:{}@example.com", self.user);
        self.request("PUBLISH", &uri, &all, body)
    }
}

/// A document: open, with a note.
pub(crate) fn pidf(user: &str, note: &str) -> String {
    pidf_of(user, "open", note)
}

pub(crate) fn pidf_of(user: &str, basic: &str, note: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:{user}@example.com\">\
         <tuple id=\"t1\"><status><basic>{basic}</basic></status><note>{note}</note></tuple>\
         </presence>\r\n"
    )
}

pub(crate) fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// An answer comes within this many rounds of 5 ms, or not at all.
const ROUNDS_MAX: usize = 200;
