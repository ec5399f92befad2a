//! What the story may look at: its phones, the store and the metrics. Nothing printed comes from
//! elsewhere.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use presently::{Control, Reading};
use presently_agent::Event;
use presently_pool::{MemberId, Role};
use presently_sip::Aor;
use tokio::sync::mpsc;

use crate::cast::{Actor, Heard, is_failure};

/// The pool as the story sees it.
pub(crate) struct Scene {
    actors: Vec<Actor>,
    heard: mpsc::Receiver<Heard>,
    store: Reading,
    control: Control,
}

impl Scene {
    pub(crate) async fn open(
        pool: SocketAddr,
        store: &Path,
        control: Control,
    ) -> Result<Self, String> {
        let store = Reading::open(store).map_err(|error| error.to_string())?;
        let (hearing, heard) = mpsc::channel(256);
        let mut actors = Vec::new();
        for name in CAST {
            actors.push(Actor::enter(name, pool, hearing.clone()).await?);
        }
        Ok(Self {
            actors,
            heard,
            store,
            control,
        })
    }

    /// The phone of `name`.
    pub(crate) fn actor(&mut self, name: &str) -> &mut Actor {
        let mut actors = self.actors.iter_mut();
        actors
            .find(|actor| actor.name == name)
            .expect("one of the cast")
    }

    /// Waits until each server serves and has looked through the store for what came before it:
    /// what it says afterwards it was woken for.
    pub(crate) async fn settle(&self) -> Result<(), String> {
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        loop {
            looks.tick().await;
            let snapshot = self.control.snapshot().await;
            let snapshot = snapshot.ok_or("the pool does not answer")?;
            let mut servers = snapshot.servers.iter();
            if snapshot.is_ready && servers.all(|server| server.counters.sweeps > 0) {
                return Ok(());
            }
        }
    }

    /// The next thing that a phone hears.
    pub(crate) async fn hear(&mut self) -> Result<Heard, String> {
        let heard = self.heard.recv().await.ok_or("the phones broke")?;
        let (name, _, event) = &heard;
        if is_failure(event) {
            return Err(format!("{name} heard {event:?}"));
        }
        Ok(heard)
    }

    /// The next thing that the phone of `name` hears and `read` understands.
    pub(crate) async fn hear_of<T>(
        &mut self,
        name: &str,
        read: impl Fn(&Event) -> Option<T>,
    ) -> Result<(Instant, T), String> {
        loop {
            let (who, at, event) = self.hear().await?;
            if let Some(found) = read(&event).filter(|_| who == name) {
                return Ok((at, found));
            }
        }
    }

    /// From the store: the server of `client`.
    pub(crate) fn server_of(&mut self, client: &Aor) -> Result<String, String> {
        let state = self
            .store
            .client(client)
            .map_err(|error| error.to_string())?;
        let server = state.and_then(|state| state.server);
        Ok(server.map_or_else(|| "no server".to_owned(), |name| name.to_string()))
    }

    /// From the store: the version of the presence document of `client`.
    pub(crate) fn version_of(&mut self, client: &Aor) -> Result<u64, String> {
        let state = self
            .store
            .client(client)
            .map_err(|error| error.to_string())?;
        let documents = state.map(|state| state.documents).unwrap_or_default();
        Ok(documents.first().map_or(0, |document| document.version.0))
    }

    /// From the store: how many clients each server has.
    pub(crate) fn clients(&mut self) -> Result<String, String> {
        let status = self.store.status().map_err(|error| error.to_string())?;
        let servers = status.members.iter();
        let servers = servers.filter(|member| member.role == Role::Server);
        let texts: Vec<_> = servers
            .map(|server| format!("{} {}", server.name, server.clients))
            .collect();
        Ok(texts.join(", "))
    }

    /// From the store: how many subscriptions each server holds.
    pub(crate) fn subscriptions(&mut self) -> Result<String, String> {
        let status = self.store.status().map_err(|error| error.to_string())?;
        let names: BTreeMap<MemberId, _> = status
            .members
            .iter()
            .map(|member| (member.id, &member.name))
            .collect();
        let texts: Vec<_> = status
            .subscriptions
            .iter()
            .filter_map(|(id, count)| Some(format!("{} {count}", names.get(id)?)))
            .collect();
        Ok(texts.join(", "))
    }

    /// From the metrics: how many datagrams with wakes each server has taken up to now.
    pub(crate) async fn woken(&self) -> Result<BTreeMap<String, u64>, String> {
        let snapshot = self
            .control
            .snapshot()
            .await
            .ok_or("the pool does not answer")?;
        let servers = snapshot.servers.iter();
        let servers = servers.map(|server| (server.name.to_string(), server.links.frames_taken));
        Ok(servers.collect())
    }
}

/// Who plays.
const CAST: [&str; 4] = ["alice", "bob", "carol", "dave"];
