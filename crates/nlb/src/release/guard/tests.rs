//! When closures are too many to be believed.

use super::*;

const LIMITS: GuardLimits = GuardLimits {
    share_percent: 30,
    at_least: 3,
    within: Duration::from_secs(10),
    hold: Duration::from_mins(1),
};

fn secs(secs: u64) -> Moment {
    Moment(secs * 1_000_000)
}

/// What becomes of closures of different users, one at each of `at`, while `followed` are followed.
fn closures(limits: GuardLimits, followed: usize, at: &[u64]) -> Vec<Closure> {
    let mut guard = Guard::new(limits);
    let ids = (0..).map(SessionId);
    ids.zip(at)
        .map(|(id, at)| guard.closed(secs(*at), id, followed))
        .collect()
}

// S23
#[test]
fn more_than_the_share_within_the_window_trips() {
    use Closure::{Held, MayAct, Trips};
    let few = GuardLimits {
        at_least: 1,
        ..LIMITS
    };
    let off = GuardLimits {
        share_percent: 100,
        ..LIMITS
    };
    let none = GuardLimits {
        share_percent: 0,
        at_least: 0,
        ..LIMITS
    };
    let table: [(_, _, &[u64], &[Closure]); 9] = [
        // Exactly the share is not more than it.
        (LIMITS, 10, &[0, 1, 2], &[MayAct, MayAct, MayAct]),
        (
            LIMITS,
            10,
            &[0, 1, 2, 3, 4],
            &[MayAct, MayAct, MayAct, Trips, Held],
        ),
        // Too few to say anything, however large their share.
        (LIMITS, 2, &[0, 0], &[MayAct, MayAct]),
        (few, 2, &[0], &[Trips]),
        // The first have left the window.
        (LIMITS, 10, &[0, 1, 2, 11, 12], &[MayAct; 5]),
        (LIMITS, 10, &[0, 1, 2, 9], &[MayAct, MayAct, MayAct, Trips]),
        // Once the time is over, things are as before.
        (
            LIMITS,
            9,
            &[0, 0, 0, 59, 60],
            &[MayAct, MayAct, Trips, Held, MayAct],
        ),
        (off, 3, &[0, 0, 0, 0], &[MayAct; 4]),
        (none, 0, &[0], &[Trips]),
    ];
    for (limits, followed, at, expected) in table {
        assert_eq!(
            closures(limits, followed, at),
            expected,
            "{followed} {at:?}"
        );
    }
}

#[test]
fn a_user_that_flaps_is_one_user() {
    let mut guard = Guard::new(LIMITS);
    for at in 0..100 {
        let closure = guard.closed(secs(at / 10), SessionId(1), 4);
        assert_eq!(closure, Closure::MayAct, "at {at}");
    }
    assert_eq!(guard.last.len(), 1);
    guard.closed(secs(30), SessionId(1), 4);
    assert_eq!(guard.recent.len(), 1, "what has gone by is forgotten");
}

#[test]
fn a_user_that_is_back_does_not_count() {
    let mut guard = Guard::new(LIMITS);
    for id in 0..50 {
        assert_eq!(guard.closed(secs(1), SessionId(id), 5), Closure::MayAct);
        guard.opened(SessionId(id));
    }
}

#[test]
fn while_they_are_too_many_the_time_grows() {
    let mut guard = Guard::new(LIMITS);
    for id in 0..10 {
        guard.closed(secs(0), SessionId(id), 10);
    }
    assert_eq!(guard.held_until(secs(1)), Some(secs(60)));
    for id in 0..10 {
        assert_eq!(guard.closed(secs(50), SessionId(id), 10), Closure::Held);
    }
    assert_eq!(guard.held_until(secs(60)), Some(secs(110)));
    assert!(!guard.may_act(secs(109)));
    assert!(guard.may_act(secs(110)));
    assert_eq!(guard.held_until(secs(110)), None);
}

#[test]
fn what_is_kept_is_bounded_by_the_users_followed() {
    let limits = GuardLimits {
        share_percent: 100,
        ..LIMITS
    };
    let mut guard = Guard::new(limits);
    for id in 0..10_000 {
        guard.closed(secs(1), SessionId(id), 7);
    }
    assert!(guard.recent.len() <= 8 && guard.last.len() <= 8);
}
