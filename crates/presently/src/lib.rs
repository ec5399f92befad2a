//! The facade of presently: a SIP/SIMPLE presence pool, or one part of it, in a process of yours.
//!
//! [`Config`] says what the process is; [`Pool::open`] joins the pool and [`Pool::run`] serves on
//! the runtime of the caller, or [`start`] does both on a thread of its own. [`Phone`] is the other
//! end: a user agent on a UDP socket. [`Reading`] looks into a store. Inside, one loop's machines
//! are joined into a [`host::Host`], which the program drives with sockets and a clock, and the
//! simulation with neither.
//!
//! At work: `cargo run --example embed_server`; `custom_event_package` adds a package of its own.

mod admin;
pub mod config;
mod driver;
pub mod host;
pub mod metrics;
pub mod nlb;
mod phone;
mod reading;
mod running;
mod trace;

pub use admin::{Admin, serve_admin};
pub use config::{Config, Settings};
pub use driver::{Addresses, Control, LinkCounters, Pool, RunError, StartError};
pub use phone::Phone;
pub use reading::{ReadError, Reading};
pub use running::{Running, start};
