//! Phones over TCP and over IPv6, and both at once.

use std::net::UdpSocket;

use presently_tests::program::{Plan, Pool, Town};

#[test]
fn a_phone_over_tcp_hears_on_its_own_connection() {
    let pool = Pool::start();
    let mut town = Town::default();
    let alice = town.tcp("alice", pool.tcp());
    let bob = town.tcp("bob", pool.tcp());
    town.register(alice);
    town.register(bob);
    let before = pool.balancer.metrics();
    let watch = town.watch(bob, "alice");
    town.publish(alice, true, "over tcp");
    town.until_shown(bob, watch, true, "over tcp");
    let now = pool.balancer.metrics();
    // Nobody was called: what phones listen at is not even open.
    for name in [
        "transport_connections_opened",
        "transport_connections_failed",
    ] {
        assert_eq!(now.grown(name, &before), 0, "{name}");
    }
    for (from, text) in &town.phone(bob).heard {
        assert_eq!(*from, pool.tcp());
        assert!(text.contains("Content-Length"), "{text}");
    }
    let contact = pool.tcp().to_string();
    let notify = town
        .phone(bob)
        .heard
        .iter()
        .find(|(_, text)| text.starts_with("NOTIFY"));
    assert!(notify.unwrap().1.contains(&contact), "{notify:?}");
}

#[test]
fn a_phone_over_udp_watches_one_over_tcp_and_the_other_way() {
    let pool = Pool::start();
    let mut town = Town::default();
    let alice = town.tcp("alice", pool.tcp());
    let bob = town.udp("bob", pool.udp());
    town.register(alice);
    town.register(bob);
    let of_alice = town.watch(bob, "alice");
    let of_bob = town.watch(alice, "bob");
    town.publish(alice, true, "by stream");
    town.publish(bob, false, "by datagram");
    town.until_shown(bob, of_alice, true, "by stream");
    town.until_shown(alice, of_bob, false, "by datagram");
}

#[test]
fn phones_over_ipv6_are_served() {
    if UdpSocket::bind("[::1]:0").is_err() {
        println!("left out: this machine has no IPv6 (give it ::1)");
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"));
        return;
    }
    let pool = Pool::with(&Plan {
        listen: ["udp:[::1]:0", "tcp:[::1]:0"].map(str::to_owned).to_vec(),
        ..Plan::default()
    });
    let mut town = Town::default();
    let alice = town.udp("alice", pool.udp());
    let bob = town.tcp("bob", pool.tcp());
    assert!(pool.udp().is_ipv6());
    town.register(alice);
    town.register(bob);
    let watch = town.watch(bob, "alice");
    town.publish(alice, true, "six");
    town.until_shown(bob, watch, true, "six");
    let back = town.watch(alice, "bob");
    assert_eq!(town.phone(alice).shows(back), Some((true, String::new())));
}

#[test]
fn short_leases_run_out() {
    let pool = Pool::with(&Plan {
        file: "[expires]\nmin_secs = 1\n".to_owned(),
        ..Plan::default()
    });
    let mut town = Town::default();
    let bob = town.udp("bob", pool.udp());
    town.register(bob);
    let watch = town.watch(bob, "alice");
    // A phone that is switched off without a word.
    {
        let mut gone = Town::default();
        let alice = gone.udp("alice", pool.udp());
        gone.phone(alice).register(2);
        town.until_shown(bob, watch, true, "");
    }
    town.until_shown(bob, watch, false, "");
}
