//! An actor's life: activation, expiry, release, and being dropped.

use std::time::Duration;

use presently_pool::{Epoch, Kind, Version};
use presently_sip::transaction::TRANSACTION;
use presently_sip::{Moment, Now, WallTime};
use presently_store::{Activated, Change, Operation, Outcome, Refused};

use super::mute::GRACE;
use super::{Asked, Server, TRY_AGAIN, Timer};
use crate::actor::{Actor, State};
use crate::events;
use crate::held::Held;
use crate::notifier::{Entrance, SubscriptionSlot};
use crate::plan::{self, Fate, Plan, RELEASE_AFTER};
use crate::{Outputs, ToBalancer};

impl Server {
    pub(super) fn activate(&mut self, slot: usize, out: &mut Outputs) {
        let Some(actor) = self.actors.get_mut(slot) else {
            return;
        };
        actor.state = State::Activating;
        let operation = Operation::Activate {
            by: self.me,
            client: actor.aor.clone(),
        };
        self.counters.activations += 1;
        self.early.begin();
        self.ask(Asked::Activation(slot), operation, out);
    }

    pub(super) fn on_activated(
        &mut self,
        now: Now,
        slot: usize,
        result: Result<Outcome, Refused>,
        out: &mut Outputs,
    ) {
        match result {
            Ok(Outcome::Activated(Some(found))) => {
                self.take_in(now, slot, *found, out);
                self.hear_waiting(now, slot, out);
                self.advance(now, slot, out);
            }
            Ok(Outcome::Activated(None)) => self.disown(now, slot, out),
            Err(Refused::Fenced) => {
                // This whole life is over: the program leaves, and whoever asks is answered
                // elsewhere.
                self.is_fenced = true;
                self.drop_actor(slot);
            }
            Ok(_) | Err(_) => self.wait(now, slot, out),
        }
        self.early.end();
    }

    /// Fills an actor with what its activation found. What would be over within a minute gets that
    /// minute: after a restart or a takeover nothing expires before its owner could refresh it.
    fn take_in(&mut self, now: Now, slot: usize, found: Activated, out: &mut Outputs) {
        let grace = now.wall.after(GRACE);
        // A writer whose clock ran ahead grants no more than we would.
        let max = Duration::from_secs(self.config.expires.max_secs.into());
        let latest = now.wall.after(max.max(GRACE));
        let Some(actor) = self.actors.get_mut(slot) else {
            return;
        };
        self.by_client.remove(&actor.client);
        self.by_client.insert(found.client, slot);
        actor.client = found.client;
        actor.epoch = found.epoch;
        actor.activation = found.activation;
        actor.state = State::Idle;
        events::activated(&actor.aor, found.epoch.0, found.subscriptions.len());
        let absent = actor.absent.take();
        let round = absent.unwrap_or_else(|| self.notifier.settling.oldest());
        actor.bindings = found.bindings;
        for binding in &mut actor.bindings {
            binding.expires_at = binding.expires_at.clamp(grace, latest);
        }
        actor.publications = found.publications;
        for publication in &mut actor.publications {
            publication.expires_at = publication.expires_at.clamp(grace, latest);
        }
        actor.documents = found.documents;
        let until = now.wall.after(RELEASE_AFTER);
        let repeats = found.repeats.into_iter();
        actor.repeats = repeats.map(|repeat| (repeat, until)).collect();
        for (mut row, version) in found.subscriptions {
            row.expires_at = row.expires_at.clamp(grace, latest);
            let resource = row.resource.clone();
            let owner = (Some(slot), found.activation);
            let is_told = !row.owed && version.0 <= found.told;
            // Where there is no document, that is as new as the activation.
            let is_nothing = version == Version::default();
            let floor = if is_nothing { found.epoch.0 } else { version.0 };
            let floor = Version(floor);
            let entrance = Entrance::Found {
                floor,
                is_told,
                round,
            };
            let subscription = self.with_bench(now, out, |notifier, bench| {
                notifier.insert(row, owner, entrance, bench)
            });
            if let Some(actor) = self.actors.get_mut(slot) {
                actor.subscriptions.push(subscription);
            }
            self.counters.subscriptions_resumed += 1;
            self.counters.subscriptions_told_again += u64::from(!is_told);
            let heard = self.early.heard(&resource);
            if !is_told || heard > floor {
                self.hear(&resource, floor.max(heard), out);
            }
        }
        if let Some(round) = absent {
            self.notifier.settling.end(round);
        }
        self.enter_flows(now.moment, slot);
        self.arm(now, slot);
    }

