//! A network for tests: virtual time, and datagrams that are late, lost, doubled, reordered or damaged by a seed.
//!
//! Here: [`Network`], which is told datagrams and the time and answers what arrives when, a [`Bottleneck`] in front of it
//! where a line is to have a rate, and the seeded [`Random`] behind it. Not here: peers, and who reads a clock; the same network stands between sockets where a peer is another
//! process. A dev-dependency only.

mod bottleneck;
mod network;
mod random;

pub use bottleneck::Bottleneck;
pub use network::{Conditions, Counters, Delivery, Network};
pub use random::Random;

use std::time::Instant;

/// An instant that virtual time counts from.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made otherwise; tests only add to it")]
pub fn start() -> Instant {
    Instant::now()
}
