//! Presence documents as a phone writes and reads them, which is not as a server does.

use std::fmt::Write;

use bytes::Bytes;
use presently_sip::Aor;

/// A document with one tuple: `aor` is open or closed, with a note if there is something to say
/// (RFC 3863 §4.1).
pub fn pidf(aor: &Aor, open: bool, note: Option<&str>) -> Bytes {
    let basic = if open { "open" } else { "closed" };
    let entity = escape(&aor.to_string());
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{entity}\">\n\
         <tuple id=\"phone\"><status><basic>{basic}</basic></status>"
    );
    if let Some(note) = note {
        // Writing to a String cannot fail.
        let _ = write!(text, "<note>{}</note>", escape(note));
    }
    text.push_str("</tuple>\n</presence>\n");
    text.into()
}

/// What a phone makes of a document: whether the first `<basic>` says open, and every note.
/// `None` when there is no `<basic>`.
pub fn read_pidf(body: &[u8]) -> Option<(bool, Vec<String>)> {
    let text = std::str::from_utf8(body).ok()?;
    let open = elements(text, "basic").next()?.trim() == "open";
    let notes = elements(text, "note").map(unescape).collect();
    Some((open, notes))
}

/// The texts of the elements called `name`, whatever their prefix; not for elements with children.
fn elements<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    text.split('<').filter_map(move |piece| {
        let (tag, content) = piece.split_once('>')?;
        let element = tag.split_ascii_whitespace().next()?;
        let local = element.rsplit(':').next()?;
        let is_open = !element.starts_with('/') && !tag.ends_with('/');
        (is_open && local == name).then_some(content)
    })
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let aor = Aor::parse("sip:al@example.com").unwrap();
        for (open, note) in [(true, None), (false, Some("out & <about>"))] {
            let expected: Vec<String> = note.iter().copied().map(str::to_owned).collect();
            let read = read_pidf(&pidf(&aor, open, note));
            assert_eq!(read, Some((open, expected)));
        }
    }

    #[test]
    fn the_first_basic_counts_whatever_its_prefix() {
        let table = [
            ("<p:basic>open</p:basic><basic>closed</basic>", Some(true)),
            ("<basic> closed </basic><basic>open</basic>", Some(false)),
            ("<basic/><note>x</note>", None),
            ("<basics>open</basics>", None),
            ("", None),
        ];
        for (text, expected) in table {
            let read = read_pidf(text.as_bytes()).map(|(open, _)| open);
            assert_eq!(read, expected, "{text}");
        }
    }
}
