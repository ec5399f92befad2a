//! Whose turn it is to write: processes on one file stand in line, so that none starves.
//!
//! `SQLite` has no line: whoever asks while the lock is free has it, and a process that commits
//! back to back is always there. So a process takes the lock of `PATH-turn` before it asks for
//! `SQLite`'s, and lets go of it as soon as its transaction has begun. Whoever comes back for
//! more finds the next one there:
//!
//! ```text
//!   wait ──► next (holds PATH-turn, asks SQLite every 200 µs) ──► writes (holds SQLite's lock)
//! ```
//!
//! The line only orders: `SQLite`'s lock alone says who writes, so a line that does not move is
//! left, and the store goes on without.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, fcntl_lock};

use super::lock::{Lock, LockCounters, Watch};
use super::open::beside;

/// This process's place in the line.
#[derive(Debug)]
pub(super) struct Turn {
    file: Arc<File>,
    watch: Watch,
    /// The line has not moved, and is only looked at in passing until it does.
    stands_still: bool,
}

impl Turn {
    /// In the line for the store at `path`. `None` where the file of the line cannot be made.
    pub(super) fn open(path: &Path, counters: Arc<LockCounters>) -> Option<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = Arc::new(options.open(beside(path, "-turn")).ok()?);
        let lock = Lock::Turn(Arc::clone(&file));
        Some(Self {
            file,
            watch: Watch::new(lock, PathBuf::from(path), counters),
            stands_still: false,
        })
    }

    /// Waits to be next.
    pub(super) fn take(&mut self) {
        let mut waited = Duration::ZERO;
        while fcntl_lock(&self.file, FlockOperation::NonBlockingLockExclusive).is_err() {
            if self.stands_still || waited >= PATIENCE {
                self.stands_still = true;
                return;
            }
            if waited.is_zero() {
                self.watch.begin();
            }
            thread::park_timeout(STEP);
            waited += STEP;
            self.watch.waited(STEP);
        }
        self.stands_still = false;
    }

    /// Lets the next one stand there; nothing when it was not taken.
    pub(super) fn give(&mut self) {
        // Only a closed file could refuse this.
        let _ = fcntl_lock(&self.file, FlockOperation::Unlock);
    }
}

const STEP: Duration = Duration::from_millis(1);
/// A little longer than a paused holder lives.
const PATIENCE: Duration = Duration::from_secs(1);
