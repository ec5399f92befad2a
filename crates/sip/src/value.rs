//! Header values parsed on demand, in place.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::Host;

/// A `name-addr` or `addr-spec` with its header parameters (RFC 3261 §20.10, §20.20, §20.39).
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'a> {
    /// The display name as written, quotes included; empty when there is none.
    pub display: &'a str,
    /// The URI's text; parse it with [`crate::Uri::parse`].
    pub uri: &'a str,
    /// Parameters after the address. Without angle brackets all parameters are the header's
    /// (RFC 3261 §20.10).
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads one value and nothing after it.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let _ = text;
        todo!()
    }

    /// The `tag` parameter, if there is one and it is not empty.
    #[must_use]
    pub fn tag(&self) -> Option<&'a str> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }
}

/// A `;name=value` list as written, after its first semicolon. Quoted values are kept whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params<'a>(pub &'a str);

impl<'a> Params<'a> {
    /// Each parameter as `(name, value)`, white space trimmed; no value is `None`.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        std::iter::empty() // replaced by the real splitter
    }

    /// The value of the first parameter called `name`, without regard to case; quotes are kept.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a str> {
        let _ = name;
        todo!()
    }

    /// As [`Params::value`] with the quotes of a quoted-string removed (escapes are kept as written).
    #[must_use]
    pub fn unquoted(&self, name: &str) -> Option<&'a str> {
        let _ = name;
        todo!()
    }

    /// Whether a parameter called `name` is there, with or without a value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let _ = name;
        todo!()
    }
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
    /// Reads one value and nothing after it.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let _ = text;
        todo!()
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
        let _ = text;
        todo!()
    }
}

/// Names one version of one published document (RFC 3903 §11.3.1).
///
/// Compared byte for byte; carries no other meaning. Cheap to clone. Holding one proves that it is a
/// valid `token`, so it can be written into a header without another check.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct EntityTag(Arc<str>);

impl EntityTag {
    /// The tag's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EntityTag {
    type Err = InvalidEntityTag;

    fn from_str(text: &str) -> Result<Self, InvalidEntityTag> {
        let valid = !text.is_empty() && text.bytes().all(is_token_byte);
        valid.then(|| Self(text.into())).ok_or(InvalidEntityTag)
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not an entity-tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an entity-tag is a non-empty token")]
pub struct InvalidEntityTag;

/// `token` of RFC 3261 §25.1.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}
