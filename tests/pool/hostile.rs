//! Bad input over real sockets: an answer from the RFC or silence, counted; never a crash, never
//! state changed by a refused request.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use presently_agent::Event;
use presently_tests::program::{Caller, Pool, Reply, Stream, Town, request, until, user_of};
use serde_json::Value;

/// A pool with somebody in it whom nothing here may touch.
struct Inhabited {
    pool: Pool,
    town: Town,
    kept: Value,
}

impl Inhabited {
    fn new() -> Self {
        let pool = Pool::start();
        let mut town = Town::default();
        let alice = town.udp("alice", pool.udp());
        town.register(alice);
        town.watch(alice, "alice");
        town.publish(alice, true, "at home");
        let kept = kept(&pool);
        Self { pool, town, kept }
    }

    /// Everything runs, alice is as she was, and news of her still travel.
    fn assert_well(mut self) {
        let pool = &mut self.pool;
        for member in pool.members() {
            let process = member.process.as_mut().unwrap();
            let said = process.said();
            assert!(
                !said.iter().any(|line| line.contains("panicked")),
                "{said:?}"
            );
            assert!(member.metrics().get("pool_ready") == 1, "{}", member.name);
        }
        assert_eq!(kept(pool), self.kept, "alice was changed");
        let bob = self.town.udp("bob", pool.udp());
        self.town.register(bob);
        let watch = self.town.watch(bob, "alice");
        self.town.publish(0, false, "still here");
        self.town.until_shown(bob, watch, false, "still here");
    }
}

/// What the pool keeps of alice, but for time.
fn kept(pool: &Pool) -> Value {
    let mut shown = pool.show("alice").unwrap();
    for list in ["bindings", "publications", "watches", "watchers"] {
        for row in shown[list].as_array_mut().unwrap() {
            row.as_object_mut().unwrap().remove("expires_in_secs");
        }
    }
    shown
}

fn samples() -> Vec<Vec<u8>> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let mut folders = vec![data.join("torture"), data.join("captures")];
    let mut paths = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "sip") {
                paths.push(path);
            }
        }
    }
    // In an order that does not depend on the disk: the seed must replay.
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// One of the samples with one to four wounds.
fn mutated(random: &mut fastrand::Rng, samples: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = samples[random.usize(..samples.len())].clone();
    for _ in 0..random.usize(1..5) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = random.usize(..bytes.len());
        let end = random.usize(at..=bytes.len().min(at + 40));
        match random.u8(..6) {
            0 => bytes[at] = random.u8(..),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                let times = random.usize(1..20);
                bytes.splice(at..at, piece.repeat(times));
            }
            3 => bytes.truncate(at),
            4 => {
                let other = &samples[random.usize(..samples.len())];
                let from = random.usize(..other.len());
                bytes.splice(at.., other[from..].iter().copied());
            }
            _ => {
                let odd = [
                    &b"\0"[..],
                    b"\r\n",
                    b"\r\n\r\n",
                    b"%00",
                    b"\"",
                    b"<",
                    b";;",
                    b"99999999999",
                ];
                bytes.splice(at..at, odd[random.usize(..odd.len())].iter().copied());
            }
        }
    }
    bytes.truncate(60_000);
    bytes
}

#[test]
fn ten_thousand_mutated_datagrams_change_nothing_and_are_counted() {
    let here = Inhabited::new();
    let samples = samples();
    assert!(samples.len() > 150, "{}", samples.len());
    let caller = Caller::new(here.pool.udp());
    let mut random = fastrand::Rng::with_seed(20_260_101);
    let before = here.pool.balancer.metrics();
    let mut memory = Vec::new();
    for round in 0..10_000 {
        caller.send(&mutated(&mut random, &samples));
        while round % 20 == 0 && caller.receive(Duration::from_millis(1)).is_some() {}
        if round % 1_000 == 999 {
            assert!(caller.is_served(), "after {round}");
            memory.push(total_memory_kib(&here.pool));
        }
    }
    let now = here.pool.balancer.metrics();
    // What was cut down to nothing counts as a keep-alive.
    let received =
        now.grown("transport_datagrams_received", &before) + now.grown("transport_pings", &before);
    let lost = lost_in_kernel(here.pool.udp());
    assert!(
        received + lost >= 10_000,
        "{received} received, {lost} lost by the kernel"
    );
    assert!(now.grown("host_messages_unreadable", &before) > 100);
    assert!(now.grown("balancer_requests_answered", &before) > 100);
    assert!(now.grown("balancer_requests_forwarded", &before) > 100);
    // What was understood may be kept; it may not be much.
    let (first, last) = (memory[1], memory[memory.len() - 1]);
    assert!(last < first + 48 * 1024, "{memory:?} KiB");
    println!("{received} received, {lost} lost, memory {memory:?} KiB");
    here.assert_well();
}

