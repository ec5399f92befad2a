//! The proxy as the control loop holds it.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Instant;

use presently_nlb::Verdict;

use crate::{Identify, Questions, Settings};

/// A running proxy. Dropping it stops it at once.
#[derive(Debug)]
pub struct Proxy {
    addresses: Vec<SocketAddr>,
}

impl Proxy {
    /// Opens the listeners and starts `threads` threads, each with listeners of its own. Moments
    /// count from `origin`, as those of the control loop must.
    ///
    /// # Errors
    ///
    /// A listener or a thread that could not be opened; nothing runs then.
    pub fn start(
        settings: Settings,
        identify: Arc<dyn Identify>,
        origin: Instant,
        threads: NonZeroU16,
    ) -> Result<(Self, Questions), StartError> {
        let _ = (identify, origin, threads);
        let (_, questions) = Questions::new(settings.limits.waiting);
        let addresses = settings.listeners.iter().map(|one| one.address).collect();
        Ok((Self { addresses }, questions))
    }

    /// Where the listeners are, in their order, once the system has chosen their ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Carries a verdict to its path; one for a path that is gone is dropped.
    pub fn tell(&self, verdict: Verdict) {
        let _ = verdict;
    }

    /// Closes the listeners. Connections end as they become idle, and all of them after
    /// [`crate::Limits::drain`]; then [`Questions::next`] gives `None`.
    pub fn stop(&self) {}
}

/// The proxy could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A listener could not be opened.
    #[error("cannot listen at {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A thread or its runtime could not be opened.
    #[error("cannot start a thread of the proxy")]
    Thread(#[source] io::Error),
}
