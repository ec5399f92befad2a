//! The address of record: the public SIP URI a user is known by (RFC 3261 §6).

use std::fmt;
use std::sync::Arc;

use crate::Uri;

/// An address of record in the one spelling the whole pool agrees on.
///
/// `sips` is folded to `sip`, the host is in lower case, the user is unescaped, parameters, headers,
/// password and our own ports are dropped. Two URIs that name the same user give equal values.
/// Cheap to clone. Holding one proves: valid UTF-8, no control character, a non-empty host.
/// A user part may be absent (`sip:example.com` names a domain).
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Aor(Arc<str>);

impl Aor {
    /// The address of record that `uri` names; a port in `own_ports` is dropped, another is kept.
    ///
    /// # Errors
    ///
    /// The scheme is not SIP, or the user cannot be part of an address of record.
    pub fn from_uri(uri: &Uri<'_>, own_ports: &[u16]) -> Result<Self, InvalidAor> {
        let _ = (uri, own_ports);
        todo!()
    }

    /// Reads a URI as text: `sip:alice@example.com`.
    ///
    /// # Errors
    ///
    /// As [`Aor::from_uri`], or the text is not a URI.
    pub fn parse(text: &str) -> Result<Self, InvalidAor> {
        let _ = text;
        todo!()
    }

    /// Rebuilds the address whose [`Aor::as_str`] is `text`. Trusts its caller: only for text that was
    /// taken from an `Aor` before, such as a store's rows.
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
        todo!()
    }

    /// The host in lower case, with the port if it is not ours (`example.com`, `[2001:db8::1]`).
    #[must_use]
    pub fn host(&self) -> &str {
        todo!()
    }
}

/// Displays as a URI, escaped again so that it can stand in a SIP header.
impl fmt::Display for Aor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
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
