//! The clock that trailers are stamped by.

use std::time::{Duration, Instant};

/// A time of the process's [`MediaClock`], in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MediaTime(pub u64);

impl MediaTime {
    /// Time that passed since `earlier`; `None` if it is later, as between hosts whose clocks differ.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_micros)
    }
}

/// Turns instants into [`MediaTime`]. One for all senders and receivers of a process.
#[derive(Clone, Copy, Debug)]
pub struct MediaClock {
    epoch: Instant,
    at_epoch: MediaTime,
}

impl MediaClock {
    /// A clock that shows `at_epoch` at `epoch`: zero within one process, the wall time since 1970 where several hosts take
    /// part.
    #[must_use]
    pub const fn new(epoch: Instant, at_epoch: MediaTime) -> Self {
        Self { epoch, at_epoch }
    }

    /// What it shows at `now`. Before the epoch it stands.
    #[must_use]
    pub fn time(&self, now: Instant) -> MediaTime {
        let passed = now.saturating_duration_since(self.epoch).as_micros();
        MediaTime(self.at_epoch.0.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX)))
    }
}
