//! All that was measured in a run.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::MachineInfo;
use crate::load::measure::{Phase, Sample};
use crate::load::process::ProcessSeries;

/// Intervals that are kept: a quarter of an hour of seconds. A longer run has longer ones, so that it fits into memory (a
/// sample takes up to 200 kB) and into a page.
const MAX_SAMPLES: usize = 900;

/// All that was measured in a run, complete or cut short.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// What was to be run, as the operator gave it.
    pub scenario: serde_json::Value,
    /// What it was run against.
    pub target: String,
    /// When it began.
    pub started: SystemTime,
    /// By interval, in order. [`Self::push`] adds one.
    pub samples: Vec<Sample>,
    /// Processes of the server. Empty where there are none on this host.
    pub servers: Vec<ProcessSeries>,
    /// Host of the load generator.
    pub machine: MachineInfo,
    /// How it ended.
    pub ended: EndCause,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// As planned.
    Completed,
    /// Stopped by the operator.
    Interrupted,
    /// It could not go on, for this reason.
    Failed(String),
}

impl EndCause {
    /// Name in JSON.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Interrupted => "interrupted",
            Self::Failed(_) => "failed",
        }
    }

    /// Whether the report is not of the whole run.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        !matches!(self, Self::Completed)
    }
}

impl fmt::Display for EndCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => formatter.write_str("completed"),
            Self::Interrupted => formatter.write_str("interrupted by the operator"),
            Self::Failed(reason) => write!(formatter, "cut short: {reason}"),
        }
    }
}

impl RunRecord {
    /// Appends the sample of an interval. When there are too many, neighbours of a phase become one; sums, percentiles and
    /// maxima stay what they are.
    pub fn push(&mut self, sample: Sample) {
        self.samples.push(sample);
        if self.samples.len() <= MAX_SAMPLES {
            return;
        }
        let mut halved: Vec<Sample> = Vec::with_capacity(MAX_SAMPLES);
        let mut is_single = false;
        for sample in self.samples.drain(..) {
            match halved.last_mut() {
                Some(last) if is_single && last.phase == sample.phase => {
                    last.extend(&sample);
                    is_single = false;
                }
                Some(_) | None => {
                    halved.push(sample);
                    is_single = true;
                }
            }
        }
        self.samples = halved;
    }

    /// Samples with the length of their intervals.
    pub fn intervals(&self) -> impl Iterator<Item = (Duration, &Sample)> {
        let ends = self.samples.iter().map(|sample| sample.at);
        let starts = std::iter::once(Duration::ZERO).chain(ends);
        starts.zip(&self.samples).map(|(start, sample)| (sample.at.saturating_sub(start), sample))
    }

    /// How long it ran.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.samples.last().map_or(Duration::ZERO, |sample| sample.at)
    }

    /// How long all that were to be there were there.
    #[must_use]
    pub fn steady_time(&self) -> Duration {
        self.intervals().filter(|(_, sample)| sample.phase == Phase::Steady).map(|(length, _)| length).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::measure::{Gauges, Measurements};
    use crate::load::report::example;

    fn sample(second: u64, phase: Phase) -> Sample {
        let mut measurements = Measurements::default();
        measurements.record_joined();
        let (gauges, load_cpu) = (Gauges::default(), Duration::from_millis(1));
        Sample { at: Duration::from_secs(second), phase, measurements, gauges, load_cpu }
    }

    #[test]
    fn a_long_run_takes_no_more_memory_and_loses_nothing() {
        let mut record = example::empty();
        for second in 1..=10_000 {
            record.push(sample(second, if second <= 101 { Phase::Joining } else { Phase::Steady }));
        }
        assert!(record.samples.len() <= MAX_SAMPLES && record.samples.len() >= MAX_SAMPLES / 2);
        assert_eq!(record.samples.iter().map(|sample| sample.measurements.joined()).sum::<u64>(), 10_000);
        assert_eq!(record.duration(), Duration::from_secs(10_000));
        // No interval has seconds of two phases.
        assert_eq!(record.steady_time(), Duration::from_secs(9899));
        assert_eq!(record.intervals().map(|(length, _)| length).sum::<Duration>(), record.duration());
    }
}
