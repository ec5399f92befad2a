//! A flow: one transport association between two addresses (RFC 5626 §2.1).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What carries a flow.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Protocol {
    /// TCP: reliable.
    Tcp,
    /// UDP: unreliable.
    Udp,
}

impl Protocol {
    /// Whether the transport itself repeats what is lost (RFC 3261 §17.1.2).
    #[must_use]
    pub fn is_reliable(self) -> bool {
        matches!(self, Self::Tcp)
    }

    /// The token of a Via's sent-protocol: `UDP`, `TCP` (RFC 3261 §20.42).
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// As people write it in a listener's address: `udp`, `tcp`.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// One transport association between a listener of ours and a remote address.
///
/// A UDP flow is its addresses, so any process with the same listener can use it. A stream flow is
/// a slot of the process that holds the connection; `generation` tells a reused slot apart.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Flow {
    /// What carries it.
    pub protocol: Protocol,
    /// Which listener of the balancer, by its place in the configuration.
    pub listener: u8,
    /// The far end.
    pub remote: SocketAddr,
    /// The connection's slot; 0 for UDP.
    pub slot: u32,
    /// Which use of the slot; 0 for UDP.
    pub generation: u32,
}

impl Flow {
    /// The flow of datagrams between `listener` and `remote`.
    #[must_use]
    pub fn udp(listener: u8, remote: SocketAddr) -> Self {
        Self {
            protocol: Protocol::Udp,
            listener,
            remote,
            slot: 0,
            generation: 0,
        }
    }
}

/// Who `address` counts as, where one source may not take everybody's places: an IPv4 address, also
/// one that is written as IPv6, is itself; of an IPv6 address the 64 bits that name a network, as a
/// host has all addresses in it (RFC 4291 §2.5.4).
#[must_use]
pub fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << HOST_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

const HOST_BITS: u32 = 64;
