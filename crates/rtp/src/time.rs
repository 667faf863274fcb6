//! Wall time as RTP writes it: NTP timestamps (RFC 3550 §4), their middle 32 bits, and abs-send-time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds from 1900-01-01, where NTP counts from, to 1970-01-01.
const NTP_TO_UNIX_S: u64 = 2_208_988_800;

/// NTP timestamp: seconds since 1900 in the high 32 bits, fraction in the low 32 (RFC 3550 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// From the time since 1970-01-01 UTC. Seconds wrap in 2036, as on the wire.
    #[must_use]
    pub const fn from_unix(since_epoch: Duration) -> Self {
        let seconds = since_epoch.as_secs().wrapping_add(NTP_TO_UNIX_S);
        let fraction = ((since_epoch.subsec_nanos() as u64) << 32) / 1_000_000_000;
        Self((seconds << 32) | fraction)
    }

    /// From wall time; a time before 1970 counts as 1970.
    #[must_use]
    pub fn from_system_time(wall: SystemTime) -> Self {
        Self::from_unix(wall.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
    }

    /// Low 16 bits of the seconds and high 16 bits of the fraction, as LSR carries them.
    #[must_use]
    pub const fn compact(self) -> CompactNtp {
        CompactNtp((self.0 >> 16) as u32)
    }

    /// The time that passed since `earlier`, none if it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Option<Duration> {
        let Some(passed) = self.0.checked_sub(earlier.0) else { return None };
        let nanos = ((passed & 0xffff_ffff) * 1_000_000_000) >> 32;
        Some(Duration::new(passed >> 32, nanos as u32))
    }
}

/// Middle 32 bits of an NTP timestamp: 16 bits of seconds, 16 of fraction (RFC 3550 §4). Wraps every 18 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CompactNtp(pub u32);

impl CompactNtp {
    /// The distance from `earlier` on the 18-hour circle, in units of 1/65536 s.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Self::to_duration(self.0.wrapping_sub(earlier.0))
    }

    /// 1/65536 s as DLSR counts them, as a duration.
    #[must_use]
    pub const fn to_duration(units: u32) -> Duration {
        Duration::from_nanos(units as u64 * 1_000_000_000 / 65_536)
    }

    /// A duration in 1/65536 s as DLSR counts them, at most 18 hours.
    #[must_use]
    pub const fn from_duration(duration: Duration) -> u32 {
        // Rounded to the nearest, so that a parsed value is written as it came.
        let units = (duration.as_nanos() * 65_536 + 500_000_000) / 1_000_000_000;
        if units > u32::MAX as u128 { u32::MAX } else { units as u32 }
    }
}

/// The abs-send-time header extension: seconds as 6.18 fixed point, wrapping every 64 s
/// (`http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AbsSendTime(u32);

impl AbsSendTime {
    /// The 24 bits out of an NTP timestamp.
    #[must_use]
    pub const fn from_ntp(ntp: NtpTime) -> Self {
        Self((ntp.0 >> 14) as u32 & 0x00ff_ffff)
    }

    /// From the three bytes of the extension.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 3]) -> Self {
        let [a, b, c] = bytes;
        Self(u32::from_be_bytes([0, a, b, c]))
    }

    /// Microseconds from an earlier time to this one, less than half a round of 64 s; negative where it is the earlier one.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> i64 {
        // The sign of 24 bits is that of 32 in their upper part.
        let units = (self.0.wrapping_sub(earlier.0) << 8) as i32 >> 8;
        units as i64 * 1_000_000 / (1 << 18)
    }

    /// The three bytes of the extension.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_counts_from_1900() {
        let ntp = NtpTime::from_unix(Duration::new(1, 500_000_000));
        assert_eq!(ntp.0 >> 32, NTP_TO_UNIX_S + 1);
        assert_eq!(ntp.0 as u32, 0x8000_0000);
        assert_eq!(NtpTime::from_system_time(UNIX_EPOCH + Duration::new(1, 500_000_000)), ntp);
        assert_eq!(ntp.since(NtpTime::from_unix(Duration::ZERO)), Some(Duration::from_millis(1500)));
        assert_eq!(NtpTime(0).since(ntp), None);
    }

    #[test]
    fn compact_ntp_is_the_middle_and_measures_across_its_wrap() {
        assert_eq!(NtpTime(0x1122_3344_5566_7788).compact(), CompactNtp(0x3344_5566));
        assert_eq!(CompactNtp(0x8000).since(CompactNtp(u32::MAX - 0x7fff)), Duration::from_secs(1));
    }

    #[test]
    fn delay_survives_a_round_trip_and_saturates() {
        for units in [0, 1, 65_535, 65_536, 123_456_789, u32::MAX] {
            assert_eq!(CompactNtp::from_duration(CompactNtp::to_duration(units)), units);
        }
        assert_eq!(CompactNtp::from_duration(Duration::from_secs(1 << 20)), u32::MAX);
    }

    #[test]
    fn abs_send_times_are_told_apart_across_their_wrap() {
        let at = |bytes| AbsSendTime::from_bytes(bytes);
        assert_eq!(at([0, 0, 0]).micros_since(at([0xff, 0, 0])), 250_000);
        assert_eq!(at([0xff, 0, 0]).micros_since(at([0, 0, 0])), -250_000);
        assert_eq!(at([4, 0, 0]).micros_since(at([4, 0, 0])), 0);
    }

    #[test]
    fn abs_send_time_has_six_bits_of_seconds_and_eighteen_of_fraction() {
        let half = NtpTime((3_u64 << 32) | 0x8000_0000);
        assert_eq!(AbsSendTime::from_ntp(half).to_bytes(), [0x0e, 0, 0]);
        let wrapped = NtpTime((64_u64 << 32) | (1 << 14));
        assert_eq!(AbsSendTime::from_ntp(wrapped), AbsSendTime::from_bytes([0, 0, 1]));
    }
}
