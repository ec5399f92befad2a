//! A store that takes its time: what is submitted happens a little later, and is told later still.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use presently_sip::Moment;
use presently_store::sqlite::Inline;
use presently_store::{Completion, Operation, Refused, Store, Ticket};

use super::journal::Journal;

/// The virtual clock of one store, shared with the world.
#[derive(Clone, Debug, Default)]
pub(super) struct Latency(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    now: Moment,
    next_due: Option<Moment>,
    /// Whether it answers in the same moment.
    is_quick: bool,
    /// Whether it does nothing and says so.
    is_away: bool,
}

/// [`Inline`] behind two delays: until an operation is done, and until its completion is told. So
/// other members see, and act upon, what the asker does not know yet. Writes keep their order in
/// both; reads have none, as beside a writer they are done by others.
#[derive(Debug)]
pub(super) struct SlowStore {
    inner: Inline,
    latency: Latency,
    journal: Journal,
    random: fastrand::Rng,
    waiting: BTreeMap<(Moment, u64), (Ticket, Operation)>,
    done: BTreeMap<(Moment, u64), Completion>,
    /// Tells apart what is due at one moment, and keeps its order.
    count: u64,
    last_write: Moment,
    last_told: Moment,
}

impl Latency {
    /// Tells the store the time.
    pub(super) fn set(&self, now: Moment) {
        self.0.lock().expect("one thread").now = now;
    }

    /// Makes the store do and tell everything at once.
    pub(super) fn hasten(&self) {
        self.0.lock().expect("one thread").is_quick = true;
    }

    /// Takes the store away, or brings it back.
    pub(super) fn set_away(&self, is_away: bool) {
        self.0.lock().expect("one thread").is_away = is_away;
    }

    /// When the store has something to do or to say.
    #[must_use]
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.0.lock().expect("one thread").next_due
    }

    fn now(&self) -> Moment {
        self.0.lock().expect("one thread").now
    }
}

impl SlowStore {
    /// A store over `inner` with its clock.
    #[must_use]
    pub(super) fn new(inner: Inline, journal: Journal, seed: u64) -> (Self, Latency) {
        let latency = Latency::default();
        let store = Self {
            inner,
            latency: latency.clone(),
            journal,
            random: fastrand::Rng::with_seed(seed),
            waiting: BTreeMap::new(),
            done: BTreeMap::new(),
            count: 0,
            last_write: Moment::default(),
            last_told: Moment::default(),
        };
        (store, latency)
    }

    fn tell_due(&self) {
        let doing = self.waiting.keys();
        let next_due = doing.chain(self.done.keys()).min().map(|(due, _)| *due);
        self.latency.0.lock().expect("one thread").next_due = next_due;
    }

    /// A moment not long from now, and none before `least`.
    fn later(&mut self, least: Moment) -> Moment {
        let is_quick = self.latency.0.lock().expect("one thread").is_quick;
        let longest = if is_quick { 1 } else { LONGEST_MICROS };
        let delay = Duration::from_micros(self.random.u64(0..longest));
        self.latency.now().after(delay).max(least)
    }

    fn place(&mut self, due: Moment) -> (Moment, u64) {
        self.count += 1;
        (due, self.count)
    }

    /// Does what is due.
    fn perform(&mut self, now: Moment) {
        let mut batch = Vec::new();
        let mut asked = BTreeMap::new();
        while let Some(entry) = self.waiting.first_entry().filter(|it| it.key().0 <= now) {
            let (ticket, operation) = entry.remove();
            asked.insert(ticket, operation.clone());
            batch.push((ticket, operation));
        }
        if batch.is_empty() {
            return;
        }
        let mut finished = Vec::new();
        if self.latency.0.lock().expect("one thread").is_away {
            finished.extend(batch.drain(..).map(|(ticket, _)| Completion {
                ticket,
                result: Err(Refused::Unavailable),
            }));
        }
        self.inner.submit(&mut batch);
        let _ = self
            .inner
            .poll(&mut Context::from_waker(Waker::noop()), &mut finished);
        // What was written in one transaction is told of at once.
        self.last_told = self.later(self.last_told);
        for completion in finished {
            self.journal.entries().operations += 1;
            let operation = asked.get(&completion.ticket).expect("it was asked");
            if let Ok(outcome) = &completion.result {
                self.journal.note(now, operation, outcome);
            }
            let due = if is_read(operation) {
                self.later(now)
            } else {
                self.last_told
            };
            let place = self.place(due);
            self.done.insert(place, completion);
        }
    }
}

impl Store for SlowStore {
    fn submit(&mut self, batch: &mut Vec<(Ticket, Operation)>) {
        let write = self.later(self.last_write);
        // What is read after a write of the same batch sees it.
        let mut least = Moment::default();
        for (ticket, operation) in batch.drain(..) {
            let due = if is_read(&operation) {
                self.later(least)
            } else {
                (self.last_write, least) = (write, write);
                write
            };
            let place = self.place(due);
            self.waiting.insert(place, (ticket, operation));
        }
        self.tell_due();
    }

    fn poll(&mut self, _: &mut Context<'_>, done: &mut Vec<Completion>) -> Poll<()> {
        let now = self.latency.now();
        self.perform(now);
        let before = done.len();
        while let Some(entry) = self.done.first_entry().filter(|it| it.key().0 <= now) {
            done.push(entry.remove());
        }
        self.tell_due();
        if done.len() > before {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

fn is_read(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Documents { .. } | Operation::Find { .. } | Operation::Sweep { .. }
    )
}

/// A commit, or its answer, takes up to so long here: a busy disk's milliseconds, and more than a
/// turn.
const LONGEST_MICROS: u64 = 3_000;
