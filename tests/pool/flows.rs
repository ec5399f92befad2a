//! Goal: a connection or a balancer that dies ends no subscription, and a short drop is seen by
//! nobody. Method: phones that hang up and come back, and two balancers under one advertised
//! address, one of which is killed.

use std::time::Duration;

use presently_agent::{Event, SubscriptionId};
use presently_tests::program::{Member, Plan, Pool, Town, until};

fn pool(grace_secs: u32) -> Pool {
    Pool::with(&Plan {
        file: format!("[flows]\ngrace_secs = {grace_secs}\n"),
        ..Plan::default()
    })
}

/// Alice, over TCP, is watched by bob, over UDP: online because she is registered.
fn watched(pool: &Pool) -> (Town, usize, usize, SubscriptionId) {
    let mut town = Town::default();
    let alice = town.tcp("alice", pool.tcp());
    let bob = town.udp("bob", pool.udp());
    town.register(alice);
    town.register(bob);
    let watch = town.watch(bob, "alice");
    assert_eq!(town.phone(bob).shows(watch), Some((true, String::new())));
    (town, alice, bob, watch)
}

/// What the servers have counted together.
fn sum(pool: &Pool, name: &str) -> i64 {
    let servers = pool.servers.iter();
    servers.map(|server| server.metrics().get(name)).sum()
}

/// Registers once more, over the line that the phone has now.
fn register_again(town: &mut Town, place: usize) {
    let is_answer = |event: &Event| matches!(event, Event::Registered { .. });
    let before = town.phone(place).count(is_answer);
    town.phone(place).register(600);
    town.until("registered again", |town| {
        town.phone(place).count(is_answer) > before
    });
}

#[test]
fn a_short_drop_is_seen_by_nobody() {
    let pool = pool(3);
    let (mut town, alice, bob, watch) = watched(&pool);
    let own = town.watch(alice, "bob");
    let notified = town.phone(bob).notified(watch);
    town.phone(alice).hang_up();
    until("the grace to begin", Duration::from_secs(5), || {
        (sum(&pool, "presence_bindings_in_grace") == 1).then_some(())
    });
    town.publish(bob, true, "while she was away");
    town.phone(alice).turn_to(pool.tcp());
    register_again(&mut town, alice);
    town.until_shown(alice, own, true, "while she was away");
    town.live(Duration::from_secs(5));
    assert_eq!(town.phone(bob).shows(watch), Some((true, String::new())));
    assert_eq!(town.phone(bob).notified(watch), notified, "nothing to tell");
    assert!(sum(&pool, "presence_subscriptions_cut") >= 1);
    assert!(sum(&pool, "presence_subscriptions_renewed") >= 1);
    assert_eq!(sum(&pool, "presence_notifies_timed_out"), 0);
}

#[test]
fn a_phone_that_does_not_come_back_is_offline_after_its_grace() {
    let pool = pool(2);
    let (mut town, alice, bob, watch) = watched(&pool);
    town.phone(alice).hang_up();
    town.live(Duration::from_secs(1));
    assert_eq!(town.phone(bob).shows(watch), Some((true, String::new())));
    town.until("offline", |town| {
        matches!(town.phone(bob).shows(watch), Some((false, _)))
    });
    assert!(
        pool.show("alice")
            .is_none_or(|shown| { shown["bindings"].as_array().is_none_or(Vec::is_empty) })
    );
}

#[test]
fn without_a_grace_a_lost_connection_says_nothing_of_its_phone() {
    let pool = pool(0);
    let (mut town, alice, bob, watch) = watched(&pool);
    town.phone(alice).hang_up();
    until("the loss to be noted", Duration::from_secs(5), || {
        (sum(&pool, "presence_flows_gone") == 1).then_some(())
    });
    town.live(Duration::from_secs(1));
    assert_eq!(town.phone(bob).shows(watch), Some((true, String::new())));
}

/// Two balancers that phones know by one name.
fn two_balancers() -> (Pool, Member) {
    let listen = ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"];
    let named = |listen: &str| format!("{listen},advertise=127.0.0.1:5060");
    let pool = Pool::with(&Plan {
        listen: listen.map(named).to_vec(),
        ..Plan::default()
    });
    let second = pool.balancer.twin("b2");
    until("its links", Duration::from_secs(10), || {
        let opened = second.metrics().get("link_connections_opened");
        (opened >= 3).then_some(())
    });
    (pool, second)
}

#[test]
fn another_balancer_goes_on_where_one_died() {
    let (mut pool, second) = two_balancers();
    let mut town = Town::default();
    let alice = town.udp("alice", second.listener("udp"));
    let bob = town.udp("bob", pool.udp());
    let carol = town.tcp("carol", pool.tcp());
    for phone in [alice, bob, carol] {
        town.register(phone);
    }
    let by_bob = town.watch(bob, "alice");
    let by_carol = town.watch(carol, "alice");
    town.publish(alice, true, "before");
    town.until_shown(bob, by_bob, true, "before");
    town.until_shown(carol, by_carol, true, "before");

    pool.balancer.kill();
    // As a shared address or a name does it: what bob sends reaches the one that lives.
    town.phone(bob).turn_to(second.listener("udp"));
    until("the servers to know", Duration::from_secs(10), || {
        (second.metrics().get("balancer_lives_ended") == 1).then_some(())
    });
    town.publish(alice, true, "after");
    town.until_shown(bob, by_bob, true, "after");
    assert!(second.metrics().get("balancer_requests_sent_for_others") >= 1);
    let from = town.phone(bob).heard.last().expect("it was notified").0;
    assert_eq!(from, second.listener("udp"));

    assert_eq!(
        town.phone(carol).shows(by_carol),
        Some((true, "before".to_owned())),
        "its connection is gone, and nothing can reach it"
    );
    town.phone(carol).turn_to(second.listener("tcp"));
    register_again(&mut town, carol);
    town.until_shown(carol, by_carol, true, "after");
    let is_anew = |event: &Event| matches!(event, Event::SubscriptionEnded { .. });
    for phone in [bob, carol] {
        assert_eq!(town.phone(phone).count(is_anew), 0);
    }
    assert_eq!(sum(&pool, "presence_notifies_timed_out"), 0);
}

#[test]
fn a_balancer_that_comes_back_finds_its_streams_gone_and_says_so() {
    let mut pool = pool(30);
    let (mut town, alice, bob, _) = watched(&pool);
    let watch = town.watch(alice, "bob");
    pool.balancer.kill();
    pool.balancer.restart();
    pool.wait();
    town.publish(bob, true, "behind her back");
    until("the loss to be noted", Duration::from_secs(5), || {
        (sum(&pool, "presence_subscriptions_cut") == 1).then_some(())
    });
    town.phone(alice).turn_to(pool.tcp());
    register_again(&mut town, alice);
    town.until_shown(alice, watch, true, "behind her back");
    assert_eq!(sum(&pool, "presence_notifies_timed_out"), 0);
}
