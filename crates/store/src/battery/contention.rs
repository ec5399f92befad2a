//! Many at once: long batches, and several stores on one database.

use std::thread;

use presently_pool::Version;

use super::pool::{Actor, Pool, assigned, committing};
use super::values::{aor, presence, subscribe, write};
use crate::{Outcome, Refused, Store};

/// All claims of this file about one store.
pub(super) fn run(open: &dyn Fn() -> Box<dyn Store>) {
    a_long_batch_is_done_in_order(open());
    two_logons_in_one_batch_agree(open());
}

/// All claims of this file about several stores on one database.
pub(super) fn run_shared(place: &dyn Fn() -> Box<dyn Fn() -> Box<dyn Store>>) {
    an_assignment_survives_a_reopening(&*place());
    the_counter_goes_on_after_a_reopening(&*place());
    what_one_commits_the_other_reads(&*place());
    balancers_agree_on_one_assignment(&*place());
    one_of_two_movers_wins(&*place());
    writers_at_once_all_come_through(&*place());
}

fn a_long_batch_is_done_in_order(store: Box<dyn Store>) {
    let (mut pool, servers) = Pool::with(store, ["a", "b", "c"]);
    let actors: Vec<_> = (0..10)
        .map(|n| pool.log_on(&servers, &format!("user{n}")))
        .collect();
    let mut operations = Vec::new();
    for round in 0..50 {
        for (n, actor) in actors.iter().enumerate() {
            let changes = vec![write(&format!("user{n}"), &format!("round {round}"))];
            operations.push(committing(*actor, changes));
        }
    }
    let mut last = Version(0);
    for result in pool.ask_all(operations) {
        let Ok(Outcome::Committed { written, .. }) = result else {
            panic!("not committed: {result:?}");
        };
        let version = written.first().expect("one write").version;
        assert!(version > last);
        last = version;
    }
    let resources = (0..10).map(|n| presence(&format!("user{n}"))).collect();
    for document in pool.documents(resources) {
        assert_eq!(document.body, "round 49");
    }
}

// R28
fn two_logons_in_one_batch_agree(store: Box<dyn Store>) {
    let (mut pool, servers) = Pool::with(store, ["a", "b"]);
    let logons = (0..100)
        .map(|n| pool.assigning(&format!("user{}", n % 10)))
        .collect();
    let results: Vec<_> = pool.ask_all(logons).into_iter().map(assigned).collect();
    for (n, assignment) in results.iter().enumerate() {
        assert_eq!(
            assignment.as_ref(),
            results.get(n % 10).and_then(Option::as_ref)
        );
    }
    assert_eq!(pool.counts(servers), [5, 5]);
}

// R3, R14
fn an_assignment_survives_a_reopening(open: &dyn Fn() -> Box<dyn Store>) {
    let (mut pool, servers) = Pool::with(open(), ["a", "b"]);
    pool.log_on(&servers, "alice");
    let bob = pool.log_on(&servers, "bob");
    pool.commit(bob, vec![subscribe("alice", "1")]);
    let held = pool.assign("bob");
    drop(pool);
    let (mut pool, servers) = Pool::with(open(), ["a", "b"]);
    assert_eq!(pool.assign("bob"), held);
    assert_eq!(pool.counts(servers), [1, 1]);
    let late = pool.ask(committing(bob, Vec::new()));
    assert_eq!(
        late.err(),
        Some(Refused::Fenced),
        "its server has a new life"
    );
    let again = pool.log_on(&servers, "bob");
    let state = pool.activate(again.by, aor("bob")).expect("assigned");
    assert_eq!(state.subscriptions.len(), 1);
}

fn the_counter_goes_on_after_a_reopening(open: &dyn Fn() -> Box<dyn Store>) {
    let mut last = (Version(0), 0);
    for _ in 0..3 {
        let (mut pool, servers) = Pool::with(open(), ["a"]);
        let alice = pool.log_on(&servers, "alice");
        let version = pool.write(alice, "alice", "open");
        let counter = pool.status().counter;
        assert!(version > last.0 && counter > last.1);
        last = (version, counter);
    }
}

// R7
fn what_one_commits_the_other_reads(open: &dyn Fn() -> Box<dyn Store>) {
    let (mut one, [a]) = Pool::with(open(), ["a"]);
    let mut two = Pool::called("other", open());
    let alice = one.log_on(&[a], "alice");
    for round in 0..50 {
        let body = format!("round {round}");
        let version = one.write(alice, "alice", &body);
        let found = two.documents(vec![presence("alice")]);
        let found = found.first().expect("it is committed");
        assert_eq!((found.version, &found.body[..]), (version, body.as_bytes()));
    }
}

// R30
fn balancers_agree_on_one_assignment(open: &dyn Fn() -> Box<dyn Store>) {
    let (one, servers) = Pool::with(open(), ["a", "b", "c"]);
    let mut both = [one, Pool::called("other", open())];
    let given = thread::scope(|scope| {
        let threads = both.each_mut().map(|pool| {
            scope.spawn(|| {
                let users = (0..60).map(|n| format!("user{n}"));
                users.map(|user| pool.assign(&user)).collect::<Vec<_>>()
            })
        });
        threads.map(|thread| thread.join().expect("it finished"))
    });
    let [first, second] = given;
    assert_eq!(first, second);
    let [one, _] = &mut both;
    assert_eq!(one.counts(servers), [20, 20, 20]);
}

// R28
fn one_of_two_movers_wins(open: &dyn Fn() -> Box<dyn Store>) {
    let (mut one, servers) = Pool::with(open(), ["a", "b", "c"]);
    let [_, b, c] = servers;
    let held = one.assign("alice").expect("servers are alive");
    let two = Pool::called("other", open());
    let mut movers = [(one, b), (two, c)];
    let moved = thread::scope(|scope| {
        let threads = movers
            .each_mut()
            .map(|(pool, to)| scope.spawn(|| pool.reassign("alice", held, to.member)));
        threads.map(|thread| thread.join().expect("it finished"))
    });
    let [first, second] = moved;
    assert_eq!(first, second, "both learn what holds");
    assert!(first.is_some_and(|held| held.server == b.member || held.server == c.member));
}

fn writers_at_once_all_come_through(open: &dyn Fn() -> Box<dyn Store>) {
    let (mut first, servers) = Pool::with(open(), ["a", "b"]);
    let users: Vec<_> = (0..4).map(|n| format!("user{n}")).collect();
    let actors: Vec<Actor> = users
        .iter()
        .map(|user| first.log_on(&servers, user))
        .collect();
    let mut pools: Vec<_> = users
        .iter()
        .map(|user| Pool::called(user, open()))
        .collect();
    thread::scope(|scope| {
        for ((pool, actor), user) in pools.iter_mut().zip(&actors).zip(&users) {
            scope.spawn(move || write_much(pool, *actor, user));
        }
    });
    let found = first.documents(users.iter().map(|user| presence(user)).collect());
    let written = found.iter().filter(|document| !document.is_nothing());
    assert_eq!(written.count(), 4);
}

fn write_much(pool: &mut Pool, actor: Actor, user: &str) {
    let mut last = Version(0);
    for round in 0..25 {
        let version = pool.write(actor, user, &format!("round {round}"));
        assert!(version > last);
        last = version;
    }
    let found = pool.documents(vec![presence(user)]);
    assert_eq!(found.first().map(|found| found.version), Some(last));
}
