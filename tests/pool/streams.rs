//! TCP in any segmentation, half-open peers, slow peers, peers that do not read.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use presently_tests::program::{
    Caller, Place, Pool, Process, Reply, Stream, Town, binary, request, until, user_of,
};

fn register(stream: &Stream, user: &str) -> String {
    request(
        "REGISTER",
        &user_of(user),
        stream.at(),
        "TCP",
        &["Expires: 600"],
        "",
    )
}

fn answers(stream: &mut Stream, count: usize) -> Vec<u16> {
    let next = |_| stream.receive(BOUND).as_ref().and_then(Reply::status);
    (0..count).map_while(next).collect()
}

#[test]
fn messages_are_understood_in_any_segmentation() {
    let pool = Pool::start();
    let mut random = fastrand::Rng::with_seed(7);
    let seven = |_: &mut fastrand::Rng| 7;
    let any = |random: &mut fastrand::Rng| random.usize(1..400);
    let cuts: [&dyn Fn(&mut fastrand::Rng) -> usize; 4] = [
        &|_: &mut fastrand::Rng| 1,
        &seven,
        &any,
        &|_: &mut fastrand::Rng| usize::MAX,
    ];
    for (number, cut) in cuts.iter().enumerate() {
        let mut stream = Stream::open(pool.tcp());
        let mut text = String::new();
        for user in 0..5 {
            text += &register(&stream, &format!("user{number}x{user}"));
            // Keep-alives between messages are no message (RFC 5626 §3.5.1, RFC 3261 §7.5).
            text += ["", "\r\n", "\r\n\r\n"][user % 3];
        }
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(cut(&mut random).min(rest.len()));
            assert!(stream.send(piece));
            rest = after;
        }
        assert_eq!(answers(&mut stream, 5), [200; 5], "cut {number}");
    }
}

#[test]
fn a_stream_that_is_no_sip_is_closed_and_the_others_live() {
    let pool = Pool::start();
    let before = pool.balancer.metrics();
    let mut good = Stream::open(pool.tcp());
    let endless = format!("REGISTER sip:a@b SIP/2.0\r\n{}", "X: y\r\n".repeat(40_000));
    let wide = format!("REGISTER sip:a@b SIP/2.0\r\nX: {}", "y".repeat(200_000));
    let huge = request(
        "PUBLISH",
        "sip:a@b",
        good.at(),
        "TCP",
        &["Content-Length: 99999999"],
        "",
    );
    let unknown = request(
        "PUBLISH",
        "sip:a@b",
        good.at(),
        "TCP",
        &["Content-Length: many"],
        "",
    );
    let texts = [
        endless.as_str(),
        &wide,
        &huge,
        &unknown,
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3} hello, this is no TLS\r\n\r\n",
    ];
    for text in texts {
        let mut stream = Stream::open(pool.tcp());
        // It may be closed while we still write.
        stream.send(text.as_bytes());
        let start: String = text.chars().take(40).collect();
        assert!(stream.is_closed_within(BOUND), "{start:?} was kept");
    }
    let now = pool.balancer.metrics();
    let closed = now.grown("transport_connections_malformed", &before);
    assert_eq!(closed, 6, "each is counted");
    let text = register(&good, "alice");
    assert!(good.send(text.as_bytes()));
    assert_eq!(answers(&mut good, 1), [200]);
}

#[test]
fn silent_and_slow_peers_are_let_go_and_hurt_nobody() {
    let pool = Pool::start();
    let before = pool.balancer.metrics();
    let silent: Vec<Stream> = (0..100).map(|_| Stream::open(pool.tcp())).collect();
    let mut slow: Vec<Stream> = (0..100).map(|_| Stream::open(pool.tcp())).collect();
    for stream in &mut slow {
        let text = register(stream, "slow");
        assert!(stream.send(&text.as_bytes()[..text.len() / 2]));
    }
    let mut town = Town::default();
    let bob = town.tcp("bob", pool.tcp());
    let alice = town.udp("alice", pool.udp());
    town.register(bob);
    town.register(alice);
    let watch = town.watch(bob, "alice");
    town.publish(alice, true, "beside them");
    town.until_shown(bob, watch, true, "beside them");
    let counted = || {
        let now = pool.balancer.metrics();
        now.grown("transport_connections_timed_out", &before) >= 200
    };
    until("the silent and slow to be let go", LONGEST, || {
        counted().then_some(())
    });
    drop((silent, slow));
    town.publish(alice, false, "after them");
    town.until_shown(bob, watch, false, "after them");
    assert!(pool.show("slow").is_none());
}

