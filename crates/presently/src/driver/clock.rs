//! The clocks, read here and nowhere else.

use std::time::{Duration, SystemTime};

use presently_sip::{Moment, Now, WallTime};
use tokio::time::Instant;

/// The process's clocks. Moments count from its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// Both clocks now.
    pub(crate) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Now {
            moment: Moment::default().after(self.started.elapsed()),
            wall: WallTime::default().after(wall.unwrap_or_default()),
        }
    }

    /// The instant of `moment`, for a timer of the runtime.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        let far = Duration::from_hours(1);
        self.started
            + moment
                .since(Moment::default())
                .min(self.started.elapsed() + far)
    }
}
