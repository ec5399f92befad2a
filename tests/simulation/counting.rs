//! Goal: what the pool counts is what happened (R35).
//! Method: the counters of all hosts against the journal of the store and the ledger of the wire.

use presently_tests::world::World;

use super::play::{BOTH, log_on, publish, watch};

// R35
#[test]
fn store_operations_datagrams_items_and_notifies_are_counted() {
    for arrangement in BOTH {
        let mut world = World::new(1, 3, arrangement);
        let alice = log_on(&mut world, "alice");
        for user in ["bob", "carol", "dave"] {
            let place = log_on(&mut world, user);
            watch(&mut world, place, alice);
        }
        for number in 0..5 {
            publish(&mut world, alice, &number.to_string());
        }
        let operations: u64 = world.hosts().map(|host| host.counters().operations).sum();
        assert_eq!(operations, world.journal.entries().operations);
        let links = world.hosts().flat_map(|host| host.servers());
        let links: Vec<_> = links.map(|(_, counters)| *counters).collect();
        let frames = &world.ledger.wakes.frames;
        let items: usize = frames.iter().map(|frame| frame.wakes.len()).sum();
        assert!(items >= 10, "five changes for two other servers");
        assert_eq!(total(&links, |one| one.frames_sent), frames.len());
        assert_eq!(total(&links, |one| one.items_sent), items);
        assert_eq!(total(&links, |one| one.items_taken), items);
        let servers: Vec<_> = world.servers().map(|one| *one.counters()).collect();
        assert_eq!(
            total(&servers, |one| one.notifies_sent),
            world.ledger.notified()
        );
        assert_eq!(total(&servers, |one| one.wakes_sent), items);
        assert_eq!(total(&servers, |one| one.notifies_resent), 0);
    }
}

fn total<T>(counters: &[T], of: impl Fn(&T) -> u64) -> usize {
    let sum: u64 = counters.iter().map(of).sum();
    usize::try_from(sum).unwrap()
}
