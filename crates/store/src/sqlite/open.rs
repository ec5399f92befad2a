//! Opening a store: its settings, its file, and why it cannot be opened.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema;

/// How a store is kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What a commit survives.
    pub durability: Durability,
    /// How many clients may be assigned at once; above it `Assign` is refused with `Full`. A client
    /// with a binding, a publication and five subscriptions takes about 5 kB of the file.
    pub max_clients: u64,
    /// How long a transaction waits for other processes that use the same file. Longer than a
    /// checkpoint on a slow disk, shorter than the 20 s for which a server holds requests.
    pub patience: Duration,
    /// Whether processes that write to one file stand in line.
    pub order: Order,
    /// How many operations a [`super::Threaded`] store takes before it answers `Unavailable`.
    pub max_waiting: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            durability: Durability::Process,
            max_clients: 1_000_000,
            patience: Duration::from_secs(5),
            order: Order::InTurn,
            max_waiting: 16_384,
        }
    }
}

/// What a commit survives.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Durability {
    /// Power loss too: every transaction waits for the disk.
    Power,
    /// The end of any process; power loss may cost the last moments.
    #[default]
    Process,
}

/// In which order processes write to one file. It matters to [`super::Threaded`] alone.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Order {
    /// Each in its turn, by a lock on a file of its own beside the store, `PATH-turn`.
    #[default]
    InTurn,
    /// Whoever asks while the file is free: nothing bounds the wait beside a busy process.
    Unordered,
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A newer program made it.
    #[error("the store has schema {found}, this program knows up to {known}")]
    Newer {
        /// The store's.
        found: i64,
        /// This program's.
        known: i64,
    },
    /// An older program made it, and it is only to be read: nothing brings it up to date then.
    #[error("the store has schema {found}, this program reads {known}: `serve` brings it there")]
    Older {
        /// The store's.
        found: i64,
        /// This program's.
        known: i64,
    },
    /// It is only to be read, and there is nothing.
    #[error("there is no such file")]
    Missing,
    /// It is only to be read, and the files beside it that its users share are closed to this one.
    #[error(
        "the store's -wal and -shm files can be neither opened nor made: \
         ask as the user who runs the pool"
    )]
    Beside(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The path names a directory or a device.
    #[error("the store's path is not a file")]
    NotAFile,
    /// The file holds something else.
    #[error("the file is not an SQLite database")]
    NotADatabase,
    /// Another program's database.
    #[error("the database belongs to another program")]
    OtherProgram,
    /// The file cannot be made, read or written.
    #[error("the store's file cannot be used")]
    Unreadable(#[source] io::Error),
    /// `SQLite` failed otherwise.
    #[error("the database cannot be used")]
    Unusable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase,
            _ => Self::Unusable(Box::new(error)),
        }
    }
}

/// Opens a private database in memory.
pub(super) fn memory() -> Result<Connection, OpenError> {
    let mut connection = Connection::open_in_memory()?;
    prepare(&connection)?;
    schema::migrate(&mut connection)?;
    Ok(connection)
}

