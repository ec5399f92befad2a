//! SIP transport over tokio: UDP and TCP, and the connections between members of the pool.
//!
//! [`Transport`] holds all sockets of one loop. It is polled: [`Transport::poll_receive`] takes
//! what has arrived into reused [`Arrivals`], [`Transport::send`] puts what is to leave into the
//! sockets. There is no task, lock or allocation for a datagram. It knows where a message begins
//! and ends, and nothing of what it says.
//!
//! Everything a stranger can make grow has a bound in [`Limits`]; what happens there is counted in
//! [`Counters`].
//!
//! At work: `cargo run -p presently-transport --example echo_options`.

mod arrivals;
mod bind;
mod connection;
mod counters;
mod datagrams;
mod limits;
mod ready;
mod sources;
mod streams;
mod transport;

pub use arrivals::{Arrival, Arrivals};
pub use bind::{BindError, Listen, Opening};
pub use counters::Counters;
pub use limits::Limits;
pub use transport::{NO_LISTENER, Send, Transport};
