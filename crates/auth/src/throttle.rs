//! How often an address may fail to log in: guessing is slowed down, mistakes are forgiven.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Addresses that are remembered; when there are more, the one that is forgiven first is forgotten.
const MAX_ADDRESSES: usize = 10_000;

/// Failures by address: after `failures` within `window` each further one waits for the oldest to be forgiven. All of a
/// network of IPv6 (64 bits) count as one address, as one customer has that many.
#[derive(Debug)]
pub struct FailureThrottle {
    failures: u32,
    window: Duration,
    /// How many failures are not forgiven yet, and when the count was that.
    by_address: BTreeMap<IpAddr, (f64, Instant)>,
}

impl FailureThrottle {
    /// So many failures within so long.
    #[must_use]
    pub const fn new(failures: u32, window: Duration) -> Self {
        Self { failures, window, by_address: BTreeMap::new() }
    }

    /// Whether the address failed too often to be listened to now.
    #[must_use]
    pub fn is_blocked(&self, address: IpAddr, now: Instant) -> bool {
        self.level(network_of(address), now) > f64::from(self.failures) - 1.0
    }

    /// The address failed.
    pub fn on_failure(&mut self, address: IpAddr, now: Instant) {
        let address = network_of(address);
        let level = self.level(address, now) + 1.0;
        if self.by_address.len() >= MAX_ADDRESSES && !self.by_address.contains_key(&address) {
            self.forget_one(now);
        }
        self.by_address.insert(address, (level, now));
    }

    /// Addresses whose failures are not forgiven yet, or were not when last looked at.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.by_address.len()
    }

    fn forget_one(&mut self, now: Instant) {
        self.by_address.retain(|_, (level, at)| forgiven(*level, *at, now, self.failures, self.window) > 0.0);
        if self.by_address.len() >= MAX_ADDRESSES {
            let least = self.by_address.iter().min_by(|(_, (a, _)), (_, (b, _))| a.total_cmp(b));
            if let Some(address) = least.map(|(address, _)| *address) {
                self.by_address.remove(&address);
            }
        }
    }

    fn level(&self, address: IpAddr, now: Instant) -> f64 {
        let remembered = self.by_address.get(&address);
        remembered.map_or(0.0, |(level, at)| forgiven(*level, *at, now, self.failures, self.window))
    }
}

/// What is left of a count: it drains evenly.
fn forgiven(level: f64, at: Instant, now: Instant, failures: u32, window: Duration) -> f64 {
    let passed = now.saturating_duration_since(at).as_secs_f64() / window.as_secs_f64().max(f64::EPSILON);
    (level - passed * f64::from(failures)).max(0.0)
}

fn network_of(address: IpAddr) -> IpAddr {
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
        let (address, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let start = Instant::now();
        for _ in 0..3 {
            assert!(!throttle.is_blocked(address, start));
            throttle.on_failure(address, start);
        }
        assert!(throttle.is_blocked(address, start) && !throttle.is_blocked(other, start));
        assert!(throttle.is_blocked(address, start + Duration::from_secs(19)));
        assert!(!throttle.is_blocked(address, start + Duration::from_secs(21)), "the first is forgiven");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let mut throttle = FailureThrottle::new(1, Duration::from_secs(60));
        let now = Instant::now();
        throttle.on_failure("2001:db8::1".parse().unwrap(), now);
        assert!(throttle.is_blocked("2001:db8::ffff:1".parse().unwrap(), now));
        assert!(!throttle.is_blocked("2001:db8:0:1::1".parse().unwrap(), now));
        throttle.on_failure("::ffff:192.0.2.1".parse().unwrap(), now);
        assert!(throttle.is_blocked("192.0.2.1".parse().unwrap(), now));
    }

    #[test]
    fn so_many_addresses_are_remembered() {
        let mut throttle = FailureThrottle::new(2, Duration::from_secs(60));
        let now = Instant::now();
        let loud: IpAddr = "192.0.2.1".parse().unwrap();
        throttle.on_failure(loud, now);
        throttle.on_failure(loud, now);
        for address in 0..MAX_ADDRESSES + 10 {
            throttle.on_failure(std::net::Ipv4Addr::from_bits(address as u32).into(), now);
        }
        assert_eq!(throttle.remembered(), MAX_ADDRESSES);
        assert!(throttle.is_blocked(loud, now), "who fails most is remembered longest");
        throttle.on_failure(loud, now + Duration::from_secs(61));
        throttle.on_failure("198.51.100.1".parse().unwrap(), now + Duration::from_secs(61));
        assert_eq!(throttle.remembered(), 2, "the forgiven make room");
    }
}
