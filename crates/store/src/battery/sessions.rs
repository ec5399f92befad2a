//! What an nlb keeps: its sessions, their leases, and phones found by the address they come from.

use std::net::IpAddr;

use presently_pool::{FlowToken, MemberId};
use presently_sip::{Flow, WallTime};

use super::pool::Pool;
use super::values::{aor, at, bind, binding, session, tag, unbind};
use crate::{
    BOUND_AT_ONCE, Change, Holder, Operation, Outcome, SESSIONS_AT_ONCE, Session, SessionState,
    Store,
};

/// All claims of this file.
pub(super) fn run(open: &dyn Fn() -> Box<dyn Store>) {
    a_session_reads_back_as_it_was_last_kept(open());
    one_user_has_a_session_at_each_nlb(open());
    sessions_come_in_pages_in_the_order_of_their_users(open());
    an_assignment_lives_while_a_session_does(open());
    a_purged_session_leaves_what_else_lives(open());
    a_lease_that_is_over_holds_nothing(open());
    a_beat_clears_dead_leases_and_releases_their_users(open());
    more_dead_leases_than_one_beat_clears_go_with_later_ones(open());
    phones_are_found_by_the_address_they_come_from(open());
    an_address_finds_no_phone_that_has_gone(open());
    an_address_of_many_phones_finds_some_of_them(open());
    a_name_is_held_by_one_life_at_a_time(open());
}

fn a_name_is_held_by_one_life_at_a_time(store: Box<dyn Store>) {
    let mut pool = Pool::new(store);
    let first = pool.hold("nlb1", 7, None);
    let second = pool.hold("nlb1", 7, None);
    assert_eq!((first.life, second.life), (7, 7));
    assert!(second.beat > first.beat);
    for over in [None, Some(first), Some(Holder { life: 8, ..second })] {
        assert_eq!(pool.hold("nlb1", 8, over), second, "{over:?}");
    }
    assert_eq!(pool.hold("nlb2", 8, None).life, 8, "another name");
    let taken = pool.hold("nlb1", 8, Some(second));
    assert_eq!(taken.life, 8);
    assert_eq!(pool.hold("nlb1", 9, Some(second)), taken, "it has gone on");
    pool.leave_name("nlb1", 7);
    assert_eq!(pool.hold("nlb1", 7, None), taken);
    pool.leave_name("nlb1", 8);
    assert_eq!(pool.hold("nlb1", 7, None).life, 7);
    assert_eq!(pool.hold("nlb2", 7, None).life, 8);
}

// S13, S14
fn a_session_reads_back_as_it_was_last_kept(store: Box<dyn Store>) {
    let mut pool = Pool::new(store);
    let first = Session {
        sent: None,
        tag: None,
        feed: "".into(),
        presence: "".into(),
        state: SessionState::Serving,
        ..session("alice", "nlb1")
    };
    pool.keep(first.clone());
    assert_eq!(pool.sessions("nlb1", None), [first]);
    for state in [SessionState::Releasing, SessionState::Resuming] {
        let later = Session {
            uuid: "another".into(),
            handle: aor("nlb1.other"),
            server: "app2".into(),
            state,
            since: at(8),
            presence: "closed".into(),
            sent: Some(at(9)),
            feed: "feed\ttext".into(),
            tag: Some(tag("announced")),
            until: at(99),
            ..session("alice", "nlb1")
        };
        pool.keep(later.clone());
        assert_eq!(pool.sessions("nlb1", None), [later]);
    }
}

fn one_user_has_a_session_at_each_nlb(store: Box<dyn Store>) {
    let mut pool = Pool::new(store);
    for nlb in ["nlb1", "nlb2"] {
        pool.keep(session("alice", nlb));
    }
    assert!(!pool.purge("alice", "nlb1"));
    assert_eq!(pool.sessions("nlb1", None), []);
    assert_eq!(pool.sessions("nlb2", None), [session("alice", "nlb2")]);
}

