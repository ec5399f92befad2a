//! Both clocks of an agent, read together.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use presently_sip::{Moment, Now, WallTime};
use tokio::time::Instant;

/// Moments count from when it was made.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    started: Instant,
}

impl Clock {
    pub(super) fn new() -> Self {
        let started = Instant::now();
        Self { started }
    }

    pub(super) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Now {
            moment: Moment::default().after(self.started.elapsed()),
            wall: WallTime::default().after(wall.expect("the clock is set")),
        }
    }

    /// Waits for `due`, or for ever.
    pub(super) async fn until(&self, due: Option<Moment>) {
        match due {
            Some(due) => {
                let after = due
                    .since(Moment::default())
                    .min(self.started.elapsed() + FAR);
                tokio::time::sleep_until(self.started + after).await;
            }
            None => std::future::pending().await,
        }
    }
}

/// The runtime's timers have an end.
const FAR: Duration = Duration::from_secs(3600);
