//! What a server asks its loop to do in one turn.

use std::ops::Range;

use bytes::Bytes;
use presently_pool::{Assignment, ClientId, Epoch, FlowToken, Kind, MemberId, Wake};
use presently_sip::Aor;
use presently_store::{Operation, Ticket};

/// One turn's wishes, in order; reused, so that nothing is allocated per message.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Everything written in this turn; ranges point into it.
    pub text: Vec<u8>,
    /// Messages to balancers: answers, requests to phones, requests handed back.
    pub to_balancers: Vec<ToBalancer>,
    /// Operations for the store.
    pub operations: Vec<(Ticket, Operation)>,
    /// Wakes for other servers.
    pub wakes: Vec<(MemberId, Wake)>,
    /// Clients that were handed over, and to whom: every member is told.
    pub moved: Vec<(Aor, Assignment)>,
}

impl Outputs {
    /// Forgets the turn and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.to_balancers.clear();
        self.operations.clear();
        self.wakes.clear();
        self.moved.clear();
    }
}

/// A message for a balancer.
#[derive(Clone, Debug)]
pub struct ToBalancer {
    /// Which balancer.
    pub balancer: MemberId,
    /// What the message is.
    pub kind: Kind,
    /// Whose request it is: one handed back, or a NOTIFY in one of its dialogs.
    pub client: Option<(ClientId, Aor)>,
    /// By which flow a request leaves the pool.
    pub flow: Option<FlowToken>,
    /// The epoch this server knows of that client.
    pub epoch: Epoch,
    /// The head (or all of it): a span of [`Outputs::text`].
    pub head: Range<usize>,
    /// A body shared with other messages; empty when the head holds all.
    pub body: Bytes,
}
