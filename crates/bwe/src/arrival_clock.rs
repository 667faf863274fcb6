//! The reporter's clock, out of the reference times of its feedbacks
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).

use rtp::rtcp::{ArrivalDelta, TWCC_DELTA_UNIT, TWCC_REFERENCE_UNIT};

use crate::time::{TimeDelta, Timestamp};

/// Follows the 24 bits of reference time across their rounds of twelve days.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ArrivalClock {
    last: Option<(i32, Timestamp)>,
}

impl ArrivalClock {
    /// The point in time that the deltas of a feedback count from. That of the first feedback is `now`, so that times
    /// are easy to compare by eye; only differences have a meaning.
    pub(crate) fn base(&mut self, reference_time: i32, now: Timestamp) -> Timestamp {
        let base = match self.last {
            None => now,
            Some((last, base)) => {
                // The shorter way round, keeping the sign of 24 bits.
                let steps = reference_time.wrapping_sub(last) << 8 >> 8;
                base.saturating_add(TimeDelta::from_micros(i64::from(steps) * TWCC_REFERENCE_UNIT.as_micros() as i64))
            }
        };
        self.last = Some((reference_time, base));
        base
    }
}

/// The span of a delta.
pub(crate) fn arrival_delta(delta: ArrivalDelta) -> TimeDelta {
    TimeDelta::from_micros(i64::from(delta.0) * TWCC_DELTA_UNIT.as_micros() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_times_go_round_and_back() {
        let now = Timestamp::from_micros(5_000_000);
        let mut clock = ArrivalClock::default();
        let after = |clock: &mut ArrivalClock, reference| (clock.base(reference, now) - now).micros() / 64_000;
        assert_eq!(after(&mut clock, 0x7f_fffe), 0);
        assert_eq!(after(&mut clock, 0x7f_ffff), 1);
        // The parse gives signed numbers: one above the greatest is the least.
        assert_eq!(after(&mut clock, -0x80_0000), 2);
        assert_eq!(after(&mut clock, -0x7f_fffd), 5);
        // A feedback that was overtaken.
        assert_eq!(after(&mut clock, 0x7f_ffff), 1);
    }

    #[test]
    fn a_lying_reporter_saturates_the_clock() {
        let mut clock = ArrivalClock::default();
        let now = Timestamp::from_micros(i64::MAX - 5);
        clock.base(0, now);
        assert_eq!(clock.base(0x7f_ffff, now), Timestamp::from_micros(i64::MAX));
        assert!(clock.base(0, now) < now);
    }
}
