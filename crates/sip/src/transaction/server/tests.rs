//! Goal: a repeat gets the identical answer for 64·T1 and no longer; the memory has a bound.
//! Method: virtual time; then a plain map beside the ring, under random operations from a seed.

use std::collections::HashMap;
use std::time::Duration;

use super::*;
use crate::transaction::{T1, TRYING_AFTER};

fn at(millis: u64) -> Moment {
    Moment(millis * 1000)
}

fn key(number: u128) -> TransactionKey {
    TransactionKey::for_test(number)
}

#[test]
fn a_repeat_gets_the_identical_answer_for_64_t1() {
    let mut answered = Answered::new(4096, 8);
    assert_eq!(answered.arrive(at(0), key(1)), Arrival::New);
    answered.answer(at(200), key(1), b"SIP/2.0 200 OK");
    for millis in [200, 700, 16_000, 32_199] {
        assert_eq!(
            answered.arrive(at(millis), key(1)),
            Arrival::Repeated(b"SIP/2.0 200 OK"),
            "{millis}"
        );
    }
    assert_eq!(answered.arrive(at(32_200), key(1)), Arrival::New);
    assert_eq!(answered.forced_out(), 0);
}

#[test]
fn an_unfinished_one_tells_since_when_for_the_100_at_3_5_s() {
    let mut answered = Answered::new(4096, 8);
    assert_eq!(answered.arrive(at(100), key(1)), Arrival::New);
    for (millis, trying) in [(600, false), (1600, false), (3600, true), (7600, true)] {
        let Arrival::InProgress { since } = answered.arrive(at(millis), key(1)) else {
            panic!("{millis}");
        };
        assert_eq!(since, at(100));
        assert_eq!(at(millis).since(since) >= TRYING_AFTER, trying, "{millis}");
    }
    assert_eq!(TRYING_AFTER, T1 * 7);
    assert_eq!(TRANSACTION, T1 * 64);
}

#[test]
fn the_first_answer_stays_the_answer() {
    let mut answered = Answered::new(4096, 8);
    let _ = answered.arrive(at(0), key(1));
    answered.answer(at(1), key(1), b"first");
    answered.answer(at(2), key(1), b"second");
    answered.forget(key(1));
    assert_eq!(answered.arrive(at(3), key(1)), Arrival::Repeated(b"first"));
}

#[test]
fn a_forgotten_one_is_new_again() {
    let mut answered = Answered::new(4096, 8);
    let _ = answered.arrive(at(0), key(1));
    answered.forget(key(1));
    assert!(answered.is_empty());
    assert_eq!(answered.arrive(at(1), key(1)), Arrival::New);
}

#[test]
fn at_the_bound_in_bytes_the_oldest_goes_and_is_counted() {
    let mut answered = Answered::new(1000, 8);
    for number in 0..4 {
        let _ = answered.arrive(at(0), key(number));
        answered.answer(at(0), key(number), &[b'x'; 300]);
    }
    assert_eq!(answered.forced_out(), 1);
    let newest = [b'x'; 300];
    assert_eq!(answered.arrive(at(1), key(3)), Arrival::Repeated(&newest));
    assert_eq!(answered.arrive(at(1), key(0)), Arrival::New);
}

#[test]
fn an_answer_longer_than_the_ring_is_not_kept_and_harms_no_other() {
    let mut answered = Answered::new(100, 8);
    let _ = answered.arrive(at(0), key(1));
    answered.answer(at(0), key(1), b"short");
    let _ = answered.arrive(at(0), key(2));
    answered.answer(at(0), key(2), &[b'x'; 101]);
    assert_eq!(answered.forced_out(), 1);
    assert_eq!(answered.arrive(at(1), key(1)), Arrival::Repeated(b"short"));
    assert_eq!(answered.arrive(at(1), key(2)), Arrival::New);
}

#[test]
fn empty_answers_are_bounded_too() {
    let mut answered = Answered::new(640, 8);
    for number in 0..100 {
        let _ = answered.arrive(at(0), key(number));
        answered.answer(at(0), key(number), b"");
    }
    assert_eq!((answered.len(), answered.forced_out()), (10, 90));
    assert_eq!(answered.arrive(at(1), key(99)), Arrival::Repeated(b""));
}

#[test]
fn unfinished_ones_are_bounded_and_end_with_their_asker() {
    let mut answered = Answered::new(1000, 3);
    for number in 0..5 {
        let _ = answered.arrive(at(0), key(number));
    }
    assert_eq!((answered.len(), answered.forced_out()), (3, 2));
    assert_eq!(answered.arrive(at(32_000), key(9)), Arrival::New);
    assert_eq!((answered.len(), answered.forced_out()), (1, 2));
}

#[test]
fn a_slow_one_is_not_forced_out_by_quick_ones() {
    let mut answered = Answered::new(100_000, 4);
    let _ = answered.arrive(at(0), key(0));
    for number in 1..1000 {
        let _ = answered.arrive(at(1), key(number));
        answered.answer(at(1), key(number), b"done");
        assert!(answered.unfinished.len() <= 8);
    }
    let since = at(0);
    let arrival = answered.arrive(at(2), key(0));
    assert_eq!(arrival, Arrival::InProgress { since });
    assert_eq!(answered.forced_out(), 0);
}

/// Whatever happens, a repeat gets its own answer or is new; and it is new only when its time is
/// over or something was forced out.
#[test]
fn the_ring_agrees_with_a_map() {
    for seed in 0..200 {
        let mut random: u64 = seed * 2 + 1;
        let mut next = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let mut answered = Answered::new(2000, 1000);
        let mut map: HashMap<u64, (Moment, Vec<u8>)> = HashMap::new();
        let mut now = at(5);
        for _ in 0..500 {
            now = now.after(Duration::from_millis(next(500)));
            let number = next(60);
            let length = usize::try_from(next(400)).unwrap();
            let answer: Vec<u8> = format!("{number}").bytes().cycle().take(length).collect();
            let before = answered.forced_out();
            match answered.arrive(now, key(number.into())) {
                Arrival::New => {
                    let held = map.get(&number).filter(|(until, _)| *until > now);
                    assert!(held.is_none() || before > 0, "seed {seed}: lost {number}");
                    answered.answer(now, key(number.into()), &answer);
                    map.insert(number, (now.after(TRANSACTION), answer));
                }
                Arrival::Repeated(text) => {
                    let (until, kept) = &map[&number];
                    assert!(*until > now && text == kept, "seed {seed}: {number}");
                }
                Arrival::InProgress { .. } => panic!("seed {seed}: {number} was answered"),
            }
            assert!(answered.bytes.len() <= 2000, "seed {seed}");
        }
    }
}
