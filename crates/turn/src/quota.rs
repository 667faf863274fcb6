//! Who holds how much: allocations by user and by address, answers to strangers by address.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::Limits;

/// Counts what is held by a key; a key that holds nothing is forgotten.
#[derive(Debug)]
pub(crate) struct Holders<K>(HashMap<K, usize>);

impl<K: std::hash::Hash + Eq> Holders<K> {
    pub(crate) fn new() -> Self {
        Self(HashMap::new())
    }

    pub(crate) fn count(&self, key: &K) -> usize {
        self.0.get(key).copied().unwrap_or_default()
    }

    pub(crate) fn take(&mut self, key: K) {
        *self.0.entry(key).or_default() += 1;
    }

    pub(crate) fn give_back(&mut self, key: &K) {
        let Some(count) = self.0.get_mut(key) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.0.remove(key);
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The part of an address that one subscriber has: all of IPv4, a /64 of IPv6, within which addresses are free to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Subscriber(u128);

impl Subscriber {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
        })
    }
}

/// Tokens that come back with time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenBucket {
    tokens: u32,
    filled: Instant,
}

impl TokenBucket {
    pub(crate) const fn full(now: Instant, burst: u32) -> Self {
        Self { tokens: burst, filled: now }
    }

    /// Adds tokens that were not earned by time, up to the burst.
    pub(crate) fn give(&mut self, tokens: u32, burst: u32) {
        self.tokens = self.tokens.saturating_add(tokens).min(burst);
    }

    /// Takes `cost` tokens, if there are as many.
    pub(crate) fn take(&mut self, now: Instant, cost: u32, per_second: u32, burst: u32) -> bool {
        let elapsed = now.saturating_duration_since(self.filled);
        let earned = elapsed.as_micros().saturating_mul(u128::from(per_second)) / 1_000_000;
        if earned > 0 {
            let all = u128::from(self.tokens).saturating_add(earned).min(u128::from(burst));
            self.tokens = u32::try_from(all).unwrap_or(burst);
            // Only what was earned is paid for: a fraction of a token is not lost.
            let paid = earned.saturating_mul(1_000_000) / u128::from(per_second.max(1));
            self.filled +=
                Duration::from_micros(u64::try_from(paid).unwrap_or(u64::MAX).min(elapsed.as_micros() as u64));
        }
        let is_enough = self.tokens >= cost;
        if is_enough {
            self.tokens -= cost;
        }
        is_enough
    }
}

/// Limits answers to those who showed no credentials over UDP, so that a forged sender cannot have others flooded: so
/// many a second, and no more bytes to an address than came from it but for a small excess. Answers are longer than the
/// shortest requests; without the excess a client would get its first one when it asks again only.
///
/// A table of fixed size: subscribers that fall into one place share its tokens, which costs a stranger an answer now
/// and then and needs no memory for addresses that anybody can make up.
#[derive(Debug)]
pub(crate) struct StrangerLimit {
    places: Vec<Place>,
    hasher: RandomState,
    per_second: u32,
    burst: u32,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    answers: TokenBucket,
    /// Bytes that may be sent: those that came, and what is left of the excess.
    bytes: TokenBucket,
}

/// Places of the table.
const PLACES: u64 = 4096;

/// Bytes that an address may get beyond those that came from it, at once: an office that joins a meeting, at about 70
/// bytes a browser.
const EXCESS_BURST: u32 = 4096;

/// And for long: what a flood of forged requests gains at most.
const EXCESS_PER_SECOND: u32 = 64;

impl StrangerLimit {
    pub(crate) fn new(now: Instant, limits: &Limits) -> Self {
        let burst = limits.unauthenticated_burst;
        let place = Place { answers: TokenBucket::full(now, burst), bytes: TokenBucket::full(now, EXCESS_BURST) };
        let places = vec![place; PLACES as usize];
        Self { places, hasher: RandomState::new(), per_second: limits.unauthenticated_per_second, burst }
    }

    /// Takes note of a request of `request` bytes from a stranger at this address, whose answer has `answer` bytes.
    ///
    /// # Errors
    /// Why it may not be answered, as the label of the counter.
    pub(crate) fn allow(
        &mut self,
        now: Instant,
        address: IpAddr,
        request: usize,
        answer: usize,
    ) -> Result<(), &'static str> {
        let index = self.hasher.hash_one(Subscriber::of(address)) % PLACES;
        let (per_second, burst) = (self.per_second, self.burst);
        let place = self.places.get_mut(index as usize).ok_or("unauthenticated_rate")?;
        let [request, answer] = [request, answer].map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
        place.bytes.give(request, EXCESS_BURST);
        let bytes = place.bytes;
        if !place.bytes.take(now, answer, EXCESS_PER_SECOND, EXCESS_BURST) {
            return Err("unauthenticated_short");
        }
        if !place.answers.take(now, 1, per_second, burst) {
            place.bytes = bytes;
            return Err("unauthenticated_rate");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an instant to count from")]
        Instant::now()
    }

    #[test]
    fn tokens_come_back_with_time_and_no_fraction_is_lost() {
        let mut now = now();
        let mut bucket = TokenBucket::full(now, 2);
        assert!(bucket.take(now, 1, 3, 2) && bucket.take(now, 1, 3, 2) && !bucket.take(now, 1, 3, 2));
        let mut granted = 0;
        for _ in 0..100 {
            now += Duration::from_millis(100);
            granted += u32::from(bucket.take(now, 1, 3, 2));
        }
        assert!((29..=30).contains(&granted), "{granted} in ten seconds");
        assert!(!bucket.take(now, 3, 3, 2), "never more than the burst");
    }

    #[test]
    fn a_stranger_is_answered_up_to_the_limit_whatever_the_address_within_a_64() {
        let now = now();
        let mut limit = StrangerLimit::new(now, &Limits::default());
        let mut answered = 0;
        for suffix in 0..1000_u16 {
            let address = IpAddr::from([0x2a00, 1, 2, 3, 0, 0, 0, suffix]);
            answered += u32::from(limit.allow(now, address, 64, 64).is_ok());
        }
        assert_eq!(answered, Limits::default().unauthenticated_burst);
    }

    #[test]
    fn a_stranger_gets_no_more_bytes_than_it_sent_and_a_small_excess() {
        let mut now = now();
        let limits = Limits { unauthenticated_per_second: 1000, ..Limits::default() };
        let mut limit = StrangerLimit::new(now, &limits);
        let (client, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        assert_eq!(limit.allow(now, client, 28, 56), Ok(()), "the first is answered at once");
        let (mut sent, mut got) = (28, 56);
        for _ in 0..3000 {
            now += Duration::from_millis(10);
            sent += 28;
            got += if limit.allow(now, client, 28, 56).is_ok() { 56 } else { 0 };
        }
        let excess = got - sent;
        assert!((5800..=4096 + 30 * 64).contains(&excess), "{excess}");
        // Nor a long answer, from wherever.
        for _ in 0..1000 {
            assert_eq!(limit.allow(now, other, 28, 10_000), Err("unauthenticated_short"));
        }
    }

    #[test]
    fn holders_that_hold_nothing_are_forgotten() {
        let mut holders = Holders::new();
        holders.take("a");
        holders.take("a");
        holders.give_back(&"a");
        assert_eq!(holders.count(&"a"), 1);
        holders.give_back(&"a");
        holders.give_back(&"a");
        assert!(holders.is_empty());
    }
}
