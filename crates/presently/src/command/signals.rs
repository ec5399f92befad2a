//! The signals that a serving command obeys.

use std::io;
use std::pin::Pin;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Heard from [`Signals::listen`] on: before the start, so that none is missed while it waits for
/// the store.
pub(super) struct Signals {
    /// SIGHUP: the configuration file is to be read again.
    pub(super) hangup: Signal,
    /// SIGTERM or SIGINT: it is to end.
    pub(super) stopped: Pin<Box<dyn Future<Output = ()>>>,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        let hangup = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let stopped = Box::pin(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        });
        Ok(Self { hangup, stopped })
    }
}
