//! sipp plays each scenario of `tests/data/sipp` several hundred times against a pool of processes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use presently_tests::program::{Metrics, Pool, Process};

/// How often a scenario is played, and how often in a second it begins.
const CALLS: u64 = 300;
const A_SECOND: u64 = 100;
/// Sipp itself gives up before.
const BOUND: Duration = Duration::from_secs(60);

/// Plays a scenario over `transport` (`u1`, `t1`) and demands that every call went as written.
fn play(pool: &Pool, scenario: &str, transport: &str) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/sipp");
    let at = match transport {
        "u1" => pool.udp(),
        _ => pool.tcp(),
    };
    let mut command = Command::new("sipp");
    command.current_dir(pool.place.path("")).env("TERM", "dumb");
    command
        .arg("-sf")
        .arg(data.join(scenario))
        .args(["-t", transport]);
    command.args([
        "-i",
        "127.0.0.1",
        "-nostdin",
        "-timeout",
        "50s",
        "-timeout_error",
    ]);
    command.args(["-m", &CALLS.to_string(), "-r", &A_SECOND.to_string()]);
    command.args(["-trace_err", "-error_file", "errors.log"]);
    command.arg(at.to_string());
    let mut sipp = Process::spawn(&mut command);
    let ended = sipp.ended(BOUND);
    let errors = std::fs::read_to_string(pool.place.path("errors.log")).unwrap_or_default();
    let errors: String = errors.chars().take(3_000).collect();
    assert!(
        ended.success(),
        "{scenario} over {transport}: {ended}\n{errors}"
    );
}

/// A counter of all servers together.
fn sum(pool: &Pool, name: &str) -> i64 {
    let metrics = pool.servers.iter().map(|server| server.metrics());
    metrics.map(|metrics: Metrics| metrics.get(name)).sum()
}

fn calls() -> i64 {
    i64::try_from(CALLS).expect("a few hundred")
}

pub(crate) fn registers_renews_and_logs_off() {
    let pool = Pool::start();
    for transport in ["u1", "t1"] {
        play(&pool, "register.xml", transport);
        assert_eq!(pool.clients(), [0, 0, 0], "all have logged off");
    }
    assert!(sum(&pool, "presence_commits") >= 6 * calls());
}

pub(crate) fn publishes_refreshes_modifies_and_removes() {
    let pool = Pool::start();
    for transport in ["u1", "t1"] {
        play(&pool, "publish.xml", transport);
    }
    assert_eq!(pool.clients(), [0, 0, 0], "nothing is left");
    assert!(
        sum(&pool, "presence_requests_refused") >= 2 * calls(),
        "the stale ones"
    );
}

pub(crate) fn subscribes_renews_and_unsubscribes() {
    let pool = Pool::start();
    for transport in ["u1", "t1"] {
        play(&pool, "subscribe.xml", transport);
    }
    assert_eq!(sum(&pool, "presence_subscriptions"), 0);
    assert!(sum(&pool, "presence_notifies_answered") >= 6 * calls());
    assert_eq!(sum(&pool, "presence_notifies_timed_out"), 0);
}

pub(crate) fn fetches() {
    let pool = Pool::start();
    play(&pool, "fetch.xml", "u1");
    assert_eq!(sum(&pool, "presence_subscriptions"), 0);
    assert!(sum(&pool, "presence_notifies_sent") >= calls());
}
