//! What was seen on the wire, for the laws to be checked against.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use presently_pool::{Epoch, MemberId, Membership};
use presently_sip::{
    Aor, Framing, Index, MacKey, Message, Method, Moment, Name, Start, Via, request_key,
};

use super::journal::Journal;
use super::wakes::Wakes;

/// Everything worth remembering of a run.
#[derive(Debug, Default)]
pub struct Ledger {
    /// NOTIFYs that left the pool, by dialog (Call-ID and our tag).
    pub notifies: BTreeMap<(String, String), Vec<Sent>>,
    /// Laws found broken, with what shows it.
    pub broken: Vec<String>,
    /// Final answers that left the pool, by method and status.
    pub answers: BTreeMap<(String, u16), u64>,
    /// Requests and answers between balancer and servers of different hosts, in order.
    pub links: Vec<Linked>,
    /// Everything that left the pool for phones, if it is to be kept.
    pub kept: Option<Vec<Bytes>>,
    /// What went out of band.
    pub wakes: Wakes,
    /// Dialogs that went on under a new epoch: the first NOTIFY of each.
    pub taken_up: u64,
    /// Those of them that said what the watcher had already, though nobody had asked.
    pub repeated: u64,
    /// What each NOTIFY looked like when it left the pool first, by each way.
    looks: BTreeMap<(String, String, u32, Option<MemberId>), u64>,
    /// The servers' names, as their Via shows them.
    pub(super) names: BTreeMap<String, MemberId>,
    pub(super) journal: Journal,
    pub(super) key: Option<MacKey>,
    /// Requests that ask or take something back: they may be answered without a write.
    removals: BTreeSet<[u8; 16]>,
    answered: BTreeSet<[u8; 16]>,
    /// Exchanges (Call-ID and CSeq) that were answered over a link.
    relayed: BTreeSet<(String, u32)>,
    index: Index,
}

/// One NOTIFY, the first time its CSeq was seen.
#[derive(Debug)]
pub struct Sent {
    /// When.
    pub at: Moment,
    /// By which server.
    pub by: MemberId,
    /// To whom.
    pub watcher: Aor,
    /// Under which of the watcher's epochs.
    pub epoch: Epoch,
    /// Its number.
    pub cseq: u32,
    /// Whether the phone's final answer reached the pool.
    pub is_answered: bool,
    /// How often it was sent.
    pub times: u32,
    /// What it said.
    pub body: Bytes,
}

/// One message over a link between two members.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Linked {
    /// From whom.
    pub from: MemberId,
    /// To whom.
    pub to: MemberId,
    /// The method; of a response that of its CSeq.
    pub method: String,
    /// The status of a response.
    pub status: Option<u16>,
}

impl Ledger {
    /// An empty one beside what the store commits.
    #[must_use]
    pub fn new(journal: Journal) -> Self {
        Self {
            journal,
            ..Self::default()
        }
    }

    /// How many NOTIFYs left the pool, repeats not counted.
    #[must_use]
    pub fn notified(&self) -> usize {
        self.notifies.values().map(Vec::len).sum()
    }

    /// Notes a message that left the pool from a process with these lives, and checks what can be
    /// checked at once: laws 1, 3 and 5.
    pub fn sent_to_phone(&mut self, now: Moment, lives: &[Membership], bytes: &[u8]) {
        if let Some(kept) = &mut self.kept {
            kept.push(Bytes::copy_from_slice(bytes));
        }
        let mut index = std::mem::take(&mut self.index);
        match index.read(bytes, Framing::Datagram) {
            Ok(message) => self.check_message(now, lives, &message, bytes),
            Err(_) => self.broken.push(format!("unreadable: {}", text(bytes))),
        }
        self.index = index;
    }

    /// Notes a message that reached the pool: answers to NOTIFYs, and what is taken back.
    pub fn hear_phone(&mut self, bytes: &[u8]) {
        let mut index = std::mem::take(&mut self.index);
        if let Ok(message) = index.read(bytes, Framing::Datagram) {
            match message.start() {
                Start::Request { .. } if may_write_nothing(&message) => {
                    let key = self.key.as_ref();
                    let request = key.and_then(|key| request_key(&message, key));
                    self.removals.extend(request);
                }
                Start::Response { status: 200.., .. } => self.hear_answer(&message),
                _ => {}
            }
        }
        self.index = index;
    }

