//! The reverse proxy of the nlb: it carries the bytes, and asks the machine who may go where.
//!
//! [`Proxy::start`] opens the listeners and one thread for each core. Every connection that comes
//! in asks once for each user it names ([`Asked::Enter`], taken from [`Questions`]); the control
//! loop answers with [`Proxy::tell`]. From then on the proxy carries bytes and counts them, and
//! asks nobody.

mod ask;
#[doc(hidden)]
pub mod fuzz;
pub mod identity;
mod network;
mod proxy;
pub mod proxy_protocol;
mod settings;

pub use ask::{Asked, Identify, Questions, Who};
pub use network::{InvalidNetwork, Network};
pub use proxy::{Proxy, StartError};
pub use settings::{Carries, Forwarding, Limits, Listener, ProxyHeader, Settings};
