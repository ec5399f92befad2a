//! A presence server of two hundred lines: takes REGISTER, PUBLISH, SUBSCRIBE, MESSAGE and OPTIONS,
//! and tells watchers. It repeats nothing by itself; the simulation loses nothing it has sent but
//! while it is away.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use presently_sip::{Date, Edits, Framing, Index, Moment, Response, WallTime, Writer};

/// What a user's devices say.
#[derive(Clone, Debug, Default)]
pub(super) struct Document {
    /// Each device's tuple id, and whether it is open.
    pub(super) devices: Vec<(&'static str, bool)>,
}

#[derive(Debug)]
struct Watcher {
    call_id: String,
    subscribe: String,
    user: String,
    cseq: u32,
    /// The NOTIFY that was not answered yet.
    unanswered: Option<String>,
}

/// The presence server.
#[derive(Debug)]
pub(super) struct PresenceServer {
    /// Whether it answers nothing and says nothing.
    pub(super) is_away: bool,
    /// Whether it writes Date.
    pub(super) has_date: bool,
    /// Its clock less ours, in seconds.
    pub(super) skew_secs: i64,
    /// What a MESSAGE to a user is answered with.
    pub(super) message_status: u16,
    /// What the first PUBLISH of a handle is answered with.
    pub(super) publish_status: u16,
    /// What the first SUBSCRIBE of a feed is answered with.
    pub(super) subscribe_status: u16,
    /// What a SUBSCRIBE that keeps a feed is answered with.
    pub(super) refresh_status: u16,
    /// MESSAGEs that came.
    pub(super) messages: Vec<String>,
    /// Methods and Expires of what came, with the user part they are about, but for OPTIONS.
    pub(super) log: Vec<String>,
    pub(super) registered: BTreeSet<String>,
    pub(super) published: BTreeMap<String, String>,
    documents: BTreeMap<String, Document>,
    /// In the order in which they came.
    watchers: BTreeMap<u32, Watcher>,
    /// Where each is, by the Call-ID of its dialog.
    dialogs: HashMap<String, u32>,
    answers: BTreeMap<String, Vec<String>>,
    tags: u32,
}

impl Default for PresenceServer {
    fn default() -> Self {
        Self {
            is_away: false,
            has_date: true,
            skew_secs: 7_200,
            message_status: 200,
            publish_status: 200,
            subscribe_status: 200,
            refresh_status: 200,
            messages: Vec::new(),
            log: Vec::new(),
            registered: BTreeSet::new(),
            published: BTreeMap::new(),
            documents: BTreeMap::new(),
            watchers: BTreeMap::new(),
            dialogs: HashMap::new(),
            answers: BTreeMap::new(),
            tags: 0,
        }
    }
}

impl PresenceServer {
    /// Takes one message; what to send.
    pub(super) fn receive(&mut self, now: Moment, text: &str) -> Vec<String> {
        if self.is_away {
            return Vec::new();
        }
        if text.starts_with("SIP/2.0 ") {
            self.on_answer(text);
            return Vec::new();
        }
        let key = format!("{}{}", header(text, "Via"), header(text, "CSeq"));
        if let Some(answer) = self.answers.get(&key) {
            return answer.clone();
        }
        self.note(text);
        let answer = match method(text) {
            "PUBLISH" => vec![self.on_publish(text)],
            "REGISTER" => vec![self.on_register(now, text)],
            "SUBSCRIBE" => self.on_subscribe(now, text),
            "MESSAGE" => {
                self.messages.push(text.to_owned());
                vec![response(text, self.message_status, &[])]
            }
            _ => vec![response(text, 200, &[])],
        };
        self.answers.insert(key, answer.clone());
        answer
    }

    /// The user's devices say this now; the NOTIFYs that go out.
    pub(super) fn set(&mut self, now: Moment, user: &str, document: Document) -> Vec<String> {
        self.documents.insert(user.to_owned(), document);
        self.tell(now, user)
    }

    /// Tells all who watch `user` how it stands.
    pub(super) fn tell(&mut self, now: Moment, user: &str) -> Vec<String> {
        let mut out = Vec::new();
        let all = self.watchers.iter().filter(|(_, it)| it.user == user);
        let places: Vec<u32> = all.map(|(place, _)| *place).collect();
        for place in places {
            out.push(self.notify(now, place, "active;expires=1800"));
        }
        if self.is_away {
            return Vec::new();
        }
        out
    }

