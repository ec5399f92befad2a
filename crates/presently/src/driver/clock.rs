//! The clocks, read here and nowhere else.

use std::time::{Duration, SystemTime};

use presently_sip::{Moment, Now, WallTime};
use tokio::time::Instant;

/// The process's clocks. Moments count from its start; the wall time is that of the start, carried
/// on by the same clock. So when somebody sets the system's clock nothing expires for it, and
/// nothing lives longer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    began: WallTime,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            began: system(),
        }
    }

    /// Both clocks now.
    pub(crate) fn now(&self) -> Now {
        let elapsed = self.started.elapsed();
        Now {
            moment: Moment::default().after(elapsed),
            wall: self.began.after(elapsed),
        }
    }

    /// When moments began, on the system's own clock: for others who count them.
    pub(crate) fn origin(&self) -> std::time::Instant {
        self.started.into_std()
    }

    /// By how many seconds the system's clock has been set since the start, forward or (negative)
    /// back: whole ones, so that reading two clocks one after the other makes none.
    pub(crate) fn stepped_secs(&self) -> i64 {
        stepped(self.now().wall, system())
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

/// What the system's clock says.
fn system() -> WallTime {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    WallTime::default().after(wall.unwrap_or_default())
}

fn stepped(ours: WallTime, system: WallTime) -> i64 {
    let secs = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    secs(system.since(ours)) - secs(ours.since(system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_told_by_whole_seconds() {
        let ours = WallTime(1_000_000_000);
        for (system, expected) in [
            (1_000_000_000, 0),
            (1_000_900_000, 0),
            (999_100_001, 0),
            (1_003_500_000, 3),
            (995_000_000, -5),
        ] {
            assert_eq!(stepped(ours, WallTime(system)), expected, "{system}");
        }
        assert_eq!(Clock::new().stepped_secs(), 0);
    }
}