/// Opens the file, makes it (readable by its owner only: the pool's key is in it) when it is not
/// there, and brings it to the present schema. Another program's database stays as it is.
pub(super) fn file(path: &Path, settings: &Settings) -> Result<Connection, OpenError> {
    make(path)?;
    let mut connection = connect(path, flags())?;
    be_patient(&mut connection, settings.patience)?;
    // In one transaction: beside this, another process may be making the store.
    if !schema::may_be_ours(&*connection.transaction()?)? {
        // The last connection to a log would write it into the file.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        return Err(OpenError::OtherProgram);
    }
    write_ahead(&connection, settings.patience)?;
    let synchronous = match settings.durability {
        Durability::Power => "FULL",
        Durability::Process => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    prepare(&connection)?;
    schema::migrate(&mut connection)?;
    Ok(connection)
}

/// A second connection to a file that [`file`] has opened, which refuses to write.
pub(super) fn reader(path: &Path, settings: &Settings) -> Result<Connection, OpenError> {
    let mut connection = connect(path, flags())?;
    be_patient(&mut connection, settings.patience)?;
    prepare(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Opens the file to read from, beside whoever uses it: nothing is made, changed or migrated.
pub(super) fn to_read(path: &Path) -> Result<Connection, OpenError> {
    let connection = any_schema(path)?;
    schema::check(&connection)?;
    Ok(connection)
}

/// As [`to_read`], of whatever schema, as long as it is ours.
pub(super) fn any_schema(path: &Path) -> Result<Connection, OpenError> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err(OpenError::NotAFile),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(OpenError::Missing),
        Ok(_) | Err(_) => {}
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = connect(path, flags).map_err(|error| {
        // The system says why better than the database does.
        let reason = File::open(path).err();
        reason.map_or_else(|| error.into(), OpenError::Unreadable)
    })?;
    be_patient(&mut connection, Settings::default().patience)?;
    let is_ours =
        schema::is_ours(&connection).map_err(|error| match error.sqlite_error_code() {
            // A log is read through memory that is shared with its writers, also by a reader.
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) => OpenError::Beside(error.into()),
            _ => error.into(),
        })?;
    if !is_ours {
        return Err(OpenError::OtherProgram);
    }
    prepare(&connection)?;
    Ok(connection)
}

/// Opens the file of that name. `SQLite` would take `file:x?mode=memory` for a URI and `:memory:`
/// for a wish, and open something else than the file that everybody else means.
pub(super) fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(Path::new(".").join(path), flags)
}

/// To write to what is there; it is made elsewhere.
pub(super) fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn make(path: &Path) -> Result<(), OpenError> {
    if path.exists() && !path.is_file() {
        return Err(OpenError::NotAFile);
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(OpenError::Unreadable)?;
    Ok(())
}

/// Tries again every millisecond. `SQLite`'s own handler waits up to 100 ms between tries, and the
/// process with the longest wait then starves (measured: 1.9 s beside three busy writers).
fn be_patient(connection: &mut Connection, patience: Duration) -> Result<(), OpenError> {
    let tries = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    connection.busy_handler(Some(move |tried: i32| {
        thread::park_timeout(Duration::from_millis(1));
        tried < tries
    }))?;
    Ok(())
}

/// Switches the file to a write-ahead log. Two processes that make one file at once meet here, and
/// `SQLite` asks no busy handler then: so it is tried again.
fn write_ahead(connection: &Connection, patience: Duration) -> Result<(), OpenError> {
    let mut tries = patience.as_millis();
    loop {
        let set = connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match set {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => return Err(OpenError::Unusable(format!("journal mode {mode}").into())),
            Err(error) if is_busy(&error) && tries > 0 => tries -= 1,
            Err(error) => return Err(error.into()),
        }
        thread::park_timeout(Duration::from_millis(1));
    }
}

fn prepare(connection: &Connection) -> Result<(), OpenError> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Else a statement is compiled again when the values bound to it might suggest another plan.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Rows are written only under a client row that was just checked: a second check buys nothing.
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    connection.pragma_update(None, "mmap_size", MMAP_BYTES)?;
    // The writer checkpoints when it has nothing to do, not in the middle of a commit.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_BYTES)?;
    Ok(())
}

/// The file that stands beside the store under the store's name and `suffix`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether another connection holds what was asked for.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// More than there are statements in this module, so that none is compiled twice.
const STATEMENTS: usize = 128;
/// 8 MiB of pages (a negative number is KiB). A commit that has split a page looks through the
/// whole cache, so 64 MiB made a first REGISTER dearer by a third, and saved nothing: the operating
/// system has the pages too (measured).
const CACHE_KIB: i64 = -8_192;
/// None: a mapped page is looked for in the log at each use, a cached one only once. Mapping
/// doubled the cost of finding 100 watchers (measured).
const MMAP_BYTES: i64 = 0;
/// The log file is cut to this size when it starts over.
pub(super) const JOURNAL_BYTES: i64 = 1_048_576;
