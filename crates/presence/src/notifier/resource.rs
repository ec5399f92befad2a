//! Watched resources: the document of each, read once for all its watchers on this server.

use std::sync::Arc;

use bytes::Bytes;
use presently_pool::{ResourceId, Version};
use presently_store::Document;

use super::settling::{Round, Settling};
use super::{Notifier, SubscriptionSlot};
use crate::package::{EventPackage, Rendered, View};

/// What a server holds of a resource that its clients watch.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) id: ResourceId,
    pub(crate) watchers: Vec<SubscriptionSlot>,
    /// `None` while it is unknown, and where there was none from the first.
    document: Option<Arc<Document>>,
    /// Up to which version what is held is known to be the newest; `None` while nothing is.
    known: Option<Version>,
    /// The highest version heard of.
    heard: Version,
    is_reading: bool,
    /// The rounds in which it was heard of, before the read under way began and after.
    heard_in: (Option<Round>, Option<Round>),
    /// The document as rendered for each Accept in use; forgotten when it changes.
    views: Vec<(Arc<str>, Arc<Pinned>)>,
}

/// A rendered document, shared by the NOTIFYs that carry it.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(crate) content_type: Arc<str>,
    pub(crate) head: Bytes,
    /// Present for numbered documents: the NOTIFY's CSeq stands between head and tail.
    pub(crate) tail: Option<Bytes>,
}

/// What came of reading a document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reading {
    /// A newer version was heard of meanwhile: read again.
    Again,
    /// It is as new as anything heard of.
    Done,
}

impl Resource {
    pub(crate) fn new(id: ResourceId) -> Self {
        Self {
            id,
            watchers: Vec::new(),
            document: None,
            known: None,
            heard: Version::default(),
            is_reading: false,
            heard_in: (None, None),
            views: Vec::new(),
        }
    }

    /// Notes that `version` exists; `true` when a read must begin. A document held at that version
    /// or above is not read again.
    pub(crate) fn hear(&mut self, version: Version, settling: &mut Settling) -> bool {
        let is_news = version > self.heard;
        self.heard = self.heard.max(version);
        let begins = self.is_behind() && !self.is_reading;
        if begins {
            self.heard_in.0.get_or_insert_with(|| settling.begin());
        } else if self.is_reading && is_news {
            self.heard_in.1.get_or_insert_with(|| settling.begin());
        }
        self.is_reading |= begins;
        begins
    }

    /// Takes a document in; an older one than the held changes nothing (law 4). That there is none
    /// is as old as the store's counter was: whatever was heard of up to that is gone.
    pub(crate) fn learn(&mut self, document: &Arc<Document>) -> Reading {
        if self.known < Some(document.version) {
            self.known = Some(document.version);
            self.heard = self.heard.max(document.version);
            // Nothing in the place of nothing is no news to anybody.
            if !document.is_nothing() || self.document().is_some() {
                self.document = Some(document.clone());
                self.views.clear();
            }
        }
        if self.is_behind() {
            self.is_reading = true;
            return Reading::Again;
        }
        self.is_reading = false;
        Reading::Done
    }

    /// The round of the oldest thing that is to be told of it.
    pub(crate) fn heard_in(&self) -> Option<Round> {
        self.heard_in.0
    }

    /// What was heard of before is with the watchers, or there are none.
    pub(crate) fn settle(&mut self, reading: Reading, settling: &mut Settling) {
        let (before, after) = self.heard_in;
        self.heard_in = match reading {
            Reading::Again if after.is_some() => (after, None),
            Reading::Again => return,
            Reading::Done => (None, None),
        };
        let over = match reading {
            Reading::Again => [before, None],
            Reading::Done => [before, after],
        };
        for round in over.into_iter().flatten() {
            settling.end(round);
        }
    }

    /// The read came to nothing; `true` when it must be tried again.
    pub(crate) fn unread(&mut self) -> bool {
        self.is_reading = self.is_behind();
        self.is_reading
    }

    /// Whether what is held is the newest up to `version` at least: before, nothing can be said.
    pub(crate) fn is_known_to(&self, version: Version) -> bool {
        self.known >= Some(version)
    }

    /// The version of the held document; 0 where there was none from the first.
    pub(crate) fn version(&self) -> Version {
        self.document
            .as_ref()
            .map_or(Version::default(), |document| document.version)
    }

    /// The document rendered for a watcher's Accept, made once for all that share it.
    pub(crate) fn render(&mut self, package: &dyn EventPackage, accept: &Arc<str>) -> Arc<Pinned> {
        if let Some((_, pinned)) = self.views.iter().find(|(held, _)| held == accept) {
            return pinned.clone();
        }
        let document = self.document();
        let view = View {
            resource: &self.id,
            accept,
        };
        let pinned = Arc::new(match package.render(document, &view) {
            Rendered::Shared { content_type, body } => Pinned {
                content_type,
                head: body,
                tail: None,
            },
            Rendered::Numbered {
                content_type,
                head,
                tail,
            } => Pinned {
                content_type,
                head,
                tail: Some(tail),
            },
        });
        if self.views.len() >= VIEWS_MAX {
            self.views.clear();
        }
        // Most resources have one view for as long as they live: no room for more before it is
        // needed.
        self.views.reserve_exact(1);
        self.views.push((accept.clone(), pinned.clone()));
        pinned
    }

    fn document(&self) -> Option<&Document> {
        let held = self.document.as_deref();
        held.filter(|document| !document.is_nothing())
    }

    /// Whether more was heard of than is known.
    fn is_behind(&self) -> bool {
        self.known < Some(self.heard)
    }

    /// Lets go of what was rendered for one watcher alone: its NOTIFY holds it until the answer.
    pub(crate) fn drop_unshared(&mut self) {
        if self.watchers.len() == 1 {
            self.views = Vec::new();
        }
    }
}

impl Notifier {
    /// A resource is said to have come to `version`: `true` when it must be read.
    pub(crate) fn hear(&mut self, resource: &ResourceId, version: Version) -> bool {
        let Some(place) = self.by_resource.get(resource) else {
            return false;
        };
        self.resources
            .get_mut(*place)
            .is_some_and(|resource| resource.hear(version, &mut self.settling))
    }

    /// Whether anybody here watches `resource`.
    pub(crate) fn watches(&self, resource: &ResourceId) -> bool {
        self.by_resource.contains_key(resource)
    }

    /// The read of `resource` failed: it is to be read again.
    pub(crate) fn unread(&mut self, resource: &ResourceId) -> bool {
        let place = self.by_resource.get(resource).copied();
        place
            .and_then(|place| self.resources.get_mut(place))
            .is_some_and(Resource::unread)
    }

    /// The version held of each watched resource, for tests of the laws.
    pub(crate) fn resources(&self) -> impl Iterator<Item = (&ResourceId, Version)> {
        self.resources
            .iter()
            .map(|(_, resource)| (&resource.id, resource.version()))
    }

    pub(super) fn resource_of(&mut self, id: &ResourceId) -> usize {
        if let Some(place) = self.by_resource.get(id) {
            return *place;
        }
        let place = self.resources.insert(Resource::new(id.clone()));
        self.by_resource.insert(id.clone(), place);
        place
    }
}

/// Accept values rendered for at a time; phones of one make send the same.
const VIEWS_MAX: usize = 8;
