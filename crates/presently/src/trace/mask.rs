//! Messages as they may be shown: without what proves who somebody is.

/// The text of a message with its credentials masked: what follows the scheme in Authorization,
/// Proxy-Authorization and headers of their kind (RFC 3261 §22.2, §20.6), and passwords in URIs
/// (RFC 3261 §19.1.1). Bytes that are no UTF-8 are replaced. The body is left as it is.
pub(crate) fn masked(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let mut shown = String::with_capacity(text.len());
    let (mut has_begun, mut is_secret) = (false, false);
    let mut rest = text.as_ref();
    while let Some(end) = rest.find('\n') {
        let (line, after) = rest.split_at(end + 1);
        rest = after;
        let content = line.trim_end_matches(['\r', '\n']);
        if content.is_empty() && has_begun {
            // The end of the head; before its first line there may be others (RFC 3261 §7.5).
            shown.push_str(line);
            break;
        }
        has_begun |= !content.is_empty();
        // A line that begins with white space goes on with the one before (RFC 3261 §7.3.1).
        let is_folded = content.starts_with([' ', '\t']);
        if !is_folded {
            is_secret = is_credential(content);
        }
        match (is_secret, is_folded) {
            (true, true) => shown.push_str(MASK),
            (true, false) => mask_value(content, &mut shown),
            (false, _) => mask_passwords(content, &mut shown),
        }
        shown.push_str(line.get(content.len()..).unwrap_or_default());
    }
    shown.push_str(rest);
    shown
}

/// Whether a header line carries credentials or what is computed from them. A name that only ends
/// like one of these is masked too: better a line too many.
fn is_credential(line: &str) -> bool {
    let name = line.split(':').next().unwrap_or_default().trim();
    let name = name.to_ascii_lowercase();
    ENDS.iter().any(|end| name.ends_with(end))
}

/// `Authorization: Digest ***`: the scheme says something and proves nothing.
fn mask_value(line: &str, shown: &mut String) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    shown.push_str(name);
    shown.push_str(": ");
    if let Some((scheme, _)) = value.trim_start().split_once([' ', '\t'])
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        shown.push_str(scheme);
        shown.push(' ');
    }
    shown.push_str(MASK);
}

/// `sip:alice:***@example.com`: a password stands between the user and the host.
fn mask_passwords(line: &str, shown: &mut String) {
    let mut rest = line;
    while let Some(start) = scheme_end(rest) {
        let (before, uri) = rest.split_at(start);
        shown.push_str(before);
        rest = uri;
        let end = uri.find(|letter: char| letter.is_whitespace() || "<>\"@".contains(letter));
        let Some((user, host)) = end.map(|end| uri.split_at(end)) else {
            continue;
        };
        if host.starts_with('@')
            && let Some((user, _)) = user.split_once(':')
        {
            shown.push_str(user);
            shown.push(':');
            shown.push_str(MASK);
            rest = host;
        }
    }
    shown.push_str(rest);
}

/// Where the first `sip:` or `sips:` of `text` ends.
fn scheme_end(text: &str) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    let ends = ["sip:", "sips:"].map(|scheme| lower.find(scheme).map(|at| at + scheme.len()));
    ends.into_iter().flatten().min()
}

/// Names of headers end so: Authorization, Proxy-Authorization, Authentication-Info …
const ENDS: [&str; 3] = ["authorization", "authentication-info", "cookie"];
const MASK: &str = "***";

#[cfg(test)]
mod tests {
    use super::*;

    fn header(line: &str) -> String {
        let message = format!("REGISTER sip:example.com SIP/2.0\r\n{line}\r\n\r\nbody");
        let shown = masked(message.as_bytes());
        let shown = shown.strip_prefix("REGISTER sip:example.com SIP/2.0\r\n");
        let shown = shown.and_then(|rest| rest.strip_suffix("\r\n\r\nbody"));
        shown.expect("the rest stays").to_owned()
    }

    #[test]
    fn credentials_are_masked_however_they_are_written() {
        let table = [
            (
                "Authorization: Digest username=\"alice\", response=\"5ec2e7\"",
                "Authorization: Digest ***",
            ),
            ("authorization:Basic 5ec2e7", "authorization: Basic ***"),
            (
                "AUTHORIZATION : Bearer 5ec2e7",
                "AUTHORIZATION : Bearer ***",
            ),
            (
                "Proxy-Authorization: Digest 5ec2e7",
                "Proxy-Authorization: Digest ***",
            ),
            ("Authorization: 5ec2e7", "Authorization: ***"),
            ("Authorization: a=\"5ec2e7\" 5ec2e7", "Authorization: ***"),
            (
                "X-Peer-Authorization: Digest 5ec2e7",
                "X-Peer-Authorization: Digest ***",
            ),
            (
                "Authentication-Info: rspauth=\"5ec2e7\"",
                "Authentication-Info: ***",
            ),
            ("Cookie: 5ec2e7", "Cookie: ***"),
            (
                "Authorization: Digest a=1,\r\n b=5ec2e7\r\n\tc=5ec2e7",
                "Authorization: Digest ***\r\n***\r\n***",
            ),
            (
                "Authorization:\r\n Digest 5ec2e7",
                "Authorization: ***\r\n***",
            ),
            (
                "From: <sip:alice:5ec2e7@example.com>;tag=1",
                "From: <sip:alice:***@example.com>;tag=1",
            ),
            (
                "Contact: \"A\" <SIPS:a:5ec;2e7@h:5061>, sip:b:5ec2e7@h",
                "Contact: \"A\" <SIPS:a:***@h:5061>, sip:b:***@h",
            ),
        ];
        for (line, expected) in table {
            let shown = header(line);
            assert_eq!(shown, expected);
            assert!(!shown.contains("5ec"), "{shown}");
        }
    }

    #[test]
    fn everything_else_is_shown_as_it_is() {
        for line in [
            "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"abc\"",
            "Call-ID: authorization@example.com",
            "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1",
            "Contact: <sip:alice@192.0.2.1:5060;ob>;expires=60",
            "Route: <sip:192.0.2.1:5060;lr>",
            "Subject: sip: a letter",
            "X-Long: one\r\n two",
        ] {
            assert_eq!(header(line), line);
        }
    }

    #[test]
    fn a_body_is_not_read() {
        let text = "MESSAGE sip:a@b SIP/2.0\r\nTo: <sip:a@b>\r\n\r\nAuthorization: mine\r\n";
        assert_eq!(masked(text.as_bytes()), text);
    }

    #[test]
    fn leading_line_breaks_do_not_hide_credentials() {
        let shown =
            masked(b"\r\n\r\nREGISTER sip:b SIP/2.0\r\nAuthorization: Digest 5ec2e7\r\n\r\n");
        assert!(!shown.contains("5ec2e7"), "{shown}");
        let shown = masked(b"REGISTER sip:b SIP/2.0\nAuthorization: Digest 5ec2e7\n\n");
        assert!(!shown.contains("5ec2e7"), "{shown}");
    }
}
