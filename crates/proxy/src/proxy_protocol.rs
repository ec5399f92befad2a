//! The PROXY protocol (`HAProxy`'s `proxy-protocol.txt`, versions 1 and 2): a connection begins
//! with whom it is made for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the first bytes of a connection are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Opening {
    /// No PROXY header; all bytes are the client's.
    Absent,
    /// Perhaps one: more bytes have to come before it can be said.
    More,
    /// A whole one.
    Whole(Announced),
}

/// A PROXY header that was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Announced {
    /// How many bytes it took; the client's begin behind.
    pub length: usize,
    /// From where to where the client connected. `None`: it does not say, or the proxy speaks for
    /// itself, as in a health check.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    /// Whose connection it is, if the proxy in front says so in the way [`write()`] does.
    pub user: Option<Box<str>>,
}

/// The bytes begin as a PROXY header does, and are none that may be believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a malformed PROXY header")]
pub struct Malformed;

/// Reads a PROXY header of either version from the first bytes of a connection. To be asked again
/// with all of them when more have come; it wants [`LENGTH_MAX`] at most. Who sends it is believed,
/// so ask only about connections from addresses that are trusted.
///
/// # Errors
///
/// It is malformed, or longer than [`LENGTH_MAX`]: the connection is to be closed.
pub fn read(bytes: &[u8]) -> Result<Opening, Malformed> {
    if let Some(rest) = bytes.strip_prefix(SIGNATURE) {
        return read_binary(rest);
    }
    if let Some(rest) = bytes.strip_prefix(WORD) {
        return read_line(rest);
    }
    let is_beginning = SIGNATURE.starts_with(bytes) || WORD.starts_with(bytes);
    Ok(if is_beginning {
        Opening::More
    } else {
        Opening::Absent
    })
}

/// Appends a header of version 2 for a TCP connection from `source` to `destination`. The name of
/// the user goes along as a TLV of type 0xE0, the first of those kept for custom use; one of more
/// than [`USER_BYTES_MAX`] bytes is left out.
pub fn write(source: SocketAddr, destination: SocketAddr, user: Option<&str>, out: &mut Vec<u8>) {
    let (addresses, family) = match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ([from.octets(), to.octets()].concat(), TCP_4),
        (from, to) => ([as_v6(from).octets(), as_v6(to).octets()].concat(), TCP_6),
    };
    let user = user.filter(|user| user.len() <= USER_BYTES_MAX);
    let length = |bytes: usize| {
        u16::try_from(bytes)
            .expect("both are bounded")
            .to_be_bytes()
    };
    let tlv_length = user.map_or(0, |user| TLV_HEAD + user.len());
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[PROXY, family]);
    out.extend_from_slice(&length(addresses.len() + 4 + tlv_length));
    out.extend_from_slice(&addresses);
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
    if let Some(user) = user {
        out.push(TLV_USER);
        out.extend_from_slice(&length(user.len()));
        out.extend_from_slice(user.as_bytes());
    }
}

/// Appends a header of version 2 for a connection that we make for ourselves: a health check.
pub fn write_local(out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[LOCAL, 0, 0, 0]);
}

/// What follows the word of version 1: a line.
fn read_line(rest: &[u8]) -> Result<Opening, Malformed> {
    let line = rest.get(..LINE_MAX - WORD.len()).unwrap_or(rest);
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        let may_come = rest.len() < LINE_MAX - WORD.len();
        return may_come.then_some(Opening::More).ok_or(Malformed);
    };
    let line = line
        .get(..end)
        .and_then(|line| std::str::from_utf8(line).ok());
    let mut words = line.ok_or(Malformed)?.split(' ');
    let addresses = match words.next() {
        Some("TCP4") => Some(read_words::<Ipv4Addr>(words).ok_or(Malformed)?),
        Some("TCP6") => Some(read_words::<Ipv6Addr>(words).ok_or(Malformed)?),
        // Whatever else it says is to be ignored.
        Some("UNKNOWN") => None,
        _ => return Err(Malformed),
    };
    Ok(Opening::Whole(Announced {
        length: WORD.len() + end + 2,
        addresses,
        user: None,
    }))
}

