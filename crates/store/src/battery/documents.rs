//! Documents: versions, watchers' servers, sweeps, and the one snapshot of an activation.

use std::sync::Arc;

use bytes::Bytes;
use presently_pool::{MemberId, PackageName, ResourceId, Version};

use super::pool::{Pool, committing};
use super::values::{
    aor, at, bind, binding, mark, presence, publication, publish, subscribe, subscription, tag,
    unbind, unpublish, unsubscribe, write,
};
use crate::{Change, Document, Operation, Outcome, Store};

/// All claims of this file.
pub(super) fn run(open: &dyn Fn() -> Box<dyn Store>) {
    versions_never_restart(open());
    a_write_finds_each_server_with_watchers_once(open());
    a_moved_watcher_is_found_at_its_new_server(open());
    nothing_is_as_old_as_the_counter(open());
    a_read_comes_after_all_writes_of_its_commit(open());
    a_read_in_a_batch_sees_the_writes_before_it(open());
    a_sweep_finds_what_a_lost_wake_said(open());
    an_activation_reads_all_that_the_client_owns(open());
    a_first_activation_reads_what_came_before_it(open());
    puts_replace_the_row_with_the_same_key(open());
    a_mark_of_silence_stands_until_it_is_taken_away(open());
    people_see_a_client_and_its_watchers(open());
    names_that_nothing_refers_to_go(open());
    a_document_goes_with_the_last_who_could_ask_for_it(open());
}

// R19
fn versions_never_restart(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let mut last = Version(0);
    for round in 0..4 {
        let actor = pool.log_on(&[a], "alice");
        pool.commit(actor, vec![publish("alice", "t1")]);
        for _ in 0..3 {
            let version = pool.write(actor, "alice", "open");
            assert!(version > last);
            last = version;
        }
        assert!(pool.commit(actor, vec![unpublish("alice", "t1")]).released);
        let found = pool.documents(vec![presence("alice")]);
        let found = found.first().expect("it outlives its publications");
        assert_eq!((found.version, &found.body), (last, &Bytes::from("open")));
        let now = at(100 * (round + 1));
        let beat = Operation::Beat {
            by: a,
            settled: None,
            now,
        };
        assert!(pool.ask(beat).is_ok());
    }
}

// R8, R16, R18
fn a_write_finds_each_server_with_watchers_once(store: Box<dyn Store>) {
    let (mut pool, servers) = Pool::with(store, ["a", "b", "c"]);
    let [a, b, c] = servers;
    let alice = pool.log_on(&servers, "alice");
    assert_eq!(alice.by, a);
    assert!(servers_of(&mut pool, alice).is_empty());
    let mut watchers = Vec::new();
    for n in 0..9 {
        let watcher = pool.log_on(&servers, &format!("watcher{n}"));
        pool.commit(
            watcher,
            vec![subscribe("alice", "1"), subscribe("alice", "2")],
        );
        watchers.push(watcher);
    }
    assert_eq!(servers_of(&mut pool, alice), [a.member, b.member, c.member]);
    for watcher in watchers.iter().filter(|watcher| watcher.by == b) {
        let changes = vec![unsubscribe("alice", "1"), unsubscribe("alice", "2")];
        assert!(pool.commit(*watcher, changes).released);
    }
    assert_eq!(servers_of(&mut pool, alice), [a.member, c.member]);
}

// R9
fn a_moved_watcher_is_found_at_its_new_server(store: Box<dyn Store>) {
    let (mut pool, servers) = Pool::with(store, ["a", "b", "c"]);
    let [a, b, c] = servers;
    let alice = pool.log_on(&servers, "alice");
    let bob = pool.log_on(&servers, "bob");
    assert_eq!((alice.by, bob.by), (a, b));
    pool.commit(bob, vec![subscribe("alice", "1")]);
    assert_eq!(servers_of(&mut pool, alice), [b.member]);
    let held = pool.assign("bob").expect("assigned");
    pool.reassign("bob", held, c.member);
    assert_eq!(servers_of(&mut pool, alice), [c.member]);
    let state = pool.activate(c, aor("bob")).expect("moved there");
    assert_eq!(state.subscriptions.len(), 1, "his subscription moved along");
}

