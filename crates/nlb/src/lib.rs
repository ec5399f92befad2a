//! A network load balancer for application servers that knows who is really there.
//!
//! It gives each user a slot on an application server, follows the user's presence at a SIP
//! presence server, and frees what it holds once the user has left. What decides is a machine
//! without sockets or clocks; the proxy that carries the bytes is a driver beside it. Between them
//! stand [`Entering`], [`Verdict`] and [`Traffic`].
//!
//! At work: `cargo run -p presently-nlb --example admit_a_user`.

mod anonymous;
mod config;
#[doc(hidden)]
pub mod fuzz;
mod nlb;
mod path;
mod presence;
mod reach;
mod release;
mod servers;
mod session;
mod turn;

pub use config::{Anonymous, Config, Signs, WhenUnreachable};
pub use nlb::{Input, Nlb};
pub use path::{
    CutReason, Entering, Moved, PathId, PathKind, Refusal, ServerName, Traffic, Verdict,
};
pub use presence::{Presence, Sent, ServerClock, State, Tuple};
pub use release::{Closure, Decision, Guard, GuardLimits};
pub use servers::{Choice, Queue, SERVERS_MAX, Server, Servers, SessionId, Standing};
pub use session::{Sight, Stage};
pub use turn::{Counters, Outputs, Step, What, Why};
