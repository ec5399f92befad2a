//! A store that takes its time: what is submitted happens a little later, and is told later still.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use presently_sip::Moment;
use presently_store::sqlite::Inline;
use presently_store::{Completion, Operation, Store, Ticket};

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
}

/// [`Inline`] behind two delays: until an operation is done, and until its completion is told. So
/// other members see, and act upon, what the asker does not know yet. Both keep the order.
#[derive(Debug)]
pub(super) struct SlowStore {
    inner: Inline,
    latency: Latency,
    journal: Journal,
    random: fastrand::Rng,
    waiting: VecDeque<(Moment, Ticket, Operation)>,
    done: VecDeque<(Moment, Completion)>,
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
            waiting: VecDeque::new(),
            done: VecDeque::new(),
        };
        (store, latency)
    }

    fn tell_due(&self) {
        let doing = self.waiting.front().map(|(due, ..)| *due);
        let telling = self.done.front().map(|(due, _)| *due);
        let next_due = doing.into_iter().chain(telling).min();
        self.latency.0.lock().expect("one thread").next_due = next_due;
    }

    fn later(&mut self, last: Option<Moment>) -> Moment {
        let is_quick = self.latency.0.lock().expect("one thread").is_quick;
        let longest = if is_quick { 1 } else { LONGEST_MICROS };
        let delay = Duration::from_micros(self.random.u64(0..longest));
        let due = self.latency.now().after(delay);
        due.max(last.unwrap_or_default())
    }

    /// Does what is due.
    fn perform(&mut self, now: Moment) {
        let mut batch = Vec::new();
        let mut asked = BTreeMap::new();
        let due = |(due, ..): &mut (Moment, Ticket, Operation)| *due <= now;
        while let Some((_, ticket, operation)) = self.waiting.pop_front_if(due) {
            asked.insert(ticket, operation.clone());
            batch.push((ticket, operation));
        }
        if batch.is_empty() {
            return;
        }
        let mut finished = Vec::new();
        self.inner.submit(&mut batch);
        let _ = self
            .inner
            .poll(&mut Context::from_waker(Waker::noop()), &mut finished);
        // One batch is one transaction, told of at once.
        let due = self.later(self.done.back().map(|(due, _)| *due));
        for completion in finished {
            self.journal.entries().operations += 1;
            if let (Some(operation), Ok(outcome)) =
                (asked.get(&completion.ticket), &completion.result)
            {
                self.journal.note(now, operation, outcome);
            }
            self.done.push_back((due, completion));
        }
    }
}

impl Store for SlowStore {
    fn submit(&mut self, batch: &mut Vec<(Ticket, Operation)>) {
        let due = self.later(self.waiting.back().map(|(due, ..)| *due));
        let batch = batch.drain(..);
        self.waiting
            .extend(batch.map(|(ticket, operation)| (due, ticket, operation)));
        self.tell_due();
    }

    fn poll(&mut self, _: &mut Context<'_>, done: &mut Vec<Completion>) -> Poll<()> {
        let now = self.latency.now();
        self.perform(now);
        let before = done.len();
        while let Some((_, completion)) = self.done.pop_front_if(|(due, _)| *due <= now) {
            done.push(completion);
        }
        self.tell_due();
        if done.len() > before {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// A commit, or its answer, takes up to so long here: a busy disk's milliseconds, and more than a
/// turn.
const LONGEST_MICROS: u64 = 3_000;
