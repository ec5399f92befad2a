//! The parts of a document: its tuples, and what stands beside them.

use presently_sip::Aor;
use roxmltree::Node;

use super::{DATA_MODEL, NAMESPACE, RPID, Source, is_pidf, splice};

/// Whether a watcher that reads `tuple` takes it for open. One that carries an element that has to
/// be understood, and is not, says nothing that we can read (RFC 3863 §4.2).
pub(super) fn is_open(tuple: Node<'_, '_>) -> bool {
    let basic = tuple
        .children()
        .find(|child| is_pidf(*child, "status"))
        .and_then(|status| status.children().find(|child| is_pidf(*child, "basic")));
    basic
        .and_then(|basic| basic.text())
        .is_some_and(|text| text.trim() == "open")
        && !tuple.descendants().any(is_not_understood)
}

/// Whether `node` has to be understood (RFC 3863 §4.2) and is of a vocabulary we do not know.
fn is_not_understood(node: Node<'_, '_>) -> bool {
    let namespace = node.tag_name().namespace().unwrap_or("");
    node.is_element()
        && ![NAMESPACE, DATA_MODEL, RPID].contains(&namespace)
        && node.attributes().any(|attribute| {
            attribute.name() == "mustUnderstand"
                && attribute.namespace().is_none_or(|uri| uri == NAMESPACE)
                && matches!(attribute.value().trim(), "true" | "1")
        })
}

impl Source<'_> {
    /// The elements below the root, in order.
    pub(super) fn elements(&self) -> impl Iterator<Item = Node<'_, '_>> {
        self.root().children().filter(Node::is_element)
    }

    /// The tuples among them, in order.
    pub(super) fn tuples(&self) -> impl Iterator<Item = Node<'_, '_>> {
        self.elements().filter(|child| is_pidf(*child, "tuple"))
    }

    /// Whether an element that concerns the document as a whole has to be understood, and is not.
    /// Such a document may be passed on as it is, but nobody may merge it with another.
    pub(super) fn is_unmergeable(&self) -> bool {
        self.elements().any(is_not_understood)
    }

    /// Whether this document may be sent to watchers as it is: it names the presentity, has its
    /// open tuples first, each id once, and PIDF as default namespace.
    pub(super) fn obeys(&self, aor: &Aor) -> bool {
        let entity = self.root().attribute("entity").unwrap_or("");
        !self.has_byte_order_mark
            && Aor::parse(entity).is_ok_and(|entity| entity == *aor)
            && self.has_open_first()
            && self.has_unique_ids()
            && self.root().descendants().all(is_without_prefix)
    }

    fn has_open_first(&self) -> bool {
        let mut tuples = self.tuples().map(is_open).peekable();
        tuples.peek().is_some() && tuples.is_sorted_by_key(|is_open| !is_open)
    }

    fn has_unique_ids(&self) -> bool {
        let mut ids: Vec<&str> = self
            .elements()
            .filter_map(|element| element.attribute("id"))
            .collect();
        ids.sort_unstable();
        ids.windows(2).all(|pair| pair.first() != pair.last())
    }
}

/// Whether `node`, if it is an element of PIDF, is written without a prefix.
fn is_without_prefix(node: Node<'_, '_>) -> bool {
    !node.is_element()
        || node.tag_name().namespace() != Some(NAMESPACE)
        || !splice::start_tag(node).name.contains(':')
}
