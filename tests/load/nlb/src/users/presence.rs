//! A presence server that takes everything, says that everybody is open, and says of some that they
//! are closed when told so.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use presently_agent::pidf;
use presently_sip::{
    Aor, Date, Edits, Framing, Index, Message, Method, Name, Response, Start, WallTime, Writer,
};
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use super::Arguments;

/// Requests taken and sent so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) registers: u64,
    pub(super) publishes: u64,
    pub(super) subscribes: u64,
    pub(super) notifies: u64,
    pub(super) messages: u64,
    /// NOTIFYs sent again for want of an answer.
    pub(super) repeated: u64,
    /// Feeds begun again in another dialog.
    pub(super) anew: u64,
}

impl Counts {
    /// Requests that keep something up.
    pub(super) fn asked(self) -> u64 {
        self.registers + self.publishes + self.subscribes
    }

    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            registers: self.registers - earlier.registers,
            publishes: self.publishes - earlier.publishes,
            subscribes: self.subscribes - earlier.subscribes,
            notifies: self.notifies - earlier.notifies,
            messages: self.messages - earlier.messages,
            repeated: self.repeated - earlier.repeated,
            anew: self.anew - earlier.anew,
        }
    }
}

/// Grants that end together, so that what is granted is refreshed together.
struct Together {
    secs: u32,
    since: Cell<Option<Instant>>,
}

impl Together {
    /// Until the end of the period; until that of the next when less than half of it is left.
    fn granted(&self) -> u32 {
        let now = Instant::now();
        let since = self.since.get().unwrap_or(now);
        self.since.set(Some(since));
        let spent = u32::try_from((now - since).as_secs()).unwrap_or(0) % self.secs;
        let left = self.secs - spent;
        left + if left < self.secs / 2 { self.secs } else { 0 }
    }
}

/// A NOTIFY without an answer.
struct Unanswered {
    bytes: Vec<u8>,
    due: Instant,
    wait: Duration,
}

/// One feed of the nlb.
struct Feed {
    target: String,
    from: String,
    to: String,
    call_id: String,
    cseq: u32,
    ends: Instant,
    is_open: bool,
    closed_at: Option<Instant>,
    /// When the nlb asked for its end.
    ended_at: Option<Instant>,
}

impl Feed {
    fn new(subscribe: &Message<'_>, tag: &str) -> Self {
        let text = |name| subscribe.text(name).unwrap_or_default();
        let contact = text(Name::Contact);
        let target = contact.split(['<', '>']).nth(1).unwrap_or(contact);
        Self {
            target: target.to_owned(),
            from: format!("{};tag={tag}", text(Name::To)),
            to: text(Name::From).to_owned(),
            call_id: text(Name::CallId).to_owned(),
            cseq: 0,
            ends: Instant::now(),
            is_open: true,
            closed_at: None,
            ended_at: None,
        }
    }
}

/// The server, driven by a task of its own.
pub(super) struct Presence(Rc<Server>);

struct Server {
    socket: UdpSocket,
    nlb: Cell<Option<SocketAddr>>,
    own: SocketAddr,
    expires: u32,
    /// All grants end together, whenever so much time has gone by since the first.
    together: Option<Together>,
    domain: String,
    counts: Cell<Counts>,
    feeds: RefCell<HashMap<usize, Feed>>,
    followed: Cell<usize>,
    /// NOTIFYs without an answer, by branch.
    unanswered: RefCell<HashMap<String, Unanswered>>,
    next: Cell<u64>,
}

impl Presence {
    pub(super) async fn start(told: &Arguments) -> Self {
        let socket = UdpSocket::bind(told.sip).await.expect("bind sip");
        let _ = SockRef::from(&socket).set_recv_buffer_size(BUFFER_BYTES);
        let _ = SockRef::from(&socket).set_send_buffer_size(BUFFER_BYTES);
        let server = Rc::new(Server {
            socket,
            nlb: Cell::new(None),
            own: told.sip,
            expires: told.expires,
            together: (told.refresh_secs > 0).then(|| Together {
                secs: told.refresh_secs,
                since: Cell::default(),
            }),
            domain: "bench.example".to_owned(),
            counts: Cell::default(),
            feeds: RefCell::default(),
            followed: Cell::new(0),
            unanswered: RefCell::default(),
            next: Cell::new(1),
        });
        spawn_local(Rc::clone(&server).receive());
        spawn_local(Rc::clone(&server).repeat());
        Self(server)
    }

