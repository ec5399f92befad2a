//! Flows that are lost and flows that appear: what a client's subscriptions and bindings make of
//! them.
//!
//! ```text
//!                     flow gone                        a flow appears
//!   subscription ──────────────────► cut: waits ──────────────────────► the newest state goes
//!                     flow gone                 the phone registers
//!   binding ─────────────────────► in its grace ──────────────────► as if nothing had been
//!                                       │ the grace is over
//!                                       └────► ended, as when it expires
//! ```

use presently_pool::{ClientId, FlowToken, MemberId};
use presently_sip::Now;
use presently_store::{Binding, Change};

use super::Server;
use crate::Outputs;
use crate::actor::State;
use crate::notifier::{Notifier, SubscriptionSlot};
use crate::plan::Plan;
use crate::renewal::{self, Renewal};

impl Server {
    /// Takes the balancers that live. A flow of datagrams goes on by another; a stream of a dead
    /// one waits for its phone's next request, and nothing is counted against it. Before this was
    /// said once, every balancer is taken to live.
    pub fn set_balancers(&mut self, now: Now, living: &[MemberId], out: &mut Outputs) {
        if !self.reach.set(living) {
            return;
        }
        self.with_bench(now, out, Notifier::reroute);
        let slots: Vec<_> = self.actors.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            for place in self.subscriptions_of(slot) {
                self.find_flow(now, slot, place, out);
            }
        }
    }

    /// The link to `balancer` broke: a NOTIFY that nobody repeats may be lost with it, and the
    /// newest state goes in its place. So may a question to a phone, or its answer: that silence
    /// is not the phone's.
    pub fn handle_link_broken(&mut self, now: Now, balancer: MemberId, out: &mut Outputs) {
        self.with_bench(now, out, |notifier, bench| {
            notifier.tell_by_streams_again(balancer, bench);
        });
        self.asking.excuse_asked(now.moment, balancer);
    }

    /// A balancer says that a flow by which it reached `client` is gone. `true` once that is noted,
    /// in the store too where it must be; else it is to be said again. A flow that the client does
    /// not use any more changes nothing.
    pub fn handle_flow_gone(
        &mut self,
        now: Now,
        client: ClientId,
        flow: &FlowToken,
        out: &mut Outputs,
    ) -> bool {
        let Some(slot) = self.by_client.get(&client).copied() else {
            return false;
        };
        for place in self.subscriptions_of(slot) {
            let is_cut =
                self.with_bench(now, out, |notifier, bench| notifier.cut(place, flow, bench));
            if is_cut {
                self.counters.subscriptions_cut += 1;
                self.find_flow(now, slot, place, out);
            }
        }
        let is_idle = self
            .actors
            .get(slot)
            .is_some_and(|actor| matches!(actor.state, State::Idle));
        let is_noted =
            is_idle && !self.is_mute(now.moment) && !self.begin_grace(now, slot, flow, out);
        self.counters.flows_gone += u64::from(is_noted);
        is_noted
    }

    /// The phone of a binding whose flow is gone has a while to come back; `true` when that is on
    /// its way to the store. A connection of another proxy says nothing of the phones behind it.
    fn begin_grace(&mut self, now: Now, slot: usize, flow: &FlowToken, out: &mut Outputs) -> bool {
        let grace = self.config.flow_grace;
        let until = now.wall.after(grace);
        if grace.is_zero() {
            return false;
        }
        let is_lost = |binding: &Binding| {
            binding.flow == *flow && binding.is_direct() && binding.expires_at > until
        };
        let changed = self.change_bindings(now, slot, (is_lost, |it| it.expires_at = until), out);
        self.counters.bindings_in_grace += changed;
        changed > 0
    }

    /// Changes those bindings of an idle actor that are to be changed; gives how many, which are
    /// then on their way to the store.
    pub(super) fn change_bindings(
        &mut self,
        now: Now,
        slot: usize,
        (is_it, change): (impl Fn(&Binding) -> bool, impl Fn(&mut Binding)),
        out: &mut Outputs,
    ) -> u64 {
        let Some(actor) = self.actors.get(slot) else {
            return 0;
        };
        if !actor.bindings.iter().any(&is_it) {
            return 0;
        }
        let mut bindings = actor.bindings.clone();
        let mut changes = Vec::new();
        for binding in bindings.iter_mut().filter(|binding| is_it(binding)) {
            change(binding);
            changes.push(Change::PutBinding(binding.clone()));
        }
        let changed = u64::try_from(changes.len()).unwrap_or_default();
        let plan = Plan {
            bindings: Some(bindings),
            ..Plan::default()
        };
        self.write(now, slot, plan, changes, out);
        changed
    }

    /// A phone has registered: what it subscribed to and published over a former flow of its is
    /// over the new one, and so are its subscriptions that had no way to it.
    pub(super) fn renew_flows(
        &mut self,
        now: Now,
        slot: usize,
        renewal: &Renewal,
        out: &mut Outputs,
    ) {
        let Renewal { formers, flow } = renewal;
        for place in self.subscriptions_of(slot) {
            let live = self.notifier.get(place);
            let Some(live) = live.filter(|live| !live.row.common.is_proxied) else {
                continue;
            };
            if formers.contains(&live.row.flow) {
                self.with_bench(now, out, |notifier, bench| {
                    notifier.renew(place, *flow, bench);
                });
            } else {
                self.find_flow(now, slot, place, out);
            }
        }
        if let Some(actor) = self.actors.get_mut(slot) {
            let published = actor.publications.iter_mut();
            for publication in published.filter(|row| formers.contains(&row.flow)) {
                publication.flow = *flow;
            }
        }
    }

    /// Gives a subscription that has no way to its phone the flow by which the phone is registered,
    /// if there is one that is not known to be gone.
    fn find_flow(&mut self, now: Now, slot: usize, place: SubscriptionSlot, out: &mut Outputs) {
        let live = self.notifier.get(place);
        let (Some(live), Some(actor)) = (live, self.actors.get(slot)) else {
            return;
        };
        if live.way(&self.reach).is_some() {
            return;
        }
        // A binding in its grace has lost its own flow.
        let grace = now.wall.after(self.config.flow_grace);
        let reached = actor.bindings.iter().filter(|binding| {
            binding.expires_at > grace
                && binding.flow != live.row.flow
                && self.reach.balancer(&binding.flow).is_some()
        });
        if let Some(flow) = renewal::flow_of(&live.row, reached) {
            self.with_bench(now, out, |notifier, bench| {
                notifier.renew(place, flow, bench);
            });
        }
    }

    fn subscriptions_of(&self, slot: usize) -> Vec<SubscriptionSlot> {
        let actor = self.actors.get(slot);
        actor.map_or_else(Vec::new, |actor| actor.subscriptions.clone())
    }
}
