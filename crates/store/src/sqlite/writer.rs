//! One connection that writes: many operations in one transaction, each refused alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, ErrorCode};

use super::batch::{Batch, Known};
use super::place::Place;
use super::turn::Turn;
use super::{open, read};
use crate::{Completion, Operation, Outcome, Refused, Ticket};

/// Why an operation did not come to its end.
pub(super) enum Failure {
    /// By its own rules; it wrote nothing, and the transaction goes on.
    Refused(Refused),
    /// By the database; the transaction is rolled back.
    Sqlite(rusqlite::Error),
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// A connection, and what it still knows of the database since its last transaction.
#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    /// `None` in memory.
    place: Option<Place>,
    /// The write-ahead log; `None` in memory.
    log: Option<PathBuf>,
    max_clients: u64,
    /// What was known after the commit, good while `PRAGMA data_version` says the same.
    known: Option<(i64, Known)>,
    turn: Option<Turn>,
    /// The last transaction waited for the file in vain.
    is_locked_out: Arc<AtomicBool>,
}

impl Writer {
    /// A writer on an open connection.
    pub(super) fn new(connection: Connection, path: Option<&Path>, max_clients: u64) -> Self {
        Self {
            connection,
            place: path.map(Place::new),
            log: path.map(|path| open::beside(path, "-wal")),
            max_clients,
            known: None,
            turn: None,
            is_locked_out: Arc::default(),
        }
    }

    /// Stands in line with other processes from now on.
    pub(super) fn stand_in_line(&mut self, turn: Turn) {
        self.turn = Some(turn);
    }

    /// Waits for other processes as `wait` makes the connection do; it is given the flag that says
    /// that the last transaction waited in vain.
    pub(super) fn wait_by(
        &mut self,
        wait: impl FnOnce(&mut Connection, Arc<AtomicBool>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        wait(&mut self.connection, Arc::clone(&self.is_locked_out))
    }

    /// How long the write-ahead log is; 0 in memory.
    pub(super) fn log_bytes(&self) -> u64 {
        let log = self.log.as_deref().and_then(|log| fs::metadata(log).ok());
        log.map_or(0, |metadata| metadata.len())
    }

    /// Moves the write-ahead log into the database as far as readers allow, without waiting for
    /// any. The next transaction starts the log over. A failure costs only a longer log: the next
    /// one tries again.
    pub(super) fn checkpoint(&self) {
        let _ = self
            .connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    }

    /// Does all operations in one transaction, in order. An operation checks before it writes, so a
    /// refused one leaves nothing behind; when the database itself fails at one, or all of them
    /// are more than the disk has room for, each is done alone.
    pub(super) fn perform(
        &mut self,
        operations: &[(Ticket, Operation)],
        done: &mut Vec<Completion>,
    ) {
        match self.attempt(operations) {
            Ok(results) => {
                let tickets = operations.iter().map(|(ticket, _)| *ticket);
                done.extend(
                    tickets
                        .zip(results)
                        .map(|(ticket, result)| Completion { ticket, result }),
                );
            }
            Err(aborted) if aborted.is_of_one() && operations.len() > 1 => {
                if aborted.is_for_room() {
                    // The log may start over then, and needs no more room.
                    self.checkpoint();
                }
                for operation in operations {
                    self.perform(std::slice::from_ref(operation), done);
                }
            }
            Err(aborted) => {
                let refused = aborted.refused();
                done.extend(operations.iter().map(|(ticket, _)| Completion {
                    ticket: *ticket,
                    result: Err(refused),
                }));
            }
        }
    }

    fn attempt(
        &mut self,
        operations: &[(Ticket, Operation)],
    ) -> Result<Vec<Result<Outcome, Refused>>, Aborted> {
        let known = self.known.take();
        let only_reads = operations
            .iter()
            .all(|(_, operation)| read::is_read(operation));
        if only_reads {
            self.run("BEGIN").map_err(Aborted::Before)?;
        } else {
            self.begin_to_write()?;
        }
        let inside = if only_reads {
            reads(&self.connection, operations).map(|results| (results, known))
        } else {
            self.inside(operations, known)
        };
        match inside {
            Ok((results, known)) => {
                self.end()?;
                self.known = known;
                Ok(results)
            }
            Err(error) => {
                self.roll_back();
                Err(Aborted::Inside(error))
            }
        }
    }

    fn begin_to_write(&mut self) -> Result<(), Aborted> {
        if let Some(turn) = &mut self.turn {
            turn.take();
        }
        // A deferred transaction that writes after a read fails at once when another process has
        // committed in between, whatever the patience.
        let begun = self.run("BEGIN IMMEDIATE");
        if let Some(turn) = &mut self.turn {
            turn.give();
        }
        let is_locked_out = matches!(&begun, Err(error) if open::is_busy(error));
        self.is_locked_out.store(is_locked_out, Ordering::Relaxed);
        begun.map_err(Aborted::Before)?;
        if self.place.as_mut().is_none_or(Place::is_there) {
            return Ok(());
        }
        self.roll_back();
        Err(Aborted::Gone)
    }

    #[allow(clippy::type_complexity, reason = "two results of one private step")]
    fn inside(
        &self,
        operations: &[(Ticket, Operation)],
        known: Option<(i64, Known)>,
    ) -> rusqlite::Result<(Vec<Result<Outcome, Refused>>, Option<(i64, Known)>)> {
        let present: i64 = self
            .connection
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))?;
        let known = match known {
            Some((version, known)) if version == present => known,
            _ => Known::read(&self.connection)?,
        };
        let mut batch = Batch::new(&self.connection, known, self.max_clients);
        let mut results = Vec::with_capacity(operations.len());
        for (_, operation) in operations {
            match batch.perform(operation) {
                Ok(outcome) => results.push(Ok(outcome)),
                Err(Failure::Refused(refused)) => results.push(Err(refused)),
                Err(Failure::Sqlite(error)) => return Err(error),
            }
        }
        Ok((results, Some((present, batch.finish()?))))
    }

    fn end(&self) -> Result<(), Aborted> {
        let Err(error) = self.run("COMMIT") else {
            return Ok(());
        };
        self.roll_back();
        Err(Aborted::Commit(error))
    }

    /// Rolls back what `SQLite` has not rolled back by itself.
    fn roll_back(&self) {
        if !self.connection.is_autocommit() {
            let _ = self.run("ROLLBACK");
        }
    }

    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

