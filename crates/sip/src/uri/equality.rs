//! When two URIs are equal (RFC 3261 §19.1.4).

use super::{Scheme, Uri};

pub(super) fn are_equal(one: &Uri<'_>, other: &Uri<'_>) -> bool {
    if one.scheme != other.scheme {
        return false;
    }
    if one.scheme == Scheme::Other {
        return is_same_foreign(one.text, other.text);
    }
    is_same_option(one.user, other.user)
        && is_same_option(one.password, other.password)
        && one.host.is_equal(other.host.0)
        && one.port == other.port
        && are_params_equal(one, other)
        && are_headers_equal(one.headers, other.headers)
}

/// Of other schemes we know only that the scheme itself has no case (RFC 3986 §3.1).
fn is_same_foreign(one: &str, other: &str) -> bool {
    match (one.split_once(':'), other.split_once(':')) {
        (Some((one, rest)), Some((other, other_rest))) => {
            one.eq_ignore_ascii_case(other) && rest == other_rest
        }
        _ => false,
    }
}

fn is_same_option(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => units(one).eq(units(other)),
        (None, None) => true,
        _ => false,
    }
}

/// A parameter in both must be the same in both; one of [`DECISIVE`] must be in both or neither;
/// any other in one only is ignored.
fn are_params_equal(one: &Uri<'_>, other: &Uri<'_>) -> bool {
    let agrees = |from: &Uri<'_>, to: &Uri<'_>| {
        from.params.iter().all(|(name, value)| {
            let counterpart = to.params.iter().find(|(other, _)| is_same(name, other));
            match counterpart {
                Some((_, other)) => is_same(value.unwrap_or(""), other.unwrap_or("")),
                None => !DECISIVE.iter().any(|decisive| is_same(name, decisive)),
            }
        })
    };
    // The rule is quadratic, and the text comes from the network.
    let is_small = |uri: &Uri<'_>| uri.params.iter().nth(PARTS_MAX).is_none();
    is_small(one) && is_small(other) && agrees(one, other) && agrees(other, one)
}

/// Headers are never ignored, and their order says nothing.
fn are_headers_equal(one: Option<&str>, other: Option<&str>) -> bool {
    let (one, other) = (one.unwrap_or(""), other.unwrap_or(""));
    let contains_all = |from: &str, to: &str| {
        from.split('&')
            .all(|header| to.split('&').any(|other| is_same_header(header, other)))
    };
    let is_small = |text: &str| text.split('&').nth(PARTS_MAX).is_none();
    let same_count = one.split('&').count() == other.split('&').count();
    same_count && is_small(one) && contains_all(one, other) && contains_all(other, one)
}

fn is_same_header(one: &str, other: &str) -> bool {
    let parts = |text: &str| text.split_once('=').is_some();
    let (name, value) = one.split_once('=').unwrap_or((one, ""));
    let (other_name, other_value) = other.split_once('=').unwrap_or((other, ""));
    parts(one) == parts(other) && is_same(name, other_name) && units(value).eq(units(other_value))
}

/// Equal without regard to case, escapes undone.
fn is_same(one: &str, other: &str) -> bool {
    let lower = |unit: Unit| Unit {
        byte: unit.byte.to_ascii_lowercase(),
        ..unit
    };
    units(one).map(lower).eq(units(other).map(lower))
}

/// One character of a URI: an escape equals the character it stands for, unless that is reserved.
#[derive(Clone, Copy, Eq, PartialEq)]
struct Unit {
    byte: u8,
    is_escaped: bool,
}

fn units(text: &str) -> impl Iterator<Item = Unit> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (byte, escaped, after) = match rest {
            [] => return None,
            [b'%', high, low, after @ ..] => match crate::text::hex_byte(*high, *low) {
                Some(byte) => (byte, true, after),
                None => (b'%', false, rest.get(1..)?),
            },
            [byte, after @ ..] => (*byte, false, after),
        };
        rest = after;
        let is_escaped = escaped && RESERVED.contains(&byte);
        Some(Unit { byte, is_escaped })
    })
}

/// `reserved` of RFC 3261 §25.1.
const RESERVED: &[u8] = b";/?:@&=+$,";

/// Parameters that make a difference by being there at all. RFC 3261 §19.1.4 names the first four;
/// `transport` follows from its examples.
const DECISIVE: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

/// The most parameters or headers of a URI that are compared; a URI with more equals only its own
/// text.
const PARTS_MAX: usize = 64;
