//! Packets kept for retransmission, by their sequence number: one cache for an incoming stream serves all its
//! receivers, so that memory does not grow with their number.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use model::ExtSeqNum;

/// Most packets kept: about two seconds of 2.5 Mbit/s video, of which only the newest second is used.
pub const MAX_CACHED_PACKETS: usize = 512;

/// How long a packet can be asked for. A repair that comes later is of no use to a conversation.
pub const RTX_CACHE_AGE: Duration = Duration::from_secs(1);

/// Plain packets of one stream. Buffers of packets that are too old are used again, so that a stream of a steady rate
/// allocates nothing.
#[derive(Debug, Default)]
pub struct RtxCache {
    /// In ascending order of sequence numbers.
    packets: VecDeque<Cached>,
}

#[derive(Debug)]
struct Cached {
    seq: ExtSeqNum,
    at: Instant,
    bytes: Vec<u8>,
}

impl RtxCache {
    /// Keeps a copy of a packet, or of the part of it that is needed again. A number that is there already, and one
    /// that is older than all of a full cache, is not kept.
    pub fn insert(&mut self, seq: ExtSeqNum, bytes: &[u8], now: Instant) {
        let at = match self.packets.back() {
            Some(newest) if newest.seq >= seq => match self.packets.binary_search_by_key(&seq, |cached| cached.seq) {
                Ok(_) => return,
                Err(at) => at,
            },
            Some(_) | None => self.packets.len(),
        };
        let is_full = self.packets.len() >= MAX_CACHED_PACKETS;
        if is_full && at == 0 {
            return;
        }
        let recyclable = self.packets.front().is_some_and(|oldest| is_full || is_expired(oldest, now)) && at > 0;
        let (mut buffer, at) = match recyclable.then(|| self.packets.pop_front()).flatten() {
            Some(oldest) => (oldest.bytes, at - 1),
            None => (Vec::new(), at),
        };
        buffer.clear();
        buffer.extend_from_slice(bytes);
        self.packets.insert(at, Cached { seq, at: now, bytes: buffer });
    }

    /// The packet with this number, if it is there and not too old.
    #[must_use]
    pub fn get(&self, seq: ExtSeqNum, now: Instant) -> Option<&[u8]> {
        let at = self.packets.binary_search_by_key(&seq, |cached| cached.seq).ok()?;
        self.packets.get(at).filter(|cached| !is_expired(cached, now)).map(|cached| cached.bytes.as_slice())
    }

    /// Frees what is too old. To be called now and then: a stream that stopped would hold its last second for ever.
    pub fn free_expired(&mut self, now: Instant) {
        while self.packets.front().is_some_and(|oldest| is_expired(oldest, now)) {
            self.packets.pop_front();
        }
        if self.packets.is_empty() {
            self.packets.shrink_to_fit();
        }
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

fn is_expired(cached: &Cached, now: Instant) -> bool {
    now.saturating_duration_since(cached.at) > RTX_CACHE_AGE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_time::{ms, start};

    fn insert(cache: &mut RtxCache, seq: u64, now: Instant) {
        cache.insert(ExtSeqNum(seq), &seq.to_be_bytes(), now);
    }

    #[test]
    fn gives_back_what_came_in_any_order() {
        let (mut cache, now) = (RtxCache::default(), start());
        for seq in [10, 13, 11, 12, 65_536, 9, 11] {
            insert(&mut cache, seq, now);
        }
        assert_eq!(cache.len(), 6);
        for seq in [9, 10, 11, 12, 13, 65_536_u64] {
            assert_eq!(cache.get(ExtSeqNum(seq), now), Some(&seq.to_be_bytes()[..]));
        }
        assert_eq!(cache.get(ExtSeqNum(14), now), None);
    }

    #[test]
    fn forgets_after_a_second() {
        let (mut cache, now) = (RtxCache::default(), start());
        insert(&mut cache, 1, now);
        assert!(cache.get(ExtSeqNum(1), now + RTX_CACHE_AGE).is_some());
        assert!(cache.get(ExtSeqNum(1), now + RTX_CACHE_AGE + ms(1)).is_none());
        insert(&mut cache, 2, now + ms(500));
        cache.free_expired(now + ms(1200));
        assert_eq!(cache.len(), 1);
        cache.free_expired(now + ms(2000));
        assert!(cache.is_empty());
    }

    #[test]
    fn a_steady_stream_uses_its_buffers_again() {
        let (mut cache, start) = (RtxCache::default(), start());
        for i in 0..1000 {
            insert(&mut cache, i, start + ms(10) * i as u32);
        }
        // A second of packets 10 ms apart, and the one that is about to be used again.
        assert!(cache.len() <= 102, "{}", cache.len());
    }

    #[test]
    fn has_a_limit_and_drops_the_oldest() {
        let (mut cache, now) = (RtxCache::default(), start());
        for seq in 10..2000 {
            insert(&mut cache, seq, now);
        }
        assert_eq!(cache.len(), MAX_CACHED_PACKETS);
        assert!(cache.get(ExtSeqNum(1999), now).is_some());
        assert!(cache.get(ExtSeqNum(1999 - MAX_CACHED_PACKETS as u64), now).is_none());
        insert(&mut cache, 5, now);
        assert_eq!((cache.len(), cache.get(ExtSeqNum(5), now)), (MAX_CACHED_PACKETS, None));
    }
}
