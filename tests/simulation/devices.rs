//! Goal: a user's devices belong together, and the last log-off is the user's (R26, R27).
//! Method: two devices, a watcher elsewhere; the store, the counts and the watcher's phone are
//! looked at.

use std::net::SocketAddr;
use std::time::Duration;

use presently_sip::Protocol;
use presently_tests::world::World;

use super::play::{BOTH, SOON, assert_lawful, log_off, log_on, publish, register, server, watch};

// R26
#[test]
fn the_last_log_off_is_fanned_out_and_takes_what_came_by_its_flow() {
    for arrangement in BOTH {
        let mut world = World::new(1, 2, arrangement);
        let alice = log_on(&mut world, "alice");
        let bob = log_on(&mut world, "bob");
        let id = watch(&mut world, bob, alice);
        publish(&mut world, alice, "here");
        assert_eq!(world.phones[bob].shows(id), Some((true, "here".to_owned())));
        let frames = world.ledger.wakes.frames.len();
        log_off(&mut world, alice);
        assert_eq!(world.phones[bob].shows(id), Some((false, String::new())));
        assert_eq!(world.ledger.wakes.frames.len(), frames + 1);
        let state = world.show("alice").unwrap();
        assert!(state.bindings.is_empty() && state.publications.is_empty());
        assert_lawful(&mut world);
    }
}

// R26
#[test]
fn an_assignment_is_released_once_when_nothing_of_the_client_lives() {
    for arrangement in BOTH {
        let mut world = World::new(2, 2, arrangement);
        let alice = log_on(&mut world, "alice");
        let bob = log_on(&mut world, "bob");
        let id = watch(&mut world, bob, alice);
        // A subscription outlives the last binding, and keeps the assignment.
        log_off(&mut world, bob);
        assert!(world.server_of("bob").is_some());
        assert_eq!(world.status().clients, 2);
        world.with_phone(bob, |phone, now| phone.unsubscribe(now, id));
        world.run_for(SOON);
        assert!(world.server_of("bob").is_none());
        assert_eq!(world.status().clients, 1);
        // So does a publication that came another way than by a binding's flow.
        let web = world.add_phone("alice");
        publish(&mut world, web, "from the web");
        log_off(&mut world, alice);
        assert!(world.server_of("alice").is_some());
        world.with_phone(web, |phone, now| phone.unpublish(now));
        world.run_for(SOON);
        assert!(world.server_of("alice").is_none());
        let counts: Vec<u64> = world
            .status()
            .members
            .iter()
            .map(|one| one.clients)
            .collect();
        assert_eq!(counts, [0, 0, 0]);
        assert_lawful(&mut world);
    }
}

// R27
#[test]
fn the_devices_of_a_user_share_one_server() {
    for arrangement in BOTH {
        let mut world = World::new(3, 3, arrangement);
        let desk = log_on(&mut world, "alice");
        log_on(&mut world, "bob");
        let owner = server(&mut world, "alice");
        let mobile = world.add_phone("alice");
        register(&mut world, mobile);
        assert_eq!(server(&mut world, "alice"), owner);
        assert_eq!(world.show("alice").unwrap().bindings.len(), 2);
        assert_eq!(world.status().clients, 2, "two users, three phones");
        publish(&mut world, desk, "desk");
        publish(&mut world, mobile, "mobile");
        assert_eq!(world.show("alice").unwrap().publications.len(), 2);
        assert_lawful(&mut world);
    }
}

// R27
#[test]
fn one_devices_log_off_does_not_log_off_the_user() {
    for arrangement in BOTH {
        let mut world = World::new(4, 2, arrangement);
        let desk = log_on(&mut world, "alice");
        let bob = log_on(&mut world, "bob");
        let mobile = log_on(&mut world, "alice");
        let id = watch(&mut world, bob, desk);
        log_off(&mut world, desk);
        assert_eq!(world.phones[bob].shows(id), Some((true, String::new())));
        assert_eq!(world.show("alice").unwrap().bindings.len(), 1);
        // The mobile is still reached.
        let target = world.phones[mobile].aor.clone();
        world.with_phone(bob, |phone, now| phone.message(now, &target, "hello"));
        world.run_for(SOON);
        let heard = world.phones[mobile].events.iter().any(|(_, event)| {
            matches!(event, presently_agent::Event::MessageReceived { body, .. } if body == "hello")
        });
        assert!(heard);
        log_off(&mut world, mobile);
        assert_eq!(world.phones[bob].shows(id), Some((false, String::new())));
        assert_lawful(&mut world);
    }
}

/// A datagram may be seconds late. Neither a server's memory nor the binding, which is gone, says
/// then that it is an old one.
// RFC 3261 §10.3 step 7
#[test]
fn a_register_from_before_the_log_off_binds_nothing_at_any_server() {
    let from = SocketAddr::from(([10, 9, 0, 1], 5060));
    for arrangement in BOTH {
        let mut world = World::new(6, 3, arrangement);
        for (cseq, expires, status) in [(1, 300, 200), (2, 300, 200), (4, 0, 200)] {
            assert_eq!(raw_register(&mut world, from, cseq, expires), status);
        }
        world.restart();
        for cseq in [1, 3] {
            assert_eq!(raw_register(&mut world, from, cseq, 300), 500, "{cseq}");
            assert_eq!(world.show("alice").unwrap().bindings.len(), 0);
        }
        world.run_for(Duration::from_secs(5));
        assert_eq!(raw_register(&mut world, from, 5, 300), 200, "it is back");
        assert_eq!(world.show("alice").unwrap().bindings.len(), 1);
        assert_eq!(raw_register(&mut world, from, 6, 0), 200);
        assert_eq!(
            raw_register(&mut world, from, 5, 300),
            200,
            "the same answer"
        );
        assert_eq!(world.show("alice").unwrap().bindings.len(), 0);
        assert_lawful(&mut world);
    }
}

/// A REGISTER of alice's, and the status that it is answered with.
fn raw_register(world: &mut World, from: SocketAddr, cseq: u32, expires: u32) -> u16 {
    let text = format!(
        "REGISTER sip:example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP {from};branch=z9hG4bKa{cseq}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:alice@example.com>;tag=a\r\n\
         To: <sip:alice@example.com>\r\n\
         Call-ID: alice@10.9.0.1\r\n\
         CSeq: {cseq} REGISTER\r\n\
         Contact: <sip:alice@{from}>\r\n\
         Expires: {expires}\r\n\
         Content-Length: 0\r\n\r\n"
    );
    world.raw_send(from, Protocol::Udp, text.as_bytes());
    world.run_for(SOON);
    let heard = world.take_heard().pop().expect("answered");
    let status = heard.text.split(' ').nth(1).expect("a status line");
    status.parse().expect("a status")
}
