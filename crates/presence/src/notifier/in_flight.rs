//! NOTIFYs that are not answered yet: all that is needed to send each again byte for byte.

use std::sync::Arc;

use presently_sip::WallTime;
use presently_sip::transaction::ClientTransaction;
use slab::Slab;

use super::resource::Pinned;

/// What is pinned until the answer (design: rendered again, not kept).
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) transaction: ClientTransaction,
    pub(crate) cseq: u32,
    /// The random part of the branch.
    pub(crate) key: u32,
    /// Where it went, once the row says otherwise.
    pub(crate) target: Option<Box<str>>,
    pub(crate) date: WallTime,
    /// Seconds left when it was first sent; `None` says terminated.
    pub(crate) expires_secs: Option<u32>,
    pub(crate) document: Arc<Pinned>,
    pub(crate) is_last: bool,
}

/// Every NOTIFY of a server that is not answered. Most subscriptions have none, so the place for it
/// is not theirs; as many are kept as were ever under way at a time.
#[derive(Debug, Default)]
pub(super) struct Unanswered(Slab<InFlight>);

/// Where the NOTIFY of a subscription is in [`Unanswered`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place(u32);

impl Unanswered {
    pub(super) fn insert(&mut self, sent: InFlight) -> Place {
        let key = self.0.insert(sent);
        Place(u32::try_from(key).expect("one a subscription, of fewer than 2^32"))
    }

    pub(super) fn get(&self, place: Option<Place>) -> Option<&InFlight> {
        self.0.get(place?.key())
    }

    pub(super) fn get_mut(&mut self, place: Option<Place>) -> Option<&mut InFlight> {
        self.0.get_mut(place?.key())
    }

    pub(super) fn take(&mut self, place: &mut Option<Place>) -> Option<InFlight> {
        self.0.try_remove(place.take()?.key())
    }
}

impl Place {
    fn key(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}
