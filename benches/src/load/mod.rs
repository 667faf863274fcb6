//! The load generator: participants as real clients by the thousand, and one report (`teranga-load`).

pub mod expect;
pub mod measure;
pub mod media;
pub mod process;
pub mod report;
pub mod versus;
