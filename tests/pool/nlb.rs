//! The nlb's steps through the real program: a pool whose roles are processes of their own, the
//! nlb, application servers, SIP phones, and clients over real connections.

use std::sync::mpsc;
use std::time::Duration;

use presently_agent::Event;
use presently_sip::Aor;
use presently_tests::program::{Application, Guest, Nlb, Plan, Pool, Town, until};

fn pool() -> Pool {
    Pool::with(&Plan {
        weights: vec![1, 1],
        ..Plan::default()
    })
}

// S1 S2 S3 S4 S5 S6 S7 S10 S11 S12 S13 S14 S15 S16 S18 S28
#[test]
fn the_steps_of_a_user_come_in_order_and_leave_nothing() {
    let pool = pool();
    let servers = [Application::start("a1"), Application::start("a2")];
    let settings = Nlb::settings(&pool.place, pool.udp(), &[&servers[0], &servers[1]]);
    let nlb = Nlb::start(&pool.place, &settings);
    let own = Aor::parse("sip:nlb1@example.com").unwrap();
    assert_eq!(pool.kept(&own).0, 1, "it is not registered");
    assert!(
        nlb.records().is_empty(),
        "it follows somebody whom it does not serve"
    );
    let mut town = Town::default();
    let alice = town.log_on("alice", pool.udp());
    let mut guest = Guest::open(nlb.http, "alice", None).unwrap();
    assert!(guest.echo());
    let start = [
        "registered",
        "announced",
        "recorded",
        "admitted",
        "subscribed",
        "baseline",
    ];
    nlb.until_steps("alice", &start);
    let [record] = nlb.records().try_into().expect("one record");
    assert_eq!(record.user.as_str(), "sip:alice@example.com");
    assert_eq!(
        (&*record.server, &*record.uuid),
        (&*guest.server, &*nlb.session("alice").unwrap().uuid)
    );
    assert_eq!(pool.kept(&record.handle), (1, 1, 1), "{}", record.handle);
    // Quiet for longer than a notification's second can blur.
    town.live(Duration::from_millis(3_500));
    town.log_off(alice);
    guest.until_closed();
    let end = [
        "notified",
        "decided",
        "released",
        "unsubscribed",
        "terminated",
        "unregistered",
        "purged",
    ];
    nlb.until_steps("alice", &[&start[..], &end].concat());
    assert!(nlb.records().is_empty() && nlb.session("alice").is_none());
    assert_eq!(pool.kept(&record.handle), (0, 0, 0));
    until("the slot to be free", BOUND, || {
        servers
            .iter()
            .all(|server| server.live("alice") == 0)
            .then_some(())
    });
    let metrics = nlb.metrics();
    let released = [
        "nlb_slots_released_early",
        "nlb_releases_wrong",
        "nlb_paths",
        "nlb_sessions",
    ];
    assert_eq!(released.map(|name| metrics.get(name)), [1, 0, 0, 0]);
    assert!(metrics.get("nlb_slots_saved_seconds") > 3_000);
}

// S2 S3 S13 S16
#[test]
fn access_is_given_after_the_announcement_and_not_before() {
    let pool = pool();
    let (asked, requests) = mpsc::channel();
    let server = Application::start_with("a1", move |user| {
        // The request waits here while the test looks.
        let (done, looked) = mpsc::channel();
        if asked.send((user.to_owned(), done)).is_ok() {
            let _ = looked.recv();
        }
    });
    let settings = Nlb::settings(&pool.place, pool.udp(), &[&server]);
    let nlb = Nlb::start(&pool.place, &settings);
    let http = nlb.http;
    let guest = std::thread::spawn(move || Guest::open(http, "alice", None));
    let (user, done) = requests.recv_timeout(BOUND).expect("a request");
    assert_eq!(user, "alice");
    let [record] = nlb.records().try_into().expect("one record");
    let (bindings, publications, _) = pool.kept(&record.handle);
    assert_eq!((bindings, publications), (1, 1), "{}", record.handle);
    let alice = Aor::parse("sip:alice@example.com").unwrap();
    assert_eq!(pool.kept(&alice), (0, 0, 0), "the nlb spoke for the user");
    done.send(()).unwrap();
    assert_eq!(guest.join().unwrap().unwrap().server, "a1");
    drop(requests);
}

// S8 S9 S17 S26
#[test]
fn a_user_who_was_using_is_sent_the_uuid_and_resumes() {
    let pool = pool();
    let servers = [Application::start("a1"), Application::start("a2")];
    let settings = Nlb::settings(&pool.place, pool.udp(), &[&servers[0], &servers[1]]);
    let nlb = Nlb::start(&pool.place, &settings);
    let mut town = Town::default();
    let bob = town.log_on("bob", pool.udp());
    let mut guest = Guest::open(nlb.http, "bob", None).unwrap();
    nlb.until_steps("bob", &["baseline"]);
    assert!(guest.echo());
    town.log_off(bob);
    // Who is back sooner than the nlb is told has never been away.
    nlb.until_steps("bob", &["decided", "messaged"]);
    town.phone(bob).register(600);
    town.publish(bob, true, "back");
    let said = |event: &Event| match event {
        Event::MessageReceived { body, .. } => String::from_utf8(body.to_vec()).ok(),
        _ => None,
    };
    town.until("a MESSAGE", |town| {
        town.phone(bob)
            .events
            .iter()
            .any(|event| said(event).is_some())
    });
    let uuid = nlb.session("bob").unwrap().uuid;
    let heard = town.phone(bob).heard.iter();
    let mut messages = heard.filter(|(_, text)| text.starts_with("MESSAGE "));
    let (_, message) = messages.next().expect("it was heard");
    assert!(
        message.contains(&format!("\r\nResume: UUID={uuid}\r\n")),
        "{message}"
    );
    assert!(
        message.contains(&format!("\r\n\r\nUUID={uuid}")),
        "{message}"
    );
    // Who is back sooner than the answer leaves nothing to be answered.
    nlb.until_steps("bob", &["messaged", "answered"]);
    let again = Guest::open(nlb.http, "bob", Some(&uuid)).unwrap();
    assert_eq!(again.server, guest.server);
    nlb.until_steps("bob", &["decided", "messaged", "answered", "resumed"]);
    assert_eq!(nlb.session("bob").unwrap().uuid, uuid);
    assert_eq!(nlb.metrics().get("nlb_sessions_resumed"), 1);
}

const BOUND: Duration = Duration::from_secs(10);
