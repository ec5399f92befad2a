//! One set of tests that every back end passes, and that whoever adds a back end runs.
//!
//! A behaviour on which two back ends disagree becomes a claim here. Each claim gets a store of its
//! own.

mod contention;
mod counts;
mod documents;
mod hostile;
mod ownership;
mod pool;
mod repeats;
mod sessions;
mod takeover;
mod values;

use crate::Store;

/// Runs every claim about one store. Each call of `open` makes a new, empty one.
///
/// # Panics
///
/// A claim does not hold.
pub fn run(open: impl Fn() -> Box<dyn Store>) {
    ownership::run(&open);
    counts::run(&open);
    documents::run(&open);
    repeats::run(&open);
    sessions::run(&open);
    takeover::run(&open);
    hostile::run(&open);
    contention::run(&open);
}

/// Runs every claim about several stores on one database, at once and one after the other. Each
/// call of `place` makes a new, empty database; each call of what it returns opens it once more.
///
/// # Panics
///
/// A claim does not hold.
pub fn run_shared(place: impl Fn() -> Box<dyn Fn() -> Box<dyn Store>>) {
    contention::run_shared(&place);
}
