//! How long things took, counted in buckets.

use std::time::Duration;

/// A histogram of spans of time. Adding one costs a few instructions and no memory.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Spans {
    counts: [u64; BOUNDS_MICROS.len() + 1],
    sum_micros: u64,
}

impl Spans {
    /// Counts one span.
    pub fn add(&mut self, span: Duration) {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.sum_micros = self.sum_micros.saturating_add(micros);
    }

    /// Each bucket's upper bound in seconds, the last one without, and how many spans fell between
    /// it and the one before.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = BOUNDS_SECS.iter().copied().chain([f64::MAX]);
        bounds.zip(self.counts.iter().copied())
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_micros)
    }
}

/// From a fifth of a millisecond, where a commit in memory ends, to the 32 s of a transaction.
const BOUNDS_MICROS: [u64; 11] = [
    200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 200_000, 1_000_000, 5_000_000, 32_000_000,
];
/// The same in seconds.
const BOUNDS_SECS: [f64; 11] = [
    0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1.0, 5.0, 32.0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_falls_into_the_first_bucket_that_holds_it() {
        let mut spans = Spans::default();
        for micros in [0, 200, 201, 10_000, 32_000_001] {
            spans.add(Duration::from_micros(micros));
        }
        let full: Vec<(f64, u64)> = spans.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(full, [(0.000_2, 2), (0.000_5, 1), (0.01, 1), (f64::MAX, 1)]);
        assert_eq!(spans.count(), 5);
        assert_eq!(spans.sum(), Duration::from_micros(32_010_402));
    }

    #[test]
    fn both_tables_of_bounds_agree() {
        for (micros, secs) in BOUNDS_MICROS.iter().zip(BOUNDS_SECS) {
            let same = Duration::from_micros(*micros);
            assert_eq!(Duration::from_secs_f64(secs), same);
        }
    }
}
