//! Expectations: `--expect 'loss<0.1%'`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::report::{Metric, Summary, Unit};

/// What a metric must be for a run to pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// As written.
    text: String,
    metric: String,
    comparison: Comparison,
    /// In the base unit of the metric.
    limit: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
}

/// Longer first, so that `<=` is not read as `<`.
const COMPARISONS: [(&str, Comparison); 4] = [
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::MoreOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::More),
];

/// What is wrong with an expectation.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpectationError {
    /// No `<`, `<=`, `>` or `>=`.
    #[error("{0:?} compares nothing: write a metric, one of < <= > >= and a limit, such as join_p95<2s")]
    NoComparison(String),
    /// No metric has this name.
    #[error("no metric is called {name:?}; there are {known}")]
    UnknownMetric {
        /// As written.
        name: String,
        /// All names.
        known: String,
    },
    /// The limit begins with no number.
    #[error("{limit:?} is no limit for {metric}: a number {unit} is needed")]
    NoNumber {
        /// As written.
        limit: String,
        /// What it is for.
        metric: String,
        /// Units that may stand behind it.
        unit: String,
    },
    /// The limit has another unit, or none where one is needed.
    #[error("{limit:?} is no limit for {metric}: it is a number {unit}")]
    WrongUnit {
        /// As written.
        limit: String,
        /// What it is for.
        metric: String,
        /// Units that may stand behind it.
        unit: String,
    },
}

impl FromStr for Expectation {
    type Err = ExpectationError;

    fn from_str(text: &str) -> Result<Self, ExpectationError> {
        let found = COMPARISONS.iter().find_map(|(sign, comparison)| {
            let (name, limit) = text.split_once(sign)?;
            Some((name.trim(), *comparison, limit.trim()))
        });
        let (name, comparison, limit) = found.ok_or_else(|| ExpectationError::NoComparison(text.to_owned()))?;
        let summary = Summary::without_values();
        let Some(metric) = summary.metric(name) else {
            let names: Vec<&str> = summary.metrics().iter().map(|metric| metric.name.as_str()).collect();
            return Err(ExpectationError::UnknownMetric { name: name.to_owned(), known: names.join(", ") });
        };
        let limit = parse_limit(metric, limit)?;
        Ok(Self { text: text.trim().to_owned(), metric: name.to_owned(), comparison, limit })
    }
}

fn parse_limit(metric: &Metric, limit: &str) -> Result<f64, ExpectationError> {
    let end = limit.find(|letter: char| !(letter.is_ascii_digit() || letter == '.')).unwrap_or(limit.len());
    let (number, unit) = limit.split_at_checked(end).unwrap_or((limit, ""));
    let (limit, name, needed) = (limit.to_owned(), metric.name.clone(), needed_unit(metric.unit));
    let Ok(number) = number.parse::<f64>() else {
        return Err(ExpectationError::NoNumber { limit, metric: name, unit: needed });
    };
    let spellings = metric.unit.spellings();
    let factor = match unit.trim() {
        // Nothing is nothing in any unit.
        "" if spellings.is_empty() || number == 0.0 => Some(1.0),
        unit => spellings.iter().find(|(spelling, _)| *spelling == unit).map(|(_, factor)| *factor),
    };
    factor.map(|factor| number * factor).ok_or(ExpectationError::WrongUnit { limit, metric: name, unit: needed })
}

fn needed_unit(unit: Unit) -> String {
    let spellings: Vec<&str> = unit.spellings().iter().map(|(spelling, _)| *spelling).collect();
    match spellings.split_last() {
        None => "without a unit".to_owned(),
        Some((only, [])) => format!("with {only}"),
        Some((last, others)) => format!("with {} or {last}", others.join(", ")),
    }
}

/// As it was written.
impl fmt::Display for Expectation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Expectation {
    /// Holds it against a run.
    #[must_use]
    pub fn check(&self, summary: &Summary) -> Verdict {
        let metric = summary.metric(&self.metric);
        let (outcome, seen) = match metric.and_then(|metric| Some((metric, metric.value?))) {
            // "NaN" meets nothing.
            Some((metric, value)) if self.comparison.holds(value, self.limit) => (Outcome::Passed, metric.text()),
            Some((metric, _)) => (Outcome::Failed, metric.text()),
            None => (Outcome::NoData, "nothing was measured that gives this metric".to_owned()),
        };
        Verdict { expectation: self.clone(), outcome, value: metric.and_then(|metric| metric.value), seen }
    }
}

