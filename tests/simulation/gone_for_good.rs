//! Goal: of users who are gone nothing stays in the store, and whoever watches one of them sees him
//! come back, by whichever server and however late the words of his former time arrive.
//! Method: users who log off for longer than their last requests are remembered; then the runs of
//! faults that lose nothing, begun where everybody was gone once.

use std::time::Duration;

use presently_store::{Operation, Outcome};
use presently_tests::world::{World, aor, presence_of};

use super::play::{BOTH, SOON, assert_lawful, log_off, log_on, publish, register, watch};

// R19
#[test]
fn who_comes_back_after_his_document_is_gone_is_seen() {
    for arrangement in BOTH {
        let mut world = World::new(13, 3, arrangement);
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|user| log_on(&mut world, user));
        publish(&mut world, alice, "once");
        let former = watch(&mut world, carol, alice);
        log_off(&mut world, alice);
        world.run_for(FORGOTTEN);
        assert!(
            has_document(&mut world, "alice"),
            "{arrangement:?}: watched"
        );
        world.with_phone(carol, |phone, now| phone.unsubscribe(now, former));
        world.run_for(Duration::from_secs(1));
        assert!(!has_document(&mut world, "alice"), "{arrangement:?}");
        assert!(world.show("alice").is_none());

        let watches = [carol, bob].map(|place| (place, watch(&mut world, place, alice)));
        let is_open = |world: &World| {
            watches.map(|(place, id)| world.phones[place].shows(id).map(|(open, _)| open))
        };
        assert_eq!(is_open(&world), [Some(false); 2]);
        // Nothing has come since: nobody is told again, by whichever server.
        world.run_for(Duration::from_secs(25));
        let told = |world: &World| watches.map(|(place, _)| world.phones[place].notified().count());
        let before = told(&world);
        world.restart();
        world.run_for(Duration::from_secs(25));
        // The first to refresh has it read.
        let (_, id) = watches[0];
        world.with_phone(carol, |phone, now| phone.unsubscribe(now, id));
        world.run_for(SOON);
        assert_eq!(told(&world), [before[0] + 1, before[1]]);

        register(&mut world, alice);
        publish(&mut world, alice, "again");
        let (place, id) = watches[1];
        let shown = world.phones[place].shows(id);
        assert_eq!(shown, Some((true, "again".to_owned())));
        assert_lawful(&mut world);
    }
}

fn has_document(world: &mut World, user: &str) -> bool {
    let resources = vec![presence_of(&aor(user))];
    let Outcome::Documents(documents) = world.ask(Operation::Documents { resources }) else {
        panic!("no documents");
    };
    documents.iter().any(|document| !document.is_nothing())
}

/// A client's last requests are remembered for 64·T1.
const FORGOTTEN: Duration = Duration::from_secs(35);
