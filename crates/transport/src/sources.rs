//! How many connections each source has: whoever opens many does not take everybody's places.

use std::collections::HashMap;
use std::net::IpAddr;

use presently_sip::source;

/// Connections that peers have opened, by [`source`]. It holds an entry for each source that has
/// one open, no more.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    open: HashMap<IpAddr, usize>,
}

impl Sources {
    /// Whether `address` has fewer than `most`.
    pub(crate) fn has_room(&self, address: IpAddr, most: usize) -> bool {
        let open = self.open.get(&source(address));
        open.is_none_or(|count| *count < most)
    }

    pub(crate) fn enter(&mut self, address: IpAddr) {
        *self.open.entry(source(address)).or_default() += 1;
    }

    pub(crate) fn leave(&mut self, address: IpAddr) {
        let source = source(address);
        let Some(count) = self.open.get_mut(&source) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            self.open.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_its_own_room_and_gives_it_back() {
        for (one, same, other) in [
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            ("2001:db8::1", "2001:db8::2:3", "2001:db8:0:1::1"),
        ] {
            let [one, same, other] = [one, same, other].map(|text| text.parse().unwrap());
            let mut sources = Sources::default();
            sources.enter(one);
            assert!(!sources.has_room(same, 1) && sources.has_room(same, 2));
            assert!(sources.has_room(other, 1));
            sources.enter(same);
            sources.leave(one);
            assert!(!sources.has_room(one, 1));
            sources.leave(one);
            assert!(sources.has_room(one, 1) && sources.open.is_empty());
        }
    }
}
