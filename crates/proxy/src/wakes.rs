//! Who is woken for a connection that goes from one task to another.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// What a connection wakes: the task that holds it, and nobody while it is kept. Sockets and
/// channels know this waker alone, so that it need not be told to them anew for each holder.
#[derive(Clone, Debug)]
pub(crate) struct Wakes {
    noted: Arc<Noted>,
    waker: Waker,
}

#[derive(Debug)]
struct Noted {
    is_woken: AtomicBool,
    is_quiet: AtomicBool,
    is_blocked: AtomicBool,
    holder: Mutex<Waker>,
}

impl Wakes {
    /// Wakes nobody yet.
    pub(crate) fn new() -> Self {
        let noted = Arc::new(Noted {
            is_woken: AtomicBool::new(false),
            is_quiet: AtomicBool::new(false),
            is_blocked: AtomicBool::new(false),
            holder: Mutex::new(Waker::noop().clone()),
        });
        Self {
            waker: Waker::from(Arc::clone(&noted)),
            noted,
        }
    }

    /// From now on the task of `cx` is woken.
    pub(crate) fn hold(&self, cx: &Context<'_>) {
        let mut holder = self.noted.holder();
        if !holder.will_wake(cx.waker()) {
            holder.clone_from(cx.waker());
        }
    }

    /// From now on nobody is woken.
    pub(crate) fn release(&self) {
        self.noted.holder().clone_from(Waker::noop());
    }

    /// Polls with the connection's own waker; what woke before is over.
    pub(crate) fn poll<T>(&self, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
        self.noted.is_woken.store(false, Relaxed);
        poll(&mut Context::from_waker(&self.waker))
    }

    /// Does what wakes the connection to no purpose: who does it polls the connection next.
    pub(crate) fn quietly<T>(&self, act: impl FnOnce() -> T) -> T {
        self.noted.is_quiet.store(true, Relaxed);
        let done = act();
        self.noted.is_quiet.store(false, Relaxed);
        done
    }

    /// Polls what wakes the connection when it has something, unless it had nothing and nothing has
    /// woken the connection since: hyper looks for more after every step it takes.
    pub(crate) fn poll_woken<T>(&self, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
        let is_blocked = &self.noted.is_blocked;
        if is_blocked.load(Relaxed) {
            return Poll::Pending;
        }
        is_blocked.store(true, Relaxed);
        let polled = poll();
        if polled.is_ready() {
            is_blocked.store(false, Relaxed);
        }
        polled
    }

    /// Whether anything has happened since the last poll.
    pub(crate) fn is_woken(&self) -> bool {
        self.noted.is_woken.load(Relaxed)
    }
}

impl Noted {
    fn holder(&self) -> MutexGuard<'_, Waker> {
        // Nothing that panics is done under the lock, which only the thread's own tasks take.
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Noted {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_blocked.store(false, Relaxed);
        if !self.is_quiet.load(Relaxed) {
            self.is_woken.store(true, Relaxed);
            self.holder().wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_connection_wakes_nobody_and_remembers_it() {
        let (wakes, holder) = (Wakes::new(), Wakes::new());
        wakes.hold(&Context::from_waker(&holder.waker));
        wakes.poll(|cx| cx.waker().wake_by_ref());
        assert!(wakes.is_woken() && holder.is_woken(), "its holder is told");

        holder.poll(|_| ());
        wakes.release();
        wakes.poll(|_| ());
        wakes.quietly(|| wakes.waker.wake_by_ref());
        assert!(!wakes.is_woken(), "polled since, and quiet");
        wakes.waker.wake_by_ref();
        assert!(wakes.is_woken() && !holder.is_woken(), "nobody holds it");
    }
    #[test]
    fn what_had_nothing_is_asked_again_once_it_has_woken() {
        let wakes = Wakes::new();
        let asked = std::cell::Cell::new(0);
        let mut answers = vec![
            Poll::Pending,
            Poll::Pending,
            Poll::Ready(()),
            Poll::Ready(()),
        ];
        let mut ask = || {
            wakes.poll_woken(|| {
                asked.set(asked.get() + 1);
                answers.pop().expect("it is not asked so often")
            })
        };
        assert!(ask().is_ready() && ask().is_ready(), "ready stays ready");
        assert!(ask().is_pending() && ask().is_pending());
        assert_eq!(asked.get(), 3, "nothing has woken it");
        wakes.quietly(|| wakes.waker.wake_by_ref());
        assert!(ask().is_pending());
        assert_eq!(asked.get(), 4, "it may be what has woken it");
    }
}
