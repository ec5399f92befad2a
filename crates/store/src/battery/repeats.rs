//! Repeats: a request that was done is answered again alike, from any server.

use super::pool::Pool;
use super::values::{aor, at, bind, binding, publish, repeat, subscribe, subscription, tag};
use crate::{Change, Operation, REPEATS_MAX, Repeat, Store};
use presently_sip::WallTime;

/// All claims of this file.
pub(super) fn run(open: &dyn Fn() -> Box<dyn Store>) {
    tombstones_answer_repeats_after_an_activation(open());
    a_tombstone_outlives_the_assignment(open());
    tombstones_end(open());
    a_request_is_remembered_once(open());
    of_many_requests_of_a_client_the_oldest_are_forgotten(open());
}

fn removals(until: WallTime) -> Vec<Change> {
    let tombstone = |number| Some((repeat(number), until));
    vec![
        Change::RemoveBinding {
            key: binding("desk").key,
            tombstone: tombstone(11),
        },
        Change::RemovePublication {
            resource: super::values::presence("alice"),
            tag: tag("t1"),
            tombstone: tombstone(12),
        },
        Change::RemoveSubscription {
            key: subscription("bob", "s1").key(),
            tombstone: tombstone(13),
        },
        Change::Remember {
            repeat: repeat(14),
            until,
        },
    ]
}

fn all() -> Vec<Repeat> {
    (11..=14).map(repeat).collect()
}

fn known(pool: &mut Pool, by: presently_pool::Membership) -> Vec<Repeat> {
    let mut repeats = pool.activate(by, aor("alice")).expect("assigned").repeats;
    repeats.sort_by_key(|repeat| repeat.request.0);
    repeats
}

fn tombstones_answer_repeats_after_an_activation(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let alice = pool.log_on(&[a], "alice");
    let changes = vec![
        bind("desk"),
        bind("soft"),
        publish("alice", "t1"),
        subscribe("bob", "s1"),
    ];
    pool.commit(alice, changes);
    assert!(!pool.commit(alice, removals(at(32))).released);
    assert_eq!(known(&mut pool, a), all());
}

fn a_tombstone_outlives_the_assignment(store: Box<dyn Store>) {
    let (mut pool, servers) = Pool::with(store, ["a", "b"]);
    let alice = pool.log_on(&servers, "alice");
    pool.commit(alice, vec![bind("desk")]);
    assert!(pool.commit(alice, removals(at(32))).released);
    pool.log_on(&servers, "bob");
    // The repeated un-REGISTER is assigned again, to another server this time.
    let again = pool.log_on(&servers, "alice");
    assert_ne!(again.by, alice.by);
    assert_eq!(known(&mut pool, again.by), all());
}

fn tombstones_end(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let alice = pool.log_on(&[a], "alice");
    pool.commit(alice, vec![bind("desk"), bind("soft")]);
    pool.commit(alice, removals(at(32)));
    for (now, left) in [(at(31), 4), (at(32), 0)] {
        let beat = Operation::Beat {
            by: a,
            settled: None,
            now,
        };
        assert!(pool.ask(beat).is_ok());
        assert_eq!(known(&mut pool, a).len(), left);
    }
}

fn a_request_is_remembered_once(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let alice = pool.log_on(&[a], "alice");
    let mut changed = repeat(14);
    changed.answer.status = 202;
    changed.answer.tag = None;
    let remember = |repeat: &Repeat| Change::Remember {
        repeat: repeat.clone(),
        until: at(32),
    };
    pool.commit(alice, vec![remember(&repeat(14)), remember(&changed)]);
    assert_eq!(known(&mut pool, a), [changed]);
}

fn of_many_requests_of_a_client_the_oldest_are_forgotten(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let [alice, bob] = ["alice", "bob"].map(|user| pool.log_on(&[a], user));
    let remember = |number| Change::Remember {
        repeat: repeat(number),
        until: at(32),
    };
    pool.commit(bob, vec![remember(1)]);
    let most = u8::try_from(REPEATS_MAX).expect("a small bound");
    // Some in one transaction, and some each in its own; the later the request the smaller its key.
    let (first, later) = (100..100 + most, 0..10);
    pool.commit(alice, first.rev().map(remember).collect());
    for number in later.rev() {
        pool.commit(alice, vec![remember(number)]);
    }
    let kept = (0..10).chain(100..100 + most - 10);
    let kept: Vec<_> = kept.map(|number| repeat(number).request.0).collect();
    let known = known(&mut pool, a);
    let known: Vec<_> = known.iter().map(|one| one.request.0).collect();
    assert_eq!(known, kept);
    let of_bob = pool.activate(a, aor("bob")).expect("assigned").repeats;
    assert_eq!(of_bob, [repeat(1)]);
}
