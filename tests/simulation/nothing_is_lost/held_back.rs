//! What a server wrote while it might speak, and could not say before it fell silent.

use std::time::Duration;

use presently_agent::Event;
use presently_pool::Role::{Balancer as B, Server as S};
use presently_tests::world::{Doom, StoreFaults, World};

use super::named::{APART, shown};
use crate::play::{SOON, another, assert_lawful, log_on, publish, server};

/// A turn takes in that a SUBSCRIBE is committed, writes the 200 and the NOTIFY, and begins the
/// hand-over that waited for it; then the process stands still before any of it leaves.
#[test]
fn a_client_is_not_given_away_before_what_was_said_to_it_has_left() {
    let mut handed_over = 0;
    for seed in 0..40 {
        let mut world = World::of(seed, APART);
        let alice = log_on(&mut world, "alice");
        let bob = log_on(&mut world, "bob");
        let from = server(&mut world, "bob");
        let to = another(&world, &[from]);
        let place = world.home(from);
        world.run_for(Duration::from_millis(7 * seed));
        let target = world.phones[alice].aor.clone();
        let id = world.with_phone(bob, |phone, now| phone.subscribe(now, &target));
        let is_written = world.run_until(Duration::from_secs(1), |world| {
            !world.journal.entries().subscribed.is_empty()
        });
        assert!(is_written, "seed {seed}");
        world.doom(place, Doom::StandsStill);
        assert!(world.try_reassign("bob", to), "seed {seed}");
        // Too long to say it at once, too short to be taken for dead.
        world.run_for(Duration::from_millis(1_300));
        world.resume(place);
        world.run_for(Duration::from_secs(5));
        handed_over += u32::from(server(&mut world, "bob") == to);
        publish(&mut world, alice, "by the next");
        world.run_for(Duration::from_secs(1));
        assert_eq!(shown(&world, bob, id), "by the next", "seed {seed}");
        assert_eq!(world.mishaps(), Vec::new(), "seed {seed}");
        world.excuse_wakes();
        assert_lawful(&mut world);
    }
    assert!(handed_over > 30, "{handed_over}");
}

/// A turn writes a 200 and a NOTIFY of one server, and the time of that server runs out in it; then
/// the store cannot be reached from there. The balancer of the process, and what it passes on for
/// others, goes on, in band and out of band.
#[test]
fn one_servers_late_words_hold_up_nobody_else() {
    for seed in 0..40 {
        let mut world = World::of(seed, &[&[B, S], &[S]]);
        let (one, other) = (log_on(&mut world, "alice"), log_on(&mut world, "bob"));
        let late = [one, other].into_iter().find(|place| {
            let user = ["alice", "bob"][*place];
            let home = server(&mut world, user);
            world.home(home) == 0
        });
        let late = late.expect("each server has one of the two");
        let fine = one + other - late;
        let target = world.phones[late].aor.clone();
        world.run_for(Duration::from_millis(7 * seed));
        world.with_phone(late, |phone, now| phone.subscribe(now, &target));
        let is_written = world.run_until(Duration::from_secs(1), |world| {
            !world.journal.entries().subscribed.is_empty()
        });
        assert!(is_written, "seed {seed}");
        world.doom(0, Doom::StandsStill);
        world.run_for(Duration::from_millis(1_300));
        let away = StoreFaults {
            is_away: true,
            ..StoreFaults::default()
        };
        world.set_store_faults(0, away);
        world.resume(0);
        world.run_for(Duration::from_millis(500));
        let before = unheard(&world);
        for note in 0..10 {
            publish(&mut world, fine, &note.to_string());
            assert_eq!(published(&world, fine), note + 1, "seed {seed}");
            world.run_for(Duration::from_secs(1));
        }
        assert_eq!(unheard(&world), before, "seed {seed}: the links go on");
        assert_eq!(subscribed(&world, late), 0, "seed {seed}: it is mute");
        let turns = world.hosts().map(|host| host.counters().turns_held_back);
        assert_eq!(turns.collect::<Vec<_>>(), [1, 0], "seed {seed}");
        world.set_store_faults(0, StoreFaults::default());
        world.run_for(SOON * 5);
        assert_eq!(subscribed(&world, late), 1, "seed {seed}");
        world.run_for(Duration::from_secs(5));
        assert_eq!(world.mishaps(), Vec::new(), "seed {seed}");
        world.excuse_wakes();
        assert_lawful(&mut world);
    }
}

/// How often servers did not hear their peers.
fn unheard(world: &World) -> u64 {
    let links = world.hosts().flat_map(presently::host::Host::servers);
    links.map(|(_, links)| links.unheard).sum()
}

/// How often a phone was told that its publication is taken.
fn published(world: &World, place: usize) -> usize {
    let is_published = |event: &&Event| matches!(event, Event::Published { .. });
    events(world, place).filter(is_published).count()
}

/// How often a phone was told that it is subscribed.
fn subscribed(world: &World, place: usize) -> usize {
    let is_subscribed = |event: &&Event| matches!(event, Event::Subscribed { .. });
    events(world, place).filter(is_subscribed).count()
}

fn events(world: &World, place: usize) -> impl Iterator<Item = &Event> {
    world.phones[place].events.iter().map(|(_, event)| event)
}
