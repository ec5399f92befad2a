//! A request kept while its client's actor is busy: bytes, index and what the balancer changed;
//! and how many bytes of memory all of them take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use presently_pool::Passage;
use presently_sip::transaction::TransactionKey;
use presently_sip::{Edits, EntityTag, Index, Message, Moment};
use presently_store::{Answer, Repeat, RequestKey};

/// A copy of a request that outlives the turn it came in.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) passage: Passage,
    /// Names its server transaction.
    pub(crate) key: TransactionKey,
    /// Names what it asks, whatever its branch (design: an equal key is a repeat).
    pub(crate) request: RequestKey,
    pub(crate) arrived: Moment,
    /// Whether it was counted as one that waits.
    has_waited: bool,
    bytes: Bytes,
    index: Index,
    via: Option<Box<str>>,
    record_route: Option<Box<str>>,
    rest: Edits<'static>,
    /// Held for what it gives back.
    _share: Share,
}

/// The memory that requests take while they are held, wherever that is: what a request took is
/// given back when it goes.
#[derive(Debug)]
pub(crate) struct Room {
    taken: Arc<AtomicUsize>,
    max: usize,
}

/// What one request takes of it.
#[derive(Debug)]
struct Share {
    bytes: usize,
    taken: Arc<AtomicUsize>,
}

impl Room {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            taken: Arc::default(),
            max,
        }
    }

    /// Whether as much is taken as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.taken() > self.max
    }

    /// How many bytes are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> Share {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        Share {
            bytes,
            taken: Arc::clone(&self.taken),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Held {
    pub(crate) fn new(
        now: Moment,
        passage: &Passage,
        (key, request): (TransactionKey, RequestKey),
        (message, edits): (&Message<'_>, &Edits<'_>),
        room: &Room,
    ) -> Self {
        Self {
            _share: room.take(size_of::<Self>() + message.bytes().len()),
            has_waited: false,
            passage: passage.clone(),
            key,
            request,
            arrived: now,
            bytes: Bytes::copy_from_slice(message.bytes()),
            index: message.index().clone(),
            via: edits.via.map(Into::into),
            record_route: edits.record_route.map(Into::into),
            rest: Edits {
                presently: None,
                via: None,
                record_route: None,
                request_uri: None,
                source: edits.source,
                routes_removed: edits.routes_removed,
                max_forwards: edits.max_forwards,
            },
        }
    }

    pub(crate) fn message(&self) -> Message<'_> {
        self.index.message(&self.bytes)
    }

    pub(crate) fn edits(&self) -> Edits<'_> {
        Edits {
            via: self.via.as_deref(),
            record_route: self.record_route.as_deref(),
            ..self.rest
        }
    }

    /// What a repeat of it is answered with, once what it asks is done: 200 and these.
    pub(crate) fn repeat(&self, expires_secs: u32, tag: Option<EntityTag>, to_tag: &str) -> Repeat {
        Repeat {
            request: self.request,
            answer: Answer {
                status: 200,
                expires_secs,
                tag,
                to_tag: to_tag.into(),
            },
        }
    }

    /// Notes that it waits; `true` the first time.
    pub(crate) fn begin_waiting(&mut self) -> bool {
        !std::mem::replace(&mut self.has_waited, true)
    }

    /// The message and what the balancer changed in it.
    pub(crate) fn parts(&self) -> (Message<'_>, Edits<'_>) {
        (self.message(), self.edits())
    }
}
