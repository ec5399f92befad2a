//! A SIP balancer as a machine: it gives each client a distinguished server by client count, routes
//! each request to it, and holds the flows to phones. No socket, clock or randomness.
//!
//! [`Balancer::handle_phone`] takes a message from a phone, [`Balancer::handle_server`] one from a
//! server; both write what is to be sent into the loop's reused [`Outputs`]. It is a stateless
//! proxy (RFC 3261 §16.11) but for bounded tables: assignments it has learnt, requests that wait
//! for one, and requests to be repeated when their server dies. It also watches the beats of all
//! members, ends lives that stand still, and moves their clients.
//!
//! At work: `cargo run -p presently-balancer --example route_a_request`.

mod answer;
mod balancer;
mod branch;
mod cache;
mod config;
mod counters;
mod decision;
mod edge;
mod flows;
mod from_server;
mod keys;
mod members;
mod onward;
mod outputs;
mod refusals;
mod takeover;
mod unanswered;
mod waiting;

pub use balancer::Balancer;
pub use config::{Config, Domains, Listener};
pub use counters::Counters;
pub use outputs::{Forward, Outputs, Source, ToPhone};

#[cfg(test)]
mod tests;
