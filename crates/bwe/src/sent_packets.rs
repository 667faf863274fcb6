//! What was sent under which transport-wide number, until feedback speaks about it.

use std::collections::VecDeque;

use model::{DataSize, TwccSeq};

use crate::probe::ProbeClusterId;
use crate::reported::Unheard;
use crate::time::{TimeDelta, Timestamp};

/// Most packets that are remembered, and a few until they are counted. With half of the number space each 16-bit number
/// has one meaning. At 20 Mbit/s these are 15 seconds.
const MAX_SENT_PACKETS: usize = 1 << 15;

/// How long a packet is remembered that no feedback spoke about. Feedback comes every 50 to 250 ms, and a path of ten
/// seconds carries no conference.
const MAX_AGE: TimeDelta = TimeDelta::from_secs(10);

/// The same as long as none ever came: perhaps nobody sends any.
const MAX_AGE_UNANSWERED: TimeDelta = TimeDelta::from_secs(2);

/// How long a packet is remembered that was reported as lost: a receiver reports one that was overtaken later, with its
/// neighbours, for half a second (`streams::TwccReceiver`).
const MAX_AGE_LOST: TimeDelta = TimeDelta::from_secs(2);

/// Packets for which memory is kept, 8 kB: those of two seconds at 5 Mbit/s.
const KEPT_PACKETS: usize = 1024;

/// Packets between two looks at what is too old, when no feedback comes that has the same done.
const FORGET_INTERVAL: u64 = 64;

/// Number of the first packet: one round up, so that a number before it does not fall below zero.
const FIRST: u64 = 1 << 16;

/// Packets that lost feedback spoke about at most, those of a second at 3 Mbit/s: where more are missing it is not feedback
/// that is lost, but the path.
const MAX_UNHEARD: u64 = 256;

/// How far in front of the oldest packet a feedback may start, so that garbage costs no walk over thousands of numbers.
const MAX_STALE_STATUSES: u16 = 2048;

/// One packet, in eight bytes: there are some thousand of these for each receiver.
#[derive(Clone, Copy, Debug)]
struct Record {
    /// Low 32 bits of the time of sending; the rest follows from the newest, of which no record is an hour away.
    sent_micros: u32,
    size: u16,
    probe: Option<ProbeClusterId>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InFlight,
    ReportedLost,
    Acknowledged,
}

/// A packet of ours that a feedback speaks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentPacket {
    /// Transport-wide number without wrap.
    pub(crate) number: u64,
    pub(crate) sent: Timestamp,
    pub(crate) size: DataSize,
    pub(crate) probe: Option<ProbeClusterId>,
}

/// What a status says to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// First word about this packet, or its arrival after it was thought lost.
    News(SentPacket),
    /// Nothing that we did not know, or a number that is not remembered.
    Nothing,
    /// A number that was not given out yet; so are all that follow.
    NotSentYet,
}

/// Ring of what was sent, by number.
#[derive(Clone, Debug)]
pub(crate) struct SentPackets {
    records: VecDeque<Record>,
    /// Number of the first record.
    start: u64,
    last_sent: Timestamp,
    /// Number after the highest that feedback spoke about.
    heard_until: u64,
}

impl SentPackets {
    pub(crate) const fn new() -> Self {
        Self { records: VecDeque::new(), start: FIRST, last_sent: Timestamp::ZERO, heard_until: FIRST }
    }

    /// Notes a packet that leaves now, under the next number.
    pub(crate) fn push(&mut self, now: Timestamp, size: DataSize, probe: Option<ProbeClusterId>) -> TwccSeq {
        if now - self.last_sent > MAX_AGE {
            self.forget_all();
            self.records.shrink_to_fit();
        }
        self.last_sent = self.last_sent.max(now);
        let next = self.next();
        let size = u16::try_from(size.bytes()).unwrap_or(u16::MAX);
        self.records.push_back(Record { sent_micros: now.micros() as u32, size, probe, state: State::InFlight });
        if next.is_multiple_of(FORGET_INTERVAL) {
            self.forget_oldest();
        }
        TwccSeq(next as u16)
    }

    /// Takes one status of a feedback.
    pub(crate) fn handle_status(&mut self, seq: TwccSeq, arrived: bool) -> Lookup {
        let Some(number) = self.number_of(seq) else { return Lookup::NotSentYet };
        let Some(index) = number.checked_sub(self.start) else { return Lookup::Nothing };
        let Some(record) = self.records.get_mut(index as usize) else { return Lookup::Nothing };
        let heard = if arrived { State::Acknowledged } else { State::ReportedLost };
        if record.state == State::Acknowledged || record.state == heard {
            return Lookup::Nothing;
        }
        record.state = heard;
        self.heard_until = self.heard_until.max(number + 1);
        let record = *record;
        Lookup::News(SentPacket {
            number,
            sent: self.sent_at(record),
            size: DataSize::from_bytes(u64::from(record.size)),
            probe: record.probe,
        })
    }

