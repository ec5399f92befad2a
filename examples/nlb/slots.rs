//! Who uses which application server: what seats in a licence would be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The slots in use at the demo's application servers.
#[derive(Clone, Default)]
pub(crate) struct Slots(Arc<Mutex<Servers>>);

type Servers = BTreeMap<&'static str, BTreeSet<Slot>>;

/// One open connection: its user and its far end, for a user who resumes has two for a moment.
type Slot = (String, SocketAddr);

/// A slot in use, for as long as the value lives.
pub(crate) struct Seat {
    slots: Slots,
    server: &'static str,
    slot: Slot,
}

impl Slots {
    /// A server without users.
    pub(crate) fn open(&self, server: &'static str) {
        self.with(|servers| servers.entry(server).or_default().clear());
    }

    /// One at `server` for `user`, who is connected from `far`.
    pub(crate) fn take(&self, server: &'static str, user: &str, far: SocketAddr) -> Seat {
        let slot = (user.to_owned(), far);
        self.with(|servers| servers.entry(server).or_default().insert(slot.clone()));
        Seat {
            slots: self.clone(),
            server,
            slot,
        }
    }

    /// The server that `user` uses.
    pub(crate) fn server_of(&self, user: &str) -> Option<&'static str> {
        let mut all = self.all().into_iter();
        let used = all.find(|(_, users)| users.contains(user));
        used.map(|(server, _)| server)
    }

    /// Each server, and who uses it.
    pub(crate) fn all(&self) -> Vec<(&'static str, BTreeSet<String>)> {
        let users = |slots: &BTreeSet<Slot>| slots.iter().map(|(user, _)| user.clone()).collect();
        self.with(|servers| {
            let servers = servers.iter();
            servers.map(|(name, slots)| (*name, users(slots))).collect()
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Servers) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Self { server, slot, .. } = self;
        let gone = |servers: &mut Servers| servers.get_mut(server).map(|slots| slots.remove(slot));
        self.slots.with(gone);
    }
}