fn servers_of(pool: &mut Pool, actor: super::pool::Actor) -> Vec<MemberId> {
    let committed = pool.commit(actor, vec![write("alice", "open")]);
    let written = committed.written.first().expect("one write");
    let mut servers = written.servers.clone();
    servers.sort();
    servers
}

fn nothing_is_as_old_as_the_counter(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let bob = pool.log_on(&[a], "bob");
    let read = Change::ReadDocument(presence("alice"));
    let committed = pool.commit(bob, vec![subscribe("alice", "1"), read.clone()]);
    let counter = pool.status().counter;
    let nothing = |user| Arc::new(Document::nothing(presence(user), counter));
    assert_eq!(committed.read, [nothing("alice")]);
    assert_eq!(
        pool.documents(vec![presence("alice"), presence("nobody")]),
        [nothing("alice"), nothing("nobody")]
    );
    let state = pool.activate(a, aor("bob")).expect("assigned");
    let versions: Vec<_> = state
        .subscriptions
        .iter()
        .map(|(_, version)| *version)
        .collect();
    assert_eq!(versions, [Version(0)]);
    assert!(pool.sweep(a, 0).changed.is_empty());
}

fn a_read_comes_after_all_writes_of_its_commit(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let alice = pool.log_on(&[a], "alice");
    let dialog = ResourceId {
        aor: aor("alice"),
        package: PackageName::new("dialog"),
    };
    let committed = pool.commit(
        alice,
        vec![
            Change::ReadDocument(presence("alice")),
            subscribe("alice", "self"),
            write("alice", "new"),
            Change::ReadDocument(dialog.clone()),
        ],
    );
    let read: Vec<_> = committed
        .read
        .iter()
        .map(|read| (&read.resource, &read.body[..]))
        .collect();
    assert_eq!(
        read,
        [(&presence("alice"), &b"new"[..]), (&dialog, &b""[..])]
    );
    let written = committed.written.first().expect("one write");
    assert_eq!(written.servers, [a.member], "its own watcher counts");
    assert_eq!(written.resource, presence("alice"));
    assert_eq!(
        committed.read.first().map(|read| read.version),
        Some(written.version)
    );
}

fn a_read_in_a_batch_sees_the_writes_before_it(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let alice = pool.log_on(&[a], "alice");
    for round in 0..20 {
        let body = format!("round {round}");
        let mut results = pool.ask_all(vec![
            committing(alice, vec![write("alice", &body)]),
            Operation::Documents {
                resources: vec![presence("alice")],
            },
        ]);
        let Some(Ok(Outcome::Documents(documents))) = results.pop() else {
            panic!("not read");
        };
        let document = documents.first().expect("it is written");
        assert_eq!(document.body, body.as_bytes());
    }
}

fn a_sweep_finds_what_a_lost_wake_said(store: Box<dyn Store>) {
    let (mut pool, servers) = Pool::with(store, ["a", "b"]);
    let alice = pool.log_on(&servers, "alice");
    let bob = pool.log_on(&servers, "bob");
    let changes = vec![
        subscribe("alice", "1"),
        subscribe("alice", "2"),
        subscribe("carol", "3"),
    ];
    pool.commit(bob, changes);
    let first = pool.write(alice, "alice", "one");
    let swept = pool.sweep(bob.by, 0);
    assert_eq!(swept.changed, [(presence("alice"), first)]);
    assert_eq!(swept.clients, [(aor("bob"), bob.epoch, bob.by.member)]);
    assert_eq!(swept.counter, pool.status().counter);
    let again = pool.sweep(bob.by, swept.counter);
    assert!(again.changed.is_empty() && again.clients.is_empty());
    let second = pool.write(alice, "alice", "two");
    let changed = pool.sweep(bob.by, swept.counter).changed;
    assert_eq!(changed, [(presence("alice"), second)]);
    assert!(
        pool.sweep(alice.by, swept.counter).changed.is_empty(),
        "nobody watches there"
    );
}

