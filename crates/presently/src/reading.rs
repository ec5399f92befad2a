//! Looking into a store without being a member of its pool.

use std::path::{Path, PathBuf};
use std::task::{Context, Waker};

use presently_sip::Aor;
use presently_store::sqlite::{Inline, OpenError};
use presently_store::{ClientState, Operation, Outcome, PoolStatus, Refused, Store, Ticket};

/// A store, to read from. Works beside the processes of a running pool, and changes nothing.
#[derive(Debug)]
pub struct Reading {
    store: Inline,
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no store: nothing is made by looking.
    #[error("there is no store {path}")]
    Missing {
        /// Where.
        path: PathBuf,
    },
    /// It cannot be opened.
    #[error("store {path}")]
    Open {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// It did not answer.
    #[error("the store did not answer")]
    Refused(#[source] Refused),
}

impl Reading {
    /// Opens the store at `path`.
    ///
    /// # Errors
    ///
    /// There is none, it is not of this program and its version, or this process may not read it.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let path_of = || path.to_owned();
        let store = Inline::open_to_read(path).map_err(|source| match source {
            OpenError::Missing => ReadError::Missing { path: path_of() },
            source => ReadError::Open {
                path: path_of(),
                source,
            },
        })?;
        Ok(Self { store })
    }

    /// The pool at a glance.
    ///
    /// # Errors
    ///
    /// The store did not answer.
    pub fn status(&mut self) -> Result<PoolStatus, ReadError> {
        match self.ask(Operation::Status)? {
            Outcome::Status(status) => Ok(*status),
            _ => Err(ReadError::Refused(Refused::Unavailable)),
        }
    }

    /// Everything the store knows of `client`; `None` when it knows nothing.
    ///
    /// # Errors
    ///
    /// The store did not answer.
    pub fn client(&mut self, client: &Aor) -> Result<Option<ClientState>, ReadError> {
        let client = client.clone();
        match self.ask(Operation::Show { client })? {
            Outcome::Client(client) => Ok(client.map(|client| *client)),
            _ => Err(ReadError::Refused(Refused::Unavailable)),
        }
    }

    fn ask(&mut self, operation: Operation) -> Result<Outcome, ReadError> {
        self.store.submit(&mut vec![(Ticket(0), operation)]);
        let mut done = Vec::new();
        // Inline: what was submitted is done.
        let _ = self
            .store
            .poll(&mut Context::from_waker(Waker::noop()), &mut done);
        let result = done.pop().map(|completion| completion.result);
        result
            .unwrap_or(Err(Refused::Unavailable))
            .map_err(ReadError::Refused)
    }
}
