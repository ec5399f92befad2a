//! Goal: what was confirmed outlives every process (R3, R14).
//! Method: all hosts end at once and begin again on the same store, in the middle of everything.

use std::time::Duration;

use presently_tests::world::World;

use super::play::{BOTH, SOON, assert_lawful, log_on, publish, server, watch};

// R3, R14
#[test]
fn all_committed_state_is_there_after_a_restart() {
    for arrangement in BOTH {
        let (mut world, [alice, bob]) = watched(1, arrangement);
        let id = watch(&mut world, bob, alice);
        publish(&mut world, alice, "before");
        let users = ["alice", "bob"];
        let before = users.map(|user| world.show(user).unwrap());
        let servers = users.map(|user| server(&mut world, user));
        world.restart();
        world.run_for(SOON);
        assert_eq!(users.map(|user| server(&mut world, user)), servers);
        for (user, before) in users.into_iter().zip(before) {
            let after = world.show(user).unwrap();
            assert_eq!(after.bindings, before.bindings, "{user}");
            assert_eq!(after.publications, before.publications, "{user}");
            assert_eq!(after.documents, before.documents, "{user}");
            assert_eq!(after.subscriptions, before.subscriptions, "{user}");
        }
        assert_eq!(
            world.phones[bob].shows(id),
            Some((true, "before".to_owned()))
        );
        assert_lawful(&mut world);
    }
}

// R14
#[test]
fn dialogs_and_entity_tags_go_on_after_a_restart() {
    for arrangement in BOTH {
        let (mut world, [alice, bob]) = watched(2, arrangement);
        let id = watch(&mut world, bob, alice);
        publish(&mut world, alice, "before");
        let dialogs = world.ledger.notifies.len();
        world.restart();
        publish(&mut world, alice, "after");
        assert_eq!(
            world.phones[bob].shows(id),
            Some((true, "after".to_owned()))
        );
        assert_eq!(
            world.ledger.notifies.len(),
            dialogs,
            "the dialog is the same"
        );
        let numbers: Vec<u32> = world.phones[bob].notified().map(|one| one.cseq).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        let refused = world
            .ledger
            .answers
            .keys()
            .filter(|(_, status)| *status >= 300);
        assert_eq!(refused.count(), 0, "no 412, no 481");
        assert_eq!(world.show("alice").unwrap().publications.len(), 1);
        assert_lawful(&mut world);
    }
}

// R14
#[test]
fn a_change_whose_wake_died_with_its_process_is_found() {
    for (arrangement, step) in BOTH
        .into_iter()
        .flat_map(|one| (0..30).map(move |step| (one, step)))
    {
        let (mut world, [alice, bob]) = watched(step, arrangement);
        let id = watch(&mut world, bob, alice);
        world.with_phone(alice, |phone, now| phone.publish(now, true, "in between"));
        world.run_for(Duration::from_micros(500 * step));
        world.restart();
        // The phone repeats a PUBLISH that was not answered, half a second later, then one.
        world.run_for(Duration::from_secs(2));
        let shown = (true, "in between".to_owned());
        assert_eq!(world.phones[bob].shows(id), Some(shown), "step {step}");
        assert_eq!(
            world.show("alice").unwrap().publications.len(),
            1,
            "step {step}"
        );
        assert_lawful(&mut world);
    }
}

fn watched(seed: u64, arrangement: presently_tests::world::Arrangement) -> (World, [usize; 2]) {
    let mut world = World::new(seed, 3, arrangement);
    let phones = ["alice", "bob"].map(|user| log_on(&mut world, user));
    (world, phones)
}
