//! Goal: a client's requests find its distinguished server, chosen by client count (R1–R6).
//! Method: logons and updates in order; the store, the links and the servers' counts are looked at.

use presently_pool::MemberId;
use presently_store::{Operation, Outcome};
use presently_tests::world::{Arrangement, World};

use super::play::{
    BOTH, SOON, another, assert_lawful, log_off, log_on, publish, received, register, server, watch,
};

// R1
#[test]
fn a_client_is_never_told_the_address_of_a_server() {
    for arrangement in BOTH {
        let mut world = World::new(1, 3, arrangement);
        world.ledger.kept = Some(Vec::new());
        let alice = log_on(&mut world, "alice");
        let bob = log_on(&mut world, "bob");
        watch(&mut world, bob, alice);
        publish(&mut world, alice, "here");
        let kept = world.ledger.kept.take().unwrap();
        assert!(kept.len() >= 5, "200s and NOTIFYs");
        for message in kept {
            let text = String::from_utf8(message.to_vec()).unwrap();
            let addresses = text.match_indices("10.0.0.1").map(|(at, _)| &text[at..]);
            for address in addresses {
                assert!(address.starts_with("10.0.0.1:5060"), "{text}");
            }
        }
        let balancer = world.hosts().find_map(|host| host.balancer()).unwrap();
        assert_eq!(balancer.counters().requests_forwarded, 4);
        assert_lawful(&mut world);
    }
}

// R2
#[test]
fn sequential_logons_never_differ_by_more_than_one() {
    for arrangement in BOTH {
        let mut world = World::new(2, 3, arrangement);
        for place in 0..10 {
            log_on(&mut world, &format!("user{place}"));
            let counts = counts(&mut world);
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(most - least <= 1, "{counts:?}");
        }
        assert_eq!(counts(&mut world), [4, 3, 3], "ties go to the lowest id");
    }
}

// R2
#[test]
fn after_logoffs_the_next_logon_goes_to_the_emptiest() {
    for arrangement in BOTH {
        let mut world = World::new(3, 3, arrangement);
        let phones: Vec<usize> = (0..6)
            .map(|place| log_on(&mut world, &format!("user{place}")))
            .collect();
        let emptied = server(&mut world, "user1");
        assert_eq!(server(&mut world, "user4"), emptied);
        log_off(&mut world, phones[1]);
        assert_eq!(counts(&mut world), [2, 1, 2]);
        log_off(&mut world, phones[4]);
        assert_eq!(counts(&mut world), [2, 0, 2]);
        // Somebody new, and one of those who left.
        log_on(&mut world, "somebody");
        assert_eq!(server(&mut world, "somebody"), emptied);
        register(&mut world, phones[1]);
        assert_eq!(server(&mut world, "user1"), emptied);
        assert_lawful(&mut world);
    }
}

// R2
#[test]
fn weights_make_the_counts_proportional() {
    let mut world = World::weighted(4, &[1, 2, 3], Arrangement::Together);
    for place in 0..12 {
        log_on(&mut world, &format!("user{place}"));
    }
    assert_eq!(counts(&mut world), [2, 4, 6]);
}

// R3
#[test]
fn the_assignment_is_stored_before_the_logon_is_answered() {
    for arrangement in BOTH {
        let mut world = World::new(5, 3, arrangement);
        let alice = world.add_phone("alice");
        world.with_phone(alice, |phone, now| phone.register(now, 3600));
        let answer = ("REGISTER".to_owned(), 200);
        let is_answered = world.run_until(SOON, |world| world.ledger.answers.contains_key(&answer));
        assert!(is_answered);
        assert!(world.phones[alice].events.is_empty(), "it has just left");
        let state = world.show("alice").unwrap();
        assert!(state.assignment.is_some());
        assert_eq!(state.bindings.len(), 1);
    }
}

