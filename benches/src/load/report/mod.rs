//! What a run gave: while it runs and at its end, for people and for programs.
//!
//! A [`RunRecord`] has what was measured, second by second. [`Summary`] makes named [`Metric`]s of it, the one place for their
//! names; expectations and comparisons use those. [`Report`] is all of it, which [`terminal`], [`json`] and [`html`] write, for
//! a run that was cut short too.

mod format;
mod machine;
mod metric;
mod record;
mod summary;
mod timeline;

pub use machine::MachineInfo;
pub use metric::{Better, Metric, Unit};
pub use record::{EndCause, RunRecord};
pub use summary::{ServerSummary, Summary};
pub use timeline::{Interval, ServerInterval};

#[cfg(test)]
pub(crate) mod example;
