//! Who keeps a lock that this process waits for, and what becomes of one that does not let go.
//!
//! `SQLite`'s lock for writing is a lock of the kernel on one byte of `PATH-shm`, and goes with its
//! process; but a process that is paused keeps it, and the pool with it. So who waits looks every
//! 50 ms at who holds it. A holder *keeps* it when fifteen looks in a row find the same process (id
//! and start) and no commit in between by anybody. It is then killed if the table of members has
//! that very process on this host and none of its threads waits for the disk: a slow disk is slow
//! for everybody. Any other is an alarm: a count, and one line a minute.
//!
//! Looks are counted, not time: a machine that slept a minute has been looked at once.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use presently_sip::WallTime;
use rusqlite::Connection;
use rustix::process::{Flock, FlockType, fcntl_getlk};

use super::open::{self, beside};
use super::process::{Process, Standing};
use super::rows::int;

/// A lock on a file.
#[derive(Clone, Debug)]
pub(super) enum Lock {
    /// On a whole file of ours: whose turn it is.
    Turn(Arc<File>),
    /// `SQLite`'s for writing.
    Write(Arc<File>),
}

impl Lock {
    /// `SQLite`'s lock for writing to the store at `path`, which a connection of this process has
    /// open.
    pub(super) fn write(path: &Path) -> io::Result<Self> {
        let file = Arc::new(File::open(beside(path, "-shm"))?);
        // Never closed: closing any descriptor of a file drops all the locks that the process has
        // on it, and those are SQLite's.
        std::mem::forget(Arc::clone(&file));
        Ok(Self::Write(file))
    }

    /// Who holds it, unless it is this process.
    fn holder(&self) -> Option<Holder> {
        let (file, start, length) = match self {
            Self::Turn(file) => (file, 0, 0),
            Self::Write(file) => (file, WRITE_LOCK, 1),
        };
        let wanted = Flock {
            start,
            length,
            ..Flock::from(FlockType::WriteLock)
        };
        let found = fcntl_getlk(file, &wanted).ok()??;
        let process = found.pid.and_then(Process::of);
        Some(process.map_or(Holder::Unknown, Holder::Known))
    }
}

/// Who holds a lock.
#[derive(Debug, Eq, PartialEq)]
enum Holder {
    /// A process of this host.
    Known(Process),
    /// A process that cannot be seen from here: of another container, or just gone.
    Unknown,
}

/// A wait for one lock.
#[derive(Debug)]
pub(super) struct Watch {
    lock: Lock,
    path: PathBuf,
    counters: Arc<LockCounters>,
    /// Waited since the last look.
    unlooked: Duration,
    seen: Option<Seen>,
    /// To read the members and to see commits, while the wait lasts.
    reading: Option<Connection>,
}

/// What the last look found.
#[derive(Debug)]
struct Seen {
    holder: Holder,
    commits: Option<i64>,
    looks: u32,
}

impl Watch {
    /// Of `lock`, of the store at `path`.
    pub(super) fn new(lock: Lock, path: PathBuf, counters: Arc<LockCounters>) -> Self {
        Self {
            lock,
            path,
            counters,
            unlooked: Duration::ZERO,
            seen: None,
            reading: None,
        }
    }

    /// Begins a wait.
    pub(super) fn begin(&mut self) {
        self.unlooked = Duration::ZERO;
        self.seen = None;
        self.reading = None;
    }

    /// It has been waited for `span` more.
    pub(super) fn waited(&mut self, span: Duration) {
        self.unlooked += span;
        if self.unlooked >= LOOK_EVERY {
            self.unlooked = Duration::ZERO;
            self.look();
        }
    }

    fn look(&mut self) {
        let Some(holder) = self.lock.holder() else {
            self.seen = None;
            return;
        };
        let commits = self.commits();
        let before = self.seen.take().filter(|seen| {
            // Others that have left the line commit, and whoever is next in it is no further.
            let stands_still = seen.commits == commits || matches!(self.lock, Lock::Turn(_));
            seen.holder == holder && stands_still
        });
        let looks = before.map_or(0, |seen| seen.looks) + 1;
        if looks.is_multiple_of(LOOKS) {
            match &self.lock {
                Lock::Turn(_) => self.on_line_kept(&holder),
                Lock::Write(_) => self.on_store_kept(&holder),
            }
        }
        self.seen = Some(Seen {
            holder,
            commits,
            looks,
        });
    }

    /// The next one in line does not go on. It may wait as it should, for one who keeps the store;
    /// but if it is paused, nobody is served in order until it is gone.
    fn on_line_kept(&self, holder: &Holder) {
        if let Holder::Known(process) = holder
            && process.standing() == Standing::Paused
        {
            self.on_store_kept(holder);
        }
    }

