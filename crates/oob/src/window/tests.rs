//! Goal: the window knows exactly what is missing, within its bound.
//! Method: small histories by hand, and a plain set as a model of long ones.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn missing(window: &Window) -> Vec<(u64, u64)> {
    window
        .missing()
        .map(|range| (*range.start(), *range.end()))
        .collect()
}

#[test]
fn a_gap_is_seen_by_sequence_and_by_announcement() {
    let mut window = Window::starting_after(10);
    assert_eq!(window.arrive(11), Missing::Repairable);
    assert!(window.is_whole());
    assert_eq!(window.arrive(14), Missing::Repairable);
    assert_eq!(missing(&window), [(12, 13)]);
    assert_eq!(window.announce(1, 16), Missing::Repairable);
    assert_eq!(missing(&window), [(12, 13), (15, 16)]);
    for sequence in [13, 12, 16, 15] {
        assert!(!window.has(sequence));
        assert_eq!(window.arrive(sequence), Missing::Repairable);
        assert!(window.has(sequence));
    }
    assert_eq!((window.floor(), missing(&window)), (16, vec![]));
}

#[test]
fn what_the_peer_has_forgotten_is_lost() {
    let mut window = Window::starting_after(0);
    assert_eq!(window.announce(1, 9), Missing::Repairable);
    let _ = window.arrive(2);
    assert_eq!(window.announce(5, 9), Missing::Lost);
    assert_eq!(missing(&window), [(5, 9)]);
    assert_eq!(window.announce(5, 9), Missing::Repairable);
    assert_eq!(window.announce(10, 9), Missing::Lost);
    assert!(window.is_whole());
}

#[test]
fn a_gap_wider_than_the_window_is_lost_and_taken_up_behind() {
    let mut window = Window::starting_after(0);
    assert_eq!(window.arrive(1_025), Missing::Lost);
    assert!(window.is_whole() && window.has(1_025) && window.has(7));
    assert_eq!(window.arrive(1_026), Missing::Repairable);
    assert_eq!(window.announce(1, 1 << 62), Missing::Lost);
    assert!(window.has(1 << 62) && window.is_whole());
    assert_eq!(missing(&window), []);
}

proptest! {
    #[test]
    fn the_window_agrees_with_a_set(
        steps in prop::collection::vec((1_u64..300, any::<bool>()), 1..200),
    ) {
        let mut window = Window::starting_after(0);
        let (mut arrived, mut top) = (BTreeSet::new(), 0);
        for (sequence, announced) in steps {
            top = top.max(sequence);
            if announced {
                let _ = window.announce(1, sequence);
            } else {
                prop_assert_eq!(window.has(sequence), arrived.contains(&sequence));
                let _ = window.arrive(sequence);
                arrived.insert(sequence);
            }
            let model: Vec<u64> = (1..=top).filter(|at| !arrived.contains(at)).collect();
            let found: Vec<u64> = window.missing().flatten().collect();
            prop_assert_eq!(found, model);
        }
    }
}