// S25
fn sessions_come_in_pages_in_the_order_of_their_users(store: Box<dyn Store>) {
    let mut pool = Pool::new(store);
    let count = SESSIONS_AT_ONCE + 2;
    let keep = |nlb: &str, n: usize| {
        let mut row = session(&format!("user{n:04}"), nlb);
        // Also those whose lease is over: their nlb was away for long.
        row.until = at(0);
        Operation::KeepSession(Box::new(row))
    };
    let kept = (0..count).rev().map(|n| keep("nlb1", n));
    let kept = kept.chain((0..3).map(|n| keep("nlb2", n))).collect();
    assert!(pool.ask_all(kept).into_iter().all(|result| result.is_ok()));
    let mut users = Vec::new();
    let mut sizes = Vec::new();
    loop {
        let page = pool.sessions("nlb1", users.last());
        sizes.push(page.len());
        if page.is_empty() {
            break;
        }
        users.extend(page.into_iter().map(|row| row.user));
    }
    assert_eq!(sizes, [SESSIONS_AT_ONCE, 2, 0]);
    let expected: Vec<_> = (0..count).map(|n| aor(&format!("user{n:04}"))).collect();
    assert_eq!(users, expected);
    assert_eq!(pool.sessions("nlb3", None), []);
}

// S12, R26
fn an_assignment_lives_while_a_session_does(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let alice = pool.log_on(&[a], "alice");
    pool.commit(alice, vec![bind("phone")]);
    pool.keep(session("alice", "nlb1"));
    assert!(!pool.commit(alice, vec![unbind("phone")]).released);
    assert!(!pool.commit(alice, Vec::new()).released);
    assert_eq!(pool.counts([a]), [1]);
    assert!(pool.purge("alice", "nlb1"));
    assert_eq!(pool.counts([a]), [0]);
    assert_eq!(pool.assignment("alice"), None);
    assert!(!pool.purge("alice", "nlb1"), "once");
    assert_eq!(pool.counts([a]), [0]);
    let again = pool.log_on(&[a], "alice");
    assert_eq!(again.client, alice.client, "the tombstone's row");
}

fn a_purged_session_leaves_what_else_lives(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let alice = pool.log_on(&[a], "alice");
    pool.commit(alice, vec![bind("phone")]);
    pool.keep(session("alice", "nlb1"));
    assert!(!pool.purge("alice", "nlb1"), "a phone is registered");
    assert!(pool.assignment("alice").is_some());
    for nlb in ["nlb1", "nlb2"] {
        pool.keep(session("alice", nlb));
    }
    pool.commit(alice, vec![unbind("phone")]);
    assert!(!pool.purge("alice", "nlb1"), "another nlb serves the user");
    assert!(pool.purge("alice", "nlb2"));
    assert!(!pool.purge("nobody", "nlb2"));
}

fn a_lease_that_is_over_holds_nothing(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let alice = pool.log_on(&[a], "alice");
    pool.commit(alice, vec![bind("phone")]);
    // The commits of these claims are made at 0 s and release until 32 s.
    let mut row = session("alice", "nlb1");
    row.until = WallTime(1);
    pool.keep(row.clone());
    assert!(!pool.commit(alice, vec![unbind("phone")]).released);
    row.until = WallTime(0);
    pool.keep(row);
    assert!(pool.commit(alice, Vec::new()).released);
    assert_eq!(pool.counts([a]), [0]);
}

fn a_beat_clears_dead_leases_and_releases_their_users(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let alice = pool.log_on(&[a], "alice");
    let bob = pool.log_on(&[a], "bob");
    pool.commit(bob, vec![bind("phone")]);
    for user in ["alice", "bob", "carol", "dora"] {
        let mut row = session(user, "nlb1");
        row.until = if user == "dora" { at(34) } else { at(33) };
        pool.keep(row);
    }
    pool.beat_at(a, at(32));
    assert_eq!(pool.sessions("nlb1", None).len(), 4);
    assert_eq!(pool.counts([a]), [2]);
    pool.beat_at(a, at(33));
    let rest = pool.sessions("nlb1", None);
    let rest: Vec<_> = rest.into_iter().map(|row| row.user).collect();
    assert_eq!(rest, [aor("dora")]);
    assert_eq!(pool.counts([a]), [1], "bob's phone is still there");
    assert_eq!(pool.assignment("alice"), None);
    let again = pool.log_on(&[a], "alice");
    assert_eq!(again.client, alice.client, "the tombstone's row");
}

