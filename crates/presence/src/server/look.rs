//! Looking at a server: for metrics, beats and tests of the laws.

use presently_pool::{Epoch, Membership, ResourceId, Version};
use presently_sip::Aor;

use super::Server;
use crate::Counters;

impl Server {
    /// What has been counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many clients have an actor here.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.actors.len()
    }

    /// The clients with an activated actor here, each with its epoch.
    pub fn actors(&self) -> impl Iterator<Item = (&Aor, Epoch)> {
        let actors = self.actors.iter().map(|(_, actor)| actor);
        let active = actors.filter(|actor| actor.epoch > Epoch::default());
        active.map(|actor| (&actor.aor, actor.epoch))
    }

    /// How many subscriptions are held here.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.notifier.len()
    }

    /// How many bytes the requests take that wait, and those being written.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.room.taken()
    }

    /// Which life this is.
    #[must_use]
    pub fn membership(&self) -> Membership {
        self.me
    }

    /// The counter of the store up to which all that its clients watch is told, or noted as owed:
    /// for its beat. `None` before the first sweep has come to its end.
    #[must_use]
    pub fn settled(&self) -> Option<u64> {
        self.notifier.settling.settled()
    }

    /// Whether the store has refused this life: the program leaves or joins anew.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        self.is_fenced
    }

    /// The version held of each resource watched here.
    pub fn resources(&self) -> impl Iterator<Item = (&ResourceId, Version)> {
        self.notifier.resources()
    }
}
