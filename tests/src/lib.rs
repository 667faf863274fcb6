//! Tests of the whole system, and what several of them share.
//!
//! Here: the entry points that the fuzz targets of `tests/fuzz` and the replay of their corpora have in common, and the
//! transport of a participant that benchmarks and tests of whole servers share, and servers with planted faults.
//! Not here: tests of one crate (beside its code), tests in a browser (`tests/browser`).

pub mod fuzz;
pub mod peer;
pub mod planted;
