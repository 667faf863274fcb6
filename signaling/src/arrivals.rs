//! How many connections come from one address, and how fast (`mod_rate_limit`, signaling.md §9).
//!
//! Here: the count, told of each that comes and goes. Not here: what is done to one that is slowed down
//! (`shell/throttle.rs`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use model::Network;

use crate::window::Window;

/// What one address may do. Proxies are not meant: the address is that of the client behind those that are trusted.
#[derive(Clone, Debug, Default)]
pub struct AddressLimits {
    /// Connections at one time; `None` for no limit, as in stock: an office may come from one address.
    pub connections: Option<usize>,
    /// New connections in a second; `None` for no limit, as in stock.
    pub logins: Option<LoginRate>,
    /// Addresses for which none of this holds.
    pub exempt: Vec<Network>,
}

/// How fast connections may come from one address, and what becomes of those that come faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginRate {
    /// New connections in a second.
    pub per_second: u32,
    /// Bytes a second that are read from those beyond.
    pub slowed_to: u32,
    /// For how long.
    pub slowed_for: Duration,
    /// Addresses that are remembered; those beyond are not slowed down.
    pub addresses: usize,
}

impl LoginRate {
    /// Docker's, for a deployment that wants it.
    pub const STOCK: Self =
        Self { per_second: 3, slowed_to: 200, slowed_for: Duration::from_secs(60), addresses: 10_000 };
}

/// Addresses that have connections or had some lately.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    places: HashMap<IpAddr, Place>,
}

#[derive(Debug, Default)]
struct Place {
    open: usize,
    /// What came within a second.
    arrived: Window,
}

/// What becomes of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is served, and its end is to be told.
    Counted,
    /// The same, but it is read slowly for a while.
    Slowed { bytes_per_second: u32, until: Instant },
    /// It is served; nobody counts it.
    Uncounted,
    /// It is turned away.
    Refused,
}

impl Arrivals {
    /// Somebody connects.
    pub(crate) fn on_arrival(&mut self, limits: &AddressLimits, address: IpAddr, now: Instant) -> Arrival {
        let is_limited = limits.connections.is_some() || limits.logins.is_some();
        if !is_limited || limits.exempt.iter().any(|network| network.contains(address)) {
            return Arrival::Uncounted;
        }
        if !self.places.contains_key(&address) && !self.has_place(limits, now) {
            return Arrival::Uncounted;
        }
        let place = self.places.entry(address).or_default();
        if limits.connections.is_some_and(|most| place.open >= most) {
            return Arrival::Refused;
        }
        place.open += 1;
        let arrived = place.arrived.count(SECOND, now);
        match limits.logins {
            Some(rate) if arrived > rate.per_second => {
                Arrival::Slowed { bytes_per_second: rate.slowed_to, until: now + rate.slowed_for }
            }
            Some(_) | None => Arrival::Counted,
        }
    }

    /// A counted connection ended.
    pub(crate) fn on_departure(&mut self, address: IpAddr, now: Instant) {
        let Some(place) = self.places.get_mut(&address) else { return };
        place.open = place.open.saturating_sub(1);
        if place.open == 0 && !place.arrived.is_running(SECOND, now) {
            self.places.remove(&address);
        }
    }

    /// Whether one more address can be remembered. Those with connections are as many as there are connections at most.
    fn has_place(&mut self, limits: &AddressLimits, now: Instant) -> bool {
        let Some(most) = limits.logins.map(|rate| rate.addresses) else { return true };
        if self.places.len() >= most {
            self.places.retain(|_, place| place.open > 0 || place.arrived.is_running(SECOND, now));
        }
        self.places.len() < most || limits.connections.is_some()
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use super::*;

    const ALICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const BOB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn an_address_has_so_many_connections_and_no_more() {
        let limits = AddressLimits { connections: Some(2), ..AddressLimits::default() };
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        assert_eq!(arrivals.on_arrival(&limits, ALICE, now), Arrival::Counted);
        assert_eq!(arrivals.on_arrival(&limits, ALICE, now), Arrival::Counted);
        assert_eq!(arrivals.on_arrival(&limits, ALICE, now), Arrival::Refused);
        assert_eq!(arrivals.on_arrival(&limits, BOB, now), Arrival::Counted);
        arrivals.on_departure(ALICE, now);
        assert_eq!(arrivals.on_arrival(&limits, ALICE, now), Arrival::Counted);
        let exempt = AddressLimits { exempt: vec!["192.0.2.0/24".parse().unwrap()], ..limits };
        assert_eq!(arrivals.on_arrival(&exempt, ALICE, now), Arrival::Uncounted);
    }

    #[test]
    fn connections_that_come_too_fast_are_slowed_down() {
        let limits = AddressLimits { logins: Some(LoginRate::STOCK), ..AddressLimits::default() };
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        for _ in 0..3 {
            assert_eq!(arrivals.on_arrival(&limits, ALICE, now), Arrival::Counted);
        }
        let slowed = Arrival::Slowed { bytes_per_second: 200, until: now + Duration::from_secs(60) };
        assert_eq!(arrivals.on_arrival(&limits, ALICE, now), slowed);
        assert_eq!(arrivals.on_arrival(&limits, ALICE, now + SECOND), Arrival::Counted);
    }

    #[test]
    fn who_is_gone_is_forgotten_and_a_crowd_has_a_limit() {
        let rate = LoginRate { addresses: 2, ..LoginRate::STOCK };
        let limits = AddressLimits { logins: Some(rate), ..AddressLimits::default() };
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        assert_eq!(arrivals.on_arrival(&limits, ALICE, now), Arrival::Counted);
        assert_eq!(arrivals.on_arrival(&limits, BOB, now), Arrival::Counted);
        let carol = "192.0.2.3".parse().unwrap();
        assert_eq!(arrivals.on_arrival(&limits, carol, now), Arrival::Uncounted);
        arrivals.on_departure(ALICE, now);
        assert_eq!(arrivals.on_arrival(&limits, carol, now), Arrival::Uncounted, "this second is still counted");
        assert_eq!(arrivals.on_arrival(&limits, carol, now + SECOND), Arrival::Counted);
        arrivals.on_departure(BOB, now + SECOND);
        arrivals.on_departure(carol, now + SECOND * 2);
        assert!(arrivals.places.is_empty());
    }
}
