//! Goal: a change reaches every watcher through the store and one wake for each server (R7–R13,
//! R15–R18). Method: a publisher at one server, watchers at it and at others; the store, the
//! decoded datagrams and the servers' counts are looked at.

use std::time::Duration;

use presently_pool::{MemberId, Version};
use presently_store::{Operation, Outcome};
use presently_tests::world::{World, aor, presence_of};

use super::play::{BOTH, SOON, another, assert_lawful, log_off, log_on, publish, server, watch};

// R7
#[test]
fn an_update_is_in_the_store_for_every_server_to_read() {
    for arrangement in BOTH {
        let mut world = World::new(1, 3, arrangement);
        let alice = log_on(&mut world, "alice");
        publish(&mut world, alice, "in the store");
        let (version, text) = document(&mut world, "alice");
        assert!(version > Version(0));
        assert!(text.contains("in the store"), "{text}");
        // A server that never saw alice reads it for a watcher of its own.
        let bob = log_on(&mut world, "bob");
        assert_ne!(server(&mut world, "bob"), server(&mut world, "alice"));
        let id = watch(&mut world, bob, alice);
        let shown = (true, "in the store".to_owned());
        assert_eq!(world.phones[bob].shows(id), Some(shown));
    }
}

// R8
#[test]
fn a_subscription_made_at_b_is_known_to_a_from_the_store_alone() {
    for arrangement in BOTH {
        let (mut world, [alice, bob]) = alice_and_bob(2, arrangement);
        let (a, b) = (server(&mut world, "alice"), server(&mut world, "bob"));
        let id = watch(&mut world, bob, alice);
        assert!(
            world.ledger.wakes.frames.is_empty(),
            "nothing was said out of band"
        );
        let watchers = world.show("alice").unwrap().watchers;
        assert_eq!(watchers.len(), 1);
        assert_eq!((&watchers[0].0, watchers[0].2), (&aor("bob"), Some(b)));
        publish(&mut world, alice, "news");
        let frames = &world.ledger.wakes.frames;
        assert_eq!(frames.len(), 1);
        assert_eq!((frames[0].from, frames[0].to), (a, b));
        assert_eq!(world.phones[bob].shows(id), Some((true, "news".to_owned())));
        assert_lawful(&mut world);
    }
}

// R9
#[test]
fn a_subscriber_that_moved_is_notified_by_its_new_server() {
    for arrangement in BOTH {
        let (mut world, [alice, bob]) = alice_and_bob(3, arrangement);
        let id = watch(&mut world, bob, alice);
        let (a, b) = (server(&mut world, "alice"), server(&mut world, "bob"));
        let c = another(&world, &[a, b]);
        world.reassign("bob", c);
        world.run_for(SOON);
        publish(&mut world, alice, "after the move");
        let shown = (true, "after the move".to_owned());
        assert_eq!(world.phones[bob].shows(id), Some(shown));
        let told = world.ledger.wakes.about(&presence_of(&aor("alice")));
        assert_eq!(told.iter().map(|item| item.1).collect::<Vec<_>>(), [c]);
        let senders: Vec<MemberId> = senders(&world);
        assert_eq!(senders.first(), Some(&b));
        assert_eq!(senders.last(), Some(&c));
        assert_lawful(&mut world);
    }
}

// R10, R11
#[test]
fn a_wake_is_a_datagram_that_says_what_has_changed() {
    for arrangement in BOTH {
        let (mut world, [alice, bob]) = alice_and_bob(4, arrangement);
        watch(&mut world, bob, alice);
        publish(&mut world, alice, "news");
        let (version, _) = document(&mut world, "alice");
        let frames = &world.ledger.wakes.frames;
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].wakes, [(presence_of(&aor("alice")), version)]);
        let servers: Vec<MemberId> = world.servers().map(|one| one.membership().member).collect();
        let mut links = world.ledger.links.iter();
        let is_between = |from, to| servers.contains(&from) && servers.contains(&to);
        assert!(
            !links.any(|linked| is_between(linked.from, linked.to)),
            "no SIP between servers"
        );
    }
}

// R12, R13
#[test]
fn a_woken_server_reads_once_and_notifies_all_its_own_watchers() {
    for arrangement in BOTH {
        let mut world = World::new(5, 2, arrangement);
        let alice = log_on(&mut world, "alice");
        let a = server(&mut world, "alice");
        let watchers: Vec<_> = ["bob", "w1", "w2", "w3", "w4"]
            .map(|user| (user, log_on(&mut world, user)))
            .into_iter()
            .map(|(user, place)| (user, place, watch(&mut world, place, alice)))
            .collect();
        let b = another(&world, &[a]);
        let reads = |world: &World| -> Vec<u64> {
            let servers = world.servers();
            servers.map(|one| one.counters().documents_read).collect()
        };
        let before = reads(&world);
        let notified = world.ledger.notified();
        publish(&mut world, alice, "news");
        let after = reads(&world);
        let more: Vec<u64> = after
            .iter()
            .zip(before)
            .map(|(after, before)| after - before)
            .collect();
        assert_eq!(
            more,
            [0, 1],
            "B reads it from the store once, A has written it"
        );
        assert_eq!(world.ledger.notified() - notified, 5);
        for (user, place, id) in watchers {
            let own = server(&mut world, user);
            assert!(own == a || own == b);
            assert_eq!(
                world.phones[place].shows(id),
                Some((true, "news".to_owned())),
                "{user}"
            );
            let contact = world.phones[place].aor.clone();
            assert_eq!(last_sender(&world, &contact), own, "{user}");
        }
        assert_lawful(&mut world);
    }
}