    pub(super) fn counts(&self) -> Counts {
        self.0.counts.get()
    }

    /// Until the nlb's first REGISTER came.
    pub(super) async fn wait_for_registrar(&self) {
        self.wait(60, "the nlb registers", || self.counts().registers > 0)
            .await;
    }

    /// Until so many users are followed.
    pub(super) async fn wait_followed(&self, users: usize) {
        let is_enough = || self.0.followed.get() >= users;
        self.wait(60, "all users are followed", is_enough).await;
    }

    /// Until the first refresh since `earlier`.
    pub(super) async fn wait_refreshing(&self, earlier: Counts, secs: u32) {
        let is_so = || self.counts().since(earlier).asked() > 0;
        self.wait(secs.into(), "refreshes begin", is_so).await;
    }

    /// Until so many feeds were refreshed since `earlier`.
    pub(super) async fn wait_refreshed(&self, earlier: Counts, feeds: u64, expires: u32) {
        let is_done = || self.counts().since(earlier).subscribes >= feeds;
        let secs = u64::from(expires) * 2 + 60;
        self.wait(secs, "all feeds are refreshed", is_done).await;
    }

    async fn wait(&self, secs: u64, what: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(secs), "{what}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Says that `user` is closed.
    pub(super) fn close(&self, user: usize) {
        if let Some(feed) = self.0.feeds.borrow_mut().get_mut(&user) {
            feed.is_open = false;
            feed.closed_at = Some(Instant::now());
            self.0.notify(user, feed, "active");
        }
    }

    pub(super) fn closed_at(&self, user: usize) -> Option<Instant> {
        self.0.feeds.borrow().get(&user)?.closed_at
    }

    /// Until the nlb has asked for the end of the feeds of all these.
    pub(super) async fn wait_gone(&self, users: &[usize]) {
        while self.freed(users).len() < users.len() {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// How long after their NOTIFY the nlb asked for the ends of these feeds.
    pub(super) fn freed(&self, users: &[usize]) -> Vec<Duration> {
        let feeds = self.0.feeds.borrow();
        let ours = users.iter().filter_map(|user| feeds.get(user));
        let spans = ours.filter_map(|feed| Some(feed.ended_at? - feed.closed_at?));
        spans.collect()
    }

    /// Feeds that the nlb ended, of users who never left.
    pub(super) fn strangers_gone(&self, leavers: &[usize]) -> usize {
        let leavers: HashSet<_> = leavers.iter().collect();
        let feeds = self.0.feeds.borrow();
        let gone = feeds.iter().filter(|(_, feed)| feed.ended_at.is_some());
        gone.filter(|(user, _)| !leavers.contains(user)).count()
    }
}

impl Server {
    async fn receive(self: Rc<Self>) {
        let (mut buffer, mut index) = (vec![0; 65_536], Index::default());
        loop {
            let Ok((length, from)) = self.socket.recv_from(&mut buffer).await else {
                continue;
            };
            self.nlb.set(Some(from));
            if let Ok(message) = index.read(&buffer[..length], Framing::Datagram) {
                self.take(&message);
            }
        }
    }

    /// Sends NOTIFYs again that were not answered (RFC 3261 §17.1.2.2).
    async fn repeat(self: Rc<Self>) {
        loop {
            sleep(T1 / 5).await;
            let now = Instant::now();
            let mut unanswered = self.unanswered.borrow_mut();
            for one in unanswered.values_mut().filter(|one| one.due <= now) {
                self.send(&one.bytes);
                self.count(|counts| counts.repeated += 1);
                one.wait = (one.wait * 2).min(T2);
                one.due = now + one.wait;
            }
        }
    }

    fn count(&self, work: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        work(&mut counts);
        self.counts.set(counts);
    }

    fn send(&self, bytes: &[u8]) {
        if let Some(nlb) = self.nlb.get() {
            // What the socket does not take is repeated by whoever wants an answer.
            let _ = self.socket.try_send_to(bytes, nlb);
        }
    }

    fn take(&self, message: &Message<'_>) {
        match message.start() {
            Start::Request { method, .. } => self.request(method, message),
            Start::Response { status, .. } if status >= 200 => {
                let branch = message.via().and_then(|via| via.branch());
                let mut unanswered = self.unanswered.borrow_mut();
                branch.map(|branch| unanswered.remove(branch));
            }
            Start::Response { .. } => {}
        }
    }

    fn request(&self, method: Method, message: &Message<'_>) {
        let asked = message.number(Name::Expires).unwrap_or(0);
        // Shorter for some than for others, so that those who came together do not refresh
        // together.
        let granted = match &self.together {
            Some(together) => together.granted(),
            None => fastrand::u32(self.expires / 2..=self.expires),
        };
        let granted = asked.min(granted);
        let mut out = Vec::new();
        let status = if method == Method::Message { 480 } else { 200 };
        let number = self.number();
        let tag = format!("p{number}");
        let mut answer = Response::to(&mut out, message, &Edits::default(), status, &tag);
        answer.header("Date", Date(wall()));
        match method {
            Method::Register => {
                self.count(|counts| counts.registers += 1);
                let contact = message.text(Name::Contact).unwrap_or_default();
                if granted > 0 {
                    answer.header("Contact", format_args!("{contact};expires={granted}"));
                }
            }
            Method::Publish => {
                self.count(|counts| counts.publishes += 1);
                answer.header("SIP-ETag", format_args!("e{number}"));
                answer.header("Expires", granted);
            }
            Method::Subscribe => {
                self.count(|counts| counts.subscribes += 1);
                answer.header("Contact", format_args!("<sip:{}>", self.own));
                answer.header("Expires", granted);
            }
            Method::Message => self.count(|counts| counts.messages += 1),
            _ => {}
        }
        answer.end();
        self.send(&out);
        if method == Method::Subscribe {
            self.subscribed(message, granted, &tag);
        }
    }

    fn subscribed(&self, message: &Message<'_>, granted: u32, tag: &str) {
        let text = |name| message.text(name).unwrap_or_default();
        let user = user_of(text(Name::To));
        let mut feeds = self.feeds.borrow_mut();
        let fresh = || Feed::new(message, tag);
        let feed = feeds.entry(user).or_insert_with(|| {
            self.followed.set(self.followed.get() + 1);
            fresh()
        });
        if feed.call_id != text(Name::CallId) {
            self.count(|counts| counts.anew += 1);
            let (is_open, closed_at) = (feed.is_open, feed.closed_at);
            *feed = fresh();
            (feed.is_open, feed.closed_at) = (is_open, closed_at);
        }
        feed.ends = Instant::now() + Duration::from_secs(granted.into());
        if granted > 0 {
            self.notify(user, feed, "active");
        } else {
            feed.ended_at.get_or_insert_with(Instant::now);
            self.notify(user, feed, "terminated");
        }
    }

    fn notify(&self, user: usize, feed: &mut Feed, state: &str) {
        self.count(|counts| counts.notifies += 1);
        feed.cseq += 1;
        let branch = format!("z9hG4bKp{}", self.number());
        let aor = Aor::parse(&format!("sip:u{user}@{}", self.domain)).expect("a plain name");
        let body = pidf(&aor, feed.is_open, None);
        let mut out = Vec::new();
        let mut request = Writer::request(&mut out, "NOTIFY", &feed.target);
        let via = format_args!("SIP/2.0/UDP {};branch={branch};rport", self.own);
        request.header("Via", via);
        request.header("Max-Forwards", 70);
        request.header("From", &feed.from);
        request.header("To", &feed.to);
        request.header("Call-ID", &feed.call_id);
        request.header("CSeq", format_args!("{} NOTIFY", feed.cseq));
        request.header("Contact", format_args!("<sip:{}>", self.own));
        request.header("Event", "presence");
        let state = match state {
            "active" => {
                let left = feed.ends.saturating_duration_since(Instant::now());
                format!("active;expires={}", left.as_secs_f64().ceil())
            }
            other => format!("{other};reason=timeout"),
        };
        request.header("Subscription-State", state);
        request.header("Date", Date(wall()));
        request.body("application/pidf+xml", &body);
        self.send(&out);
        let mut unanswered = self.unanswered.borrow_mut();
        let one = Unanswered {
            bytes: out,
            due: Instant::now() + T1,
            wait: T1,
        };
        unanswered.insert(branch, one);
    }

    fn number(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }
}

/// The number in `<sip:u123@domain>`; the bench's users have no other names.
fn user_of(address: &str) -> usize {
    let digits = address
        .split("sip:u")
        .nth(1)
        .and_then(|it| it.split('@').next());
    digits.and_then(|it| it.parse().ok()).unwrap_or(usize::MAX)
}

fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    WallTime::default().after(since.expect("the clock is set"))
}

/// A second of everything.
const BUFFER_BYTES: usize = 4 << 20;
/// The first wait for an answer, and the longest (RFC 3261 §17.1.1.1).
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
