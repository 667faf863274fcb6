//! Counting within a time that begins with the first of what is counted.

use std::time::{Duration, Instant};

/// How many came since the first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window(Option<(Instant, u32)>);

impl Window {
    /// Counts one more; answers how many there are in this window of `length`.
    pub(crate) fn count(&mut self, length: Duration, now: Instant) -> u32 {
        let (since, count) = self.0.filter(|_| self.is_running(length, now)).unwrap_or((now, 0));
        let count = count.saturating_add(1);
        self.0 = Some((since, count));
        count
    }

    /// Whether something was counted that still counts.
    pub(crate) fn is_running(&self, length: Duration, now: Instant) -> bool {
        self.0.is_some_and(|(since, _)| now.saturating_duration_since(since) < length)
    }

    /// When it is over; `None` where nothing was counted.
    pub(crate) fn end(&self, length: Duration) -> Option<Instant> {
        self.0.map(|(since, _)| since + length)
    }
}
