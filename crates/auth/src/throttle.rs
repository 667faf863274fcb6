//! How often logins may fail, by address or by account: guessing is slowed down, mistakes are forgiven.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Addresses, or accounts, that are remembered; when there are more, the one that is forgiven first is forgotten.
const MAX_REMEMBERED: usize = 10_000;

/// Failures by whom they count for: after `failures` within `window` each further one waits for the oldest to be forgiven.
#[derive(Debug)]
pub struct FailureThrottle<K> {
    failures: u32,
    window: Duration,
    /// How many failures are not forgiven yet, and when the count was that.
    levels: BTreeMap<K, (f64, Instant)>,
}

impl<K: Ord + Clone> FailureThrottle<K> {
    /// So many failures within so long.
    #[must_use]
    pub const fn new(failures: u32, window: Duration) -> Self {
        Self { failures, window, levels: BTreeMap::new() }
    }

    /// Whether there were too many failures to listen now.
    #[must_use]
    pub fn is_blocked<Q: Ord + ?Sized>(&self, key: &Q, now: Instant) -> bool
    where
        K: Borrow<Q>,
    {
        self.level(key, now) > f64::from(self.failures) - 1.0
    }

    /// A failure.
    pub fn on_failure(&mut self, key: K, now: Instant) {
        let level = self.level(&key, now) + 1.0;
        if self.levels.len() >= MAX_REMEMBERED && !self.levels.contains_key(&key) {
            self.forget_one(now);
        }
        self.levels.insert(key, (level, now));
    }

    /// What failed before is forgiven.
    pub fn on_success<Q: Ord + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.levels.remove(key);
    }

    /// How many have failures that are not forgiven yet, or were not when last looked at.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.levels.len()
    }

    fn forget_one(&mut self, now: Instant) {
        self.levels.retain(|_, (level, at)| forgiven(*level, *at, now, self.failures, self.window) > 0.0);
        if self.levels.len() >= MAX_REMEMBERED {
            let least = self.levels.iter().min_by(|(_, (a, _)), (_, (b, _))| a.total_cmp(b));
            if let Some(key) = least.map(|(key, _)| key.clone()) {
                self.levels.remove(&key);
            }
        }
    }

    fn level<Q: Ord + ?Sized>(&self, key: &Q, now: Instant) -> f64
    where
        K: Borrow<Q>,
    {
        let remembered = self.levels.get(key);
        remembered.map_or(0.0, |(level, at)| forgiven(*level, *at, now, self.failures, self.window))
    }
}

/// What is left of a count: it drains evenly.
fn forgiven(level: f64, at: Instant, now: Instant, failures: u32, window: Duration) -> f64 {
    let passed = now.saturating_duration_since(at).as_secs_f64() / window.as_secs_f64().max(f64::EPSILON);
    (level - passed * f64::from(failures)).max(0.0)
}

/// What counts as one address: all of a network of IPv6 (64 bits), as one customer has that many (RFC 6177).
#[must_use]
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use super::*;

    #[test]
    fn who_fails_too_often_waits_and_is_forgiven() {
        let mut throttle = FailureThrottle::new(3, Duration::from_secs(60));
        let start = Instant::now();
        for _ in 0..3 {
            assert!(!throttle.is_blocked("bob", start));
            throttle.on_failure("bob".to_owned(), start);
        }
        assert!(throttle.is_blocked("bob", start) && !throttle.is_blocked("alice", start));
        assert!(throttle.is_blocked("bob", start + Duration::from_secs(19)));
        assert!(!throttle.is_blocked("bob", start + Duration::from_secs(21)), "the first is forgiven");
    }

    #[test]
    fn a_success_makes_up_for_mistakes() {
        let mut throttle = FailureThrottle::new(3, Duration::from_secs(60));
        let now = Instant::now();
        for _ in 0..10 {
            throttle.on_failure("bob".to_owned(), now);
            throttle.on_success("bob");
        }
        assert!(!throttle.is_blocked("bob", now));
        assert_eq!(throttle.remembered(), 0);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let network = |address: &str| network_of(address.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8::ffff:1"), network("2001:db8::1"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8::1"));
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn so_many_are_remembered() {
        let mut throttle = FailureThrottle::new(2, Duration::from_secs(60));
        let now = Instant::now();
        let loud = usize::MAX;
        throttle.on_failure(loud, now);
        throttle.on_failure(loud, now);
        for other in 0..MAX_REMEMBERED + 10 {
            throttle.on_failure(other, now);
        }
        assert_eq!(throttle.remembered(), MAX_REMEMBERED);
        assert!(throttle.is_blocked(&loud, now), "who fails most is remembered longest");
        throttle.on_failure(loud, now + Duration::from_secs(61));
        throttle.on_failure(loud - 1, now + Duration::from_secs(61));
        assert_eq!(throttle.remembered(), 2, "the forgiven make room");
    }
}
