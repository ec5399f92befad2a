//! The text that is ours: the frame of a document, and the tuple that stands for a registration.

use presently_sip::Aor;

use super::NAMESPACE;

/// What stands before the parts of a composed document: a root with PIDF as default namespace and
/// the prefixes that its parts share.
pub(super) fn head(aor: &Aor, prefixes: &[(&str, &str)]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence");
    attribute("xmlns", NAMESPACE, &mut text);
    for (prefix, uri) in prefixes {
        text.push_str(" xmlns:");
        attribute_after_space(prefix, uri, &mut text);
    }
    attribute("entity", &aor.to_string(), &mut text);
    text.push_str(">\n");
    text
}

/// What stands after them.
pub(super) const TAIL: &str = "</presence>\n";

/// The tuple of a client about which nothing is published: its contact is the presentity's own
/// address, through which the pool reaches whatever device there is.
pub(super) fn registration(aor: &Aor, is_open: bool) -> String {
    let mut text = String::from("<tuple id=\"");
    text.push_str(REGISTRATION_ID);
    text.push_str("\"><status><basic>");
    text.push_str(if is_open { "open" } else { "closed" });
    text.push_str("</basic></status><contact>");
    escape(&aor.to_string(), &mut text);
    text.push_str("</contact></tuple>");
    text
}

/// Writes ` name="value"`.
pub(super) fn attribute(name: &str, value: &str, out: &mut String) {
    out.push(' ');
    attribute_after_space(name, value, out);
}

fn attribute_after_space(name: &str, value: &str, out: &mut String) {
    out.push_str(name);
    out.push_str("=\"");
    escape(value, out);
    out.push('"');
}

/// Writes `text` so that a reader gets it back from content and from an attribute: white space
/// other than blanks would be read as blanks there (XML 1.0, 3.3.3).
fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '"' => out.push_str("&quot;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            _ => out.push(character),
        }
    }
}

pub(super) const REGISTRATION_ID: &str = "registration";
