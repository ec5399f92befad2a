//! Goal: a subscription's timer fires for what time moves, and for nothing else. Method: as in the
//! tests beside; the fires are counted.

use super::*;

/// 64·T1 with Timer E doubling to 4 s: a NOTIFY goes eleven times and is then given up.
const FIRES_OF_ONE: usize = 11;

// RFC 3261 §17.1.2.2
#[test]
fn a_last_word_that_is_not_answered_costs_its_repeats_only() {
    let mut play = Play::new();
    let slot = play.subscribed();
    let first = play.take().remove(0);
    play.answer(&first, 200, None);
    play.run(3_601_000);
    play.fires = 0;
    play.with(|notifier, bench| notifier.end(slot, bench));
    let (sent, _) = play.run(60_000);
    assert_eq!(sent.len(), FIRES_OF_ONE);
    assert!(play.fires <= FIRES_OF_ONE + 1, "{} fires", play.fires);
    assert_eq!(play.notifier.len(), 0);
    assert_eq!(play.wheel.poll_timeout(), None);
}

#[test]
fn a_subscription_that_ends_behind_an_unanswered_notify_waits_without_firing() {
    let mut play = Play::new();
    let slot = play.subscribed();
    let first = play.take().remove(0);
    play.answer(&first, 200, None);
    play.run(3_590_000);
    play.learn(2);
    let (_, wishes) = play.run(11_000);
    assert_eq!(wishes, [Wish::Remove(slot, 4)]);
    play.fires = 0;
    play.with(|notifier, bench| notifier.end(slot, bench));
    let (sent, wishes) = play.run(120_000);
    let lasts = sent.iter().filter(|sent| sent.text.contains("terminated"));
    assert_eq!(lasts.count(), FIRES_OF_ONE, "after the pause");
    assert_eq!(wishes, []);
    assert!(play.fires <= 2 * FIRES_OF_ONE, "{} fires", play.fires);
    assert_eq!(play.notifier.len(), 0);
}

#[test]
fn a_subscription_whose_document_is_not_read_yet_waits_without_firing() {
    for ends in [false, true] {
        let mut play = Play::new();
        let row = row(play.now);
        let slot = play.with(|notifier, bench| {
            notifier.insert(row, (Some(4), 1), Entrance::Subscribed, bench)
        });
        if ends {
            play.with(|notifier, bench| notifier.end(slot, bench));
        }
        play.run(60_000);
        assert!(play.fires <= 1, "{} fires", play.fires);
        play.learn(1);
        assert_eq!(play.take().len(), 1, "at once");
    }
}

/// A last word that cannot go is not waited for.
#[test]
fn what_has_ended_and_loses_its_way_is_forgotten() {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let mut play = Play::new();
        let mut row = row(play.now);
        row.flow.flow.protocol = protocol;
        let slot = play.with(|notifier, bench| {
            notifier.insert(row, (Some(4), 1), Entrance::Subscribed, bench)
        });
        play.learn(1);
        play.with(|notifier, bench| notifier.end(slot, bench));
        play.reach.set(&[]);
        play.with(Notifier::reroute);
        play.run(60_000);
        assert_eq!(play.notifier.len(), 0, "{protocol:?}");
    }
}

#[test]
fn past_the_bound_of_last_words_what_ends_is_forgotten_at_once() {
    let mut play = Play::new();
    let slot = play.subscribed();
    let first = play.take().remove(0);
    play.answer(&first, 200, None);
    play.notifier.last_words.total = ending::LAST_WORDS_MAX;
    play.with(|notifier, bench| notifier.end(slot, bench));
    assert_eq!(play.take(), []);
    assert_eq!(play.notifier.len(), 0);
    assert_eq!(play.notifier.last_words.total, ending::LAST_WORDS_MAX);
}
