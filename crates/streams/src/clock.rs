//! Time in four bytes, for records of which there are many.

use std::time::{Duration, Instant};

/// Counts milliseconds from the first instant that it is shown. A [`Millis`] takes a quarter of the room of an
/// [`Instant`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MillisClock {
    epoch: Option<Instant>,
}

/// An instant of one [`MillisClock`], which goes round in 49 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Millis(u32);

impl MillisClock {
    /// `now` on this clock; the first becomes its zero, and so does what lies before it.
    pub(crate) fn at(&mut self, now: Instant) -> Millis {
        let epoch = *self.epoch.get_or_insert(now);
        Millis(now.saturating_duration_since(epoch).as_millis() as u32)
    }

    /// `now` on this clock, which was shown an instant before. Else its zero.
    pub(crate) fn read(&self, now: Instant) -> Millis {
        let passed = self.epoch.map_or(Duration::ZERO, |epoch| now.saturating_duration_since(epoch));
        Millis(passed.as_millis() as u32)
    }
}

impl Millis {
    /// Time since `earlier`, at most 24 days of it; none if that lies ahead. Whole milliseconds.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let passed = self.0.wrapping_sub(earlier.0);
        if passed > u32::MAX / 2 { Duration::ZERO } else { Duration::from_millis(u64::from(passed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_time::{ms, start};

    #[test]
    fn counts_across_its_round_and_never_backwards() {
        let (mut clock, start) = (MillisClock::default(), start());
        let zero = clock.at(start + ms(5));
        assert_eq!(clock.at(start), zero);
        let late = start + ms(5) + ms(u64::from(u32::MAX));
        let before_wrap = clock.at(late);
        let after_wrap = clock.at(late + ms(10));
        assert_eq!(after_wrap.since(before_wrap), ms(10));
        assert_eq!(before_wrap.since(after_wrap), ms(0));
        assert_eq!(clock.read(late), before_wrap);
    }
}
