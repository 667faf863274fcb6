//! Packets kept for retransmission, by their sequence number: one cache for an incoming stream serves all its
//! receivers, so that memory does not grow with their number.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use model::ExtSeqNum;

use crate::clock::{Millis, MillisClock};

/// Most packets kept: about two seconds of 2.5 Mbit/s video, of which only the newest second is used.
pub const MAX_CACHED_PACKETS: usize = 512;

/// How long a packet can be asked for. A repair that comes later is of no use to a conversation.
pub const RTX_CACHE_AGE: Duration = Duration::from_secs(1);

/// Packets of one stream. `P` is whatever holds one: its bytes, or a share of the buffer that they were received into.
///
/// What leaves the cache is handed back, so that its owner can use the buffer again. A stream of a steady rate
/// allocates nothing: each packet pushes out one that is too old.
#[derive(Debug)]
pub struct RtxCache<P> {
    clock: MillisClock,
    /// In ascending order of sequence numbers.
    packets: VecDeque<Cached<P>>,
}

#[derive(Debug)]
struct Cached<P> {
    seq: ExtSeqNum,
    at: Millis,
    packet: P,
}

impl<P> Default for RtxCache<P> {
    fn default() -> Self {
        Self { clock: MillisClock::default(), packets: VecDeque::new() }
    }
}

impl<P> RtxCache<P> {
    /// Keeps a packet, and gives back the one that is pushed out for it: the oldest, if it is too old or the cache is
    /// full. Gives `packet` itself back if it is not kept: its number is there already, or lies below all of a full
    /// cache. The newest packet goes in without a search.
    pub fn insert(&mut self, seq: ExtSeqNum, packet: P, now: Instant) -> Option<P> {
        let at = self.clock.at(now);
        let place = match self.packets.back() {
            Some(newest) if newest.seq >= seq => match self.packets.binary_search_by_key(&seq, |cached| cached.seq) {
                Ok(_) => return Some(packet),
                Err(place) => place,
            },
            Some(_) | None => self.packets.len(),
        };
        let is_full = self.packets.len() >= MAX_CACHED_PACKETS;
        if place == 0 {
            if is_full {
                return Some(packet);
            }
            self.packets.push_front(Cached { seq, at, packet });
            return None;
        }
        let is_pushed_out = is_full || self.packets.front().is_some_and(|oldest| is_expired(oldest.at, at));
        let pushed_out = if is_pushed_out { self.packets.pop_front() } else { None };
        self.packets.insert(place - usize::from(pushed_out.is_some()), Cached { seq, at, packet });
        pushed_out.map(|cached| cached.packet)
    }

    /// The packet with this number, if it is there and not too old.
    #[must_use]
    pub fn get(&self, seq: ExtSeqNum, now: Instant) -> Option<&P> {
        self.get_with_age(seq, now).map(|(packet, _)| packet)
    }

    /// As [`get`](Self::get), with the time that it has been there, in whole milliseconds.
    #[must_use]
    pub fn get_with_age(&self, seq: ExtSeqNum, now: Instant) -> Option<(&P, Duration)> {
        let place = self.packets.binary_search_by_key(&seq, |cached| cached.seq).ok()?;
        let cached = self.packets.get(place)?;
        let now = self.clock.read(now);
        (!is_expired(cached.at, now)).then(|| (&cached.packet, now.since(cached.at)))
    }

    /// The packet that is pushed out next.
    #[must_use]
    pub fn oldest(&self) -> Option<&P> {
        self.packets.front().map(|oldest| &oldest.packet)
    }

    /// Takes out the oldest packet if it is too old. To be called now and then until it answers `None`: a stream that
    /// stopped or slowed down would hold what it holds for ever. Then memory that was for a higher rate is freed.
    pub fn pop_expired(&mut self, now: Instant) -> Option<P> {
        let now = self.clock.read(now);
        let expired = self.packets.pop_front_if(|oldest| is_expired(oldest.at, now));
        if expired.is_none() {
            shrink_idle(&mut self.packets);
        }
        expired.map(|cached| cached.packet)
    }

    /// Packets in the cache, those that are too old included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }
}

fn is_expired(at: Millis, now: Millis) -> bool {
    now.since(at) > RTX_CACHE_AGE
}

