//! What the links ask for in one turn: datagrams to send, and what was heard.

use std::net::SocketAddr;
use std::ops::Range;

use presently_pool::{ClientId, Epoch, FlowToken, MemberId, Wake};
use presently_sip::Aor;

/// Filled by a turn, acted upon by the driver, emptied and used again.
#[derive(Debug, Default)]
pub struct Outputs {
    /// The bytes of all datagrams.
    pub arena: Vec<u8>,
    /// What is to be sent, in order.
    pub datagrams: Vec<Datagram>,
    /// What was heard, in order.
    pub events: Vec<Event>,
}

/// One datagram to send.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Datagram {
    /// To where.
    pub to: SocketAddr,
    /// Where its bytes are in the arena.
    pub range: Range<usize>,
}

/// What a member hears of another.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A balancer has lost a flow: to be acknowledged once it is noted
    /// ([`crate::Links::acknowledge`]).
    FlowGone {
        /// The balancer.
        peer: MemberId,
        /// Whose flow.
        client: ClientId,
        /// Which.
        flow: FlowToken,
    },
    /// The client's server has taken note.
    FlowGoneAcknowledged {
        /// The server.
        peer: MemberId,
        /// Whose flow.
        client: ClientId,
        /// Which.
        flow: FlowToken,
    },
    /// Nobody acknowledged for 4 s, or `peer` is gone or cannot take more: the client has another
    /// server now, or will have.
    FlowGoneReturned {
        /// Who was told.
        peer: MemberId,
        /// Whose flow.
        client: ClientId,
        /// Which.
        flow: FlowToken,
    },
    /// Something the peer sent is lost for good: sweep.
    Gap {
        /// Who sent it.
        peer: MemberId,
    },
    /// A client has another distinguished server.
    Moved {
        /// Who says so.
        peer: MemberId,
        /// The client.
        client: Aor,
        /// Its server now.
        server: MemberId,
        /// Under which epoch.
        epoch: Epoch,
    },
    /// The peer lives.
    PeerHeard {
        /// Who.
        peer: MemberId,
        /// How many clients it has.
        clients: u64,
    },
    /// The first thing heard of this incarnation of the peer; what it sent before is not known:
    /// sweep.
    Reset {
        /// Who.
        peer: MemberId,
    },
    /// Of so many peers that live by the store's word nothing new has come for 1.5 s: what they say
    /// may be lost, so read what has changed. Said again every second while it is so.
    Unheard {
        /// How many.
        peers: usize,
    },
    /// A resource has reached a version.
    Woken(Wake),
}

impl Outputs {
    /// Empties it for the next turn, keeping its memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.datagrams.clear();
        self.events.clear();
    }

    /// The bytes of `datagram`, which must be of this turn.
    #[must_use]
    pub fn bytes(&self, datagram: &Datagram) -> &[u8] {
        self.arena.get(datagram.range.clone()).unwrap_or_default()
    }

    /// The datagrams of this turn: to where, and what.
    pub fn transmits(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        self.datagrams
            .iter()
            .map(|datagram| (datagram.to, self.bytes(datagram)))
    }
}
