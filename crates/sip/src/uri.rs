//! SIP URIs (RFC 3261 §19.1), parsed in place.

use crate::Params;

/// A URI as parts of the text it was read from; nothing is unescaped or allocated.
#[derive(Clone, Copy, Debug)]
pub struct Uri<'a> {
    /// The scheme; [`Scheme::Other`] leaves everything after the colon in `host`'s place unparsed.
    pub scheme: Scheme,
    /// The user as written, still escaped; `None` when there is no `@`.
    pub user: Option<&'a str>,
    /// Host as written, an IPv6 reference with its brackets.
    pub host: Host<'a>,
    /// The port, if written.
    pub port: Option<u16>,
    /// `;name=value` parameters.
    pub params: Params<'a>,
    /// What follows `?`, raw.
    pub headers: Option<&'a str>,
}

/// A host as written (`example.com`, `192.0.2.1`, `[2001:db8::1]`).
#[derive(Clone, Copy, Debug)]
pub struct Host<'a>(pub &'a str);

/// The schemes we tell apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scheme {
    /// Any other valid scheme (`tel`, `urn` …).
    Other,
    /// `sip`.
    Sip,
    /// `sips`.
    Sips,
}

impl<'a> Uri<'a> {
    /// Reads one URI and nothing after it.
    ///
    /// # Errors
    ///
    /// The text is not a URI (RFC 3261 §25.1), or something follows it.
    pub fn parse(text: &'a str) -> Result<Self, InvalidUri> {
        let _ = text;
        todo!()
    }

    /// Whether both URIs are equal by RFC 3261 §19.1.4.
    #[must_use]
    pub fn is_equal(&self, other: &Uri<'_>) -> bool {
        let _ = other;
        todo!()
    }
}

impl Host<'_> {
    /// The host as an address, brackets removed; `None` for a name.
    #[must_use]
    pub fn address(&self) -> Option<std::net::IpAddr> {
        todo!()
    }

    /// Whether both are the same host, without regard to case.
    #[must_use]
    pub fn is_equal(&self, other: &str) -> bool {
        let _ = other;
        todo!()
    }
}

/// The text is not a URI.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a URI")]
pub struct InvalidUri;
