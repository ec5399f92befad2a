//! A directory of its own for each test's files.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

/// An empty directory, gone with the value.
#[derive(Debug)]
pub struct Place(PathBuf);

impl Place {
    /// A fresh one.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("presently-pool-{}-{next}", process::id()));
        fs::create_dir_all(&path).expect("the directory for temporary files is there");
        Self(path)
    }

    /// The path of `name` in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes `text` into `name` and gives its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        let folder = path.parent().expect("a name in the directory");
        fs::create_dir_all(folder).expect("the directory is ours");
        fs::write(&path, text).expect("the directory is ours");
        path.display().to_string()
    }

    /// The store in it, as a flag's value.
    pub fn store(&self) -> String {
        format!("sqlite:{}", self.path("pool.db").display())
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clean.
        let _ = fs::remove_dir_all(&self.0);
    }
}
