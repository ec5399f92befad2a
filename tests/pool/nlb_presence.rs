//! What the nlb makes of the presence server as it is told to: away, mistaken about many, reached
//! over TCP, and with several devices of one user.

use std::time::{Duration, Instant};

use presently_agent::Event;
use presently_tests::program::{Application, Guest, Nlb, Plan, Pool, Town};

fn pool() -> Pool {
    Pool::with(&Plan {
        weights: vec![1],
        ..Plan::default()
    })
}

// S22
#[test]
fn with_serve_users_have_access_at_once_and_are_announced_later() {
    let mut pool = pool();
    let server = Application::start("a1");
    let settings = Nlb::settings(&pool.place, pool.udp(), &[&server]);
    for member in pool.members() {
        member.stop();
    }
    let serve = format!("when_unreachable = \"serve\"\n{settings}");
    let nlb = Nlb::start(&pool.place, &serve);
    let mut guest = Guest::open(nlb.http, "alice", None).unwrap();
    assert!(guest.echo());
    let session = nlb.session("alice").unwrap();
    assert_eq!(session.why, "served without presence");
    assert_eq!(nlb.metrics().get("nlb_presence_reachable"), 0);
    for member in pool.members() {
        member.restart();
    }
    pool.wait();
    let later = [
        "admitted",
        "registered",
        "announced",
        "subscribed",
        "baseline",
    ];
    nlb.until_steps("alice", &later);
    assert!(guest.echo());
    assert_eq!(nlb.session("alice").unwrap().uuid, session.uuid);
}

// S23
#[test]
fn a_wave_of_users_who_leave_releases_nobody() {
    let pool = pool();
    let server = Application::start("a1");
    let settings = Nlb::settings(&pool.place, pool.udp(), &[&server]);
    // The last of them must leave within the grace of the first.
    let settings = settings.replace("using_ms = 1000", "using_ms = 1000\ngrace_ms = 3000");
    let guard = "[guard]\nat_least = 3\nshare_percent = 30\nwithin_secs = 10\nhold_secs = 60\n";
    let nlb = Nlb::start(&pool.place, &format!("{settings}{guard}"));
    let mut town = Town::default();
    let names = ["alice", "bob", "carol", "dave", "erin"];
    let phones = names.map(|name| town.log_on(name, pool.udp()));
    let mut guests = names.map(|name| Guest::open(nlb.http, name, None).unwrap());
    for name in names {
        nlb.until_steps(name, &["baseline"]);
    }
    town.live(QUIET);
    for phone in phones {
        town.log_off(phone);
    }
    town.until("the alarm", |_| nlb.metrics().get("nlb_guard_alarms") == 1);
    // Longer than the grace of them all.
    town.live(Duration::from_millis(3_500));
    let metrics = nlb.metrics();
    let counted = ["nlb_slots_released_early", "nlb_sessions", "nlb_paths_cut"];
    assert_eq!(counted.map(|name| metrics.get(name)), [0, 5, 0]);
    assert!(metrics.get("nlb_notifications_dismissed") >= 1);
    assert!(guests.iter_mut().all(Guest::echo));
}

// S19
#[test]
fn one_device_of_several_leaves_and_the_last_one_releases_the_user() {
    let pool = pool();
    let server = Application::start("a1");
    let settings = Nlb::settings(&pool.place, pool.udp(), &[&server]);
    let device = "device = [{ header = \"X-Device\" }]\n";
    let nlb = Nlb::start(&pool.place, &format!("{device}{settings}"));
    let mut town = Town::default();
    let [desk, car] = ["desk", "car"].map(|device| {
        let phone = town.udp("alice", pool.udp());
        town.register(phone);
        publish_as(&mut town, phone, device);
        let headers = format!("X-User: alice\r\nX-Device: {device}\r\n");
        (phone, Guest::ask(nlb.http, "/desk", &headers).unwrap())
    });
    nlb.until_steps("alice", &["baseline"]);
    let ((desk_phone, mut desk), (car_phone, mut car)) = (desk, car);
    town.live(QUIET);
    town.log_off(car_phone);
    car.until_closed();
    town.until("one path to be left", |_| {
        nlb.session("alice").unwrap().paths == 1
    });
    assert_eq!(nlb.session("alice").unwrap().state, "serving");
    let metrics = nlb.metrics();
    let counted = ["nlb_devices_released", "nlb_slots_released_early"];
    assert_eq!(counted.map(|name| metrics.get(name)), [1, 0]);
    assert!(desk.echo(), "the other device was cut");
    town.live(QUIET);
    town.log_off(desk_phone);
    desk.until_closed();
    nlb.until_steps("alice", &["cut", "released", "purged"]);
    assert_eq!(nlb.metrics().get("nlb_slots_released_early"), 1);
}

