//! Which store `status` and `show` read, and how they write times.

use std::error::Error;
use std::time::SystemTime;

use presently::{Reading, Settings};
use presently_sip::WallTime;

use crate::cli::StoreArgs;

/// Opens the store that `args` name.
pub(super) fn open(args: &StoreArgs) -> Result<Reading, Box<dyn Error>> {
    let file = match &args.config {
        Some(path) => Settings::read(path)?.store,
        None => None,
    };
    let store = args.store.clone().or(file).unwrap_or_default();
    Ok(Reading::open(&store.0)?)
}

/// The seconds from now until `time`; 0 when it is past.
pub(super) fn secs_until(time: WallTime) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    time.secs()
        .saturating_sub(now.unwrap_or_default().as_secs())
}
