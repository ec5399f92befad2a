//! The bounds of what a stranger can make grow.

use std::time::Duration;

/// Settings; each default has its reason beside it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at one time, of all listeners together.
    pub connections: usize,
    /// Connections at one time that peers at one address have opened, of all listeners for phones
    /// together; more are closed at once. Of IPv6 a network of 64 bits counts as one address.
    pub per_source: usize,
    /// Until a new connection must have sent a whole message.
    pub first_message: Duration,
    /// Until a message that was begun must be whole.
    pub message: Duration,
    /// Until a peer that is sent to must have read something.
    pub write_stall: Duration,
    /// Until a peer that stopped sending, and may still read, is let go.
    pub half_closed: Duration,
    /// Until a peer whose machine acknowledges nothing is let go: it is asked three times in the
    /// second half of it. Zero leaves it to the system, which takes hours.
    pub silence: Duration,
    /// Bytes that wait for one peer to read.
    pub output: usize,
    /// Bytes that wait for one member of the pool to read; more is dropped.
    pub link_output: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Below the usual limit of open files once it is raised (design: one process, many
            // phones).
            connections: 20_000,
            // All phones of a large office behind one address; a tenth of the places, so that one
            // host cannot take them all and shut everybody else out.
            per_source: 2_048,
            // A phone sends REGISTER as soon as it is connected.
            first_message: Duration::from_secs(30),
            // A REGISTER over the slowest line takes a few seconds.
            message: Duration::from_secs(20),
            // Less than 64·T1: a transaction should learn that its flow is gone.
            write_stall: Duration::from_secs(20),
            // Long enough for the answer to the last request; a user is online until it ends.
            half_closed: Duration::from_secs(2),
            // A phone out of reach is found within a minute, whatever it registered for; once every
            // half minute is no more than phones send themselves to keep a NAT open (RFC 5626 §5.4
            // leaves it to them).
            silence: Duration::from_mins(1),
            // Four of the largest messages; a phone that reads has none waiting.
            output: 256 * 1024,
            // A burst for all clients of a server: a NOTIFY for each of 50,000 subscriptions.
            link_output: 64 * 1024 * 1024,
        }
    }
}
