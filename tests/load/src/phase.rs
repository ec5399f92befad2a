//! One phase of a scenario: begins operations, waits for their ends, and reports what they cost.

use std::time::Duration;
use std::{io, thread};

use serde::Serialize;

use crate::load::{Load, clock};
use crate::operation::{Kind, Operation};
use crate::processes::Usage;
use crate::tally::{Quantiles, Tally};

/// What a phase does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// How many users or subscriptions it works on.
    pub(crate) entities: usize,
    /// How long it goes round; `None` does each entity once.
    pub(crate) seconds: Option<f64>,
    /// Operations begun per second, or 0 for a closed loop of `window`.
    pub(crate) rate: f64,
    pub(crate) window: usize,
    /// How long it is quiet before.
    pub(crate) rest: Duration,
    /// Whether it waits for a line on standard input before.
    pub(crate) is_on_line: bool,
}

/// What a phase gave.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PhaseReport {
    name: &'static str,
    seconds: f64,
    operations_per_s: f64,
    notifies_per_s: f64,
    /// Of all the server's processes, from the start of the load to a moment after its last effect.
    cpu_us_per_operation: f64,
    cpu_us_per_notify: f64,
    response_us: Quantiles,
    /// From the moment a state was due to be published to its arrival at a subscriber.
    notify_us: Quantiles,
    /// Growth of the server's memory in this phase.
    memory_bytes: f64,
    /// Subscriptions that never saw the last confirmed version, and those that show an older one.
    final_never_seen: usize,
    final_stale: usize,
    live_subscriptions: usize,
    undelivered: u64,
    #[serde(flatten)]
    tally: Tally,
}

impl Load {
    /// Runs one phase to its end.
    pub(crate) fn run(&mut self, phase: &Phase) -> PhaseReport {
        self.rest(phase.rest);
        if phase.is_on_line {
            self.wait_for_line();
        }
        self.begin(phase);
        let before = Usage::of(&self.pids);
        let start = clock();
        let end = phase.seconds.map(|seconds| start + (seconds * 1e9) as u64);
        self.drive(phase, start, end);
        let stop = clock();
        self.is_load = false;
        self.converge();
        self.rest(Duration::from_millis(300));
        let after = Usage::of(&self.pids);
        if phase.kind == Kind::Subscribe {
            // What an ended transaction still holds is not the subscription's.
            self.rest(phase.rest);
        }
        let memory = Usage::of(&self.pids).memory_bytes as f64 - before.memory_bytes as f64;
        self.report(
            phase,
            (stop - start) as f64 / 1e9,
            (after.cpu_us - before.cpu_us, memory),
        )
    }

    fn begin(&mut self, phase: &Phase) {
        self.kind = phase.kind;
        self.tally = Tally::default();
        let operation = Operation {
            number: self
                .operations
                .iter()
                .map(|one| one.number)
                .max()
                .unwrap_or(0),
            ..Operation::default()
        };
        self.operations.clear();
        self.operations.resize(phase.entities, operation);
        self.is_load = true;
        self.log.is_on = phase.seconds.is_some();
    }

    /// Begins operations until the time is over or each entity had its turn, and ends them.
    fn drive(&mut self, phase: &Phase, start: u64, end: Option<u64>) {
        let step = 1e9 / phase.rate.max(f64::MIN_POSITIVE);
        let mut begun: u64 = 0;
        loop {
            let now = clock();
            let is_over = match end {
                Some(end) => now >= end,
                None => begun >= phase.entities as u64 && self.outstanding == 0,
            };
            if is_over {
                return;
            }
            let mut next = end.unwrap_or(u64::MAX);
            while end.is_some() || begun < phase.entities as u64 {
                let scheduled = if phase.rate > 0.0 {
                    start + (begun as f64 * step) as u64
                } else {
                    now
                };
                if scheduled > now {
                    next = next.min(scheduled);
                    break;
                }
                let is_full = phase.rate == 0.0 && self.outstanding >= phase.window;
                let Some(entity) = self.idle_entity(phase, begun).filter(|_| !is_full) else {
                    break;
                };
                self.start(entity, scheduled);
                begun += 1;
            }
            self.pump(next);
        }
    }

    /// The next entity in turn that has no operation under way.
    fn idle_entity(&mut self, phase: &Phase, begun: u64) -> Option<usize> {
        if phase.seconds.is_none() {
            return usize::try_from(begun).ok();
        }
        for _ in 0..phase.entities.min(4096) {
            let entity = self.cursor % phase.entities;
            self.cursor = entity + 1;
            if !self.operations[entity].is_active {
                return Some(entity);
            }
        }
        None
    }

    /// Waits for the operations under way, then for the final state of every subscription.
    fn converge(&mut self) {
        let latest = clock() + self.grace.as_nanos() as u64;
        while clock() < latest {
            let is_converged = self.kind != Kind::Publish || self.behind() == (0, 0);
            if self.outstanding == 0 && is_converged {
                return;
            }
            self.pump(clock() + 10_000_000);
        }
    }

    /// The phones live on meanwhile; the end of standard input is a line too.
    fn wait_for_line(&mut self) {
        let reader = thread::spawn(|| io::stdin().read_line(&mut String::new()));
        while !reader.is_finished() {
            self.pump(clock() + LOOK_EVERY.as_nanos() as u64);
        }
    }

    fn rest(&mut self, time: Duration) {
        let end = clock() + time.as_nanos() as u64;
        while clock() < end {
            self.pump(end);
        }
    }

    /// Live subscriptions that never saw the last confirmed version, and those that show an older
    /// one.
    fn behind(&self) -> (usize, usize) {
        let wanted = |place: usize| self.presentities[place / self.writing.subscribers].confirmed;
        let all = self.subscriptions.iter().enumerate();
        let live = all.filter(|(_, subscription)| subscription.is_live);
        live.fold((0, 0), |(unseen, stale), (place, subscription)| {
            let is_unseen = subscription.seen < wanted(place);
            let is_stale = !is_unseen && subscription.shown < wanted(place);
            (
                unseen + usize::from(is_unseen),
                stale + usize::from(is_stale),
            )
        })
    }

    fn report(&mut self, phase: &Phase, seconds: f64, (cpu_us, memory): (f64, f64)) -> PhaseReport {
        let (final_never_seen, final_stale) = self.behind();
        let live = self.subscriptions.iter().filter(|one| one.is_live).count();
        let mut tally = std::mem::take(&mut self.tally);
        PhaseReport {
            name: phase.name,
            seconds,
            operations_per_s: tally.ended_in_load as f64 / seconds,
            notifies_per_s: tally.notifies_in_load as f64 / seconds,
            cpu_us_per_operation: cpu_us / (tally.succeeded.max(1) as f64),
            cpu_us_per_notify: cpu_us / (tally.notifies.max(1) as f64),
            response_us: Quantiles::of(&mut tally.response_us),
            notify_us: Quantiles::of(&mut tally.notify_us),
            memory_bytes: memory,
            final_never_seen,
            final_stale,
            live_subscriptions: live,
            undelivered: self.network.undelivered,
            tally,
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(1);
