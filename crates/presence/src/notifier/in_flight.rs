//! A NOTIFY that is not answered yet: all that is needed to send it again byte for byte.

use std::sync::Arc;

use presently_sip::WallTime;
use presently_sip::transaction::ClientTransaction;

use super::resource::Pinned;

/// What is pinned until the answer (design: rendered again, not kept).
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) transaction: ClientTransaction,
    pub(crate) cseq: u32,
    /// The random part of the branch.
    pub(crate) key: u32,
    pub(crate) target: Arc<str>,
    pub(crate) date: WallTime,
    /// Seconds left when it was first sent; `None` says terminated.
    pub(crate) expires_secs: Option<u32>,
    pub(crate) document: Arc<Pinned>,
    pub(crate) is_last: bool,
}
