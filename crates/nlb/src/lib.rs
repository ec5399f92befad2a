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
mod counters;
#[doc(hidden)]
pub mod fuzz;
mod guard;
mod input;
mod nlb;
mod outputs;
mod path;
mod presence;
mod random;
mod reach;
mod recent;
mod record;
mod release;
mod sent;
mod servers;
mod session;
mod sight;
mod traffic;
mod turn;

pub use config::{Anonymous, Config, Signs, WhenUnreachable};
pub use counters::Counters;
pub use guard::{Closure, Guard, GuardLimits};
pub use input::Input;
pub use nlb::Nlb;
pub use outputs::{Outputs, Step, What, Why};
pub use path::{CutReason, Entering, PathId, PathKind, Refusal, ServerName, Verdict};
pub use presence::{Presence, State, Tuple};
pub use release::Decision;
pub use sent::{Sent, ServerClock};
pub use servers::{Choice, Queue, SERVERS_MAX, Server, Servers, SessionId, Standing};
pub use sight::{Sight, Stage};
pub use traffic::{Moved, Traffic};
