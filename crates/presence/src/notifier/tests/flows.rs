//! Goal: a lost flow or balancer costs a subscription nothing but time.

use presently_sip::Protocol;

use super::*;

fn over(protocol: Protocol, slot: u32) -> FlowToken {
    let mut flow = Flow::udp(0, ([192, 0, 2, 1], 5060).into());
    flow.protocol = protocol;
    flow.slot = slot;
    FlowToken {
        balancer: MemberId(1),
        flow,
    }
}

impl Play {
    /// A subscription over a stream; its first NOTIFY is on its way.
    fn subscribed_over_a_stream(&mut self) -> (SubscriptionSlot, Sent) {
        let mut row = row(self.now);
        row.flow = over(Protocol::Tcp, 1);
        let slot = self.with(|notifier, bench| {
            notifier.insert(row, (Some(4), 1), Entrance::Subscribed, bench)
        });
        self.learn(1);
        let first = self.take().remove(0);
        (slot, first)
    }

    fn cut(&mut self, slot: SubscriptionSlot, flow: FlowToken) -> bool {
        self.with(|notifier, bench| notifier.cut(slot, &flow, bench))
    }

    fn living(&mut self, balancers: &[u32]) {
        let balancers: Vec<_> = balancers.iter().copied().map(MemberId).collect();
        assert!(self.reach.set(&balancers));
        self.with(Notifier::reroute);
    }
}

#[test]
fn a_cut_subscription_waits_and_the_newest_state_goes_when_a_flow_appears() {
    let mut play = Play::new();
    let (slot, first) = play.subscribed_over_a_stream();
    assert!(play.cut(slot, over(Protocol::Tcp, 1)));
    assert!(!play.cut(slot, over(Protocol::Tcp, 1)), "no news");
    play.learn(2);
    let (sent, wishes) = play.run(1_800_000);
    assert_eq!(sent, []);
    assert_eq!(wishes, [], "half an hour of silence is not held against it");
    assert_eq!(play.counters.notifies_timed_out, 0);
    assert_eq!(play.counters.notifies_dropped, 1);
    play.learn(3);
    let flow = over(Protocol::Tcp, 2);
    play.with(|notifier, bench| notifier.renew(slot, flow, bench));
    let sent = play.take();
    assert_eq!(sent.len(), 1);
    assert!(sent[0].text.contains("version 3"));
    assert!(cseq(&sent[0]) > cseq(&first));
    assert!(!play.cut(slot, over(Protocol::Tcp, 1)), "a late word");
    assert_eq!(play.answer(&sent[0], 200, None), Wish::Nothing);
    assert_eq!(play.run(60_000).0, []);
}

#[test]
fn nothing_is_told_again_over_a_new_flow_that_was_answered_over_the_old_one() {
    let mut play = Play::new();
    let (slot, first) = play.subscribed_over_a_stream();
    play.answer(&first, 200, None);
    assert!(play.cut(slot, over(Protocol::Tcp, 1)));
    let flow = over(Protocol::Udp, 0);
    play.with(|notifier, bench| notifier.renew(slot, flow, bench));
    assert_eq!(play.run(60_000).0, []);
}

#[test]
fn what_is_unanswered_over_a_stream_gives_way_to_the_newest_over_a_new_flow() {
    let mut play = Play::new();
    let (slot, first) = play.subscribed_over_a_stream();
    let flow = over(Protocol::Tcp, 2);
    play.with(|notifier, bench| notifier.renew(slot, flow, bench));
    let sent = play.take();
    assert_eq!(sent.len(), 1);
    assert!(cseq(&sent[0]) > cseq(&first), "it may have had the first");
    assert_eq!(play.answer(&sent[0], 200, None), Wish::Nothing);
    assert_eq!(play.run(60_000).0, []);
}

#[test]
fn what_was_on_a_link_that_broke_gives_way_to_the_newest() {
    let mut play = Play::new();
    let (_, first) = play.subscribed_over_a_stream();
    play.with(|notifier, bench| notifier.tell_by_streams_again(MemberId(9), bench));
    assert_eq!(play.take(), [], "another balancer's link");
    let balancer = over(Protocol::Tcp, 1).balancer;
    play.with(|notifier, bench| notifier.tell_by_streams_again(balancer, bench));
    let sent = play.take();
    assert_eq!(sent.len(), 1);
    assert!(cseq(&sent[0]) > cseq(&first));
    play.answer(&sent[0], 200, None);
    play.with(|notifier, bench| notifier.tell_by_streams_again(balancer, bench));
    assert_eq!(play.take(), [], "what is answered is not told again");
}

#[test]
fn a_refresh_over_another_flow_ends_the_wait_and_a_rebase_does_not() {
    let mut play = Play::new();
    let (slot, _) = play.subscribed_over_a_stream();
    assert!(play.cut(slot, over(Protocol::Tcp, 1)));
    let mut same = row(play.now);
    same.flow = over(Protocol::Tcp, 1);
    play.with(|notifier, bench| {
        notifier.replace(slot, same, bench);
        notifier.advance(slot, bench);
    });
    assert_eq!(play.run(60_000).0, []);
    let refreshed = row(play.now);
    play.with(|notifier, bench| {
        notifier.replace(slot, refreshed, bench);
        notifier.advance(slot, bench);
    });
    assert_eq!(play.take().len(), 1);
}

