//! A store that takes its time, and fails: what is submitted happens a little later, and is told
//! later still, or not at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use presently_sip::Moment;
use presently_store::sqlite::Inline;
use presently_store::{Completion, Operation, Refused, Store, Ticket};

use super::journal::Journal;

/// What is wrong with the store, as one process sees it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StoreFaults {
    /// Everything is refused: it cannot be reached.
    pub is_away: bool,
    /// Nothing is done, and nobody is told so, until this is over.
    pub is_stuck: bool,
    /// Nothing more is taken in: its disk is full.
    pub is_full: bool,
    /// A commit, or its answer, takes up to so much longer than usual.
    pub delay: Duration,
    /// Of a thousand writes so many are done, and their answers lost.
    pub replies_lost: u32,
}

/// The world's end of the line between one process and the store.
#[derive(Clone, Debug)]
pub(super) struct StoreLine(Arc<Mutex<State>>);

/// [`Inline`] behind two delays: until an operation is done, and until its completion is told. So
/// other members see, and act upon, what the asker does not know yet. Writes keep their order in
/// both; reads have none, as beside a writer they are done by others.
#[derive(Debug)]
pub(super) struct SlowStore(StoreLine);

#[derive(Debug)]
struct State {
    inner: Inline,
    journal: Journal,
    random: fastrand::Rng,
    waiting: BTreeMap<(Moment, u64), (Ticket, Operation)>,
    done: BTreeMap<(Moment, u64), Completion>,
    /// Tells apart what is due at one moment, and keeps its order.
    count: u64,
    last_write: Moment,
    last_told: Moment,
    now: Moment,
    /// Whether it answers in the same moment.
    is_quick: bool,
    faults: StoreFaults,
}

impl StoreLine {
    pub(super) fn new(inner: Inline, journal: Journal, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            inner,
            journal,
            random: fastrand::Rng::with_seed(seed),
            waiting: BTreeMap::new(),
            done: BTreeMap::new(),
            count: 0,
            last_write: Moment::default(),
            last_told: Moment::default(),
            now: Moment::default(),
            is_quick: false,
            faults: StoreFaults::default(),
        })))
    }

    /// The store that a new life of the process has. What the former one asked and was not done
    /// is lost.
    pub(super) fn open(&self) -> SlowStore {
        let mut state = self.state();
        state.waiting.clear();
        state.done.clear();
        SlowStore(self.clone())
    }

    /// The process ends: some of the writes that it waits for are still done, in their order.
    pub(super) fn cut_short(&self) {
        let mut state = self.state();
        let writes = state.waiting.values().filter(|(_, one)| !is_read(one));
        let (count, now) = (writes.count(), state.now);
        let done = state.random.usize(0..=count);
        let mut waiting = std::mem::take(&mut state.waiting);
        waiting.retain(|_, (_, operation)| !is_read(operation));
        state.waiting = waiting.into_iter().take(done).collect();
        if !state.faults.is_stuck {
            state.perform(now, Moment(u64::MAX));
        }
        state.waiting.clear();
        state.done.clear();
    }

    /// Tells the store the time.
    pub(super) fn set(&self, now: Moment) {
        self.state().now = now;
    }

    /// Makes the store do and tell everything at once.
    pub(super) fn hasten(&self) {
        self.state().is_quick = true;
    }

    pub(super) fn set_faults(&self, faults: StoreFaults) {
        self.state().faults = faults;
    }

    pub(super) fn faults(&self) -> StoreFaults {
        self.state().faults
    }

    /// When the store has something to do or to say.
    #[must_use]
    pub(super) fn next_due(&self) -> Option<Moment> {
        let state = self.state();
        let doing = state.waiting.keys().next();
        let doing = doing.filter(|_| !state.faults.is_stuck);
        let telling = state.done.keys().next();
        doing.into_iter().chain(telling).min().map(|(due, _)| *due)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("one thread")
    }
}

impl State {
    /// A moment not long from now, and none before `least`.
    fn later(&mut self, least: Moment) -> Moment {
        let longest = if self.is_quick { 1 } else { LONGEST_MICROS };
        let slow = u64::try_from(self.faults.delay.as_micros()).unwrap_or(u64::MAX);
        let delay = Duration::from_micros(self.random.u64(0..longest + slow));
        self.now.after(delay).max(least)
    }

    fn place(&mut self, due: Moment) -> (Moment, u64) {
        self.count += 1;
        (due, self.count)
    }

    /// Does what is due by `until`.
    fn perform(&mut self, now: Moment, until: Moment) {
        let mut batch = Vec::new();
        let mut asked = BTreeMap::new();
        let mut finished = Vec::new();
        while let Some(entry) = self.waiting.first_entry().filter(|it| it.key().0 <= until) {
            let (ticket, operation) = entry.remove();
            match self.refusal(&operation) {
                Some(refused) => finished.push(Completion {
                    ticket,
                    result: Err(refused),
                }),
                None => batch.push((ticket, operation.clone())),
            }
            asked.insert(ticket, operation);
        }
        if asked.is_empty() {
            return;
        }
        self.inner.submit(&mut batch);
        let _ = self
            .inner
            .poll(&mut Context::from_waker(Waker::noop()), &mut finished);
        // What was written in one transaction is told of at once.
        self.last_told = self.later(self.last_told);
        for mut completion in finished {
            self.journal.entries().operations += 1;
            let operation = asked.get(&completion.ticket).expect("it was asked");
            if let Ok(outcome) = &completion.result {
                self.journal.note(now, operation, outcome);
                if !is_read(operation) && self.random.u32(0..1000) < self.faults.replies_lost {
                    completion.result = Err(Refused::Unknown);
                }
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

    fn refusal(&self, operation: &Operation) -> Option<Refused> {
        let takes_in = match operation {
            Operation::Assign { create, .. } => *create,
            Operation::Commit { changes, .. } => !changes.is_empty(),
            _ => false,
        };
        let is_refused = self.faults.is_away || (self.faults.is_full && takes_in);
        is_refused.then_some(Refused::Unavailable)
    }
}

impl Store for SlowStore {
    fn submit(&mut self, batch: &mut Vec<(Ticket, Operation)>) {
        let mut state = self.0.state();
        let least = state.last_write;
        let write = state.later(least);
        // What is read after a write of the same batch sees it.
        let mut least = Moment::default();
        for (ticket, operation) in batch.drain(..) {
            let due = if is_read(&operation) {
                state.later(least)
            } else {
                (state.last_write, least) = (write, write);
                write
            };
            let place = state.place(due);
            state.waiting.insert(place, (ticket, operation));
        }
    }

    fn poll(&mut self, _: &mut Context<'_>, done: &mut Vec<Completion>) -> Poll<()> {
        let mut state = self.0.state();
        let now = state.now;
        if !state.faults.is_stuck {
            state.perform(now, now);
        }
        let before = done.len();
        while let Some(entry) = state.done.first_entry().filter(|it| it.key().0 <= now) {
            done.push(entry.remove());
        }
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
