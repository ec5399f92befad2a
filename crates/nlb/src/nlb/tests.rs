//! Goal: the steps of a session in their order and at their times, whatever the network, the
//! presence server and the store do.
//! Method: the whole machine, a scripted presence server and store, and a virtual clock.

mod access;
mod bounds;
mod faults;
mod notified;
mod presence_server;
mod property;
mod restart;
mod steps;
mod storm;
mod world;

use std::time::Duration;

use world::World;

use crate::{
    Anonymous, Config, CutReason, Decision, Input, Refusal, State, What, WhenUnreachable, Why,
};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const AL: &str = "sip:al@example.com";
const BO: &str = "sip:bo@example.com";

fn config() -> Config {
    Config {
        aor: presently_sip::Aor::parse("sip:nlb1@example.com").unwrap(),
        ..Config::default()
    }
}

/// What happened, by the names of the steps.
fn names(whats: &[What]) -> Vec<String> {
    let name = |what: &What| {
        let text = format!("{what:?}");
        let end = text.find([' ', '(']).unwrap_or(text.len());
        text[..end].to_owned()
    };
    whats.iter().map(name).collect()
}
