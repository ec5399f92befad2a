//! The notifier: subscriptions and the resources they watch, and at most one NOTIFY in flight for
//! each.
//!
//! A resource is read from the store once for all its watchers here. A subscription is due a NOTIFY
//! when its resource has come further than what it was last sent, when a SUBSCRIBE was just
//! answered, or when it has ended; while one is unanswered newer versions collapse into the next.

mod ending;
mod in_flight;
mod kept;
mod live;
mod notify;
mod on_flow;
mod owing;
mod resource;
mod settling;

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;
use presently_pool::{ResourceId, Version};
use presently_sip::transaction::{Action, Input};
use presently_sip::{Moment, Now, Random, Wheel};
use presently_store::{Document, Subscription};
use slab::Slab;

use self::ending::LastWords;
use self::in_flight::Unanswered;
pub(crate) use self::kept::Kept;
use self::live::find;
pub(crate) use self::live::{Ending, Entrance, Live};
pub(crate) use self::owing::Owing;
pub(crate) use self::resource::{Reading, Resource};
pub(crate) use self::settling::{Round, Settling};
use crate::actor::Actor;
use crate::branch::Branch;
use crate::package::Packages;
use crate::reach::Reach;
use crate::{Counters, Outputs, Timer};

/// A place in the notifier's table; its generation is checked where it comes from outside.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct SubscriptionSlot(pub(crate) u32);

impl SubscriptionSlot {
    /// The place that the table gave.
    fn of(key: usize) -> Self {
        Self(u32::try_from(key).expect("fewer than 2^32 subscriptions"))
    }

    fn key(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// What the notifier asks of the client's actor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wish {
    /// Nothing.
    Nothing,
    /// The subscription's time is over, or its subscriber said that it is gone: remove the row.
    Remove(SubscriptionSlot, usize),
    /// The CSeq base must be rewritten before it runs out.
    Rebase(SubscriptionSlot, usize),
}

/// What the notifier needs of its server while it works.
pub(crate) struct Bench<'a> {
    pub(crate) actors: &'a Slab<Actor>,
    pub(crate) now: Now,
    pub(crate) out: &'a mut Outputs,
    pub(crate) wheel: &'a mut Wheel<Timer>,
    pub(crate) counters: &'a mut Counters,
    pub(crate) packages: &'a Packages,
    pub(crate) name: &'a str,
    pub(crate) random: &'a mut Random,
    pub(crate) min_interval: Duration,
    pub(crate) reach: &'a Reach,
    /// Whether this server's word does not count at present: nothing is sent.
    pub(crate) is_mute: bool,
    /// The round in which what is sent now leaves.
    pub(crate) round: Round,
}

/// All subscriptions of a server.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    // Boxed: the slab doubles, and half of it would be empty.
    live: Slab<Box<Live>>,
    unanswered: Unanswered,
    resources: Slab<Resource>,
    by_resource: HashMap<ResourceId, usize, RandomState>,
    generation: u32,
    /// Those in `live` that have no actor any more.
    last_words: LastWords,
    pub(crate) settling: Settling,
    /// Changes of `owed` that are not on their way to the store yet.
    owing: Vec<Owing>,
}

