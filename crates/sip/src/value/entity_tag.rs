//! The `SIP-ETag` value (RFC 3903 §11.3.1).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::text::is_token;

/// Names one version of one published document (RFC 3903 §11.3.1).
///
/// Compared byte for byte; carries no other meaning. Cheap to clone. Holding one proves that it is
/// a valid `token`, so it can be written into a header without another check.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct EntityTag(Arc<str>);

impl EntityTag {
    /// The tag's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EntityTag {
    type Err = InvalidEntityTag;

    fn from_str(text: &str) -> Result<Self, InvalidEntityTag> {
        let valid = is_token(text.as_bytes());
        valid.then(|| Self(text.into())).ok_or(InvalidEntityTag)
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not an entity-tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an entity-tag is a non-empty token")]
pub struct InvalidEntityTag;
