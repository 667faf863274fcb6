//! [`Network`]: datagrams under way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use crate::{Bottleneck, Random};

/// What a path does to datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// Time that each datagram takes at least.
    pub latency: Duration,
    /// Up to this much more, anew for each datagram: close ones may overtake each other.
    pub jitter: Duration,
    /// Of a hundred, how many never arrive.
    pub loss_percent: u8,
    /// How many arrive twice, the second time with a jitter of its own.
    pub duplicate_percent: u8,
    /// How many are held back by [`Self::held_back_by`], so that later ones overtake them.
    pub reorder_percent: u8,
    /// How long those wait on top of latency and jitter.
    pub held_back_by: Duration,
    /// How many have one bit changed.
    pub corrupt_percent: u8,
}

impl Conditions {
    /// A path without fault.
    #[must_use]
    pub const fn clean(latency: Duration) -> Self {
        Self {
            latency,
            jitter: Duration::ZERO,
            loss_percent: 0,
            duplicate_percent: 0,
            reorder_percent: 0,
            held_back_by: Duration::ZERO,
            corrupt_percent: 0,
        }
    }

    /// The same with jitter.
    #[must_use]
    pub const fn with_jitter(self, jitter: Duration) -> Self {
        Self { jitter, ..self }
    }

    /// The same with loss.
    #[must_use]
    pub const fn with_loss(self, loss_percent: u8) -> Self {
        Self { loss_percent, ..self }
    }
}

/// What the network did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams given to [`Network::send`].
    pub sent: u64,
    /// Of those, lost ones.
    pub lost: u64,
    /// Datagrams that [`Network::receive`] gave, doubles included.
    pub delivered: u64,
}

/// A datagram at its destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery<A> {
    /// Who sent it.
    pub from: A,
    /// Where it arrived.
    pub to: A,
    /// Its bytes.
    pub datagram: Vec<u8>,
}

/// Datagrams between addresses of kind `A`: socket addresses, or an enum of the two sides of a test.
///
/// What arrives at one instant arrives in the order in which it was sent. A test that fails with a network in hand
/// prints its seed.
#[derive(Debug)]
pub struct Network<A> {
    conditions: Conditions,
    line: Option<Line<A>>,
    seed: u64,
    random: Random,
    under_way: BinaryHeap<Reverse<Flight<A>>>,
    next_number: u64,
    counters: Counters,
}

/// A bottleneck, and which datagrams go through it, by whence and where.
#[derive(Debug)]
struct Line<A> {
    bottleneck: Bottleneck,
    carries: fn(&A, &A) -> bool,
}

#[derive(Debug)]
struct Flight<A> {
    arrives: Instant,
    number: u64,
    delivery: Delivery<A>,
}

impl<A: Clone> Network<A> {
    /// A network whose faults `seed` decides.
    #[must_use]
    pub const fn new(conditions: Conditions, seed: u64) -> Self {
        Self {
            conditions,
            line: None,
            seed,
            random: Random::new(seed),
            under_way: BinaryHeap::new(),
            next_number: 0,
            counters: Counters { sent: 0, lost: 0, delivered: 0 },
        }
    }

    /// Changes the path for what is sent from now on.
    pub const fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// Puts a bottleneck in front of the path of datagrams that `carries` says true of, told whence and where they go.
    pub fn set_bottleneck(&mut self, bottleneck: Bottleneck, carries: fn(&A, &A) -> bool) {
        self.line = Some(Line { bottleneck, carries });
    }

    /// The bottleneck, to change its rate.
    pub const fn bottleneck_mut(&mut self) -> Option<&mut Bottleneck> {
        match &mut self.line {
            Some(line) => Some(&mut line.bottleneck),
            None => None,
        }
    }

    /// A datagram leaves `from` now.
    pub fn send(&mut self, now: Instant, from: A, to: A, mut datagram: Vec<u8>) {
        self.counters.sent += 1;
        let leaves = match &mut self.line {
            Some(line) if (line.carries)(&from, &to) => line.bottleneck.pass(now, datagram.len()),
            Some(_) | None => Some(now),
        };
        let Some(leaves) = leaves else {
            self.counters.lost += 1;
            return;
        };
        if self.random.percent(self.conditions.loss_percent) {
            self.counters.lost += 1;
            return;
        }
        if self.random.percent(self.conditions.corrupt_percent) {
            let bit = self.random.below(datagram.len() as u64 * 8);
            if let Some(byte) = datagram.get_mut((bit / 8) as usize) {
                *byte ^= 1 << (bit % 8);
            }
        }
        let delivery = Delivery { from, to, datagram };
        if self.random.percent(self.conditions.duplicate_percent) {
            self.put_under_way(leaves, delivery.clone());
        }
        self.put_under_way(leaves, delivery);
    }

