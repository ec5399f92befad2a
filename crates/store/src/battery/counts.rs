//! Counts: where new clients go, and when they are counted no more (R2, R26, R27).

use presently_pool::Role;

use super::pool::{Pool, committing};
use super::values::{
    aor, at, bind, publish, repeat, subscribe, unbind, unpublish, unsubscribe, write,
};
use crate::{Change, Operation, Refused, Store};

/// All claims of this file.
pub(super) fn run(open: &dyn Fn() -> Box<dyn Store>) {
    sequential_logons_are_spread_evenly(open());
    after_logoffs_the_emptiest_is_next(open());
    weights_are_proportional(open());
    only_servers_take_clients(open());
    an_assignment_lives_while_anything_of_the_client_lives(open());
    an_assignment_is_released_once(open());
    one_device_of_two_does_not_log_off_the_user(open());
    an_assignment_that_nothing_came_of_is_released(open());
    a_released_client_is_placed_anew(open());
    a_row_that_is_over_is_cleared_and_its_id_not_used_again(open());
}

// R2
fn sequential_logons_are_spread_evenly(store: Box<dyn Store>) {
    let (mut pool, servers) = Pool::with(store, ["a", "b", "c"]);
    for logons in 1..=20_u64 {
        let user = format!("user{logons}");
        let given = pool.assign(&user).expect("servers are alive");
        let [a, b, c] = pool.counts(servers);
        assert_eq!(a + b + c, logons);
        assert!(a.max(b).max(c) - a.min(b).min(c) <= 1, "{a} {b} {c}");
        // Ties go to the lowest id, so the order is a, b, c, a, …
        let turn = servers
            .iter()
            .cycle()
            .nth(usize::try_from(logons - 1).expect("small"));
        assert_eq!(Some(given.server), turn.map(|by| by.member));
        assert_eq!(
            pool.assign(&user),
            Some(given),
            "a second logon changes nothing"
        );
    }
}

// R2
fn after_logoffs_the_emptiest_is_next(store: Box<dyn Store>) {
    let (mut pool, servers) = Pool::with(store, ["a", "b", "c"]);
    let [_, b, _] = servers;
    let users: Vec<_> = (0..9).map(|n| format!("user{n}")).collect();
    let actors: Vec<_> = users
        .iter()
        .map(|user| pool.log_on(&servers, user))
        .collect();
    for actor in actors.into_iter().filter(|actor| actor.by == b) {
        assert!(pool.commit(actor, Vec::new()).released);
    }
    assert_eq!(pool.counts(servers), [3, 0, 3]);
    for n in 0..3 {
        let given = pool.assign(&format!("late{n}"));
        assert_eq!(given.map(|given| given.server), Some(b.member));
    }
}

// R2
fn weights_are_proportional(store: Box<dyn Store>) {
    let mut pool = Pool::new(store);
    let light = pool.join_as("light", Role::Server, 1);
    let heavy = pool.join_as("heavy", Role::Server, 3);
    let none = pool.join_as("none", Role::Server, 0);
    let logons = (0..40)
        .map(|n| pool.assigning(&format!("user{n}")))
        .collect();
    assert!(
        pool.ask_all(logons)
            .into_iter()
            .all(|result| result.is_ok())
    );
    assert_eq!(pool.counts([light, heavy, none]), [10, 30, 0]);
}

fn only_servers_take_clients(store: Box<dyn Store>) {
    let mut pool = Pool::new(store);
    assert_eq!(pool.assign("alice"), None);
    assert_eq!(pool.assignment("alice"), None);
    let a = pool.join("a");
    assert_eq!(pool.assignment("alice"), None, "nothing may begin here");
    assert_eq!(
        pool.assign("alice").map(|given| given.server),
        Some(a.member)
    );
    assert!(pool.assignment("alice").is_some());
}

