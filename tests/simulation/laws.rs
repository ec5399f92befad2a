//! Goal: laws 1–6 of the design hold in runs that nobody thought of.
//! Method: a seed makes a pool, phones, faults and a script; when the faults have ended and a quiet
//! time has passed, every law is checked. `PRESENTLY_SEEDS=n` runs n seeds, `PRESENTLY_SEED=n`
//! replays one.

mod script;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use self::script::Script;

#[test]
fn the_laws_hold_for_every_seed() {
    if let Some(seed) = setting("PRESENTLY_SEED") {
        let broken = Script::new(seed).run();
        assert!(broken.is_empty(), "seed {seed}: {broken:#?}");
        return;
    }
    let seeds = setting("PRESENTLY_SEEDS").unwrap_or(SEEDS);
    let failed = run_all(seeds);
    let shown: Vec<String> = failed.iter().take(SHOWN_MAX).map(describe).collect();
    assert!(
        failed.is_empty(),
        "{} of {seeds} seeds failed; replay with PRESENTLY_SEED=n\n{}",
        failed.len(),
        shown.join("\n")
    );
}

// Law 8.
#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..8 {
        let trace = |_| {
            let mut script = Script::new(seed);
            script.run();
            script.trace()
        };
        let [first, second] = [0, 1].map(trace);
        assert_eq!(first, second, "seed {seed}");
    }
}

type Failed = (u64, String, Vec<String>);

/// Runs the seeds on every core, and gives those that failed, in order.
fn run_all(seeds: u64) -> Vec<Failed> {
    let next = AtomicU64::new(0);
    let failed = Mutex::new(Vec::new());
    let run = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            let mut script = Script::new(seed);
            let broken = script.run();
            if !broken.is_empty() {
                let one = (seed, script.to_string(), broken);
                failed.lock().unwrap().push(one);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(run);
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort();
    failed
}

fn describe((seed, script, broken): &Failed) -> String {
    let first: Vec<&str> = broken.iter().take(SHOWN_MAX).map(String::as_str).collect();
    format!(
        "PRESENTLY_SEED={seed} ({script}):\n    {}",
        first.join("\n    ")
    )
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

const SEEDS: u64 = 1_000;
const SHOWN_MAX: usize = 5;
