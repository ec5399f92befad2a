//! Goal: a publication at one server reaches a watcher at another, in memory and over links.
//! Method: one seed, no faults, a virtual clock.

use std::time::Duration;

use presently_store::{Operation, Outcome};
use presently_tests::world::{Arrangement, World};

#[test]
fn a_publication_at_a_is_notified_by_b() {
    for arrangement in [Arrangement::Together, Arrangement::Apart] {
        let mut world = World::new(1, 3, arrangement);
        let alice = world.add_phone("alice");
        let bob = world.add_phone("bob");
        world.with_phone(alice, |phone, now| phone.register(now, 3600));
        world.run_for(Duration::from_millis(100));
        world.with_phone(bob, |phone, now| phone.register(now, 3600));
        world.run_for(Duration::from_millis(100));
        let (a, b) = (server_of(&mut world, "alice"), server_of(&mut world, "bob"));
        assert_ne!(a, b, "two logons on three empty servers");

        let target = world.phones[alice].aor.clone();
        let watch = world.with_phone(bob, |phone, now| phone.subscribe(now, &target));
        world.run_for(Duration::from_millis(100));
        assert_eq!(world.phones[bob].shows(watch), Some((true, String::new())));

        world.with_phone(alice, |phone, now| phone.publish(now, true, "at lunch"));
        let seen = world.run_until(Duration::from_secs(2), |world| {
            world.phones[bob].shows(watch) == Some((true, "at lunch".to_owned()))
        });
        assert!(seen, "{arrangement:?}: {:?}", world.phones[bob].events);
        assert_eq!(world.ledger.broken, Vec::<String>::new());
    }
}

fn server_of(world: &mut World, user: &str) -> u32 {
    let client = presently_sip::Aor::parse(&format!("sip:{user}@example.com")).unwrap();
    let Outcome::Client(Some(state)) = world.ask(Operation::Show { client }) else {
        panic!("{user} is not known");
    };
    state.assignment.expect("assigned").server.0
}