impl Notifier {
    /// Takes a subscription in. One that is due a NOTIFY gets it as soon as its resource's document
    /// is known; nothing older than the version an activation found goes out, for whoever held it
    /// before may have sent that.
    pub(crate) fn insert(
        &mut self,
        row: Subscription,
        (actor, activation): (Option<usize>, u32),
        entrance: Entrance,
        bench: &mut Bench<'_>,
    ) -> SubscriptionSlot {
        let (floor, is_told) = match entrance {
            Entrance::Subscribed => (Version::default(), false),
            Entrance::Found { floor, is_told, .. } => (floor, is_told),
        };
        let place = self.resource_of(&row.resource);
        self.generation = self.generation.wrapping_add(1);
        let expires = deadline(bench.now, &row);
        let owner = actor.and_then(|actor| bench.actors.get(actor));
        let row = Kept::new(row, kept::kin(&self.live, owner));
        let key = self.live.insert(Box::new(Live {
            actor,
            activation,
            n: 0,
            resource: u32::try_from(place).expect("one a subscription, of fewer than 2^32"),
            sent: if is_told { floor } else { Version::default() },
            floor,
            is_forced: !is_told,
            is_frozen: false,
            is_cut: false,
            ending: None,
            in_flight: None,
            unsettled: None,
            sent_in: Round::default(),
            is_marking: false,
            not_before: Moment::default(),
            is_substitute: false,
            timeouts: 0,
            expires,
            timer: None,
            generation: self.generation,
            row,
        }));
        let slot = SubscriptionSlot::of(key);
        if let Some(live) = self.live.get(key).filter(|live| live.actor.is_none()) {
            self.last_words.begin(&live.row.flow);
        }
        if let Some(resource) = self.resources.get_mut(place) {
            resource.watchers.push(slot);
        }
        if let (Entrance::Found { round, .. }, false) = (entrance, is_told) {
            self.unsettle(slot, round);
        }
        self.arm(slot, bench);
        slot
    }

    /// The row was written anew by a refresh: CSeq starts from its base.
    pub(crate) fn replace(
        &mut self,
        slot: SubscriptionSlot,
        row: Subscription,
        bench: &mut Bench<'_>,
    ) {
        let expires = deadline(bench.now, &row);
        let Some(held) = self.get(slot) else {
            return;
        };
        let owner = held.actor.and_then(|actor| bench.actors.get(actor));
        let kin = std::iter::once(&held.row).chain(kept::kin(&self.live, owner));
        let row = Kept::new(row, kin);
        let Some(live) = find(&mut self.live, slot) else {
            return;
        };
        live.expires = expires;
        if let Some(sent) = self.unanswered.get_mut(live.in_flight)
            && live.row.remote_target() != row.remote_target()
        {
            // The same bytes go again.
            sent.target
                .get_or_insert_with(|| live.row.remote_target().into());
        }
        let former = std::mem::replace(&mut live.row, row).flow;
        // A flow that is gone does not come back; another is a way to the phone.
        live.is_cut &= live.row.flow == former;
        notify::follow(slot, live, former, &mut self.unanswered, bench);
        live.n = 0;
        let settles = live.row.owed;
        live.is_frozen = false;
        live.is_marking = false;
        live.is_forced = true;
        live.ending = None;
        live.timeouts = 0;
        // A refresh shows that the phone is there: no pause after an earlier failure.
        live.not_before = bench.now.moment;
        if settles {
            // The store knows it.
            self.settle(slot);
        }
        self.arm(slot, bench);
    }

    /// Holds a subscription's NOTIFYs back until its row is replaced or ended.
    pub(crate) fn freeze(&mut self, slot: SubscriptionSlot) {
        if let Some(live) = self.get_mut(slot) {
            live.is_frozen = true;
        }
    }

    /// A document was read, or written here: what watches it is notified.
    pub(crate) fn learn(
        &mut self,
        document: &std::sync::Arc<Document>,
        bench: &mut Bench<'_>,
    ) -> Reading {
        let Some(place) = self.by_resource.get(&document.resource).copied() else {
            return Reading::Done;
        };
        let Some(resource) = self.resources.get_mut(place) else {
            return Reading::Done;
        };
        let round = resource.heard_in();
        let round = round.unwrap_or_else(|| self.settling.present());
        let reading = resource.learn(document);
        let version = resource.version();
        // The list is lent out while each of its watchers advances; nothing joins or leaves
        // meanwhile.
        let watchers = std::mem::take(&mut resource.watchers);
        for slot in &watchers {
            if self.get(*slot).is_some_and(|live| live.sent < version) {
                self.unsettle(*slot, round);
            }
            self.advance(*slot, bench);
        }
        if let Some(resource) = self.resources.get_mut(place) {
            resource.settle(reading, &mut self.settling);
            resource.watchers = watchers;
            resource.drop_unshared();
        }
        reading
    }

