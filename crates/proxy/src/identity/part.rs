//! The parts of a request, read so that nobody can say a thing twice.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName};
use presently_sip::WallTime;

/// What is looked at of a request.
pub(super) struct Parts<'a> {
    pub(super) now: WallTime,
    pub(super) headers: &'a HeaderMap,
    /// Without its question mark.
    pub(super) query: &'a str,
}

/// What one place has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// Nothing.
    Absent,
    /// Something that nobody should believe.
    Refused,
    /// This.
    Text(String),
}

impl Parts<'_> {
    /// The one header of this name.
    pub(super) fn header(&self, name: &HeaderName) -> Found {
        let mut values = self.headers.get_all(name).iter();
        let found = one(values.by_ref().map(|value| Some(value.as_bytes().into())));
        found.map(|text| Some(text.trim_ascii().to_owned()))
    }

    /// The one cookie of this name (RFC 6265 §5.4), over all Cookie headers; without its quotes.
    pub(super) fn cookie(&self, name: &str) -> Found {
        let headers = self.headers.get_all(COOKIE).iter();
        let pairs = headers.flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
        one(pairs.filter_map(|pair| {
            let mut sides = pair.splitn(2, |byte| *byte == b'=');
            let (key, value) = (sides.next()?, sides.next()?.trim_ascii());
            let inner = value
                .strip_prefix(b"\"")
                .and_then(|value| value.strip_suffix(b"\""));
            (key.trim_ascii() == name.as_bytes()).then(|| Some(inner.unwrap_or(value).into()))
        }))
    }

    /// The one parameter of this name. Names are decoded too: the application may do so.
    pub(super) fn parameter(&self, name: &str) -> Found {
        one(self.query.split('&').filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (*decoded(key)? == *name.as_bytes()).then(|| decoded(value).map(Cow::Owned))
        }))
    }

    /// The name in `Authorization: Basic` (RFC 7617 §2).
    pub(super) fn basic(&self) -> Found {
        self.credentials("basic").map(|text| {
            let bytes = LENIENT.decode(text.trim_ascii()).ok()?;
            let (name, _) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
            Some(name.to_owned())
        })
    }

    /// The token in `Authorization: Bearer` (RFC 6750 §2.1).
    pub(super) fn bearer(&self) -> Found {
        self.credentials("bearer")
            .map(|text| Some(text.trim_ascii().to_owned()))
    }

    /// What stands behind `scheme`, which is in lower case; absent for another one.
    fn credentials(&self, scheme: &str) -> Found {
        let Found::Text(text) = self.header(&AUTHORIZATION) else {
            // A second one may be of any scheme.
            return self.header(&AUTHORIZATION);
        };
        match text.split_once(' ') {
            Some((word, rest)) if word.eq_ignore_ascii_case(scheme) => Found::Text(rest.to_owned()),
            _ if text.eq_ignore_ascii_case(scheme) => Found::Refused,
            _ => Found::Absent,
        }
    }
}

impl Found {
    /// The text, if it may be believed.
    pub(crate) fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Absent | Self::Refused => None,
        }
    }

    /// What `read` makes of the text; it is refused when that is nothing, or an empty text.
    pub(super) fn map(self, read: impl FnOnce(&str) -> Option<String>) -> Self {
        match self {
            Self::Text(text) => read(&text)
                .filter(|text| !text.is_empty())
                .map_or(Self::Refused, Self::Text),
            silent => silent,
        }
    }
}

/// The only one of `values`, if it is UTF-8 and not empty.
fn one<'a>(mut values: impl Iterator<Item = Option<Cow<'a, [u8]>>>) -> Found {
    let Some(value) = values.next() else {
        return Found::Absent;
    };
    let text = value.and_then(|value| String::from_utf8(value.into_owned()).ok());
    match text {
        Some(text) if !text.is_empty() && values.next().is_none() => Found::Text(text),
        _ => Found::Refused,
    }
}

/// What a form wrote as `text`: `%41` and `+` for a blank. `None` for a `%` without two digits.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            _ => byte,
        });
    }
    Some(bytes)
}

/// Some clients leave the padding of Basic out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
