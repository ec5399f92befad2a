//! `presently backup`: a copy of the store while its pool runs.

use std::error::Error;
use std::time::Instant;

use presently_store::sqlite::{Existing, back_up};
use serde_json::json;

use super::store;
use crate::cli::Backup;
use crate::output;

pub(crate) fn run(args: &Backup) -> Result<(), Box<dyn Error>> {
    let store = store::path(&args.store)?;
    let existing = if args.force {
        Existing::Replace
    } else {
        Existing::Keep
    };
    let started = Instant::now();
    let bytes = back_up(&store, &args.file, existing).map_err(|source| NoBackup {
        store: store.display().to_string(),
        file: args.file.display().to_string(),
        source,
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let (store, file) = (store.display(), args.file.display());
    if args.store.json {
        let store = store.to_string();
        let file = file.to_string();
        let row = json!({"store": store, "file": file, "bytes": bytes, "seconds": seconds});
        output::line(row)?;
    } else {
        let text = format!("backed up {store} to {file}: {bytes} bytes in {seconds:.2} s");
        output::line(text)?;
    }
    Ok(())
}

/// Both paths, and why.
#[derive(Debug, thiserror::Error)]
#[error("no backup of {store} to {file}")]
struct NoBackup {
    store: String,
    file: String,
    #[source]
    source: presently_store::sqlite::BackupError,
}