#[test]
fn without_room_for_connections_datagrams_are_served_and_room_is_used_again() {
    let place = Place::new();
    let store = place.store();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 100 && exec \"$0\" \"$@\""]);
    command.arg(binary()).args(["serve", "--store", &store]);
    command.args(["--listen", "udp:127.0.0.1:0", "--listen", "tcp:127.0.0.1:0"]);
    let mut process = Process::spawn(&mut command);
    let mut at = |protocol: &str| -> SocketAddr {
        process.hear(protocol, |line| {
            let rest = line.trim_start().strip_prefix("phones")?.trim_start();
            rest.strip_prefix(protocol)?.trim().parse().ok()
        })
    };
    let (udp, tcp) = (at("udp"), at("tcp"));
    // More than fit: the system takes the rest into its queue.
    let crowd: Vec<Stream> = (0..180).map(|_| Stream::open(tcp)).collect();
    let caller = Caller::new(udp);
    assert!(caller.is_served());
    let text = request(
        "REGISTER",
        &user_of("alice"),
        caller.at(),
        "UDP",
        &["Expires: 600"],
        "",
    );
    assert_eq!(caller.ask(&text).status(), Some(200));
    drop(crowd);
    until("a connection to be served", BOUND, || {
        let mut stream = Stream::open(tcp);
        let text = register(&stream, "bob");
        stream.send(text.as_bytes());
        let reply = stream.receive(Duration::from_secs(1))?;
        (reply.status() == Some(200)).then_some(())
    });
    assert!(process.stop().success());
}

#[test]
fn a_peer_that_does_not_read_delays_nobody_else() {
    let pool = Pool::start();
    let mut town = Town::default();
    let alice = town.udp("alice", pool.udp());
    let bob = town.udp("bob", pool.udp());
    town.register(alice);
    town.register(bob);
    let watch = town.watch(bob, "alice");
    // Asks again and again, and never reads an answer.
    let mut deaf = Stream::open(pool.tcp());
    let accept = ["Event: presence", "Expires: 600"];
    for _ in 0..2_000 {
        let text = request(
            "SUBSCRIBE",
            &user_of("alice"),
            deaf.at(),
            "TCP",
            &accept,
            "",
        );
        let text = text.replace("From: <sip:alice@", "From: <sip:deaf@");
        if !deaf.send(text.as_bytes()) {
            break;
        }
    }
    for number in 0..10 {
        let note = format!("news {number}");
        town.publish(alice, true, &note);
        town.until_shown(bob, watch, true, &note);
    }
    let memory = pool.balancer.process.as_ref().unwrap().memory_kib();
    assert!(memory < 256 * 1024, "{memory} KiB");
}

#[test]
fn a_connection_that_goes_takes_its_users_with_it_by_and_by_but_no_others() {
    let pool = Pool::start();
    let mut town = Town::default();
    let bob = town.udp("bob", pool.udp());
    town.register(bob);
    let before = pool.balancer.metrics();
    for round in 0..50 {
        let mut stream = Stream::open(pool.tcp());
        let text = register(&stream, &format!("guest{round}"));
        assert!(stream.send(text.as_bytes()));
        if round % 2 == 0 {
            assert_eq!(answers(&mut stream, 1), [200]);
        }
    }
    until("the connections to be forgotten", BOUND, || {
        let now = pool.balancer.metrics();
        (now.get("transport_connections") <= before.get("transport_connections")).then_some(())
    });
    let watch = town.watch(bob, "bob");
    assert_eq!(town.phone(bob).shows(watch), Some((true, String::new())));
}

const BOUND: Duration = Duration::from_secs(10);
/// A new connection has 30 s for its first message, a message begun has 20 s.
const LONGEST: Duration = Duration::from_secs(45);
