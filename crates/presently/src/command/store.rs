//! Which store `status`, `show` and `backup` read, and how they write times.

use std::error::Error;
use std::path::PathBuf;
use std::time::SystemTime;

use presently::{Reading, Settings};
use presently_sip::WallTime;

use crate::cli::StoreArgs;

/// Opens the store that `args` name.
pub(super) fn open(args: &StoreArgs) -> Result<Reading, Box<dyn Error>> {
    Ok(Reading::open(&path(args)?)?)
}

/// Where the store is that `args` name.
pub(super) fn path(args: &StoreArgs) -> Result<PathBuf, Box<dyn Error>> {
    let file = match &args.config {
        Some(path) => Settings::read(path)?.store,
        None => None,
    };
    Ok(args.store.clone().or(file).unwrap_or_default().0)
}

/// The seconds from now until `time`; 0 when it is past.
pub(super) fn secs_until(time: WallTime) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    time.secs()
        .saturating_sub(now.unwrap_or_default().as_secs())
}
