//! What the tests of the whole pool share: the simulated world.

pub mod world;
