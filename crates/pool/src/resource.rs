//! What is watched, and how far it has come.

use std::fmt;
use std::sync::Arc;

use presently_sip::Aor;

/// The name of an event package, in lower case (RFC 6665 §4.4.1: `presence`). Cheap to clone.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PackageName(Arc<str>);

impl PackageName {
    /// The package called `name`; folded to lower case, because phones write it in any (Linphone).
    #[must_use]
    pub fn new(name: &str) -> Self {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Self(name.to_ascii_lowercase().into())
        } else {
            Self(name.into())
        }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is watched: the state of one address of record in one event package (RFC 4662 §2).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ResourceId {
    /// Who it is about.
    pub aor: Aor,
    /// In which package.
    pub package: PackageName,
}

/// How far a resource's state has come; given by the store's write, compared within one resource
/// only.
/// 0 is the state that nobody ever wrote.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Version(pub u64);

/// The hint that a resource has reached a version. The store is the truth.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Wake {
    /// What has changed.
    pub resource: ResourceId,
    /// How far it has come.
    pub version: Version,
}
