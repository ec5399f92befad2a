//! SIP URIs (RFC 3261 §19.1), parsed in place.

mod equality;

use std::net::IpAddr;

use crate::Params;
use crate::text::cut;

/// A URI as parts of the text it was read from; nothing is unescaped or allocated.
#[derive(Clone, Copy, Debug)]
pub struct Uri<'a> {
    /// The whole URI as written.
    pub text: &'a str,
    /// The scheme; [`Scheme::Other`] leaves everything after the colon in `host`'s place unparsed.
    pub scheme: Scheme,
    /// The user as written, still escaped; `None` when there is no `@`.
    pub user: Option<&'a str>,
    /// What stands between a colon after the user and the `@`; a secret, to be passed on to nobody.
    pub password: Option<&'a str>,
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
        let (scheme, rest) = cut(text, b':').ok_or(InvalidUri)?;
        if !is_scheme(scheme) || rest.is_empty() || !has_uri_bytes(rest.as_bytes()) {
            return Err(InvalidUri);
        }
        if scheme.eq_ignore_ascii_case("sip") {
            Self::parse_sip(text, Scheme::Sip, rest)
        } else if scheme.eq_ignore_ascii_case("sips") {
            Self::parse_sip(text, Scheme::Sips, rest)
        } else {
            Ok(Self {
                text,
                scheme: Scheme::Other,
                user: None,
                password: None,
                host: Host(rest),
                port: None,
                params: Params(""),
                headers: None,
            })
        }
    }

    fn parse_sip(text: &'a str, scheme: Scheme, rest: &'a str) -> Result<Self, InvalidUri> {
        // A user may hold `;` and `?`, but nothing holds a bare `@`: the first one ends the user.
        let (userinfo, rest) = match cut(rest, b'@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, rest),
        };
        let (user, password) = match userinfo.and_then(|userinfo| cut(userinfo, b':')) {
            Some((user, password)) => (Some(user), Some(password)),
            None => (userinfo, None),
        };
        let (rest, headers) = match cut(rest, b'?') {
            Some((rest, headers)) => (rest, Some(headers)),
            None => (rest, None),
        };
        let (host_port, params) = cut(rest, b';').unwrap_or((rest, ""));
        let (host, port) = Host::with_port(host_port).ok_or(InvalidUri)?;
        if user == Some("") || params.bytes().any(|byte| byte == b'@') {
            return Err(InvalidUri);
        }
        Ok(Self {
            text,
            scheme,
            user,
            password,
            host,
            port,
            params: Params(params),
            headers,
        })
    }

    /// Whether both URIs are equal by RFC 3261 §19.1.4; the same text is always equal.
    #[must_use]
    pub fn is_equal(&self, other: &Uri<'_>) -> bool {
        self.text == other.text || equality::are_equal(self, other)
    }
}

impl<'a> Host<'a> {
    /// `host [":" port]`, with white space around either as a Via may have it.
    pub(crate) fn with_port(text: &'a str) -> Option<(Self, Option<u16>)> {
        let text = text.trim_ascii();
        let bytes = text.as_bytes();
        let host_length = if bytes.first() == Some(&b'[') {
            memchr::memchr(b']', bytes)? + 1
        } else {
            memchr::memchr(b':', bytes).unwrap_or(bytes.len())
        };
        let (host, port) = text.split_at_checked(host_length)?;
        let (host, port) = (host.trim_ascii_end(), port.trim_ascii_start());
        if !is_host(host) {
            return None;
        }
        match port.strip_prefix(':') {
            Some(port) => Some((Self(host), Some(parse_port(port.trim_ascii_start())?))),
            None => port.is_empty().then_some((Self(host), None)),
        }
    }

    /// The host as an address, brackets removed; `None` for a name.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        let inner = self
            .0
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let text = inner.unwrap_or(self.0);
        let address = text.parse();
        // The grammar of RFC 3261 §25.1 lets three colons arise where two are meant (RFC 5118 §4.10).
        let repaired = address.or_else(|_| text.replacen(":::", "::", 1).parse());
        repaired.ok()
    }

    /// Whether both are the same host, without regard to case; addresses are compared as such.
    #[must_use]
    pub fn is_equal(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
            || self
                .address()
                .is_some_and(|address| Host(other).address() == Some(address))
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// A name or an IPv4 address (underscores are let through: they are in use), or an IPv6 reference.
fn is_host(text: &str) -> bool {
    if text.starts_with('[') {
        return Host(text)
            .address()
            .is_some_and(|address| address.is_ipv6());
    }
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    // One dot at the end is the root of the DNS.
    let labels = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(valid);
    labels.split('.').all(is_label)
}

/// `scheme` of RFC 3261 §25.1.
fn is_scheme(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(valid)
}

/// Printable without what ends a URI in a header, and each `%` before two hexadecimal digits. Bytes
/// beyond ASCII are let through: phones write them unescaped in users.
fn has_uri_bytes(text: &[u8]) -> bool {
    let is_broken = |byte: &u8| matches!(byte, 0..=b' ' | b'"' | b'<' | b'>' | 0x7f);
    if text.iter().any(is_broken) {
        return false;
    }
    memchr::memchr_iter(b'%', text).all(|at| {
        let digits = text.get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// The text is not a URI.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a URI")]
pub struct InvalidUri;

#[cfg(test)]
mod tests;