    /// The client is not assigned to this server: its requests go back to their balancer; one that
    /// was handed back before waits instead, so that two servers never play ball with it.
    fn disown(&mut self, now: Now, slot: usize, out: &mut Outputs) {
        let Some(actor) = self.actors.get_mut(slot) else {
            return;
        };
        if std::mem::take(&mut actor.moved) > Epoch::default() {
            // It may have come here after the store was asked.
            self.activate(slot, out);
            return;
        }
        let queue = std::mem::take(&mut actor.queue);
        let (marked, plain): (Vec<Box<Held>>, Vec<Box<Held>>) = queue
            .into_iter()
            .partition(|held| held.passage.kind == Kind::Marked);
        for held in &plain {
            self.hand_back(held, Epoch::default(), out);
        }
        if marked.is_empty() {
            self.drop_actor(slot);
            return;
        }
        if let Some(actor) = self.actors.get_mut(slot) {
            actor.queue.extend(marked);
        }
        self.wait(now, slot, out);
    }

    /// Gives a request back to its balancer, as its text stands after the balancer's edits.
    pub(super) fn hand_back(&mut self, held: &Held, epoch: Epoch, out: &mut Outputs) {
        let Some(flow) = held.passage.flow else {
            return;
        };
        self.counters.requests_handed_back += 1;
        self.transactions.forget(held.key);
        let start = out.text.len();
        held.edits().write(&held.message(), &mut out.text);
        out.to_balancers.push(ToBalancer {
            balancer: flow.balancer,
            kind: Kind::HandBack,
            client: held.passage.client.clone(),
            flow: Some(flow),
            epoch,
            head: start..out.text.len(),
            body: bytes::Bytes::new(),
        });
    }

    /// The store or the assignment is not to be had: requests are held, not refused, up to a bound.
    pub(super) fn wait(&mut self, now: Now, slot: usize, out: &mut Outputs) {
        // A mute server could not refuse it: it is held as long as its phone waits.
        let hold = if self.is_mute(now.moment) {
            TRANSACTION
        } else {
            self.config.hold
        };
        let Some(actor) = self.actors.get_mut(slot) else {
            return;
        };
        for held in &mut actor.queue {
            self.counters.requests_held += u64::from(held.begin_waiting());
        }
        let mut late = Vec::new();
        while let Some(held) = actor
            .queue
            .pop_front_if(|held| now.moment.since(held.arrived) >= hold)
        {
            late.push(held);
        }
        let due = now.moment.after(TRY_AGAIN);
        actor.state = State::Waiting;
        if let Some(timer) = actor.timer.take() {
            self.wheel.cancel(timer);
        }
        actor.timer = Some(self.wheel.arm(due, Timer::Actor(slot)));
        for held in &late {
            self.turn_away(now, held, out);
        }
    }

    /// The next request of an actor that a phone still waits for. What was held longer is given up
    /// by its phone (RFC 3261 §17.1.2.2), and done now it would stand beside what the phone has
    /// asked since.
    pub(super) fn next_request(&mut self, now: Now, slot: usize) -> Option<Box<Held>> {
        loop {
            let held = self.actors.get_mut(slot)?.queue.pop_front()?;
            if now.moment.since(held.arrived) < TRANSACTION {
                return Some(held);
            }
            self.counters.requests_refused += 1;
            self.transactions.forget(held.key);
        }
    }

    /// The actor's epoch is over, or what its write came to is not known: nothing in memory counts
    /// any more. Whose the client is now, the next activation says.
    pub(super) fn on_fenced(&mut self, slot: usize, out: &mut Outputs) {
        self.reset(slot);
        self.activate(slot, out);
    }

    /// An idle actor whose client was given to a server after its activation asks the store whose
    /// it is; `true` when it does.
    pub(super) fn follow(&mut self, slot: usize, out: &mut Outputs) -> bool {
        let has_moved = self
            .actors
            .get(slot)
            .is_some_and(|actor| actor.epoch < actor.moved);
        if has_moved {
            self.reset(slot);
            self.activate(slot, out);
        }
        has_moved
    }

    /// Empties an actor's memory and keeps its queue.
    pub(super) fn reset(&mut self, slot: usize) {
        self.leave_flows(slot, &[]);
        let Some(actor) = self.actors.get_mut(slot) else {
            return;
        };
        let absent = actor.absent.unwrap_or_else(|| {
            let oldest = self.notifier.settling.oldest();
            self.notifier.settling.begin_in(oldest)
        });
        let mut fresh = Actor::new(actor.aor.clone(), actor.client, absent);
        std::mem::swap(&mut fresh.queue, &mut actor.queue);
        let old = std::mem::replace(actor, fresh);
        if let Some(timer) = old.timer {
            self.wheel.cancel(timer);
        }
        for subscription in old.subscriptions {
            self.notifier.forget(subscription, &mut self.wheel);
        }
    }