impl Comparison {
    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::LessOrEqual => value <= limit,
            Self::More => value > limit,
            Self::MoreOrEqual => value >= limit,
        }
    }
}

/// Whether an expectation was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was.
    Passed,
    /// It was not.
    Failed,
    /// Nothing was measured that would tell; counts as not met.
    NoData,
}

impl Outcome {
    /// In JSON and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NoData => "no data",
        }
    }
}

/// An expectation and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What was expected.
    pub expectation: Expectation,
    /// Whether it was met.
    pub outcome: Outcome,
    /// Of the metric, in its base unit.
    pub value: Option<f64>,
    /// The same for people.
    pub seen: String,
}

impl Verdict {
    /// Whether it was met: the exit code of a run is that of all.
    #[must_use]
    pub const fn is_passed(&self) -> bool {
        matches!(self.outcome, Outcome::Passed)
    }
}

/// For the operator's last lines.
impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.outcome.as_str(), self.expectation, self.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::example;

    fn check(text: &str) -> Verdict {
        text.parse::<Expectation>().unwrap().check(&Summary::of(&example::run()))
    }

    fn error(text: &str) -> String {
        text.parse::<Expectation>().unwrap_err().to_string()
    }

    #[test]
    fn limits_are_compared_in_the_unit_of_the_metric() {
        // Loss is 1 %, join_p95 0.5 s, the receive bitrate 64 Mbit/s, memory 200 MB, one failed, half a core.
        for text in [
            "loss<1.1%",
            "loss <= 1 %",
            "loss>0.9%",
            "loss>=1%",
            "join_p95<2s",
            "join_p95<510ms",
            "join_p95>490000us",
            "receive_bitrate>63.9Mbps",
            "receive_bitrate<64001kbps",
            "memory<=200MB",
            "memory<0.21GB",
            "failed<2",
            "cpu<0.6",
            "cpu_ns_per_packet<63us",
            "cpu_ns_per_packet>62000ns",
            "audio_loss<=0",
            "layer_match>=90%",
        ] {
            assert!(check(text).is_passed(), "{}", check(text));
        }
        for text in ["loss<1%", "loss>1%", "join_p95<0.4s", "failed<1", "memory<200MB", "receive_bitrate>1Gbps"] {
            assert_eq!(check(text).outcome, Outcome::Failed, "{text}");
        }
    }

    #[test]
    fn says_what_was_seen() {
        assert_eq!(check("loss<0.1%").to_string(), "failed loss<0.1%: 1 %");
        assert_eq!(check("memory<=200MB").to_string(), "passed memory<=200MB: 200 MB");
    }

    #[test]
    fn a_metric_without_data_is_not_met() {
        let verdict = check("syscalls>0");
        assert_eq!((verdict.outcome, verdict.value, verdict.is_passed()), (Outcome::NoData, None, false));
        assert_eq!(verdict.to_string(), "no data syscalls>0: nothing was measured that gives this metric");
    }

    #[test]
    fn an_unknown_metric_lists_those_there_are() {
        let error = error("lost<1%");
        assert!(error.starts_with("no metric is called \"lost\"; there are participants, joins, failed,"), "{error}");
        assert!(error.contains(", loss,") && error.contains(", cpu_ns_per_packet,"), "{error}");
    }

    #[test]
    fn wrong_limits_are_refused_with_what_is_needed() {
        assert_eq!(error("loss<1"), "\"1\" is no limit for loss: it is a number with %");
        assert_eq!(error("join_p95<2MB"), "\"2MB\" is no limit for join_p95: it is a number with s, ms, us, µs or ns");
        assert_eq!(error("failed<1%"), "\"1%\" is no limit for failed: it is a number without a unit");
        assert_eq!(error("loss<"), "\"\" is no limit for loss: a number with % is needed");
        assert_eq!(error("loss<many%"), "\"many%\" is no limit for loss: a number with % is needed");
        assert_eq!(error("loss<-1%"), "\"-1%\" is no limit for loss: a number with % is needed");
        assert_eq!(error("loss<1.2.3%"), "\"1.2.3%\" is no limit for loss: a number with % is needed");
        let compares_nothing =
            "\"loss=1%\" compares nothing: write a metric, one of < <= > >= and a limit, such as join_p95<2s";
        assert_eq!(error("loss=1%"), compares_nothing);
    }
}
