//! The branch of a Via of ours: everything a stateless proxy must know of a request when its
//! response comes (RFC 3261 §16.11), authenticated.
//!
//! ```text
//! z9hG4bK base32( kind:1  key number:1  origin  mac:8 )
//!   origin  a phone's request:
//!             listener:1  port:2  address:4|16  [scope:4]  [slot:4  generation:4]
//!           a server's request:
//!             member id:4
//!   mac     of all before it, and of the request: the Via below ours, From tag, Call-ID,
//!           CSeq number
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use presently_pool::MemberId;
use presently_sip::{Flow, Message, Moment, Protocol, Via, base32, from_base32};

use crate::edge::DEFAULT_PORT;
use crate::keys::{Keys, Parts};

/// Who a response goes back to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// The flow a phone's request came by.
    Phone(Flow),
    /// The server whose request left for a phone.
    Server(MemberId),
}

/// A branch that has the form of ours; nothing is proven until [`Branch::is_authentic`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Branch {
    pub(crate) origin: Origin,
    number: u8,
    mac: u64,
}

/// The request a branch belongs to, as parsed values: who passed it on may have folded or spaced
/// the text anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Below<'a> {
    /// The branch of the Via below ours.
    pub(crate) branch: &'a str,
    /// From's tag.
    pub(crate) from_tag: &'a str,
    transport: &'a str,
    host: &'a str,
    address: Option<IpAddr>,
    port: Option<u16>,
    received: Option<IpAddr>,
    rport: Rport,
    call_id: &'a str,
    cseq: u32,
}

/// The `rport` parameter (RFC 3581 §3).
#[derive(Clone, Copy, Debug)]
enum Rport {
    Absent,
    Asked,
    Port(u16),
}

impl<'a> Below<'a> {
    /// Reads it from a message in which `via` is the value below ours.
    pub(crate) fn read(message: &Message<'a>, via: &Via<'a>) -> Option<Self> {
        let mut below = Self {
            branch: "",
            from_tag: message.from()?.tag().unwrap_or_default(),
            transport: via.transport,
            host: via.host.0,
            address: via.host.address(),
            port: via.port,
            received: None,
            rport: Rport::Absent,
            call_id: message.call_id()?,
            cseq: message.cseq()?.number,
        };
        for (name, value) in via.params.iter() {
            let value = value.unwrap_or_default();
            if name.eq_ignore_ascii_case("branch") {
                below.branch = value;
            } else if name.eq_ignore_ascii_case("received") {
                below.received = parse_address(value);
            } else if name.eq_ignore_ascii_case("rport") {
                below.rport = value.parse().map_or(Rport::Asked, Rport::Port);
            }
        }
        Some(below)
    }

    /// As [`Below::read`] of a request that comes from `source`, with what our edits will add to
    /// its Via (RFC 3261 §18.2.1, RFC 3581 §4).
    pub(crate) fn arriving(
        message: &Message<'a>,
        via: &Via<'a>,
        source: SocketAddr,
    ) -> Option<Self> {
        let mut below = Self::read(message, via)?;
        let address = source.ip().to_canonical();
        let is_asked = matches!(below.rport, Rport::Asked);
        if is_asked {
            below.rport = Rport::Port(source.port());
        }
        below.received = (is_asked || below.address != Some(address)).then_some(address);
        Some(below)
    }

    /// Where a response goes whose request came by `flow`: over a stream, back; in a datagram, to
    /// the source's address, and its port if that was asked for, else the port of sent-by
    /// (RFC 3261 §18.2.2, RFC 3581 §4). An `maddr` is not followed: a response goes to no third
    /// party.
    pub(crate) fn answer_flow(&self, flow: Flow) -> Flow {
        let mut flow = flow;
        if flow.protocol == Protocol::Udp && matches!(self.rport, Rport::Absent) {
            flow.remote.set_port(self.port.unwrap_or(DEFAULT_PORT));
        }
        flow
    }

    fn fold(&self, parts: &mut Parts) {
        parts.push_folded(self.transport);
        match self.address {
            address @ Some(_) => parts.push_address(address),
            None => parts.push_folded(self.host),
        }
        parts.push_number(self.port.map_or(0, u32::from));
        parts.push(self.branch.as_bytes());
        parts.push_address(self.received);
        parts.push_number(match self.rport {
            Rport::Absent | Rport::Asked => 0,
            Rport::Port(port) => u32::from(port),
        });
        parts.push(self.from_tag.as_bytes());
        parts.push(self.call_id.as_bytes());
        parts.push_number(self.cseq);
    }
}

impl Branch {
    /// The branch for `origin`'s request: the same for a retransmission of it, another for any
    /// other request, also for one of another phone that has the same branch, Call-ID, tag and
    /// CSeq.
    pub(crate) fn of(origin: Origin, below: &Below<'_>, keys: &Keys, parts: &mut Parts) -> Self {
        let mut branch = Self {
            origin,
            number: keys.number(),
            mac: 0,
        };
        branch.fold(below, parts);
        branch.mac = parts.mac(keys.current());
        branch
    }

