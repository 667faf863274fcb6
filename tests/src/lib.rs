//! Tests of the whole system, and what several of them share.
//!
//! Here: the entry points that the fuzz targets of `tests/fuzz` and the replay of their corpora have in common.
//! Not here: tests of one crate (beside its code), tests in a browser (`tests/browser`).

pub mod fuzz;