// R26
fn an_assignment_lives_while_anything_of_the_client_lives(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let put = || [bind("a"), publish("alice", "t1"), subscribe("bob", "s1")];
    let remove = || {
        [
            unbind("a"),
            unpublish("alice", "t1"),
            unsubscribe("bob", "s1"),
        ]
    };
    for first in 0..3 {
        let actor = pool.log_on(&[a], "alice");
        assert!(!pool.commit(actor, put().into()).released);
        let mut removals = Vec::from(remove());
        removals.rotate_left(first);
        let last = removals.pop().expect("three");
        for change in removals {
            assert!(!pool.commit(actor, vec![change]).released);
            assert_eq!(pool.counts([a]), [1]);
        }
        assert!(pool.commit(actor, vec![last]).released);
        assert_eq!(pool.counts([a]), [0]);
    }
}

// R26
fn an_assignment_is_released_once(store: Box<dyn Store>) {
    let (mut pool, [a, b]) = Pool::with(store, ["a", "b"]);
    let alice = pool.log_on(&[a, b], "alice");
    let bob = pool.log_on(&[a, b], "bob");
    assert_eq!(pool.counts([a, b]), [1, 1]);
    pool.commit(alice, vec![bind("a")]);
    // Written and removed in one operation, and a document written beside it.
    let changes = vec![unbind("a"), write("alice", "closed")];
    let results = pool.ask_all(vec![
        committing(alice, changes),
        committing(alice, Vec::new()),
        committing(alice, vec![unbind("a")]),
    ]);
    let refused: Vec<_> = results.into_iter().map(Result::err).collect();
    assert_eq!(
        refused,
        [None, Some(Refused::Fenced), Some(Refused::Fenced)]
    );
    assert_eq!(pool.counts([a, b]), [0, 1]);
    assert_eq!(pool.status().clients, 1);
    assert_eq!(pool.sweep(bob.by, 0).clients.len(), 1);
}

// R27
fn one_device_of_two_does_not_log_off_the_user(store: Box<dyn Store>) {
    let (mut pool, [a, b]) = Pool::with(store, ["a", "b"]);
    let alice = pool.log_on(&[a, b], "alice");
    pool.commit(alice, vec![bind("desk")]);
    pool.commit(alice, vec![bind("soft")]);
    assert!(!pool.commit(alice, vec![unbind("desk")]).released);
    assert_eq!(
        pool.assign("alice").map(|held| held.server),
        Some(alice.by.member)
    );
    let again = pool.log_on(&[a, b], "alice");
    let state = pool.activate(again.by, aor("alice")).expect("still there");
    let keys: Vec<_> = state
        .bindings
        .iter()
        .map(|binding| &*binding.key.0)
        .collect();
    assert_eq!(keys, ["soft"]);
}

fn an_assignment_that_nothing_came_of_is_released(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let actor = pool.log_on(&[a], "alice");
    let remember = Change::Remember {
        repeat: repeat(5),
        until: at(32),
    };
    assert!(
        !pool.commit(actor, vec![remember]).released,
        "not asked for"
    );
    assert!(pool.commit(actor, Vec::new()).released);
    assert_eq!(pool.counts([a]), [0]);
}

fn a_released_client_is_placed_anew(store: Box<dyn Store>) {
    let (mut pool, [a, b]) = Pool::with(store, ["a", "b"]);
    let first = pool.log_on(&[a, b], "alice");
    assert!(pool.commit(first, Vec::new()).released);
    assert_eq!(pool.assignment("alice"), None);
    // One client on a: b is the emptiest now.
    pool.log_on(&[a, b], "bob");
    let second = pool.log_on(&[a, b], "alice");
    assert_eq!((first.by, second.by), (a, b));
    assert_eq!(second.client, first.client, "the tombstone's row");
    assert!(second.epoch > first.epoch);
    assert_eq!(pool.counts([a, b]), [1, 1]);
}

fn a_row_that_is_over_is_cleared_and_its_id_not_used_again(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let first = pool.log_on(&[a], "alice");
    pool.write(first, "alice", "offline");
    assert!(pool.commit(first, Vec::new()).released);
    let beat = pool.ask(Operation::Beat {
        by: a,
        settled: None,
        now: at(33),
    });
    assert!(beat.is_ok());
    let second = pool.log_on(&[a], "alice");
    assert!(second.client > first.client);
    let state = pool.activate(a, aor("alice")).expect("assigned to a");
    assert_eq!(state.activation, 2);
    assert!(state.documents.is_empty(), "nobody watches it");
}
