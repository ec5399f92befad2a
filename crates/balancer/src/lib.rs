//! A SIP balancer as a machine: it gives each client a distinguished server by client count, routes
//! each request to it, and holds the flows to phones. No socket, clock or randomness.
//!
//! [`Balancer::handle_phone`] takes a message from a phone, [`Balancer::handle_server`] one from a
//! server; both write what is to be sent into the loop's reused [`Outputs`].

mod outputs;

pub use outputs::{Forward, Outputs, Source, ToPhone};