    /// Notes a message over a link. No two servers speak SIP with each other (R10), and what a
    /// server says in a client's name is checked where it says it.
    pub fn sent_over_link(&mut self, now: Moment, from: Membership, to: MemberId, bytes: &[u8]) {
        let is_server = |member| self.names.values().any(|server| *server == member);
        let by_server = is_server(from.member);
        if by_server && is_server(to) {
            self.broken.push(format!("{from:?} sent SIP to {to:?}"));
        }
        let mut index = std::mem::take(&mut self.index);
        if let Ok(message) = index.read(bytes, Framing::Stream) {
            let method = message.cseq().map_or("", |cseq| cseq.method).to_owned();
            let status = match message.start() {
                Start::Request { .. } => None,
                Start::Response { status, .. } => Some(status),
            };
            match status {
                None if by_server && method == "NOTIFY" => self.hear_notify(now, from, &message),
                Some(200..) if by_server => {
                    self.check_alive(from, &method);
                    self.relayed.extend(exchange_of(&message));
                }
                _ => {}
            }
            let linked = Linked {
                from: from.member,
                to,
                method,
                status,
            };
            self.links.push(linked);
        }
        self.index = index;
    }

    /// Notes an out-of-band datagram, and checks law 6.
    pub fn sent_out_of_band(&mut self, now: Moment, bytes: &[u8]) {
        let key = self.key.as_ref().expect("a member has joined");
        let broken = &mut self.broken;
        self.wakes.note(now, bytes, key, &self.journal, broken);
    }

    fn check_message(
        &mut self,
        now: Moment,
        lives: &[Membership],
        message: &Message<'_>,
        bytes: &[u8],
    ) {
        if message.header(Name::Presently).is_some() {
            self.broken
                .push("the pool link's header left the pool".to_owned());
        }
        match message.start() {
            Start::Response { status, .. } => {
                self.check_answer(message, status);
                self.check_spoken_here(lives, message, status);
            }
            Start::Request { method, .. } => {
                if let Some(defect) = message.defect() {
                    self.broken.push(format!("{defect}: {}", text(bytes)));
                }
                if method == Method::Notify {
                    self.check_looks(message, lives, bytes);
                    let by = self.server_of(message);
                    let life = lives.iter().find(|life| Some(life.member) == by);
                    if let Some(life) = life {
                        self.hear_notify(now, *life, message);
                    }
                }
            }
        }
    }

    /// Law 3: what a 200 confirms is in the store when it leaves.
    fn check_answer(&mut self, message: &Message<'_>, status: u16) {
        let method = message.cseq().map_or("", |cseq| cseq.method);
        if status >= 200 {
            let key = (method.to_owned(), status);
            *self.answers.entry(key).or_default() += 1;
        }
        if status != 200 || !matches!(method, "PUBLISH" | "REGISTER" | "SUBSCRIBE") {
            return;
        }
        let key = self.key.as_ref().expect("a member has joined");
        let Some(request) = request_key(message, key) else {
            self.broken.push("an answer without its parts".to_owned());
            return;
        };
        if !self.answered.insert(request) || self.journal.entries().requests.contains(&request) {
            return;
        }
        // Where there was nothing to take back, nothing is written.
        if !self.removals.contains(&request) {
            let tag = message.text(Name::SipEtag).unwrap_or_default();
            self.broken.push(format!(
                "law 3: 200 to {method} {tag} of {} before its commit",
                message.call_id().unwrap_or_default()
            ));
        }
    }

    /// Law 1: a process whose servers' lives have all ended confirms nothing.
    fn check_spoken_here(&mut self, lives: &[Membership], message: &Message<'_>, status: u16) {
        let method = message.cseq().map_or("", |cseq| cseq.method);
        let confirms = status == 200 && matches!(method, "PUBLISH" | "REGISTER" | "SUBSCRIBE");
        let is_server = |life: &&Membership| self.names.values().any(|one| *one == life.member);
        let mut servers = lives.iter().filter(is_server).peekable();
        let ended = &self.journal.entries().ended;
        // Its balancer may pass on what another's server says.
        let is_relayed = exchange_of(message).is_some_and(|one| self.relayed.contains(&one));
        let confirms = confirms && !is_relayed;
        if confirms && servers.peek().is_some() && servers.all(|life| ended.contains_key(life)) {
            self.broken
                .push(format!("law 1: {lives:?} answered {method} after its end"));
        }
    }

    /// Law 1: who has ended says nothing more in a client's name.
    fn check_alive(&mut self, life: Membership, method: &str) {
        if self.journal.entries().ended.contains_key(&life) {
            self.broken
                .push(format!("law 1: {life:?} said {method} after its end"));
        }
    }

    /// Law 5: a NOTIFY that is sent again by the same way is the same, byte for byte.
    fn check_looks(&mut self, message: &Message<'_>, lives: &[Membership], bytes: &[u8]) {
        let (call_id, tag) = dialog_of(message);
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        let mut hasher = DefaultHasher::new();
        // Another balancer has other tokens.
        bytes.hash(&mut hasher);
        let way = lives.first().map(|life| life.member);
        let looks = hasher.finish();
        let key = (call_id, tag, cseq, way);
        if *self.looks.entry(key.clone()).or_insert(looks) != looks {
            self.broken
                .push(format!("law 5: {key:?} was sent again with other bytes"));
        }
    }

