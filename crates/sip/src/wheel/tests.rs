//! Goal: a timer fires once, never early, at most one tick late, and in order.
//! Method: a model (a sorted list) beside the wheel, under random arms, cancels and jumps.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const TICK: u64 = TICK_MICROS;

fn fired(wheel: &mut Wheel<u64>, now: u64) -> Vec<u64> {
    let mut fired = Vec::new();
    wheel.expire(Moment(now), &mut fired);
    fired
}

#[test]
fn a_timer_fires_at_its_tick_and_not_before() {
    let mut wheel = Wheel::new(Moment(5));
    let due = Moment(5).after(Duration::from_millis(500));
    wheel.arm(due, 1);
    let tick = wheel.poll_timeout().unwrap();
    assert!(tick >= due && tick.since(due) < Duration::from_micros(TICK));
    assert_eq!(fired(&mut wheel, tick.0 - 1), []);
    assert_eq!(fired(&mut wheel, tick.0), [1]);
    assert_eq!(wheel.poll_timeout(), None);
    assert!(wheel.is_empty());
}

#[test]
fn what_is_due_already_fires_with_the_next_tick() {
    let mut wheel = Wheel::new(Moment(100 * TICK));
    wheel.arm(Moment(0), 1);
    assert_eq!(wheel.poll_timeout(), Some(Moment(101 * TICK)));
    assert_eq!(fired(&mut wheel, 101 * TICK), [1]);
}

#[test]
fn a_long_delay_goes_round_until_its_turn() {
    let mut wheel = Wheel::new(Moment(0));
    let due = 10 * TURN_TICKS * TICK;
    wheel.arm(Moment(due), 1);
    let mut calls = 0;
    let at = loop {
        let now = wheel.poll_timeout().unwrap();
        calls += 1;
        if !fired(&mut wheel, now.0).is_empty() {
            break now;
        }
    };
    assert_eq!((at, calls), (Moment(due), 10));
}

#[test]
fn a_stale_id_is_harmless() {
    let mut wheel = Wheel::new(Moment(0));
    let first = wheel.arm(Moment(TICK), 1);
    assert_eq!(wheel.cancel(first), Some(1));
    let second = wheel.arm(Moment(TICK), 2);
    assert_eq!(wheel.cancel(first), None);
    assert_eq!(fired(&mut wheel, TICK), [2]);
    assert_eq!(wheel.cancel(second), None);
}

#[test]
fn the_last_moment_is_only_another_moment() {
    let mut wheel = Wheel::new(Moment(0));
    let id = wheel.arm(Moment(u64::MAX), 1);
    assert_eq!(fired(&mut wheel, u64::MAX / 2), []);
    assert!(wheel.poll_timeout().is_some());
    assert_eq!(wheel.cancel(id), Some(1));
}

#[derive(Clone, Debug)]
enum Step {
    Arm { delay: u64 },
    Cancel { nth: usize },
    Pass { span: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let span = prop_oneof![
        8 => 0..20 * TICK,
        4 => 0..TURN_TICKS * TICK,
        1 => 0..5 * TURN_TICKS * TICK,
    ];
    let step = prop_oneof![
        4 => span.clone().prop_map(|delay| Step::Arm { delay }),
        1 => any::<usize>().prop_map(|nth| Step::Cancel { nth }),
        2 => span.prop_map(|span| Step::Pass { span }),
    ];
    prop::collection::vec(step, 0..100)
}

proptest! {
    #[test]
    fn the_wheel_is_a_sorted_list(start in 0..100 * TICK, steps in steps()) {
        let mut now = start;
        let mut wheel = Wheel::new(Moment(now));
        let mut model: BTreeMap<(u64, u64), TimerId> = BTreeMap::new();
        for (number, step) in (0_u64..).zip(steps) {
            match step {
                Step::Arm { delay } => {
                    let tick = (now + delay).div_ceil(TICK).max(now / TICK + 1);
                    let id = wheel.arm(Moment(now + delay), number);
                    model.insert((tick, number), id);
                }
                Step::Cancel { nth } if !model.is_empty() => {
                    let (&key, &id) = model.iter().nth(nth % model.len()).unwrap();
                    prop_assert_eq!(wheel.cancel(id), Some(key.1));
                    model.remove(&key);
                }
                Step::Cancel { .. } => {}
                Step::Pass { span } => {
                    now += span;
                    let later = model.split_off(&(now / TICK + 1, 0));
                    let expected: Vec<u64> = model.keys().map(|key| key.1).collect();
                    model = later;
                    prop_assert_eq!(fired(&mut wheel, now), expected);
                }
            }
            prop_assert_eq!(wheel.len(), model.len());
            let first = model.keys().next().map(|key| key.0 * TICK);
            let asked = wheel.poll_timeout().map(|moment| moment.0);
            prop_assert_eq!(asked.is_some(), first.is_some());
            prop_assert!(asked <= first && asked.is_none_or(|asked| asked > now / TICK * TICK));
        }
    }
}
