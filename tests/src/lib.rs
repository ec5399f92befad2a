//! What the tests of the whole pool share: the simulated world, and the real program.

pub mod program;
pub mod world;