#[test]
fn a_cut_subscription_ends_in_time_and_without_a_word() {
    let mut play = Play::new();
    let (slot, first) = play.subscribed_over_a_stream();
    play.answer(&first, 200, None);
    assert!(play.cut(slot, over(Protocol::Tcp, 1)));
    let (_, wishes) = play.run(3_601_000);
    assert_eq!(wishes, [Wish::Remove(slot, 4)]);
    play.with(|notifier, bench| notifier.end(slot, bench));
    assert_eq!(play.take(), []);
    assert_eq!(play.notifier.len(), 0);
}

#[test]
fn the_streams_of_a_dead_balancer_wait_and_its_datagrams_go_by_another() {
    let mut play = Play::new();
    play.subscribed_over_a_stream();
    play.subscribed();
    play.take();
    play.living(&[7, 9]);
    assert_eq!(play.counters.notifies_dropped, 1, "the stream's");
    play.with(|notifier, bench| {
        let slots = (0..2).map(SubscriptionSlot);
        for slot in slots {
            notifier.advance(slot, bench);
        }
    });
    assert!(play.out.to_balancers.is_empty());
    play.now.moment = play.now.moment.after(Duration::from_millis(700));
    let mut fired = Vec::new();
    play.wheel.expire(play.now.moment, &mut fired);
    for timer in fired {
        if let Timer::Subscription(slot) = timer {
            play.with(|notifier, bench| notifier.handle_timeout(slot, bench));
        }
    }
    let by: Vec<u32> = play
        .out
        .to_balancers
        .iter()
        .map(|one| one.balancer.0)
        .collect();
    assert_eq!(by, [7], "the repeat of the datagram's");
    let (sent, _) = play.run(100_000);
    assert!(!sent.is_empty());
    assert!(
        play.counters.notifies_timed_out > 0,
        "it has a way, and is silent"
    );
    play.living(&[1, 7]);
    let sent = play.take();
    assert_eq!(sent.len(), 1, "the stream's, as its balancer is back");
}

/// An address translator lets nothing in from the other balancer.
#[test]
fn silence_towards_a_balancer_that_stands_in_is_not_held_against_a_phone() {
    let mut play = Play::new();
    play.subscribed();
    play.living(&[7]);
    let (_, wishes) = play.run(1_800_000);
    assert_eq!(wishes, []);
    assert!(play.counters.notifies_timed_out > 10, "it is tried again");
    play.living(&[1, 7]);
    let (_, wishes) = play.run(200_000);
    assert_eq!(wishes.len(), 1, "silence towards its own is");
}

#[test]
fn without_any_balancer_nothing_is_sent_and_nothing_counted() {
    let mut play = Play::new();
    play.subscribed();
    play.take();
    play.living(&[]);
    let (sent, wishes) = play.run(1_800_000);
    assert_eq!((sent, wishes), (vec![], vec![]));
    assert_eq!(play.counters.notifies_timed_out, 0);
    play.living(&[2]);
    assert_eq!(play.take().len(), 1);
}

/// The SUBSCRIBE came over a stream of another proxy, which wants its requests over one.
// RFC 3261 §8.1.2
#[test]
fn a_hop_that_is_not_reached_by_datagrams_is_reached_by_the_flow() {
    let bob = "sip:bob@192.0.2.1";
    let cases = [
        (Some("<sip:192.0.2.7;lr>"), bob, false),
        (Some("<sip:192.0.2.7;transport=UDP;lr>"), bob, false),
        (Some("<sip:192.0.2.7;transport=tcp;lr>"), bob, true),
        (Some("<sip:192.0.2.7;transport=TCP>"), bob, true),
        (Some("<sips:192.0.2.7;lr>"), bob, true),
        (Some("<sip:proxy.example.test;lr>"), bob, true),
        (None, "sip:bob@10.0.0.5", false),
        (None, "sip:bob@10.0.0.5;transport=tcp", true),
        (None, "sips:bob@10.0.0.5", true),
    ];
    for (hop, target, is_by_flow) in cases {
        let mut play = Play::new();
        let flow = over(Protocol::Tcp, 3);
        let row = Subscription {
            route_set: hop.map(Into::into).into_iter().collect(),
            remote_target: target.into(),
            is_proxied: true,
            flow,
            ..row(play.now)
        };
        play.with(|notifier, bench| {
            notifier.insert(row, (Some(4), 1), Entrance::Subscribed, bench)
        });
        play.learn(1);
        let by: Vec<_> = play.out.to_balancers.iter().map(|one| one.flow).collect();
        assert_eq!(by, [is_by_flow.then_some(flow)], "{hop:?} {target}");
    }
}
