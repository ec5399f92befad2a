//! A presence server as a machine: registrar, compositor, notifier and relay for the clients that
//! the pool assigns to it. No socket, clock or randomness.
//!
//! [`Server`] takes what a balancer hands over, what the store answers and what other servers wake
//! it for, and writes what it wants done into [`Outputs`]. What each request does is a pure
//! decision: [`registrar::decide`], [`publication::decide`], [`subscription::decide`]. What a
//! document says is up to its [`package::EventPackage`]; third parties add their own.
//!
//! At work: `cargo run -p presently-presence --example compose_a_document`.

mod actor;
mod answer;
mod asking;
mod branch;
mod compositor;
mod config;
mod counters;
mod events;
pub mod fuzz;
mod held;
mod notifier;
mod outputs;
pub mod package;
mod pidf;
mod plan;
pub mod publication;
mod reach;
pub mod registrar;
mod renewal;
mod server;
pub mod subscription;
mod taken_back;

pub use answer::ALLOW;
pub use config::{Config, Expires, Secrets};
pub use counters::Counters;
pub use outputs::{Outputs, ToBalancer};
pub use server::Server;

pub(crate) use server::Timer;