    fn on_store_kept(&self, holder: &Holder) {
        match holder {
            Holder::Known(process)
                if process.standing() != Standing::OnDisk && self.is_member(process) =>
            {
                match process.kill(|| self.lock.holder().as_ref() == Some(holder)) {
                    Ok(true) => self.counters.count_killed(process),
                    // It let go at the last moment.
                    Ok(false) => {}
                    Err(_) => self.counters.count_kept(holder),
                }
            }
            Holder::Known(_) | Holder::Unknown => self.counters.count_kept(holder),
        }
    }

    /// A number that changes with every commit of any process; absent when the store cannot be read
    /// now.
    fn commits(&mut self) -> Option<i64> {
        if self.reading.is_none() {
            let reading = open::connect(&self.path, open::flags()).ok()?;
            // Else one that waits would wait here for another.
            reading.busy_timeout(Duration::ZERO).ok()?;
            reading.pragma_update(None, "query_only", true).ok()?;
            self.reading = Some(reading);
        }
        let reading = self.reading.as_ref()?;
        reading
            .query_row("PRAGMA data_version", [], |row| row.get(0))
            .ok()
    }

    fn is_member(&self, process: &Process) -> bool {
        let sql = "SELECT EXISTS
            (SELECT 1 FROM members WHERE host = ?1 AND pid = ?2 AND started = ?3)";
        let found = self.reading.as_ref().map(|reading| {
            let wanted = (&process.host, process.pid, int(process.started));
            reading.query_row(sql, wanted, |row| row.get(0))
        });
        matches!(found, Some(Ok(true)))
    }
}

/// What became of processes that kept a lock of the file; counted by the store's writer, read by
/// anybody.
#[derive(Debug, Default)]
pub struct LockCounters {
    killed: AtomicU64,
    kept: AtomicU64,
    /// The time of the newest beat, by which lines are spaced.
    now: AtomicU64,
    told: AtomicU64,
}

impl LockCounters {
    /// Paused members that were killed.
    pub fn killed(&self) -> u64 {
        self.killed.load(Ordering::Relaxed)
    }

    /// How often somebody was found to keep a lock for 750 ms who could not be killed.
    pub fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// The time is `now`.
    pub(super) fn note(&self, now: WallTime) {
        self.now.store(now.0, Ordering::Relaxed);
    }

    fn count_killed(&self, process: &Process) {
        self.killed.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            pid = process.pid,
            "a member that kept the lock of the store was killed"
        );
    }

    fn count_kept(&self, holder: &Holder) {
        self.kept.fetch_add(1, Ordering::Relaxed);
        if self.is_line_due() {
            let pid = match holder {
                Holder::Known(process) => Some(process.pid),
                Holder::Unknown => None,
            };
            tracing::error!(
                pid,
                "a process keeps the lock of the store, and is left alone"
            );
        }
    }

    /// Whether a line was last written a minute ago or more; then the next minute begins.
    fn is_line_due(&self) -> bool {
        let now = WallTime(self.now.load(Ordering::Relaxed));
        let told = WallTime(self.told.load(Ordering::Relaxed));
        // A clock that was set back must not silence it.
        let is_due = told == WallTime(0) || now.since(told) >= TELL_EVERY || now < told;
        if is_due {
            self.told.store(now.0, Ordering::Relaxed);
        }
        is_due
    }
}

/// Where `SQLite` locks for writing: `WAL_WRITE_LOCK`, the first lock byte of the index of the log
/// (its file format, "WAL-Index Format").
const WRITE_LOCK: u64 = 120;
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// 750 ms: as long as three beats.
const LOOKS: u32 = 15;
const TELL_EVERY: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_a_minute_apart_and_everything_is_counted() {
        let counters = LockCounters::default();
        let lines = [100, 101, 159, 160, 161, 90, 91, 150].map(|secs| {
            counters.note(WallTime(secs * 1_000_000));
            counters.count_kept(&Holder::Unknown);
            counters.told.load(Ordering::Relaxed) / 1_000_000
        });
        assert_eq!(lines, [100, 100, 100, 160, 160, 90, 90, 150]);
        assert_eq!(counters.kept(), 8);
    }

    #[test]
    fn who_holds_no_lock_is_not_found() {
        let file = Arc::new(File::open(std::env::current_exe().unwrap()).unwrap());
        assert_eq!(Lock::Turn(Arc::clone(&file)).holder(), None);
        assert_eq!(Lock::Write(file).holder(), None);
    }
}
