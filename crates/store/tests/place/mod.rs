//! A directory of its own for each test's files, gone with the last store in it.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "tests may, and each uses some of it"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::{env, fs, process};

use presently_store::{Completion, Operation, Store, Ticket};

/// An empty directory.
pub(crate) struct Place(PathBuf);

impl Place {
    /// A fresh one.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("presently-store-{}-{next}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// The store's file in it.
    pub(crate) fn path(&self) -> PathBuf {
        self.0.join("pool.db")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A store and the place it is in.
struct Placed {
    store: Box<dyn Store>,
    _place: Arc<Place>,
}

impl Store for Placed {
    fn submit(&mut self, batch: &mut Vec<(Ticket, Operation)>) {
        self.store.submit(batch);
    }

    fn poll(&mut self, context: &mut Context<'_>, done: &mut Vec<Completion>) -> Poll<()> {
        self.store.poll(context, done)
    }
}

/// Opens stores in one new place.
pub(crate) fn opener(
    open: impl Fn(&Place) -> Box<dyn Store> + 'static,
) -> Box<dyn Fn() -> Box<dyn Store>> {
    let place = Arc::new(Place::new());
    Box::new(move || {
        Box::new(Placed {
            store: open(&place),
            _place: Arc::clone(&place),
        })
    })
}
