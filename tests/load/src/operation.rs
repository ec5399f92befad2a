//! What the load is made of: operations, and the phones' sides of publications and subscriptions.

/// What an operation does; its entity is a user or a subscription.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Register,
    Publish,
    Subscribe,
    Resubscribe,
    Unsubscribe,
}

/// A user: registers, publishes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Presentity {
    pub(crate) register_cseq: u32,
    pub(crate) publish_cseq: u32,
    pub(crate) entity_tag: Box<[u8]>,
    /// The version last published, and the last one that got its 200.
    pub(crate) version: u32,
    pub(crate) confirmed: u32,
}

/// A subscriber's side of a subscription.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscription {
    pub(crate) cseq: u32,
    pub(crate) is_live: bool,
    pub(crate) to_tag: Box<[u8]>,
    pub(crate) target: Box<[u8]>,
    /// Whole Route lines.
    pub(crate) routes: Box<[u8]>,
    /// The highest version seen.
    pub(crate) seen: u32,
    /// The highest CSeq of a NOTIFY, and the version it carried: what the phone shows.
    pub(crate) notify_cseq: u32,
    pub(crate) shown: u32,
}

/// One entity's operation under way: a request until its final response, then the NOTIFYs it
/// causes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Operation {
    pub(crate) is_active: bool,
    /// Grows with each request, so that what is late is known.
    pub(crate) number: u32,
    pub(crate) scheduled: u64,
    pub(crate) started: u64,
    pub(crate) is_answered: bool,
    pub(crate) is_failed: bool,
    pub(crate) notifies_due: u32,
    /// Kept for repeats.
    pub(crate) request: Vec<u8>,
    pub(crate) repeats: u32,
}
