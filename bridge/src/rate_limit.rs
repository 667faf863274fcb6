//! How often something may happen: a burst, then a steady rate.

use std::time::{Duration, Instant};

/// A limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// At once.
    pub(crate) burst: u32,
    /// A second in the long run; not 0.
    pub(crate) per_second: u32,
}

/// A token bucket of one who keeps to a limit. The limit is the caller's, as all of a kind have the same one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RateLimit {
    /// When the bucket will be full again; `None` for one that was never used.
    full_at: Option<Instant>,
}

impl RateLimit {
    /// Whether one more may pass now; if so, it is counted.
    pub(crate) fn admit(&mut self, rate: Rate, now: Instant) -> bool {
        let step = Duration::from_secs(1) / rate.per_second;
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + step;
        let is_admitted = full_at.saturating_duration_since(now) <= step * rate.burst;
        if is_admitted {
            self.full_at = Some(full_at);
        }
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_to_the_steady_rate() {
        #[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
        let mut now = Instant::now();
        let rate = Rate { burst: 100, per_second: 20 };
        let mut limit = RateLimit::default();
        assert_eq!((0..1000).filter(|_| limit.admit(rate, now)).count(), 100);
        now += Duration::from_secs(1);
        assert_eq!((0..1000).filter(|_| limit.admit(rate, now)).count(), 20);
        now += Duration::from_secs(60);
        assert_eq!((0..1000).filter(|_| limit.admit(rate, now)).count(), 100);
    }
}
