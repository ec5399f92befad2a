//! A store that takes its time: what is submitted happens, and is told, a little later.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use presently_sip::Moment;
use presently_store::sqlite::Inline;
use presently_store::{Completion, Operation, Store, Ticket};

/// The virtual clock of one store, shared with the world.
#[derive(Clone, Debug, Default)]
pub(super) struct Latency(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    now: Moment,
    next_due: Option<Moment>,
}

/// [`Inline`] behind a delay; operations keep their order.
#[derive(Debug)]
pub(super) struct SlowStore {
    inner: Inline,
    latency: Latency,
    random: fastrand::Rng,
    waiting: VecDeque<(Moment, Ticket, Operation)>,
}

impl Latency {
    /// Tells the store the time.
    pub(super) fn set(&self, now: Moment) {
        self.0.lock().expect("one thread").now = now;
    }

    /// When the store has something to say.
    #[must_use]
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.0.lock().expect("one thread").next_due
    }
}

impl SlowStore {
    /// A store over `inner` with its clock.
    #[must_use]
    pub(super) fn new(inner: Inline, seed: u64) -> (Self, Latency) {
        let latency = Latency::default();
        let store = Self {
            inner,
            latency: latency.clone(),
            random: fastrand::Rng::with_seed(seed),
            waiting: VecDeque::new(),
        };
        (store, latency)
    }

    fn tell_due(&self) {
        let next_due = self.waiting.front().map(|(due, ..)| *due);
        self.latency.0.lock().expect("one thread").next_due = next_due;
    }
}

impl Store for SlowStore {
    fn submit(&mut self, batch: &mut Vec<(Ticket, Operation)>) {
        let now = self.latency.0.lock().expect("one thread").now;
        let delay = Duration::from_micros(self.random.u64(0..LONGEST_MICROS));
        let last = self.waiting.back().map_or(now, |(due, ..)| *due);
        let due = now.after(delay).max(last);
        self.waiting.extend(
            batch
                .drain(..)
                .map(|(ticket, operation)| (due, ticket, operation)),
        );
        self.tell_due();
    }

    fn poll(&mut self, context: &mut Context<'_>, done: &mut Vec<Completion>) -> Poll<()> {
        let now = self.latency.0.lock().expect("one thread").now;
        let mut batch = Vec::new();
        while let Some((_, ticket, operation)) = self.waiting.pop_front_if(|(due, ..)| *due <= now)
        {
            batch.push((ticket, operation));
        }
        self.tell_due();
        if batch.is_empty() {
            return Poll::Pending;
        }
        self.inner.submit(&mut batch);
        self.inner.poll(context, done)
    }
}

/// A commit takes up to so long here; a busy disk's millisecond, and more than a turn.
const LONGEST_MICROS: u64 = 3_000;
