//! What becomes of subscriptions when a flow is lost, or appears: a dead flow or balancer never
//! counts against a subscription, and the newest state goes when there is a way again.

use presently_pool::{FlowToken, MemberId};

use super::live::find;
use super::{Bench, Live, Notifier, SubscriptionSlot, notify};

impl Notifier {
    /// The flow of a subscription is gone, unless it has another by now; `true` when that is news.
    /// What is in flight is dropped, and no time-out counted.
    pub(crate) fn cut(
        &mut self,
        slot: SubscriptionSlot,
        flow: &FlowToken,
        bench: &mut Bench<'_>,
    ) -> bool {
        let live = self.get_mut(slot);
        let Some(live) = live.filter(|live| live.row.flow == *flow && !live.is_cut) else {
            return false;
        };
        live.is_cut = true;
        self.drop_unreachable(slot, bench);
        self.arm(slot, bench);
        true
    }

    /// A subscription has another flow: what the phone was not told, or may not have been, goes at
    /// once. The store learns of it with the next write of the row.
    pub(crate) fn renew(&mut self, slot: SubscriptionSlot, flow: FlowToken, bench: &mut Bench<'_>) {
        let Some(live) = find(&mut self.live, slot) else {
            return;
        };
        let former = std::mem::replace(&mut live.row.flow, flow);
        live.is_cut = false;
        live.timeouts = 0;
        live.not_before = bench.now.moment;
        bench.counters.subscriptions_renewed += 1;
        notify::follow(slot, live, former, &mut self.unanswered, bench);
        self.advance(slot, bench);
    }

    /// What is in flight over streams of `balancer` may be lost: the newest state goes again.
    pub(crate) fn tell_by_streams_again(&mut self, balancer: MemberId, bench: &mut Bench<'_>) {
        let is_meant = |live: &Live| {
            let flow = &live.row.flow;
            flow.balancer == balancer && flow.flow.protocol.is_reliable()
        };
        let waiting = self.live.iter();
        let waiting = waiting.filter(|(_, live)| live.in_flight.is_some() && is_meant(live));
        let slots: Vec<_> = waiting.map(|(key, _)| key).collect();
        for key in slots {
            let slot = SubscriptionSlot::of(key);
            if let Some(live) = self.live.get_mut(key) {
                notify::give_up(slot, live, &mut self.unanswered, bench);
            }
            self.advance(slot, bench);
        }
    }

    /// Other balancers live than before: some subscriptions have no way to their phones any more,
    /// others have one again.
    pub(crate) fn reroute(&mut self, bench: &mut Bench<'_>) {
        let slots: Vec<_> = self.live.iter().map(|(key, _)| key).collect();
        for key in slots {
            let slot = SubscriptionSlot::of(key);
            self.drop_unreachable(slot, bench);
            self.advance(slot, bench);
        }
    }

    /// Drops what is in flight over a stream that is gone: no answer can come, and the newest state
    /// goes when there is a way. A last word that cannot go is not waited for. What went by
    /// datagrams has its time all the same: its answer may be under way.
    fn drop_unreachable(&mut self, slot: SubscriptionSlot, bench: &mut Bench<'_>) {
        let Some(live) = find(&mut self.live, slot) else {
            return;
        };
        if live.way(bench.reach).is_some() {
            return;
        }
        let is_stream = live.row.flow.flow.protocol.is_reliable();
        if is_stream && self.unanswered.take(&mut live.in_flight).is_some() {
            live.is_forced = true;
            bench.counters.notifies_dropped += 1;
        }
        if live.actor.is_none() && live.in_flight.is_none() {
            self.forget(slot, bench.wheel);
        }
    }
}
