//! Application-limited region: the sender sends less than it could, so that what arrives says nothing about the line
//! (libwebrtc's `AlrDetector`, with the figures of its default experiment).

use model::{Bitrate, DataSize};

use crate::time::{TimeDelta, Timestamp};

/// Part of the estimate that counts as using it.
const USAGE: f64 = 0.8;

/// Levels of the budget, of 1, above which the region starts and below which it ends.
const START_LEVEL: f64 = 0.4;
const STOP_LEVEL: f64 = -0.6;

/// Time at the target rate that the budget holds at most, of bytes left over or overdrawn.
const WINDOW_SECS: f64 = 0.5;

/// A budget of bytes that fills at the target rate and empties by what is sent.
#[derive(Clone, Debug)]
pub(crate) struct AlrDetector {
    bytes_per_sec: f64,
    /// Bytes left; overdrawn where negative.
    budget: f64,
    /// Sent since the budget was last looked at, all at `last_sent`: packets come in batches.
    batch: DataSize,
    last_sent: Option<Timestamp>,
    since: Option<Timestamp>,
}

impl AlrDetector {
    pub(crate) fn new(estimate: Bitrate) -> Self {
        let mut detector =
            Self { bytes_per_sec: 0.0, budget: 0.0, batch: DataSize::ZERO, last_sent: None, since: None };
        detector.set_estimate(estimate);
        detector
    }

    /// Since when the region lasts, if it does.
    pub(crate) const fn since(&self) -> Option<Timestamp> {
        self.since
    }

    pub(crate) fn set_estimate(&mut self, estimate: Bitrate) {
        self.bytes_per_sec = estimate.bps() as f64 / 8.0 * USAGE;
        self.budget = self.budget.clamp(-self.capacity(), self.capacity());
    }

    /// Notes a packet that leaves now.
    pub(crate) fn handle_sent(&mut self, size: DataSize, now: Timestamp) {
        self.batch = self.batch + size;
        if self.last_sent == Some(now) {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        // How long the first took is not known.
        let Some(last) = self.last_sent.replace(now) else { return };
        let elapsed = (now - last).max(TimeDelta::ZERO).as_secs_f64();
        let capacity = self.capacity();
        self.budget = (self.budget - batch.bytes() as f64).max(-capacity);
        self.budget = (self.budget + self.bytes_per_sec * elapsed).min(capacity);
        if self.budget > START_LEVEL * capacity {
            self.since.get_or_insert(now);
        } else if self.budget < STOP_LEVEL * capacity {
            self.since = None;
        }
    }

    fn capacity(&self) -> f64 {
        self.bytes_per_sec * WINDOW_SECS
    }
}

#[cfg(test)]
mod tests {
    //! The cases and figures of `AlrDetectorTest` (jitsi-videobridge, libwebrtc).

    use super::*;

    const ESTIMATE_BPS: u64 = 300_000;

    struct Fixture {
        detector: AlrDetector,
        now: Timestamp,
    }

    impl Fixture {
        fn new() -> Self {
            let detector = AlrDetector::new(Bitrate::from_bps(ESTIMATE_BPS));
            Self { detector, now: Timestamp::from_micros(1_000_000) }
        }

        /// Sends each 10 ms, at a part of the rate that the fixture began with.
        fn send(&mut self, for_ms: u64, percent: u64) {
            for _ in 0..for_ms / 10 {
                self.now = self.now + TimeDelta::from_ms(10);
                let size = DataSize::from_bytes(ESTIMATE_BPS * percent * 10 / (8 * 100 * 1000));
                self.detector.handle_sent(size, self.now);
            }
        }

        fn is_in_alr(&self) -> bool {
            self.detector.since().is_some()
        }
    }

    /// "AlrDetection".
    #[test]
    fn starts_when_little_is_sent_and_ends_when_much_is() {
        let mut test = Fixture::new();
        assert!(!test.is_in_alr());
        test.send(1000, 90);
        assert!(!test.is_in_alr());
        test.send(1500, 20);
        assert!(test.is_in_alr());
        test.send(4000, 100);
        assert!(!test.is_in_alr());
    }

    /// "ShortSpike".
    #[test]
    fn a_short_spike_does_not_end_it() {
        let mut test = Fixture::new();
        test.send(1000, 20);
        assert!(test.is_in_alr());
        test.send(100, 150);
        assert!(test.is_in_alr());
        test.send(3000, 100);
        assert!(!test.is_in_alr());
    }

    /// "BandwidthEstimateChanges": a drop of the estimate does not end it at once, so that a probe can follow.
    #[test]
    fn an_estimate_that_drops_ends_it_shortly_after() {
        let mut test = Fixture::new();
        test.send(1000, 20);
        assert!(test.is_in_alr());
        test.detector.set_estimate(Bitrate::from_bps(ESTIMATE_BPS / 5));
        assert!(test.is_in_alr());
        test.send(1000, 50);
        assert!(!test.is_in_alr());
    }
}
