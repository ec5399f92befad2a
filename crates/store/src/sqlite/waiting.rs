//! How the writer waits for `SQLite`'s lock while another process writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use super::Order;
use super::lock::Watch;

/// Lets `connection` wait for `patience` at each transaction, and look at who holds the lock.
///
/// Once that was in vain, and until the writer says otherwise in `is_locked_out`, it waits only
/// briefly: else what stands in the writer's queue would be refused one patience after the other.
pub(super) fn be_patient(
    connection: &mut Connection,
    patience: Duration,
    order: Order,
    mut watch: Watch,
    is_locked_out: Arc<AtomicBool>,
) -> rusqlite::Result<()> {
    let mut waited = Duration::ZERO;
    connection.busy_handler(Some(move |tried: i32| {
        let is_locked_out = is_locked_out.load(Ordering::Relaxed);
        if tried == 0 {
            waited = Duration::ZERO;
            // Else the looks of the last wait go on: it is the same lock still.
            if !is_locked_out {
                watch.begin();
            }
        }
        let enough = if is_locked_out {
            patience.min(LOCKED_OUT)
        } else {
            patience
        };
        if waited >= enough {
            return false;
        }
        let step = match order {
            Order::InTurn if waited < BRISK_FOR => BRISK,
            Order::InTurn | Order::Unordered => STEP,
        };
        thread::park_timeout(step);
        waited += step;
        watch.waited(step);
        true
    }))
}

/// Whoever asks is next in line, and a commit ahead of it takes about this long.
const BRISK: Duration = Duration::from_micros(200);
/// Longer than that is no ordinary commit, and worth no hurry.
const BRISK_FOR: Duration = Duration::from_millis(20);
const STEP: Duration = Duration::from_millis(1);
/// A full queue is 164 transactions: it is refused within 20 s of the first.
const LOCKED_OUT: Duration = Duration::from_millis(100);
