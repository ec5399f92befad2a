//! Content negotiation: which of a package's media types an Accept header asks for
//! (RFC 3261 §20.1).

/// The index in `types` of the media type that an Accept header's values prefer; an empty `accept`
/// prefers the first. `None` when nothing fits: SUBSCRIBE is then answered with 406.
///
/// The most specific range decides the weight of a type (`application/pidf+xml`, then
/// `application/*`, then `*/*`); weight 0 excludes it; among equals the earlier of `types` is
/// taken.
#[must_use]
pub fn accepts(accept: &str, types: &[&str]) -> Option<usize> {
    if accept.trim().is_empty() {
        return (!types.is_empty()).then_some(0);
    }
    let mut best = None;
    for (index, media_type) in types.iter().enumerate() {
        let weight = weight(accept, media_type);
        if weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((weight, index));
        }
    }
    best.map(|(_, index)| index)
}

/// The weight that `accept` gives to `media_type`, in thousandths; 0 is "not at all".
fn weight(accept: &str, media_type: &str) -> u16 {
    split_unquoted(accept, ',')
        .filter_map(|value| {
            let mut fields = split_unquoted(value, ';');
            let fit = specificity(fields.next()?.trim(), media_type)?;
            Some((fit, fields.find_map(quality).unwrap_or(ONE)))
        })
        .max_by_key(|&(fit, _)| fit)
        .map_or(0, |(_, quality)| quality)
}

/// How closely a media range names `media_type`; `None` when it does not.
fn specificity(range: &str, media_type: &str) -> Option<u8> {
    if range.eq_ignore_ascii_case(media_type) {
        return Some(2);
    }
    let (family, rest) = range.split_once('/')?;
    let (of, _) = media_type.split_once('/')?;
    match (family.trim(), rest.trim()) {
        ("*", "*") => Some(0),
        (family, "*") if family.eq_ignore_ascii_case(of) => Some(1),
        _ => None,
    }
}

/// The value of a `q` parameter in thousandths; what is no number counts as 1.
fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    let thousandths = digits.fold(0, |sum, digit| {
        sum * 10 + u16::from(digit.wrapping_sub(b'0').min(9))
    });
    Some(if whole == "0" { thousandths } else { ONE })
}

/// The parts of `text` between separators that stand outside quotes.
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    text.split(move |character| {
        if is_escaped {
            is_escaped = false;
            return false;
        }
        match character {
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => return character == separator && !is_quoted,
        }
        false
    })
}

const ONE: u16 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_header_picks_the_type() {
        let types = ["application/pidf+xml", "application/cpim-pidf+xml"];
        #[rustfmt::skip]
        let table = [
            // accept                                               index    why
            ("",                                                    Some(0), "absent: the default"),
            ("  ",                                                  Some(0), "blank is absent"),
            ("application/pidf+xml",                                Some(0), "named"),
            ("Application/PIDF+XML",                                Some(0), "in any case"),
            ("application/cpim-pidf+xml",                           Some(1), "the other one"),
            ("application/pidf+xml, application/xpidf+xml",         Some(0), "PJSIP, libpurple"),
            ("application/xpidf+xml",                               None,    "not offered"),
            ("text/plain, application/cpim-pidf+xml",               Some(1), "the one that fits"),
            ("*/*",                                                 Some(0), "anything"),
            ("application/*",                                       Some(0), "any of the family"),
            ("text/*",                                              None,    "another family"),
            ("application/pidf+xml;q=0",                            None,    "refused"),
            ("application/pidf+xml;q=0.000, */*",                   Some(1), "the name refuses"),
            ("*/*;q=0",                                             None,    "refuses all"),
            ("application/pidf+xml;q=0.2,application/cpim-pidf+xml", Some(1), "weight"),
            ("application/*;q=0.9, application/pidf+xml;q=0.1",     Some(1), "the name decides"),
            ("application/pidf+xml ; charset=utf-8 ; q=0.5",        Some(0), "parameters"),
            ("text/x;a=\"b,*/*;q=1\"",                              None,    "quoted text"),
            ("text/x;a=\"\\\",*/*\"",                               None,    "an escaped quote"),
            ("application/pidf+xml;q=banana",                       Some(0), "no number is 1"),
            (",;,=,/",                                              None,    "rubbish"),
            ("application/pidf+xml;q=.",                            Some(0), "rubbish weight"),
        ];
        for (accept, expected, why) in table {
            assert_eq!(accepts(accept, &types), expected, "{accept:?}: {why}");
        }
        assert_eq!(accepts("*/*", &[]), None);
        assert_eq!(accepts("", &[]), None);
    }
}
