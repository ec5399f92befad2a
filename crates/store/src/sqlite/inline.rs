//! The store that does what it is given at once.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::writer::{LONG_LOG_BYTES, Writer};
use super::{OpenError, Settings, open};
use crate::{Completion, Operation, Store, Ticket};

/// `SQLite` in the caller's thread: what is submitted is done when `submit` returns.
///
/// A clone is another handle on the same database, with completions of its own: the members of a
/// simulated pool each hold one. On a file, `submit` may wait for other processes up to
/// [`Settings::patience`].
#[derive(Debug)]
pub struct Inline {
    writer: Arc<Mutex<Writer>>,
    finished: Vec<Completion>,
    waker: Option<Waker>,
}

impl Inline {
    /// An empty store in memory. It is gone with its last handle.
    ///
    /// # Errors
    ///
    /// There is no memory for it.
    pub fn open_in_memory() -> Result<Self, OpenError> {
        let max_clients = Settings::default().max_clients;
        Ok(Self::new(Writer::new(open::memory()?, None, max_clients)))
    }

    /// The store in the file at `path`, which is made if there is none.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open(path: &Path, settings: &Settings) -> Result<Self, OpenError> {
        let connection = open::file(path, settings)?;
        let writer = Writer::new(connection, Some(path), settings.max_clients);
        Ok(Self::new(writer))
    }

    /// The store in the file at `path`, to read from beside its pool: an operation that writes is
    /// refused, and the file is not changed, an older schema neither. `SQLite` makes its `-wal` and
    /// `-shm` files beside it when no pool runs; where it may not, there is nothing to read.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open_to_read(path: &Path) -> Result<Self, OpenError> {
        let connection = open::to_read(path)?;
        let max_clients = Settings::default().max_clients;
        Ok(Self::new(Writer::new(connection, None, max_clients)))
    }

    fn new(writer: Writer) -> Self {
        Self {
            writer: Arc::new(Mutex::new(writer)),
            finished: Vec::new(),
            waker: None,
        }
    }

    fn writer(writer: &Mutex<Writer>) -> MutexGuard<'_, Writer> {
        // A panic elsewhere left no transaction that the next BEGIN would not notice.
        writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for Inline {
    fn clone(&self) -> Self {
        Self {
            writer: Arc::clone(&self.writer),
            finished: Vec::new(),
            waker: None,
        }
    }
}

impl Store for Inline {
    fn submit(&mut self, batch: &mut Vec<(Ticket, Operation)>) {
        if batch.is_empty() {
            return;
        }
        let mut writer = Self::writer(&self.writer);
        writer.perform(batch, &mut self.finished);
        if writer.log_bytes() > LONG_LOG_BYTES {
            writer.checkpoint();
        }
        drop(writer);
        batch.clear();
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, done: &mut Vec<Completion>) -> Poll<()> {
        if self.finished.is_empty() {
            self.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        done.append(&mut self.finished);
        Poll::Ready(())
    }
}
