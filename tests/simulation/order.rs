//! Goal: versions only grow, the last one arrives, and nothing is applied twice (R19, R20, R24,
//! R25). Method: floods, repeats and races, each race at many offsets.

use std::time::Duration;

use presently_pool::Version;
use presently_tests::world::{Faults, World, aor, presence_of};

use super::play::{BOTH, SOON, another, assert_lawful, log_on, publish, server, watch};

// R19
#[test]
fn repeated_and_overtaken_wakes_are_harmless() {
    for arrangement in BOTH {
        let mut world = World::new(1, 2, arrangement);
        let alice = log_on(&mut world, "alice");
        let bob = log_on(&mut world, "bob");
        let id = watch(&mut world, bob, alice);
        world.network.wakes = Faults {
            loss: 0,
            repeat: 1000,
            delay: 500,
            ..Faults::default()
        };
        let notified = world.ledger.notified();
        for number in 1..=20 {
            world.with_phone(alice, |phone, now| {
                phone.publish(now, true, &number.to_string())
            });
            world.run_for(Duration::from_millis(20));
        }
        world.run_for(Duration::from_secs(1));
        let notes = world.phones[bob].notes(id);
        let numbers: Vec<u32> = notes.iter().filter_map(|note| note.parse().ok()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        assert_eq!(numbers.last(), Some(&20));
        assert_eq!(
            world.ledger.notified() - notified,
            numbers.len(),
            "none for a repeat"
        );
        let versions = versions(&world, "alice");
        assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
        assert_lawful(&mut world);
    }
}

// R9, R19
#[test]
fn a_watcher_that_moved_is_not_shown_what_it_has_passed() {
    for arrangement in BOTH {
        let mut world = World::new(9, 3, arrangement);
        let [alice, _, carol, bob] =
            ["alice", "x", "carol", "bob"].map(|user| log_on(&mut world, user));
        let (a, c) = (server(&mut world, "alice"), server(&mut world, "carol"));
        assert_eq!(server(&mut world, "bob"), a);
        let id = watch(&mut world, bob, alice);
        watch(&mut world, carol, alice);
        publish(&mut world, alice, "old");
        // Bob is told at the publisher's own server; the wake for Carol's is lost.
        world.network.wakes.loss = 1000;
        world.with_phone(alice, |phone, now| phone.publish(now, true, "new"));
        let is_told = world.run_until(SOON, |world| {
            world.phones[bob].shows(id) == Some((true, "new".to_owned()))
        });
        assert!(is_told);
        world.network.wakes.loss = 0;
        world.reassign("bob", c);
        world.run_for(Duration::from_secs(1));
        let notes = world.phones[bob].notes(id);
        let first_new = notes.iter().position(|note| note == "new").unwrap();
        assert!(
            notes[first_new..].iter().all(|note| note == "new"),
            "{notes:?}"
        );
        assert!(notes.len() > first_new + 1, "the new server has notified");
        assert_lawful(&mut world);
    }
}

// R20
#[test]
fn of_a_thousand_changes_in_a_second_the_last_arrives_with_few_notifies() {
    for arrangement in BOTH {
        let mut world = World::new(2, 2, arrangement);
        world.hasten_store();
        world.network.phone_delay = Some(Duration::from_micros(200));
        let devices: Vec<usize> = (0..25).map(|_| world.add_phone("alice")).collect();
        log_on(&mut world, "alice");
        let bob = log_on(&mut world, "bob");
        let far = world.phones[bob].address;
        world.network.far.insert(far, Duration::from_millis(25));
        let id = watch(&mut world, bob, devices[0]);
        let (before, notified) = (versions(&world, "alice").len(), world.ledger.notified());
        for round in 0..40 {
            for (place, device) in devices.iter().enumerate() {
                let note = format!("{}", round * 25 + place + 1);
                world.with_phone(*device, |phone, now| phone.publish(now, true, &note));
                world.run_for(Duration::from_millis(1));
            }
        }
        let last = world.run_until(Duration::from_secs(2), |world| {
            world.phones[bob].shows(id) == Some((true, "1000".to_owned()))
        });
        assert!(last, "{:?}", world.phones[bob].shows(id));
        let changes = versions(&world, "alice").len() - before;
        let notifies = world.ledger.notified() - notified;
        assert!(changes >= 1000, "{changes} changes");
        // A watcher 50 ms away can answer twenty in a second.
        assert!(
            (2..=30).contains(&notifies),
            "{notifies} NOTIFYs for {changes} changes"
        );
        world.run_for(Duration::from_secs(1));
        assert_lawful(&mut world);
    }
}

// R24
#[test]
fn an_update_during_logon_is_applied_exactly_once() {
    for (arrangement, seed) in BOTH
        .into_iter()
        .flat_map(|one| (0..10).map(move |seed| (one, seed)))
    {
        let mut world = World::new(seed, 3, arrangement);
        // Every datagram comes twice, and they overtake each other.
        world.network.phones.repeat = 1000;
        let alice = world.add_phone("alice");
        world.with_phone(alice, |phone, now| {
            phone.register(now, 3600);
            phone.publish(now, true, "while logging on");
        });
        world.run_for(SOON);
        assert_applied_once(&mut world, "while logging on");
        assert_eq!(world.show("alice").unwrap().bindings.len(), 1);
        assert_eq!(world.status().clients, 1);
        assert_lawful(&mut world);
    }
}

// R24
#[test]
fn an_update_during_a_move_is_applied_exactly_once() {
    for (arrangement, step) in BOTH
        .into_iter()
        .flat_map(|one| (0..40).map(move |step| (one, step)))
    {
        let mut world = World::new(step, 3, arrangement);
        let alice = log_on(&mut world, "alice");
        let bob = log_on(&mut world, "bob");
        let id = watch(&mut world, bob, alice);
        publish(&mut world, alice, "before");
        let old = server(&mut world, "alice");
        let new = another(&world, &[old]);
        world.with_phone(alice, |phone, now| phone.publish(now, true, "while moving"));
        world.run_for(Duration::from_micros(250 * step));
        world.reassign("alice", new);
        world.run_for(Duration::from_secs(1));
        assert_eq!(server(&mut world, "alice"), new, "step {step}");
        assert_applied_once(&mut world, "while moving");
        assert_eq!(world.phones[bob].notes(id).last().unwrap(), "while moving");
        publish(&mut world, alice, "after");
        assert_applied_once(&mut world, "after");
        assert_lawful(&mut world);
    }
}

// R25
#[test]
fn a_subscription_that_races_an_update_sees_all_from_its_snapshot_on() {
    for (arrangement, step) in BOTH
        .into_iter()
        .flat_map(|one| (0..60).map(move |step| (one, step)))
    {
        let mut world = World::new(step, 2, arrangement);
        let alice = log_on(&mut world, "alice");
        let bob = log_on(&mut world, "bob");
        publish(&mut world, alice, "before");
        let target = aor("alice");
        let subscribe =
            |world: &mut World| world.with_phone(bob, |phone, now| phone.subscribe(now, &target));
        let update = |world: &mut World| {
            world.with_phone(alice, |phone, now| phone.publish(now, true, "raced"));
        };
        // From the update five milliseconds before the subscription to ten after it.
        let offset = Duration::from_micros(250 * step.abs_diff(20));
        let id = if step < 20 {
            update(&mut world);
            world.run_for(offset);
            subscribe(&mut world)
        } else {
            let id = subscribe(&mut world);
            world.run_for(offset);
            update(&mut world);
            id
        };
        world.run_for(SOON);
        let notes = world.phones[bob].notes(id);
        let expected = [vec!["before", "raced"], vec!["raced"]];
        assert!(
            expected.iter().any(|expected| notes == *expected),
            "step {step}: {notes:?}"
        );
        assert_lawful(&mut world);
    }
}

/// One row, and one version of the document, came of the note; the phone was told of one success.
fn assert_applied_once(world: &mut World, note: &str) {
    let publications = world.show("alice").unwrap().publications;
    assert_eq!(publications.len(), 1, "{publications:?}");
    let body = String::from_utf8(publications[0].body.to_vec()).unwrap();
    assert!(body.contains(note), "{body}");
    let entries = world.journal.entries();
    let has_note = |body: &[u8]| String::from_utf8_lossy(body).contains(note);
    let written = entries.documents.iter().filter(|one| has_note(&one.body));
    assert_eq!(written.count(), 1, "{note}");
}

/// Every version written of a user's presence, in order.
fn versions(world: &World, user: &str) -> Vec<Version> {
    let resource = presence_of(&aor(user));
    let entries = world.journal.entries();
    let of = entries
        .documents
        .iter()
        .filter(|one| one.resource == resource);
    of.map(|one| one.version).collect()
}
