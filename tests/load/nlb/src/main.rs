//! The bench for load balancers of application servers: demo servers, a load generator, users that
//! vanish without a packet, and the phones those users carry.
//!
//! `run.py` beside it starts the parts and judges; each part is of use alone, too.

#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "a measuring tool: every index and count is its own, and a panic ends one measurement"
)]

mod application;
mod generator;
mod http;
mod phones;
mod processes;
mod users;
mod vanish;
mod wall;

use clap::Parser;

/// Demo servers, a load generator, users that vanish, and their phones.
#[derive(Debug, Parser)]
enum Part {
    /// An application server that counts its live sessions.
    App(application::Arguments),
    /// Closed-loop load; prints one line of JSON.
    Load(generator::Arguments),
    /// Phones of the users, driven by what `vanish` prints.
    Phones(phones::Arguments),
    /// Very many users at one nlb, with a scripted presence server.
    Users(users::Arguments),
    /// Users with one long session each, some of whom vanish.
    Vanish(vanish::Arguments),
}

fn main() {
    let part = Part::parse();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("a runtime can be had");
    match part {
        Part::App(arguments) => runtime.block_on(application::run(arguments)),
        Part::Load(arguments) => runtime.block_on(generator::run(arguments)),
        Part::Phones(arguments) => runtime.block_on(phones::run(arguments)),
        Part::Users(arguments) => {
            let local = tokio::task::LocalSet::new();
            runtime.block_on(local.run_until(users::run(arguments)));
        }
        Part::Vanish(arguments) => {
            let users = tokio::task::LocalSet::new();
            runtime.block_on(users.run_until(vanish::run(arguments)));
        }
    }
}
