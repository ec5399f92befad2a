//! The whole pool in simulation: see [`presently_tests::world`].

mod assignment;
mod counting;
mod devices;
mod durable;
mod fan_out;
mod first_path;
mod laws;
mod order;
mod play;
mod taking_over;
