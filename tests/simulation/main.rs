//! The whole pool in simulation: see [`presently_tests::world`].

mod first_path;
mod laws;
