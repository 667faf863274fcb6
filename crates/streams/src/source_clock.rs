//! How a source's media clock relates to wall time, from its sender reports (RFC 3550 §6.4.1).

use std::time::Instant;

use model::RtpTimestamp;
use rtp::NtpTime;
use rtp::rtcp::SenderInfo;

/// The last sender report of one source. It lets us report to a receiver at any time, in the source's own wall time,
/// so that audio and video of an endpoint stay in step.
#[derive(Clone, Debug)]
pub struct SourceClock {
    clock_rate_hz: u32,
    last: Option<(SenderInfo, Instant)>,
}

impl SourceClock {
    /// A source that has not reported yet, with the clock of its codec.
    #[must_use]
    pub const fn new(clock_rate_hz: u32) -> Self {
        Self { clock_rate_hz, last: None }
    }

    /// Notes a report of the source.
    pub const fn handle_sender_report(&mut self, info: SenderInfo, now: Instant) {
        self.last = Some((info, now));
    }

    /// Wall time and media time of the source at `now`, the report carried on by the time since its arrival. None
    /// before the first report.
    #[must_use]
    pub fn at(&self, now: Instant) -> Option<(NtpTime, RtpTimestamp)> {
        let (info, arrived) = self.last?;
        let passed = now.saturating_duration_since(arrived);
        let ntp_units = (passed.as_nanos() << 32) / 1_000_000_000;
        let clock_units = passed.as_nanos() * u128::from(self.clock_rate_hz) / 1_000_000_000;
        Some((
            NtpTime(info.ntp.0.wrapping_add(ntp_units as u64)),
            RtpTimestamp(info.rtp_timestamp.0.wrapping_add(clock_units as u32)),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_time::{ms, start};
    use model::Ssrc;

    #[test]
    fn carries_the_last_report_on() {
        let (mut clock, now) = (SourceClock::new(90_000), start());
        assert_eq!(clock.at(now), None);
        let info = SenderInfo {
            ssrc: Ssrc(1),
            ntp: NtpTime(100 << 32),
            rtp_timestamp: RtpTimestamp(u32::MAX - 44_999),
            packet_count: 1,
            octet_count: 1,
        };
        clock.handle_sender_report(info, now);
        assert_eq!(clock.at(now), Some((info.ntp, info.rtp_timestamp)));
        assert_eq!(clock.at(now + ms(500)), Some((NtpTime(100 << 32 | 0x8000_0000), RtpTimestamp(0))));
    }
}
