//! How many connections may be between their start and the moment when it is clear what they carry.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Connections in all: each is a socket and a few kB of TLS, for at most the deadline.
const MAX_TOTAL: usize = 4096;
/// Connections of one address (IPv6: of a /64). An office joins a meeting from behind one address.
const MAX_PER_ADDRESS: usize = 256;

/// Counts half-open connections. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct HalfOpen(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_address: HashMap<u128, usize>,
}

/// A place among the half-open connections, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    half_open: HalfOpen,
    key: u128,
}

impl HalfOpen {
    /// A place for a connection from `address`.
    ///
    /// # Errors
    /// The limit that leaves none, as a label of metrics.
    pub(crate) fn enter(&self, address: IpAddr) -> Result<Place, &'static str> {
        let key = key_of(address);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.total >= MAX_TOTAL {
            return Err("too_many_half_open");
        }
        let of_address = counts.by_address.entry(key).or_default();
        if *of_address >= MAX_PER_ADDRESS {
            return Err("too_many_half_open_of_address");
        }
        *of_address += 1;
        counts.total += 1;
        Ok(Place { half_open: self.clone(), key })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.half_open.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total = counts.total.saturating_sub(1);
        if let Some(of_address) = counts.by_address.get_mut(&self.key) {
            *of_address = of_address.saturating_sub(1);
            if *of_address == 0 {
                counts.by_address.remove(&self.key);
            }
        }
    }
}

/// The part of an address that one subscriber has.
fn key_of(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_room_for_others_and_gives_its_places_back() {
        let half_open = HalfOpen::default();
        let greedy = IpAddr::from([192, 0, 2, 1]);
        let places: Vec<_> = (0..MAX_PER_ADDRESS).map(|_| half_open.enter(greedy).unwrap()).collect();
        assert_eq!(half_open.enter(greedy).unwrap_err(), "too_many_half_open_of_address");
        assert!(half_open.enter(IpAddr::from([192, 0, 2, 2])).is_ok());
        drop(places);
        assert!(half_open.enter(greedy).is_ok());
        let counts = half_open.0.lock().unwrap();
        assert_eq!((counts.total, counts.by_address.len()), (0, 0));
    }

    #[test]
    fn all_addresses_together_are_limited_and_a_64_counts_as_one() {
        let half_open = HalfOpen::default();
        let places: Vec<_> = (0..MAX_TOTAL as u32)
            .map(|index| half_open.enter(IpAddr::V4(std::net::Ipv4Addr::from_bits(index))).unwrap())
            .collect();
        assert_eq!(half_open.enter(IpAddr::from([9, 9, 9, 9])).unwrap_err(), "too_many_half_open");
        drop(places);
        let places: Vec<_> = (0..MAX_PER_ADDRESS as u16)
            .map(|index| half_open.enter(IpAddr::from([0x2a00, 1, 2, 3, 0, 0, 0, index])).unwrap())
            .collect();
        assert!(half_open.enter(IpAddr::from([0x2a00, 1, 2, 3, 9, 9, 9, 9])).is_err());
        drop(places);
    }
}
