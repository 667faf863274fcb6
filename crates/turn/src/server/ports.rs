//! The ports that relays may take.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use rand::Rng;

/// Free and taken ports of a range.
#[derive(Debug)]
pub(super) struct FreePorts {
    free: Vec<u16>,
    taken: HashSet<u16>,
}

/// Which ports would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parity {
    Any,
    /// As EVEN-PORT asks.
    Even,
}

impl FreePorts {
    pub(super) fn new(range: RangeInclusive<u16>) -> Self {
        Self { free: range.filter(|port| *port != 0).collect(), taken: HashSet::new() }
    }

    /// Takes one at random, so that nobody can guess the relay of another (RFC 8656 §7.2, RFC 6056); `None` when all
    /// that would do are taken.
    pub(super) fn take(&mut self, rng: &mut impl Rng, parity: Parity) -> Option<u16> {
        if self.free.is_empty() {
            return None;
        }
        let (before, after) = self.free.split_at(rng.random_range(0..self.free.len()));
        let does = |port: &u16| parity == Parity::Any || port.is_multiple_of(2);
        let at = match after.iter().position(does) {
            Some(at) => before.len() + at,
            None => before.iter().position(does)?,
        };
        let port = self.free.swap_remove(at);
        self.taken.insert(port);
        Some(port)
    }

    pub(super) fn give_back(&mut self, port: u16) {
        if self.taken.remove(&port) {
            self.free.push(port);
        }
    }

    pub(super) fn is_taken(&self, port: u16) -> bool {
        self.taken.contains(&port)
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.len()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn every_port_is_given_once_and_comes_back() {
        let mut rng = StdRng::from_seed([1; 32]);
        let mut ports = FreePorts::new(0..=9);
        let mut all: Vec<_> = std::iter::from_fn(|| ports.take(&mut rng, Parity::Any)).collect();
        all.sort_unstable();
        assert_eq!(all, (1..=9).collect::<Vec<_>>());
        assert!(ports.is_taken(4));
        ports.give_back(4);
        ports.give_back(4);
        ports.give_back(77);
        assert_eq!((ports.take(&mut rng, Parity::Any), ports.take(&mut rng, Parity::Any)), (Some(4), None));
    }
}
