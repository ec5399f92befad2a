//! Goal: each line of the release decision, as a table.
//! Method: moments in milliseconds; a window of 5 s; a notification sent in [100.0, 101.0] s.

use super::*;
use Decision::{
    Baseline, Dismiss, NewerPath, NoWord, Open, Reestablish, Release, Stale, Unchanged,
};

const WINDOW: Duration = Duration::from_secs(5);

fn at(millis: u64) -> Moment {
    Moment(millis * 1000)
}

fn sent(earliest: u64, latest: u64) -> Sent {
    Sent {
        earliest: at(earliest),
        latest: at(latest),
    }
}

/// A path that is open.
fn path(opened: u64, moved: u64) -> Use {
    Use {
        opened: at(opened),
        moved: at(moved),
        closed: None,
    }
}

/// A path that was closed.
fn gone(opened: u64, moved: u64, closed: u64) -> Use {
    Use {
        closed: Some(at(closed)),
        ..path(opened, moved)
    }
}

fn usual() -> Held<'static> {
    Held {
        presence: State::Open,
        is_baseline: false,
        acted: None,
        is_reachable: true,
        paths: &[],
    }
}

#[track_caller]
fn assert_decided(held: &Held<'_>, state: State, expected: Decision) {
    let told = Told {
        state,
        sent: sent(100_000, 101_000),
    };
    let decided = decide(held, &told, WINDOW);
    assert_eq!(decided, expected, "{held:?} {told:?}");
}

#[test]
fn only_a_change_from_open_to_closed_acts() {
    use State::{Closed, Unknown};
    #[rustfmt::skip]
    let table = [
        // before       told           decided
        (State::Open,   Closed,        Release),   // S15: to purge
        (State::Open,   State::Open,   Unchanged), // S15: to keep; S21: a repeat
        (Closed,        Closed,        Unchanged), // S21: a repeat
        (Closed,        State::Open,   Open),
        (Unknown,       Closed,        Unchanged), // never seen open: ordinary time-outs
        (Unknown,       State::Open,   Open),
        (State::Open,   Unknown,       NoWord),
        (Closed,        Unknown,       NoWord),
    ];
    for (presence, told, expected) in table {
        let held = Held {
            presence,
            ..usual()
        };
        assert_decided(&held, told, expected);
    }
}

// S7
// S8
// S10
// S19
// S20
#[test]
fn using_is_asked_for_the_time_of_sending() {
    #[rustfmt::skip]
    let table: [(&[Use], Decision); 13] = [
        // no path: nothing was in use
        (&[],                                             Release),
        // idle for longer than the window when it was sent
        (&[path(1_000, 94_999)],                          Release),
        // within the window before the earliest moment it may have been sent
        (&[path(1_000, 95_000)],                          Reestablish),
        (&[path(1_000, 99_999)],                          Reestablish),
        // after it was sent and before it arrived: in use
        (&[path(1_000, 130_000)],                         Reestablish),
        // opening is use
        (&[path(96_000, 96_000)],                         Reestablish),
        (&[path(100_000, 100_000)],                       Reestablish),
        // opened in the interval: either may have been first
        (&[path(101_000, 101_000)],                       Reestablish),
        // S20: one moves bytes, however many do not
        (&[path(1_000, 2_000), path(1_000, 99_000)],      Reestablish),
        // lost after it was sent, in use until then
        (&[gone(1_000, 99_000, 100_500)],                 Reestablish),
        // lost after it was sent, idle until then
        (&[gone(1_000, 90_000, 100_500)],                 Release),
        // closed in good order before it was sent
        (&[gone(1_000, 99_000, 99_900)],                  Release),
        (&[gone(1_000, 99_000, 99_900), path(1, 2)],      Release),
    ];
    for (paths, expected) in table {
        assert_decided(&Held { paths, ..usual() }, State::Closed, expected);
    }
}

// S24
#[test]
fn a_path_opened_after_it_was_sent_beats_it() {
    #[rustfmt::skip]
    let table: [(&[Use], Decision); 4] = [
        (&[path(101_001, 101_001)],                      NewerPath),
        (&[path(1_000, 2_000), path(102_000, 102_000)],  NewerPath),
        (&[path(100_999, 100_999)],                      Reestablish),
        // it came and went: nobody is there
        (&[gone(101_500, 101_600, 101_700)],             Reestablish),
    ];
    for (paths, expected) in table {
        assert_decided(&Held { paths, ..usual() }, State::Closed, expected);
    }
}

// S5
// S14
#[test]
fn the_first_word_of_a_feed_is_no_change() {
    for presence in [State::Closed, State::Open, State::Unknown] {
        let held = Held {
            presence,
            is_baseline: true,
            ..usual()
        };
        assert_decided(&held, State::Closed, Baseline);
        assert_decided(&held, State::Open, Baseline);
        assert_decided(&held, State::Unknown, NoWord);
    }
}

// S21
#[test]
fn what_was_sent_before_the_last_one_is_stale() {
    #[rustfmt::skip]
    let table = [
        // the last one        decided
        (sent(101_001, 102_000), Stale),
        (sent(101_000, 102_000), Release), // the intervals touch: it may be newer
        (sent(99_000, 100_000),  Release),
        (sent(100_000, 101_000), Release), // the same second; the dialog's order counts
    ];
    for (acted, expected) in table {
        let acted = Some(acted);
        assert_decided(&Held { acted, ..usual() }, State::Closed, expected);
    }
    let held = Held {
        presence: State::Closed,
        acted: Some(sent(101_001, 102_000)),
        ..usual()
    };
    assert_decided(&held, State::Open, Stale);
}

// S22
#[test]
fn nobody_leaves_by_the_word_of_a_server_that_is_away() {
    let held = Held {
        is_reachable: false,
        ..usual()
    };
    assert_decided(&held, State::Closed, Dismiss);
    let held = Held {
        presence: State::Closed,
        ..held
    };
    assert_decided(&held, State::Open, Open);
}

// S20
#[test]
fn idle_is_counted_from_the_last_byte_of_any_open_path() {
    let paths = [path(1, 7_000), path(1, 9_000), gone(1, 20_000, 21_000)];
    assert_eq!(idle_at(&paths, WINDOW), Some(at(14_000)));
    assert_eq!(idle_at(&paths[2..], WINDOW), None);
}
