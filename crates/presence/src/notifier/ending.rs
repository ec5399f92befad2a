//! How a subscription ends: with one last NOTIFY, or without a word.

use presently_sip::Wheel;

use super::live::find;
use super::{Bench, Ending, Notifier, Reading, SubscriptionSlot, Wish};
use crate::Timer;

impl Notifier {
    /// Whether so many last NOTIFYs are under way that no fetch is taken on top of them.
    pub(crate) fn is_full(&self) -> bool {
        self.last_words >= FETCHES_MAX
    }

    /// The row is gone from the store: one last NOTIFY, then the slot is free. A subscriber that
    /// has said itself that it is gone gets none.
    pub(crate) fn end(&mut self, slot: SubscriptionSlot, bench: &mut Bench<'_>) {
        let Some(live) = self.get_mut(slot) else {
            return;
        };
        if live.ending == Some(Ending::Gone) || live.way(bench.reach).is_none() {
            self.forget(slot, bench.wheel);
            return;
        }
        let was_owned = live.actor.take().is_some();
        live.is_frozen = false;
        live.ending = Some(Ending::Timeout);
        live.not_before = bench.now.moment;
        self.last_words += usize::from(was_owned);
        if self.last_words > LAST_WORDS_MAX {
            self.forget(slot, bench.wheel);
            return;
        }
        // Its row is gone: nobody will tell it anything after us.
        self.settle(slot);
        self.advance(slot, bench);
    }

    /// Forgets a subscription at once, without a word to the subscriber.
    pub(crate) fn forget(&mut self, slot: SubscriptionSlot, wheel: &mut Wheel<Timer>) {
        self.settle(slot);
        let Some(mut live) = self.live.try_remove(slot.key()) else {
            return;
        };
        self.last_words -= usize::from(live.actor.is_none());
        self.unanswered.take(&mut live.in_flight);
        if let Some((_, timer)) = live.timer {
            wheel.cancel(timer);
        }
        let Some(resource) = self.resources.get_mut(live.resource_key()) else {
            return;
        };
        resource.watchers.retain(|watcher| *watcher != slot);
        if resource.watchers.is_empty() {
            let mut resource = self.resources.remove(live.resource_key());
            resource.settle(Reading::Done, &mut self.settling);
            self.by_resource.remove(&resource.id);
        }
    }

    /// The subscriber is gone: the row is to be removed, and nothing more is sent.
    pub(super) fn give_up(&mut self, slot: SubscriptionSlot, bench: &mut Bench<'_>) -> Wish {
        let Some(live) = find(&mut self.live, slot) else {
            return Wish::Nothing;
        };
        let Some(actor) = live.actor else {
            self.forget(slot, bench.wheel);
            return Wish::Nothing;
        };
        live.ending = Some(Ending::Gone);
        live.is_frozen = true;
        if let Some(resource) = self.resources.get(live.resource_key()) {
            crate::events::given_up(&resource.id, live.row.call_id());
        }
        Wish::Remove(slot, actor)
    }
}

/// Last NOTIFYs under way beside which fetches are taken. Each waits for its answer for up to
/// 64·T1, and no bound of a client's counts it: whoever fetches and never answers would fill the
/// memory.
const FETCHES_MAX: usize = 10_000;

/// Last NOTIFYs under way at all: beyond, what ends is forgotten without one. Fetches take nobody
/// else's.
pub(super) const LAST_WORDS_MAX: usize = 4 * FETCHES_MAX;
