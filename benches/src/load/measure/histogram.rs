//! Distribution of durations.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Values are told apart to one part in a hundred.
const SIGNIFICANT_DIGITS: u8 = 2;
/// Longer times count as this one, so that a histogram stays below 30 kB.
const MAX_US: u64 = 3_600_000_000;

/// Durations in microseconds. Percentiles are good to two digits; count, sum and maximum are exact.
#[derive(Clone, Debug, Default)]
pub struct TimeHistogram {
    /// Grows with the values; absent while there are none.
    counts: Option<Histogram<u64>>,
    total_us: u64,
    max_us: u64,
}

impl TimeHistogram {
    pub(super) fn record(&mut self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(MAX_US).min(MAX_US);
        let counts = self.counts.get_or_insert_with(empty);
        // Cannot fail: the histogram grows by itself.
        if counts.record(us).is_ok() {
            self.total_us = self.total_us.saturating_add(us);
            self.max_us = self.max_us.max(us);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        let Some(theirs) = &other.counts else { return };
        match &mut self.counts {
            // Cannot fail: the histogram grows by itself.
            Some(counts) => drop(counts.add(theirs)),
            None => self.counts = Some(theirs.clone()),
        }
        self.total_us = self.total_us.saturating_add(other.total_us);
        self.max_us = self.max_us.max(other.max_us);
    }

    pub(super) fn sum<'a>(parts: impl Iterator<Item = &'a Self>) -> Self {
        parts.fold(Self::default(), |mut all, part| {
            all.merge(part);
            all
        })
    }

    /// Values recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.as_ref().map_or(0, Histogram::len)
    }

    /// Sum of all values.
    #[must_use]
    pub const fn total(&self) -> Duration {
        Duration::from_micros(self.total_us)
    }

    /// `None` of nothing, like all that follow.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        self.total_us.checked_div(self.count()).map(Duration::from_micros)
    }

    /// The longest.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        (self.count() > 0).then_some(Duration::from_micros(self.max_us))
    }

    /// The time that `part` (0 to 1) of the values do not exceed.
    #[must_use]
    pub fn percentile(&self, part: f64) -> Option<Duration> {
        let counts = self.counts.as_ref()?;
        // A bucket answers with its upper end, which may lie above everything that was seen.
        Some(Duration::from_micros(counts.value_at_quantile(part).min(self.max_us)))
    }
}

fn empty() -> Histogram<u64> {
    // expect: only more than five digits are refused.
    Histogram::new(SIGNIFICANT_DIGITS).expect("two significant digits are allowed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values_us: impl IntoIterator<Item = u64>) -> TimeHistogram {
        let mut histogram = TimeHistogram::default();
        values_us.into_iter().for_each(|us| histogram.record(Duration::from_micros(us)));
        histogram
    }

    #[test]
    fn percentiles_are_right_to_one_in_a_hundred() {
        let histogram = of(1..=100_000);
        for (part, exact) in [(0.5, 50_000.0), (0.95, 95_000.0), (0.99, 99_000.0), (1.0, 100_000.0)] {
            let got = histogram.percentile(part).unwrap().as_micros() as f64;
            assert!((got / exact - 1.0).abs() < 0.01, "{part}: {got}");
        }
        assert_eq!(histogram.count(), 100_000);
        assert_eq!(histogram.mean(), Some(Duration::from_micros(50_000)));
    }

    #[test]
    fn the_maximum_is_exact_and_no_percentile_exceeds_it() {
        let histogram = of([1_234_567]);
        assert_eq!(histogram.max(), Some(Duration::from_micros(1_234_567)));
        assert_eq!(histogram.percentile(0.99), histogram.max());
    }

    #[test]
    fn of_nothing_there_is_nothing_to_say() {
        let histogram = TimeHistogram::default();
        assert_eq!((histogram.percentile(0.5), histogram.mean(), histogram.max()), (None, None, None));
        assert_eq!((histogram.count(), histogram.total()), (0, Duration::ZERO));
    }

    #[test]
    fn a_sum_is_that_of_all_values() {
        let mut low = of(1..=500);
        low.merge(&of([]));
        let all = TimeHistogram::sum([&low, &of(501..=1_000_000)].into_iter());
        assert_eq!(all.count(), 1_000_000);
        assert_eq!(all.total(), Duration::from_micros(500_000_500_000));
        let median = all.percentile(0.5).unwrap().as_micros() as f64;
        assert!((median / 500_000.0 - 1.0).abs() < 0.01, "{median}");
    }

    #[test]
    fn a_time_without_end_is_cut() {
        let histogram = of([u64::MAX]);
        assert_eq!(histogram.max(), Some(Duration::from_secs(3600)));
    }
}
