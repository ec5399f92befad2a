//! The address of record: the public SIP URI a user is known by (RFC 3261 §6).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::text::hex_byte;
use crate::{Host, Scheme, Uri};

/// An address of record in the one spelling the whole pool agrees on.
///
/// `sips` is folded to `sip`, the host is in lower case, the user is unescaped, parameters,
/// headers, password and our own ports are dropped. Two URIs that name the same user give equal
/// values. Cheap to clone. Holding one proves: valid UTF-8, no control character, a non-empty
/// host, at most 512 bytes. A user part may be absent (`sip:example.com` names a domain).
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Aor(Arc<str>);

impl Aor {
    /// The address of record that `uri` names; a port in `own_ports` is dropped, another is kept.
    ///
    /// # Errors
    ///
    /// The scheme is not SIP, or the user cannot be part of an address of record.
    pub fn from_uri(uri: &Uri<'_>, own_ports: &[u16]) -> Result<Self, InvalidAor> {
        if uri.scheme == Scheme::Other {
            return Err(InvalidAor::Scheme);
        }
        let user = uri.user.map(unescape).transpose()?;
        let port = uri.port.filter(|port| !own_ports.contains(port));
        Self::build(user.as_deref(), uri.host, port)
    }

    /// Reads a URI as text: `sip:alice@example.com`.
    ///
    /// # Errors
    ///
    /// As [`Aor::from_uri`], or the text is not a URI.
    pub fn parse(text: &str) -> Result<Self, InvalidAor> {
        let uri = Uri::parse(text).map_err(|_| InvalidAor::Syntax)?;
        Self::from_uri(&uri, &[])
    }

    /// Reads what [`Aor::as_str`] gave, as a key kept in a store: the user is not escaped.
    ///
    /// # Errors
    ///
    /// The text is not the canonical one of any address of record.
    pub fn from_key(text: &str) -> Result<Self, InvalidAor> {
        let rest = text.strip_prefix(PREFIX).ok_or(InvalidAor::Scheme)?;
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        let (host, port) = Host::with_port(host).ok_or(InvalidAor::Syntax)?;
        let aor = Self::build(user, host, port)?;
        (aor.as_str() == text)
            .then_some(aor)
            .ok_or(InvalidAor::Syntax)
    }

    /// Rebuilds the address whose [`Aor::as_str`] is `text`. Trusts its caller: only for text that
    /// was taken from an `Aor` before, such as a store's rows.
    #[must_use]
    pub fn from_canonical(text: &str) -> Self {
        Self(text.into())
    }

    /// The canonical, unescaped text: for keys and logs, not for a SIP header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The unescaped user; empty for a bare domain.
    #[must_use]
    pub fn user(&self) -> &str {
        self.parts().0
    }

    /// The host in lower case, with the port if it is not ours (`example.com`, `[2001:db8::1]`).
    #[must_use]
    pub fn host(&self) -> &str {
        self.parts().1
    }

    fn build(user: Option<&str>, host: Host<'_>, port: Option<u16>) -> Result<Self, InvalidAor> {
        use fmt::Write;

        let mut text = String::from(PREFIX);
        if let Some(user) = user {
            if user.is_empty() || user.contains(char::is_control) {
                return Err(InvalidAor::Syntax);
            }
            text.push_str(user);
            text.push('@');
        }
        match host.address() {
            // One spelling of an IPv6 address: RFC 5952 §4.
            Some(IpAddr::V6(address)) => write!(text, "[{address}]"),
            _ => write!(text, "{}", without_root(host).to_ascii_lowercase()),
        }
        .and_then(|()| port.map_or(Ok(()), |port| write!(text, ":{port}")))
        .expect("writing to memory cannot fail");
        (text.len() <= AOR_MAX)
            .then(|| Self(text.into()))
            .ok_or(InvalidAor::Syntax)
    }

    fn parts(&self) -> (&str, &str) {
        let rest = self.0.strip_prefix(PREFIX).unwrap_or_default();
        // A user may hold an `@` once it is unescaped; a host never does.
        rest.rsplit_once('@').unwrap_or(("", rest))
    }
}

/// Displays as a URI, escaped again so that it can stand in a SIP header.
impl fmt::Display for Aor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, host) = self.parts();
        f.write_str(PREFIX)?;
        for byte in user.bytes() {
            if byte.is_ascii_alphanumeric() || USER_MARKS.contains(&byte) {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        if !user.is_empty() {
            f.write_str("@")?;
        }
        f.write_str(host)
    }
}

impl fmt::Debug for Aor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a URI names no address of record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAor {
    /// The scheme is none that we serve: answered with 416 (RFC 3261 §8.2.2.1).
    #[error("the scheme is not sip or sips")]
    Scheme,
    /// Not a URI, or a user with control characters or bytes that are no UTF-8.
    #[error("not an address of record")]
    Syntax,
}

fn unescape(user: &str) -> Result<String, InvalidAor> {
    let mut bytes = Vec::with_capacity(user.len());
    let mut rest = user.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if let (b'%', [high, low, after @ ..]) = (byte, rest) {
            bytes.push(hex_byte(*high, *low).ok_or(InvalidAor::Syntax)?);
            rest = after;
        } else {
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| InvalidAor::Syntax)
}

/// A name with a last dot names the same host as without (RFC 1034 §3.1).
fn without_root(host: Host<'_>) -> &str {
    host.0.strip_suffix('.').unwrap_or(host.0)
}

const PREFIX: &str = "sip:";

/// What may stand unescaped in a user: `mark` and `user-unreserved` of RFC 3261 §25.1.
const USER_MARKS: &[u8] = b"-_.!~*'()&=+$,;?/";

/// The longest address of record: each is a key in tables and in the store.
const AOR_MAX: usize = 512;

#[cfg(test)]
mod tests;