// R15
#[test]
fn changes_of_one_moment_travel_in_one_datagram() {
    for arrangement in BOTH {
        let mut world = World::new(6, 2, arrangement);
        // Every other user is at the first server.
        let users = ["p1", "w", "p2", "x", "p3"].map(|user| log_on(&mut world, user));
        let [p1, w, p2, _, p3] = users;
        for target in [p1, p2, p3] {
            watch(&mut world, w, target);
        }
        world.network.phone_delay = Some(Duration::from_millis(1));
        for place in [p1, p2, p3] {
            world.with_phone(place, |phone, now| phone.publish(now, true, "at once"));
        }
        world.run_for(SOON);
        let frames = &world.ledger.wakes.frames;
        assert_eq!(frames.len(), 1, "{frames:?}");
        assert_eq!(frames[0].wakes.len(), 3);
        assert_lawful(&mut world);
    }
}

// R16
#[test]
fn a_server_is_told_once_however_many_watchers_it_has() {
    for arrangement in BOTH {
        let mut world = World::new(7, 3, arrangement);
        let alice = log_on(&mut world, "alice");
        let a = server(&mut world, "alice");
        for place in 0..11 {
            let place = log_on(&mut world, &format!("watcher{place}"));
            watch(&mut world, place, alice);
        }
        publish(&mut world, alice, "news");
        let mut told = world.ledger.wakes.about(&presence_of(&aor("alice")));
        told.sort();
        let receivers: Vec<MemberId> = told.iter().map(|item| item.1).collect();
        let others = [
            another(&world, &[a]),
            another(&world, &[a, another(&world, &[a])]),
        ];
        assert_eq!(receivers, others);
        assert_lawful(&mut world);
    }
}

// R17
#[test]
fn watchers_at_the_publishers_server_cost_no_datagram() {
    let mut world = World::new(8, 1, BOTH[0]);
    let alice = log_on(&mut world, "alice");
    let bob = log_on(&mut world, "bob");
    let id = watch(&mut world, bob, alice);
    publish(&mut world, alice, "next door");
    assert_eq!(
        world.phones[bob].shows(id),
        Some((true, "next door".to_owned()))
    );
    assert!(world.ledger.wakes.frames.is_empty());
    let reads: u64 = world
        .servers()
        .map(|one| one.counters().documents_read)
        .sum();
    assert_eq!(reads, 0, "what was just written is not read again");
    assert_lawful(&mut world);
}

// R18
#[test]
fn nothing_is_sent_for_a_watcher_that_is_gone() {
    for arrangement in BOTH {
        let (mut world, [alice, bob]) = alice_and_bob(9, arrangement);
        let id = watch(&mut world, bob, alice);
        world.with_phone(bob, |phone, now| phone.unsubscribe(now, id));
        world.run_for(SOON);
        log_off(&mut world, bob);
        let notified = world.ledger.notified();
        publish(&mut world, alice, "to nobody");
        world.run_for(Duration::from_secs(1));
        assert!(world.ledger.wakes.frames.is_empty());
        assert_eq!(world.ledger.notified(), notified);
        assert!(world.show("alice").unwrap().watchers.is_empty());
        assert_lawful(&mut world);
    }
}

/// A pool of three where alice and bob have different servers.
fn alice_and_bob(
    seed: u64,
    arrangement: presently_tests::world::Arrangement,
) -> (World, [usize; 2]) {
    let mut world = World::new(seed, 3, arrangement);
    let phones = ["alice", "bob"].map(|user| log_on(&mut world, user));
    assert_ne!(server(&mut world, "alice"), server(&mut world, "bob"));
    (world, phones)
}

fn document(world: &mut World, user: &str) -> (Version, String) {
    let resources = vec![presence_of(&aor(user))];
    let Outcome::Documents(documents) = world.ask(Operation::Documents { resources }) else {
        panic!("no documents");
    };
    let document = documents.first().expect("written");
    let text = String::from_utf8(document.body.to_vec()).unwrap();
    (document.version, text)
}

/// Who sent the NOTIFYs of the only dialog, in order.
fn senders(world: &World) -> Vec<MemberId> {
    let sent = world.ledger.notifies.values().next().expect("a dialog");
    sent.iter().map(|sent| sent.by).collect()
}

/// Who sent the last NOTIFY to a watcher.
fn last_sender(world: &World, watcher: &presently_sip::Aor) -> MemberId {
    let sent = world.ledger.notifies.values().flatten();
    let of = sent.filter(|sent| sent.watcher == *watcher);
    of.last().expect("notified").by
}
