//! What happens to a member that stands still, and to its clients.

use presently_pool::{MemberState, Role};

use super::pool::{Pool, committing};
use super::values::{aor, at, bind, mark, presence, subscription};
use crate::{Change, Operation, Outcome, Refused, Store, TAKEN_AT_ONCE};

/// All claims of this file.
pub(super) fn run(open: &dyn Fn() -> Box<dyn Store>) {
    one_of_several_balancers_ends_a_life(open());
    a_life_that_beats_is_not_ended(open());
    the_clients_of_an_ended_life_move_by_count(open());
    clients_stay_where_nobody_can_take_them(open());
    a_takeover_moves_a_bounded_number(open());
    what_was_told_goes_with_a_client_until_more_is_settled(open());
    a_mark_counts_only_under_the_present_epoch(open());
    a_draining_server_gets_nobody(open());
    a_later_sweep_names_clients_that_were_given_a_server_since(open());
    a_name_that_beats_is_not_joined_over(open());
}

fn one_of_several_balancers_ends_a_life(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let other = pool.join_as("other", Role::Balancer, 1);
    let actor = pool.log_on(&[a], "alice");
    let (beat, _) = pool.beat(a, None);
    let first = pool.balancer;
    assert!(pool.end(first, a, beat));
    assert!(!pool.end(other, a, beat), "the second wins nothing");
    let late = pool.ask(committing(actor, vec![bind("late")]));
    assert_eq!(late.err(), Some(Refused::Fenced));
    let beat = pool.ask(Operation::Beat {
        by: a,
        settled: None,
        now: at(1),
    });
    assert_eq!(beat.err(), Some(Refused::Fenced));
    let late = Operation::End {
        by: a,
        member: first,
        beat: 0,
    };
    assert_eq!(pool.ask(late).err(), Some(Refused::Fenced));
    let again = pool.join("a");
    assert_eq!(again.member, a.member);
    assert!(pool.activate(again, aor("alice")).is_some());
}

fn a_life_that_beats_is_not_ended(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let by = pool.balancer;
    let (seen, _) = pool.beat(a, None);
    let (now, _) = pool.beat(a, None);
    assert!(!pool.end(by, a, seen));
    let again = pool.join("a");
    assert!(!pool.end(by, a, now), "that life is over already");
    assert!(
        !pool.end(by, again, now),
        "a new life has a beat of its own"
    );
    assert!(!pool.end(by, by, 0), "nobody ends itself");
    assert!(pool.end(by, again, 0));
}

fn the_clients_of_an_ended_life_move_by_count(store: Box<dyn Store>) {
    let (mut pool, servers) = Pool::with(store, ["a", "b", "c"]);
    let [a, b, c] = servers;
    let actors: Vec<_> = (0..9)
        .map(|n| pool.log_on(&servers, &format!("user{n}")))
        .collect();
    let by = pool.balancer;
    assert_eq!(pool.take_over(a.member), (Vec::new(), 0), "it lives");
    assert!(pool.end(by, a, 0));
    let (moved, left) = pool.take_over(a.member);
    assert_eq!((moved.len(), left), (3, 0));
    assert_eq!(pool.counts([a, b, c]), [0, 5, 4]);
    for (aor, assignment) in &moved {
        let to = if assignment.server == b.member { b } else { c };
        assert_eq!(assignment.server, to.member);
        let found = pool.activate(to, aor.clone()).expect("given to it");
        assert!(found.epoch > assignment.epoch);
    }
    let late = actors.into_iter().find(|actor| actor.by == a);
    let late = pool.ask(committing(late.expect("a had three"), vec![bind("x")]));
    assert_eq!(late.err(), Some(Refused::Fenced));
    assert_eq!(pool.take_over(a.member), (Vec::new(), 0));
}

fn clients_stay_where_nobody_can_take_them(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    pool.log_on(&[a], "alice");
    assert!(pool.ask(Operation::Leave { by: a }).is_ok());
    assert_eq!(pool.take_over(a.member), (Vec::new(), 1));
    let b = pool.join("b");
    let is_listed = |pool: &mut Pool| pool.beat(b, None).1.iter().any(|row| row.id == a.member);
    assert!(is_listed(&mut pool), "somebody waits for another server");
    let (moved, left) = pool.take_over(a.member);
    assert!(!is_listed(&mut pool), "it has left, and so have all");
    assert_eq!((moved.len(), left), (1, 0), "one that has left gives too");
    assert_eq!(pool.assign("alice").map(|held| held.server), Some(b.member));
}

fn a_takeover_moves_a_bounded_number(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let many = TAKEN_AT_ONCE + 7;
    let assigning: Vec<_> = (0..many)
        .map(|n| pool.assigning(&format!("user{n}")))
        .collect();
    pool.ask_all(assigning);
    let b = pool.join("b");
    let by = pool.balancer;
    assert!(pool.end(by, a, 0));
    let (moved, left) = pool.take_over(a.member);
    assert_eq!((moved.len(), left), (TAKEN_AT_ONCE, 7));
    let (moved, left) = pool.take_over(a.member);
    assert_eq!((moved.len(), left), (7, 0));
    assert_eq!(
        pool.counts([a, b]),
        [0, u64::try_from(many).expect("small")]
    );
}