fn an_activation_reads_all_that_the_client_owns(store: Box<dyn Store>) {
    let (mut pool, servers) = Pool::with(store, ["a", "b"]);
    let bob = pool.log_on(&servers, "bob");
    let watched = pool.write(bob, "bob", "bob's");
    let alice = pool.log_on(&servers, "alice");
    pool.commit(
        alice,
        vec![
            bind("desk"),
            bind("soft"),
            publish("alice", "t1"),
            publish("alice", "t2"),
            subscribe("bob", "s1"),
            subscribe("carol", "s2"),
            write("alice", "hers"),
        ],
    );
    let state = pool.activate(alice.by, aor("alice")).expect("assigned");
    assert_eq!(state.bindings, [binding("desk"), binding("soft")]);
    assert_eq!(
        state.publications,
        [publication("alice", "t1"), publication("alice", "t2")]
    );
    let expected = [
        (subscription("bob", "s1"), watched),
        (subscription("carol", "s2"), Version(0)),
    ];
    assert_eq!(state.subscriptions, expected);
    let bodies: Vec<_> = state
        .documents
        .iter()
        .map(|document| &document.body[..])
        .collect();
    assert_eq!(bodies, [b"hers"]);
    assert!(state.repeats.is_empty());
}

fn a_first_activation_reads_what_came_before_it(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let assignment = pool.assign("alice").expect("a is alive");
    let assigned = super::pool::Actor {
        by: a,
        client: assignment.client,
        epoch: assignment.epoch,
    };
    pool.commit(assigned, vec![bind("desk"), subscribe("bob", "s1")]);
    let state = pool.activate(a, aor("alice")).expect("assigned to a");
    let rows = (state.bindings.len(), state.subscriptions.len());
    assert_eq!((state.activation, rows), (1, (1, 1)));
}

fn a_mark_of_silence_stands_until_it_is_taken_away(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let alice = pool.log_on(&[a], "alice");
    pool.commit(alice, vec![bind("desk"), bind("hall")]);
    for is_silent in [true, false] {
        let alice = pool.log_on(&[a], "alice");
        let mut desk = binding("desk");
        desk.is_silent = is_silent;
        pool.commit(alice, vec![Change::PutBinding(desk.clone())]);
        let again = pool.activate(a, aor("alice")).expect("assigned");
        assert_eq!(again.bindings, [desk, binding("hall")]);
    }
}

fn puts_replace_the_row_with_the_same_key(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let alice = pool.log_on(&[a], "alice");
    pool.commit(
        alice,
        vec![bind("desk"), publish("alice", "t1"), subscribe("bob", "s1")],
    );
    let mut moved = binding("desk");
    moved.contact = "sip:elsewhere@192.0.2.9".into();
    moved.instance = None;
    moved.path = Vec::new();
    moved.cseq = 2;
    let mut modified = publication("alice", "t2");
    modified.body = Bytes::from_static(b"<presence>2</presence>");
    let mut refreshed = subscription("bob", "s1");
    refreshed.remote_cseq = 2;
    refreshed.owed = false;
    let mut other_id = refreshed.clone();
    other_id.event_id = "7".into();
    let put = Change::PutPublication {
        publication: modified.clone(),
        replaces: Some(tag("t1")),
    };
    let changes = vec![
        Change::PutBinding(moved.clone()),
        put,
        Change::PutSubscription(Box::new(refreshed.clone())),
        Change::PutSubscription(Box::new(other_id.clone())),
    ];
    pool.commit(alice, changes);
    other_id.owed = true;
    let marks = vec![mark(alice, &other_id)];
    let marked = pool.ask(Operation::Owe { by: a, marks });
    assert!(matches!(marked, Ok(Outcome::Done)), "{marked:?}");
    let state = pool.activate(a, aor("alice")).expect("assigned");
    assert_eq!(state.bindings, [moved]);
    assert_eq!(state.publications, [modified]);
    let rows: Vec<_> = state
        .subscriptions
        .into_iter()
        .map(|(row, _)| row)
        .collect();
    assert_eq!(rows, [refreshed, other_id]);
}

