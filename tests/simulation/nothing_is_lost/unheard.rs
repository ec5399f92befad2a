//! A server that hears its peers no more, while everybody else hears it.

use std::time::Duration;

use presently_tests::world::World;

use super::named::{APART, shown, watcher_elsewhere};
use crate::play::{assert_lawful, server};

// R21
#[test]
fn a_server_that_hears_no_datagram_is_late_by_three_seconds_at_the_most() {
    for seed in 0..20 {
        let mut world = World::of(seed, APART);
        let (bob, id) = watcher_elsewhere(&mut world);
        let home = server(&mut world, "bob");
        let home = world.home(home);
        world.network.deaf.insert(home);
        for note in 0..12_u64 {
            // At any moment between two looks into the store.
            world.run_for(Duration::from_millis((seed * 131 + note * 277) % 1_500));
            let note = note.to_string();
            world.with_phone(0, |phone, now| phone.publish(now, true, &note));
            let is_shown = world.run_until(Duration::from_secs(3), |world| {
                shown(world, bob, id) == note
            });
            assert!(is_shown, "seed {seed}: {note}");
        }
        assert_eq!(world.mishaps(), Vec::new(), "seed {seed}");
        world.network.deaf.clear();
        world.run_for(Duration::from_secs(2));
        world.excuse_wakes();
        assert_lawful(&mut world);
        let before = sweeps(&world);
        world.run_for(Duration::from_secs(60));
        let after = sweeps(&world);
        assert!(
            after - before <= 3 * 7,
            "seed {seed}: heard again, it rests"
        );
    }
}

/// How often servers have looked into the store.
fn sweeps(world: &World) -> u64 {
    let servers = world.servers();
    servers.map(|server| server.counters().sweeps).sum()
}
