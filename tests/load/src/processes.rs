//! What the server's processes have used so far, from /proc: time on a CPU in nanoseconds, memory.

use std::collections::HashMap;
use std::fs;

/// The sum over some processes and all their descendants.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_us: f64,
    /// Memory, shared pages divided among those that share them.
    pub(crate) memory_bytes: u64,
}

impl Usage {
    /// Of `roots` and their descendants, now.
    pub(crate) fn of(roots: &[u32]) -> Self {
        let children = children();
        let mut usage = Self::default();
        let mut open = roots.to_vec();
        while let Some(pid) = open.pop() {
            open.extend(children.get(&pid).into_iter().flatten());
            usage.cpu_us += cpu_us(pid);
            usage.memory_bytes += memory_bytes(pid);
        }
        usage
    }
}

/// The run time of every thread of a process; `schedstat` starts with its nanoseconds.
fn cpu_us(pid: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter();
    let nanoseconds = threads.flatten().flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_ascii_whitespace().next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1000.0
}

fn memory_bytes(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kilobytes = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// The children of every process.
fn children() -> HashMap<u32, Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // After the name in parentheses: state, parent.
        let parent = stat.rsplit(')').next().and_then(|rest| {
            let mut words = rest.split_ascii_whitespace().skip(1);
            words.next()?.parse().ok()
        });
        if let (Some(pid), Some(parent)) = (pid, parent) {
            children.entry(parent).or_default().push(pid);
        }
    }
    children
}
