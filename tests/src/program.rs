//! The real program over real sockets: its processes, a pool made of them, phones, and raw
//! messages.
//!
//! Every wait here has a bound and names what it waits for. Only processes that were started here
//! are ended, each by its id, and none outlives its value.

mod admin;
mod crowd;
mod nlb;
mod phone;
mod place;
mod pool;
mod process;
mod relay;
mod wire;

pub use admin::{Metrics, http};
pub use crowd::{Crowd, Size, Told};
pub use nlb::{Application, Guest, Nlb};
pub use phone::{Phone, Town};
pub use place::Place;
pub use pool::{Member, Plan, Pool};
pub use process::{Process, binary, presently, run, until};
pub use relay::{Relay, Relayed, Trouble};
pub use wire::{Caller, Reply, Stream, request, user_of};
