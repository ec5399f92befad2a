//! How many connections each source has, over all threads.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use presently_sip::source;

/// Connections by [`source`]. It holds an entry for each source that has one open, no more.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Sources {
    /// Counts a connection from `address`; `false` when it has `most` already.
    pub(crate) fn enter(&self, address: IpAddr, most: usize) -> bool {
        let mut open = self.lock();
        let count = open.entry(source(address)).or_default();
        if *count >= most {
            return false;
        }
        *count += 1;
        true
    }

    /// One of its connections is over.
    pub(crate) fn leave(&self, address: IpAddr) {
        let (mut open, source) = (self.lock(), source(address));
        let Some(count) = open.get_mut(&source) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            open.remove(&source);
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
    fn a_source_has_its_own_room_and_gives_it_back() {
        let sources = Sources::default();
        for (a, same, b) in [
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            ("2001:db8::1", "2001:db8::2:3", "2001:db8:0:1::1"),
        ] {
            let [a, same, b] = [a, same, b].map(|text| text.parse().unwrap());
            assert!(sources.enter(a, 1));
            assert!(!sources.enter(same, 1));
            assert!(sources.enter(b, 1));
            sources.leave(a);
            assert!(sources.enter(same, 1));
            sources.leave(a);
            sources.leave(b);
        }
        assert!(sources.lock().is_empty());
    }
}
