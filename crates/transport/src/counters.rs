//! What the sockets have carried and refused: for the metrics.

/// Counts since the sockets were opened; each only grows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Datagrams taken.
    pub datagrams_received: u64,
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Datagrams not sent because the socket's buffer was full.
    pub datagrams_dropped: u64,
    /// Datagrams the system refused to send: too long, no route.
    pub datagrams_refused: u64,
    /// Errors that the network reported for datagrams sent before (ICMP); ignored.
    pub datagrams_undeliverable: u64,
    /// Whole messages taken from streams.
    pub messages_received: u64,
    /// Messages given to connections.
    pub messages_sent: u64,
    /// Messages for a connection that is gone.
    pub messages_undeliverable: u64,
    /// Keep-alives: answered on streams (RFC 5626 §5.4), dropped as datagrams.
    pub pings: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections opened by us.
    pub opened: u64,
    /// Connections that could not be accepted, or opened.
    pub failed: u64,
    /// New connections refused because all places were taken by peers that had spoken.
    pub refused: u64,
    /// New connections refused because their address had as many as it may.
    pub crowded: u64,
    /// Connections closed to make room: the oldest that had not sent a message.
    pub evicted: u64,
    /// Connections closed that had sent no message in time.
    pub closed_silent: u64,
    /// Connections closed because a message was begun and not finished in time.
    pub closed_slow: u64,
    /// Connections closed because their peer did not read in time, or too much waited for it.
    pub closed_stalled: u64,
    /// Connections closed because what they carried was no SIP.
    pub closed_framing: u64,
    /// Connections closed by their peer, or broken.
    pub closed_by_peer: u64,
}
