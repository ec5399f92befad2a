//! From a name to an address of record: `sip:{user}@example.com`.

use presently_sip::Aor;

/// A template that was checked: the name's place is in the user part, and what stands around it is
/// an address of record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AorTemplate {
    before: Box<str>,
    after: Box<str>,
}

/// A template must be `sip:{user}@DOMAIN`; more may stand around `{user}` before the `@`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not of the form sip:{{user}}@DOMAIN")]
pub struct InvalidTemplate;

impl AorTemplate {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// No name, or not every name, gives an address of record with it.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let (before, after) = text.split_once(PLACE).ok_or(InvalidTemplate)?;
        let (rest, host) = after.rsplit_once('@').ok_or(InvalidTemplate)?;
        let template = Self {
            before: before.into(),
            after: format!("{rest}@{}", host.to_ascii_lowercase()).into(),
        };
        let is_plain = !before.contains('@') && !rest.contains('@') && !after.contains(PLACE);
        let is_valid = is_plain && template.aor("x").is_some();
        is_valid.then_some(template).ok_or(InvalidTemplate)
    }

    /// The address of record of the user called `name`, whatever letters that has: they are text of
    /// the user part, and are escaped wherever the address stands in a message. `None` for an empty
    /// name, one with control characters, or more than 255 bytes.
    pub fn aor(&self, name: &str) -> Option<Aor> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return None;
        }
        // A key is not escaped: its last `@` ends the user.
        Aor::from_key(&format!("{}{name}{}", self.before, self.after)).ok()
    }
}

const PLACE: &str = "{user}";

/// The longest name: with a domain it still fits an address of record.
const NAME_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_in_the_user_part() {
        let template = AorTemplate::parse("sip:{user}@Example.test").unwrap();
        let table = [
            ("al", "sip:al@example.test"),
            ("Al", "sip:Al@example.test"),
            ("al@evil.test", "sip:al%40evil.test@example.test"),
            ("al;transport=tcp", "sip:al;transport=tcp@example.test"),
            ("al?x=y&z", "sip:al?x=y&z@example.test"),
            ("al:secret", "sip:al%3Asecret@example.test"),
            ("al%40x", "sip:al%2540x@example.test"),
            ("a l\"<>", "sip:a%20l%22%3C%3E@example.test"),
            ("sip:al@x", "sip:sip%3Aal%40x@example.test"),
            ("é", "sip:%C3%A9@example.test"),
            ("{user}", "sip:%7Buser%7D@example.test"),
        ];
        for (name, written) in table {
            let aor = template.aor(name).unwrap();
            assert_eq!(aor.to_string(), written);
            assert_eq!((aor.user(), aor.host()), (name, "example.test"));
            assert_eq!(Aor::parse(written), Ok(aor), "read back");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let template = AorTemplate::parse("sip:{user}@example.test").unwrap();
        let long = "x".repeat(256);
        for name in ["", "a\r\nVia: x", "a\0", "\u{7f}", &long] {
            assert_eq!(template.aor(name), None, "{name:?}");
        }
        assert!(template.aor(&long[1..]).is_some());
    }

    #[test]
    fn only_a_user_part_is_a_template() {
        let table = [
            ("sip:{user}@example.test", true),
            ("sip:desk.{user}.7@example.test:5070", true),
            ("sip:{user}@[2001:db8::1]", true),
            ("sip:al@example.test", false),
            ("sip:{user}", false),
            ("{user}@example.test", false),
            ("{user}", false),
            ("sips:{user}@example.test", false),
            ("sip:al@{user}.test", false),
            ("sip:{user}@example.test;transport=tcp", false),
            ("sip:{user}@{user}", false),
            ("sip:{user}{user}@example.test", false),
            ("sip:{user}@a@example.test", false),
            ("sip:a@{user}@example.test", false),
            ("sip:{user}@", false),
            ("", false),
        ];
        for (text, is_valid) in table {
            assert_eq!(AorTemplate::parse(text).is_ok(), is_valid, "{text}");
        }
    }
}
