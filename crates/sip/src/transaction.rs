//! Transactions: one request, its repeats, and its final answer (RFC 3261 §17).
//!
//! [`ClientTransaction`] is the asking end, a machine of a few words that its owner embeds.
//! [`Answered`] is the answering end of all of them together: it remembers final answers by
//! [`TransactionKey`], so that a repeat gets the same answer and does nothing twice.

mod client;
mod key;
mod server;

use std::time::Duration;

pub use client::{Action, ClientTransaction, Input};
pub use key::TransactionKey;
pub use server::{Answered, Arrival};

/// Round-trip time estimate (RFC 3261 §17.1.1.1).
pub const T1: Duration = Duration::from_millis(500);
/// Longest interval between two sendings of a non-INVITE request (RFC 3261 §17.1.2.2).
pub const T2: Duration = Duration::from_secs(4);
/// Longest a message stays in the network (RFC 3261 §17.1.2.2).
pub const T4: Duration = Duration::from_secs(5);
/// How long a transaction waits for an answer, and how long an answer is kept for repeats:
/// 64·T1, Timers F and J (RFC 3261 §17.1.2.2, §17.2.2).
pub const TRANSACTION: Duration = Duration::from_secs(32);
/// When Timer E reaches T2: from here on, and over UDP not before, an unfinished request is
/// answered with 100 (RFC 4320 §4.1).
pub const TRYING_AFTER: Duration = Duration::from_millis(3500);
