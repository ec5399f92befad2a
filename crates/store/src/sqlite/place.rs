//! Whether the store's file is still where the pool expects it.
//!
//! A process goes on writing to a file that was moved away or deleted, and nothing tells it: what
//! it confirms would be gone with it, and a process that starts later would make a second pool. So
//! each transaction looks before it writes. Put back, the file is written again; another file in
//! its place is another store, and needs a restart.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where the file was when it was opened.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Device and inode.
    identity: Option<(u64, u64)>,
    was_there: bool,
}

impl Place {
    /// The place of a file that has just been opened.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            identity: identity(path),
            path: path.to_owned(),
            was_there: true,
        }
    }

    /// Whether it is there, and is the same.
    pub(super) fn is_there(&mut self) -> bool {
        let is_there = identity(&self.path) == self.identity;
        if is_there != self.was_there {
            let path = self.path.display();
            if is_there {
                tracing::info!(%path, "the file of the store is back");
            } else {
                tracing::error!(%path, "the file of the store is gone, or another is in its place");
            }
        }
        self.was_there = is_there;
        is_there
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}
