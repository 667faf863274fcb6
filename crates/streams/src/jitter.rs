//! Interarrival jitter of one RTP stream (RFC 3550 §6.4.1, appendix A.8).

use std::time::{Duration, Instant};

use model::RtpTimestamp;

/// How much the time between packets on arrival differs from that between their timestamps, smoothed.
#[derive(Clone, Debug)]
pub struct InterarrivalJitter {
    clock_rate_hz: u32,
    /// In 1/16 of a clock unit (RFC 3550 A.8).
    jitter_q4: u32,
    last: Option<Transit>,
}

#[derive(Clone, Copy, Debug)]
struct Transit {
    at: Instant,
    timestamp: RtpTimestamp,
}

impl InterarrivalJitter {
    /// Of a stream that nothing came of yet. `clock_rate_hz` is that of its codec: 90 000 for video, 48 000 for Opus.
    #[must_use]
    pub const fn new(clock_rate_hz: u32) -> Self {
        Self { clock_rate_hz, jitter_q4: 0, last: None }
    }

    /// RFC 3550 A.8, with arrival counted in clock units from the packet before, so that no epoch is needed.
    pub fn handle_packet(&mut self, timestamp: RtpTimestamp, now: Instant) {
        let last = self.last.replace(Transit { at: now, timestamp });
        let Some(last) = last else { return };
        let passed = now.saturating_duration_since(last.at).as_nanos() * u128::from(self.clock_rate_hz) / 1_000_000_000;
        let stamped = timestamp.0.wrapping_sub(last.timestamp.0) as i32;
        let difference = i64::try_from(passed).unwrap_or(i64::MAX).saturating_sub(i64::from(stamped)).unsigned_abs();
        // A pause of the sender (mute) or a clock that was set anew is no jitter: nothing above a second counts.
        if difference > u64::from(self.clock_rate_hz) {
            return;
        }
        let jitter = i64::from(self.jitter_q4);
        let next = jitter + difference as i64 - ((jitter + 8) >> 4);
        self.jitter_q4 = u32::try_from(next).unwrap_or(0);
    }

    /// In units of the codec's clock, as report blocks have it.
    #[must_use]
    pub const fn clock_units(&self) -> u32 {
        self.jitter_q4 >> 4
    }

    /// The same as time; zero for a clock rate of zero.
    #[must_use]
    pub fn duration(&self) -> Duration {
        let nanoseconds = u64::from(self.jitter_q4) * (1_000_000_000 / 16);
        Duration::from_nanos(nanoseconds.checked_div(u64::from(self.clock_rate_hz)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_time::{ms, start};

    #[test]
    fn a_steady_stream_has_none_and_a_late_packet_counts_a_sixteenth() {
        let (mut jitter, start) = (InterarrivalJitter::new(48_000), start());
        for packet in 0..10 {
            jitter.handle_packet(RtpTimestamp(packet * 960), start + ms(20) * packet);
        }
        assert_eq!((jitter.clock_units(), jitter.duration()), (0, Duration::ZERO));
        jitter.handle_packet(RtpTimestamp(9_600), start + ms(216));
        assert_eq!((jitter.clock_units(), jitter.duration()), (48, ms(1)));
    }
}
