//! The clocks, read here and nowhere else.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use presently_sip::{Moment, Now, WallTime};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, Sleep};

/// The process's clocks. Moments count from its start; the wall time is that of the start, carried
/// on by the same clock. So when somebody sets the system's clock nothing expires for it, and
/// nothing lives longer. The time that a machine is suspended counts, as that of a process that is
/// stopped: whoever wakes may have been taken for dead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// On the system's clock that nobody sets.
    started: Duration,
    began: WallTime,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            started: since_boot(),
            began: system(),
        }
    }

    /// Both clocks now.
    pub(crate) fn now(&self) -> Now {
        self.at(since_boot())
    }

    /// By how many seconds the system's clock has been set since the start, forward or (negative)
    /// back: whole ones, so that reading two clocks one after the other makes none.
    pub(crate) fn stepped_secs(&self) -> i64 {
        stepped(self.now().wall, system())
    }

    /// The instant of `moment` on the clock of the runtime's timers, which stands still while the
    /// machine is suspended: then they end late, by that time.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        let far = Duration::from_hours(1);
        Instant::now() + moment.since(self.now().moment).min(far)
    }

    fn at(&self, since_boot: Duration) -> Now {
        let elapsed = since_boot.saturating_sub(self.started);
        Now {
            moment: Moment::default().after(elapsed),
            wall: self.began.after(elapsed),
        }
    }
}

/// Wakes a loop when the next of its moments has come.
pub(crate) struct Alarm {
    clock: Clock,
    due: Moment,
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    /// Within a tokio runtime.
    pub(crate) fn new(clock: Clock) -> Self {
        let due = clock.now().moment;
        Self {
            clock,
            due,
            sleep: Box::pin(tokio::time::sleep_until(clock.instant(due))),
        }
    }

    /// Ready when `due` has come; until then it wakes the task once it may have.
    pub(crate) fn poll(&mut self, due: Moment, context: &mut Context<'_>) -> Poll<()> {
        while self.clock.now().moment < due {
            if self.due != due || self.sleep.is_elapsed() {
                self.due = due;
                self.sleep.as_mut().reset(self.clock.instant(due));
            }
            ready!(self.sleep.as_mut().poll(context));
        }
        Poll::Ready(())
    }
}

/// What the clock says that nobody sets and that goes on while the machine is suspended.
fn since_boot() -> Duration {
    let read = clock_gettime(ClockId::Boottime);
    let (secs, nanos) = (u64::try_from(read.tv_sec), u32::try_from(read.tv_nsec));
    Duration::new(secs.unwrap_or_default(), nanos.unwrap_or_default())
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

    /// The kernel's own word for the time since boot, the suspended part of it included.
    #[test]
    fn time_counts_while_the_machine_is_suspended() {
        let uptime = std::fs::read_to_string("/proc/uptime").expect("Linux has it");
        let secs = uptime.split(' ').next().and_then(|it| it.parse().ok());
        let uptime = Duration::from_secs_f64(secs.expect("a number"));
        // Its two digits are cut off.
        let ahead = since_boot().saturating_sub(uptime);
        assert!(
            since_boot() >= uptime && ahead < Duration::from_secs(1),
            "{ahead:?}"
        );
        let clock = Clock::new();
        let woken = clock.at(clock.started + Duration::from_hours(1));
        assert_eq!(
            woken.moment,
            Moment::default().after(Duration::from_hours(1))
        );
        assert_eq!(woken.wall, clock.began.after(Duration::from_hours(1)));
    }

    #[tokio::test]
    async fn an_alarm_is_ready_at_its_moment_and_not_before() {
        let clock = Clock::new();
        let mut alarm = Alarm::new(clock);
        for ms in [0, 30, 5] {
            let due = clock.now().moment.after(Duration::from_millis(ms));
            std::future::poll_fn(|context| alarm.poll(due, context)).await;
            assert!(clock.now().moment >= due, "{ms}");
        }
        let far = clock.now().moment.after(Duration::from_hours(2));
        let waits = std::future::poll_fn(|context| Poll::Ready(alarm.poll(far, context)));
        assert!(waits.await.is_pending());
    }
}