/// All processes of the pool together.
fn total_memory_kib(pool: &Pool) -> u64 {
    let members = pool.servers.iter().chain([&pool.balancer]);
    members
        .map(|member| member.process.as_ref().unwrap().memory_kib())
        .sum()
}

/// How many datagrams for `address` the system has dropped, because nobody took them in time.
fn lost_in_kernel(address: SocketAddr) -> i64 {
    let port = format!(":{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/udp").unwrap();
    let mut rows = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row.get(1).is_some_and(|local| local.ends_with(&port)));
    row.unwrap().last().unwrap().parse().unwrap()
}

const PIDF: &str = "Content-Type: application/pidf+xml";

fn publish(caller: &Caller, body: &str, more: &[&str]) -> String {
    let lines = [&["Event: presence", "Expires: 600", PIDF], more].concat();
    request(
        "PUBLISH",
        &user_of("alice"),
        caller.at(),
        "UDP",
        &lines,
        body,
    )
}

#[test]
fn documents_that_are_traps_are_refused() {
    let here = Inhabited::new();
    let caller = Caller::new(here.pool.udp());
    let bomb = "<?xml version=\"1.0\"?><!DOCTYPE p [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \
                \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;\">]>\
                <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.com\">\
                <note>&c;&c;&c;</note></presence>";
    let external = "<?xml version=\"1.0\"?><!DOCTYPE p [<!ENTITY x SYSTEM \
                    \"file:///etc/passwd\">]><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
                    entity=\"sip:alice@example.com\"><note>&x;</note></presence>";
    let deep = "<a>".repeat(5_000) + &"</a>".repeat(5_000);
    let attributes: String = (0..5_000)
        .map(|number| format!(" a{number}=\"\""))
        .collect();
    let wide = format!("<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"{attributes}/>");
    let unfinished = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"><tuple";
    for body in [
        bomb,
        external,
        &deep,
        &wide,
        unfinished,
        "\u{0}\u{1}",
        "not xml",
    ] {
        let reply = caller.ask(&publish(&caller, body, &[]));
        let start: String = body.chars().take(60).collect();
        let status = reply.status().unwrap();
        assert!((400..500).contains(&status), "{start}: {status}");
        assert!(!reply.0.contains("root:"), "{}", reply.0);
    }
    let as_text = publish(&caller, "hello", &[]).replace(PIDF, "Content-Type: text/plain");
    assert_eq!(caller.ask(&as_text).status(), Some(415));
    here.assert_well();
}

#[test]
fn bodies_of_64_kib_are_carried_or_refused_as_a_whole() {
    let here = Inhabited::new();
    let mut stream = Stream::open(here.pool.tcp());
    for bytes in [65_536, 65_537, 100_000] {
        let body = "x".repeat(bytes);
        let lines = ["Event: presence", "Expires: 600", PIDF];
        let text = request(
            "PUBLISH",
            &user_of("alice"),
            stream.at(),
            "TCP",
            &lines,
            &body,
        );
        stream.send(text.as_bytes());
        let status = stream.receive(BOUND).as_ref().and_then(Reply::status);
        // Larger than a body may be, a stream has no place to go on from.
        let is_refused = status.is_none_or(|status| (400..500).contains(&status));
        assert!(is_refused, "{bytes}: {status:?}");
        if status.is_none() || bytes > 65_536 {
            stream = Stream::open(here.pool.tcp());
        }
    }
    let caller = Caller::new(here.pool.udp());
    let note = "y".repeat(50_000);
    let body = format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:big@example.com\">\
         <tuple id=\"t\"><status><basic>open</basic></status><note>{note}</note></tuple></presence>"
    );
    let lines = ["Event: presence", "Expires: 600", PIDF];
    let big = request(
        "PUBLISH",
        &user_of("big"),
        caller.at(),
        "UDP",
        &lines,
        &body,
    );
    let status = caller.ask(&big).status().unwrap();
    assert!(status == 200 || status == 413, "{status}");
    here.assert_well();
}

