//! What must hold for any bytes: each function is one fuzz target, and panics when it does not
//! hold. `cargo test` runs them over the corpus and over mutations of it.

use std::sync::Arc;

use bytes::Bytes;
use presently_pool::{FlowToken, MemberId, PackageName, ResourceId};
use presently_sip::{Aor, Flow, WallTime};
use presently_store::{Publication, Repeat};
use roxmltree::{Document, Node};

use crate::package::{BodyRefused, EventPackage, Presence, ResourceState};

/// Publishes `body` as presence. Whatever it is, it is refused with a status or accepted; accepted,
/// it composes, alone and with another, to documents that are accepted again, are the same in any
/// order, and hold every element of it with its meaning unchanged.
///
/// # Panics
///
/// One of that is not so.
pub fn pidf(body: &[u8]) {
    let presence = Presence::default();
    let resource = ResourceId {
        aor: Aor::parse("sip:alice@example.test").expect("a SIP URI"),
        package: PackageName::new("presence"),
    };
    let is_accepted = |body: &[u8]| presence.check(&resource, "application/pidf+xml", body);
    if let Err(refused) = is_accepted(body) {
        assert!(matches!(refused.status(), 400 | 413 | 415), "{refused}");
        return;
    }
    let compose = |publications: &[&Publication]| {
        let composed = presence.compose(&ResourceState {
            resource: &resource,
            publications,
            is_registered: false,
        });
        assert!(composed.body.len() <= 48 * 1024, "too large");
        assert_eq!(is_accepted(&composed.body), Ok::<(), BodyRefused>(()));
        composed
    };
    let one = publication(&resource, "one", 1, Bytes::copy_from_slice(body));
    let other = publication(&resource, "other", 2, Bytes::from_static(OTHER.as_bytes()));
    let alone = compose(&[&one]);
    let both = compose(&[&one, &other]);
    assert_eq!(both, compose(&[&other, &one]), "the order matters");
    for composed in [alone, both]
        .iter()
        .filter(|composed| composed.dropped == 0)
    {
        assert_kept(body, &composed.body);
    }
}

fn publication(resource: &ResourceId, tag: &str, at: u64, body: Bytes) -> Publication {
    let remote = ([192, 0, 2, 1], 5060).into();
    Publication {
        resource: resource.clone(),
        tag: tag.parse().expect("a token"),
        content_type: Arc::from("application/pidf+xml"),
        body,
        flow: FlowToken {
            balancer: MemberId(1),
            flow: Flow::udp(0, remote),
        },
        modified_at: WallTime(at),
        expires_at: WallTime(at),
        repeat: Repeat::default(),
    }
}

/// Each element below the root of `source` is, with its meaning, below that of `composed`.
fn assert_kept(source: &[u8], composed: &[u8]) {
    let meanings = |body: &[u8]| -> Vec<String> {
        let text = std::str::from_utf8(body).expect("accepted bodies are UTF-8");
        let text = text.trim_start_matches('\u{feff}');
        let tree = Document::parse(text).expect("accepted bodies are XML");
        let elements = tree.root_element().children().filter(Node::is_element);
        elements.map(|element| meaning(element, true)).collect()
    };
    let composed = meanings(composed);
    for element in meanings(source) {
        assert!(
            composed.contains(&element),
            "{element} not in {composed:#?}"
        );
    }
}

/// An element as a reader of XML understands it, whatever its prefixes. The id of a `top` element
/// and the language it inherits are left out: composition changes the one and writes out the other.
fn meaning(node: Node<'_, '_>, top: bool) -> String {
    if !node.is_element() {
        return format!("{:?}", node.text());
    }
    let mut attributes: Vec<_> = node
        .attributes()
        .filter(|one| !top || !matches!(one.name(), "id" | "lang"))
        .map(|one| (one.namespace(), one.name(), one.value()))
        .collect();
    attributes.sort_unstable();
    let namespace = node.tag_name().namespace().unwrap_or("");
    let children: String = node.children().map(|child| meaning(child, false)).collect();
    let name = node.tag_name().name();
    format!("<{{{namespace}}}{name} {attributes:?}>{children}</>")
}

/// A second device, with ids and prefixes that get in the way of others.
const OTHER: &str = r#"<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:p="urn:other"
    xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" entity="sip:alice@example.test">
  <tuple id="t"><status><basic>open</basic><p:x/></status></tuple>
  <dm:person id="p"><p:y/></dm:person>
