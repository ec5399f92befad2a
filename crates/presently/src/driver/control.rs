//! What other tasks and threads may ask of a running pool.

use std::time::Duration;

use presently_balancer::Domains;
use presently_presence::Expires;
use tokio::sync::{mpsc, oneshot};

use super::shape;
use crate::Config;
use crate::metrics::Snapshot;
use crate::trace::{self, Tap, Trace, Wanted};

/// A handle on a running pool. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    wishes: mpsc::Sender<Wish>,
}

/// One thing asked of the loop.
#[derive(Debug)]
pub(super) enum Wish {
    /// Close the out-of-band socket of the member of this name.
    BreakOob(String),
    /// Serve these domains and grant these seconds.
    SetTerms(Domains, Expires, oneshot::Sender<()>),
    /// Look at messages as they pass, for so long; whether there is room for one more who does.
    Trace(Tap, Duration, oneshot::Sender<bool>),
    /// Tell the counters.
    Snapshot(oneshot::Sender<Snapshot>),
}

/// Why there is no trace.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum TraceError {
    /// The pool has ended, or is stuck for a second.
    #[error("the loop does not answer")]
    Stuck,
    /// As many run as may.
    #[error("there are as many traces as there may be: end one first")]
    TooMany,
}

impl Control {
    pub(super) fn new() -> (Self, mpsc::Receiver<Wish>) {
        let (wishes, receiver) = mpsc::channel(WISHES_MAX);
        (Self { wishes }, receiver)
    }

    /// What the pool has counted up to now; `None` when it has ended or is stuck for a second.
    pub async fn snapshot(&self) -> Option<Snapshot> {
        let (answer, answered) = oneshot::channel();
        let asking = async {
            self.wishes.send(Wish::Snapshot(answer)).await.ok()?;
            answered.await.ok()
        };
        tokio::time::timeout(PATIENCE, asking).await.ok()?
    }

    /// Takes over what of `config` may change while the pool runs: whose addresses of record are
    /// served, and the seconds granted. Returns once every request is judged by it; `None` when the
    /// pool has ended or is stuck for a second: it is not done later then.
    pub async fn take_over(&self, config: &Config) -> Option<()> {
        let (done, is_done) = oneshot::channel();
        let domains = shape::domains(&config.domains);
        let wish = Wish::SetTerms(domains, config.expires, done);
        let asking = async {
            self.wishes.send(wish).await.ok()?;
            is_done.await.ok()
        };
        tokio::time::timeout(PATIENCE, asking).await.ok()?
    }

    /// The messages of `wanted` from now on, for `span`.
    pub(crate) async fn trace(&self, wanted: Wanted, span: Duration) -> Result<Trace, TraceError> {
        let (tap, trace) = trace::queue(wanted);
        let (answer, answered) = oneshot::channel();
        let asking = async {
            self.wishes
                .send(Wish::Trace(tap, span, answer))
                .await
                .ok()?;
            answered.await.ok()
        };
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Some(true)) => Ok(trace),
            Ok(Some(false)) => Err(TraceError::TooMany),
            Ok(None) | Err(_) => Err(TraceError::Stuck),
        }
    }

    /// Closes the out-of-band socket of the member called `name`: for drills that show what the
    /// pool does without its wakes.
    pub async fn break_oob(&self, name: &str) {
        // A pool that has ended has no socket either.
        let _ = self.wishes.send(Wish::BreakOob(name.to_owned())).await;
    }
}

/// Askers that may wait for the loop.
const WISHES_MAX: usize = 16;
/// A loop that does not answer in this time is stuck.
const PATIENCE: Duration = Duration::from_secs(1);