fn people_see_a_client_and_its_watchers(store: Box<dyn Store>) {
    let (mut pool, servers) = Pool::with(store, ["a", "b"]);
    let show = |pool: &mut Pool, user| match pool.ask(Operation::Show { client: aor(user) }) {
        Ok(Outcome::Client(state)) => state.map(|state| *state),
        other => panic!("not shown: {other:?}"),
    };
    assert!(show(&mut pool, "alice").is_none());
    let bob = pool.log_on(&servers, "bob");
    pool.commit(bob, vec![subscribe("alice", "1")]);
    let watched = show(&mut pool, "alice").expect("somebody watches her");
    assert!(watched.assignment.is_none());
    let expected = (aor("bob"), presence("alice"), Some(bob.by.member), at(3600));
    assert_eq!(watched.watchers, [expected]);
    let alice = pool.log_on(&servers, "alice");
    pool.commit(
        alice,
        vec![bind("a"), publish("alice", "t1"), write("alice", "open")],
    );
    let state = show(&mut pool, "alice").expect("she is there");
    assert_eq!(state.server.as_deref(), Some("b"));
    assert_eq!(state.assignment.map(|held| held.epoch), Some(alice.epoch));
    let counts = (
        state.bindings.len(),
        state.publications.len(),
        state.documents.len(),
    );
    assert_eq!(counts, (1, 1, 1));
    let subscriptions = pool.status().subscriptions;
    assert_eq!(subscriptions, [(bob.by.member, 1)]);
    assert!(
        pool.commit(alice, vec![unbind("a"), unpublish("alice", "t1")])
            .released
    );
    let state = show(&mut pool, "alice").expect("her document stays");
    assert!(state.assignment.is_none() && state.server.is_none());
}

fn names_that_nothing_refers_to_go(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let bob = pool.log_on(&[a], "bob");
    let version = pool.write(bob, "bob", "bob's");
    pool.commit(
        bob,
        vec![bind("a"), publish("bob", "t1"), subscribe("kept", "kept")],
    );
    for n in 0..120 {
        let user = format!("gone{n}");
        pool.commit(bob, vec![subscribe(&user, &user)]);
        pool.commit(bob, vec![unsubscribe(&user, &user)]);
    }
    for beat in 0..8 {
        let beat = Operation::Beat {
            by: a,
            settled: None,
            now: at(beat),
        };
        assert!(pool.ask(beat).is_ok());
    }
    let state = pool.activate(a, aor("bob")).expect("assigned");
    let rows = (state.subscriptions.len(), state.publications.len());
    assert_eq!(rows, (1, 1), "names in use stay");
    assert_eq!(
        state.documents.first().map(|document| document.version),
        Some(version)
    );
}

/// Whatever was heard of it is then no newer than that there is none, and whatever comes is newer.
// R19
fn a_document_goes_with_the_last_who_could_ask_for_it(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let comes_and_goes = |pool: &mut Pool, user: &str| {
        let actor = pool.log_on(&[a], user);
        pool.commit(actor, vec![publish(user, "t1")]);
        let version = pool.write(actor, user, "closed");
        assert!(pool.commit(actor, vec![unpublish(user, "t1")]).released);
        version
    };
    let bob = pool.log_on(&[a], "bob");
    pool.commit(bob, vec![bind("a"), subscribe("watched", "1")]);
    pool.write(bob, "bob", "his");
    let users = ["bob", "watched", "gone"];
    let watched = comes_and_goes(&mut pool, "watched");
    let gone = comes_and_goes(&mut pool, "gone");
    let left = |pool: &mut Pool, secs: u64| {
        let beat = Operation::Beat {
            by: a,
            settled: None,
            now: at(secs),
        };
        assert!(pool.ask(beat).is_ok());
        let found = pool.documents(users.map(presence).to_vec()).into_iter();
        let left = found.map(|document| !document.is_nothing());
        left.collect::<Vec<_>>()
    };
    assert_eq!(left(&mut pool, 31), [true; 3], "his repeats are known");
    assert_eq!(left(&mut pool, 33), [true, true, false]);
    pool.commit(bob, vec![unsubscribe("watched", "1")]);
    assert_eq!(left(&mut pool, 34), [true, false, false]);
    let found = pool.documents(vec![presence("watched"), presence("gone")]);
    for (nothing, last) in found.iter().zip([watched, gone]) {
        assert!(nothing.version >= last, "{nothing:?} {last:?}");
        let user = nothing.resource.aor.user();
        assert!(comes_and_goes(&mut pool, user) > nothing.version);
    }
}