    /// Packets in flight between what feedback spoke about until now and `base`, where the next starts: the feedback about
    /// them was lost on its way.
    pub(crate) fn unheard_before(&self, base: TwccSeq) -> impl Iterator<Item = Unheard> {
        let base = self.number_of(base).unwrap_or(self.heard_until);
        let from = self.heard_until.max(self.start);
        let count = base.saturating_sub(from);
        let taken = if count > MAX_UNHEARD { 0 } else { count as usize };
        // At most `MAX_SENT_PACKETS`, and some more.
        let in_front = (from - self.start) as usize;
        let packets = self.records.range(in_front.min(self.records.len())..).take(taken);
        packets
            .filter(|record| record.state == State::InFlight)
            .map(|record| Unheard { sent: self.sent_at(*record), size: DataSize::from_bytes(u64::from(record.size)) })
    }

    /// Whether a feedback that starts at `base` lies so far back that no status of it is worth a look.
    pub(crate) fn is_stale(&self, base: TwccSeq) -> bool {
        let oldest = self.start as u16;
        let before = oldest.wrapping_sub(base.0);
        MAX_STALE_STATUSES < before && before <= 1 << 15
    }

    /// Nothing that feedback says of what was sent until now is news.
    pub(crate) fn forget_all(&mut self) {
        self.start = self.next();
        self.records.clear();
    }

    /// Drops from the front what no feedback can say anything new about.
    pub(crate) fn forget_oldest(&mut self) {
        let max_age = if self.heard_until == FIRST { MAX_AGE_UNANSWERED } else { MAX_AGE };
        let is_over = |index: usize, record: &Record| {
            let max_age = match record.state {
                State::Acknowledged => return true,
                State::ReportedLost => MAX_AGE_LOST,
                State::InFlight => max_age,
            };
            self.records.len() - index > MAX_SENT_PACKETS || self.last_sent - self.sent_at(*record) > max_age
        };
        let kept = self.records.iter().enumerate().position(|(index, record)| !is_over(index, record));
        let count = kept.unwrap_or(self.records.len());
        self.records.drain(..count);
        self.start += count as u64;
    }

