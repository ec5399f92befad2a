//! Which connections have something to do, so that a turn does not ask all of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// The slots that were woken since they were last taken; each at most once.
///
/// Wakers must be `Sync`, hence the lock. The loop's runtime wakes from the loop's own thread:
/// nobody ever waits for it.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    slots: Vec<usize>,
    parent: Option<Waker>,
}

/// What a connection registers with its socket.
#[derive(Debug)]
pub(crate) struct SlotWaker {
    slot: usize,
    is_queued: AtomicBool,
    shared: Arc<Mutex<Shared>>,
}

impl Ready {
    /// Whom to wake when a slot is: the task that polls the transport.
    pub(crate) fn set_parent(&self, parent: &Waker) {
        let mut shared = lock(&self.shared);
        match &mut shared.parent {
            Some(known) => known.clone_from(parent),
            place => *place = Some(parent.clone()),
        }
    }

    /// Brings about another turn.
    pub(crate) fn wake_parent(&self) {
        if let Some(parent) = &lock(&self.shared).parent {
            parent.wake_by_ref();
        }
    }

    pub(crate) fn waker(&self, slot: usize) -> Arc<SlotWaker> {
        Arc::new(SlotWaker {
            slot,
            is_queued: AtomicBool::new(false),
            shared: Arc::clone(&self.shared),
        })
    }

    /// Moves the waiting slots into `slots`, in the order they were woken.
    pub(crate) fn take(&self, slots: &mut Vec<usize>) {
        slots.append(&mut lock(&self.shared).slots);
    }
}

impl SlotWaker {
    /// Says that the slot is being served: from now on it may be queued again.
    pub(crate) fn served(&self) {
        self.is_queued.store(false, Ordering::Release);
    }
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut shared = lock(&self.shared);
        shared.slots.push(self.slot);
        if let Some(parent) = &shared.parent {
            parent.wake_by_ref();
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
