//! Goal: a new owner tells a phone what it may have missed and little else; a client that is handed
//! over has one voice; a server that is emptied serves until it is empty (R36).
//! Method: restarts and hand-overs in virtual time, and what reached the phones.

use std::time::Duration;

use presently_pool::{MemberId, MemberState, Role};
use presently_store::{Operation, Outcome};
use presently_tests::world::World;

use super::play::{BOTH, SOON, assert_lawful, log_on, publish, server, watch};

#[test]
fn who_was_told_is_not_told_again_after_a_restart() {
    for arrangement in BOTH {
        let mut world = World::new(7, 2, arrangement);
        let alice = log_on(&mut world, "alice");
        let bob = log_on(&mut world, "bob");
        let id = watch(&mut world, bob, alice);
        publish(&mut world, alice, "told");
        // Two sweeps: what the first has seen is answered, and the counter is in a beat.
        world.run_for(Duration::from_secs(25));
        let before = world.phones[bob].notified().count();
        world.restart();
        world.run_for(Duration::from_secs(5));
        let after = world.phones[bob].notified().count();
        assert_eq!(after, before, "{arrangement:?}: nothing new to tell");
        publish(&mut world, alice, "news");
        assert_eq!(world.phones[bob].shows(id), Some((true, "news".to_owned())));
        assert_lawful(&mut world);
    }
}

#[test]
fn what_may_not_have_been_told_is_told_after_a_restart() {
    for arrangement in BOTH {
        let mut world = World::new(8, 2, arrangement);
        let alice = log_on(&mut world, "alice");
        let bob = log_on(&mut world, "bob");
        let id = watch(&mut world, bob, alice);
        world.run_for(Duration::from_secs(25));
        world.with_phone(alice, |phone, now| phone.publish(now, true, "in flight"));
        // Committed somewhere in these moments; the NOTIFY may or may not have left.
        for moment in [2, 3, 5] {
            world.run_for(Duration::from_millis(moment));
            world.restart();
        }
        world.run_for(Duration::from_secs(5));
        let shown = world.phones[bob].shows(id);
        assert_eq!(shown, Some((true, "in flight".to_owned())));
        assert_lawful(&mut world);
    }
}

/// A server that dies as soon as it has joined gets the next logon; its process never says a word.
#[test]
fn the_client_of_a_dead_server_is_answered_by_another_within_three_seconds() {
    for arrangement in BOTH {
        let mut world = World::new(10, 2, arrangement);
        log_on(&mut world, "alice");
        log_on(&mut world, "bob");
        let dead = join_and_die(&mut world);
        world.run_for(Duration::from_millis(600));
        let carol = world.add_phone("carol");
        world.with_phone(carol, |phone, now| phone.register(now, 3600));
        world.run_for(SOON);
        assert_eq!(server(&mut world, "carol"), dead, "nobody knows yet");
        world.run_for(Duration::from_millis(2_300));
        let state = world.show("carol").expect("the store knows her");
        assert_eq!(state.bindings.len(), 1, "{arrangement:?}");
        assert_ne!(server(&mut world, "carol"), dead);
        let counters = world.hosts().find_map(|host| host.balancer());
        let counters = *counters.expect("there is one").counters();
        assert_eq!(counters.lives_ended, 1);
        assert_eq!(counters.clients_taken_over, 1);
        let row = member(&mut world, dead);
        assert_eq!((row.state, row.clients), (MemberState::Ended, 0));
    }
}

fn join_and_die(world: &mut World) -> MemberId {
    let joining = Operation::Join {
        name: "s9".into(),
        over: None,
        role: Role::Server,
        host: "simulation".into(),
        pid: 9,
        started: 9,
        sip: None,
        oob: None,
        weight: 1,
        seed: [9; 16],
    };
    match world.ask(joining) {
        Outcome::Joined { membership, .. } => membership.member,
        outcome => panic!("it did not join: {outcome:?}"),
    }
}

/// All processes stand still, and their clocks go on: whoever wakes first must not end the others.
#[test]
fn a_machine_that_slept_takes_none_of_its_members_for_dead() {
    for arrangement in BOTH {
        let mut world = World::new(11, 3, arrangement);
        let alice = log_on(&mut world, "alice");
        let bob = log_on(&mut world, "bob");
        let id = watch(&mut world, bob, alice);
        let places = 0..world.processes();
        places.clone().for_each(|place| world.pause(place));
        world.run_for(Duration::from_mins(10));
        for place in places {
            world.resume(place);
            world.run_for(Duration::from_millis(70));
        }
        world.run_for(Duration::from_secs(5));
        publish(&mut world, alice, "awake");
        let shown = world.phones[bob].shows(id);
        assert_eq!(shown, Some((true, "awake".to_owned())), "{arrangement:?}");
        let counters = world.hosts().find_map(|host| host.balancer());
        assert_eq!(counters.expect("there is one").counters().lives_ended, 0);
        assert_lawful(&mut world);
    }
}

// R36
#[test]
fn a_drained_server_hands_its_clients_over_and_gets_no_new_ones() {
    for arrangement in BOTH {
        let mut world = World::new(9, 3, arrangement);
        let alice = log_on(&mut world, "alice");
        let watchers: Vec<_> = (0..30)
            .map(|n| {
                let place = log_on(&mut world, &format!("user{n}"));
                (place, watch(&mut world, place, alice))
            })
            .collect();
        let from = server(&mut world, "alice");
        let dialogs = world.ledger.notifies.len();
        drain(&mut world, from, true);
        for round in 0..20 {
            publish(&mut world, alice, &format!("during {round}"));
        }
        world.run_for(Duration::from_secs(2));
        let row = member(&mut world, from);
        assert_eq!(row.clients, 0, "{arrangement:?}");
        let late = log_on(&mut world, "late");
        assert_ne!(server(&mut world, "late"), from);
        let _ = late;
        publish(&mut world, alice, "after");
        world.run_for(SOON);
        for (place, id) in &watchers {
            assert!(world.phones[*place].is_live(*id));
            let shown = world.phones[*place].shows(*id);
            assert_eq!(shown, Some((true, "after".to_owned())));
        }
        assert_eq!(world.ledger.notifies.len(), dialogs, "the same dialogs");
        drain(&mut world, from, false);
        world.run_for(SOON);
        let fresh = log_on(&mut world, "fresh");
        let _ = fresh;
        assert_eq!(server(&mut world, "fresh"), from, "the emptiest again");
        assert_lawful(&mut world);
    }
}

fn drain(world: &mut World, id: presently_pool::MemberId, is_draining: bool) {
    let name = member(world, id).name;
    let outcome = world.ask(Operation::Drain { name, is_draining });
    assert!(matches!(outcome, Outcome::Drained(Some(row)) if row.is_draining == is_draining));
}

fn member(world: &mut World, id: presently_pool::MemberId) -> presently_pool::Member {
    let status = world.status();
    let mut members = status.members.into_iter();
    members.find(|row| row.id == id).expect("it has joined")
}
