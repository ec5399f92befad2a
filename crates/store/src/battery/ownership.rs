//! One actor under one epoch: what is fenced, and what moves a client.

use presently_pool::{Assignment, Epoch, Incarnation, MemberState, Membership, Role};

use super::pool::{Actor, Pool, assigned, committing};
use super::values::{aor, at, bind, presence, write};
use crate::{Operation, Outcome, Refused, Store};

/// All claims of this file.
pub(super) fn run(open: &dyn Fn() -> Box<dyn Store>) {
    epochs_grow_with_each_activation(open());
    a_write_under_an_old_epoch_is_fenced(open());
    a_life_that_ended_is_fenced(open());
    a_member_that_left_is_fenced_and_keeps_its_clients(open());
    a_refused_operation_leaves_its_batch_untouched(open());
    a_client_is_activated_only_at_its_server(open());
    a_name_keeps_its_id_and_its_clients(open());
    a_reassignment_is_a_compare_and_set(open());
    the_pools_key_is_made_once(open());
    a_beat_tells_the_members(open());
    a_row_is_found_by_its_client(open());
}

fn epochs_grow_with_each_activation(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let assignment = pool.assign("alice").expect("a is alive");
    let mut last = assignment.epoch;
    for round in 1..4 {
        let activated = pool.activate(a, aor("alice")).expect("assigned to a");
        assert!(activated.epoch > last);
        assert_eq!(activated.activation, round);
        assert_eq!(activated.client, assignment.client);
        last = activated.epoch;
    }
    let held = pool.assign("alice").expect("still assigned");
    assert_eq!(held.epoch, last);
}

fn a_write_under_an_old_epoch_is_fenced(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let old = pool.log_on(&[a], "alice");
    let new = pool.log_on(&[a], "alice");
    let late = pool.ask(committing(old, vec![write("alice", "late")]));
    assert_eq!(late.err(), Some(Refused::Fenced));
    let found = pool.documents(vec![presence("alice")]);
    assert!(found.iter().all(|document| document.is_nothing()));
    pool.write(new, "alice", "new");
    let ahead = Actor {
        epoch: Epoch(new.epoch.0 + 1),
        ..new
    };
    let ahead = pool.ask(committing(ahead, vec![bind("a")]));
    assert_eq!(ahead.err(), Some(Refused::Fenced));
}

fn a_life_that_ended_is_fenced(store: Box<dyn Store>) {
    let (mut pool, [old]) = Pool::with(store, ["a"]);
    let actor = pool.log_on(&[old], "alice");
    let new = pool.join("a");
    assert!(new.incarnation > old.incarnation);
    every_operation_is_fenced(&mut pool, old, actor);
    let stranger = Membership {
        incarnation: Incarnation(0),
        ..new
    };
    every_operation_is_fenced(&mut pool, stranger, actor);
    assert_eq!(pool.sweep(new, 0).clients.len(), 1);
}

fn a_member_that_left_is_fenced_and_keeps_its_clients(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let actor = pool.log_on(&[a], "alice");
    let left = pool.ask(Operation::Leave { by: a });
    assert!(matches!(left, Ok(Outcome::Done)), "{left:?}");
    every_operation_is_fenced(&mut pool, a, actor);
    assert_eq!(pool.assign("bob"), None, "nobody takes new clients");
    let held = pool.assign("alice").expect("she keeps her server");
    assert_eq!(held.server, a.member);
    let b = pool.join("b");
    let held = pool.assign("alice").expect("until she is moved");
    assert_eq!(held.server, a.member);
    assert_eq!(pool.counts([a, b]), [1, 0]);
    let state = |status: crate::PoolStatus| status.members.iter().map(|m| m.state).collect();
    let states: Vec<_> = state(pool.status());
    assert_eq!(
        states,
        [MemberState::Alive, MemberState::Left, MemberState::Alive]
    );
}

fn every_operation_is_fenced(pool: &mut Pool, by: Membership, actor: Actor) {
    let client = aor("alice");
    let now = at(0);
    let operations = vec![
        Operation::Activate {
            by,
            client: client.clone(),
        },
        Operation::Assign {
            by,
            client,
            create: true,
            now,
        },
        Operation::Beat {
            by,
            settled: None,
            now,
        },
        committing(Actor { by, ..actor }, vec![bind("a")]),
        Operation::Sweep { by, since: 0 },
        Operation::Leave { by },
    ];
    for result in pool.ask_all(operations) {
        assert_eq!(result.err(), Some(Refused::Fenced));
    }
}

fn a_refused_operation_leaves_its_batch_untouched(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let old = pool.log_on(&[a], "alice");
    let alice = pool.log_on(&[a], "alice");
    let bob = pool.log_on(&[a], "bob");
    let results = pool.ask_all(vec![
        committing(bob, vec![write("bob", "one")]),
        committing(old, vec![write("alice", "refused")]),
        committing(alice, vec![write("alice", "two")]),
    ]);
    let refused: Vec<_> = results.into_iter().map(Result::err).collect();
    assert_eq!(refused, [None, Some(Refused::Fenced), None]);
    let bodies: Vec<_> = pool
        .documents(vec![presence("bob"), presence("alice")])
        .iter()
        .map(|document| document.body.clone())
        .collect();
    assert_eq!(bodies, ["one", "two"]);
}

