//! How well the time of sending is known.

use proptest::prelude::*;

use super::*;

/// Wall time of the presence server at our moment 0, in microseconds.
const SERVER: u64 = 1_700_000_000_000_000;

fn secs(secs: u64) -> Moment {
    Moment(secs * 1_000_000)
}

/// The Date that a server writes whose clock is `ahead` microseconds further than ours at `moment`.
fn date(moment: Moment, ahead: i64) -> String {
    let wall = SERVER.checked_add_signed(ahead).unwrap() + moment.0;
    Date(WallTime(wall)).to_string()
}

/// Our wall clock is an hour behind the server's.
fn now(moment: Moment) -> Now {
    Now {
        moment,
        wall: WallTime(SERVER - 3_600_000_000 + moment.0),
    }
}

fn learned(at: Moment) -> ServerClock {
    let mut clock = ServerClock::default();
    clock.learn(at, at.after(Duration::from_millis(10)), Some(&date(at, 0)));
    clock
}

// S7
#[test]
fn the_date_of_a_notification_is_brought_to_our_clock() {
    let sent = learned(secs(100)).sent(now(secs(130)), Some(&date(secs(120), 0)), None);
    let error = Duration::from_millis(1100);
    assert!(
        sent.earliest <= secs(120) && secs(120) <= sent.latest,
        "{sent:?}"
    );
    assert!(secs(120).since(sent.earliest) < error && sent.latest.since(secs(120)) < error);
}

#[test]
fn what_cannot_be_is_not_believed() {
    let arrival = |moment| Sent {
        earliest: moment,
        latest: moment,
    };
    let at = secs(7200);
    let fresh = learned(secs(7190));
    let table = [
        ("no date", fresh, None),
        ("no date at all", fresh, Some("yesterday".to_owned())),
        (
            "nothing was learned",
            ServerClock::default(),
            Some(date(at, 0)),
        ),
        (
            "learned too long ago",
            learned(secs(3000)),
            Some(date(at, 0)),
        ),
        ("long past", fresh, Some(date(secs(6590), 0))),
        ("not yet", fresh, Some(date(secs(7203), 0))),
        (
            "before our clock began",
            fresh,
            Some(date(Moment(0), -9_000_000)),
        ),
        (
            "the year 9999",
            fresh,
            Some("Fri, 31 Dec 9999 23:59:59 GMT".to_owned()),
        ),
        (
            "1970",
            fresh,
            Some("Thu, 01 Jan 1970 00:00:00 GMT".to_owned()),
        ),
    ];
    for (why, clock, date) in table {
        assert_eq!(
            clock.sent(now(at), date.as_deref(), None),
            arrival(at),
            "{why}"
        );
    }
}

#[test]
fn without_a_date_the_document_bounds_it() {
    let (at, clock) = (now(secs(1000)), ServerClock::default());
    let second = Duration::from_secs(1);
    let wall = |ago: u64| Some(WallTime(at.wall.0 - ago * 1_000_000));
    let table = [
        (
            wall(20),
            Sent {
                earliest: secs(978),
                latest: secs(1000),
            },
        ),
        (
            wall(0),
            Sent {
                earliest: secs(998),
                latest: secs(1000),
            },
        ),
        (
            wall(601),
            Sent {
                earliest: secs(1000),
                latest: secs(1000),
            },
        ),
        // Its clock is a little ahead of ours, and much.
        (
            Some(at.wall.after(second)),
            Sent {
                earliest: secs(999),
                latest: secs(1000),
            },
        ),
        (
            Some(at.wall.after(second * 9)),
            Sent {
                earliest: secs(1000),
                latest: secs(1000),
            },
        ),
        (
            Some(WallTime(u64::MAX)),
            Sent {
                earliest: secs(1000),
                latest: secs(1000),
            },
        ),
        (
            Some(WallTime(0)),
            Sent {
                earliest: secs(1000),
                latest: secs(1000),
            },
        ),
    ];
    for (time, expected) in table {
        assert_eq!(clock.sent(at, None, time), expected, "{time:?}");
    }
    let sent = learned(secs(990)).sent(at, Some(&date(secs(999), 0)), wall(20));
    assert!(sent.earliest > secs(997), "the date says more: {sent:?}");
}

