//! What a presence pool remembers, behind one trait.
//!
//! An [`Operation`] is one transaction; [`Store::submit`] takes a turn's batch and never blocks,
//! [`Store::poll`] gives back [`Completion`]s. Rows ([`Binding`], [`Publication`],
//! [`Subscription`], [`Document`], [`Session`]) are plain values. Back ends are features: `sqlite`
//! (a file, or in memory for simulation). Whoever adds one runs `battery::run` (feature `battery`).
//!
//! At work: `cargo run -p presently-store --features sqlite --example read_a_store`.

#[cfg(feature = "battery")]
pub mod battery;
mod operation;
mod row;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use std::task::{Context, Poll};

pub use operation::{
    Activated, BOUND_AT_ONCE, Change, ClientState, Holder, Mark, Operation, Outcome, PoolStatus,
    REPEAT_WINDOW, REPEATS_MAX, SESSIONS_AT_ONCE, Swept, TAKEN_AT_ONCE, Written,
};
pub use row::{
    Answer, Binding, BindingKey, DialogId, Document, Publication, Repeat, RequestKey, Session,
    SessionState, Subscription, SubscriptionKey, SubscriptionState,
};

/// Durable state shared by every member of the pool.
///
/// An operation happens whole or not at all, and once its completion says so every member sees it.
/// The refusal of one leaves the others of its batch untouched. Operations of one batch are done in
/// order.
pub trait Store: Send {
    /// Takes one turn's operations and empties `batch`. Never blocks.
    fn submit(&mut self, batch: &mut Vec<(Ticket, Operation)>);

    /// Moves what is finished into `done`, in any order; `Ready` when there was something.
    fn poll(&mut self, context: &mut Context<'_>, done: &mut Vec<Completion>) -> Poll<()>;
}

/// Names one submitted operation; the submitter's own number.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ticket(pub u64);

/// The answer to the operation that was submitted under `ticket`.
#[derive(Debug)]
pub struct Completion {
    /// Of which operation.
    pub ticket: Ticket,
    /// What came of it.
    pub result: Result<Outcome, Refused>,
}

/// Why an operation was not done. Nothing of it was written, except perhaps after `Unknown`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The asker's incarnation has ended, or it no longer owns the client under that epoch: drop
    /// the actor.
    #[error("the asker is not the owner any more")]
    Fenced,
    /// No more clients are taken in: the bound of what may be assigned at once is reached.
    #[error("the store has as many clients as it may have")]
    Full,
    /// The store cannot be reached, or has no room on its disk: hold the request and ask again.
    #[error("the store cannot be reached or written")]
    Unavailable,
    /// The reply to the commit was lost: read again before deciding.
    #[error("the outcome of the commit is unknown")]
    Unknown,
}
