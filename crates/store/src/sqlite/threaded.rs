//! The store of a running pool: one thread that writes, one that reads.

use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use presently_sip::WallTime;
use rusqlite::Connection;

use super::lock::{Lock, LockCounters, Watch};
use super::queue::{Finished, Queue, Taken};
use super::turn::Turn;
use super::writer::{self, LONG_LOG_BYTES, Writer};
use super::{OpenError, Order, Settings, open, read, waiting};
use crate::{Completion, Operation, Outcome, Refused, Store, Ticket};

/// `SQLite` on a file, in two threads of its own.
///
/// The writer merges what waits into one transaction of at most 100 operations. Operations that
/// only read go to the reader, beside the writer, each group under a fresh snapshot; one that was
/// submitted after writes of the same batch waits for their commit, so it sees them.
///
/// At most [`Settings::max_waiting`] operations wait; those above are answered `Unavailable` at
/// once. Dropping the store finishes what waits and then closes the file.
#[derive(Debug)]
pub struct Threaded {
    writes: Arc<Queue>,
    reads: Arc<Queue>,
    finished: Arc<Finished>,
    /// Submitted, and not given back yet.
    waiting: usize,
    max_waiting: usize,
    refused: Vec<Completion>,
    writer: Option<JoinHandle<()>>,
    reader: Option<JoinHandle<()>>,
    lock: Arc<LockCounters>,
}

impl Threaded {
    /// The store in the file at `path`, which is made if there is none.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open(path: &Path, settings: &Settings) -> Result<Self, OpenError> {
        let connection = open::file(path, settings)?;
        // SQLite names the files beside the store after this, too.
        let path = path.canonicalize().map_err(OpenError::Unreadable)?;
        let lock = Arc::default();
        let writer = wait_in_line(connection, &path, settings, &lock)?;
        let reader = open::reader(&path, settings)?;
        let mut store = Self {
            lock,
            writes: Arc::default(),
            reads: Arc::default(),
            finished: Arc::default(),
            waiting: 0,
            max_waiting: settings.max_waiting,
            refused: Vec::new(),
            writer: None,
            reader: None,
        };
        let (writes, reads) = (Arc::clone(&store.writes), Arc::clone(&store.reads));
        let finished = Arc::clone(&store.finished);
        let counters = Arc::clone(&store.lock);
        store.writer = Some(spawn("store-writer", move || {
            let _closing = Closing(&writes);
            write(writer, &writes, &reads, &finished, &counters);
        })?);
        let (reads, finished) = (Arc::clone(&store.reads), Arc::clone(&store.finished));
        store.reader = Some(spawn("store-reader", move || {
            let _closing = Closing(&reads);
            answer(&reader, &reads, &finished);
        })?);
        Ok(store)
    }

    /// What became of processes that kept the file's lock.
    pub fn lock_counters(&self) -> Arc<LockCounters> {
        Arc::clone(&self.lock)
    }

    fn refuse(&mut self, operations: &mut Vec<(Ticket, Operation)>) {
        let refused = operations.drain(..).map(|(ticket, _)| Completion {
            ticket,
            result: Err(Refused::Unavailable),
        });
        self.refused.extend(refused);
    }
}

impl Store for Threaded {
    fn submit(&mut self, batch: &mut Vec<(Ticket, Operation)>) {
        let room = self.max_waiting.saturating_sub(self.waiting);
        self.waiting += batch.len();
        if batch.len() > room {
            self.refuse(&mut batch.split_off(room));
        }
        let first_write = batch
            .iter()
            .position(|(_, operation)| !read::is_read(operation));
        let mut writes = batch.split_off(first_write.unwrap_or(batch.len()));
        if !self.reads.add(batch) {
            self.refuse(batch);
        }
        if !self.writes.add(&mut writes) {
            self.refuse(&mut writes);
        }
        // The poller waits in `finished`: what was refused here wakes it by the same way.
        self.finished.add(&mut self.refused);
    }

    fn poll(&mut self, context: &mut Context<'_>, done: &mut Vec<Completion>) -> Poll<()> {
        let before = done.len();
        let polled = self.finished.poll(context, done);
        self.waiting -= done.len() - before;
        polled
    }
}

impl Drop for Threaded {
    fn drop(&mut self) {
        // The writer hands reads on to the reader, so it ends first.
        self.writes.close();
        let writer = self.writer.take().map(JoinHandle::join);
        self.reads.close();
        let reader = self.reader.take().map(JoinHandle::join);
        // A thread that panicked has said so already; there is nobody to tell.
        let _ = (writer, reader);
    }
}

