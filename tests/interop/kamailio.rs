//! Kamailio as the presence server: what an nlb does for one user, step by step.
//!
//! Goal: it is plain SIP, which another server understands as ours does. Method: Kamailio with the
//! modules of its Debian package, phones and an nlb's handle as agents over loopback.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use presently_agent::{Ended, Event, SavedFeed, SubscriptionId, SubscriptionState};
use presently_sip::{Aor, EntityTag};
use presently_tests::program::{Place, Process, Town, until};

/// A Kamailio of its own, ended with the value.
pub(crate) struct Kamailio {
    process: Process,
    /// Where it listens.
    pub(crate) at: SocketAddr,
    _place: Place,
}

impl Kamailio {
    pub(crate) fn start() -> Self {
        let place = Place::new();
        let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let at = free.local_addr().expect("it is bound");
        drop(free);
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/kamailio/kamailio.cfg");
        let mut command = Command::new("kamailio");
        command.args(["-DD", "-E", "-m", "32", "-M", "4", "-f"]);
        command.arg(config);
        command.arg("-A").arg(format!("PORT={}", at.port()));
        command.arg("-A").arg(format!("ADDRESS=\"sip:{at}\""));
        let folder = place.path("");
        command.arg("-w").arg(&folder).arg("-Y").arg(&folder);
        command.arg("-P").arg(place.path("kamailio.pid"));
        let kamailio = Self {
            process: Process::spawn(&mut command),
            at,
            _place: place,
        };
        kamailio.await_answer();
        kamailio
    }

    fn await_answer(&self) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let wait = Some(Duration::from_millis(100));
        socket.set_read_timeout(wait).expect("a socket can");
        let port = socket.local_addr().expect("it is bound").port();
        let options = format!(
            "OPTIONS sip:127.0.0.1:{} SIP/2.0\r\n\
             Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK1\r\n\
             From: <sip:nlb1@example.com>;tag=1\r\nTo: <sip:127.0.0.1>\r\n\
             Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 5\r\nContent-Length: 0\r\n\r\n",
            self.at.port()
        );
        until("Kamailio to answer", BOUND, || {
            let _ = socket.send_to(options.as_bytes(), self.at);
            socket.recv(&mut [0; 2_048]).ok()
        });
    }
}

impl Drop for Kamailio {
    /// It ends its children itself, if it is asked.
    fn drop(&mut self) {
        self.process.signal("TERM");
        let end = Instant::now() + BOUND;
        while self.process.has_ended().is_none() && Instant::now() < end {
            thread::park_timeout(Duration::from_millis(10));
        }
    }
}

/// Whether its presence modules are installed.
pub(crate) fn has_presence() -> bool {
    let folders = [
        "/usr/lib",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
    ];
    let module = |folder| Path::new(folder).join("kamailio/modules/presence_xml.so");
    folders.into_iter().any(|folder| module(folder).is_file())
}

// S1, S2, S5, S6, S8, S10, S11
pub(crate) fn serves_an_nlbs_handle() {
    let kamailio = Kamailio::start();
    let mut town = Town::default();
    let alice = town.udp("alice", kamailio.at);
    town.register(alice);
    town.publish(alice, true, "here");

    // The nlb acts for her under an address of its own: registers it, announces what she asked for.
    let handle = town.udp(HANDLE, kamailio.at);
    town.register(handle);
    town.publish(handle, true, "https://app.example.com/");
    let feed = town.watch(handle, "alice");
    assert_eq!(town.phone(handle).shows(feed), Some((true, "here".into())));
    town.publish(alice, false, "away");
    town.until_shown(handle, feed, false, "away");
    town.publish(alice, true, "back");
    town.until_shown(handle, feed, true, "back");

    assert_eq!(message(&mut town, handle), 200);
    town.until("the MESSAGE", |town| {
        town.phone(alice).saw(|event| {
            matches!(event, Event::MessageReceived { body, .. }
            if body == "UUID=1b4e28ba")
        })
    });
    let heard = &town.phone(alice).heard;
    let carries = |(_, text): &(SocketAddr, String)| text.contains("\r\nResume: UUID=1b4e28ba\r\n");
    assert!(heard.iter().any(carries), "the header came along");

    // What she takes back is told as closed.
    town.phone(alice)
        .ask(|agent, now, out| agent.unpublish(now, "presence", out));
    town.until_shown(handle, feed, false, "");

    // She vanishes: nothing tells Kamailio but the end of her publication.
    publish_briefly(&mut town, alice);
    town.until_shown(handle, feed, true, "for a moment");
    let nowhere = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let nowhere = nowhere.local_addr().expect("it is bound");
    town.phone(alice).turn_to(nowhere);
    // Nothing is left to compose: the document is empty, and the subscription active.
    town.until("her end to be told", |town| {
        let last = town.phone(handle).events.last();
        matches!(last, Some(Event::Notified(told))
            if told.body.is_empty() && told.state == SubscriptionState::Active)
    });

    release(&mut town, handle, feed);
    let told = town.phone(handle).notified(feed);
    let other = town.udp("alice", kamailio.at);
    town.publish(other, true, "again");
    town.live(Duration::from_millis(500));
    assert_eq!(
        town.phone(handle).notified(feed),
        told,
        "it follows her no more"
    );
}