    /// Sends the next NOTIFY of a subscription if one is due and may go.
    pub(crate) fn advance(&mut self, slot: SubscriptionSlot, bench: &mut Bench<'_>) {
        let Some(live) = find(&mut self.live, slot) else {
            return;
        };
        let Some(resource) = self.resources.get_mut(live.resource_key()) else {
            return;
        };
        let is_reached = live.way(bench.reach).is_some();
        if !bench.is_mute && is_reached && live.may_notify(resource, bench.now.moment) {
            notify::send(slot, live, resource, &mut self.unanswered, bench);
        }
        self.arm(slot, bench);
    }

    /// A phone answered a NOTIFY.
    pub(crate) fn answered(
        &mut self,
        branch: Branch,
        (status, retry_after): (u16, Option<u32>),
        bench: &mut Bench<'_>,
    ) -> Wish {
        let slot = SubscriptionSlot(branch.slot);
        let now = bench.now.moment;
        let Some(live) =
            find(&mut self.live, slot).filter(|live| live.generation == branch.generation)
        else {
            bench.counters.responses_unmatched += 1;
            return Wish::Nothing;
        };
        let in_flight = self.unanswered.get_mut(live.in_flight);
        let Some(in_flight) = in_flight.filter(|sent| sent.key == branch.key) else {
            bench.counters.responses_unmatched += 1;
            return Wish::Nothing;
        };
        if in_flight
            .transaction
            .handle_input(now, Input::Response { status })
            != Action::Answered
        {
            return Wish::Nothing;
        }
        let was_last = in_flight.is_last;
        bench
            .counters
            .notify_ended(status, bench.now.wall.since(in_flight.date));
        let was_repeated = in_flight.transaction.is_repeated();
        self.unanswered.take(&mut live.in_flight);
        live.timeouts = 0;
        if was_last {
            self.forget(slot, bench.wheel);
            return Wish::Nothing;
        }
        if ends_subscription(status) {
            return self.give_up(slot, bench);
        }
        if status < 300 {
            live.is_substitute = false;
        } else {
            live.on_refusal(now, (status, retry_after), was_repeated);
        }
        let wish = live.wish(slot);
        if status < 300 {
            self.note_answer(slot);
        }
        self.advance(slot, bench);
        wish
    }

    /// A subscription's timer fired.
    pub(crate) fn handle_timeout(&mut self, slot: SubscriptionSlot, bench: &mut Bench<'_>) -> Wish {
        let now = bench.now.moment;
        let Some(live) = find(&mut self.live, slot) else {
            return Wish::Nothing;
        };
        live.timer = None;
        if live.expires <= now
            && live.ending.is_none()
            && let Some(actor) = live.actor
        {
            // Looked at again if the removal cannot be written.
            live.expires = now.after(RETRY_AFTER);
            self.arm(slot, bench);
            // A mute server removes nothing: its phone could not refresh.
            if bench.is_mute {
                return Wish::Nothing;
            }
            return Wish::Remove(slot, actor);
        }
        let action = match self.unanswered.get_mut(live.in_flight) {
            Some(sent)
                if sent
                    .transaction
                    .poll_timeout()
                    .is_some_and(|due| due <= now) =>
            {
                sent.transaction.handle_input(now, Input::Timeout)
            }
            _ => Action::Nothing,
        };
        match action {
            // Time goes on for what is in flight; only the word waits.
            Action::Resend if bench.is_mute || live.is_leaving(bench.actors) => {}
            Action::Resend => {
                bench.counters.notifies_resent += 1;
                notify::resend(slot, live, &self.unanswered, bench);
            }
            Action::TimedOut | Action::Unreachable => return self.on_unanswered(slot, bench),
            Action::Answered | Action::Nothing => {}
        }
        self.advance(slot, bench);
        Wish::Nothing
    }

