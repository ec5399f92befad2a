//! Stopping and starting: what is kept, what is said, and to whom not.

use std::time::Duration;

use presently_agent::Event;
use presently_tests::program::{Pool, Town};

#[test]
fn a_restart_of_all_processes_keeps_everything() {
    let mut pool = Pool::start();
    let mut town = Town::default();
    let alice = town.udp("alice", pool.udp());
    let bob = town.udp("bob", pool.udp());
    town.register(alice);
    town.register(bob);
    let watch = town.watch(bob, "alice");
    town.publish(alice, true, "before");
    town.until_shown(bob, watch, true, "before");
    let servers = ["alice", "bob"].map(|user| pool.server_of(user));
    for member in pool.members() {
        assert!(member.stop(), "{} did not end well", member.name);
    }
    for member in pool.members() {
        member.restart();
    }
    pool.wait();
    assert_eq!(["alice", "bob"].map(|user| pool.server_of(user)), servers);
    town.publish(alice, true, "after");
    town.until_shown(bob, watch, true, "after");
    let is_anew = |event: &Event| {
        matches!(
            event,
            Event::SubscriptionEnded { .. }
                | Event::OutOfOrder { .. }
                | Event::PublishFailed { .. }
        )
    };
    assert_eq!(
        town.phone(bob).count(is_anew),
        0,
        "{:?}",
        town.phone(bob).events
    );
    assert_eq!(town.phone(alice).count(is_anew), 0);
}

#[test]
fn a_request_while_its_server_is_dead_is_answered_by_the_one_that_takes_over() {
    let mut pool = Pool::start();
    let mut town = Town::default();
    let alice = town.udp("alice", pool.udp());
    let bob = town.tcp("bob", pool.tcp());
    town.register(alice);
    town.register(bob);
    let home = pool.server_of("alice");
    let watch = town.watch(bob, "alice");
    let away = pool
        .servers
        .iter_mut()
        .find(|server| server.name == home)
        .unwrap();
    away.kill();
    town.phone(alice).publish(true, "while it was away");
    town.until_shown(bob, watch, true, "while it was away");
    let is_over =
        |event: &Event| matches!(event, Event::Published { .. } | Event::PublishFailed { .. });
    town.until("an answer", |town| town.phone(alice).saw(is_over));
    assert!(
        !town
            .phone(alice)
            .saw(|event| matches!(event, Event::PublishFailed { .. }))
    );
    assert_ne!(pool.server_of("alice"), home);
    let metrics = pool.balancer.metrics();
    assert_eq!(metrics.get("balancer_lives_ended"), 1);
    assert!(metrics.get("balancer_clients_taken_over") >= 1);
    let away = pool
        .servers
        .iter_mut()
        .find(|server| server.name == home)
        .unwrap();
    away.restart();
    pool.wait();
}

#[test]
fn sigterm_ends_with_success_and_terminates_no_subscription() {
    let mut pool = Pool::start();
    let mut town = Town::default();
    let bob = town.udp("bob", pool.udp());
    town.register(bob);
    town.watch(bob, "alice");
    for member in pool.members() {
        let mut process = member.process.take().unwrap();
        let ended = process.stop();
        assert!(
            ended.success(),
            "{}: {ended} {:?}",
            member.name,
            process.said()
        );
    }
    town.live(Duration::from_millis(500));
    for (_, text) in &town.phone(bob).heard {
        assert!(!text.contains("terminated"), "{text}");
    }
    let status = pool.status();
    for row in status["members"].as_array().unwrap() {
        assert_eq!(row["state"], "left", "{row}");
    }
    let shown = pool.show("bob").unwrap();
    assert_eq!(shown["watches"].as_array().unwrap().len(), 1);
}

#[test]
fn sigterm_finishes_what_is_in_flight() {
    let mut pool = Pool::start();
    let mut town = Town::default();
    let users: Vec<usize> = (0..30)
        .map(|number| town.udp(&format!("user{number}"), pool.udp()))
        .collect();
    for user in &users {
        town.phone(*user).register(600);
    }
    // The servers end while these are on their way: each 200 that was sent is in the store.
    for server in &mut pool.servers {
        server.process.as_ref().unwrap().signal("TERM");
    }
    town.live(Duration::from_secs(1));
    for user in users {
        let phone = town.phone(user);
        let name = phone.user.clone();
        if phone.saw(|event| matches!(event, Event::Registered { .. })) {
            let shown = pool.show(&name).unwrap();
            assert_eq!(shown["bindings"].as_array().unwrap().len(), 1, "{name}");
        }
    }
}

#[test]
fn a_start_is_one_summary_and_then_silence() {
    let mut pool = Pool::start();
    let mut town = Town::default();
    let alice = town.udp("alice", pool.udp());
    let said: Vec<_> = pool
        .members()
        .map(|member| member.process.as_ref().unwrap().said())
        .collect();
    town.register(alice);
    town.publish(alice, true, "here");
    for (member, before) in pool.members().zip(said) {
        assert!(!before.is_empty());
        assert_eq!(member.process.as_ref().unwrap().said(), before);
    }
}
