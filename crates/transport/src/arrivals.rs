//! What has arrived in one turn.

use std::ops::Range;

use presently_sip::Flow;

/// Filled by [`crate::Transport::poll_receive`], worked off by the loop, and used again.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// The bytes of everything in `items`.
    pub arena: Vec<u8>,
    /// What arrived: of one flow in the order it was sent.
    pub items: Vec<Arrival>,
}

/// One thing that has arrived.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Arrival {
    /// The connection is gone, whoever closed it, or something was sent by a flow that names none;
    /// nothing more comes or goes by this flow.
    Closed {
        /// Which.
        flow: Flow,
    },
    /// One whole message: a datagram, or cut from a stream by its Content-Length.
    Message {
        /// By which flow.
        flow: Flow,
        /// Where its bytes are in the arena.
        range: Range<usize>,
    },
    /// Bytes of a connection that begins with something else than SIP
    /// ([`crate::Transport::start_messages`]).
    Raw {
        /// By which flow.
        flow: Flow,
        /// Where the bytes are in the arena.
        range: Range<usize>,
    },
}

impl Arrivals {
    /// The bytes of a range of this turn.
    #[must_use]
    pub fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.arena.get(range.clone()).unwrap_or_default()
    }

    pub(crate) fn clear(&mut self) {
        self.arena.clear();
        self.items.clear();
        // One turn of large messages must not hold its memory for ever.
        self.arena.shrink_to(ARENA_KEPT);
    }

    pub(crate) fn push_message(&mut self, flow: Flow, bytes: &[u8]) {
        let range = self.push(bytes);
        self.items.push(Arrival::Message { flow, range });
    }

    pub(crate) fn push_raw(&mut self, flow: Flow, bytes: &[u8]) {
        let range = self.push(bytes);
        self.items.push(Arrival::Raw { flow, range });
    }

    fn push(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        start..self.arena.len()
    }
}

/// Memory that stays for the next turn.
const ARENA_KEPT: usize = 1 << 20;