/// Source and destination of a line: two addresses, two ports, and nothing more.
fn read_words<'a, A>(mut words: impl Iterator<Item = &'a str>) -> Option<(SocketAddr, SocketAddr)>
where
    A: std::str::FromStr + Into<IpAddr>,
{
    let mut address = || words.next()?.parse::<A>().ok().map(Into::into);
    let (from, to) = (address()?, address()?);
    let mut port = || words.next().and_then(read_port);
    let (from_port, to_port) = (port()?, port()?);
    let is_all = words.next().is_none();
    is_all.then(|| ((from, from_port).into(), (to, to_port).into()))
}

/// A port as the line has it: digits, no more of them than are needed.
fn read_port(text: &str) -> Option<u16> {
    let port: u16 = text.parse().ok()?;
    (port.to_string() == text).then_some(port)
}

/// What follows the signature of version 2.
fn read_binary(rest: &[u8]) -> Result<Opening, Malformed> {
    let [command, family, high, low, rest @ ..] = rest else {
        return Ok(Opening::More);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let whole = SIGNATURE.len() + 4 + length;
    if whole > LENGTH_MAX || !matches!(*command, LOCAL | PROXY) {
        return Err(Malformed);
    }
    let Some(body) = rest.get(..length) else {
        return Ok(Opening::More);
    };
    let (addresses, user) = match (*command, *family) {
        // The proxy speaks for itself; whatever else it says is to be ignored.
        (LOCAL, _) => (None, None),
        (_, TCP_4) => read_body::<4>(body)?,
        (_, TCP_6) => read_body::<16>(body)?,
        // Nothing that TCP is carried over.
        _ => (None, None),
    };
    Ok(Opening::Whole(Announced {
        length: whole,
        addresses,
        user,
    }))
}

type Body = (Option<(SocketAddr, SocketAddr)>, Option<Box<str>>);

/// Two addresses of `N` bytes each, two ports, and TLVs.
fn read_body<const N: usize>(body: &[u8]) -> Result<Body, Malformed>
where
    IpAddr: From<[u8; N]>,
{
    let (from, rest) = body.split_first_chunk::<N>().ok_or(Malformed)?;
    let (to, rest) = rest.split_first_chunk::<N>().ok_or(Malformed)?;
    let (from_port, rest) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
    let (to_port, tlvs) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
    let source = (IpAddr::from(*from), u16::from_be_bytes(*from_port)).into();
    let destination = (IpAddr::from(*to), u16::from_be_bytes(*to_port)).into();
    Ok((Some((source, destination)), read_user(tlvs)?))
}

/// The user among the TLVs; others are skipped. Two users are none that may be believed.
fn read_user(mut tlvs: &[u8]) -> Result<Option<Box<str>>, Malformed> {
    let mut user = None;
    while let [kind, high, low, rest @ ..] = tlvs {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        tlvs = rest;
        if *kind == TLV_USER {
            let text = std::str::from_utf8(value).map_err(|_| Malformed)?;
            if text.len() > USER_BYTES_MAX || user.replace(Box::from(text)).is_some() {
                return Err(Malformed);
            }
        }
    }
    tlvs.is_empty().then_some(user).ok_or(Malformed)
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// The longest header read: room for two addresses and what a proxy says of a certificate.
pub const LENGTH_MAX: usize = 4 * 1024;

/// The longest name of a user that goes along: an address of record is no longer.
pub const USER_BYTES_MAX: usize = 512;

/// How version 2 begins: no other protocol does.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// How version 1 begins.
const WORD: &[u8] = b"PROXY ";
/// The longest line of version 1, its end included.
const LINE_MAX: usize = 107;
/// Version 2, the connection is the proxy's own.
const LOCAL: u8 = 0x20;
/// Version 2, the connection is made for a client.
const PROXY: u8 = 0x21;
/// TCP over IPv4.
const TCP_4: u8 = 0x11;
/// TCP over IPv6.
const TCP_6: u8 = 0x21;
/// `PP2_TYPE_MIN_CUSTOM`.
const TLV_USER: u8 = 0xe0;
/// Type and length of a TLV.
const TLV_HEAD: usize = 3;

#[cfg(test)]
mod tests;
