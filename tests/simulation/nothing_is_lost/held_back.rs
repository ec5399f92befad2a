//! What a server wrote while it might speak, and could not say before it fell silent.

use std::time::Duration;

use presently_tests::world::{Doom, World};

use super::named::{APART, shown};
use crate::play::{another, assert_lawful, log_on, publish, server};

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