    /// Gives memory back after a burst. Not to be called for each packet.
    pub(crate) fn shrink_idle(&mut self) {
        let capacity = self.records.capacity();
        if capacity > KEPT_PACKETS && self.records.len() < capacity / 8 {
            self.records.shrink_to(KEPT_PACKETS.max(capacity / 4));
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// The number after the last that was given out.
    pub(crate) fn next(&self) -> u64 {
        self.start + self.records.len() as u64
    }

    /// The youngest number that was given out and reads so on the wire.
    fn number_of(&self, seq: TwccSeq) -> Option<u64> {
        let next = self.next();
        let behind = u64::from((next as u16).wrapping_sub(seq.0).wrapping_sub(1)) + 1;
        (behind <= 1 << 15).then(|| next.saturating_sub(behind))
    }

    const fn sent_at(&self, record: Record) -> Timestamp {
        let age = (self.last_sent.micros() as u32).wrapping_sub(record.sent_micros);
        Timestamp::from_micros(self.last_sent.micros() - age as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: DataSize = DataSize::from_bytes(1200);

    fn at(ms: i64) -> Timestamp {
        Timestamp::ZERO + TimeDelta::from_ms(ms)
    }

    fn sent_ms(lookup: Lookup) -> Option<i64> {
        match lookup {
            Lookup::News(packet) => Some((packet.sent - Timestamp::ZERO).micros() / 1000),
            Lookup::Nothing | Lookup::NotSentYet => None,
        }
    }

    #[test]
    fn a_record_has_eight_bytes() {
        assert_eq!(size_of::<Record>(), 8);
    }

    #[test]
    fn each_packet_is_news_once_and_once_more_when_it_was_thought_lost() {
        let mut sent = SentPackets::new();
        let seqs: Vec<_> = (0..3).map(|i| sent.push(at(i), SIZE, None)).collect();
        assert_eq!(seqs, [TwccSeq(0), TwccSeq(1), TwccSeq(2)]);
        assert_eq!(sent_ms(sent.handle_status(seqs[1], false)), Some(1));
        assert_eq!(sent.handle_status(seqs[1], false), Lookup::Nothing);
        assert_eq!(sent_ms(sent.handle_status(seqs[1], true)), Some(1));
        assert_eq!(sent.handle_status(seqs[1], true), Lookup::Nothing);
        assert_eq!(sent.handle_status(seqs[1], false), Lookup::Nothing);
        assert_eq!(sent.handle_status(TwccSeq(3), true), Lookup::NotSentYet);
        assert_eq!(sent.handle_status(TwccSeq(65_535), true), Lookup::Nothing);
    }

    #[test]
    fn numbers_go_round() {
        let mut sent = SentPackets::new();
        for i in 0..200_000_i64 {
            let seq = sent.push(at(i), SIZE, None);
            assert_eq!(seq.0, i as u16);
            assert_eq!(sent_ms(sent.handle_status(seq, true)), Some(i));
        }
        assert!(sent.len() as u64 <= FORGET_INTERVAL);
    }

    #[test]
    fn a_lost_packet_at_the_front_holds_the_ring_for_two_seconds() {
        let mut sent = SentPackets::new();
        let lost = sent.push(at(0), SIZE, None);
        sent.handle_status(lost, false);
        for i in 1..=2000 {
            let seq = sent.push(at(i), SIZE, None);
            sent.handle_status(seq, true);
        }
        sent.forget_oldest();
        assert_eq!(sent.len(), 2001);
        sent.push(at(2001), SIZE, None);
        sent.forget_oldest();
        assert_eq!(sent.len(), 1);
    }

    #[test]
    fn what_nobody_acknowledges_is_bounded_by_age_and_by_number() {
        let mut sent = SentPackets::new();
        for i in 0..30_000 {
            sent.push(at(i), SIZE, None);
        }
        assert!(sent.len() as u64 <= 2_001 + FORGET_INTERVAL, "nobody sends feedback");
        let first = sent.push(at(30_000), SIZE, None);
        sent.handle_status(first, true);
        for i in 30_000..60_000 {
            sent.push(at(i), SIZE, None);
        }
        assert!((10_001..=10_001 + FORGET_INTERVAL).contains(&(sent.len() as u64)), "no feedback any more");
        for _ in 0..100_000 {
            sent.push(at(60_000), SIZE, None);
        }
        assert!(sent.len() <= MAX_SENT_PACKETS + FORGET_INTERVAL as usize);
        // After a pause nothing of before is known, whatever the low 32 bits of the times say.
        let seq = sent.push(Timestamp::from_micros((1 << 32) + 60_000_000), SIZE, None);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent.handle_status(TwccSeq(seq.0.wrapping_sub(1)), true), Lookup::Nothing);
    }

    #[test]
    fn a_feedback_from_long_ago_is_stale() {
        let mut sent = SentPackets::new();
        for i in 0..10_000 {
            let seq = sent.push(at(i), SIZE, None);
            sent.handle_status(seq, true);
        }
        assert!(sent.is_stale(TwccSeq(10_000 - 4000)));
        assert!(!sent.is_stale(TwccSeq(10_000 - 100)));
        assert!(!sent.is_stale(TwccSeq(10_000)));
    }

    /// Answers when, in ms, what is unheard in front of a feedback was sent.
    fn unheard_ms(sent: &mut SentPackets, base: u16) -> Vec<i64> {
        sent.unheard_before(TwccSeq(base)).map(|packet| (packet.sent - Timestamp::ZERO).micros() / 1000).collect()
    }

    #[test]
    fn what_a_lost_feedback_spoke_about_is_known() {
        let mut sent = SentPackets::new();
        for i in 0..8 {
            sent.push(at(i), SIZE, None);
        }
        assert_eq!(unheard_ms(&mut sent, 0), Vec::<i64>::new());
        sent.handle_status(TwccSeq(0), true);
        sent.handle_status(TwccSeq(1), false);
        assert_eq!(unheard_ms(&mut sent, 2), Vec::<i64>::new());
        assert_eq!(unheard_ms(&mut sent, 5), [2, 3, 4]);
        sent.handle_status(TwccSeq(5), true);
        // Not again.
        assert_eq!(unheard_ms(&mut sent, 6), Vec::<i64>::new());
        // Numbers that were not given out, and old ones.
        assert_eq!(unheard_ms(&mut sent, 9), Vec::<i64>::new());
        assert_eq!(unheard_ms(&mut sent, 65_000), Vec::<i64>::new());
    }

    #[test]
    fn a_path_that_was_silent_for_long_is_no_lost_feedback() {
        let mut sent = SentPackets::new();
        for i in 0..1000 {
            sent.push(at(i), SIZE, None);
        }
        assert_eq!(unheard_ms(&mut sent, 256).len(), 256);
        assert_eq!(unheard_ms(&mut sent, 257).len(), 0);
    }
}
