//! What a takeover tells again, what it must not leave out, and when there is none.

use std::time::Duration;

use presently_pool::MemberId;
use presently_tests::world::{Doom, StoreFaults, World};

use super::named::{APART, crowd, shown, watcher_elsewhere};
use crate::play::{assert_lawful, log_on, publish, server, watch};

#[test]
fn nothing_expires_within_a_minute_of_a_takeover() {
    let mut world = World::of(5, APART);
    let alice = log_on(&mut world, "alice");
    let bob = log_on(&mut world, "bob");
    let target = world.phones[alice].aor.clone();
    world.with_phone(bob, |phone, now| phone.subscribe_for(now, &target, 40));
    world.run_for(Duration::from_secs(1));
    // Bob's phone is cut off and cannot refresh; a second later its server dies.
    let address = world.phones[bob].address;
    world.network.lost_phones.insert(address);
    let home = server(&mut world, "bob");
    let home = world.home(home);
    world.kill(home);
    world.run_for(Duration::from_secs(59));
    assert_eq!(world.show("bob").unwrap().subscriptions.len(), 1);
    world.run_for(Duration::from_secs(15));
    assert_eq!(
        world.show("bob").unwrap().subscriptions.len(),
        0,
        "it ended all the same"
    );
}

#[test]
fn few_are_told_again_what_they_know() {
    let mut world = World::of(6, APART);
    let alice = log_on(&mut world, "alice");
    let watchers = crowd(&mut world, 30, alice);
    publish(&mut world, alice, "known");
    // Two sweeps: the first has seen it, and every NOTIFY is answered.
    world.run_for(Duration::from_secs(25));
    let home = server(&mut world, "alice");
    let home = world.home(home);
    let told = world.ledger.notified();
    world.kill(home);
    world.run_for(Duration::from_secs(10));
    let again = world.ledger.notified() - told;
    println!("{again} of {} watchers were told again", watchers.len());
    assert_eq!(again, 0, "nothing was in flight");
    assert_lawful(&mut world);
}

#[test]
fn under_load_only_what_changed_lately_is_told_again() {
    let (mut moved, mut again) = (0, 0);
    for seed in 0..10 {
        let mut world = World::of(seed, APART);
        let alice = log_on(&mut world, "alice");
        let watchers = crowd(&mut world, 30, alice);
        for (place, _) in &watchers {
            let next = (place + 1) % world.phones.len();
            watch(&mut world, *place, next);
        }
        // Everybody changes every half a minute; the server dies at any moment between two sweeps.
        let rounds = 62 + usize::try_from(seed).expect("few");
        for round in 0..rounds {
            let place = round % world.phones.len();
            let note = round.to_string();
            world.with_phone(place, |phone, now| phone.publish(now, true, &note));
            world.run_for(Duration::from_secs(1));
        }
        let home = server(&mut world, "alice");
        moved += subscriptions(&mut world, home);
        let home = world.home(home);
        let before = world.ledger.repeated;
        world.kill(home);
        world.run_for(Duration::from_secs(10));
        again += world.ledger.repeated - before;
        assert_lawful(&mut world);
    }
    println!("{again} of {moved} subscriptions that moved were told again what they knew");
    assert!(again < moved, "{again} of {moved}");
}

#[test]
fn a_notify_that_was_lost_with_its_server_is_sent_by_the_next() {
    // Before, while and after a sweep has seen the change.
    for seed in 0..40 {
        let mut world = World::of(seed, APART);
        let (bob, id) = watcher_elsewhere(&mut world);
        world.run_for(Duration::from_millis(22_000 + 250 * seed));
        let address = world.phones[bob].address;
        world.network.lost_phones.insert(address);
        publish(&mut world, 0, "unheard");
        world.run_for(Duration::from_secs(1));
        let home = server(&mut world, "bob");
        let home = world.home(home);
        world.kill(home);
        world.network.lost_phones.clear();
        world.run_for(Duration::from_secs(5));
        assert_eq!(shown(&world, bob, id), "unheard", "seed {seed}");
        assert_lawful(&mut world);
    }
}

#[test]
fn what_was_not_told_is_told_after_two_deaths_in_a_row() {
    for seed in 0..40 {
        let mut world = World::of(seed, APART);
        let (bob, id) = watcher_elsewhere(&mut world);
        // A sweep of the next one falls before, between, or after.
        world.run_for(Duration::from_millis(20_000 + 250 * seed));
        let address = world.phones[bob].address;
        world.network.lost_phones.insert(address);
        world.with_phone(0, |phone, now| phone.publish(now, true, "unheard"));
        world.run_for(Duration::from_millis(20));
        let first = server(&mut world, "bob");
        let home = world.home(first);
        world.kill(home);
        world.run_for(Duration::from_millis(1_000));
        while server(&mut world, "bob") == first {
            world.run_for(Duration::from_millis(1));
        }
        // The next one dies before it has taken up, or before anybody has answered.
        world.run_for(Duration::from_millis(seed % 4 * 2));
        let second = server(&mut world, "bob");
        let home = world.home(second);
        world.doom(home, Doom::Ends(0));
        world.run_for(Duration::from_secs(4));
        world.network.lost_phones.clear();
        world.run_for(Duration::from_secs(5));
        assert_eq!(shown(&world, bob, id), "unheard", "seed {seed}");
        assert_lawful(&mut world);
    }
}

#[test]
fn a_server_that_goes_on_just_before_its_end_is_not_ended_behind_its_back() {
    for seed in 0..60 {
        let mut world = World::of(seed, APART);
        let (bob, id) = watcher_elsewhere(&mut world);
        let home = server(&mut world, "bob");
        let home = world.home(home);
        // What balancers know of beats is old when what they ask for is done.
        let delay = Duration::from_millis(400);
        for place in 0..2 {
            let faults = StoreFaults {
                delay,
                ..StoreFaults::default()
            };
            world.set_store_faults(place, faults);
        }
        world.run_for(Duration::from_secs(1));
        world.pause(home);
        world.run_for(Duration::from_millis(1_500 + 25 * seed));
        world.resume(home);
        // It is told of changes all the time, and tells them on.
        for note in 0..40 {
            world.run_for(Duration::from_millis(25));
            let note = note.to_string();
            world.with_phone(0, |phone, now| phone.publish(now, true, &note));
        }
        world.run_for(Duration::from_secs(8));
        assert_eq!(shown(&world, bob, id), "39", "seed {seed}");
        // Law 1 was checked wherever it spoke.
        assert_lawful(&mut world);
    }
}

/// How many subscriptions the clients of a server have.
fn subscriptions(world: &mut World, server: MemberId) -> u64 {
    let of = world.status().subscriptions.into_iter();
    of.filter(|(id, _)| *id == server)
        .map(|(_, count)| count)
        .sum()
}
