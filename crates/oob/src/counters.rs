//! What a member's links have done, and what they dropped: for the metrics.

/// Counts since the links were made; each only grows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Frames with signals sent, repairs not counted.
    pub frames_sent: u64,
    /// Heartbeats and repair requests sent.
    pub controls_sent: u64,
    /// Items sent in signals frames.
    pub items_sent: u64,
    /// Wakes that were replaced by a later one of the same turn.
    pub items_replaced: u64,
    /// Frames sent again because a peer asked.
    pub frames_repaired: u64,
    /// Signals frames taken.
    pub frames_taken: u64,
    /// Items taken.
    pub items_taken: u64,
    /// Repair requests sent.
    pub repairs_asked: u64,
    /// Gaps that were not repaired: each made the server read the store.
    pub gaps: u64,
    /// How often peers that live were not heard: each made the server read the store.
    pub unheard: u64,
    /// Items for a member that is no peer, or on a link that is full.
    pub items_dropped: u64,
    /// Dropped: altered, or of another pool.
    pub forged: u64,
    /// Dropped: no frame, another version, or items that cannot be read.
    pub malformed: u64,
    /// Dropped: for another member.
    pub misdirected: u64,
    /// Dropped: from a member that is no peer, or an incarnation that is not known yet.
    pub unknown_sender: u64,
    /// Dropped: from a former incarnation of a peer.
    pub old_incarnation: u64,
    /// Dropped: heard before, or too late to matter.
    pub repeated: u64,
    /// Taken, but heard from another address than the peer's own.
    pub other_address: u64,
}
