//! What was sent to one receiver under which number, so that a NACK leads back to the source's packet.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use model::{ExtSeqNum, SeqNum};

use crate::clock::{Millis, MillisClock};
use crate::rtx_cache::{RTX_CACHE_AGE, shrink_idle};

/// Numbers that a log spans at most, matching what the cache of its source can still give.
pub const MAX_SENT_LOG: usize = crate::rtx_cache::MAX_CACHED_PACKETS;

/// Packets sent on one outgoing stream. `T` says how to make the packet again: source, its number, rewritten fields.
///
/// A bridge has one for every video stream to every receiver, so that an entry has eight bytes beside `T`: its number
/// is its place.
#[derive(Clone, Debug)]
pub struct SentLog<T> {
    clock: MillisClock,
    /// Number of the first entry.
    first: ExtSeqNum,
    /// Entries of `first` and the numbers behind it without a gap. The last is one that was sent.
    sent: VecDeque<Sent<T>>,
}

#[derive(Clone, Copy, Debug)]
struct Sent<T> {
    first_sent: Millis,
    last_sent: LastSent,
    /// Of a number that was not sent: that of any other.
    packet: T,
}

/// When a packet was last sent, in milliseconds after the first time. A packet is not sent again after a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LastSent(u16);

impl LastSent {
    const FIRST_TIME: Self = Self(0);
    /// The number was left open, for a packet that may come late.
    const NEVER: Self = Self(u16::MAX);
}

impl<T> Default for SentLog<T> {
    fn default() -> Self {
        Self { clock: MillisClock::default(), first: ExtSeqNum(0), sent: VecDeque::new() }
    }
}

impl<T: Copy> SentLog<T> {
    /// Notes a packet that leaves now for the first time. A number far below the newest is not noted.
    pub fn insert(&mut self, seq: ExtSeqNum, packet: T, now: Instant) {
        let first_sent = self.clock.at(now);
        self.pop_expired(first_sent);
        let entry = Sent { first_sent, last_sent: LastSent::FIRST_TIME, packet };
        let open = Sent { last_sent: LastSent::NEVER, ..entry };
        if self.sent.is_empty() {
            self.first = seq;
        }
        let next = self.first.0 + self.sent.len() as u64;
        if seq.0 >= next {
            if seq.0 - next >= MAX_SENT_LOG as u64 {
                self.sent.clear();
                self.first = seq;
            } else {
                for _ in next..seq.0 {
                    self.push(open);
                }
            }
            self.push(entry);
            return;
        }
        if seq < self.first {
            if next - seq.0 > MAX_SENT_LOG as u64 {
                return;
            }
            for _ in seq.0..self.first.0 {
                self.sent.push_front(open);
            }
            self.first = seq;
        }
        if let Some(place) = self.sent.get_mut((seq.0 - self.first.0) as usize) {
            *place = entry;
        }
    }

    /// The packet that a NACK asks for, noted as sent again now. None where it is not remembered, or was sent so
    /// recently that it is still under way: less than min(0.9·RTT, RTT − 5 ms) ago, as JVB does.
    pub fn take_for_retransmission(
        &mut self,
        lost: SeqNum,
        rtt: Option<Duration>,
        now: Instant,
    ) -> Option<(ExtSeqNum, T)> {
        let newest = ExtSeqNum(self.first.0 + (self.sent.len() as u64).checked_sub(1)?);
        let seq = ExtSeqNum::extend(lost, Some(newest));
        let sent = self.sent.get_mut(usize::try_from(seq.0.checked_sub(self.first.0)?).ok()?)?;
        let age = self.clock.read(now).since(sent.first_sent);
        if sent.last_sent == LastSent::NEVER || age > RTX_CACHE_AGE {
            return None;
        }
        let under_way =
            rtt.map_or(Duration::ZERO, |rtt| (rtt * 9 / 10).min(rtt.saturating_sub(Duration::from_millis(5))));
        if age.saturating_sub(Duration::from_millis(u64::from(sent.last_sent.0))) < under_way {
            return None;
        }
        // At most RTX_CACHE_AGE, of which the value is far from that of NEVER.
        sent.last_sent = LastSent(age.as_millis() as u16);
        Some((seq, sent.packet))
    }

