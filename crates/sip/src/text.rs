//! The few lexical rules that every value shares (RFC 3261 §25.1).

/// `token` of RFC 3261 §25.1.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_byte)
}

/// A byte of a `token` (RFC 3261 §25.1).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// A decimal number, digits and nothing else; too large a number saturates.
pub(crate) fn decimal(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u32, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        Some(number.saturating_mul(10).saturating_add(digit.into()))
    })
}

/// The byte that two hexadecimal digits spell.
pub(crate) fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| {
        let digit = char::from(byte).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    Some(digit(high)? * 16 + digit(low)?)
}

/// Where `stop` first stands outside quoted strings and angle brackets.
pub(crate) fn find_outside(text: &[u8], stop: u8) -> Option<usize> {
    // Mostly nothing is quoted before it: two fast looks spare the careful one.
    let first = memchr::memchr(stop, text)?;
    if memchr::memchr2(b'"', b'<', text.get(..first)?).is_none() {
        return Some(first);
    }
    let mut inside = Inside::Nothing;
    for (at, &byte) in text.iter().enumerate() {
        inside = match (inside, byte) {
            (Inside::Nothing, _) if byte == stop => return Some(at),
            (Inside::Nothing, b'<') => Inside::Brackets,
            (Inside::Nothing, b'"') | (Inside::Escape, _) => Inside::Quotes,
            (Inside::Quotes, b'\\') => Inside::Escape,
            (Inside::Quotes, b'"') | (Inside::Brackets, b'>') => Inside::Nothing,
            (same, _) => same,
        };
    }
    None
}

#[derive(Clone, Copy)]
enum Inside {
    Brackets,
    Escape,
    Nothing,
    Quotes,
}

/// `text` before and after the first `stop`, which is ASCII. As `split_once`, at a third of its
/// cost: this is what reading a URI mostly does.
pub(crate) fn cut(text: &str, stop: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == stop)?;
    text.get(..at).zip(text.get(at + 1..))
}

/// `text` before and after the first `stop` outside quotes and angle brackets; all of it and
/// nothing when there is none.
pub(crate) fn cut_outside(text: &str, stop: u8) -> (&str, &str) {
    find_outside(text.as_bytes(), stop)
        .and_then(|at| Some((text.get(..at)?, text.get(at + 1..)?)))
        .unwrap_or((text, ""))
}

/// The values of one header line, split at commas (RFC 3261 §7.3.1); empty ones are left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commas<'a> {
    rest: &'a [u8],
}

impl<'a> Commas<'a> {
    pub(crate) fn new(value: &'a [u8]) -> Self {
        Self { rest: value }
    }

    /// What has not been handed out yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest.trim_ascii()
    }
}

impl<'a> Iterator for Commas<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let comma = find_outside(self.rest, b',').unwrap_or(self.rest.len());
            let (value, rest) = self.rest.split_at_checked(comma).unwrap_or_default();
            self.rest = rest.split_first().map_or(&[], |(_, rest)| rest);
            let value = value.trim_ascii();
            if !value.is_empty() {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_split_outside_quotes_and_brackets() {
        let table: [(&str, &[&str]); 7] = [
            ("a, b,c", &["a", "b", "c"]),
            (
                "<sip:a,b@x>;q=1, <sip:c@x>",
                &["<sip:a,b@x>;q=1", "<sip:c@x>"],
            ),
            (
                r#""a, \", b" <sip:a@x> , *"#,
                &[r#""a, \", b" <sip:a@x>"#, "*"],
            ),
            (", ,a,", &["a"]),
            (r#""never closed, a"#, &[r#""never closed, a"#]),
            ("<never closed, a", &["<never closed, a"]),
            ("", &[]),
        ];
        for (text, expected) in table {
            let values: Vec<&[u8]> = Commas::new(text.as_bytes()).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|text| text.as_bytes()).collect();
            assert_eq!(values, expected, "{text}");
        }
    }

    #[test]
    fn a_number_is_digits_only_and_saturates() {
        let table: [(&str, Option<u32>); 8] = [
            ("0", Some(0)),
            ("0070", Some(70)),
            ("4294967295", Some(u32::MAX)),
            ("99999999999999999999", Some(u32::MAX)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1 2", None),
        ];
        for (text, expected) in table {
            assert_eq!(decimal(text.as_bytes()), expected, "{text:?}");
        }
    }
}
