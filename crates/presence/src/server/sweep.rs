//! Sweeps: what wakes and other words should have said, read from the store.
//!
//! A sweep also compares the clients that the store assigns to this server with the actors in
//! memory: missing ones are activated, foreign ones ask whose they are. The first one, and any
//! after a link lost its memory, looks at all; the others at what changed since the one before.

use std::collections::HashSet;
use std::time::Duration;

use foldhash::fast::RandomState;
use presently_pool::Epoch;
use presently_sip::{Aor, Now};
use presently_store::{Mark, Operation, Outcome, Refused, Swept};

use super::{Asked, Server, Timer};
use crate::Outputs;
use crate::notifier::{Owing, Round, Settling};

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
    /// Whether changes of `owed` are to be written soon.
    is_owing: bool,
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
        }
        let missing = ours
            .into_iter()
            .filter(|aor| !self.by_aor.contains_key(aor));
        let mut missing: Vec<Aor> = missing.collect();
        // The order of a set is nobody's: a run must repeat.
        missing.sort_unstable();
        for aor in missing {
            self.missing.push(aor, &mut self.notifier.settling);
        }
        self.activate_missing(now, out);
        if self.notifier.settling.close(counter) {
            self.wheel.arm(now.moment.after(OWED_AFTER), Timer::Settle);
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

    /// Begins to activate clients without an actor, unless that is under way.
    pub(super) fn activate_missing(&mut self, now: Now, out: &mut Outputs) {
        if !self.missing.is_under_way {
            self.missing.is_under_way = true;
            self.activate_some(now, out);
        }
    }

    /// Activates the next clients without an actor. Paced, so that a request is not kept waiting
    /// behind all, and phones are not told everything at once.
    pub(super) fn activate_some(&mut self, now: Now, out: &mut Outputs) {
        let per_sec = u64::from(self.config.activations_per_sec.max(1));
        let share = u64::from(ACTIVATE_EVERY_MILLIS) * per_sec / 1_000;
        let mut room = usize::try_from(share.max(1)).unwrap_or(usize::MAX);
        // A store that is slow is not asked for more.
        if self.asked.len() > ASKED_MAX {
            room = 0;
        }
        let round = self.notifier.settling.oldest();
        while room > 0
            && let Some(aor) = self.missing.clients.pop()
        {
            if !self.by_aor.contains_key(&aor) {
                let unknown = (presently_pool::ClientId::default(), Epoch::default());
                self.actor_of(unknown, &aor, round, out);
                room -= 1;
            }
        }
        self.missing.is_under_way = !self.missing.clients.is_empty();
        if self.missing.is_under_way {
            let pause = Duration::from_millis(ACTIVATE_EVERY_MILLIS.into());
            self.wheel.arm(now.moment.after(pause), Timer::Activate);
        } else if let Some(round) = self.missing.absent.take() {
            self.notifier.settling.end(round);
        }
    }

    /// What the last sweep found has had its time: what is unanswered is noted as owed.
    pub(super) fn settle_late(&mut self, now: Now) {
        let Some(round) = self.notifier.settling.closing() else {
            return;
        };
        self.notifier.owe(round);
        self.expect_owed(now);
        self.wheel.arm(now.moment.after(OWED_AFTER), Timer::Settle);
    }

    /// Sees to it that changes of `owed` are written soon, several at once.
    pub(super) fn expect_owed(&mut self, now: Now) {
        if self.notifier.has_owing() && !self.sweeping.is_owing {
            self.sweeping.is_owing = true;
            self.wheel.arm(now.moment.after(OWE_EVERY), Timer::Owe);
        }
    }

    /// Writes changes of `owed`.
    pub(super) fn write_owed(&mut self, now: Now, out: &mut Outputs) {
        self.sweeping.is_owing = false;
        let taken = self.notifier.take_owing(OWED_AT_ONCE);
        let marks: Vec<Mark> = taken.iter().filter_map(|owing| self.mark(owing)).collect();
        if !marks.is_empty() {
            let operation = Operation::Owe { by: self.me, marks };
            self.ask(Asked::Owe(taken), operation, out);
        }
        self.expect_owed(now);
    }

    pub(super) fn on_owed(&mut self, now: Now, owing: &[Owing], result: Result<(), Refused>) {
        self.is_fenced |= result == Err(Refused::Fenced);
        for owing in owing {
            self.notifier.note_owing(*owing, result.is_ok());
        }
        self.expect_owed(now);
    }

    /// A change of `owed` as the store takes it.
    fn mark(&self, owing: &Owing) -> Option<Mark> {
        let live = self.notifier.get(owing.slot)?;
        let actor = self.actors.get(live.actor?)?;
        Some(Mark {
            client: actor.client,
            epoch: actor.epoch,
            key: live.row.key(),
            owed: owing.owed,
        })
    }
}

/// Clients found to be this server's without an actor.
#[derive(Debug, Default)]
pub(super) struct Missing {
    clients: Vec<Aor>,
    /// While there are any, nothing later than what they may be owed is settled.
    absent: Option<Round>,
    is_under_way: bool,
}

impl Missing {
    pub(super) fn push(&mut self, client: Aor, settling: &mut Settling) {
        let oldest = settling.oldest();
        self.absent.get_or_insert_with(|| settling.begin_in(oldest));
        self.clients.push(client);
    }
}

/// How often the next clients are activated.
const ACTIVATE_EVERY_MILLIS: u32 = 16;
/// Operations under way past which no activation is added.
const ASKED_MAX: usize = 512;
/// How long a NOTIFY may be unanswered before it is noted in the store as owed.
const OWED_AFTER: Duration = Duration::from_secs(2);
/// How often changes of `owed` are written, and how many at once.
const OWE_EVERY: Duration = Duration::from_millis(100);
const OWED_AT_ONCE: usize = 500;
