//! Runs by seed: many at once, on every core, and one again.
//!
//! `PRESENTLY_SEEDS=n` runs n seeds instead of those of the gate, from `PRESENTLY_FROM=n` on;
//! `PRESENTLY_SEED=n` replays one.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What came of one seed.
pub(crate) struct Run {
    /// How it can be told from others.
    pub(crate) name: String,
    /// The laws that did not hold.
    pub(crate) broken: Vec<String>,
}

/// Runs `seeds` seeds, or what the environment says.
///
/// # Panics
///
/// A law did not hold.
pub(crate) fn assert_all(seeds: u64, run: impl Fn(u64) -> Run + Sync) {
    if let Some(seed) = setting("PRESENTLY_SEED") {
        let Run { name, broken } = run(seed);
        assert!(broken.is_empty(), "seed {seed} ({name}): {broken:#?}");
        return;
    }
    let seeds = setting("PRESENTLY_SEEDS").unwrap_or(seeds);
    let first = setting("PRESENTLY_FROM").unwrap_or_default();
    let failed = run_all(first..first + seeds, &run);
    let shown: Vec<String> = failed.iter().take(SHOWN_MAX).map(describe).collect();
    assert!(
        failed.is_empty(),
        "{} of {seeds} seeds failed; replay with PRESENTLY_SEED=n\n{}",
        failed.len(),
        shown.join("\n")
    );
}

/// Runs the seeds, and gives those that failed, in order.
fn run_all(seeds: Range<u64>, run: &(impl Fn(u64) -> Run + Sync)) -> Vec<(u64, Run)> {
    let next = AtomicU64::new(seeds.start);
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let run = run(seed);
            if !run.broken.is_empty() {
                failed.lock().unwrap().push((seed, run));
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort_by_key(|(seed, _)| *seed);
    failed
}

fn describe((seed, Run { name, broken }): &(u64, Run)) -> String {
    let first: Vec<&str> = broken.iter().take(SHOWN_MAX).map(String::as_str).collect();
    format!(
        "PRESENTLY_SEED={seed} ({name}):\n    {}",
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

const SHOWN_MAX: usize = 5;