    /// Frees what is too old to be asked for. To be called now and then, also for a stream that stopped.
    pub fn free_expired(&mut self, now: Instant) {
        self.pop_expired(self.clock.read(now));
        shrink_idle(&mut self.sent);
    }

    fn push(&mut self, entry: Sent<T>) {
        if self.sent.len() >= MAX_SENT_LOG {
            self.pop();
        }
        self.sent.push_back(entry);
    }

    fn pop_expired(&mut self, now: Millis) {
        while self.sent.front().is_some_and(|oldest| now.since(oldest.first_sent) > RTX_CACHE_AGE) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        self.sent.pop_front();
        self.first.0 += 1;
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
    fn a_number_left_open_is_not_sent_until_its_packet_comes() {
        let (mut log, now) = (SentLog::default(), start());
        for seq in [10, 13] {
            log.insert(ExtSeqNum(seq), seq, now);
        }
        assert_eq!(log.take_for_retransmission(SeqNum(12), None, now), None);
        for late in [12, 8] {
            log.insert(ExtSeqNum(late), late, now);
            assert_eq!(log.take_for_retransmission(SeqNum(late as u16), None, now), Some((ExtSeqNum(late), late)));
        }
        for open in [7, 9, 11, 14] {
            assert_eq!(log.take_for_retransmission(SeqNum(open), None, now), None);
        }
        assert_eq!(log.take_for_retransmission(SeqNum(10), None, now), Some((ExtSeqNum(10), 10)));
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
        assert_eq!((log.sent.len(), log.sent.capacity()), (MAX_SENT_LOG, MAX_SENT_LOG));
        let (oldest, forgotten) = (2000 - MAX_SENT_LOG as u16, 1999 - MAX_SENT_LOG as u16);
        assert!(log.take_for_retransmission(SeqNum(oldest), None, now).is_some());
        assert!(log.take_for_retransmission(SeqNum(forgotten), None, now).is_none());
        log.insert(ExtSeqNum(u64::from(forgotten)), (), now);
        assert_eq!(log.sent.len(), MAX_SENT_LOG);
        assert!(log.take_for_retransmission(SeqNum(1999), None, now + RTX_CACHE_AGE + ms(1)).is_none());
        log.insert(ExtSeqNum(2000), (), now + RTX_CACHE_AGE + ms(1));
        assert_eq!(log.sent.len(), 1);
        log.free_expired(now + ms(5000));
        assert_eq!(log.sent.capacity(), 0);
    }

    #[test]
    fn a_jump_forgets_what_was_sent_before() {
        let (mut log, now) = (SentLog::default(), start());
        for seq in [1, 2, 2 + MAX_SENT_LOG as u64, 70_000] {
            log.insert(ExtSeqNum(seq), seq, now);
            assert_eq!(log.take_for_retransmission(SeqNum(seq as u16), None, now), Some((ExtSeqNum(seq), seq)));
        }
        assert_eq!(log.sent.len(), 1);
    }

    #[test]
    fn a_steady_stream_allocates_once_and_a_slow_one_gives_back() {
        let (mut log, start) = (SentLog::default(), start());
        let mut capacity = None;
        for i in 0..3000_u64 {
            let now = start + ms(10 * i);
            log.insert(ExtSeqNum(i), i, now);
            log.free_expired(now);
            if i > 300 {
                assert_eq!(*capacity.get_or_insert(log.sent.capacity()), log.sent.capacity());
            }
        }
        assert!(capacity.is_some_and(|capacity| capacity <= 256), "{capacity:?}");
        for i in 0..30_u64 {
            let now = start + ms(30_000 + 200 * i);
            log.insert(ExtSeqNum(3000 + i), i, now);
            log.free_expired(now);
        }
        assert!(log.sent.capacity() <= 32, "{}", log.sent.capacity());
    }

    #[test]
    fn an_entry_costs_eight_bytes_beside_its_packet() {
        assert_eq!(size_of::<Sent<[u32; 4]>>(), 24);
    }
}