    pub(super) fn drop_actor(&mut self, slot: usize) {
        self.reset(slot);
        if let Some(actor) = self.actors.try_remove(slot) {
            self.by_aor.remove(&actor.aor);
            if self.by_client.get(&actor.client) == Some(&slot) {
                self.by_client.remove(&actor.client);
            }
            if let Some(round) = actor.absent {
                self.notifier.settling.end(round);
            }
        }
    }

    /// Removes what is over, if anything is; `true` when a write is on its way.
    pub(super) fn expire(&mut self, now: Now, slot: usize, out: &mut Outputs) -> bool {
        let Some(actor) = self.actors.get_mut(slot) else {
            return false;
        };
        let is_due = actor.next_expiry().is_some_and(|due| due <= now.wall);
        let is_unasked = !self.config.asks() && actor.bindings.iter().any(|row| row.is_silent);
        if !is_due && !is_unasked && actor.over.is_empty() {
            return false;
        }
        let mut changes = Vec::new();
        let mut plan = plan::expire(actor, now.wall, &mut changes);
        if is_unasked {
            plan::show_all(actor, &mut plan, &mut changes);
        }
        plan.over = std::mem::take(&mut actor.over);
        for subscription in &plan.over {
            if let Some(live) = self.notifier.get_mut(*subscription) {
                live.is_frozen = true;
                changes.push(Change::RemoveSubscription {
                    key: live.row.key(),
                    tombstone: None,
                });
            }
        }
        self.write(now, slot, plan, changes, out);
        true
    }

    /// Gives an assignment back that nothing came of; `true` when it is on its way.
    pub(super) fn release(&mut self, now: Now, slot: usize, out: &mut Outputs) -> bool {
        let is_empty = self.actors.get(slot).is_some_and(Actor::is_empty);
        if is_empty {
            let plan = Plan {
                is_release: true,
                ..Plan::default()
            };
            self.write(now, slot, plan, Vec::new(), out);
        }
        is_empty
    }

    /// The store keeps an assignment of which nothing is left here: an nlb serves the client. Its
    /// session ends without a word to us, so the store is asked again in a while.
    pub(super) fn on_kept(&mut self, now: Now, slot: usize, out: &mut Outputs) {
        if self.work_off(now, slot, out) {
            self.arm_at(slot, Some(now.moment.after(ASK_KEPT_EVERY)));
        }
    }

    /// Rewrites the CSeq base of a subscription that has used most of its numbers.
    pub(super) fn rebase(
        &mut self,
        now: Now,
        slot: usize,
        subscription: SubscriptionSlot,
        out: &mut Outputs,
    ) {
        let is_idle = self
            .actors
            .get(slot)
            .is_some_and(|actor| matches!(actor.state, State::Idle));
        let (true, Some(actor)) = (is_idle, self.actors.get(slot)) else {
            // The wish comes again with the next NOTIFY.
            return;
        };
        let activation = actor.activation;
        let Some(row) = self.notifier.row(subscription) else {
            return;
        };
        let Some(live) = self.notifier.get_mut(subscription) else {
            return;
        };
        live.is_frozen = true;
        let mut row = Box::new(row);
        row.cseq_base = live.used_cseq() + 1;
        row.cseq_activation = activation;
        // A mark on its way would be overwritten by what memory says.
        row.owed |= live.is_unsettled();
        let changes = vec![Change::PutSubscription(row.clone())];
        let plan = Plan {
            subscription: Some((row, Fate::Rebased(subscription))),
            ..Plan::default()
        };
        self.write(now, slot, plan, changes, out);
    }

    pub(super) fn on_actor_timer(&mut self, now: Now, slot: usize, out: &mut Outputs) {
        let Some(actor) = self.actors.get_mut(slot) else {
            return;
        };
        actor.timer = None;
        match actor.state {
            State::Waiting if actor.epoch == Epoch::default() => self.activate(slot, out),
            State::Waiting => {
                actor.state = State::Idle;
                self.advance(now, slot, out);
            }
            State::Idle => self.advance(now, slot, out),
            State::Activating | State::Leaving | State::Writing(_) => {}
        }
    }

    /// Arms an actor's timer for its next expiry.
    pub(super) fn arm(&mut self, now: Now, slot: usize) {
        let next = self.actors.get(slot).and_then(Actor::next_expiry);
        let due = next.map(|at: WallTime| now.moment.after(at.since(now.wall)));
        self.arm_at(slot, due);
    }

    fn arm_at(&mut self, slot: usize, due: Option<Moment>) {
        let Some(actor) = self.actors.get_mut(slot) else {
            return;
        };
        if let Some(timer) = actor.timer.take() {
            self.wheel.cancel(timer);
        }
        actor.timer = due.map(|due| self.wheel.arm(due, Timer::Actor(slot)));
    }
}

/// How often the store is asked about a client that only an nlb has: 100,000 of them cost it 330
/// small writes a second.
const ASK_KEPT_EVERY: Duration = Duration::from_mins(5);
