//! What a balancer asks its loop to do in one turn.

use std::ops::Range;

use bytes::Bytes;
use presently_pool::{Assignment, ClientId, FlowToken, MemberId, Passage};
use presently_sip::{Aor, Edits, Flow, Index, Message};
use presently_store::{Operation, Ticket};

/// One turn's wishes, in order; reused, so that nothing is allocated per message.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Everything written in this turn; ranges point into it.
    pub text: Vec<u8>,
    /// Messages to servers. The loop takes them out after each call, while the message is still
    /// borrowed.
    pub forwards: Vec<Forward>,
    /// Messages to phones.
    pub to_phones: Vec<ToPhone>,
    /// Operations for the store.
    pub operations: Vec<(Ticket, Operation)>,
    /// Clients that were taken over: their new servers are to be told.
    pub moved: Vec<(Aor, Assignment)>,
    /// Clients that lost a flow: to their servers, until they acknowledge.
    pub flows_gone: Vec<(MemberId, ClientId, FlowToken)>,
    /// The store says that this balancer's incarnation has ended: the loop must stop it and join
    /// anew.
    pub fenced: bool,
}

/// A message that is to go to a server: in memory it stays where it is and is read through its
/// edits; over a connection its text is written.
#[derive(Debug)]
pub struct Forward {
    /// To whom.
    pub server: MemberId,
    /// What is said of it.
    pub passage: Passage,
    /// Which message.
    pub source: Source,
    /// What changes on the way: spans of [`Outputs::text`].
    pub via: Option<Range<usize>>,
    /// See [`Edits::record_route`].
    pub record_route: Option<Range<usize>>,
    /// See [`Edits::request_uri`].
    pub request_uri: Option<Range<usize>>,
    /// See [`Edits::source`].
    pub received: Option<std::net::SocketAddr>,
    /// See [`Edits::routes_removed`].
    pub routes_removed: usize,
    /// See [`Edits::max_forwards`].
    pub max_forwards: Option<u32>,
    /// For a response: how many of its Via values are the pool's own and no longer count.
    pub vias_removed: usize,
}

/// Where a forwarded message is.
#[derive(Debug)]
pub enum Source {
    /// The message the balancer was just handed.
    Current,
    /// One that waited for an assignment.
    Held(Bytes, Box<Index>),
}

impl Forward {
    /// The edits over `text`, which is [`Outputs::text`] of the same turn.
    #[must_use]
    pub fn edits<'a>(&self, text: &'a [u8]) -> Edits<'a> {
        let span = |range: &Option<Range<usize>>| {
            let bytes = text.get(range.clone()?)?;
            std::str::from_utf8(bytes).ok()
        };
        Edits {
            presently: None,
            via: span(&self.via),
            source: self.received,
            routes_removed: self.routes_removed,
            record_route: span(&self.record_route),
            max_forwards: self.max_forwards,
            request_uri: span(&self.request_uri),
        }
    }

    /// The message itself; `current` is the one the balancer was just handed.
    #[must_use]
    pub fn message<'a>(&'a self, current: Option<Message<'a>>) -> Option<Message<'a>> {
        match &self.source {
            Source::Current => current,
            Source::Held(bytes, index) => Some(index.message(bytes)),
        }
    }
}

/// A message that leaves the pool.
#[derive(Clone, Debug)]
pub struct ToPhone {
    /// By which flow.
    pub flow: Flow,
    /// The head (or all of it): a span of [`Outputs::text`].
    pub head: Range<usize>,
    /// A body shared with other messages; empty when the head holds all.
    pub body: Bytes,
}