    /// When the next datagram arrives.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Instant> {
        self.under_way.peek().map(|Reverse(flight)| flight.arrives)
    }

    /// The next datagram that has arrived by now.
    pub fn receive(&mut self, now: Instant) -> Option<Delivery<A>> {
        if self.next_arrival()? > now {
            return None;
        }
        let Reverse(flight) = self.under_way.pop()?;
        self.counters.delivered += 1;
        Some(flight.delivery)
    }

    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn put_under_way(&mut self, leaves: Instant, delivery: Delivery<A>) {
        let jitter = Duration::from_micros(self.random.below(self.conditions.jitter.as_micros() as u64));
        let is_held_back = self.random.percent(self.conditions.reorder_percent);
        let held_back = if is_held_back { self.conditions.held_back_by } else { Duration::ZERO };
        let arrives = leaves + self.conditions.latency + jitter + held_back;
        self.under_way.push(Reverse(Flight { arrives, number: self.next_number, delivery }));
        self.next_number += 1;
    }
}

impl<A> Drop for Network<A> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the network had seed {} and {:?}", self.seed, self.conditions);
        }
    }
}

impl<A> PartialEq for Flight<A> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<A> Eq for Flight<A> {}

impl<A> PartialOrd for Flight<A> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<A> Ord for Flight<A> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.arrives, self.number).cmp(&(other.arrives, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::start;

    const CLEAN: Conditions = Conditions::clean(Duration::from_millis(20));

    /// Sends a hundred datagrams, a millisecond apart, and answers (ms of arrival, first byte) of each.
    fn arrivals(conditions: Conditions, seed: u64) -> Vec<(u64, u8)> {
        let start = start();
        let mut network = Network::new(conditions, seed);
        for i in 0..100 {
            network.send(start + Duration::from_millis(u64::from(i)), 'a', 'b', vec![i, 0]);
        }
        std::iter::from_fn(|| {
            let at = network.next_arrival()?;
            let Delivery { from, to, datagram } = network.receive(at)?;
            assert_eq!((from, to), ('a', 'b'));
            Some(((at - start).as_millis() as u64, datagram[0]))
        })
        .collect()
    }

    #[test]
    fn a_clean_path_only_takes_its_time() {
        assert!(arrivals(CLEAN, 1).into_iter().eq((0..100).map(|i| (20 + u64::from(i), i))));
    }

    #[test]
    fn nothing_arrives_before_its_time() {
        let start = start();
        let mut network = Network::new(CLEAN, 1);
        network.send(start, 1, 2, vec![7]);
        assert_eq!(network.receive(start + Duration::from_millis(19)), None);
        assert!(network.receive(start + Duration::from_millis(20)).is_some());
        assert_eq!(network.counters(), Counters { sent: 1, lost: 0, delivered: 1 });
    }

    #[test]
    fn a_bottleneck_holds_up_one_direction_and_drops_what_it_has_no_room_for() {
        let start = start();
        let mut network = Network::new(CLEAN, 1);
        // Room for two datagrams of ten milliseconds.
        network.set_bottleneck(Bottleneck::new(800_000, 2000), |from, _| *from == 'a');
        for _ in 0..3 {
            network.send(start, 'a', 'b', vec![0; 1000]);
        }
        network.send(start, 'b', 'a', vec![0; 1000]);
        let mut arrivals = Vec::new();
        while let Some(at) = network.next_arrival() {
            arrivals.push(((at - start).as_millis(), network.receive(at).unwrap().to));
        }
        assert_eq!(arrivals, [(20, 'a'), (30, 'b'), (40, 'b')]);
        assert_eq!(network.counters(), Counters { sent: 4, lost: 1, delivered: 3 });
        assert_eq!(network.bottleneck_mut().map(|line| line.dropped()), Some(1));
    }

    #[test]
    fn the_seed_decides_what_is_lost() {
        let lossy = CLEAN.with_loss(30);
        let got = arrivals(lossy, 5);
        assert_eq!(got, arrivals(lossy, 5));
        assert_ne!(got, arrivals(lossy, 6));
        assert!((55..85).contains(&got.len()), "{}", got.len());
    }

    #[test]
    fn faults_are_what_they_are_called() {
        let doubled = arrivals(Conditions { duplicate_percent: 100, ..CLEAN }, 1);
        assert_eq!(doubled.len(), 200);
        let reordered = Conditions { reorder_percent: 20, held_back_by: Duration::from_millis(5), ..CLEAN };
        let reordered = arrivals(reordered, 1);
        assert!(reordered.len() == 100 && !reordered.is_sorted_by_key(|(_, number)| *number));
        let jittery = arrivals(CLEAN.with_jitter(Duration::from_millis(10)), 1);
        assert!(!jittery.is_sorted_by_key(|(_, number)| *number));
        assert!(jittery.iter().all(|(at, number)| (20..=30).contains(&(at - u64::from(*number)))));
        let damaged = arrivals(Conditions { corrupt_percent: 100, ..CLEAN }, 1);
        assert!(damaged.iter().zip(0..).any(|((_, number), sent)| *number != sent));
    }
}
