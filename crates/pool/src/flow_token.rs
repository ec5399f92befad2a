//! A flow token: the signed name of a flow in a Route, a Contact or a branch (RFC 5626 §5.1, §5.2).
//!
//! ```text
//! +------+----------+--------------+------------------+---------------------------+
//! | kind | listener | balancer (4) | address and port | slot (4), generation (4)  |
//! | (1)  | (1)      |              | (6, 18 or 22)    | of a stream only          |
//! +------+----------+--------------+------------------+---------------------------+
//! kind: bit 0 a stream, bits 1-2 the address: 0 IPv4, 1 IPv6, 2 IPv6 with a scope (4 more)
//! ```
//!
//! As text it is these bytes and a MAC of 8, in base32 of lower-case letters and digits: 32 letters
//! for a UDP flow over IPv4. Integers are big-endian.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use presently_sip::{Flow, MacKey, Protocol, base32, from_base32};

use crate::MemberId;

/// A flow and the balancer that holds it: where a request to a phone leaves the pool.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FlowToken {
    /// The balancer that holds the flow.
    pub balancer: MemberId,
    /// The flow, as that balancer knows it.
    pub flow: Flow,
}

impl FlowToken {
    /// Appends the token as text: letters and digits that can stand in a SIP user part, a branch or
    /// a host label, and that only a holder of `key` can make.
    pub fn encode(&self, key: &MacKey, out: &mut String) {
        let mut bytes = Vec::with_capacity(MAX_BYTES);
        self.write_bytes(&mut bytes);
        let mac = key.mac64(&[LABEL, &bytes]).to_be_bytes();
        bytes.extend_from_slice(&mac);
        base32(&bytes, out);
    }

    /// Reads a token back; `None` when it is no token, was altered, or is of another key.
    #[must_use]
    pub fn decode(text: &str, key: &MacKey) -> Option<Self> {
        if text.len() > MAX_LETTERS {
            return None;
        }
        let mut bytes = Vec::with_capacity(MAX_BYTES);
        if !from_base32(text, &mut bytes) {
            return None;
        }
        let (body, mac) = bytes.split_last_chunk::<8>()?;
        if key.mac64(&[LABEL, body]) != u64::from_be_bytes(*mac) {
            return None;
        }
        let (token, rest) = Self::read_bytes(body)?;
        rest.is_empty().then_some(token)
    }

    /// Appends the token's bytes without a MAC: for a frame that carries its own.
    pub fn write_bytes(&self, out: &mut Vec<u8>) {
        let flow = self.flow;
        let stream = u8::from(flow.protocol == Protocol::Tcp);
        let (family, scope) = match flow.remote {
            SocketAddr::V4(_) => (0, 0),
            SocketAddr::V6(address) if address.scope_id() == 0 => (1, 0),
            SocketAddr::V6(address) => (2, address.scope_id()),
        };
        out.extend_from_slice(&[stream | family << 1, flow.listener]);
        out.extend_from_slice(&self.balancer.0.to_be_bytes());
        match flow.remote.ip() {
            IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
        }
        out.extend_from_slice(&flow.remote.port().to_be_bytes());
        if family == 2 {
            out.extend_from_slice(&scope.to_be_bytes());
        }
        if stream == 1 {
            out.extend_from_slice(&flow.slot.to_be_bytes());
            out.extend_from_slice(&flow.generation.to_be_bytes());
        }
    }

    /// Reads what [`FlowToken::write_bytes`] wrote, and what follows it.
    #[must_use]
    pub fn read_bytes(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&[kind, listener], bytes) = bytes.split_first_chunk()?;
        let (balancer, bytes) = bytes.split_first_chunk()?;
        let (remote, bytes) = read_address(kind >> 1, bytes)?;
        let mut flow = Flow::udp(listener, remote);
        let mut rest = bytes;
        if kind & 1 == 1 {
            let (slot, bytes) = bytes.split_first_chunk()?;
            let (generation, bytes) = bytes.split_first_chunk()?;
            flow.protocol = Protocol::Tcp;
            flow.slot = u32::from_be_bytes(*slot);
            flow.generation = u32::from_be_bytes(*generation);
            rest = bytes;
        }
        let balancer = MemberId(u32::from_be_bytes(*balancer));
        Some((Self { balancer, flow }, rest))
    }
}

fn read_address(family: u8, bytes: &[u8]) -> Option<(SocketAddr, &[u8])> {
    if family == 0 {
        let (ip, bytes) = bytes.split_first_chunk::<4>()?;
        let (port, bytes) = bytes.split_first_chunk()?;
        let remote = (Ipv4Addr::from(*ip), u16::from_be_bytes(*port)).into();
        return Some((remote, bytes));
    }
    let (ip, bytes) = bytes.split_first_chunk::<16>()?;
    let (port, bytes) = bytes.split_first_chunk()?;
    let (scope, rest) = match family {
        1 => (0, bytes),
        2 => {
            let (scope, rest) = bytes.split_first_chunk()?;
            (u32::from_be_bytes(*scope), rest)
        }
        _ => return None,
    };
    // A scope of zero has the shorter form, so that a flow has one name.
    if family == 2 && scope == 0 {
        return None;
    }
    let remote = SocketAddrV6::new(Ipv6Addr::from(*ip), u16::from_be_bytes(*port), 0, scope);
    Some((remote.into(), rest))
}

/// Keeps the MAC of a token from being taken for one of another purpose.
const LABEL: &[u8] = b"flow token";
const MAX_BYTES: usize = 2 + 4 + 22 + 8 + 8;
const MAX_LETTERS: usize = (MAX_BYTES * 8).div_ceil(5);

#[cfg(test)]
mod tests;
