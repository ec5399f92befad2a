//! Application servers and the slots on them: who is where, and who may go where.
//!
//! What is live is a set of session ids for each server, never a count beside one: a count that
//! goes wrong stays wrong.

mod queue;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

pub use queue::Queue;

use crate::ServerName;

/// Names one session for as long as the program runs; never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(pub u64);

/// An application server as configured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    /// Its name: what stays the same over a reload.
    pub name: ServerName,
    /// Where it listens.
    pub address: SocketAddr,
    /// How many sessions it may have at a time; `None` for as many as come.
    pub slots: Option<u32>,
    /// Its share of the sessions beside the others'; a server of weight 0 takes no new ones.
    pub weight: u32,
}

/// Which server a session was given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Choice {
    /// Servers are there, but none has a free slot.
    Full,
    /// No server is there that takes new sessions.
    NoServer,
    /// A slot on this one, now taken.
    Taken(ServerName),
}

/// An application server as it stands, for people to read.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// What was configured.
    pub server: &'a Server,
    /// How many sessions live on it.
    pub live: usize,
    /// Whether it answers its health checks.
    pub is_up: bool,
    /// Whether it was taken from the list and waits for its sessions to end.
    pub is_draining: bool,
}

/// The application servers and the sessions that live on them.
///
/// A server counts as up until it is said to be down. One that is taken from the list drains: its
/// sessions stay until they end, and with the last of them it is forgotten.
#[derive(Debug, Default)]
pub struct Servers {
    by_name: BTreeMap<ServerName, Held>,
    server_of: HashMap<SessionId, ServerName>,
}

#[derive(Debug)]
struct Held {
    server: Server,
    live: BTreeSet<SessionId>,
    is_up: bool,
    is_draining: bool,
}

impl Servers {
    /// The servers of `list`; of two with one name the later counts, and of more than
    /// [`SERVERS_MAX`] the first ones.
    pub fn new(list: Vec<Server>) -> Self {
        let mut servers = Self::default();
        servers.set_list(list);
        servers
    }

    /// Takes a slot for `session`: where it has one already, else on the healthy server with the
    /// fewest live sessions for its weight. Where several are equal, `user` decides, so that a user
    /// who comes back tends to come back to the same one.
    pub fn choose(&mut self, session: SessionId, user: &str) -> Choice {
        if let Some(name) = self.server_of.get(&session) {
            return Choice::Taken(ServerName::clone(name));
        }
        let mut is_any_open = false;
        let best = self
            .by_name
            .values()
            .filter(|held| held.is_open())
            .inspect(|_| is_any_open = true)
            .filter(|held| held.has_room())
            .min_by(|one, other| {
                let (load, other_load) = (one.load_beside(other), other.load_beside(one));
                load.cmp(&other_load)
                    .then_with(|| rank(other, user).cmp(&rank(one, user)))
            });
        let Some(name) = best.map(|held| ServerName::clone(&held.server.name)) else {
            return if is_any_open {
                Choice::Full
            } else {
                Choice::NoServer
            };
        };
        self.put(session, &name);
        Choice::Taken(name)
    }

    /// Takes a slot on the server called `name`, and gives back the one that `session` had
    /// elsewhere. False, and nothing changes, when the server is not there, is down, drains or is
    /// full; its weight does not matter to those who have been there before.
    pub fn take(&mut self, session: SessionId, name: &str) -> bool {
        if self.server_of(session).is_some_and(|held| **held == *name) {
            return true;
        }
        let Some(held) = self.by_name.get(name) else {
            return false;
        };
        if !held.is_up || held.is_draining || !held.has_room() {
            return false;
        }
        let name = ServerName::clone(&held.server.name);
        self.free(session);
        self.put(session, &name);
        true
    }

    /// Gives back the slot of `session`, and says on which server that was.
    pub fn free(&mut self, session: SessionId) -> Option<ServerName> {
        let name = self.server_of.remove(&session)?;
        if let Some(held) = self.by_name.get_mut(&name) {
            held.live.remove(&session);
            if held.is_draining && held.live.is_empty() {
                self.by_name.remove(&name);
            }
        }
        Some(name)
    }