    /// 64·T1 without an answer. One lost NOTIFY must not cost a lamp (a slow phone, a short cut):
    /// it is tried again after a pause, and given up after some in a row (RFC 6665 §4.2.2 lets
    /// policy decide).
    fn on_unanswered(&mut self, slot: SubscriptionSlot, bench: &mut Bench<'_>) -> Wish {
        let Some(live) = find(&mut self.live, slot) else {
            return Wish::Nothing;
        };
        let is_reached = live.way(bench.reach).is_some();
        bench.counters.notifies_timed_out += u64::from(is_reached);
        let sent = self.unanswered.take(&mut live.in_flight);
        let was_last = sent.is_some_and(|sent| sent.is_last);
        if !is_reached && live.actor.is_none() {
            // A last word that cannot go is not waited for.
            self.forget(slot, bench.wheel);
            return Wish::Nothing;
        }
        if bench.is_mute || !is_reached {
            // It was not repeated as it should have been: that says nothing about the phone.
            live.is_forced = true;
            live.not_before = bench.now.moment;
            self.arm(slot, bench);
            return Wish::Nothing;
        }
        // An address translator may let in nothing from a balancer that stands in for a dead one:
        // that is not the phone's silence.
        if !live.is_stood_in_for(bench.reach) {
            live.timeouts = live.timeouts.saturating_add(1);
        }
        if was_last {
            self.forget(slot, bench.wheel);
            return Wish::Nothing;
        }
        if live.timeouts >= TIMEOUTS_MAX {
            return self.give_up(slot, bench);
        }
        live.is_forced = true;
        live.not_before = bench.now.moment.after(RETRY_AFTER);
        self.arm(slot, bench);
        Wish::Nothing
    }

    pub(crate) fn get(&self, slot: SubscriptionSlot) -> Option<&Live> {
        self.live.get(slot.key()).map(|live| &**live)
    }

    pub(crate) fn get_mut(&mut self, slot: SubscriptionSlot) -> Option<&mut Live> {
        find(&mut self.live, slot)
    }

    /// How many subscriptions are held.
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// Arms the one timer of a subscription for the earliest thing it waits for. A timer that is
    /// early enough is left alone: it fires, finds nothing due, and arms itself again.
    fn arm(&mut self, slot: SubscriptionSlot, bench: &mut Bench<'_>) {
        let Some(live) = find(&mut self.live, slot) else {
            return;
        };
        // What it waits for otherwise (its document, a way, the word) lets it advance itself.
        let resource = self.resources.get(live.resource_key());
        let may_go = resource.is_some_and(|resource| live.is_ready(resource))
            && !bench.is_mute
            && live.way(bench.reach).is_some();
        let sent = self.unanswered.get(live.in_flight);
        let repeat = sent.and_then(|sent| sent.transaction.poll_timeout());
        let Some(due) = live.next_timeout(repeat, may_go) else {
            return;
        };
        match live.timer {
            Some((armed, _)) if armed <= due => return,
            Some((_, timer)) => drop(bench.wheel.cancel(timer)),
            None => {}
        }
        live.timer = Some((due, bench.wheel.arm(due, Timer::Subscription(slot))));
    }
}

/// The closed list of answers that remove a subscription (RFC 6665 §4.2.2).
fn ends_subscription(status: u16) -> bool {
    matches!(status, 404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604)
}

fn deadline(now: Now, row: &Subscription) -> Moment {
    now.moment.after(row.expires_at.since(now.wall))
}

/// The pause after a NOTIFY that failed without ending the subscription.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// NOTIFYs in a row without an answer, 64·T1 each, before a subscription is given up.
const TIMEOUTS_MAX: u8 = 3;

#[cfg(test)]
mod tests;