/// Publishes for the phone at `place` under the name of its device.
fn publish_as(town: &mut Town, place: usize, device: &str) {
    let body = format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.com\">\
         <tuple id=\"{device}\"><status><basic>open</basic></status></tuple></presence>"
    );
    let phone = town.phone(place);
    phone.ask(|agent, now, out| {
        agent.publish(
            now,
            "presence",
            "application/pidf+xml",
            body.into(),
            600,
            out,
        );
    });
    town.until("published", |town| {
        let is_answer = |event: &Event| matches!(event, Event::Published { .. });
        town.phone(place).saw(is_answer)
    });
}

/// Settings that reach `pool` over TCP.
fn over_tcp(pool: &Pool, server: &Application) -> String {
    let tcp = pool.balancer.listener("tcp");
    let settings = Nlb::settings(&pool.place, tcp, &[server]);
    settings.replace("presence = \"udp:", "presence = \"tcp:")
}

// S1 S5 S10 S12
#[test]
fn the_steps_are_the_same_over_tcp() {
    let pool = pool();
    let server = Application::start("a1");
    let nlb = Nlb::start(&pool.place, &over_tcp(&pool, &server));
    let mut town = Town::default();
    let alice = town.log_on("alice", pool.udp());
    let mut guest = Guest::open(nlb.http, "alice", None).unwrap();
    let begin = [
        "registered",
        "announced",
        "recorded",
        "admitted",
        "subscribed",
        "baseline",
    ];
    nlb.until_steps("alice", &begin);
    let [record] = nlb.records().try_into().expect("one record");
    assert_eq!(pool.kept(&record.handle), (1, 1, 1));
    town.live(QUIET);
    town.log_off(alice);
    guest.until_closed();
    let end = [
        "decided",
        "released",
        "terminated",
        "unregistered",
        "purged",
    ];
    nlb.until_steps("alice", &end);
    assert_eq!(pool.kept(&record.handle), (0, 0, 0));
    assert_eq!(nlb.records(), []);
}

// S22
#[test]
fn over_tcp_the_nlb_is_back_as_soon_as_somebody_answers() {
    let mut pool = pool();
    let server = Application::start("a1");
    let nlb = Nlb::start(&pool.place, &over_tcp(&pool, &server));
    let mut town = Town::default();
    let alice = town.log_on("alice", pool.udp());
    let mut guest = Guest::open(nlb.http, "alice", None).unwrap();
    nlb.until_steps("alice", &["baseline"]);
    let before = nlb.metrics();
    pool.balancer.kill();
    nlb.until_ready(503);
    town.live(Duration::from_secs(2));
    let tried = nlb.metrics().grown("transport_connections_opened", &before);
    assert!((1..20).contains(&tried), "{tried} connections");
    pool.balancer.restart();
    pool.wait();
    let back = Instant::now();
    nlb.until_ready(200);
    let took = back.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    nlb.until_steps("alice", &["baseline", "subscribed", "baseline"]);
    assert!(guest.echo());
    town.live(QUIET);
    town.log_off(alice);
    guest.until_closed();
    assert_eq!(nlb.metrics().get("nlb_slots_released_early"), 1);
}

// S16 S25
#[test]
fn at_stop_says_whether_sessions_are_kept_or_released() {
    let pool = pool();
    let server = Application::start("a1");
    // The second one takes up what the first one kept, at the same address.
    let settings = Nlb::settings(&pool.place, pool.udp(), &[&server]);
    for (at_stop, rows) in [("keep", 1), ("release", 0)] {
        let settings = format!("at_stop = \"{at_stop}\"\n{settings}");
        let mut nlb = Nlb::start(&pool.place, &settings);
        let mut town = Town::default();
        town.log_on("alice", pool.udp());
        let mut guest = Guest::open(nlb.http, "alice", None).unwrap();
        nlb.until_steps("alice", &["baseline"]);
        let [record] = nlb.records().try_into().expect("one record");
        assert!(nlb.process.stop().success());
        guest.until_closed();
        assert_eq!(nlb.records().len(), rows, "{at_stop}");
        let kept = (rows, rows, rows);
        assert_eq!(pool.kept(&record.handle), kept, "{at_stop}");
    }
}

/// After this a user who does nothing is quiet: `using_ms`, and what a notification's second blurs.
const QUIET: Duration = Duration::from_millis(3_500);