    /// Whether this branch is ours and belongs to the request in `below`.
    pub(crate) fn is_authentic(
        &self,
        now: Moment,
        below: &Below<'_>,
        keys: &Keys,
        parts: &mut Parts,
    ) -> bool {
        self.fold(below, parts);
        keys.for_branches(now, self.number)
            .any(|key| parts.mac(key) == self.mac)
    }

    /// The MAC: names the request among those the balancer holds.
    pub(crate) fn identity(&self) -> u64 {
        self.mac
    }

    /// Appends the branch's text, cookie included.
    pub(crate) fn write(&self, out: &mut String) {
        let mut fields = self.fields();
        fields.put(&self.mac.to_be_bytes());
        out.push_str(COOKIE);
        base32(fields.as_slice(), out);
    }

    /// Reads a branch that has the form of ours; `scratch` is memory to be reused.
    pub(crate) fn parse(text: &str, scratch: &mut Vec<u8>) -> Option<Self> {
        let (cookie, text) = text.split_at_checked(COOKIE.len())?;
        if !cookie.eq_ignore_ascii_case(COOKIE) || text.len() > LETTERS_MAX {
            return None;
        }
        scratch.clear();
        if !from_base32(text, scratch) {
            return None;
        }
        let mut rest = scratch.as_slice();
        let [kind, number] = take(&mut rest)?;
        let branch = Self {
            origin: read_origin(kind, &mut rest)?,
            number,
            mac: u64::from_be_bytes(take(&mut rest)?),
        };
        rest.is_empty().then_some(branch)
    }

    fn fold(&self, below: &Below<'_>, parts: &mut Parts) {
        parts.begin(b"branch");
        parts.push(self.fields().as_slice());
        below.fold(parts);
    }

    /// All but the MAC.
    fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        match self.origin {
            Origin::Phone(flow) => {
                fields.put(&[kind_of(&flow), self.number]);
                put_flow(&flow, &mut fields);
            }
            Origin::Server(server) => {
                fields.put(&[KIND_SERVER, self.number]);
                fields.put(&server.0.to_be_bytes());
            }
        }
        fields
    }
}

fn kind_of(flow: &Flow) -> u8 {
    let stream = match flow.protocol {
        Protocol::Tcp => KIND_STREAM,
        Protocol::Udp => 0,
    };
    let family = match flow.remote {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(_) => KIND_IPV6,
    };
    KIND_PHONE | stream | family
}

fn put_flow(flow: &Flow, fields: &mut Fields) {
    fields.put(&[flow.listener]);
    fields.put(&flow.remote.port().to_be_bytes());
    match flow.remote {
        SocketAddr::V4(remote) => fields.put(&remote.ip().octets()),
        SocketAddr::V6(remote) => {
            fields.put(&remote.ip().octets());
            // A link-local phone is reached through one interface only.
            fields.put(&remote.scope_id().to_be_bytes());
        }
    }
    if flow.protocol == Protocol::Tcp {
        fields.put(&flow.slot.to_be_bytes());
        fields.put(&flow.generation.to_be_bytes());
    }
}

fn read_origin(kind: u8, rest: &mut &[u8]) -> Option<Origin> {
    if kind == KIND_SERVER {
        let server = u32::from_be_bytes(take(rest)?);
        return Some(Origin::Server(MemberId(server)));
    }
    if kind & !(KIND_STREAM | KIND_IPV6) != KIND_PHONE {
        return None;
    }
    let [listener] = take(rest)?;
    let port = u16::from_be_bytes(take(rest)?);
    let remote = if kind & KIND_IPV6 == 0 {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::from(take::<4>(rest)?)), port)
    } else {
        let address = Ipv6Addr::from(take::<16>(rest)?);
        let scope = u32::from_be_bytes(take(rest)?);
        SocketAddrV6::new(address, port, 0, scope).into()
    };
    let mut flow = Flow::udp(listener, remote);
    if kind & KIND_STREAM != 0 {
        flow.protocol = Protocol::Tcp;
        flow.slot = u32::from_be_bytes(take(rest)?);
        flow.generation = u32::from_be_bytes(take(rest)?);
    }
    Some(Origin::Phone(flow))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, others) = rest.split_first_chunk::<N>()?;
    *rest = others;
    Some(*first)
}

/// `received` as an address; some write an IPv6 one in brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    text.trim_matches(['[', ']']).parse().ok()
}

/// A few bytes on the stack.
struct Fields {
    bytes: [u8; FIELDS_MAX],
    length: usize,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            bytes: [0; FIELDS_MAX],
            length: 0,
        }
    }
}

impl Fields {
    fn put(&mut self, part: &[u8]) {
        let end = self.length + part.len();
        self.bytes
            .get_mut(self.length..end)
            .expect("FIELDS_MAX holds the longest branch")
            .copy_from_slice(part);
        self.length = end;
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

const COOKIE: &str = "z9hG4bK";
const KIND_PHONE: u8 = 0x10;
const KIND_SERVER: u8 = 0x20;
const KIND_STREAM: u8 = 0x01;
const KIND_IPV6: u8 = 0x02;
/// Kind, key number, listener, port, an IPv6 address with its scope, slot, generation and the MAC.
const FIELDS_MAX: usize = 1 + 1 + 1 + 2 + 20 + 8 + 8;
const LETTERS_MAX: usize = (FIELDS_MAX * 8).div_ceil(5);
