//! The balancer as a machine, under virtual time: phones, servers and the store are played by hand.

mod flows;
mod held;
mod play;
mod refused;
mod responses;
mod routed;
mod taken_over;
