//! The battery, for each `SQLite` back end.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod place;

use presently_store::sqlite::{Durability, Inline, Settings, Threaded};
use presently_store::{Store, battery};

use place::{Place, opener};

#[test]
fn sqlite_in_memory_passes_the_battery() {
    battery::run(|| Box::new(Inline::open_in_memory().unwrap()));
}

#[test]
fn handles_on_one_database_in_memory_share_it() {
    battery::run_shared(|| {
        let first = Inline::open_in_memory().unwrap();
        Box::new(move || Box::new(first.clone()))
    });
}

#[test]
fn sqlite_on_a_file_passes_the_battery() {
    battery::run(|| opener(inline)());
    battery::run_shared(|| opener(inline));
}

#[test]
fn sqlite_in_threads_passes_the_battery() {
    battery::run(|| opener(threaded)());
    battery::run_shared(|| opener(threaded));
}

#[test]
fn sqlite_that_waits_for_the_disk_passes_the_battery() {
    battery::run(|| opener(durable)());
}

fn inline(place: &Place) -> Box<dyn Store> {
    Box::new(Inline::open(&place.path(), &Settings::default()).unwrap())
}

fn threaded(place: &Place) -> Box<dyn Store> {
    Box::new(Threaded::open(&place.path(), &Settings::default()).unwrap())
}

fn durable(place: &Place) -> Box<dyn Store> {
    let settings = Settings {
        durability: Durability::Power,
        ..Settings::default()
    };
    Box::new(Threaded::open(&place.path(), &settings).unwrap())
}
