//! A process whose lives the store has ended joins anew: fresh machines under the old names, on the
//! sockets it has, with what was learnt from these.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use presently_pool::Incarnation;
use presently_store::{Refused, Store};

use super::members::{Former, Joined, Joiner, formers};
use super::start::StartError;
use super::{Pool, RunError};

impl Pool {
    /// Drops every machine and begins again in new lives. Connections of phones stay open, and
    /// tokens of their flows stay valid: the members keep their ids. What the balancer knew of them
    /// is all that is remembered.
    ///
    /// # Errors
    ///
    /// Another process has the name of a member: this one has no place any more.
    pub(super) async fn join_anew(mut self) -> Result<Self, RunError> {
        let began = self.clock.now().moment;
        let names: Vec<&str> = self.own.iter().map(|(_, name)| &**name).collect();
        tracing::warn!(
            members = names.join(" "),
            "fenced: the store has ended a life of this process, which joins anew"
        );
        let lives = self.host.own().map(|life| life.incarnation).collect();
        let outstanding = self.host.outstanding();
        let (mut store, legacy) = self.host.end(self.clock.now());
        forget(store.as_mut(), outstanding).await;
        let mut ours = Ours {
            lives,
            unknown: Vec::new(),
        };
        let joined = loop {
            let mut joined = Joined::at(self.clock.now().moment);
            match ours.join(store.as_mut(), &self.joiners, &mut joined).await {
                Ok(()) => break joined,
                Err(StartError::NameTaken { name }) => return Err(RunError::NameTaken { name }),
                // The store is away: nobody else has the names meanwhile, or it will say so.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        };
        self.own = joined.names();
        self.beaten = joined.beaten(self.clock.now().moment);
        let links = self.shape.links(&joined, &self.joiners);
        self.sockets.replace_links(links);
        self.host = Box::new(self.shape.host(self.clock, store, &joined));
        self.host.inherit(self.clock.now(), legacy);
        self.rejoins += 1;
        let ms = self.clock.now().moment.since(began).as_millis();
        tracing::info!(members = self.own.len(), ms, "joined anew");
        Ok(self)
    }
}

/// What this process knows to be its own among the lives in the store.
struct Ours {
    lives: Vec<Incarnation>,
    /// Names under which a life of ours may have begun whose reply was lost.
    unknown: Vec<Arc<str>>,
}

impl Ours {
    /// Joins every member once more, over the lives of ours that the store still shows.
    async fn join(
        &mut self,
        store: &mut dyn Store,
        joiners: &[Joiner],
        joined: &mut Joined,
    ) -> Result<(), StartError> {
        let formers = formers(store, joiners).await?;
        if let Some(former) = formers.iter().find(|former| !self.holds(former)) {
            let name = Arc::clone(&former.name);
            return Err(StartError::NameTaken { name });
        }
        for joiner in joiners {
            match joiner.join(store, &formers).await {
                Ok((membership, key)) => {
                    self.lives.push(membership.incarnation);
                    joined.add(joiner, (membership, key));
                }
                // Somebody else was between the two questions: the next look says who.
                Err(StartError::NameTaken { .. }) => {
                    return Err(StartError::Refused(Refused::Fenced));
                }
                Err(error) => {
                    self.unknown.push(Arc::clone(&joiner.name));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Whether a life is ours. One whose reply was lost has not beaten yet; should it be another
    /// process's all the same, that one has not begun either, and sees that its name is taken.
    fn holds(&self, former: &Former) -> bool {
        let is_unknown = former.beat == 0 && self.unknown.contains(&former.name);
        is_unknown || self.lives.contains(&former.incarnation)
    }
}

/// Waits for the answers to what the machines had asked, which nobody wants any more.
async fn forget(store: &mut dyn Store, mut outstanding: usize) {
    let mut done = Vec::new();
    while outstanding > 0 {
        poll_fn(|context| store.poll(context, &mut done)).await;
        outstanding = outstanding.saturating_sub(done.len());
        done.clear();
    }
}

/// Between two tries to join.
const PAUSE: Duration = Duration::from_millis(250);
