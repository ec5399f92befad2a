//! Goal: the timers of RFC 3261 §17.1.2 fire when the RFC says, to the millisecond.
//! Method: jump a virtual clock from `poll_timeout` to `poll_timeout`. Nothing sleeps.

use super::*;

fn at(millis: u64) -> Moment {
    Moment(START + millis * 1000)
}

/// Runs a transaction to its end, with `inputs` fed at their milliseconds; returns each action
/// other than Nothing with its time, and the time it ended.
fn run(protocol: Protocol, inputs: &[(u64, Input)]) -> (Vec<(u64, Action)>, u64) {
    let mut transaction = ClientTransaction::new(at(0), protocol);
    let mut inputs = inputs.iter().copied().peekable();
    let mut actions = Vec::new();
    let mut now = at(0);
    loop {
        let due = transaction.poll_timeout();
        let input = match inputs.peek() {
            Some((millis, input)) if due.is_none_or(|due| at(*millis) <= due) => {
                now = at(*millis);
                let input = *input;
                inputs.next();
                input
            }
            _ => {
                let Some(due) = due else { break };
                now = due;
                Input::Timeout
            }
        };
        let action = transaction.handle_input(now, input);
        if action != Action::Nothing {
            actions.push((now.since(at(0)).as_millis().try_into().unwrap(), action));
        }
    }
    (actions, now.since(at(0)).as_millis().try_into().unwrap())
}

fn resends(times: &[u64]) -> Vec<(u64, Action)> {
    times.iter().map(|time| (*time, Action::Resend)).collect()
}

#[test]
fn unanswered_over_udp_is_resent_then_times_out() {
    let (actions, end) = run(Protocol::Udp, &[]);
    let mut expected = resends(&[
        500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
    ]);
    expected.push((32_000, Action::TimedOut));
    assert_eq!((actions, end), (expected, 32_000));
}

#[test]
fn unanswered_over_tcp_is_sent_once() {
    let expected = vec![(32_000, Action::TimedOut)];
    assert_eq!(run(Protocol::Tcp, &[]), (expected, 32_000));
}

#[test]
fn a_provisional_slows_resending_down_and_does_not_lengthen_the_wait() {
    let (actions, _) = run(Protocol::Udp, &[(600, Input::Response { status: 100 })]);
    let mut expected = resends(&[
        500, 1500, 5500, 9500, 13_500, 17_500, 21_500, 25_500, 29_500,
    ]);
    expected.push((32_000, Action::TimedOut));
    assert_eq!(actions, expected);
}

#[test]
fn a_final_response_is_passed_on_once_and_repeats_are_absorbed_for_t4() {
    let ok = Input::Response { status: 200 };
    let (actions, end) = run(Protocol::Udp, &[(700, ok), (900, ok), (5_600, ok)]);
    assert_eq!(actions, [(500, Action::Resend), (700, Action::Answered)]);
    assert_eq!(end, 5_700);
    let (actions, end) = run(Protocol::Tcp, &[(700, ok)]);
    assert_eq!((actions, end), (vec![(700, Action::Answered)], 700));
}

#[test]
fn every_final_status_ends_it() {
    for status in [200, 202, 302, 423, 481, 503, 604] {
        let (actions, _) = run(Protocol::Udp, &[(10, Input::Response { status })]);
        assert_eq!(actions, [(10, Action::Answered)], "{status}");
    }
}

#[test]
fn an_answer_after_the_wait_is_dropped() {
    let (actions, _) = run(Protocol::Tcp, &[(32_001, Input::Response { status: 200 })]);
    assert_eq!(actions, [(32_000, Action::TimedOut)]);
}

#[test]
fn a_failed_transport_ends_it_at_once_but_not_twice() {
    let failed = Input::TransportFailed;
    let (actions, end) = run(Protocol::Tcp, &[(40, failed), (41, failed)]);
    assert_eq!(actions, [(40, Action::Unreachable)]);
    assert_eq!(end, 41);
}

#[test]
fn a_late_owner_sends_once_and_an_early_one_not_at_all() {
    let mut transaction = ClientTransaction::new(at(0), Protocol::Udp);
    let action = transaction.handle_input(at(499), Input::Timeout);
    assert_eq!(action, Action::Nothing);
    let action = transaction.handle_input(at(20_000), Input::Timeout);
    assert_eq!(action, Action::Resend);
    assert_eq!(transaction.poll_timeout(), Some(at(21_000)));
}

/// Not zero, so that a moment taken for a span shows.
const START: u64 = 7_000_000_000;
