//! Goal: a connection that closes is forgiven for its grace, and not a moment is lost or gained by
//! words that come late; a phone that falls silent is asked, closed when it alone does not answer,
//! and open again when it is heard. Method: raw registrations over streams, phones that reach
//! nobody, a watcher, a virtual clock.

use std::net::SocketAddr;
use std::time::Duration;

use presently_agent::{Event, SubscriptionId};
use presently_pool::Role;
use presently_sip::Protocol;
use presently_tests::world::{Arrangement, Plan, Spell, StoreFaults, Trouble, World, aor};

use crate::play::{self, BOTH, SOON, log_on, publish, server, watch};

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
    let alice = aor("alice");
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

/// A world in which bob watches alice, everybody has answered a question, and every `nth` phone
/// (alice's is the first) is about to reach nobody for `lasts`. Each server has other phones, whose
/// answers say that the network is well.
fn silent(arrangement: Arrangement, nth: usize, lasts: Duration) -> (World, usize, SubscriptionId) {
    silent_in(World::new(11, 3, arrangement), nth, lasts)
}

fn silent_in(mut world: World, nth: usize, lasts: Duration) -> (World, usize, SubscriptionId) {
    let alice = log_on(&mut world, "alice");
    let bob = log_on(&mut world, "bob");
    for other in 0..20 {
        log_on(&mut world, &format!("u{other}"));
    }
    publish(&mut world, alice, "here");
    let watch = watch(&mut world, bob, alice);
    world.run_for(Duration::from_secs(150));
    assert!(is_online(&world, bob, watch));
    let trouble = Trouble::LostPhones(nth);
    let at = Duration::ZERO;
    world.follow(&Plan(vec![Spell { at, lasts, trouble }]));
    (world, bob, watch)
}

/// What the servers have counted together.
fn sum(world: &World, of: impl Fn(&presently_presence::Counters) -> u64) -> u64 {
    world.servers().map(|server| of(server.counters())).sum()
}

/// As [`silent`], alice closed since a while, and out of reach for another five seconds.
fn closed(arrangement: Arrangement) -> (World, usize, SubscriptionId) {
    let (mut world, bob, watch) = silent(arrangement, 2, Duration::from_mins(5));
    world.run_for(Duration::from_secs(295));
    assert!(!is_online(&world, bob, watch), "{arrangement:?}");
    (world, bob, watch)
}

/// Bob sees alice as she was before.
fn assert_open_again(world: &World, bob: usize, watch: SubscriptionId) {
    let shown = world.phones[bob].shows(watch);
    assert_eq!(shown, Some((true, "here".to_owned())));
    assert_eq!(world.ledger.broken, Vec::<String>::new());
}

// C21
#[test]
fn a_phone_that_was_out_of_reach_is_open_again_when_it_answers() {
    for arrangement in BOTH {
        let (mut world, bob, watch) = closed(arrangement);
        let received = sum(&world, |it| it.requests_received);
        world.run_for(Duration::from_secs(67));
        assert_open_again(&world, bob, watch);
        assert_eq!(received, sum(&world, |it| it.requests_received));
        let hidden = sum(&world, |it| it.bindings_unanswered);
        assert!(hidden > 1, "of each other phone");
        assert_eq!(hidden, sum(&world, |it| it.bindings_shown_again));
    }
}

#[test]
fn a_phone_that_was_out_of_reach_is_open_again_by_whatever_it_asks() {
    for arrangement in BOTH {
        let says: [fn(&mut World); 2] = [
            |world| play::register(world, 0),
            |world| {
                world.with_phone(0, |phone, now| phone.fetch(now, &aor("u1")));
            },
        ];
        for says in says {
            let (mut world, bob, watch) = closed(arrangement);
            world.run_for(Duration::from_secs(5));
            says(&mut world);
            world.run_for(Duration::from_secs(1));
            assert_open_again(&world, bob, watch);
        }
    }
}

#[test]
fn a_server_that_takes_over_knows_who_is_silent_and_asks_soon() {
    let (mut world, bob, watch) = closed(Arrangement::Apart);
    let home = server(&mut world, "alice");
    let place = world.home(home);
    world.kill(place);
    world.run_for(Duration::from_secs(4));
    assert_ne!(server(&mut world, "alice"), home);
    assert!(!is_online(&world, bob, watch));
    world.run_for(Duration::from_secs(18));
    assert_open_again(&world, bob, watch);
}

