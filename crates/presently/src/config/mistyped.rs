//! A value of the wrong kind, in an operator's words: what its key must be.

/// What is wrong with the value that begins at `start` of `text`, if `message` of the reader says
/// that its kind is.
pub(super) fn in_words(message: &str, text: &str, start: usize) -> Option<String> {
    let is_of_kind =
        message.starts_with("invalid type: ") || message.starts_with("invalid value: ");
    let (given, kind) = message.rsplit_once(", expected ").filter(|_| is_of_kind)?;
    let wanted = wanted(kind)?;
    let key = key_before(text.get(..start)?).unwrap_or("this");
    Some(match value_in(given) {
        Some(value) => format!("{key} must be {wanted}, not {value}"),
        None => format!("{key} must be {wanted}"),
    })
}

/// The value as it was written, where the reader repeats it: behind its kind, in quotes of its own.
fn value_in(given: &str) -> Option<&str> {
    let value = given.get(given.find(['"', '`'])?..)?;
    Some(value.trim_matches('`'))
}

fn wanted(kind: &str) -> Option<String> {
    let (least, bits) = match kind.strip_prefix("a nonzero ") {
        Some(bits) => (1, bits),
        None => (0, kind),
    };
    let most = match bits {
        "u8" => u8::MAX.into(),
        "u16" => u16::MAX.into(),
        "u32" => u32::MAX.into(),
        "u64" | "usize" => return Some(format!("a whole number, {least} or more")),
        "a boolean" => return Some("true or false".to_owned()),
        "a sequence" => return Some("a list in brackets".to_owned()),
        "a string" => return Some("a text in quotes".to_owned()),
        _ if kind.starts_with("struct ") => return Some("a table of keys".to_owned()),
        _ => return None,
    };
    let most: u64 = most;
    Some(format!("a whole number from {least} to {most}"))
}

/// The key of the value that follows `before`: what stands before the last `=` that is in no text
/// and no comment.
fn key_before(before: &str) -> Option<&str> {
    let (mut quote, mut is_comment, mut is_escaped) = (None, false, false);
    let (mut begin, mut key) = (0, None);
    for (place, letter) in before.char_indices() {
        match (quote, letter) {
            (_, '\n') => (quote, is_comment, begin) = (None, false, place + 1),
            _ if is_comment => {}
            (Some('"'), _) if is_escaped => is_escaped = false,
            (Some('"'), '\\') => is_escaped = true,
            (Some(open), _) if open == letter => quote = None,
            (None, '"' | '\'') => quote = Some(letter),
            (None, '#') => is_comment = true,
            (None, '{' | ',') => begin = place + 1,
            (None, '=') => key = before.get(begin..place).map(str::trim),
            _ => {}
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_value_is_what_stands_before_its_equals_sign() {
        let table = [
            ("servers = ", Some("servers")),
            ("[expires]\nmin_secs = ", Some("min_secs")),
            (
                "a = \"x=y\" # b = \nlisten = [\n  \"u=1\",\n  ",
                Some("listen"),
            ),
            ("user = [{ header = ", Some("header")),
            ("user = [{ header = 'a', cookie=", Some("cookie")),
            ("a = \"\\\"b = ", Some("a")),
            ("", None),
        ];
        for (before, key) in table {
            assert_eq!(key_before(before), key, "{before}");
        }
    }
}
