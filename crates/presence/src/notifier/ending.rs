//! How a subscription ends: with one last NOTIFY, or without a word.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use presently_pool::FlowToken;
use presently_sip::{Wheel, source};

use super::live::find;
use super::{Bench, Ending, Notifier, Reading, SubscriptionSlot, Wish};
use crate::Timer;

/// Last NOTIFYs under way. Each waits for its answer for up to 64·T1, and no bound of a client's
/// counts it: whoever fetches and never answers would fill the memory.
#[derive(Debug, Default)]
pub(super) struct LastWords {
    pub(super) total: usize,
    by_source: HashMap<IpAddr, usize, RandomState>,
}

impl LastWords {
    pub(super) fn begin(&mut self, flow: &FlowToken) {
        self.total += 1;
        *self.by_source.entry(source_of(flow)).or_default() += 1;
    }

    fn end(&mut self, flow: &FlowToken) {
        self.total -= 1;
        if let Entry::Occupied(mut count) = self.by_source.entry(source_of(flow)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    fn is_full_for(&self, flow: &FlowToken) -> bool {
        let of_source = self.by_source.get(&source_of(flow)).copied();
        self.total >= FETCHES_MAX || of_source.unwrap_or_default() >= FETCHES_OF_SOURCE_MAX
    }
}

fn source_of(flow: &FlowToken) -> IpAddr {
    source(flow.flow.remote.ip())
}

impl Notifier {
    /// Whether so many last NOTIFYs are under way, at all or to where `flow` leads, that no fetch
    /// is taken on top of them.
    pub(crate) fn is_full_for(&self, flow: &FlowToken) -> bool {
        self.last_words.is_full_for(flow)
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
        if was_owned {
            let flow = live.row.flow;
            self.last_words.begin(&flow);
        }
        if self.last_words.total > LAST_WORDS_MAX {
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
        if live.actor.is_none() {
            self.last_words.end(&live.row.flow);
        }
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

/// Last NOTIFYs under way beside which fetches are taken.
const FETCHES_MAX: usize = 10_000;

/// Of those, to one source: nobody alone keeps the others from fetching.
const FETCHES_OF_SOURCE_MAX: usize = FETCHES_MAX / 10;

/// Last NOTIFYs under way at all: beyond, what ends is forgotten without one. Fetches take nobody
/// else's.
pub(super) const LAST_WORDS_MAX: usize = 4 * FETCHES_MAX;
