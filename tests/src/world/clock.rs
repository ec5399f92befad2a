//! A process's own clocks: none agrees with another's, nor keeps its rate.

use std::time::Duration;

use presently_sip::{Moment, Now, WallTime};

/// How one machine's clocks stand to the world's time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// What its boot clock showed when the world began.
    began: u64,
    /// How much too fast it goes, in parts per million.
    drift_ppm: i64,
    /// How far its wall clock is off, in microseconds.
    wall_offset: i64,
}

impl Clock {
    /// One that is wrong: any offset of the boot clock, ±200 ppm of drift, and of wall time up to
    /// `wall_off` either way.
    pub(super) fn wrong(random: &mut fastrand::Rng, wall_off: Duration) -> Self {
        let wall_off = i64::try_from(wall_off.as_micros()).expect("seconds");
        Self {
            began: random.u64(0..3_600_000_000),
            drift_ppm: random.i64(-DRIFT_MAX_PPM..=DRIFT_MAX_PPM),
            wall_offset: random.i64(-wall_off..=wall_off),
        }
    }

    /// Somebody sets the wall clock.
    pub(super) fn step_wall(&mut self, micros: i64) {
        self.wall_offset += micros;
    }

    /// What both clocks show at `at`.
    pub(super) fn now(&self, at: Moment) -> Now {
        let wall = super::EPOCH_MICROS + at.0;
        Now {
            moment: self.local(at),
            wall: WallTime(wall.saturating_add_signed(self.wall_offset)),
        }
    }

    /// The world's time at which the boot clock shows `local`, or a little more.
    pub(super) fn global(&self, local: Moment) -> Moment {
        let since = i128::from(local.0) - i128::from(self.began);
        let rate = MILLION + i128::from(self.drift_ppm);
        let at = (since.max(0) * MILLION).div_euclid(rate);
        let mut at = Moment(u64::try_from(at).unwrap_or(u64::MAX));
        while self.local(at) < local {
            at.0 += 1;
        }
        at
    }

    fn local(&self, at: Moment) -> Moment {
        let drift = i128::from(at.0) * i128::from(self.drift_ppm) / MILLION;
        let drift = i64::try_from(drift).expect("a run is short");
        Moment((self.began + at.0).saturating_add_signed(drift))
    }
}

const MILLION: i128 = 1_000_000;
const DRIFT_MAX_PPM: i64 = 200;
