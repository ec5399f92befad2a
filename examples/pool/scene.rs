//! What the story may look at: its phones, the store and the metrics. Nothing printed comes from
//! elsewhere.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use presently::{Control, Reading};
use presently_pool::{MemberId, Role};
use presently_sip::Aor;

use crate::cast::Actor;

/// The pool as the story sees it.
pub(crate) struct Scene {
    pub(crate) actors: Vec<Actor>,
    store: Reading,
    control: Control,
}

/// What one server had been woken by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Woken {
    pub(crate) datagrams: u64,
    pub(crate) wakes: u64,
}

impl Scene {
    pub(crate) async fn open(
        pool: SocketAddr,
        store: &Path,
        control: Control,
    ) -> Result<Self, String> {
        let store = Reading::open(store).map_err(|error| error.to_string())?;
        let mut actors = Vec::new();
        for name in CAST {
            actors.push(Actor::enter(name, pool).await?);
        }
        Ok(Self {
            actors,
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

    /// From the metrics: what each server has been woken by up to now.
    pub(crate) async fn woken(&self) -> Result<BTreeMap<String, Woken>, String> {
        let snapshot = self
            .control
            .snapshot()
            .await
            .ok_or("the pool does not answer")?;
        let servers = snapshot.servers.iter().map(|server| {
            let woken = Woken {
                datagrams: server.links.frames_taken,
                wakes: server.counters.wakes_received,
            };
            (server.name.to_string(), woken)
        });
        Ok(servers.collect())
    }
}

/// Who plays.
const CAST: [&str; 4] = ["alice", "bob", "carol", "dave"];
