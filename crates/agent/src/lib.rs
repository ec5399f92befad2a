//! The other end: one phone as a machine, without sockets or a clock.
//!
//! An [`Agent`] registers, publishes, subscribes and sends messages for one address of record over
//! one flow to the pool. Its owner calls it, gives it what arrives ([`Agent::handle_message`]) and
//! the time ([`Agent::poll_timeout`], [`Agent::handle_timeout`]), sends what it finds in
//! [`Outputs::datagrams`], and reads what happened from [`Outputs::events`].
//!
//! It behaves like a good phone, and with [`Quirk`]s like a bad one. All its choices follow from
//! [`Config::seed`]: the same calls at the same times give the same bytes.
//!
//! At work: `cargo run -p presently-agent --example a_phone`.

mod agenda;
mod agent;
mod config;
mod dialog;
mod event;
mod incoming;
mod lease;
mod line;
mod pidf;
mod publication;
mod quirk;
mod registration;
mod saved;
mod status;
mod subscription;
mod tokens;

pub use agent::Agent;
pub use config::Config;
pub use event::{
    Ended, Event, Notified, Outputs, RequestId, Subject, SubscriptionId, SubscriptionState,
};
pub use pidf::{pidf, read_pidf};
pub use quirk::Quirk;
pub use saved::SavedFeed;

#[cfg(test)]
mod tests;
