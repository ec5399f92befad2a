//! Header values parsed on demand, in place.

mod entity_tag;
mod params;

pub use entity_tag::{EntityTag, InvalidEntityTag};
pub use params::Params;

use crate::Host;
use crate::text::{cut, cut_outside, decimal, find_outside, is_token};

/// A `name-addr` or `addr-spec` with its header parameters (RFC 3261 §20.10, §20.20, §20.39).
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'a> {
    /// The display name as written, quotes included; empty when there is none.
    pub display: &'a str,
    /// The URI's text; parse it with [`crate::Uri::parse`]. A Contact may have `*` here.
    pub uri: &'a str,
    /// Parameters after the address. Without angle brackets all parameters are the header's
    /// (RFC 3261 §20.10).
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads one value and nothing after it.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim_ascii();
        match find_outside(text.as_bytes(), b'<') {
            Some(open) => Self::parse_bracketed(text.get(..open)?, text.get(open + 1..)?),
            None => Self::parse_bare(text),
        }
    }

    /// The `tag` parameter, if there is one and it is not empty.
    #[must_use]
    pub fn tag(&self) -> Option<&'a str> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }

    fn parse_bracketed(display: &'a str, rest: &'a str) -> Option<Self> {
        let display = display.trim_ascii_end();
        let (uri, rest) = cut(rest, b'>')?;
        let rest = rest.trim_ascii();
        let params = match rest.strip_prefix(';') {
            Some(params) => params,
            None if rest.is_empty() => "",
            None => return None,
        };
        (is_display_name(display) && !uri.is_empty()).then_some(Self {
            display,
            uri,
            params: Params(params),
        })
    }

    fn parse_bare(text: &'a str) -> Option<Self> {
        let (uri, params) = cut(text, b';').unwrap_or((text, ""));
        let uri = uri.trim_ascii_end();
        // With a `?` the address must have brackets, or its headers would be the message's
        // (RFC 3261 §20).
        let is_stray = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'?');
        let broken = uri.is_empty() || uri.bytes().any(is_stray);
        (!broken).then_some(Self {
            display: "",
            uri,
            params: Params(params),
        })
    }
}

/// One quoted-string, or words without quotes. More than tokens is let through: a comma or a dot in
/// a bare name is common, and harmless before a bracket.
fn is_display_name(text: &str) -> bool {
    match text.strip_prefix('"') {
        Some(rest) => quoted_length(rest) == Some(rest.len()),
        None => !text.contains('"'),
    }
}

/// How many bytes of `text`, which starts inside a quoted-string, belong to it.
fn quoted_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// One Via value (RFC 3261 §20.42).
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// The transport token as written (`UDP`, `tcp` …).
    pub transport: &'a str,
    /// The host of sent-by as written.
    pub host: Host<'a>,
    /// The port of sent-by, if written.
    pub port: Option<u16>,
    /// `branch`, `received`, `rport` …
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// Reads one value and nothing after it. White space may stand around each separator.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (protocol, rest) = cut(text, b'/')?;
        // Another version is for the start line to refuse: its Via must still show the way back.
        let (version, rest) = cut(rest, b'/')?;
        let is_sip = protocol.trim_ascii().eq_ignore_ascii_case("SIP");
        if !is_sip || !is_token(version.trim_ascii().as_bytes()) {
            return None;
        }
        let rest = rest.trim_ascii_start();
        let (transport, rest) = rest.split_once(|c: char| c.is_ascii_whitespace())?;
        let (sent_by, params) = cut_outside(rest, b';');
        let (host, port) = Host::with_port(sent_by)?;
        is_token(transport.as_bytes()).then_some(Self {
            transport,
            host,
            port,
            params: Params(params),
        })
    }

    /// The branch, if there is one.
    #[must_use]
    pub fn branch(&self) -> Option<&'a str> {
        self.params.value("branch")
    }
}

/// A CSeq value (RFC 3261 §20.16). The number is below 2³¹.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CSeq<'a> {
    /// The sequence number.
    pub number: u32,
    /// The method as written.
    pub method: &'a str,
}

impl<'a> CSeq<'a> {
    /// Reads one value and nothing after it.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (number, method) = text
            .trim_ascii()
            .split_once(|c: char| c.is_ascii_whitespace())?;
        let number = decimal(number.as_bytes()).filter(|number| *number < 1 << 31)?;
        let method = method.trim_ascii();
        is_token(method.as_bytes()).then_some(Self { number, method })
    }
}

#[cfg(test)]
mod tests;
