//! Goal: a watcher is sent the same document whenever it asks. Method: the package through its
//! trait.

use bytes::Bytes;
use presently_pool::{PackageName, Version};
use presently_sip::Aor;

use super::*;

fn resource() -> ResourceId {
    ResourceId {
        aor: Aor::parse("sip:alice@example.test").unwrap(),
        package: PackageName::new("presence"),
    }
}

fn rendered(document: Option<&Document>, accept: &str) -> (String, Bytes) {
    let resource = resource();
    let view = View {
        resource: &resource,
        accept,
    };
    match Presence::default().render(document, &view) {
        Rendered::Shared { content_type, body } => (content_type.to_string(), body),
        Rendered::Numbered { .. } => panic!("presence does not count"),
    }
}

/// Lessons 6: one function makes the first NOTIFY and the later ones.
#[test]
fn an_unknown_user_looks_like_one_who_left() {
    let resource = resource();
    let left = Presence::default().compose(&ResourceState {
        resource: &resource,
        publications: &[],
        is_registered: false,
    });
    let (content_type, body) = rendered(None, "");
    assert_eq!(
        (content_type.as_str(), &body),
        (&*left.content_type, &left.body)
    );
}

#[test]
fn a_document_is_sent_as_it_is_stored_under_the_name_asked_for() {
    let document = Document {
        resource: resource(),
        version: Version(7),
        content_type: Arc::from("application/pidf+xml"),
        body: Bytes::from_static(b"<presence/>"),
    };
    for (accept, name) in [
        ("", "application/pidf+xml"),
        (
            "application/xpidf+xml, application/pidf+xml",
            "application/pidf+xml",
        ),
        ("application/cpim-pidf+xml", "application/cpim-pidf+xml"),
    ] {
        let expected = (name.to_owned(), document.body.clone());
        assert_eq!(rendered(Some(&document), accept), expected, "{accept}");
    }
}