#[test]
fn names_with_sql_and_nul_in_them_are_only_names() {
    let here = Inhabited::new();
    let caller = Caller::new(here.pool.udp());
    let clients: u64 = here.pool.clients().iter().sum();
    let names = [
        "a'%3B%20DROP%20TABLE%20clients%3B--",
        "a%22%20OR%20%221%22=%221",
        "a%25_%25",
        "x'--",
    ];
    for name in names {
        let register = request(
            "REGISTER",
            &user_of(name),
            caller.at(),
            "UDP",
            &["Expires: 600"],
            "",
        );
        assert_eq!(caller.ask(&register).status(), Some(200), "{name}");
        let shown = here.pool.show(name).unwrap();
        assert_eq!(shown["bindings"].as_array().unwrap().len(), 1, "{name}");
    }
    let now: u64 = here.pool.clients().iter().sum();
    assert_eq!(now, clients + 4, "each is one client, and no other went");
    for name in ["a%00b", "%00", "a%0d%0ab", "a%ff"] {
        let uri = user_of(name);
        for method in ["REGISTER", "PUBLISH", "SUBSCRIBE", "MESSAGE"] {
            let lines = ["Expires: 600", "Event: presence"];
            let text = request(method, &uri, caller.at(), "UDP", &lines, "");
            let status = caller.ask(&text).status().unwrap();
            assert!((400..500).contains(&status), "{method} {name}: {status}");
        }
    }
    // A tag or an event that looks like SQL matches nothing.
    let lines = ["SIP-If-Match: ' OR 1=1 --"];
    let status = caller.ask(&publish(&caller, "", &lines)).status().unwrap();
    assert!((400..500).contains(&status), "{status}");
    assert_eq!(here.pool.clients().iter().sum::<u64>(), now);
    here.assert_well();
}

#[test]
fn endless_headers_are_refused() {
    let here = Inhabited::new();
    let caller = Caller::new(here.pool.udp());
    let before = here.pool.balancer.metrics();
    let wide = format!("X-Wide: {}", "w".repeat(40_000));
    let many: Vec<String> = (0..2_000).map(|number| format!("X-{number}: y")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let folded = format!("X-Folded: a{}", "\r\n b".repeat(8_000));
    let vias = vec!["Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa"; 500];
    let uri = user_of("alice");
    for more in [&[wide.as_str()][..], &many, &[folded.as_str()], &vias] {
        let text = request("REGISTER", &uri, caller.at(), "UDP", more, "");
        caller.send(text.as_bytes());
        if let Some(reply) = caller.receive(Duration::from_millis(500)) {
            let status = reply.status().unwrap();
            assert!((400..600).contains(&status), "{status}");
        }
    }
    let now = here.pool.balancer.metrics();
    let counted = now.grown("host_messages_unreadable", &before)
        + now.grown("balancer_requests_answered", &before);
    assert!(counted >= 4, "{counted}");
    here.assert_well();
}

#[test]
fn what_is_not_asked_for_is_dropped_and_counted() {
    let here = Inhabited::new();
    let caller = Caller::new(here.pool.udp());
    let before = here.pool.balancer.metrics();
    let at = caller.at();
    let response = format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKforged\r\nVia: SIP/2.0/UDP {at}\r\n\
         From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 NOTIFY\r\n\
         Content-Length: 0\r\n\r\n",
        here.pool.udp()
    );
    let uri = user_of("alice");
    for _ in 0..50 {
        caller.send(response.as_bytes());
        caller.send(request("ACK", &uri, at, "UDP", &[], "").as_bytes());
        caller.send(b"\r\n\r\n");
        caller.send(b"hello?");
    }
    assert!(caller.is_served());
    let now = here.pool.balancer.metrics();
    assert_eq!(now.grown("balancer_branches_refused", &before), 50);
    assert_eq!(now.grown("host_messages_unreadable", &before), 50);
    assert_eq!(now.grown("transport_pings", &before), 50);
    for (method, statuses) in [
        ("NOTIFY", [481, 481]),
        ("CANCEL", [481, 481]),
        ("INVITE", [405, 405]),
        ("FOO", [405, 501]),
    ] {
        let lines = ["Event: presence", "Subscription-State: active"];
        let reply = caller.ask(&request(method, &uri, at, "UDP", &lines, ""));
        assert!(
            statuses.contains(&reply.status().unwrap()),
            "{method}: {}",
            reply.0
        );
    }
    here.assert_well();
}

