//! What real phones do otherwise, to be played in tests.

/// One thing a phone does otherwise than a good one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Quirk {
    /// Writes From without angle brackets.
    BareFrom,
    /// Writes compact header names (RFC 3261 §7.3.3).
    CompactHeaders,
    /// Sends SUBSCRIBE without Accept.
    NoAccept,
    /// Leaves out Content-Length where there is no body; over UDP only, a stream needs it.
    NoContentLength,
    /// Does not ask for the source port (RFC 3581 §3).
    NoRport,
    /// Answers each NOTIFY with this status, whatever it says.
    NotifyStatus(u16),
    /// Never answers a NOTIFY.
    SilentToNotify,
}

/// Rewrites `message`, one of ours with its long header names, as a phone with `quirks` writes it.
pub(crate) fn apply(quirks: &[Quirk], message: Vec<u8>) -> Vec<u8> {
    if quirks.is_empty() {
        return message;
    }
    let end = find(&message, b"\r\n\r\n").map_or(message.len(), |end| end + 2);
    let (head, rest) = message.split_at(end);
    let head = String::from_utf8_lossy(head);
    let is_request = !head.starts_with("SIP/2.0 ");
    let mut out = Vec::with_capacity(message.len());
    for line in head.lines() {
        let line = match line.split_once(": ") {
            Some((name, value)) => header(quirks, is_request, name, value),
            None => Some(line.to_owned()),
        };
        if let Some(line) = line {
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(rest);
    out
}

fn header(quirks: &[Quirk], is_request: bool, name: &str, value: &str) -> Option<String> {
    let has = |quirk| quirks.contains(&quirk);
    let mut value = value.to_owned();
    if name == "Content-Length" && value == "0" && has(Quirk::NoContentLength) {
        return None;
    }
    if is_request && name == "Via" && has(Quirk::NoRport) {
        value = value.replace(";rport", "");
    }
    if is_request && name == "From" && has(Quirk::BareFrom) {
        let address = value.split_once('<').map_or("", |(_, address)| address);
        value = address.replacen('>', "", 1);
    }
    let compact = COMPACT.iter().find(|(long, _)| *long == name);
    Some(match compact {
        Some((_, short)) if has(Quirk::CompactHeaders) => format!("{short}: {value}"),
        _ => format!("{name}: {value}"),
    })
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|it| it == what)
}

const COMPACT: [(&str, &str); 10] = [
    ("Allow-Events", "u"),
    ("Call-ID", "i"),
    ("Contact", "m"),
    ("Content-Length", "l"),
    ("Content-Type", "c"),
    ("Event", "o"),
    ("From", "f"),
    ("Supported", "k"),
    ("To", "t"),
    ("Via", "v"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "SUBSCRIBE sip:bob@example.com SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;rport\r\n\
        From: \"Al\" <sip:al@example.com>;tag=1\r\n\
        Event: presence\r\n\
        Content-Length: 0\r\n\r\n";

    #[test]
    fn each_quirk_changes_its_line_and_no_other() {
        let table = [
            (vec![], "", ""),
            (vec![Quirk::NoRport], ";rport", ""),
            (vec![Quirk::NoContentLength], "Content-Length: 0\r\n", ""),
            (
                vec![Quirk::BareFrom],
                "\"Al\" <sip:al@example.com>;",
                "sip:al@example.com;",
            ),
        ];
        for (quirks, old, new) in table {
            let written = apply(&quirks, GOOD.as_bytes().to_vec());
            let expected = if old.is_empty() {
                GOOD.to_owned()
            } else {
                GOOD.replacen(old, new, 1)
            };
            assert_eq!(String::from_utf8(written).unwrap(), expected, "{quirks:?}");
        }
    }

    #[test]
    fn compact_names_replace_the_long_ones() {
        let written = apply(&[Quirk::CompactHeaders], GOOD.as_bytes().to_vec());
        let written = String::from_utf8(written).unwrap();
        let names: Vec<&str> = written
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["v", "f", "o", "l"]);
        assert!(written.ends_with("l: 0\r\n\r\n"));
    }
}
