//! Cutting one element out of a document so that it means the same inside another.
//!
//! The text is copied as it is. Only what would change its meaning is edited: namespaces that it
//! inherited are declared on it, and PIDF's own elements lose their prefix, because old phones look
//! for `tuple` and not for `p:tuple`.

use std::ops::Range;

use roxmltree::Node;

use super::scan::StartTag;
use super::{NAMESPACE, write};

/// An element cut out.
#[derive(Debug)]
pub(super) struct Piece {
    /// Its text, for a place where the default namespace is PIDF.
    pub(super) text: String,
    /// Where in `text` the value of its `id` is.
    pub(super) id: Option<Range<usize>>,
}

/// Cuts out `element`, a child of its document's root. `inherited` are the prefixes of that root
/// which mean something else, or nothing, at the new place.
pub(super) fn cut(element: Node<'_, '_>, inherited: &[(&str, &str)]) -> Piece {
    let range = element.range();
    let source = element.document().input_text();
    let mut edits = Vec::new();
    edits.push(redeclare(element, inherited));
    adapt(element, NAMESPACE, &mut edits);
    edits.sort_by_key(|edit| edit.at.start);

    let id = id_of(element);
    let mut text = String::with_capacity(range.len());
    let mut id_start = None;
    let mut done = range.start;
    for Edit { at, insert } in edits {
        text.push_str(source.get(done..at.start).unwrap_or(""));
        text.push_str(&insert);
        done = at.end;
        // The id follows the name that is edited here, and precedes the next edit.
        if let Some(id) = id.as_ref().filter(|id| id.start >= done) {
            id_start = Some(text.len() + (id.start - done));
        }
    }
    text.push_str(source.get(done..range.end).unwrap_or(""));
    let id = id.zip(id_start).map(|(id, start)| start..start + id.len());
    Piece { text, id }
}

/// The start tag of a parsed element.
pub(super) fn start_tag<'a>(element: Node<'a, '_>) -> StartTag<'a> {
    let source = element.document().input_text();
    source
        .get(element.range().start + 1..)
        .and_then(StartTag::read)
        .expect("the parser has seen its start tag")
        .0
}

/// A replacement of some of the source; an empty range inserts.
#[derive(Debug)]
struct Edit {
    at: Range<usize>,
    insert: String,
}

/// Declares on `element` what it inherited and has not declared itself.
fn redeclare(element: Node<'_, '_>, inherited: &[(&str, &str)]) -> Edit {
    let tag = start_tag(element);
    let mut insert = String::new();
    for (prefix, uri) in inherited.iter().filter(|(prefix, _)| !tag.declares(prefix)) {
        write::attribute(&format!("xmlns:{prefix}"), uri, &mut insert);
    }
    let language = element.document().root_element().attribute(LANGUAGE);
    if let Some(language) = language.filter(|_| !element.has_attribute(LANGUAGE)) {
        write::attribute("xml:lang", language, &mut insert);
    }
    let at = element.range().start + 1 + tag.name.len();
    Edit { at: at..at, insert }
}

/// Takes the prefix from PIDF's elements in and below `element`, and declares the default namespace
/// where a name without a prefix would otherwise come to mean something else than it did.
/// `default` is what such a name means around `element` in the new document.
fn adapt(element: Node<'_, '_>, default: &str, edits: &mut Vec<Edit>) {
    let start = element.range().start + 1;
    let tag = start_tag(element);
    let prefix_length = tag.name.find(':').map_or(0, |colon| colon + 1);
    let namespace = element.tag_name().namespace().unwrap_or("");
    let declares_default = tag.declares_default();
    // Without its prefix the name would fall under the element's own declaration: it keeps it.
    let loses_prefix = prefix_length > 0 && namespace == NAMESPACE && !declares_default;
    if loses_prefix {
        edits.push(Edit::delete(start..start + prefix_length));
        if let Some(end_tag) = end_tag(element) {
            edits.push(Edit::delete(end_tag..end_tag + prefix_length));
        }
    }
    let mut default = default;
    if declares_default {
        default = element.default_namespace().unwrap_or("");
    } else if (prefix_length == 0 || loses_prefix) && namespace != default {
        let at = start + tag.name.len();
        let mut insert = String::new();
        write::attribute("xmlns", namespace, &mut insert);
        edits.push(Edit { at: at..at, insert });
        default = namespace;
    }
    for child in element.children().filter(Node::is_element) {
        adapt(child, default, edits);
    }
}

impl Edit {
    fn delete(at: Range<usize>) -> Self {
        Self {
            at,
            insert: String::new(),
        }
    }
}

/// Where the name in the end tag of `element` begins; `None` when its start tag ends it.
fn end_tag(element: Node<'_, '_>) -> Option<usize> {
    let range = element.range();
    let text = element.document().input_text().get(range.clone())?;
    let close = text.rfind('<').filter(|close| *close > 0)?;
    text.get(close..)
        .is_some_and(|tag| tag.starts_with("</"))
        .then_some(range.start + close + 2)
}

/// Where in the source the value of its `id` is.
fn id_of(element: Node<'_, '_>) -> Option<Range<usize>> {
    let start = element.range().start + 1;
    let mut attributes = start_tag(element).attributes();
    let id = attributes.find(|attribute| attribute.name == "id")?;
    Some(start + id.value.start..start + id.value.end)
}

const LANGUAGE: (&str, &str) = ("http://www.w3.org/XML/1998/namespace", "lang");