#[test]
fn a_refresh_from_elsewhere_shows_what_a_hidden_phone_has_published() {
    for arrangement in BOTH {
        let (mut world, bob, watch) = closed(arrangement);
        let tag = world.phones[0].events.iter().rev().find_map(|(_, event)| {
            let Event::Published { etag, .. } = event else {
                return None;
            };
            etag.clone()
        });
        let text = format!(
            "PUBLISH sip:alice@example.com SIP/2.0\r\n\
             Via: SIP/2.0/UDP {FIRST};branch=z9hG4bKr\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:alice@example.com>;tag=r\r\n\
             To: <sip:alice@example.com>\r\n\
             Call-ID: refresh@10.9.0.1\r\n\
             CSeq: 1 PUBLISH\r\n\
             Event: presence\r\n\
             SIP-If-Match: {tag}\r\n\
             Expires: 600\r\n\
             Content-Length: 0\r\n\r\n",
            tag = tag.expect("published").as_str()
        );
        world.raw_send(FIRST, Protocol::Udp, text.as_bytes());
        world.run_for(SOON);
        assert_open_again(&world, bob, watch);
    }
}

#[test]
fn one_whose_balancer_died_meanwhile_is_asked_by_another() {
    let world = World::of(11, &[&[Role::Balancer], &[Role::Balancer], &[Role::Server]]);
    // Not every other: the phones of one balancer would all be lost.
    let (mut world, bob, watch) = silent_in(world, 3, Duration::from_mins(5));
    world.run_for(Duration::from_secs(295));
    assert!(!is_online(&world, bob, watch));
    let bound = world.show("alice").expect("assigned").bindings;
    let balancer = bound.first().expect("kept").flow.balancer;
    let place = world.home(balancer);
    world.kill(place);
    world.run_for(Duration::from_secs(72));
    assert_open_again(&world, bob, watch);
}

#[test]
fn where_nobody_is_asked_any_more_no_mark_is_believed() {
    for arrangement in BOTH {
        let (mut world, bob, watch) = closed(arrangement);
        world.ask_after = Duration::ZERO;
        for place in 0..world.processes() {
            world.kill(place);
            world.begin_again(place);
        }
        world.run_for(Duration::from_mins(1));
        assert_open_again(&world, bob, watch);
        assert_eq!(sum(&world, |it| it.phones_asked), 0);
    }
}

#[test]
fn marks_that_meet_other_writes_are_made_and_taken_away_all_the_same() {
    for arrangement in BOTH {
        let (mut world, bob, watch) = silent(arrangement, 2, Duration::ZERO);
        for place in 0..world.processes() {
            let delay = Duration::from_millis(600);
            let replies_lost = 100;
            world.set_store_faults(
                place,
                StoreFaults {
                    delay,
                    replies_lost,
                    ..StoreFaults::default()
                },
            );
        }
        for round in 0..8 {
            let trouble = Trouble::LostPhones(2);
            let lasts = Duration::from_secs(90 + round);
            let at = Duration::ZERO;
            world.follow(&Plan(vec![Spell { at, lasts, trouble }]));
            world.run_for(lasts);
            for phone in 0..world.phones.len() {
                world.with_phone(phone, |phone, now| phone.publish(now, true, "here"));
            }
            world.run_for(Duration::from_secs(75));
            assert_open_again(&world, bob, watch);
        }
        assert!(sum(&world, |it| it.bindings_shown_again) > 0);
    }
}

#[test]
fn a_phone_that_falls_silent_is_asked_and_offline_when_it_does_not_answer() {
    for arrangement in BOTH {
        let (mut world, bob, watch) = silent(arrangement, 2, Duration::from_mins(10));
        world.run_for(Duration::from_secs(29));
        assert!(is_online(&world, bob, watch), "{arrangement:?}");
        world.run_for(Duration::from_secs(62));
        assert!(!is_online(&world, bob, watch), "{arrangement:?}");
        assert_eq!(world.ledger.broken, Vec::<String>::new());
    }
}

/// When every `nth` phone reaches nobody for so long, bob is told nothing of it, nor afterwards.
fn assert_never_gone(nth: usize, lasts: Duration) {
    for arrangement in BOTH {
        let (mut world, bob, watch) = silent(arrangement, nth, lasts);
        let told = world.phones[bob].notified().count();
        world.run_for(lasts + Duration::from_mins(5));
        assert!(is_online(&world, bob, watch), "{arrangement:?}");
        assert_eq!(world.phones[bob].notified().count(), told);
    }
}

#[test]
fn a_phone_that_is_out_of_reach_for_less_than_the_grace_was_never_gone() {
    assert_never_gone(2, Duration::from_secs(28));
}

#[test]
fn when_no_phone_answers_the_network_is_blamed_and_no_phone() {
    assert_never_gone(1, Duration::from_mins(20));
}

#[test]
fn a_phone_that_never_answered_is_there_until_its_binding_expires() {
    for arrangement in BOTH {
        let (mut world, bob, watch) = watched(arrangement);
        world.run_for(Duration::from_mins(59));
        assert!(is_online(&world, bob, watch), "{arrangement:?}");
        world.run_for(Duration::from_mins(2));
        assert!(!is_online(&world, bob, watch), "{arrangement:?}");
    }
}
