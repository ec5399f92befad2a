//! Which server a client has (design: one actor under one epoch).

use crate::MemberId;

/// The fencing number of an assignment; grows with each activation, drawn from the store's one
/// counter.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Epoch(pub u64);

/// The store's row of a client. Never used again for another client.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClientId(pub u64);

/// A client's distinguished server, as the store had it when it was read.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Assignment {
    /// The client's row.
    pub client: ClientId,
    /// Its distinguished server.
    pub server: MemberId,
    /// Under which epoch.
    pub epoch: Epoch,
}
