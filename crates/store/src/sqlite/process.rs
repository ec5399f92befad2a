//! A process as the table of members names it: by its host, its id and when it started.

use std::fs;
use std::io;
use std::sync::Arc;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// One process. Ids are used again, so the start belongs to the name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Process {
    /// The name of its host.
    pub host: Arc<str>,
    /// Its id there.
    pub pid: u32,
    /// When it started, in the kernel's ticks since boot.
    pub started: u64,
}

impl Process {
    /// This process. Where the system has no `/proc`, the host is empty and the start is 0.
    #[must_use]
    pub fn own() -> Self {
        Self {
            host: host_name(),
            pid: std::process::id(),
            started: started("self").unwrap_or_default(),
        }
    }

    /// The living process of this id on this host.
    pub(super) fn of(pid: Pid) -> Option<Self> {
        Some(Self {
            host: host_name(),
            pid: pid.as_raw_pid().unsigned_abs(),
            started: started(&pid.to_string())?,
        })
    }

    /// Kills this very process if `is_due` still says so; `false` when it was spared.
    pub(super) fn kill(&self, is_due: impl FnOnce() -> bool) -> io::Result<bool> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|_| self.pid != std::process::id()) else {
            return Ok(false);
        };
        // The handle stays with the process that has the id now. It is looked at after that: a
        // later process of the same id has another start, and then nothing is killed.
        let handle = pidfd_open(pid, PidfdFlags::empty())?;
        if Self::of(pid).as_ref() != Some(self) || !is_due() {
            return Ok(false);
        }
        pidfd_send_signal(&handle, Signal::KILL)?;
        Ok(true)
    }

    /// What the process is doing.
    pub(super) fn standing(&self) -> Standing {
        let states: Vec<char> = fs::read_dir(format!("/proc/{}/task", self.pid))
            .into_iter()
            .flatten()
            .filter_map(|task| state(&task.ok()?.path().to_string_lossy()))
            .collect();
        if states.contains(&'D') {
            Standing::OnDisk
        } else if states.iter().any(|state| matches!(state, 'T' | 't')) {
            Standing::Paused
        } else {
            Standing::Running
        }
    }
}

/// What a process is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// One of its threads waits for the disk.
    OnDisk,
    /// It was stopped by a signal or a debugger.
    Paused,
    /// Anything else.
    Running,
}

fn host_name() -> Arc<str> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname");
    name.unwrap_or_default().trim().into()
}

fn started(process: &str) -> Option<u64> {
    field(&format!("/proc/{process}"), STARTED_FIELD)?
        .parse()
        .ok()
}

fn state(folder: &str) -> Option<char> {
    field(folder, STATE_FIELD)?.chars().next()
}

/// A field of `stat`, counted from behind the program's name, which may hold spaces and brackets.
fn field(folder: &str, number: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("{folder}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields
        .split_ascii_whitespace()
        .nth(number)
        .map(str::to_owned)
}

const STATE_FIELD: usize = 0;
/// `starttime` is the twenty-second field, the nineteenth behind the state.
const STARTED_FIELD: usize = 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_by_its_id_and_is_the_same() {
        assert_eq!(Process::of(rustix::process::getpid()), Some(Process::own()));
        assert_ne!(Process::own().started, 0);
    }

    #[test]
    fn this_process_does_not_kill_itself() {
        assert!(!Process::own().kill(|| true).unwrap());
    }

    #[test]
    fn another_start_is_another_process_and_is_spared() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut process = Process::of(Pid::from_child(&child)).unwrap();
        process.started += 1;
        assert!(!process.kill(|| true).unwrap());
        process.started -= 1;
        assert!(!process.kill(|| false).unwrap());
        assert!(child.try_wait().unwrap().is_none(), "it lives");
        assert!(process.kill(|| true).unwrap());
        assert!(!child.wait().unwrap().success());
    }
}
