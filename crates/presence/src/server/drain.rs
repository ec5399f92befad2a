//! Handing clients over while this server lives: it stops speaking for a client, asks the store for
//! the compare-and-set, and drops the actor. So a client's dialogs never have two voices.

use std::time::Duration;

use presently_pool::MemberId;
use presently_sip::{Aor, Moment, Now};
use presently_store::{Operation, Outcome, Refused};

use super::{Asked, Server, TRY_AGAIN, Timer};
use crate::Outputs;
use crate::actor::{Destination, State};

/// Where the emptying of this server stands.
#[derive(Debug, Default)]
pub(super) struct Draining {
    is_wanted: bool,
    /// Hand-overs under way.
    under_way: usize,
    /// Where to go on looking.
    next: usize,
    is_armed: bool,
}

impl Server {
    /// An operator wants the server emptied, or not any more.
    pub fn set_draining(&mut self, now: Moment, is_draining: bool) {
        self.draining.is_wanted = is_draining;
        self.expect_drain(now, Duration::ZERO);
    }

    /// Hands one client over to `to`, or to the emptiest other server, as soon as nothing of it is
    /// in flight; `false` when it is not here.
    pub fn hand_over(
        &mut self,
        now: Now,
        client: &Aor,
        to: Option<MemberId>,
        out: &mut Outputs,
    ) -> bool {
        let slot = self.by_aor.get(client).copied();
        let Some((slot, actor)) = slot.and_then(|slot| Some((slot, self.actors.get_mut(slot)?)))
        else {
            return false;
        };
        actor.leaving = Some(to.map_or(Destination::Any, Destination::One));
        self.advance(now, slot, out);
        true
    }

    /// Begins the hand-over that an idle actor is to make; `true` when it is on its way.
    pub(super) fn depart(&mut self, slot: usize, out: &mut Outputs) -> bool {
        let actor = self.actors.get_mut(slot);
        let leaving = actor.and_then(|actor| actor.leaving.take());
        leaving.is_some_and(|to| self.leave(slot, to, out))
    }

    /// Begins the next hand-overs, a few at a time: requests go on in between.
    pub(super) fn drain_some(&mut self, now: Now, out: &mut Outputs) {
        self.draining.is_armed = false;
        if !self.draining.is_wanted || self.is_mute(now.moment) {
            self.expect_drain(now.moment, DRAIN_EVERY);
            return;
        }
        let room = DRAINED_AT_ONCE.saturating_sub(self.draining.under_way);
        let next = self.draining.next;
        let slots = self.actors.iter().map(|(slot, _)| slot);
        let (before, behind): (Vec<_>, Vec<_>) = slots.partition(|slot| *slot < next);
        let mut left = 0;
        for slot in behind.into_iter().chain(before) {
            if left == room {
                break;
            }
            if self.leave(slot, Destination::Any, out) {
                self.draining.next = slot + 1;
                left += 1;
            }
        }
        self.expect_drain(now.moment, DRAIN_EVERY);
    }

    /// Asks the store to give an idle actor's client away; `true` when it is on its way.
    fn leave(&mut self, slot: usize, to: Destination, out: &mut Outputs) -> bool {
        let actor = self.actors.get_mut(slot);
        let Some(actor) = actor.filter(|actor| matches!(actor.state, State::Idle)) else {
            return false;
        };
        actor.state = State::Leaving;
        let operation = Operation::Reassign {
            client: actor.aor.clone(),
            from: self.me.member,
            epoch: actor.epoch,
            to: match to {
                Destination::Any => None,
                Destination::One(to) => Some(to),
            },
        };
        self.draining.under_way += 1;
        self.quieten(slot, true);
        self.ask(Asked::Move(slot), operation, out);
        true
    }

    pub(super) fn on_moved(
        &mut self,
        now: Now,
        slot: usize,
        result: &Result<Outcome, Refused>,
        out: &mut Outputs,
    ) {
        self.draining.under_way = self.draining.under_way.saturating_sub(1);
        let Some(actor) = self.actors.get_mut(slot) else {
            return;
        };
        match result {
            Ok(Outcome::Assigned(Some(assignment))) if assignment.server != self.me.member => {
                self.counters.clients_handed_over += 1;
                out.moved.push((actor.aor.clone(), *assignment));
                let waiting = std::mem::take(&mut actor.queue);
                for held in &waiting {
                    self.hand_back(held, assignment.epoch, out);
                }
                self.drop_actor(slot);
            }
            // Nobody can take it, or it was not written: it stays.
            Ok(Outcome::Assigned(Some(assignment))) if assignment.epoch == actor.epoch => {
                self.stay(now, slot, out);
            }
            Err(Refused::Unavailable) => self.stay(now, slot, out),
            _ => self.on_fenced(slot, out),
        }
    }

    fn stay(&mut self, now: Now, slot: usize, out: &mut Outputs) {
        if let Some(actor) = self.actors.get_mut(slot) {
            actor.state = State::Idle;
        }
        self.quieten(slot, false);
        let places = self
            .actors
            .get(slot)
            .map(|actor| actor.subscriptions.clone());
        self.with_bench(now, out, |notifier, bench| {
            for place in places.unwrap_or_default() {
                notifier.advance(place, bench);
            }
        });
        self.advance(now, slot, out);
    }

    /// Keeps a client's subscriptions from being notified, or lets them again.
    fn quieten(&mut self, slot: usize, is_quiet: bool) {
        let Some(actor) = self.actors.get(slot) else {
            return;
        };
        for place in &actor.subscriptions {
            if let Some(live) = self.notifier.get_mut(*place) {
                live.is_frozen = is_quiet;
            }
        }
    }

    fn expect_drain(&mut self, now: Moment, pause: Duration) {
        if self.draining.is_wanted && !self.draining.is_armed {
            self.draining.is_armed = true;
            // One that is empty looks again now and then: a client may come by an old way.
            let idle = self.actors.is_empty() || (self.draining.under_way == 0 && !pause.is_zero());
            let pause = if idle { TRY_AGAIN } else { pause };
            self.wheel.arm(now.after(pause), Timer::Drain);
        }
    }
}

/// Hand-overs under way at a time.
const DRAINED_AT_ONCE: usize = 32;
/// How often the next ones begin: some 1,600 clients a second at the most.
const DRAIN_EVERY: Duration = Duration::from_millis(20);
