//! Points in time and signed spans, in microseconds.
//!
//! Two clocks meet in a feedback, ours and the reporter's, and spans between them and between packets out of order are
//! negative, which `Instant` and `Duration` cannot be. Nothing here panics: what a caller claims is cut at 36 000 years, and
//! what a reporter claims goes round after ten times as many, as a clock that was set back would. Sums that saturate cost a
//! seventh of a feedback.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in time on one of the two clocks, in microseconds. Ours counts from when the estimator was made; the
/// reporter's is moved so that its first feedback arrived when we took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp(i64);

/// A span of time, in microseconds; negative where the later point came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct TimeDelta(i64);

impl Timestamp {
    pub(crate) const ZERO: Self = Self(0);

    /// Before all of ours, and no span away from any that would go round.
    pub(crate) const MIN: Self = Self(-(1 << 61));

    /// After all of ours.
    pub(crate) const MAX: Self = Self(1 << 61);

    pub(crate) const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub(crate) const fn micros(self) -> i64 {
        self.0
    }

    /// The last point in time stands for all later ones.
    pub(crate) const fn saturating_add(self, delta: TimeDelta) -> Self {
        Self(self.0.saturating_add(delta.0))
    }

    /// To the nearest millisecond, as the detectors of libwebrtc see it.
    pub(crate) const fn rounded_ms(self) -> i64 {
        self.0.saturating_add(500).div_euclid(1000)
    }
}

impl TimeDelta {
    pub(crate) const ZERO: Self = Self(0);

    /// Longer than all others.
    pub(crate) const MAX: Self = Self(i64::MAX);

    pub(crate) const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub(crate) const fn from_ms(ms: i64) -> Self {
        Self(ms * 1000)
    }

    pub(crate) const fn from_secs(secs: i64) -> Self {
        Self(secs * 1_000_000)
    }

    #[cfg(test)]
    pub(crate) const fn micros(self) -> i64 {
        self.0
    }

    pub(crate) const fn as_ms_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    pub(crate) const fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// Without sign; nothing where it is negative.
    pub(crate) const fn to_duration(self) -> Duration {
        Duration::from_micros(if self.0 < 0 { 0 } else { self.0 as u64 })
    }

    pub(crate) const fn scaled(self, factor: f64) -> Self {
        Self((self.0 as f64 * factor) as i64)
    }
}

/// 36 000 years.
const MAX_SECS: u64 = (1 << 60) / 1_000_000;

impl From<Duration> for TimeDelta {
    fn from(duration: Duration) -> Self {
        // Not `as_micros`, whose 128 bits cost more than the rest of noting a packet.
        let whole = duration.as_secs().min(MAX_SECS) as i64;
        Self(whole * 1_000_000 + i64::from(duration.subsec_micros()))
    }
}

impl Add<TimeDelta> for Timestamp {
    type Output = Self;

    fn add(self, delta: TimeDelta) -> Self {
        Self(self.0.wrapping_add(delta.0))
    }
}

impl Sub for Timestamp {
    type Output = TimeDelta;

    fn sub(self, earlier: Self) -> TimeDelta {
        TimeDelta(self.0.wrapping_sub(earlier.0))
    }
}

impl Add for TimeDelta {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl Sub for TimeDelta {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }
}