fn a_client_is_activated_only_at_its_server(store: Box<dyn Store>) {
    let (mut pool, [a, b]) = Pool::with(store, ["a", "b"]);
    assert!(pool.activate(a, aor("alice")).is_none(), "unknown");
    let actor = pool.log_on(&[a, b], "alice");
    let other = if actor.by == a { b } else { a };
    assert!(pool.activate(other, aor("alice")).is_none());
    pool.commit(actor, vec![bind("a")]);
    assert!(!pool.commit(actor, vec![write("alice", "x")]).released);
    assert!(
        pool.commit(actor, vec![super::values::unbind("a")])
            .released
    );
    assert!(pool.activate(actor.by, aor("alice")).is_none(), "released");
}

fn a_name_keeps_its_id_and_its_clients(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    pool.log_on(&[a], "alice");
    let (again, _, members) = pool.join_with("a", Role::Server, 3, [0; 16]);
    assert_eq!(again.member, a.member);
    let row = members.iter().find(|member| member.id == a.member);
    let row = row.expect("it has joined");
    assert_eq!((row.clients, row.weight), (1, 3));
    assert_eq!((&*row.name, row.role), ("a", Role::Server));
    assert_eq!(row.incarnation, again.incarnation);
    assert_eq!(row.sip, "127.0.0.1:5070".parse().ok());
    assert_eq!(pool.assign("alice").map(|held| held.server), Some(a.member));
}

fn a_reassignment_is_a_compare_and_set(store: Box<dyn Store>) {
    let (mut pool, [a, b]) = Pool::with(store, ["a", "b"]);
    let first = pool.assign("alice").expect("servers are alive");
    let (from, to) = if first.server == a.member {
        (a, b)
    } else {
        (b, a)
    };
    let old = pool.log_on(&[a, b], "alice");
    let stale = pool.reassign("alice", first, to.member).expect("held");
    assert_eq!((stale.server, stale.epoch), (from.member, old.epoch));
    let moved = pool.reassign("alice", stale, to.member).expect("moved");
    assert_eq!(moved.server, to.member);
    assert!(moved.epoch > stale.epoch);
    let twice = pool.reassign("alice", stale, to.member);
    assert_eq!(
        twice,
        Some(moved),
        "the second of two movers changes nothing"
    );
    assert_eq!(pool.counts([from, to]), [0, 1]);
    let late = pool.ask(committing(old, vec![bind("a")]));
    assert_eq!(late.err(), Some(Refused::Fenced));
    assert!(pool.activate(from, aor("alice")).is_none());
    assert!(pool.activate(to, aor("alice")).is_some());
    let unknown = pool.reassign("nobody", moved, from.member);
    assert_eq!(unknown, None);
    let to_balancer = pool.balancer.member;
    let held = pool.assign("alice").expect("held");
    assert_eq!(pool.reassign("alice", held, to_balancer), Some(held));
}

fn the_pools_key_is_made_once(store: Box<dyn Store>) {
    let mut pool = Pool::new(store);
    let (_, key, members) = pool.join_with("a", Role::Server, 1, [9; 16]);
    assert_eq!(key, [7; 16], "the balancer's seed, for it was first");
    assert_eq!(members.len(), 2);
}

fn a_beat_tells_the_members(store: Box<dyn Store>) {
    let (mut pool, [a, b]) = Pool::with(store, ["a", "b"]);
    let beat = |by, settled| Operation::Beat {
        by,
        settled,
        now: at(1),
    };
    let left = pool.ask(Operation::Leave { by: b });
    assert!(left.is_ok());
    for expected in 1..4 {
        let Ok(Outcome::Beaten {
            beat,
            counter,
            members,
        }) = pool.ask(beat(a, Some(expected)))
        else {
            panic!("no beat");
        };
        assert_eq!(beat, expected);
        assert_eq!(counter, pool.status().counter);
        let rows: Vec<_> = members
            .iter()
            .map(|member| (member.id, member.beat))
            .collect();
        assert_eq!(rows, [(pool.balancer.member, 0), (a.member, expected)]);
    }
}

fn a_row_is_found_by_its_client(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let actor = pool.log_on(&[a], "alice");
    let find = Operation::Find {
        client: actor.client,
    };
    let Ok(Outcome::Found(Some((found, assignment)))) = pool.ask(find.clone()) else {
        panic!("not found");
    };
    assert_eq!(found, aor("alice"));
    let expected = Assignment {
        client: actor.client,
        server: a.member,
        epoch: actor.epoch,
    };
    assert_eq!(assignment, expected);
    assert!(pool.commit(actor, Vec::new()).released);
    let found = pool.ask(find);
    assert!(matches!(found, Ok(Outcome::Found(None))), "{found:?}");
    assert_eq!(
        assigned(pool.ask(pool.assigning("bob"))).map(|b| b.client == actor.client),
        Some(false)
    );
}
