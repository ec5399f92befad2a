//! The `presence` package (RFC 3856 §6): presence documents, composed for phones.

use std::sync::Arc;

use presently_pool::ResourceId;
use presently_store::Document;

use super::{BodyRefused, Composed, EventPackage, Rendered, ResourceState, View, accepts};
use crate::pidf;

/// Presence in PIDF (RFC 3863 §4). How documents compose is told in `docs/documents.md`.
///
/// `application/cpim-pidf+xml`, the name the format had before its RFC, is taken as another name of
/// `application/pidf+xml`. `application/xpidf+xml` is not offered.
#[derive(Clone, Debug)]
pub struct Presence {
    /// One shared name for each of [`CONTENT_TYPES`].
    names: [Arc<str>; 2],
}

impl Presence {
    fn name_for(&self, accept: &str) -> Arc<str> {
        let index = accepts(accept, &CONTENT_TYPES).unwrap_or(0);
        let [default, _] = &self.names;
        self.names.get(index).unwrap_or(default).clone()
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            names: CONTENT_TYPES.map(Arc::from),
        }
    }
}

impl EventPackage for Presence {
    fn name(&self) -> &'static str {
        "presence"
    }

    /// PIDF comes first: every watcher has to understand it (RFC 3856 §6.5).
    fn content_types(&self) -> &[&str] {
        &CONTENT_TYPES
    }

    fn follows_registration(&self) -> bool {
        true
    }

    fn check(&self, _: &ResourceId, content_type: &str, body: &[u8]) -> Result<(), BodyRefused> {
        check_type(content_type)?;
        pidf::read(body).map(|_| ())
    }

    fn compose(&self, state: &ResourceState<'_>) -> Composed {
        let (body, dropped) =
            pidf::compose(&state.resource.aor, state.publications, state.is_registered);
        Composed {
            content_type: self.name_for(""),
            body,
            dropped,
        }
    }

    /// The document as it is stored. One that nobody wrote is composed from nothing, so the first
    /// NOTIFY about an unknown user and a later one about a user who left are the same bytes.
    fn render(&self, document: Option<&Document>, view: &View<'_>) -> Rendered {
        let body = match document {
            Some(document) => document.body.clone(),
            None => pidf::compose(&view.resource.aor, &[], false).0,
        };
        Rendered::Shared {
            content_type: self.name_for(view.accept),
            body,
        }
    }
}

/// Refuses other media types, and bytes that are said to be no UTF-8 (RFC 3863 §4.1).
fn check_type(content_type: &str) -> Result<(), BodyRefused> {
    let mut fields = content_type.split(';').map(str::trim);
    let media_type = fields.next().unwrap_or("");
    let is_ours = |ours: &str| ours.eq_ignore_ascii_case(media_type);
    let charset = fields.find_map(|field| {
        let (name, value) = field.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"'))
    });
    let is_read = CONTENT_TYPES.iter().any(|ours| is_ours(ours))
        && charset.is_none_or(pidf::is_supported_encoding);
    is_read.then_some(()).ok_or(BodyRefused::Unsupported)
}

const CONTENT_TYPES: [&str; 2] = ["application/pidf+xml", "application/cpim-pidf+xml"];

#[cfg(test)]
mod tests;
