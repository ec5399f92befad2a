//! What other tasks and threads may ask of a running nlb.

use std::time::Duration;

use presently_nlb::Server;
use tokio::sync::{mpsc, oneshot};

use super::metrics::Snapshot;
use super::sessions::{Part, SessionList};
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
    /// List those whose user has this text in it, of some sessions behind the one of this number.
    Sessions(String, u64, oneshot::Sender<Part>),
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

    /// A page of the sessions whose user has `part` in it: those behind the session of the number
    /// `after`, 0 for the first page. It is read bit by bit, so that nobody waits for it: sessions
    /// that begin or end meanwhile may be in it or not. `None` when the nlb has ended or is stuck
    /// for a second.
    pub async fn sessions(&self, part: &str, after: u64) -> Option<SessionList> {
        let Snapshot { servers, nlb, .. } = self.snapshot().await?;
        let mut list = SessionList::new(servers, nlb.sessions, after);
        while let Some(after) = list.wants() {
            let part = part.to_owned();
            let wish = |answer| Wish::Sessions(part, after, answer);
            list.add(self.ask(wish).await?);
        }
        Some(list)
    }

    /// The latest steps of users with `part` in their address; `None` when the nlb has ended or is
    /// stuck for a second.
    pub async fn steps(&self, part: &str) -> Option<Vec<StepRow>> {
        let part = part.to_owned();
        self.ask(|answer| Wish::Steps(part, answer)).await
    }

    /// Puts `servers` in the place of the list there was; `None` when the nlb has ended or is
    /// stuck for a second: it is not done later then.
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