fn what_was_told_goes_with_a_client_until_more_is_settled(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    pool.log_on(&[a], "alice");
    let told = |pool: &mut Pool, by| pool.activate(by, aor("alice")).map(|found| found.told);
    assert_eq!(told(&mut pool, a), Some(0), "nothing was ever settled");
    pool.beat(a, Some(1));
    assert_eq!(told(&mut pool, a), Some(1));
    pool.beat(a, None);
    let a = pool.join("a");
    assert_eq!(told(&mut pool, a), Some(1), "it outlives a life");
    let b = pool.join("b");
    pool.beat(b, Some(2));
    let held = pool.assign("alice").expect("held");
    let given = pool.reassign("alice", held, b.member).expect("moved");
    assert_eq!(told(&mut pool, b), Some(1), "what b settled was of others");
    pool.beat(b, Some(given.epoch.0));
    assert_eq!(told(&mut pool, b), Some(1), "settled before she was active");
    let held = pool.assign("alice").expect("held");
    pool.beat(b, Some(held.epoch.0));
    let of_b = held.epoch.0;
    assert_eq!(told(&mut pool, b), Some(of_b));
    let held = pool.assign("alice").expect("held");
    pool.reassign("alice", held, a.member).expect("moved back");
    let by = pool.balancer;
    assert!(pool.end(by, a, 0));
    let (moved, _) = pool.take_over(a.member);
    assert_eq!(moved.len(), 1);
    assert_eq!(told(&mut pool, b), Some(of_b), "a had settled nothing more");
}

fn a_mark_counts_only_under_the_present_epoch(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let old = pool.log_on(&[a], "alice");
    let mut row = subscription("bob", "s1");
    row.owed = true;
    pool.commit(old, vec![Change::PutSubscription(Box::new(row.clone()))]);
    let owed = |pool: &mut Pool| {
        let found = pool.activate(a, aor("alice")).expect("assigned");
        let (row, _) = found.subscriptions.first().expect("one").clone();
        (found.epoch, row.owed)
    };
    let (epoch, was) = owed(&mut pool);
    assert!(was);
    row.owed = false;
    let marks = vec![mark(old, &row)];
    assert!(pool.ask(Operation::Owe { by: a, marks }).is_ok());
    let (_, was) = owed(&mut pool);
    assert!(was, "an old epoch clears nothing");
    let present = pool.assign("alice").expect("held").epoch;
    assert!(present > epoch);
    let mut marks = vec![mark(old, &row)];
    for mark in &mut marks {
        mark.epoch = present;
    }
    assert!(pool.ask(Operation::Owe { by: a, marks }).is_ok());
    let (_, was) = owed(&mut pool);
    assert!(!was);
}

fn a_draining_server_gets_nobody(store: Box<dyn Store>) {
    let (mut pool, [a, b]) = Pool::with(store, ["a", "b"]);
    assert_eq!(pool.drain("nobody", true), None);
    let row = pool.drain("a", true).expect("it is a member");
    assert!(row.is_draining && row.state == MemberState::Alive);
    for user in ["one", "two", "three"] {
        assert_eq!(pool.assign(user).map(|held| held.server), Some(b.member));
    }
    let held = pool.assign("one").expect("held");
    assert_eq!(pool.reassign("one", held, a.member), Some(held));
    let a = pool.join("a");
    assert_eq!(pool.assign("four").map(|held| held.server), Some(b.member));
    pool.drain("b", true);
    let last = pool.assign("five").map(|held| held.server);
    assert_eq!(last, Some(a.member), "somebody must have it");
    pool.drain("a", false);
    let held = pool.assign("one").expect("held");
    let Ok(Outcome::Assigned(Some(moved))) = pool.ask(Operation::Reassign {
        client: aor("one"),
        from: held.server,
        epoch: held.epoch,
        to: None,
    }) else {
        panic!("not moved");
    };
    assert_eq!(moved.server, a.member, "the emptiest of the others");
}

fn a_later_sweep_names_clients_that_were_given_a_server_since(store: Box<dyn Store>) {
    let (mut pool, [a, b]) = Pool::with(store, ["a", "b"]);
    let alice = pool.log_on(&[a, b], "alice");
    let bob = pool.log_on(&[a, b], "bob");
    assert_eq!((alice.by, bob.by), (a, b));
    let first = pool.sweep(a, 0);
    assert_eq!(first.clients, [(aor("alice"), alice.epoch, a.member)]);
    assert!(pool.sweep(a, first.counter).clients.is_empty());
    let held = pool.assign("alice").expect("held");
    let moved = pool.reassign("alice", held, b.member).expect("moved");
    for by in [a, b] {
        let later = pool.sweep(by, first.counter);
        assert_eq!(later.clients, [(aor("alice"), moved.epoch, b.member)]);
    }
    let found = pool.documents(vec![presence("alice")]);
    assert!(found.iter().all(|document| document.is_nothing()));
}

fn a_name_that_beats_is_not_joined_over(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    pool.beat(a, None);
    for over in [None, Some((a.incarnation, 0)), Some((a.incarnation, 2))] {
        let refused = pool.ask(Pool::joining("a", Role::Server, over));
        assert_eq!(refused.err(), Some(Refused::Fenced), "{over:?}");
    }
    let over = Some((a.incarnation, 1));
    assert!(pool.ask(Pool::joining("a", Role::Server, over)).is_ok());
    let again = pool.ask(Pool::joining("a", Role::Server, over));
    assert_eq!(again.err(), Some(Refused::Fenced), "one of two begins");
}