    /// What was said and not answered, again.
    pub(super) fn unanswered(&self) -> Vec<String> {
        let all = self.watchers.values();
        all.filter_map(|it| it.unanswered.clone()).collect()
    }

    /// Whom anybody watches.
    pub(super) fn watched(&self) -> Vec<&str> {
        let all = self.watchers.values();
        all.map(|it| it.user.as_str()).collect()
    }

    /// The dialogs of all feeds.
    pub(super) fn call_ids(&self) -> Vec<String> {
        let all = self.watchers.values();
        all.map(|it| it.call_id.clone()).collect()
    }

    /// It forgets all dialogs, as after a restart without a store.
    pub(super) fn forget(&mut self) {
        self.watchers.clear();
        self.dialogs.clear();
        self.published.clear();
        self.registered.clear();
    }

    /// Forgets what was noted for tests, and old answers.
    pub(super) fn forget_notes(&mut self) {
        self.log.clear();
        self.messages.clear();
        self.answers.clear();
    }

    fn note(&mut self, text: &str) {
        if method(text) == "OPTIONS" {
            return;
        }
        let about = header(text, "To").split(['<', '>']).nth(1).unwrap();
        let about = about.strip_prefix("sip:").unwrap();
        let about = about.split(['@', '.']).next().unwrap();
        let expires = header(text, "Expires");
        let about = format!("{} {about} {expires}", method(text));
        self.log.push(about.trim_end().to_owned());
    }

    fn on_answer(&mut self, text: &str) {
        let cseq = header(text, "CSeq");
        let Some(place) = self.place_of(text) else {
            return;
        };
        let watcher = self.watchers.get_mut(&place).unwrap();
        let current = watcher.unanswered.as_deref();
        if current.is_none_or(|it| header(it, "CSeq") == cseq) {
            watcher.unanswered = None;
        }
        if text.starts_with("SIP/2.0 481") {
            self.remove(place);
        }
    }

    /// The dialog that `text` belongs to.
    fn place_of(&self, text: &str) -> Option<u32> {
        self.dialogs.get(header(text, "Call-ID")).copied()
    }

    fn remove(&mut self, place: u32) {
        let gone = self.watchers.remove(&place);
        gone.map(|it| self.dialogs.remove(&it.call_id));
    }

    fn on_register(&mut self, now: Moment, text: &str) -> String {
        let handle = header(text, "To").to_owned();
        if header(text, "Expires") == "0" {
            self.registered.remove(&handle);
        } else {
            self.registered.insert(handle);
        }
        let expires = header(text, "Expires").to_owned();
        let date = self.date(now);
        let mut headers = vec![("Expires", expires.as_str())];
        headers.extend(date.as_deref().map(|date| ("Date", date)));
        response(text, 200, &headers)
    }

    fn on_publish(&mut self, text: &str) -> String {
        let handle = header(text, "To").to_owned();
        let matched = header(text, "SIP-If-Match");
        let held = self.published.get(&handle).map(String::as_str);
        if !matched.is_empty() && held != Some(matched) {
            return response(text, 412, &[]);
        }
        if matched.is_empty() && self.publish_status != 200 {
            return response(text, self.publish_status, &[]);
        }
        if header(text, "Expires") == "0" {
            self.published.remove(&handle);
            return response(text, 200, &[("Expires", "0")]);
        }
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        self.published.insert(handle, tag.clone());
        let headers = [("SIP-ETag", tag.as_str()), ("Expires", "3600")];
        response(text, 200, &headers)
    }

