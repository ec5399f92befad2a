//! How many connections each address has, over all threads.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Connections by address. It holds an entry for each address that has one open, no more.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Sources {
    /// Counts a connection from `address`; `false` when it has `most` already.
    pub(crate) fn enter(&self, address: IpAddr, most: usize) -> bool {
        let mut open = self.lock();
        let count = open.entry(address).or_default();
        if *count >= most {
            return false;
        }
        *count += 1;
        true
    }

    /// One of its connections is over.
    pub(crate) fn leave(&self, address: IpAddr) {
        let mut open = self.lock();
        let Some(count) = open.get_mut(&address) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            open.remove(&address);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing that panics is done under the lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_own_room_and_gives_it_back() {
        let sources = Sources::default();
        let [a, b] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        assert!(sources.enter(a, 1));
        assert!(!sources.enter(a, 1));
        assert!(sources.enter(b, 1));
        sources.leave(a);
        assert!(sources.enter(a, 1));
        sources.leave(a);
        sources.leave(b);
        assert!(sources.lock().is_empty());
    }
}
