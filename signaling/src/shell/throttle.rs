//! How fast a client is read: a token bucket over bytes, as stock limits its connections (signaling.md §9).

use std::time::{Duration, Instant};

/// What a frame costs besides its bytes: many small stanzas are as much work as few large ones. With 16 kB/s it comes to
/// about 60 small stanzas a second.
const FRAME_COST_BYTES: u32 = 256;

/// A bucket of bytes that may be read at once, refilled at a rate.
#[derive(Debug)]
pub(super) struct Throttle {
    bytes_per_second: u32,
    burst: f64,
    available: f64,
    refilled: Instant,
    /// A lower rate, and until when it holds.
    slowed: Option<(u32, Instant)>,
}

impl Throttle {
    pub(super) fn new(bytes_per_second: u32, burst_bytes: u32, now: Instant) -> Self {
        let burst = f64::from(burst_bytes);
        Self { bytes_per_second: bytes_per_second.max(1), burst, available: burst, refilled: now, slowed: None }
    }

    /// Slows the client down until then; nothing is saved for a burst meanwhile.
    pub(super) fn slow(&mut self, bytes_per_second: u32, until: Instant) {
        self.slowed = Some((bytes_per_second.max(1), until));
        self.available = 0.0;
    }

    /// Takes the cost of a frame and answers how long to wait before the next is read. A frame is never refused.
    pub(super) fn take(&mut self, frame_bytes: usize, now: Instant) -> Duration {
        self.slowed.take_if(|(_, until)| *until <= now);
        let (rate, burst) = match self.slowed {
            Some((rate, _)) => (f64::from(rate), 0.0),
            None => (f64::from(self.bytes_per_second), self.burst),
        };
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.available = (self.available + elapsed * rate).min(burst);
        self.refilled = now;
        let frame_bytes = u32::try_from(frame_bytes).unwrap_or(u32::MAX);
        self.available -= f64::from(frame_bytes.saturating_add(FRAME_COST_BYTES));
        if self.available >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-self.available / rate) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_slowed_down_is_for_a_while() {
        let start = Instant::now();
        let mut throttle = Throttle::new(1000, 2000, start);
        throttle.slow(100, start + Duration::from_secs(60));
        assert_eq!(throttle.take(744, start), Duration::from_secs(10));
        assert_eq!(throttle.take(744, start + Duration::from_secs(20)), Duration::from_secs(10), "nothing is saved");
        assert_eq!(throttle.take(744, start + Duration::from_secs(90)), Duration::ZERO);
    }

    #[test]
    fn a_burst_passes_and_what_follows_is_paced() {
        let start = Instant::now();
        let mut throttle = Throttle::new(1000, 2000, start);
        assert_eq!(throttle.take(744, start), Duration::ZERO);
        assert_eq!(throttle.take(744, start), Duration::ZERO);
        assert_eq!(throttle.take(744, start), Duration::from_secs(1));
        assert_eq!(throttle.take(744, start + Duration::from_secs(2)), Duration::ZERO);
        assert_eq!(
            throttle.take(1744, start + Duration::from_secs(100)),
            Duration::ZERO,
            "no more than the burst is saved"
        );
        assert!(throttle.take(744, start + Duration::from_secs(100)) > Duration::ZERO);
    }
}
