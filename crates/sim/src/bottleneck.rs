//! [`Bottleneck`]: a line with a rate, and a queue in front of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What a line does with datagrams: each waits until those before it have left, then takes its time at the rate of the
/// line. One that finds the queue full is dropped.
///
/// Lengths are what the caller says, so it decides whether they have headers.
#[derive(Clone, Debug)]
pub struct Bottleneck {
    bits_per_second: u64,
    queue_bytes: usize,
    /// When each datagram will have left, and its length.
    queue: VecDeque<(Instant, usize)>,
    queued: usize,
    dropped: u64,
}

impl Bottleneck {
    /// A line of `bits_per_second` with room for `queue_bytes` in front of it, the datagram on the line included.
    #[must_use]
    pub const fn new(bits_per_second: u64, queue_bytes: usize) -> Self {
        Self { bits_per_second, queue_bytes, queue: VecDeque::new(), queued: 0, dropped: 0 }
    }

    /// Changes the rate, and the room in the queue, for datagrams that come from now on. Those in the queue leave as was
    /// said when they came.
    pub const fn set_rate(&mut self, bits_per_second: u64, queue_bytes: usize) {
        self.bits_per_second = bits_per_second;
        self.queue_bytes = queue_bytes;
    }

    /// A datagram of `len` bytes comes. Answers when it has left; none if it is dropped.
    pub fn pass(&mut self, now: Instant, len: usize) -> Option<Instant> {
        while let Some((_, left)) = self.queue.pop_front_if(|(leaves, _)| *leaves <= now) {
            self.queued -= left;
        }
        if self.queued + len > self.queue_bytes {
            self.dropped += 1;
            return None;
        }
        let nanos = len as u64 * 8 * 1_000_000_000 / self.bits_per_second.max(1);
        let free = self.queue.back().map_or(now, |(leaves, _)| *leaves);
        let leaves = free + Duration::from_nanos(nanos);
        self.queue.push_back((leaves, len));
        self.queued += len;
        Some(leaves)
    }

    /// How long a datagram that came now would wait before its own time.
    #[must_use]
    pub fn delay(&self, now: Instant) -> Duration {
        self.queue.back().map_or(Duration::ZERO, |(leaves, _)| leaves.saturating_duration_since(now))
    }

    /// Datagrams dropped so far.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::start;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn datagrams_leave_one_behind_the_other_at_the_rate_of_the_line() {
        let start = start();
        // 1000 bytes take a millisecond.
        let mut line = Bottleneck::new(8_000_000, 3000);
        assert_eq!(line.pass(start, 1000), Some(start + MS));
        assert_eq!(line.pass(start, 500), Some(start + MS * 3 / 2));
        assert_eq!(line.delay(start + MS), MS / 2);
        assert_eq!(line.pass(start + 10 * MS, 1000), Some(start + 11 * MS));
    }

    #[test]
    fn a_full_queue_drops() {
        let start = start();
        let mut line = Bottleneck::new(8_000_000, 3000);
        let left: Vec<_> = (0..5).map(|_| line.pass(start, 1000).is_some()).collect();
        assert_eq!(left, [true, true, true, false, false]);
        assert_eq!(line.dropped(), 2);
        assert!(line.pass(start + MS, 1000).is_some());
    }

    #[test]
    fn a_changed_rate_never_reorders() {
        let start = start();
        let mut line = Bottleneck::new(80_000, 100_000);
        let first = line.pass(start, 1000).unwrap();
        line.set_rate(8_000_000, 100_000);
        assert_eq!(line.pass(start, 1000), Some(first + MS));
    }
}