fn more_dead_leases_than_one_beat_clears_go_with_later_ones(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let keep = |n: u32| Operation::KeepSession(Box::new(session(&format!("user{n:04}"), "nlb1")));
    let kept = (0..1_200).map(keep).collect();
    assert!(pool.ask_all(kept).into_iter().all(|result| result.is_ok()));
    let mut beats = 0;
    while !pool.sessions("nlb1", None).is_empty() {
        pool.beat_at(a, at(9_999));
        beats += 1;
    }
    assert!((2..=12).contains(&beats), "{beats}");
}

fn phones_are_found_by_the_address_they_come_from(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let alice = pool.log_on(&[a], "alice");
    let bob = pool.log_on(&[a], "bob");
    for (far, ip) in [
        ("192.0.2.7:5060", "192.0.2.7"),
        ("[2001:db8::1]:5061", "2001:db8::1"),
        ("[2001:db8::]:5061", "2001:db8::"),
        ("[::ffff:192.0.2.8]:9", "192.0.2.8"),
        ("[::ffff:192.0.2.8]:9", "::ffff:192.0.2.8"),
        ("192.0.2.9:1", "::ffff:192.0.2.9"),
        ("10.0.0.1:65535", "10.0.0.1"),
        ("[::1]:1", "::1"),
    ] {
        pool.commit(alice, vec![from("desk", far), from("soft", far)]);
        assert_eq!(pool.bound_at(ip), [aor("alice")], "{far}");
    }
    // Each was moved on from the address before.
    for gone in [
        "192.0.2.7",
        "192.0.2.8",
        "10.0.0.1",
        "2001:db8::1",
        "0.0.0.0",
    ] {
        assert_eq!(pool.bound_at(gone), [], "{gone}");
    }
    pool.commit(bob, vec![from("phone", "[::1]:2")]);
    assert_eq!(pool.bound_at("::1"), [aor("alice"), aor("bob")]);
}

fn an_address_finds_no_phone_that_has_gone(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    let alice = pool.log_on(&[a], "alice");
    pool.commit(alice, vec![from("phone", "192.0.2.7:5060")]);
    let ip: IpAddr = "192.0.2.7".parse().expect("an address");
    let asked = |pool: &mut Pool, now| match pool.ask(Operation::BoundAt { ip, now }) {
        Ok(Outcome::Clients(clients)) => clients,
        other => panic!("not found: {other:?}"),
    };
    assert_eq!(asked(&mut pool, at(3599)), [aor("alice")]);
    assert_eq!(asked(&mut pool, at(3600)), [], "expired");
    pool.commit(alice, vec![unbind("phone")]);
    assert_eq!(asked(&mut pool, at(0)), [], "unregistered");
}

fn an_address_of_many_phones_finds_some_of_them(store: Box<dyn Store>) {
    let (mut pool, [a]) = Pool::with(store, ["a"]);
    for n in 0..=BOUND_AT_ONCE {
        let actor = pool.log_on(&[a], &format!("user{n}"));
        pool.commit(actor, vec![from("phone", "192.0.2.7:5060")]);
    }
    assert_eq!(pool.bound_at("192.0.2.7").len(), BOUND_AT_ONCE);
}

/// A binding over UDP from `far`.
fn from(key: &str, far: &str) -> Change {
    let mut row = binding(key);
    row.flow = FlowToken {
        balancer: MemberId(12),
        flow: Flow::udp(7, far.parse().expect("an address")),
    };
    Change::PutBinding(row)
}

impl Pool {
    fn keep(&mut self, session: Session) {
        let kept = self.ask(Operation::KeepSession(Box::new(session)));
        assert!(matches!(kept, Ok(Outcome::Done)), "{kept:?}");
    }

    fn purge(&mut self, user: &str, nlb: &str) -> bool {
        let operation = Operation::PurgeSession {
            user: aor(user),
            nlb: nlb.into(),
            release_at: at(32),
        };
        match self.ask(operation) {
            Ok(Outcome::Purged { released }) => released,
            other => panic!("not purged: {other:?}"),
        }
    }

    fn beat_at(&mut self, by: presently_pool::Membership, now: WallTime) {
        let settled = None;
        assert!(self.ask(Operation::Beat { by, settled, now }).is_ok());
    }

    fn bound_at(&mut self, ip: &str) -> Vec<presently_sip::Aor> {
        let ip = ip.parse().expect("an address");
        match self.ask(Operation::BoundAt { ip, now: at(0) }) {
            Ok(Outcome::Clients(clients)) => clients,
            other => panic!("not found: {other:?}"),
        }
    }
}
