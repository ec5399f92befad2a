//! The reverse proxy of the nlb: it carries the bytes, and asks the machine who may go where.
//!
//! [`Proxy::start`] opens the listeners and one thread for each core. Every connection that comes
//! in asks once for each user it names ([`Asked::Enter`], taken from [`Questions`]); the control
//! loop answers with [`Proxy::tell`]. From then on the proxy carries bytes and counts them, and
//! asks nobody.
//!
//! At work, with a machine that knows nobody: `cargo run -p presently-proxy --example plain_proxy`.

mod ask;
mod carried;
mod client_io;
mod conn;
mod connect;
mod counters;
mod forward;
#[doc(hidden)]
pub mod fuzz;
mod greeting;
mod http;
pub mod identity;
mod lane;
mod network;
mod probe;
mod proxy;
pub mod proxy_protocol;
mod settings;
mod slots;
mod sources;
mod tcp;
mod tunnel;
mod upstream;
mod upstream_io;
mod wakes;

pub use ask::{Asked, Identify, Questions, Who};
pub use counters::Counters;
pub use network::{InvalidNetwork, Network};
pub use probe::{Health, Probe, ProbeSettings, Probed, Probes};
pub use proxy::{Clock, Proxy, StartError};
pub use settings::{Carries, Forwarding, Limits, Listener, ProxyHeader, Settings};

#[cfg(test)]
mod tests;