#[test]
fn requests_that_are_refused_change_nothing() {
    let here = Inhabited::new();
    let caller = Caller::new(here.pool.udp());
    let uri = user_of("alice");
    let at = caller.at();
    let table: &[(&str, &[&str], u16)] = &[
        ("REGISTER", &["Contact: *", "Expires: 600"], 400),
        ("REGISTER", &["Expires: 5"], 423),
        ("REGISTER", &["Require: nothing-we-know"], 420),
        ("REGISTER", &["Max-Forwards: 0"], 483),
        ("PUBLISH", &["Event: nothing-we-know"], 489),
        ("PUBLISH", &["Event: presence", "SIP-If-Match: stale"], 412),
        ("SUBSCRIBE", &["Event: nothing-we-know"], 489),
        ("SUBSCRIBE", &["Event: presence", "Accept: text/plain"], 406),
        ("SUBSCRIBE", &["Event: presence", "Expires: 3"], 423),
    ];
    for (method, lines, status) in table {
        let reply = caller.ask(&request(method, &uri, at, "UDP", lines, ""));
        assert_eq!(
            reply.status(),
            Some(*status),
            "{method} {lines:?}\n{}",
            reply.0
        );
    }
    here.assert_well();
}

#[test]
fn forged_and_broken_datagrams_to_the_out_of_band_port_are_counted() {
    let mut here = Inhabited::new();
    let status = here.pool.status();
    let rows = status["members"].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == "s1").unwrap();
    let oob: SocketAddr = row["oob"].as_str().unwrap().parse().unwrap();
    let before = here.pool.server("s1").metrics();
    let stranger = Caller::new(oob);
    let mut random = fastrand::Rng::with_seed(3);
    for length in 0..500_i64 {
        let bytes: Vec<u8> = (0..length * 3).map(|_| random.u8(..)).collect();
        stranger.send(&bytes);
        if length % 50 == 49 {
            until("them to be counted", BOUND, || {
                let now = here.pool.server("s1").metrics();
                (now.grown("oob_frames_refused", &before) > length).then_some(())
            });
        }
    }
    assert!(
        stranger.receive(Duration::from_millis(50)).is_none(),
        "nobody answers"
    );
    here.town.live(Duration::from_millis(50));
    let is_odd = |event: &Event| matches!(event, Event::SubscriptionEnded { .. });
    assert!(!here.town.phone(0).saw(is_odd));
    here.assert_well();
}

#[test]
fn a_stranger_at_the_port_between_members_is_closed_and_counted() {
    let here = Inhabited::new();
    let status = here.pool.status();
    let rows = status["members"].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == "s1").unwrap();
    let link: SocketAddr = row["sip"].as_str().unwrap().parse().unwrap();
    let before = here.pool.server("s1").metrics();
    let uri = user_of("alice");
    let logon = request(
        "REGISTER",
        &uri,
        link,
        "TCP",
        &["Expires: 0", "Contact: *"],
        "",
    );
    let noise = "\u{1}\u{2}\u{3}".repeat(1_000);
    for text in [logon.as_str(), "GET / HTTP/1.1\r\n\r\n", &noise] {
        let mut stream = Stream::open(link);
        stream.send(text.as_bytes());
        assert!(stream.is_closed_within(BOUND), "{text:?} was kept");
    }
    let now = here.pool.server("s1").metrics();
    assert!(now.grown("link_connections_refused", &before) >= 1);
    assert_eq!(now.grown("presence_requests_received", &before), 0);
    here.assert_well();
}

const BOUND: Duration = Duration::from_secs(10);
