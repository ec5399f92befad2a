//! Presence documents (PIDF, RFC 3863 §4): reading what phones publish, and composing what
//! watchers are sent. `docs/documents.md` has the rules as tables.
//!
//! Nothing is rewritten that need not be: a document is an index over its text, and composition
//! copies pieces of text from one document to another.

mod compose;
mod part;
mod scan;
mod splice;
mod write;

use roxmltree::{Document, Node, ParsingOptions};

use crate::package::BodyRefused;

pub(crate) use compose::compose;

/// A document that was read and may be composed.
///
/// Holding one proves: well-formed UTF-8 without a DTD, within the limits below, a PIDF root, and
/// an id on each tuple.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    tree: Document<'a>,
    /// The most namespace prefixes in scope at any of its elements.
    prefixes: usize,
    /// Whether it began with a byte order mark, which `tree` does not have.
    has_byte_order_mark: bool,
}

/// Reads a published document. Takes time in proportion to its size, whatever it holds.
///
/// # Errors
///
/// It is not what a [`Source`] proves.
pub(crate) fn read(body: &[u8]) -> Result<Source<'_>, BodyRefused> {
    if body.len() > BODY_BYTES_MAX {
        return Err(BodyRefused::TooLarge);
    }
    let text = std::str::from_utf8(body).map_err(|_| BodyRefused::Malformed)?;
    let unmarked = text.strip_prefix('\u{feff}');
    let has_byte_order_mark = unmarked.is_some();
    let text = unmarked.unwrap_or(text);
    if scan::declared_encoding(text).is_some_and(|name| !is_supported_encoding(name)) {
        return Err(BodyRefused::Unsupported);
    }
    // Before the parser, which spends the square of a tag's attributes and namespaces.
    let prefixes = scan::measure(text)?;
    let options = ParsingOptions {
        allow_dtd: false,
        ..ParsingOptions::default()
    };
    let tree = Document::parse_with_options(text, options).map_err(|_| BodyRefused::Malformed)?;
    let source = Source {
        tree,
        prefixes,
        has_byte_order_mark,
    };
    source
        .is_presence()
        .then_some(source)
        .ok_or(BodyRefused::Malformed)
}

/// Whether a charset or encoding called `name` is read: UTF-8, and ASCII, which is part of it.
pub(crate) fn is_supported_encoding(name: &str) -> bool {
    ["utf-8", "utf8", "us-ascii", "ascii"]
        .iter()
        .any(|ours| ours.eq_ignore_ascii_case(name))
}

impl Source<'_> {
    fn root(&self) -> Node<'_, '_> {
        self.tree.root_element()
    }

    /// The root is PIDF's and each tuple can be named (RFC 3863 §4.1.1, §4.1.2).
    fn is_presence(&self) -> bool {
        let root = self.root();
        let has_id = |tuple: Node<'_, '_>| tuple.attribute("id").is_some_and(|id| !id.is_empty());
        is_pidf(root, "presence")
            && root
                .children()
                .filter(|child| is_pidf(*child, "tuple"))
                .all(has_id)
    }
}

/// Whether `node` is the element of PIDF called `name`.
fn is_pidf(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.has_tag_name((NAMESPACE, name))
}

/// PIDF's namespace (RFC 3863 §4.1).
const NAMESPACE: &str = "urn:ietf:params:xml:ns:pidf";
/// The namespace of `person` and `device` (RFC 4479 §5).
const DATA_MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";
/// The namespace of rich presence (RFC 4480 §3).
const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";

/// Larger bodies are answered with 413.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// What a composed document may have: with its headers it fits the datagram of a phone on UDP.
const COMPOSED_BYTES_MAX: usize = 48 * 1024;

#[cfg(test)]
mod tests;
