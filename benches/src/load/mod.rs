//! The load generator: participants as real clients by the thousand, and one report (`teranga-load`).

pub mod engine;
pub mod expect;
pub mod measure;
pub mod media;
pub mod participant;
pub mod process;
pub mod report;
pub mod scenario;
pub mod versus;
