//! Goal: a connection that closes is forgiven for its grace, and not a moment is lost or gained by
//! words that come late. Method: raw registrations over streams, a watcher, a virtual clock.

use std::net::SocketAddr;
use std::time::Duration;

use presently_agent::SubscriptionId;
use presently_sip::Protocol;
use presently_tests::world::{Arrangement, World};

use crate::play::{BOTH, SOON, log_on};

const FIRST: SocketAddr = address(1_000);
const SECOND: SocketAddr = address(2_000);

const fn address(port: u16) -> SocketAddr {
    SocketAddr::new(
        std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 9, 0, 1)),
        port,
    )
}

/// Alice's phone registers over a connection from `from`, with a Contact at `port`.
fn register(world: &mut World, from: SocketAddr, port: u16, cseq: u32) {
    let text = format!(
        "REGISTER sip:example.com SIP/2.0\r\n\
         Via: SIP/2.0/TCP {from};branch=z9hG4bKa{cseq}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:alice@example.com>;tag=a\r\n\
         To: <sip:alice@example.com>\r\n\
         Call-ID: alice@10.9.0.1\r\n\
         CSeq: {cseq} REGISTER\r\n\
         Contact: <sip:alice@10.9.0.1:{port};transport=tcp>\r\n\
         Expires: 3600\r\n\
         Content-Length: 0\r\n\r\n"
    );
    world.raw_send(from, Protocol::Tcp, text.as_bytes());
    world.run_for(SOON);
}

/// A world in which bob watches alice, who is registered over a connection.
fn watched(arrangement: Arrangement) -> (World, usize, SubscriptionId) {
    let mut world = World::new(5, 3, arrangement);
    let bob = log_on(&mut world, "bob");
    register(&mut world, FIRST, 1_000, 1);
    let alice = presently_tests::world::aor("alice");
    let watch = world.with_phone(bob, |phone, now| phone.subscribe(now, &alice));
    world.run_for(SOON);
    assert!(is_online(&world, bob, watch));
    (world, bob, watch)
}

fn is_online(world: &World, bob: usize, watch: SubscriptionId) -> bool {
    matches!(world.phones[bob].shows(watch), Some((true, _)))
}

#[test]
fn a_lost_connection_is_forgiven_for_half_a_minute_and_no_longer() {
    for arrangement in BOTH {
        let (mut world, bob, watch) = watched(arrangement);
        world.hang_up(FIRST);
        world.run_for(Duration::from_secs(29));
        assert!(is_online(&world, bob, watch), "{arrangement:?}");
        world.run_for(Duration::from_secs(2));
        assert!(!is_online(&world, bob, watch), "{arrangement:?}");
        assert_eq!(world.ledger.broken, Vec::<String>::new());
    }
}

#[test]
fn a_phone_that_comes_back_was_never_gone() {
    for (arrangement, port) in BOTH.into_iter().zip([1_000, 2_000]) {
        let (mut world, bob, watch) = watched(arrangement);
        let told = world.phones[bob].notified().count();
        world.hang_up(FIRST);
        world.run_for(Duration::from_secs(20));
        register(&mut world, SECOND, port, 2);
        world.run_for(Duration::from_mins(2));
        assert!(is_online(&world, bob, watch), "{arrangement:?}");
        assert_eq!(world.phones[bob].notified().count(), told);
    }
}

#[test]
fn a_word_of_a_flow_that_was_left_changes_nothing() {
    for arrangement in BOTH {
        let (mut world, bob, watch) = watched(arrangement);
        register(&mut world, SECOND, 1_000, 2);
        world.hang_up(FIRST);
        world.run_for(Duration::from_mins(2));
        assert!(is_online(&world, bob, watch), "{arrangement:?}");
    }
}
