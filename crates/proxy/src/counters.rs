//! What the proxy has carried and refused.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A reading of the counters, over all threads since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Connections of clients that were taken.
    pub accepted: u64,
    /// Of these, how many are over.
    pub closed: u64,
    /// Connections that could not be taken: too few descriptors, most likely.
    pub accept_failed: u64,
    /// Connections closed at once, their address having too many.
    pub crowded: u64,
    /// Requests that were read.
    pub requests: u64,
    /// Requests and connections that were refused, by the control loop or for its silence.
    pub refused: u64,
    /// Requests and connections whose application server did not answer, or not in time.
    pub failed: u64,
    /// Requests sent a second time, the first connection having been stale.
    pub retried: u64,
    /// Tunnels that were opened: upgrades and raw TCP.
    pub tunnels: u64,
    /// Connections to application servers that were opened.
    pub upstreams: u64,
}

/// The counters of one thread, which alone writes them.
#[derive(Debug, Default)]
pub(crate) struct LaneCounters {
    pub(crate) accepted: AtomicU64,
    pub(crate) closed: AtomicU64,
    pub(crate) accept_failed: AtomicU64,
    pub(crate) crowded: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) tunnels: AtomicU64,
    pub(crate) upstreams: AtomicU64,
}

impl LaneCounters {
    /// One more. The thread is the only writer, so that no bus is locked.
    pub(crate) fn add(counter: &AtomicU64) {
        counter.store(counter.load(Relaxed) + 1, Relaxed);
    }

    /// Adds this thread's to `sum`.
    pub(crate) fn add_to(&self, sum: &mut Counters) {
        for (total, counter) in [
            (&mut sum.accepted, &self.accepted),
            (&mut sum.closed, &self.closed),
            (&mut sum.accept_failed, &self.accept_failed),
            (&mut sum.crowded, &self.crowded),
            (&mut sum.requests, &self.requests),
            (&mut sum.refused, &self.refused),
            (&mut sum.failed, &self.failed),
            (&mut sum.retried, &self.retried),
            (&mut sum.tunnels, &self.tunnels),
            (&mut sum.upstreams, &self.upstreams),
        ] {
            *total += counter.load(Relaxed);
        }
    }
}