// R4, R6
#[test]
fn an_update_goes_to_the_distinguished_server_and_no_other() {
    for arrangement in BOTH {
        let mut world = World::new(6, 3, arrangement);
        let alice = log_on(&mut world, "alice");
        let owner = server(&mut world, "alice");
        let before = received(&world);
        publish(&mut world, alice, "here");
        let after = received(&world);
        for ((member, before), (_, after)) in before.into_iter().zip(after) {
            assert_eq!(after - before, u64::from(member == owner), "{member:?}");
        }
        if arrangement == Arrangement::Apart {
            assert_eq!(forwarded(&world, "PUBLISH"), [(BALANCER, owner)]);
        }
    }
}

// R5
#[test]
fn an_update_after_a_move_goes_to_the_new_server() {
    for arrangement in BOTH {
        let mut world = World::new(7, 3, arrangement);
        let alice = log_on(&mut world, "alice");
        publish(&mut world, alice, "before");
        let old = server(&mut world, "alice");
        let new = another(&world, &[old]);
        world.reassign("alice", new);
        world.run_for(SOON);
        assert_eq!(server(&mut world, "alice"), new);
        let before = received(&world);
        publish(&mut world, alice, "after");
        let after = received(&world);
        for ((member, before), (_, after)) in before.into_iter().zip(after) {
            assert_eq!(after - before, u64::from(member == new), "{member:?}");
        }
        if arrangement == Arrangement::Apart {
            assert_eq!(
                forwarded(&world, "PUBLISH"),
                [(BALANCER, old), (BALANCER, new)]
            );
        }
        assert_eq!(noted(&mut world, "alice"), ["after"]);
        assert_lawful(&mut world);
    }
}

// R5
#[test]
fn a_balancer_that_has_not_heard_of_a_move_learns_it_by_the_hand_back() {
    for arrangement in BOTH {
        let mut world = World::new(8, 3, arrangement);
        let alice = log_on(&mut world, "alice");
        publish(&mut world, alice, "before");
        let old = server(&mut world, "alice");
        let new = another(&world, &[old]);
        move_silently(&mut world, "alice", new);
        publish(&mut world, alice, "after");
        assert_eq!(noted(&mut world, "alice"), ["after"]);
        publish(&mut world, alice, "again");
        assert_eq!(noted(&mut world, "alice"), ["again"]);
        if arrangement == Arrangement::Apart {
            // The second goes to the old server, back, and once more; the third straight.
            let expected = [old, old, new, new].map(|to| (BALANCER, to));
            let sent: Vec<_> = forwarded(&world, "PUBLISH")
                .into_iter()
                .filter(|(from, _)| *from == BALANCER)
                .collect();
            assert_eq!(sent, expected);
        }
        assert_lawful(&mut world);
    }
}

/// The clients of each server, in the order of their ids.
fn counts(world: &mut World) -> Vec<u64> {
    let members = world.status().members;
    members
        .iter()
        .skip(1)
        .map(|member| member.clients)
        .collect()
}

/// Between which members requests of a method went.
fn forwarded(world: &World, method: &str) -> Vec<(MemberId, MemberId)> {
    let links = world.ledger.links.iter();
    links
        .filter(|linked| linked.method == method && linked.status.is_none())
        .map(|linked| (linked.from, linked.to))
        .collect()
}

/// The first notes of a user's publications in the store.
fn noted(world: &mut World, user: &str) -> Vec<String> {
    let publications = world.show(user).unwrap().publications;
    let bodies = publications.iter().map(|row| &row.body);
    bodies
        .filter_map(|body| presently_agent::read_pidf(body)?.1.into_iter().next())
        .collect()
}

/// Moves a client in the store, and tells nobody.
fn move_silently(world: &mut World, user: &str, to: MemberId) {
    let held = world.show(user).unwrap().assignment.unwrap();
    let outcome = world.ask(Operation::Reassign {
        client: presently_tests::world::aor(user),
        from: held.server,
        epoch: held.epoch,
        to: Some(to),
    });
    assert!(matches!(outcome, Outcome::Assigned(Some(now)) if now.server == to));
}

/// The balancer joined first.
const BALANCER: MemberId = MemberId(1);
