//! How many connections each source has: whoever opens many does not take everybody's places.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// Connections that peers have opened, by source: an IPv4 address, or the 64 bits of an IPv6
/// address that name a network, since a host has all addresses in it (RFC 4291 §2.5.4). It holds
/// an entry for each source that has one open, no more.
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

fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << HOST_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

const HOST_BITS: u32 = 64;

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