/// Frees all of an empty list, and half of one of which less than a quarter is used. The distance between the two
/// keeps a steady rate from growing and shrinking in turn.
pub(crate) fn shrink_idle<T>(list: &mut VecDeque<T>) {
    if list.is_empty() {
        list.shrink_to_fit();
    } else if list.len() < list.capacity() / 4 {
        list.shrink_to(list.capacity() / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_time::{ms, start};

    fn insert(cache: &mut RtxCache<u64>, seq: u64, now: Instant) -> Option<u64> {
        cache.insert(ExtSeqNum(seq), seq, now)
    }

    #[test]
    fn gives_back_what_came_in_any_order() {
        let (mut cache, now) = (RtxCache::default(), start());
        for seq in [10, 13, 11, 12, 65_536, 9] {
            assert_eq!(insert(&mut cache, seq, now), None);
        }
        assert_eq!(cache.len(), 6);
        for seq in [9, 10, 11, 12, 13, 65_536_u64] {
            assert_eq!(cache.get(ExtSeqNum(seq), now), Some(&seq));
        }
        assert_eq!(cache.get(ExtSeqNum(14), now), None);
    }

    #[test]
    fn hands_back_a_number_that_is_there_already() {
        let (mut cache, now) = (RtxCache::default(), start());
        assert_eq!(cache.insert(ExtSeqNum(1), "first", now), None);
        assert_eq!(cache.insert(ExtSeqNum(1), "again", now), Some("again"));
        assert_eq!(cache.get(ExtSeqNum(1), now), Some(&"first"));
    }

    #[test]
    fn forgets_after_a_second() {
        let (mut cache, now) = (RtxCache::default(), start());
        insert(&mut cache, 1, now);
        assert!(cache.get(ExtSeqNum(1), now + RTX_CACHE_AGE).is_some());
        assert!(cache.get(ExtSeqNum(1), now + RTX_CACHE_AGE + ms(1)).is_none());
        insert(&mut cache, 2, now + ms(500));
        assert_eq!(cache.pop_expired(now + ms(1200)), Some(1));
        assert_eq!(cache.pop_expired(now + ms(1200)), None);
        assert_eq!(cache.pop_expired(now + ms(2000)), Some(2));
        assert!(cache.is_empty());
    }

    #[test]
    fn each_packet_of_a_steady_stream_pushes_out_one() {
        let (mut cache, start) = (RtxCache::default(), start());
        let mut capacity = None;
        for i in 0..1000 {
            let pushed_out = insert(&mut cache, i, start + ms(10) * i as u32);
            // A second of packets 10 ms apart, and the one that is about to be pushed out.
            assert_eq!(pushed_out, i.checked_sub(101));
            if i >= 101 {
                assert_eq!(*capacity.get_or_insert(cache.packets.capacity()), cache.packets.capacity());
            }
        }
        assert_eq!(cache.len(), 101);
    }

    #[test]
    fn has_a_limit_and_drops_the_oldest() {
        let (mut cache, now) = (RtxCache::default(), start());
        for seq in 10..2000 {
            assert_eq!(
                insert(&mut cache, seq, now),
                seq.checked_sub(MAX_CACHED_PACKETS as u64).filter(|old| *old >= 10)
            );
        }
        assert_eq!((cache.len(), cache.packets.capacity()), (MAX_CACHED_PACKETS, MAX_CACHED_PACKETS));
        assert!(cache.get(ExtSeqNum(1999), now).is_some());
        assert!(cache.get(ExtSeqNum(1999 - MAX_CACHED_PACKETS as u64), now).is_none());
        assert_eq!(insert(&mut cache, 5, now), Some(5));
        assert_eq!((cache.len(), cache.get(ExtSeqNum(5), now)), (MAX_CACHED_PACKETS, None));
    }

    #[test]
    fn a_stream_that_slows_down_gives_memory_back() {
        let (mut cache, start) = (RtxCache::default(), start());
        for i in 0..500 {
            insert(&mut cache, i, start + ms(i));
        }
        for i in 500..600 {
            let now = start + ms(100) * i as u32;
            insert(&mut cache, i, now);
            while cache.pop_expired(now).is_some() {}
        }
        assert_eq!(cache.len(), 11);
        assert!(cache.packets.capacity() <= 64, "{}", cache.packets.capacity());
        while cache.pop_expired(start + ms(1_000_000)).is_some() {}
        assert_eq!(cache.packets.capacity(), 0);
    }

    #[test]
    fn an_entry_costs_a_pointer_and_sixteen_bytes() {
        assert_eq!(size_of::<Cached<std::sync::Arc<()>>>(), 24);
    }
}
