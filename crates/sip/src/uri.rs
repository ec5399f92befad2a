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
        let marks = Marks::find(rest.as_bytes()).ok_or(InvalidUri)?;
        if !is_scheme(scheme) || rest.is_empty() {
            return Err(InvalidUri);
        }
        if scheme.eq_ignore_ascii_case("sip") {
            Self::parse_sip(text, Scheme::Sip, rest, marks).ok_or(InvalidUri)
        } else if scheme.eq_ignore_ascii_case("sips") {
            Self::parse_sip(text, Scheme::Sips, rest, marks).ok_or(InvalidUri)
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

    fn parse_sip(text: &'a str, scheme: Scheme, rest: &'a str, marks: Marks) -> Option<Self> {
        let (user, password) = match (marks.at, marks.user_colon) {
            (Some(at), Some(colon)) => (rest.get(..colon), Some(rest.get(colon + 1..at)?)),
            (Some(at), None) => (rest.get(..at), None),
            (None, _) => (None, None),
        };
        let host_start = marks.at.map_or(0, |at| at + 1);
        let params_end = marks.question.unwrap_or(rest.len());
        let host_end = marks.semicolon.unwrap_or(params_end);
        let (host, port) = Host::with_port(rest.get(host_start..host_end)?)?;
        if user == Some("") || marks.is_at_repeated {
            return None;
        }
        Some(Self {
            text,
            scheme,
            user,
            password,
            host,
            port,
            params: Params(rest.get(host_end + 1..params_end).unwrap_or_default()),
            headers: marks.question.and_then(|question| rest.get(question + 1..)),
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
        text.parse().ok().or_else(|| {
            // The grammar of RFC 3261 §25.1 makes three colons where two are meant
            // (RFC 5118 §4.10).
            text.contains(":::")
                .then(|| text.replacen(":::", "::", 1).parse().ok())
                .flatten()
        })
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
    // Labels are not empty; one dot at the end is the root of the DNS.
    let mut before = b'.';
    let is_part = |byte: u8| {
        let is_whole = byte != b'.' || before != b'.';
        before = byte;
        is_whole && matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'A'..=b'Z' | b'_')
    };
    !text.is_empty() && text.bytes().all(is_part)
}

/// `scheme` of RFC 3261 §25.1.
fn is_scheme(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(valid)
}

/// Where the parts of a SIP URI meet, found in one pass over what follows the scheme.
#[derive(Clone, Copy, Default)]
struct Marks {
    at: Option<usize>,
    user_colon: Option<usize>,
    semicolon: Option<usize>,
    question: Option<usize>,
    is_at_repeated: bool,
}

impl Marks {
    /// `None` for a byte that no URI holds (RFC 3261 §25.1): a blank, a control, what ends a URI in
    /// a header, a `%` without its two digits. Bytes beyond ASCII are let through: phones write
    /// them unescaped in users.
    fn find(text: &[u8]) -> Option<Self> {
        let mut marks = Self::default();
        for (at, &byte) in text.iter().enumerate() {
            match byte {
                b'@' => marks.meet_at(at),
                b':' if marks.at.is_none() => _ = marks.user_colon.get_or_insert(at),
                b';' if marks.question.is_none() => _ = marks.semicolon.get_or_insert(at),
                b'?' => _ = marks.question.get_or_insert(at),
                b'%' => {
                    let digits = text.get(at + 1..at + 3)?;
                    digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
                }
                0..=b' ' | b'"' | b'<' | b'>' | 0x7f => return None,
                _ => {}
            }
        }
        Some(marks)
    }

    /// A user may hold `;` and `?`, but nothing holds a bare `@`: the first one ends the user.
    fn meet_at(&mut self, at: usize) {
        *self = Self {
            at: self.at.or(Some(at)),
            user_colon: self.user_colon,
            is_at_repeated: self.at.is_some(),
            ..Self::default()
        };
    }
}

/// The text is not a URI.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a URI")]
pub struct InvalidUri;

#[cfg(test)]
mod tests;
