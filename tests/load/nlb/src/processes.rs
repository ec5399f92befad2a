//! What processes have cost so far.

use std::fs;

/// CPU seconds spent by all threads of the processes (run time in `/proc/PID/task/*/schedstat`).
pub(crate) fn cpu_s(pids: &[u32]) -> f64 {
    let mut nanos = 0u64;
    for pid in pids {
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
            continue;
        };
        for thread in threads.flatten() {
            if let Ok(line) = fs::read_to_string(thread.path().join("schedstat")) {
                let spent = line.split(' ').next().and_then(|it| it.parse::<u64>().ok());
                nanos += spent.unwrap_or(0);
            }
        }
    }
    nanos as f64 / 1e9
}