/// Closes a thread's queue when the thread ends, however it ends: nothing may wait there for ever.
struct Closing<'a>(&'a Queue);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A writer that looks at who holds the file's lock while it waits for it.
fn wait_in_line(
    connection: Connection,
    path: &Path,
    settings: &Settings,
    counters: &Arc<LockCounters>,
) -> Result<Writer, OpenError> {
    let mut writer = Writer::new(connection, Some(path), settings.max_clients);
    let lock = Lock::write(path).map_err(OpenError::Unreadable)?;
    let watch = Watch::new(lock, path.to_owned(), Arc::clone(counters));
    writer.wait_by(|connection, is_locked_out| {
        let (patience, order) = (settings.patience, settings.order);
        waiting::be_patient(connection, patience, order, watch, is_locked_out)
    })?;
    if settings.order == Order::InTurn
        && let Some(turn) = Turn::open(path, Arc::clone(counters))
    {
        writer.stand_in_line(turn);
    }
    Ok(writer)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    let builder = thread::Builder::new().name(name.to_owned());
    builder.spawn(work).map_err(OpenError::Unreadable)
}

/// The writer's thread.
fn write(
    mut writer: Writer,
    writes: &Queue,
    reads: &Queue,
    finished: &Finished,
    counters: &LockCounters,
) {
    let mut taken = Vec::with_capacity(MAX_MERGED);
    let mut done = Vec::with_capacity(MAX_MERGED);
    let mut is_log_short = true;
    loop {
        let patience = (!is_log_short).then_some(IDLE);
        match writes.take(MAX_MERGED, patience, &mut taken) {
            Taken::Closed => return,
            Taken::Idle => {
                writer.checkpoint();
                is_log_short = true;
            }
            Taken::Work => {
                let (mut reading, writing) = taken
                    .drain(..)
                    .partition::<Vec<_>, _>(|(_, operation)| read::is_read(operation));
                if let Some(now) = latest(&writing) {
                    counters.note(now);
                }
                if !writing.is_empty() {
                    writer.perform(&writing, &mut done);
                }
                finished.add(&mut done);
                if !reads.add(&mut reading) {
                    finished.add(&mut unavailable(&mut reading));
                }
                let log = writer.log_bytes();
                is_log_short = log <= SHORT_LOG_BYTES;
                if log > LONG_LOG_BYTES {
                    writer.checkpoint();
                }
            }
        }
    }
}

/// The reader's thread.
fn answer(connection: &Connection, reads: &Queue, finished: &Finished) {
    let mut taken = Vec::with_capacity(MAX_MERGED);
    loop {
        if let Taken::Closed = reads.take(MAX_MERGED, None, &mut taken) {
            return;
        }
        let results = in_one_snapshot(connection, &taken);
        let mut done = match results {
            Ok(results) => taken
                .drain(..)
                .zip(results)
                .map(|((ticket, _), result)| Completion { ticket, result })
                .collect(),
            Err(_) => unavailable(&mut taken),
        };
        finished.add(&mut done);
    }
}

/// The time, as the last beat among these says it.
fn latest(operations: &[(Ticket, Operation)]) -> Option<WallTime> {
    let mut backwards = operations.iter().rev();
    backwards.find_map(|(_, operation)| match operation {
        Operation::Beat { now, .. } => Some(*now),
        _ => None,
    })
}

fn in_one_snapshot(
    connection: &Connection,
    operations: &[(Ticket, Operation)],
) -> rusqlite::Result<Vec<Result<Outcome, Refused>>> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let results = writer::reads(connection, operations);
    // Ends the snapshot also after a failure: the next group must have a fresh one.
    connection.prepare_cached("COMMIT")?.execute([])?;
    results
}

fn unavailable(operations: &mut Vec<(Ticket, Operation)>) -> Vec<Completion> {
    let refused = operations.drain(..).map(|(ticket, _)| Completion {
        ticket,
        result: Err(Refused::Unavailable),
    });
    refused.collect()
}

/// Operations in one transaction. More makes each wait longer and saves no more (measured).
const MAX_MERGED: usize = 100;
/// The writer has nothing to do when nothing came for so long.
const IDLE: Duration = Duration::from_millis(20);
/// A write-ahead log up to this length is left alone.
const SHORT_LOG_BYTES: u64 = 1 << 20;