    fn on_subscribe(&mut self, now: Moment, text: &str) -> Vec<String> {
        let place = match self.place_of(text) {
            Some(_) if self.refresh_status != 200 && header(text, "Expires") != "0" => {
                return vec![response(text, self.refresh_status, &[])];
            }
            Some(place) => place,
            None if header(text, "To").contains(";tag=") => {
                return vec![response(text, 481, &[])];
            }
            None if self.subscribe_status != 200 => {
                return vec![response(text, self.subscribe_status, &[])];
            }
            None => {
                let to = header(text, "To");
                let place = self
                    .watchers
                    .last_key_value()
                    .map_or(0, |(last, _)| last + 1);
                let call_id = header(text, "Call-ID").to_owned();
                self.dialogs.insert(call_id.clone(), place);
                let watcher = Watcher {
                    call_id,
                    user: to.split(['<', '>']).nth(1).unwrap().to_owned(),
                    subscribe: text.to_owned(),
                    cseq: 0,
                    unanswered: None,
                };
                self.watchers.insert(place, watcher);
                place
            }
        };
        let expires = header(text, "Expires").to_owned();
        let answer = response(text, 200, &[("Expires", &expires)]);
        let notify = if expires == "0" {
            let notify = self.notify(now, place, "terminated;reason=timeout");
            self.remove(place);
            notify
        } else {
            self.notify(now, place, &format!("active;expires={expires}"))
        };
        vec![answer, notify]
    }

    fn notify(&mut self, now: Moment, place: u32, state: &str) -> String {
        let date = self.date(now);
        let watcher = self.watchers.get_mut(&place).unwrap();
        watcher.cseq += 1;
        let document = self.documents.get(&watcher.user);
        let body = document.map_or(String::new(), |it| it.xml(&watcher.user));
        let subscribe = &watcher.subscribe;
        let contact = header(subscribe, "Contact").split(['<', '>']).nth(1);
        let mut text = Vec::new();
        let mut writer = Writer::request(&mut text, "NOTIFY", contact.unwrap());
        let (cseq, call_id) = (watcher.cseq, header(subscribe, "Call-ID"));
        let to = header(subscribe, "To").split(";tag").next().unwrap();
        writer
            .header(
                "Via",
                format_args!("SIP/2.0/UDP pool.example.com;branch=z9hG4bKn{cseq}{call_id}"),
            )
            .header("From", format_args!("{to};tag=pool"))
            .header("To", header(subscribe, "From"))
            .header("Call-ID", call_id)
            .header("CSeq", format_args!("{cseq} NOTIFY"))
            .header("Max-Forwards", 70)
            .header("Contact", "<sip:owner@pool.example.com>")
            .header("Event", "presence")
            .header("Subscription-State", state);
        if let Some(date) = date {
            writer.header("Date", date);
        }
        match body.as_str() {
            "" => writer.end(),
            body => writer.body("application/pidf+xml", body.as_bytes()),
        }
        let text = String::from_utf8(text).unwrap();
        watcher.unanswered = Some(text.clone());
        text
    }

    fn date(&self, now: Moment) -> Option<String> {
        let micros = i64::try_from(now.0).unwrap() + self.skew_secs * 1_000_000;
        let wall = WallTime(u64::try_from(micros).unwrap());
        self.has_date.then(|| Date(wall).to_string())
    }
}

impl Document {
    fn xml(&self, user: &str) -> String {
        let tuple = |(id, is_open): &(&str, bool)| {
            let basic = if *is_open { "open" } else { "closed" };
            format!("<tuple id=\"{id}\"><status><basic>{basic}</basic></status></tuple>")
        };
        let tuples: String = self.devices.iter().map(tuple).collect();
        let pidf = "urn:ietf:params:xml:ns:pidf";
        format!("<presence xmlns=\"{pidf}\" entity=\"{user}\">{tuples}</presence>")
    }
}

/// The value of the first header called `name`; empty when there is none.
pub(super) fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let head = message.split("\r\n\r\n").next().unwrap();
    let values = head.lines().filter_map(|line| line.split_once(": "));
    let mut values = values.filter(|(it, _)| *it == name).map(|(_, value)| value);
    values.next().unwrap_or_default()
}

pub(super) fn method(message: &str) -> &str {
    message.split(' ').next().unwrap()
}

fn response(request: &str, status: u16, headers: &[(&str, &str)]) -> String {
    let mut index = Index::default();
    let message = index.read(request.as_bytes(), Framing::Datagram).unwrap();
    let mut text = Vec::new();
    let mut writer = Response::to(&mut text, &message, &Edits::default(), status, "pool");
    if method(request) == "SUBSCRIBE" {
        writer.header("Contact", "<sip:owner@pool.example.com>");
    }
    for (name, value) in headers {
        writer.header(name, value);
    }
    writer.end();
    String::from_utf8(text).unwrap()
}

pub(super) fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").unwrap().1
}
