//! Parameters: `;name=value`, of headers and of URIs.

use crate::text::{cut, cut_outside};

/// A `;name=value` list as written, after its first semicolon. Quoted values are kept whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params<'a>(pub &'a str);

impl<'a> Params<'a> {
    /// Each parameter as `(name, value)`, white space trimmed; no value is `None`.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                let (param, after) = cut_outside(rest, b';');
                rest = after;
                let (name, value) = match cut(param, b'=') {
                    Some((name, value)) => (name.trim_ascii(), Some(value.trim_ascii())),
                    None => (param.trim_ascii(), None),
                };
                if !name.is_empty() {
                    return Some((name, value));
                }
            }
            None
        })
    }

    /// The value of the first parameter called `name`, without regard to case; quotes are kept.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a str> {
        let mut params = self.iter();
        let (_, value) = params.find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        value
    }

    /// As [`Params::value`] with the quotes of a quoted-string removed (escapes are kept as
    /// written).
    #[must_use]
    pub fn unquoted(&self, name: &str) -> Option<&'a str> {
        let value = self.value(name)?;
        let inner = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        Some(inner.unwrap_or(value))
    }

    /// Whether a parameter called `name` is there, with or without a value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.iter()
            .any(|(found, _)| found.eq_ignore_ascii_case(name))
    }
}
