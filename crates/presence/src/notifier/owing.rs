//! What is still to be told, as the store is to know it: so that whoever has a client next tells
//! its phones no less, and little more.

use std::time::Duration;

use presently_sip::Moment;

use super::live::find;
use super::{Bench, Notifier, Round, SubscriptionSlot};

/// A change of `owed` that is to be written: which subscription, and what it is now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Owing {
    pub(crate) slot: SubscriptionSlot,
    pub(crate) generation: u32,
    pub(crate) owed: bool,
}

impl Notifier {
    /// The server speaks again after it was mute: what is due goes, at a pace, and nothing that its
    /// phone could not refresh meanwhile ends before `grace`.
    pub(crate) fn speak_again(&mut self, grace: Moment, bench: &mut Bench<'_>) {
        let slots: Vec<_> = self.live.iter().map(|(key, _)| key).collect();
        let mut next = bench.now.moment;
        for key in slots {
            let Some(live) = self.live.get_mut(key) else {
                continue;
            };
            live.expires = live.expires.max(grace);
            let resource = self.resources.get(live.resource_key());
            if resource.is_some_and(|resource| live.may_notify(resource, next)) {
                live.not_before = next;
                next = next.after(PACE);
            }
            let slot = SubscriptionSlot::of(key);
            self.advance(slot, bench);
        }
    }

    /// What of `round` is neither answered nor noted as owed is to be noted.
    pub(crate) fn owe(&mut self, round: Round) {
        let late = self.live.iter_mut().filter(|(_, live)| {
            live.unsettled == Some(round) && !live.is_marking && !live.is_frozen
        });
        for (key, live) in late {
            live.is_marking = true;
            self.owing.push(Owing {
                slot: SubscriptionSlot::of(key),
                generation: live.generation,
                owed: true,
            });
        }
    }

    /// Takes out up to `max` changes of `owed` that still hold.
    pub(crate) fn take_owing(&mut self, max: usize) -> Vec<Owing> {
        let mut taken = Vec::new();
        while taken.len() < max {
            let Some(owing) = self.owing.pop() else {
                break;
            };
            let live = self.get_mut(owing.slot);
            let Some(live) = live.filter(|live| live.generation == owing.generation) else {
                continue;
            };
            let holds = if owing.owed {
                live.is_marking
            } else {
                // An older word than the mark that is being made: the store must not hear it last.
                !live.row.owed && !live.is_marking
            };
            if live.is_frozen {
                // The row is being written: with it what is owed.
                live.is_marking = false;
            } else if holds {
                taken.push(owing);
            }
        }
        taken
    }

    /// Whether changes of `owed` wait to be written.
    pub(crate) fn has_owing(&self) -> bool {
        !self.owing.is_empty()
    }

    /// A change of `owed` is written, or is not and must be tried again.
    pub(crate) fn note_owing(&mut self, owing: Owing, is_written: bool) {
        if !is_written {
            self.owing.push(owing);
            return;
        }
        let Some(live) = self.get_mut(owing.slot) else {
            return;
        };
        if live.generation != owing.generation || !owing.owed {
            return;
        }
        live.is_marking = false;
        if live.unsettled.is_some() {
            live.row.owed = true;
            self.settle(owing.slot);
        } else if !live.row.owed {
            // It was answered meanwhile.
            self.owing.push(Owing {
                owed: false,
                ..owing
            });
        }
    }

    pub(super) fn unsettle(&mut self, slot: SubscriptionSlot, round: Round) {
        if let Some(live) = find(&mut self.live, slot) {
            live.unsettle(round, &mut self.settling);
        }
    }

    pub(super) fn settle(&mut self, slot: SubscriptionSlot) {
        if let Some(live) = find(&mut self.live, slot) {
            live.settle(&mut self.settling);
        }
    }

    pub(super) fn note_answer(&mut self, slot: SubscriptionSlot) {
        let Some(live) = find(&mut self.live, slot) else {
            return;
        };
        let resource = self.resources.get(live.resource_key());
        let is_due = resource.is_some_and(|resource| live.is_due(resource));
        if live.note_answer(is_due, &mut self.settling) {
            self.owing.push(Owing {
                slot,
                generation: live.generation,
                owed: false,
            });
        }
    }
}

/// From one NOTIFY to the next after a silence, 20,000 a second: sent all at once they would be
/// repeated before their answers are read.
const PACE: Duration = Duration::from_micros(50);