</presence>"#;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CORPUS: [&[u8]; 12] = [
        include_bytes!("../../../tests/data/pidf/baresip-closed.xml"),
        include_bytes!("../../../tests/data/pidf/baresip-open.xml"),
        include_bytes!("../../../tests/data/pidf/linphone-open.xml"),
        include_bytes!("../../../tests/data/pidf/pjsua2-busy.xml"),
        include_bytes!("../../../tests/data/pidf/pjsua2-closed.xml"),
        include_bytes!("../../../tests/data/pidf/purple-available.xml"),
        include_bytes!("../../../tests/data/pidf/purple-closed.xml"),
        include_bytes!("../../../tests/data/pidf/sipjs-open.xml"),
        include_bytes!("../../../tests/data/pidf/sofia-open.xml"),
        include_bytes!("../../../tests/data/pidf/twinkle-closed.xml"),
        include_bytes!("../../../tests/data/pidf/twinkle-open.xml"),
        OTHER.as_bytes(),
    ];

    #[test]
    fn the_corpus_holds() {
        for body in CORPUS {
            pidf(body);
        }
    }

    /// Snippets that matter to a reader of XML.
    const SNIPPETS: [&str; 18] = [
        "<",
        ">",
        "/>",
        "</",
        "\"",
        "'",
        "=",
        "&",
        "&#60;",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<!DOCTYPE a>",
        "<?x",
        " xmlns=\"\"",
        " xmlns:p=\"urn:q\"",
        "\u{feff}",
    ];

    proptest! {
        #[test]
        fn any_bytes_hold(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            pidf(&body);
        }

        #[test]
        fn mutations_of_real_documents_hold(
            which in 0..CORPUS.len(),
            edits in proptest::collection::vec(
                (any::<prop::sample::Index>(), 0..6_usize, 0..SNIPPETS.len(), any::<bool>()), 1..5,
            ),
        ) {
            let mut body = CORPUS[which].to_vec();
            for (at, removed, snippet, inserts) in edits {
                let at = at.index(body.len().max(1)).min(body.len());
                let end = (at + removed).min(body.len());
                let insert = if inserts { SNIPPETS[snippet] } else { "" };
                body.splice(at..end, insert.bytes());
            }
            pidf(&body);
        }

        /// Documents that are well formed by construction, in every spelling of namespaces.
        #[test]
        fn any_spelling_of_namespaces_holds(
            elements in proptest::collection::vec(element(), 0..4),
        ) {
            let body = format!(
                r#"<p:presence xmlns:p="urn:ietf:params:xml:ns:pidf" xmlns:q="urn:q" xmlns="urn:d"
                entity="sip:alice@example.test" xml:lang="en">{}</p:presence>"#,
                elements.concat(),
            );
            pidf(body.as_bytes());
            let presence = Presence::default();
            let resource = publication(&alice(), "x", 0, Bytes::new()).resource;
            let checked = presence.check(&resource, "application/pidf+xml", body.as_bytes());
            prop_assert_eq!(checked, Ok(()), "{}", body);
        }
    }

    fn alice() -> ResourceId {
        ResourceId {
            aor: Aor::parse("sip:alice@example.test").unwrap(),
            package: PackageName::new("presence"),
        }
    }

    fn element() -> impl Strategy<Value = String> {
        let tag = (
            prop::sample::select(vec!["p:tuple", "tuple", "p:note", "q:x", "x", "p:basic"]),
            prop::sample::select(vec![
                "",
                " xmlns='urn:ietf:params:xml:ns:pidf'",
                " xmlns=''",
                " xmlns='urn:e'",
                " xmlns:p='urn:ietf:params:xml:ns:pidf'",
                " xmlns:q='urn:ietf:params:xml:ns:pidf'",
                " xmlns:q = \"urn:&lt;&#10;&quot;\"",
                " xmlns:r='urn:r' r:a='1'",
            ]),
            prop::sample::select(vec![
                "",
                " a = '>'",
                " q:b='/'",
                " xml:lang='fr'",
                " q:id='1'",
            ]),
            prop::sample::select(vec!["1", "2"]),
        );
        let open = |(name, declared, more, id): (&str, &str, &str, &str)| {
            format!("{name} id='{id}'{declared}{more}")
        };
        let leaf = tag.clone().prop_map(move |tag| format!("<{}/>", open(tag)));
        leaf.prop_recursive(4, 16, 3, move |inner| {
            (tag.clone(), proptest::collection::vec(inner, 0..3)).prop_map(move |(tag, inner)| {
                format!("<{}>text{}</{}>", open(tag), inner.concat(), tag.0)
            })
        })
    }
}
