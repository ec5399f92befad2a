//! Event packages: what a resource's state is made of, and how it is shown to a watcher.
//!
//! The server knows nothing of documents. It asks the package of a resource whether a body may be
//! published, what the publications make together, and what a watcher is sent. `presence` is such a
//! package; a third party adds another by implementing [`EventPackage`] and registering it with
//! [`Packages::with`].

mod accept;
mod presence;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use presently_pool::{PackageName, ResourceId};
use presently_store::{Document, Publication};

pub use accept::accepts;
pub use presence::Presence;

/// One kind of event state: its bodies, how they compose, and how they are shown (RFC 6665 §5).
///
/// Every method is a pure function of its arguments: servers of one pool call them for the same
/// resource and must agree, byte for byte.
pub trait EventPackage: Send + Sync {
    /// The package's name as it stands in `Event` and `Allow-Events`, in lower case.
    fn name(&self) -> &str;

    /// The media types that may be published and can be sent; the first is what a watcher without
    /// an Accept header gets. Never empty.
    fn content_types(&self) -> &[&str];

    /// How long a subscription or publication lasts that asks for no time.
    fn default_expires_secs(&self) -> u32 {
        3600
    }

    /// Whether a binding of the resource's client is part of its state, so that the document is
    /// composed again when the client registers or its last binding ends.
    fn follows_registration(&self) -> bool {
        false
    }

    /// Judges the body of a PUBLISH (RFC 3903 §6, step 5). It comes from the network: whatever it
    /// holds, this returns, soon, and without a panic.
    ///
    /// # Errors
    ///
    /// The body is not one that [`EventPackage::compose`] can use.
    fn check(
        &self,
        resource: &ResourceId,
        content_type: &str,
        body: &[u8],
    ) -> Result<(), BodyRefused>;

    /// The document of a resource. The order of its publications in `state` must not matter.
    fn compose(&self, state: &ResourceState<'_>) -> Composed;

    /// What a watcher is sent. `None` is a resource that nobody ever wrote, or whose user is gone.
    fn render(&self, document: Option<&Document>, view: &View<'_>) -> Rendered;
}

/// All that is known of a resource when its document is composed.
#[derive(Clone, Copy, Debug)]
pub struct ResourceState<'a> {
    /// Whose state.
    pub resource: &'a ResourceId,
    /// What is published about it and has not expired, each accepted by [`EventPackage::check`].
    pub publications: &'a [&'a Publication],
    /// Whether its client has a binding.
    pub is_registered: bool,
}

/// The composed state of a resource.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Composed {
    /// The body's media type.
    pub content_type: Arc<str>,
    /// The body.
    pub body: Bytes,
    /// How many parts were left out because a limit was reached: a number to log and count.
    pub dropped: usize,
}

/// How one watcher sees a document.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What is watched.
    pub resource: &'a ResourceId,
    /// The Accept values of the subscription, comma-joined; empty when it gave none.
    pub accept: &'a str,
}

/// A body to send. A watcher's `NOTIFY` carries it whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Rendered {
    /// A body that counts its subscription's notifications (RFC 4235 §4.1, RFC 3858 §3): the
    /// NOTIFY's CSeq stands between `head` and `tail`.
    Numbered {
        /// The body's media type.
        content_type: Arc<str>,
        /// What stands before the number.
        head: Bytes,
        /// What stands after it.
        tail: Bytes,
    },
    /// The same body for every watcher with an equal [`View`].
    Shared {
        /// The body's media type.
        content_type: Arc<str>,
        /// The body.
        body: Bytes,
    },
}

/// Why a body cannot be published. The sender is answered with [`BodyRefused::status`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyRefused {
    /// It is not what its media type says.
    #[error("the body is not well formed")]
    Malformed,
    /// It is above a limit of size, or of what one body may hold.
    #[error("the body is too large")]
    TooLarge,
    /// The package takes other media types or encodings; the answer's Accept lists them.
    #[error("the body's type is not supported")]
    Unsupported,
}

impl BodyRefused {
    /// The status of the answer to the PUBLISH.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::TooLarge => 413,
            Self::Unsupported => 415,
        }
    }
}

/// The packages a server offers, by name. Cheap to clone; `default` offers `presence`.
#[derive(Clone)]
pub struct Packages(BTreeMap<PackageName, Arc<dyn EventPackage>>);

impl Packages {
    /// Offers `package` too. One of the same name is replaced.
    #[must_use]
    pub fn with(mut self, package: Arc<dyn EventPackage>) -> Self {
        self.0.insert(PackageName::new(package.name()), package);
        self
    }

    /// The package of that name, if it is offered; if not, the answer is 489
    /// (RFC 6665 §4.2.1.1).
    #[must_use]
    pub fn find(&self, name: &PackageName) -> Option<&Arc<dyn EventPackage>> {
        self.0.get(name)
    }

    /// Every package, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn EventPackage>> {
        self.0.values()
    }

    /// Their names in order: what Allow-Events lists (RFC 6665 §8.2.2).
    pub fn names(&self) -> impl Iterator<Item = &PackageName> {
        self.0.keys()
    }
}

impl Default for Packages {
    fn default() -> Self {
        Self(BTreeMap::new()).with(Arc::new(Presence::default()))
    }
}

impl fmt::Debug for Packages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests;
