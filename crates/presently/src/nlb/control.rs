//! What other tasks and threads may ask of a running nlb.

use std::time::Duration;

use presently_nlb::Server;
use tokio::sync::{mpsc, oneshot};

use super::metrics::Snapshot;
use super::sessions::SessionList;
use super::steps::StepRow;

/// A handle on a running nlb. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    wishes: mpsc::Sender<Wish>,
}

/// One thing asked of the loop.
#[derive(Debug)]
pub(super) enum Wish {
    /// Use this list of application servers.
    Servers(Vec<Server>, oneshot::Sender<()>),
    /// List the sessions whose user has this text in it.
    Sessions(String, oneshot::Sender<SessionList>),
    /// List the latest steps of users with this text in their address.
    Steps(String, oneshot::Sender<Vec<StepRow>>),
    /// Tell the counters.
    Snapshot(oneshot::Sender<Snapshot>),
}

impl Control {
    pub(super) fn new() -> (Self, mpsc::Receiver<Wish>) {
        let (wishes, receiver) = mpsc::channel(WISHES_MAX);
        (Self { wishes }, receiver)
    }

    /// What the nlb has counted up to now; `None` when it has ended or is stuck for a second.
    pub async fn snapshot(&self) -> Option<Snapshot> {
        self.ask(Wish::Snapshot).await
    }

    /// The sessions whose user has `part` in it, up to a bound; `None` when the nlb has ended or
    /// is stuck for a second.
    pub async fn sessions(&self, part: &str) -> Option<SessionList> {
        let part = part.to_owned();
        self.ask(|answer| Wish::Sessions(part, answer)).await
    }

    /// The latest steps of users with `part` in their address; `None` when the nlb has ended or is
    /// stuck for a second.
    pub async fn steps(&self, part: &str) -> Option<Vec<StepRow>> {
        let part = part.to_owned();
        self.ask(|answer| Wish::Steps(part, answer)).await
    }

    /// Puts `servers` in the place of the list there was; `None` when the nlb has ended or is
    /// stuck for a second.
    pub(crate) async fn set_servers(&self, servers: Vec<Server>) -> Option<()> {
        self.ask(|done| Wish::Servers(servers, done)).await
    }

    async fn ask<T>(&self, wish: impl FnOnce(oneshot::Sender<T>) -> Wish) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let asking = async {
            self.wishes.send(wish(answer)).await.ok()?;
            answered.await.ok()
        };
        tokio::time::timeout(PATIENCE, asking).await.ok()?
    }
}

/// Askers that may wait for the loop.
const WISHES_MAX: usize = 16;
/// A loop that does not answer in this time is stuck.
const PATIENCE: Duration = Duration::from_secs(1);
