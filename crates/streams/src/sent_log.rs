//! What was sent to one receiver under which number, so that a NACK leads back to the source's packet.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use model::{ExtSeqNum, SeqNum};

use crate::rtx_cache::RTX_CACHE_AGE;

/// Most packets remembered of a stream to one receiver, matching what the cache of its source can still give.
pub const MAX_SENT_LOG: usize = crate::rtx_cache::MAX_CACHED_PACKETS;

/// Packets sent on one outgoing stream. `T` says how to make the packet again: source, its number, rewritten fields.
#[derive(Clone, Debug)]
pub struct SentLog<T> {
    /// In ascending order of our sequence numbers.
    sent: VecDeque<Sent<T>>,
}

#[derive(Clone, Debug)]
struct Sent<T> {
    seq: ExtSeqNum,
    first_sent: Instant,
    last_sent: Instant,
    packet: T,
}

impl<T> Default for SentLog<T> {
    fn default() -> Self {
        Self { sent: VecDeque::new() }
    }
}

impl<T: Copy> SentLog<T> {
    /// Notes a packet that leaves now for the first time.
    pub fn insert(&mut self, seq: ExtSeqNum, packet: T, now: Instant) {
        while self.sent.front().is_some_and(|oldest| {
            self.sent.len() >= MAX_SENT_LOG || now.saturating_duration_since(oldest.first_sent) > RTX_CACHE_AGE
        }) {
            self.sent.pop_front();
        }
        let sent = Sent { seq, first_sent: now, last_sent: now, packet };
        match self.sent.binary_search_by_key(&seq, |sent| sent.seq) {
            Ok(at) => {
                if let Some(place) = self.sent.get_mut(at) {
                    *place = sent;
                }
            }
            Err(at) => self.sent.insert(at, sent),
        }
    }

    /// The packet that a NACK asks for, noted as sent again now. None where it is not remembered, or was sent so
    /// recently that it is still under way: less than min(0.9·RTT, RTT − 5 ms) ago, as JVB does.
    pub fn take_for_retransmission(
        &mut self,
        seq: SeqNum,
        rtt: Option<Duration>,
        now: Instant,
    ) -> Option<(ExtSeqNum, T)> {
        let seq = ExtSeqNum::extend(seq, self.sent.back().map(|sent| sent.seq));
        let at = self.sent.binary_search_by_key(&seq, |sent| sent.seq).ok()?;
        let sent = self.sent.get_mut(at)?;
        if now.saturating_duration_since(sent.first_sent) > RTX_CACHE_AGE {
            return None;
        }
        let under_way =
            rtt.map_or(Duration::ZERO, |rtt| (rtt * 9 / 10).min(rtt.saturating_sub(Duration::from_millis(5))));
        if now.saturating_duration_since(sent.last_sent) < under_way {
            return None;
        }
        sent.last_sent = now;
        Some((seq, sent.packet))
    }

    /// Frees what is too old to be asked for.
    pub fn free_expired(&mut self, now: Instant) {
        while self.sent.front().is_some_and(|oldest| now.saturating_duration_since(oldest.first_sent) > RTX_CACHE_AGE) {
            self.sent.pop_front();
        }
        if self.sent.is_empty() {
            self.sent.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_time::{ms, start};

    #[test]
    fn leads_from_our_number_to_the_packet_across_the_wrap() {
        let (mut log, now) = (SentLog::default(), start());
        for seq in [65_534, 65_536, 65_535, 65_537] {
            log.insert(ExtSeqNum(seq), seq, now);
        }
        for (wire, seq) in [(65_534, 65_534), (65_535, 65_535), (0, 65_536), (1, 65_537)] {
            assert_eq!(log.take_for_retransmission(SeqNum(wire), None, now), Some((ExtSeqNum(seq), seq)));
        }
        assert_eq!(log.take_for_retransmission(SeqNum(2), None, now), None);
    }

    #[test]
    fn does_not_repeat_what_is_still_under_way() {
        let (mut log, now) = (SentLog::default(), start());
        log.insert(ExtSeqNum(1), (), now);
        let mut take = |at| log.take_for_retransmission(SeqNum(1), Some(ms(100)), now + ms(at)).is_some();
        assert!(!take(89));
        assert!(take(90));
        assert!(!take(150));
        assert!(take(180));
    }

    #[test]
    fn forgets_after_a_second_and_has_a_limit() {
        let (mut log, now) = (SentLog::default(), start());
        for seq in 0..2000 {
            log.insert(ExtSeqNum(seq), (), now);
        }
        assert_eq!(log.sent.len(), MAX_SENT_LOG);
        assert!(log.take_for_retransmission(SeqNum(1999), None, now + RTX_CACHE_AGE + ms(1)).is_none());
        log.insert(ExtSeqNum(2000), (), now + RTX_CACHE_AGE + ms(1));
        assert_eq!(log.sent.len(), 1);
        log.free_expired(now + ms(5000));
        assert!(log.sent.is_empty());
    }
}
