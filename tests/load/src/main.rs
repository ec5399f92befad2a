//! Plays many phones against a presence server and prints what each operation cost the server's
//! processes, as one line of JSON.
//!
//! ```sh
//! cargo run --release -p presently-load -- fanout -n 20 -s 100 --server 127.0.0.1:5060 --pid PID
//! ```
//!
//! It knows nothing of presently: its own small reader, its own clock, one thread.

#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "a measuring tool: every index and count is its own, and a panic ends one measurement"
)]

mod load;
mod log;
mod network;
mod operation;
mod phase;
mod processes;
mod request;
mod tally;
mod text;

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde::Serialize;

use crate::load::Load;
use crate::operation::Kind;
use crate::phase::{Phase, PhaseReport};

/// What is played.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Scenario {
    /// Every user registers once, then refreshes for --seconds.
    Register,
    /// Every user publishes once, then publishes changes for --seconds.
    Publish,
    /// --users presentities with --subscribers each; changes for --seconds.
    Fanout,
    /// --users presentities with --subscribers each; subscriptions are refreshed for --seconds.
    Refresh,
    /// --users presentities with --subscribers each: subscribe, refresh, unsubscribe.
    Subscribe,
}

/// Plays many phones against a presence server; prints one line of JSON.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    scenario: Scenario,
    /// Where the server takes SIP over UDP.
    #[arg(long)]
    server: SocketAddrV4,
    /// A process of the server; its descendants are counted too (repeatable).
    #[arg(long)]
    pid: Vec<u32>,
    /// First local port of the four sockets; 0 takes free ones.
    #[arg(long, default_value_t = 0)]
    port: u16,
    #[arg(long, default_value = "example.org")]
    domain: String,
    /// Users (register, publish) or presentities (fanout, subscribe).
    #[arg(long, short = 'n', default_value_t = 1000)]
    users: usize,
    /// Subscribers of each presentity.
    #[arg(long, short = 's', default_value_t = 1)]
    subscribers: usize,
    /// Seconds of a timed phase.
    #[arg(long, short = 'd', default_value_t = 3.0)]
    seconds: f64,
    /// Closed loop: operations under way at a time.
    #[arg(long, short = 'w', default_value_t = 32)]
    window: usize,
    /// Open loop: operations begun per second in the timed phase; 0 is a closed loop.
    #[arg(long, short = 'r', default_value_t = 0.0)]
    rate: f64,
    /// subscribe: only the initial SUBSCRIBEs, to measure memory.
    #[arg(long)]
    initial_only: bool,
    /// The subscribers are users themselves: each watches --subscribers others.
    #[arg(long)]
    mutual: bool,
    /// The timed phase begins when a line comes on standard input.
    #[arg(long)]
    on_line: bool,
    /// Seconds between the set-up and the timed phase.
    #[arg(long, default_value_t = 0.7)]
    hold: f64,
    /// Seconds after which a request without an answer has failed; 32 as in RFC 3261 §17.1.2.2.
    #[arg(long, default_value_t = 8.0)]
    patience: f64,
    /// Seconds that the final states may take after the load.
    #[arg(long, default_value_t = 10.0)]
    grace: f64,
    /// A file for one line for each answer and each NOTIFY of the timed phase.
    #[arg(long)]
    log: Option<PathBuf>,
}

/// The line of JSON.
#[derive(Serialize)]
struct Report {
    scenario: Scenario,
    users: usize,
    subscriptions: usize,
    phases: Vec<PhaseReport>,
}

fn main() {
    let arguments = Arguments::parse();
    let mut load = Load::new(&arguments);
    let phases = phases(&arguments).into_iter().map(|phase| {
        // For whoever breaks something in the middle of it.
        eprintln!("{} {} {}", phase.name, load.writing.run, load::clock());
        load.run(&phase)
    });
    let report = Report {
        scenario: arguments.scenario,
        users: arguments.users,
        subscriptions: arguments.subscriptions(),
        phases: phases.collect(),
    };
    let line = serde_json::to_string(&report).expect("numbers and names become JSON");
    println!("{line}");
    if let Some(path) = &arguments.log {
        let written = load.log.write(path);
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// The phases of a scenario, in order.
fn phases(arguments: &Arguments) -> Vec<Phase> {
    let users = arguments.users;
    let subscriptions = arguments.subscriptions();
    let once = |name, kind, entities| Phase {
        name,
        kind,
        entities,
        seconds: None,
        rate: 0.0,
        window: arguments.window,
        rest: SETTLE,
        is_on_line: false,
    };
    let timed = |name, kind, entities| Phase {
        seconds: Some(arguments.seconds),
        rate: arguments.rate,
        rest: Duration::from_secs_f64(arguments.hold),
        is_on_line: arguments.on_line,
        ..once(name, kind, entities)
    };
    match arguments.scenario {
        Scenario::Register => vec![
            once("register-initial", Kind::Register, users),
            timed("register-refresh", Kind::Register, users),
        ],
        Scenario::Publish => vec![
            once("publish-initial", Kind::Publish, users),
            timed("publish-modify", Kind::Publish, users),
        ],
        Scenario::Fanout => vec![
            once("setup-publish", Kind::Publish, users),
            once("setup-subscribe", Kind::Subscribe, subscriptions),
            timed("fanout", Kind::Publish, users),
        ],
        Scenario::Refresh => vec![
            once("setup-subscribe", Kind::Subscribe, subscriptions),
            timed("refresh", Kind::Resubscribe, subscriptions),
        ],
        Scenario::Subscribe => {
            let initial = once("subscribe-initial", Kind::Subscribe, subscriptions);
            let refresh = once("subscribe-refresh", Kind::Resubscribe, subscriptions);
            let end = once("unsubscribe", Kind::Unsubscribe, subscriptions);
            let count = if arguments.initial_only { 1 } else { 3 };
            vec![initial, refresh, end]
                .into_iter()
                .take(count)
                .collect()
        }
    }
}

impl Arguments {
    fn subscriptions(&self) -> usize {
        match self.scenario {
            Scenario::Register | Scenario::Publish => 0,
            Scenario::Fanout | Scenario::Refresh | Scenario::Subscribe => {
                self.users * self.subscribers
            }
        }
    }
}

/// For what the phase before left behind.
const SETTLE: Duration = Duration::from_millis(700);
