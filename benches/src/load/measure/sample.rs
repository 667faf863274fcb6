//! One interval of a run.

use std::ops::AddAssign;
use std::time::Duration;

use super::Measurements;

/// What a run is about at some time. Rates, loss, latency and CPU of a report are those of [`Phase::Steady`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Participants come.
    Joining,
    /// All that were to come are there (or failed).
    Steady,
    /// Participants leave because the run ends.
    Leaving,
}

impl Phase {
    /// Name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Steady => "steady",
            Self::Leaving => "leaving",
        }
    }
}

/// Participants at the end of an interval, by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// On their way in.
    pub joining: u64,
    /// In, with all that they expect.
    pub joined: u64,
    /// Failed so far.
    pub failed: u64,
}

/// Adds those of another thread.
impl AddAssign for Gauges {
    fn add_assign(&mut self, other: Self) {
        self.joining += other.joining;
        self.joined += other.joined;
        self.failed += other.failed;
    }
}

/// What all participants counted in an interval, which begins where the one before ended (the first one: with the run).
#[derive(Clone, Debug)]
pub struct Sample {
    /// End of the interval, since the start of the run.
    pub at: Duration,
    /// Of the whole interval.
    pub phase: Phase,
    /// Counts of the interval.
    pub measurements: Measurements,
    /// At its end.
    pub gauges: Gauges,
    /// CPU time that the load generator itself used in it.
    pub load_cpu: Duration,
}

impl Sample {
    /// Appends the interval that follows: the two become one.
    pub fn extend(&mut self, next: &Self) {
        self.at = next.at;
        self.phase = next.phase;
        self.measurements.merge(&next.measurements);
        self.gauges = next.gauges;
        self.load_cpu += next.load_cpu;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_intervals_become_one() {
        let sample = |seconds, joined| {
            let mut measurements = Measurements::default();
            measurements.record_joined();
            Sample {
                at: Duration::from_secs(seconds),
                phase: Phase::Steady,
                measurements,
                gauges: Gauges { joined, ..Gauges::default() },
                load_cpu: Duration::from_millis(100),
            }
        };
        let mut first = sample(1, 1);
        first.extend(&sample(2, 2));
        assert_eq!((first.at, first.gauges.joined), (Duration::from_secs(2), 2));
        assert_eq!((first.measurements.joined(), first.load_cpu), (2, Duration::from_millis(200)));
    }
}
