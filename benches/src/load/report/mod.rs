//! What a run gave: while it runs and at its end, for people and for programs.
//!
//! A [`RunRecord`] has what was measured, second by second. [`Summary`] makes named [`Metric`]s of it, the one place for their
//! names; expectations and comparisons use those. [`Report`] is all of it, which [`terminal()`], [`json()`] and [`html()`] write, for
//! a run that was cut short too. [`live`] shows a run while it goes on.

pub(super) mod format;
mod headline;
mod html;
mod json;
pub mod live;
mod machine;
mod metric;
mod record;
mod summary;
pub(super) mod table;
mod terminal;
mod timeline;

pub use html::html;
pub(super) use html::page;
pub use json::json;
pub use machine::MachineInfo;
pub use metric::{Better, Metric, Unit};
pub use record::{EndCause, RunRecord};
pub use summary::{ServerSummary, Summary};
pub use terminal::terminal;
pub(super) use terminal::write_table;
pub use timeline::{Interval, ServerInterval};

use super::expect::{Expectation, Verdict};

/// Name and version of the program, in reports.
const TOOL: &str = concat!("teranga-load ", env!("CARGO_PKG_VERSION"));

/// A run, what it comes to, and whether that is what was expected.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// What was measured.
    pub record: &'a RunRecord,
    /// Its metrics.
    pub summary: Summary,
    /// One for each expectation.
    pub verdicts: Vec<Verdict>,
}

impl<'a> Report<'a> {
    /// What a reader has to know before the figures: they say less than they seem to.
    fn warnings(&self) -> Vec<String> {
        let skipped = self.summary.value("skipped").filter(|skipped| *skipped > 0.0);
        let overloaded = skipped.map(|skipped| {
            format!(
                "The load generator had too little CPU and skipped {skipped:.1} captures a second: latency, jitter and \
                 freezes are partly its own. Give it more threads, fewer decoders, or another host."
            )
        });
        overloaded.into_iter().collect()
    }

    /// Sums a run up and holds it against `expectations`.
    #[must_use]
    pub fn new(record: &'a RunRecord, expectations: &[Expectation]) -> Self {
        let summary = Summary::of(record);
        let verdicts = expectations.iter().map(|expectation| expectation.check(&summary)).collect();
        Self { record, summary, verdicts }
    }

    /// Whether all expectations were met.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.verdicts.iter().all(Verdict::is_passed)
    }
}

#[cfg(test)]
pub(crate) mod example;