    /// Takes a NOTIFY where its server says it. Law 1: a client that moves is handed over by the
    /// server itself, which says nothing more from then on, and who has ended says nothing at all.
    fn hear_notify(&mut self, now: Moment, life: Membership, message: &Message<'_>) {
        let dialog = dialog_of(message);
        let tag = &dialog.1;
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        let watcher = message.to().and_then(|to| Aor::parse(to.uri).ok());
        let assigned = watcher
            .as_ref()
            .and_then(|it| self.journal.entries().assigned.get(it).copied());
        let (Some(watcher), Some(assigned)) = (watcher, assigned) else {
            self.broken
                .push(format!("law 1: {dialog:?} {cseq} of nobody"));
            return;
        };
        self.check_alive(life, "NOTIFY");
        let by = life.member;
        let has_row = self.journal.entries().subscribed.contains(tag);
        // Who ended a subscription is the only one that knows the dialog: its last words.
        if has_row && assigned.server != Some(by) {
            self.broken.push(format!(
                "law 1: {dialog:?} {cseq} was sent by {by:?} at {now:?}, and the watcher has {assigned:?}"
            ));
            return;
        }
        let sent = self.notifies.entry(dialog.clone()).or_default();
        let one = Sent {
            at: now,
            by,
            watcher,
            epoch: assigned.epoch,
            cseq,
            is_answered: false,
            times: 1,
            body: Bytes::copy_from_slice(message.body()),
        };
        let is_taken_up = sent.last().is_some_and(|last| last.epoch != one.epoch);
        if is_taken_up {
            self.taken_up += 1;
            let last = sent.iter().rfind(|sent| sent.is_answered);
            self.repeated += u64::from(last.is_some_and(|last| last.body == one.body));
        }
        note(sent, one, &dialog, &mut self.broken);
    }

    /// The server that wrote a request: the Via below the balancer's names it.
    fn server_of(&self, message: &Message<'_>) -> Option<MemberId> {
        let via = message.values(Name::Via).nth(1).and_then(Via::parse)?;
        self.names.get(via.host.0).copied()
    }

    fn hear_answer(&mut self, message: &Message<'_>) {
        let Some(cseq) = message.cseq().filter(|cseq| cseq.method == "NOTIFY") else {
            return;
        };
        let tag = message
            .from()
            .and_then(|from| from.tag())
            .unwrap_or_default();
        let call_id = message.call_id().unwrap_or_default();
        let sent = self.notifies.get_mut(&(call_id.to_owned(), tag.to_owned()));
        let sent = sent.and_then(|sent| sent.iter_mut().find(|sent| sent.cseq == cseq.number));
        if let Some(sent) = sent {
            sent.is_answered = true;
        }
    }
}

/// The dialog of a NOTIFY: Call-ID and our tag.
fn dialog_of(message: &Message<'_>) -> (String, String) {
    let from = message.from();
    let tag = from.and_then(|from| from.tag()).unwrap_or_default();
    let call_id = message.call_id().unwrap_or_default();
    (call_id.to_owned(), tag.to_owned())
}

/// What a response answers: Call-ID and CSeq.
fn exchange_of(message: &Message<'_>) -> Option<(String, u32)> {
    let call_id = message.call_id()?.to_owned();
    Some((call_id, message.cseq()?.number))
}

/// Law 5: CSeq only grows, a number is one message byte for byte, and a new one waits for the
/// answer to the last, or for its time-out; under another epoch it does not wait.
fn note(sent: &mut Vec<Sent>, one: Sent, dialog: &(String, String), broken: &mut Vec<String>) {
    if let Some(last) = sent.last_mut() {
        if last.cseq == one.cseq {
            last.times += 1;
            return;
        }
        if one.cseq < last.cseq {
            let (cseq, last) = (one.cseq, last.cseq);
            broken.push(format!("law 5: {dialog:?} CSeq {cseq} after {last}"));
        }
        let is_over =
            last.is_answered || one.at.since(last.at).as_secs() >= 32 || one.epoch != last.epoch;
        if !is_over {
            let (cseq, last) = (one.cseq, last.cseq);
            broken.push(format!(
                "law 5: {dialog:?} {cseq} while {last} is unanswered"
            ));
        }
    }
    sent.push(one);
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether a request only asks (a REGISTER without Contact), or takes back what may not be there.
fn may_write_nothing(message: &Message<'_>) -> bool {
    let is_register = message.cseq().is_some_and(|cseq| cseq.method == "REGISTER");
    let mut contacts = message.values(Name::Contact).peekable();
    let is_query = is_register && contacts.peek().is_none();
    let takes_back = contacts.any(|contact| contact.contains("expires=0"));
    is_query || takes_back || message.number(Name::Expires) == Some(0)
}
