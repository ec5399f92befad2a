//! What reaches the nlb.

use presently_store::Completion;

use crate::{Entering, PathId, Server};

/// One thing that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The end for good: every session is released, step by step, and then the own registration.
    Close,
    /// A path wants in; answered by a [`Verdict`](crate::Verdict) sooner or later.
    Enter(Box<Entering>),
    /// The flow to the presence server closed; the owner makes another.
    FlowLost,
    /// What a health check found.
    Health {
        /// The application server's name.
        server: &'a str,
        /// Whether it answers.
        is_up: bool,
    },
    /// A path that was admitted, or waited, is over; also after it was cut.
    Left {
        /// Which path.
        path: PathId,
    },
    /// The whole new list of application servers.
    Servers(Vec<Server>),
    /// One SIP message from the presence server.
    Sip(&'a [u8]),
    /// A restart is ahead: nobody new is admitted, and what the next life must know is written.
    /// Feeds, registrations and records stay.
    Stop,
    /// An answer of the store.
    Stored(Completion),
}
