//! The facade of presently: one loop's machines joined into a [`Host`], and the drivers that give it
//! sockets, a clock and a store.

pub mod host;
