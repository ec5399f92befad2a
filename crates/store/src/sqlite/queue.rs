//! What goes between the loop and the store's threads: operations one way, completions the other.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::{Completion, Operation, Ticket};

/// Operations that wait for a thread. Its bound is the submitter's: see `Threaded`.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    operations: VecDeque<(Ticket, Operation)>,
    is_closed: bool,
}

/// What a thread finds in its queue.
pub(super) enum Taken {
    /// Nothing, and nothing will come.
    Closed,
    /// Nothing for the time it was willing to wait.
    Idle,
    /// Some operations.
    Work,
}

impl Queue {
    /// Adds operations; `false` when the queue is closed, and then they stay in `operations`.
    pub(super) fn add(&self, operations: &mut Vec<(Ticket, Operation)>) -> bool {
        if operations.is_empty() {
            return true;
        }
        let mut waiting = lock(&self.waiting);
        if waiting.is_closed {
            return false;
        }
        waiting.operations.extend(operations.drain(..));
        drop(waiting);
        self.changed.notify_one();
        true
    }

    /// Lets the thread finish what waits, and then end.
    pub(super) fn close(&self) {
        lock(&self.waiting).is_closed = true;
        self.changed.notify_one();
    }

    /// Moves up to `most` operations into `taken`; waits for some, at most for `patience` if given.
    pub(super) fn take(
        &self,
        most: usize,
        patience: Option<Duration>,
        taken: &mut Vec<(Ticket, Operation)>,
    ) -> Taken {
        let is_empty = |waiting: &mut Waiting| waiting.operations.is_empty() && !waiting.is_closed;
        let waiting = lock(&self.waiting);
        let mut waiting = match patience {
            None => self.changed.wait_while(waiting, is_empty),
            Some(patience) => self
                .changed
                .wait_timeout_while(waiting, patience, is_empty)
                .map(|(waiting, _)| waiting)
                .map_err(|poisoned| PoisonError::new(poisoned.into_inner().0)),
        }
        .unwrap_or_else(PoisonError::into_inner);
        let count = waiting.operations.len().min(most);
        taken.extend(waiting.operations.drain(..count));
        match (count, waiting.is_closed) {
            (0, true) => Taken::Closed,
            (0, false) => Taken::Idle,
            _ => Taken::Work,
        }
    }
}

/// What the threads have finished, and whom to tell.
#[derive(Debug, Default)]
pub(super) struct Finished {
    inner: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    completions: Vec<Completion>,
    waker: Option<Waker>,
}

impl Finished {
    /// Adds completions and wakes the poller once for all of them.
    pub(super) fn add(&self, completions: &mut Vec<Completion>) {
        if completions.is_empty() {
            return;
        }
        let mut told = lock(&self.inner);
        told.completions.append(completions);
        let waker = told.waker.take();
        drop(told);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Moves what is finished into `done`, or remembers whom to wake.
    pub(super) fn poll(&self, context: &mut Context<'_>, done: &mut Vec<Completion>) -> Poll<()> {
        let mut told = lock(&self.inner);
        if told.completions.is_empty() {
            match &mut told.waker {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        done.append(&mut told.completions);
        Poll::Ready(())
    }
}

/// Nothing here is left half done by a panic, so a poisoned lock is as good as another.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
