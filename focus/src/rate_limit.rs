//! How often a participant may ask for a restart.

use std::collections::VecDeque;
use std::time::Instant;

use crate::settings::RateLimitSettings;

/// Accepts at most `max_requests` in any `interval`, and none within `min_interval` of the last.
#[derive(Clone, Debug)]
pub(crate) struct RateLimit {
    settings: RateLimitSettings,
    /// Accepted requests within the interval, oldest first; never more than `max_requests`.
    accepted: VecDeque<Instant>,
}

impl RateLimit {
    pub(crate) const fn new(settings: RateLimitSettings) -> Self {
        Self { settings, accepted: VecDeque::new() }
    }

    /// Whether one more request is fine now; if so it counts.
    pub(crate) fn accept(&mut self, now: Instant) -> bool {
        let RateLimitSettings { min_interval, max_requests, interval } = self.settings;
        self.accepted.retain(|&at| now.saturating_duration_since(at) < interval);
        let is_too_soon = self.accepted.back().is_some_and(|&last| now.saturating_duration_since(last) < min_interval);
        if is_too_soon || self.accepted.len() >= max_requests {
            return false;
        }
        self.accepted.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
    fn keeps_the_gap_and_the_count() {
        let seconds = Duration::from_secs;
        let settings = RateLimitSettings { min_interval: seconds(5), max_requests: 3, interval: seconds(60) };
        let mut limit = RateLimit::new(settings);
        let start = Instant::now();
        let at = |s| start + seconds(s);
        assert!(limit.accept(at(0)));
        assert!(!limit.accept(at(4)), "too soon");
        assert!(limit.accept(at(5)));
        assert!(limit.accept(at(10)));
        assert!(!limit.accept(at(59)), "three within a minute");
        assert!(limit.accept(at(60)));
    }
}