/// Where a transaction ended, and by what.
enum Aborted {
    /// It never began.
    Before(rusqlite::Error),
    /// The commit failed.
    Commit(rusqlite::Error),
    /// The file is not where it was: nothing was asked of it.
    Gone,
    /// One of its operations failed.
    Inside(rusqlite::Error),
}

impl Aborted {
    fn refused(&self) -> Refused {
        match self {
            // No log ends in a commit that did not fit.
            Self::Commit(error) if !open::is_busy(error) && !self.is_for_room() => Refused::Unknown,
            _ => Refused::Unavailable,
        }
    }

    /// Whether the disk has no room for it.
    fn is_for_room(&self) -> bool {
        match self {
            Self::Before(error) | Self::Commit(error) | Self::Inside(error) => {
                error.sqlite_error_code() == Some(ErrorCode::DiskFull)
            }
            Self::Gone => false,
        }
    }

    /// Whether others of the same transaction may be done without the one that failed.
    fn is_of_one(&self) -> bool {
        match self {
            Self::Before(_) | Self::Gone => false,
            Self::Commit(_) => self.is_for_room(),
            Self::Inside(_) => true,
        }
    }
}

/// Does operations that only read, inside a transaction that is open.
pub(super) fn reads(
    connection: &Connection,
    operations: &[(Ticket, Operation)],
) -> rusqlite::Result<Vec<Result<Outcome, Refused>>> {
    let mut results = Vec::with_capacity(operations.len());
    for (_, operation) in operations {
        match read::perform(connection, operation) {
            Some(Ok(outcome)) => results.push(Ok(outcome)),
            Some(Err(Failure::Sqlite(error))) => return Err(error),
            Some(Err(Failure::Refused(refused))) => results.push(Err(refused)),
            None => results.push(Err(Refused::Unavailable)),
        }
    }
    Ok(results)
}

/// A write-ahead log of this length is checkpointed even when there is work: it slows whoever
/// reads, and the longer it is, the longer the checkpoint makes others wait.
pub(super) const LONG_LOG_BYTES: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use presently_pool::{Membership, Role};
    use presently_sip::{Aor, WallTime};

    use super::*;

    #[test]
    fn a_full_disk_refuses_what_needs_room_and_nothing_else() {
        let mut writer = Writer::new(open::memory().unwrap(), None, u64::MAX);
        let by = join(&mut writer);
        let pages = "PRAGMA page_count";
        let pages: i64 = writer
            .connection
            .query_row(pages, [], |row| row.get(0))
            .unwrap();
        writer
            .connection
            .pragma_update(None, "max_page_count", pages)
            .unwrap();
        let mut operations: Vec<_> = (0..2_000).map(|number| assign(by, number)).collect();
        operations.push(Operation::Beat {
            by,
            settled: None,
            now: WallTime(0),
        });
        let results = perform(&mut writer, operations);
        let done = results.iter().filter(|result| result.is_ok()).count();
        assert!((1..2_000).contains(&done), "{done}");
        assert!(matches!(results[1_999], Err(Refused::Unavailable)));
        assert!(results[2_000].is_ok(), "a beat needs no room");
        writer
            .connection
            .pragma_update(None, "max_page_count", 1 << 20)
            .unwrap();
        let results = perform(&mut writer, vec![assign(by, 1_999)]);
        assert!(results[0].is_ok(), "there is room again");
    }

    fn join(writer: &mut Writer) -> Membership {
        let join = Operation::Join {
            name: "a".into(),
            over: None,
            role: Role::Server,
            host: "host".into(),
            pid: 1,
            started: 1,
            sip: None,
            oob: None,
            weight: 1,
            seed: [0; 16],
        };
        match perform(writer, vec![join]).pop().unwrap() {
            Ok(Outcome::Joined { membership, .. }) => membership,
            other => panic!("not joined: {other:?}"),
        }
    }

    fn assign(by: Membership, number: u64) -> Operation {
        Operation::Assign {
            by,
            client: Aor::from_canonical(&format!("sip:{number}@example.com")),
            create: true,
            now: WallTime(0),
        }
    }

    fn perform(writer: &mut Writer, operations: Vec<Operation>) -> Vec<Result<Outcome, Refused>> {
        let operations: Vec<_> = (0..).map(Ticket).zip(operations).collect();
        let mut done = Vec::new();
        writer.perform(&operations, &mut done);
        done.into_iter().map(|done| done.result).collect()
    }
}