#[test]
fn more_answers_say_more() {
    let width = |clock: &ServerClock| {
        let held = clock.held.expect("something was learned");
        held.high - held.low
    };
    let mut clock = ServerClock::default();
    for at in [100_000, 100_400_000, 200_950_000] {
        let at = Moment(at);
        clock.learn(at, at.after(Duration::from_millis(5)), Some(&date(at, 0)));
    }
    // 0.10 and 0.95 of a second narrow it from both sides; the rest is drift.
    assert!(width(&clock) < 250_000, "{}", width(&clock));
}

#[test]
fn a_stepped_clock_is_learned_anew() {
    let mut clock = learned(secs(100));
    let (at, ahead) = (secs(200), 3_600_000_000);
    clock.learn(
        at,
        at.after(Duration::from_millis(10)),
        Some(&date(at, ahead)),
    );
    let sent = clock.sent(now(secs(210)), Some(&date(secs(205), ahead)), None);
    assert!(sent.earliest <= secs(205) && secs(205) <= sent.latest && sent.latest < secs(207));
}

#[test]
fn a_step_of_our_wall_clock_changes_nothing() {
    let clock = learned(secs(100));
    let date = date(secs(120), 0);
    let stepped = Now {
        moment: secs(130),
        wall: WallTime(5),
    };
    let expected = clock.sent(now(secs(130)), Some(&date), None);
    assert_eq!(clock.sent(stepped, Some(&date), None), expected);
}

proptest! {
    /// Whatever the delays, and for clocks that drift apart as far as they may, the truth is in
    /// the interval.
    #[test]
    fn the_truth_is_within(
        ahead in -500_000_000_i64..500_000_000,
        drift_ppm in -150_i64..150,
        rounds in proptest::collection::vec(
            (1_u64..600_000_000, 0_u64..3_000_000, 0_u64..3_000_000), 1..20,
        ),
        before in 0_u64..600_000_000,
        delay in 0_u64..40_000_000,
    ) {
        let drifted = |at: u64| ahead + i64::try_from(at).unwrap() / 1_000_000 * drift_ppm;
        let (mut clock, mut at) = (ServerClock::default(), 1_000_000_000);
        for (pause, there, back) in rounds {
            at += pause;
            let written = date(Moment(at + there), drifted(at + there));
            clock.learn(Moment(at), Moment(at + there + back), Some(&written));
            at += there + back;
        }
        let sent_at = Moment(at + before);
        let arrived = now(Moment(sent_at.0 + delay));
        let sent = clock.sent(arrived, Some(&date(sent_at, drifted(sent_at.0))), None);
        prop_assert!(sent.earliest <= sent_at && sent_at <= sent.latest, "{sent:?} {sent_at:?}");
        prop_assert!(sent.latest <= arrived.moment);
    }

    #[test]
    fn any_times_hold(
        asked: u64, answered: u64, arrived: u64, wall: u64,
        server in 0_u64..253_402_300_800_000_000, date in 0_u64..253_402_300_800_000_000,
        document in proptest::option::of(any::<u64>()),
    ) {
        let mut clock = ServerClock::default();
        let text = |wall| Date(WallTime(wall)).to_string();
        clock.learn(Moment(asked), Moment(answered), Some(&text(server)));
        let arrived = Now { moment: Moment(arrived), wall: WallTime(wall) };
        for date in [Some(text(date)), None] {
            let sent = clock.sent(arrived, date.as_deref(), document.map(WallTime));
            prop_assert!(sent.earliest <= sent.latest && sent.latest <= arrived.moment);
        }
    }
}