    /// The server called `name` answers its health checks, or does so no more. Gives the sessions
    /// that have lost their slot by it, none when nothing changed.
    pub fn set_health(&mut self, name: &str, is_up: bool) -> Vec<SessionId> {
        let Some(held) = self.by_name.get_mut(name) else {
            return Vec::new();
        };
        held.is_up = is_up;
        if is_up {
            return Vec::new();
        }
        let lost: Vec<SessionId> = held.live.iter().copied().collect();
        for session in &lost {
            self.free(*session);
        }
        lost
    }

    /// Puts `list` in the place of the list there was. Servers that stay keep their sessions and
    /// their health, also when their address, slots or weight change. Gives the sessions whose
    /// server listens elsewhere now.
    pub fn set_list(&mut self, list: Vec<Server>) -> Vec<SessionId> {
        let mut readdressed = Vec::new();
        for held in self.by_name.values_mut() {
            held.is_draining = true;
        }
        for server in list.into_iter().take(SERVERS_MAX) {
            let name = ServerName::clone(&server.name);
            let held = self.by_name.entry(name).or_insert_with(|| Held {
                server: server.clone(),
                live: BTreeSet::new(),
                is_up: true,
                is_draining: false,
            });
            if held.server.address != server.address {
                readdressed.extend(&held.live);
            }
            held.server = server;
            held.is_draining = false;
        }
        self.by_name
            .retain(|_, held| !held.is_draining || !held.live.is_empty());
        readdressed
    }

    /// The server that `session` has a slot on.
    pub fn server_of(&self, session: SessionId) -> Option<&ServerName> {
        self.server_of.get(&session)
    }

    /// Where the server called `name` listens.
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        self.by_name.get(name).map(|held| held.server.address)
    }

    /// How many sessions live on the server called `name`.
    pub fn live(&self, name: &str) -> usize {
        self.by_name.get(name).map_or(0, |held| held.live.len())
    }

    /// How many sessions live on any server.
    pub fn live_in_all(&self) -> usize {
        self.server_of.len()
    }

    /// How many servers there are; those that drain too.
    pub fn count(&self) -> usize {
        self.by_name.len()
    }

    /// Every server, in the order of names; those that drain too.
    pub fn iter(&self) -> impl Iterator<Item = Standing<'_>> {
        self.by_name.values().map(|held| Standing {
            server: &held.server,
            live: held.live.len(),
            is_up: held.is_up,
            is_draining: held.is_draining,
        })
    }

    fn put(&mut self, session: SessionId, name: &ServerName) {
        if let Some(held) = self.by_name.get_mut(name) {
            held.live.insert(session);
            self.server_of.insert(session, ServerName::clone(name));
        }
    }
}

impl Held {
    /// Whether it takes new sessions, if it has room.
    fn is_open(&self) -> bool {
        self.is_up && !self.is_draining && self.server.weight > 0
    }

    fn has_room(&self) -> bool {
        let slots = self.server.slots.map(usize::try_from);
        slots.is_none_or(|slots| slots.is_ok_and(|slots| self.live.len() < slots))
    }

    /// How loaded one session more would leave it, to be compared with `other`'s: a fraction of
    /// the weight, brought to the same denominator.
    fn load_beside(&self, other: &Self) -> u128 {
        let live = u128::try_from(self.live.len()).unwrap_or(u128::MAX >> 64);
        (live + 1) * u128::from(other.server.weight)
    }
}

/// The rank of a server for `user` (rendezvous hashing): without regard to the other servers, so
/// that a server more or less moves only those who were ranked to it.
fn rank(held: &Held, user: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&held.server.name, user).hash(&mut hasher);
    hasher.finish()
}

/// The most servers of a list: each choice looks at every one of them.
pub const SERVERS_MAX: usize = 1_000;

#[cfg(test)]
mod tests;
