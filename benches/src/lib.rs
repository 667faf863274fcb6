//! What is measured: `cargo bench -p benches` for pieces of the packet path, `benches/idle-memory` for a whole server.
//!
//! The machine is noisy: compare figures of one run with each other, not with those of another day.

pub mod batch;
pub mod load;
pub mod statistics;
