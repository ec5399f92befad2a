//! Sweeps: what wakes and other words should have said, read from the store.
//!
//! A sweep also compares the clients that the store assigns to this server with the actors in
//! memory: missing ones are activated, foreign ones ask whose they are. The first one, and any after
//! a link lost its memory, looks at all; the others at what changed since the one before.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use presently_pool::Epoch;
use presently_sip::{Aor, Now};
use presently_store::{Operation, Outcome, Refused, Swept};

use super::{Asked, Server};
use crate::Outputs;

/// Where a server's sweeps stand.
#[derive(Debug, Default)]
pub(super) struct Sweeping {
    /// The counter of the last sweep.
    since: u64,
    /// Whether the next one is to begin from nothing.
    wants_all: bool,
    /// The sweep under way: whether it began from nothing.
    under_way: Option<bool>,
    /// Whether its snapshot may be too old for what was asked after it began.
    is_wanted: bool,
}

impl Sweeping {
    pub(super) fn want_all(&mut self) {
        self.wants_all = true;
    }
}

impl Server {
    /// Begins a sweep, or another after the one under way.
    pub(super) fn begin_sweep(&mut self, out: &mut Outputs) {
        if self.sweeping.under_way.is_some() {
            self.sweeping.is_wanted = true;
            return;
        }
        let wants_all = std::mem::take(&mut self.sweeping.wants_all);
        let is_all = self.early.take_overrun() || wants_all || self.sweeping.since == 0;
        self.sweeping.under_way = Some(is_all);
        self.counters.sweeps += 1;
        let operation = Operation::Sweep {
            by: self.me,
            since: if is_all { 0 } else { self.sweeping.since },
        };
        self.ask(Asked::Sweep, operation, out);
    }

    pub(super) fn on_swept(
        &mut self,
        now: Now,
        result: Result<Outcome, Refused>,
        out: &mut Outputs,
    ) {
        let was_all = self.sweeping.under_way.take().unwrap_or_default();
        match result {
            Ok(Outcome::Swept(found)) => self.take_swept(now, found, was_all, out),
            Err(Refused::Fenced) => {
                self.is_fenced = true;
                return;
            }
            // The slow sweep tries again, and no less.
            Ok(_) | Err(_) => self.sweeping.wants_all |= was_all,
        }
        if std::mem::take(&mut self.sweeping.is_wanted) {
            self.begin_sweep(out);
        }
    }

    fn take_swept(&mut self, now: Now, found: Swept, was_all: bool, out: &mut Outputs) {
        let Swept {
            counter,
            changed,
            clients,
        } = found;
        self.sweeping.since = counter;
        for (resource, version) in changed {
            let reads = out.operations.len();
            self.hear(&resource, version, out);
            let has_found = out.operations.len() > reads;
            self.counters.sweeps_found += u64::from(has_found);
        }
        let me = self.me.member;
        let (ours, others): (Vec<_>, Vec<_>) = clients
            .into_iter()
            .partition(|(_, _, server)| *server == me);
        for (aor, epoch, _) in others {
            self.doubt(now, &aor, epoch, out);
        }
        let ours: HashSet<Aor, RandomState> = ours.into_iter().map(|(aor, ..)| aor).collect();
        if was_all {
            self.doubt_foreign(now, &ours, Epoch(counter), out);
            self.missing.clear();
        }
        let missing = ours
            .into_iter()
            .filter(|aor| !self.by_aor.contains_key(aor));
        self.missing.extend(missing);
        // The order of a set is nobody's: a run must repeat.
        self.missing.sort_unstable();
        self.missing.dedup();
        for _ in 0..ACTIVATIONS_AT_ONCE {
            self.activate_missing(out);
        }
    }

    /// Another server was given this client under `epoch`: an actor from before asks whose it is.
    fn doubt(&mut self, now: Now, aor: &Aor, epoch: Epoch, out: &mut Outputs) {
        let slot = self.by_aor.get(aor).copied();
        let actor = slot.and_then(|slot| self.actors.get_mut(slot));
        if let (Some(slot), Some(actor)) = (slot, actor) {
            actor.moved = actor.moved.max(epoch);
            self.advance(now, slot, out);
        }
    }

    /// Actors whose clients were another server's at `snapshot` ask the store whose they are; one
    /// that is younger came after it.
    fn doubt_foreign(
        &mut self,
        now: Now,
        ours: &HashSet<Aor, RandomState>,
        snapshot: Epoch,
        out: &mut Outputs,
    ) {
        let foreign = self.actors.iter_mut().filter(|(_, actor)| {
            let is_known = actor.epoch > Epoch::default() && actor.epoch <= snapshot;
            is_known && !ours.contains(&actor.aor)
        });
        let mut slots = Vec::new();
        for (slot, actor) in foreign {
            actor.moved = Epoch(actor.epoch.0 + 1).max(actor.moved);
            slots.push(slot);
        }
        for slot in slots {
            self.advance(now, slot, out);
        }
    }

    /// Activates the next client that a sweep found without an actor.
    pub(super) fn activate_missing(&mut self, out: &mut Outputs) {
        while let Some(aor) = self.missing.pop() {
            if !self.by_aor.contains_key(&aor) {
                let client = presently_pool::ClientId::default();
                self.actor_of(client, &aor, Epoch::default(), out);
                return;
            }
        }
    }
}

/// Activations under way at a time after a start: paced, so that a request is not kept waiting
/// behind all.
const ACTIVATIONS_AT_ONCE: usize = 64;
