//! An online backup: the file as it is at one moment, copied beside whoever writes it.
//!
//! The copy is made under another name, brought to the disk and then given its own: a file of that
//! name is always a whole backup.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{self, Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::OpenError;
use super::open::{self, beside};

/// What is done with a file that is there already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Existing {
    /// It is kept, and there is no backup.
    Keep,
    /// The backup takes its place, once it is whole.
    Replace,
}

/// Why there is no backup. What was at its place is still there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The pages could not be copied.
    #[error("the store cannot be copied")]
    Copy(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file of this name is there already.
    #[error("the file is there already")]
    Exists,
    /// It would take the place of the store itself.
    #[error("the file is the store itself")]
    Itself,
    /// A log of another database lies beside it, and would be taken for the backup's own.
    #[error("{path} belongs to another database: it would spoil the backup")]
    Log {
        /// The log.
        path: PathBuf,
    },
    /// The backup's file cannot be written under its own name, or under the one it has until it
    /// is whole.
    #[error("{path} cannot be written")]
    Target {
        /// The name.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[source] OpenError),
}

impl BackupError {
    fn target(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Target { path, source }
    }
}

impl From<rusqlite::Error> for BackupError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Copy(Box::new(error))
    }
}

/// Copies the store at `store` into `file`, readable by its owner only: the pool's key is in it.
/// Returns the length of the copy in bytes once it is on the disk.
///
/// The copy holds everything that was committed before this was called. Writers go on: no lock of
/// theirs is taken, but their write-ahead log cannot start over before the copy is whole. It is
/// made in small steps with pauses, so that it does not take the disk from them either.
///
/// # Errors
///
/// See [`BackupError`].
pub fn back_up(store: &Path, file: &Path, existing: Existing) -> Result<u64, BackupError> {
    check(store, file, existing)?;
    let source = open::any_schema(store).map_err(BackupError::Store)?;
    // One snapshot for all steps: else each commit of the pool would start the copy anew.
    source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")?;
    let part = Part::make(file)?;
    copy(&source, &part)?;
    drop(source);
    check(store, file, existing)?;
    part.finish(file).map_err(BackupError::target(file))
}

/// Whether a backup may stand at `file`.
fn check(store: &Path, file: &Path, existing: Existing) -> Result<(), BackupError> {
    let of_store = ["", "-wal", "-shm", "-turn"].map(|end| beside(store, end));
    if of_store.iter().any(|one| is_same(one, file)) {
        return Err(BackupError::Itself);
    }
    if file.exists() && (existing == Existing::Keep || !file.is_file()) {
        return Err(BackupError::Exists);
    }
    let mut logs = ["-wal", "-journal"]
        .map(|end| beside(file, end))
        .into_iter();
    match logs.find(|log| log.exists()) {
        Some(path) => Err(BackupError::Log { path }),
        None => Ok(()),
    }
}

/// Whether two paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    let id = |path: &Path| {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    #[cfg(not(unix))]
    let id = |path: &Path| fs::canonicalize(path).ok();
    id(one).is_some_and(|found| Some(found) == id(other))
}

fn copy(source: &Connection, part: &Part) -> Result<(), BackupError> {
    let mut target = open::connect(&part.path, open::flags())?;
    // What breaks off is thrown away as a whole, and the end is synced below.
    target.pragma_update(None, "journal_mode", "OFF")?;
    target.pragma_update(None, "synchronous", "OFF")?;
    let backup = Backup::new(source, &mut target)?;
    let mut tries = BUSY_TRIES;
    for step in 1_u32.. {
        match backup.step(PAGES_A_STEP)? {
            StepResult::Done => break,
            StepResult::Busy | StepResult::Locked if tries == 0 => {
                return Err(BackupError::Copy("it stays locked".into()));
            }
            StepResult::Busy | StepResult::Locked => tries -= 1,
            _ => {}
        }
        if step.is_multiple_of(STEPS_A_SYNC) {
            let synced = part.file.sync_data();
            synced.map_err(BackupError::target(&part.path))?;
        }
        thread::park_timeout(PAUSE);
    }
    drop(backup);
    drop(target);
    // A file without a log beside it can be read anywhere; whoever serves from it adds one.
    let target = open::connect(&part.path, open::flags())?;
    target.pragma_update(None, "journal_mode", "DELETE")?;
    Ok(())
}

/// A copy that is not whole yet; it goes with the value.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    /// A new file beside `file`. What a backup that was killed has left is in nobody's way: a
    /// process id comes again (in a container each is 1), 64 random bits do not.
    fn make(file: &Path) -> Result<Self, BackupError> {
        let random = RandomState::new().hash_one(0);
        let path = beside(file, &format!(".part-{random:016x}"));
        // SQLite would read `file:x` as a URI; an absolute path is none.
        let path = path::absolute(&path).map_err(BackupError::target(&path))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path);
        let file = file.map_err(BackupError::target(&path))?;
        Ok(Self { path, file })
    }

    /// Brings it to the disk and gives it its name; how long it is.
    fn finish(self, file: &Path) -> io::Result<u64> {
        self.file.sync_all()?;
        let bytes = self.file.metadata()?.len();
        fs::rename(&self.path, file)?;
        // The new name is in the directory, which is a file of its own.
        let folder = file.parent().filter(|folder| *folder != Path::new(""));
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(bytes)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm", "-journal"] {
            // Mostly there is none: it has its own name now.
            let _ = fs::remove_file(beside(&self.path, end));
        }
    }
}

/// 256 KiB in pages of 4 KiB: a step is less than a millisecond of one core.
const PAGES_A_STEP: i32 = 64;
/// Between steps; a gigabyte then takes at least four seconds.
const PAUSE: Duration = Duration::from_millis(1);
/// 16 MiB: a commit that waits for the disk waits behind this much at the most.
const STEPS_A_SYNC: u32 = 64;
/// A store that somebody holds for longer than five seconds is not copied.
const BUSY_TRIES: u32 = 5_000;