// S8
pub(crate) fn says_that_a_message_finds_nobody() {
    let kamailio = Kamailio::start();
    let mut town = Town::default();
    let handle = town.udp(HANDLE, kamailio.at);
    town.register(handle);
    assert_eq!(message(&mut town, handle), 480);
}

// S25
pub(crate) fn lets_an_nlb_go_on_after_a_restart() {
    let kamailio = Kamailio::start();
    let mut town = Town::default();
    let alice = town.udp("alice", kamailio.at);
    town.publish(alice, true, "before");
    let handle = town.udp(HANDLE, kamailio.at);
    town.register(handle);
    town.publish(handle, true, "https://app.example.com/");
    let feed = town.watch(handle, "alice");
    let saved = town.phone(handle).ask(|agent, _, _| agent.saved(feed));
    let saved = saved.expect("a dialog with a NOTIFY").to_string();
    let tag = published(&town, handle).expect("it was published under a tag");
    let first = call_id(&town, handle);

    // Another life, at another port: the old one is silent from now on.
    let later = town.udp(HANDLE, kamailio.at);
    let nowhere = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    town.phone(handle)
        .turn_to(nowhere.local_addr().expect("it is bound"));
    town.register(later);
    town.phone(later)
        .ask(|agent, _, _| agent.resume_publication("presence", tag));
    town.publish(later, true, "https://app.example.com/");
    let saved = SavedFeed::parse(&saved).expect("it was written");
    let feed = town
        .phone(later)
        .ask(|agent, now, out| agent.resume(now, &saved, 600, out));
    town.until_shown(later, feed, true, "before");
    town.publish(alice, false, "after");
    town.until_shown(later, feed, false, "after");
    assert_eq!(call_id(&town, later), first, "the dialog is the same");
    let failed = town
        .phone(later)
        .count(|event| matches!(event, Event::PublishFailed { .. }));
    assert_eq!(failed, 0);
    release(&mut town, later, feed);
}

/// Ends all that a handle holds, in the order of the good-bye.
fn release(town: &mut Town, handle: usize, feed: SubscriptionId) {
    town.phone(handle)
        .ask(|agent, now, out| agent.unsubscribe(now, feed, out));
    town.until("the terminated NOTIFY", |town| {
        town.phone(handle).saw(|event| {
            matches!(event, Event::SubscriptionEnded { id, reason: Ended::Unsubscribed, .. }
            if *id == feed)
        })
    });
    town.phone(handle)
        .ask(|agent, now, out| agent.unpublish(now, "presence", out));
    town.phone(handle).register(0);
    town.until("the good-bye", |town| {
        let phone = town.phone(handle);
        phone.saw(|event| matches!(event, Event::Unpublished { .. }))
            && phone.saw(|event| *event == Event::Unregistered)
    });
}

/// Sends the message that asks alice to come back; how it is answered.
fn message(town: &mut Town, handle: usize) -> u16 {
    let headers = [("Resume", "UUID=1b4e28ba")];
    let (to, body) = (aor("alice"), b"UUID=1b4e28ba");
    let sent = town
        .phone(handle)
        .ask(|agent, now, out| agent.message_with(now, &to, &headers, "text/plain", body, out));
    let answer = |event: &Event| match event {
        Event::MessageAnswered { id, status } if *id == sent => Some(*status),
        _ => None,
    };
    let mut status = None;
    town.until("an answer to the MESSAGE", |town| {
        status = town.phone(handle).events.iter().find_map(answer);
        status.is_some()
    });
    status.expect("waited for")
}

/// Publishes for so short that the end comes while the test waits.
fn publish_briefly(town: &mut Town, place: usize) {
    let body: Bytes = presently_agent::pidf(&aor("alice"), true, Some("for a moment"));
    town.phone(place).ask(|agent, now, out| {
        agent.publish(now, "presence", "application/pidf+xml", body, 2, out);
    });
}

/// The entity-tag of a phone's publication.
fn published(town: &Town, place: usize) -> Option<EntityTag> {
    let events = town.phones.get(place)?.events.iter().rev();
    events.into_iter().find_map(|event| match event {
        Event::Published { etag, .. } => etag.clone(),
        _ => None,
    })
}

/// The Call-ID of the last NOTIFY a phone had.
fn call_id(town: &Town, place: usize) -> Option<String> {
    let events = town.phones.get(place)?.events.iter().rev();
    events.into_iter().find_map(|event| match event {
        Event::Notified(told) => Some(told.call_id.clone()),
        _ => None,
    })
}

pub(crate) fn aor(user: &str) -> Aor {
    Aor::parse(&format!("sip:{user}@example.com")).expect("an address of record")
}

const HANDLE: &str = "nlb1.7f3a9c0e5d2b4861";
const BOUND: Duration = Duration::from_secs(10);
