//! Sequence numbers and timestamps of a stream that we send, which go on as if from one encoder while its source
//! changes: another simulcast layer, another participant, or the same after a pause.

use std::time::Instant;

use model::{ExtSeqNum, RtpTimestamp, SeqNum, Ssrc};

use crate::earlier::Earlier;
use crate::gapless::GaplessMap;

/// A packet of a source, as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The source's stream.
    pub source: Ssrc,
    /// Its number there.
    pub seq: ExtSeqNum,
    /// Its time there.
    pub timestamp: RtpTimestamp,
}

/// Its numbers in the stream that we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// Our number. Given once to each packet, as long as each incoming packet is shown once.
    pub seq: ExtSeqNum,
    /// Our time.
    pub timestamp: RtpTimestamp,
}

/// The numbers of one outgoing stream.
///
/// ```text
/// source A  10 11 12 13 -- 15             A 14 comes late: it has its place
/// source B                    7* 8 9x 10  7 starts a key frame, 9 is left out
/// sent       1  2  3  4  5  6 7  8    9
/// ```
#[derive(Clone, Debug)]
pub struct SequenceRewriter {
    clock_rate_hz: u32,
    first_seq: ExtSeqNum,
    first_timestamp: RtpTimestamp,
    current: Option<Segment>,
    earlier: Earlier<Segment>,
    /// The newest timestamp that we sent, and when the first packet with it came.
    newest: Option<(RtpTimestamp, Instant)>,
}

/// Where an outgoing stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastSent {
    /// The highest number.
    pub seq: ExtSeqNum,
    /// The newest time.
    pub timestamp: RtpTimestamp,
    /// When that was sent.
    pub at: Instant,
}

#[derive(Clone, Debug)]
struct Segment {
    source: Ssrc,
    numbers: GaplessMap,
    /// Added to the source's timestamps, wrapping.
    timestamp_offset: u32,
}

impl SequenceRewriter {
    /// A stream that nothing was sent on yet. The first numbers should be random (RFC 3550 §5.1); the top bit of
    /// `first_seq` is cleared, so that a receiver that loses the first packets does not guess a roll-over
    /// (RFC 3711 §3.3.1).
    #[must_use]
    pub const fn new(clock_rate_hz: u32, first_seq: SeqNum, first_timestamp: RtpTimestamp) -> Self {
        Self {
            clock_rate_hz,
            first_seq: ExtSeqNum((first_seq.0 & 0x7fff) as u64),
            first_timestamp,
            current: None,
            earlier: Earlier::NONE,
            newest: None,
        }
    }

    /// A stream that was sent under the same SSRC before, in the same SRTP session, and ended there: a source that was
    /// taken away and came back. The receiver keeps its replay window and roll-over count for the SSRC, and two packets
    /// under one number break the encryption (RFC 3711 §9.1), so that numbers must go on.
    #[must_use]
    pub const fn continuing(clock_rate_hz: u32, last: LastSent) -> Self {
        Self {
            clock_rate_hz,
            first_seq: ExtSeqNum(last.seq.0 + 1),
            first_timestamp: last.timestamp,
            current: None,
            earlier: Earlier::NONE,
            newest: Some((last.timestamp, last.at)),
        }
    }

    /// Starts or goes on with `packet` as the first that is sent of its source: for video, the first packet of a key
    /// frame. Numbers go on by one; time goes on by the time that passed, so that the picture keeps its pace.
    pub fn switch_to(&mut self, packet: &Incoming, now: Instant) -> Rewritten {
        let seq = match &self.current {
            Some(current) => ExtSeqNum(current.numbers.highest_ours() + 1),
            None => self.first_seq,
        };
        let timestamp = self.timestamp_after_switch(packet, now);
        let segment = Segment {
            source: packet.source,
            numbers: GaplessMap::starting_at(packet.seq.0, seq.0),
            timestamp_offset: timestamp.0.wrapping_sub(packet.timestamp.0),
        };
        if let Some(before) = self.current.replace(segment) {
            self.earlier.push(before);
        }
        self.newest = Some((timestamp, now));
        Rewritten { seq, timestamp }
    }

    /// Our numbers for a packet that is sent. None for a packet that must be dropped: its source is not, or no longer,
    /// the one that is sent, or it lies before the switch.
    pub fn rewrite(&mut self, packet: &Incoming, now: Instant) -> Option<Rewritten> {
        let current = self.current.as_mut().filter(|current| current.source == packet.source);
        let mapped = current.and_then(|current| Some((current.numbers.map(packet.seq.0)?, current.timestamp_offset)));
        if let Some((seq, timestamp_offset)) = mapped {
            let timestamp = RtpTimestamp(packet.timestamp.0.wrapping_add(timestamp_offset));
            if self.newest.is_none_or(|(newest, _)| is_newer(timestamp, newest)) {
                self.newest = Some((timestamp, now));
            }
            return Some(Rewritten { seq: ExtSeqNum(seq), timestamp });
        }
        self.earlier.iter().filter(|before| before.source == packet.source).find_map(|before| {
            Some(Rewritten {
                seq: ExtSeqNum(before.numbers.map_late(packet.seq.0)?),
                timestamp: RtpTimestamp(packet.timestamp.0.wrapping_add(before.timestamp_offset)),
            })
        })
    }

    /// Leaves a packet of the source out without a gap: padding, a temporal layer that the receiver does not get. False
    /// where the gap stays, because a later packet was sent or because the source is not the one that is sent.
    pub fn skip(&mut self, source: Ssrc, seq: ExtSeqNum) -> bool {
        let current = self.current.as_mut().filter(|current| current.source == source);
        current.is_some_and(|current| current.numbers.skip(seq.0))
    }

    /// Our time for a time of the source that is sent, for its sender reports. None for any other source.
    #[must_use]
    pub fn map_timestamp(&self, source: Ssrc, timestamp: RtpTimestamp) -> Option<RtpTimestamp> {
        let current = self.current.as_ref().filter(|current| current.source == source)?;
        Some(RtpTimestamp(timestamp.0.wrapping_add(current.timestamp_offset)))
    }

    /// The source that is sent.
    #[must_use]
    pub fn source(&self) -> Option<Ssrc> {
        self.current.as_ref().map(|current| current.source)
    }

    /// The highest number sent.
    #[must_use]
    pub fn highest_seq(&self) -> Option<ExtSeqNum> {
        self.current.as_ref().map(|current| ExtSeqNum(current.numbers.highest_ours()))
    }

    /// Where the stream is, to go on from in [`Self::continuing`]. None if nothing was sent.
    #[must_use]
    pub fn last_sent(&self) -> Option<LastSent> {
        let (timestamp, at) = self.newest?;
        let seq = match &self.current {
            Some(current) => ExtSeqNum(current.numbers.highest_ours()),
            // A stream that goes on from another and sent nothing yet.
            None => ExtSeqNum(self.first_seq.0.checked_sub(1)?),
        };
        Some(LastSent { seq, timestamp, at })
    }

    fn timestamp_after_switch(&self, packet: &Incoming, now: Instant) -> RtpTimestamp {
        let Some((newest, at)) = self.newest else { return self.first_timestamp };
        // The same source after a pause: its own clock is the better measure of what passed.
        if let Some(same_clock) = self.map_timestamp(packet.source, packet.timestamp)
            && is_newer(same_clock, newest)
        {
            return same_clock;
        }
        let passed = now.saturating_duration_since(at).as_nanos() * u128::from(self.clock_rate_hz) / 1_000_000_000;
        // Two frames never share a time, however close the switch.
        RtpTimestamp(newest.0.wrapping_add((passed as u32).max(1)))
    }
}

/// Whether `a` lies ahead of `b` on the 32-bit circle.
const fn is_newer(a: RtpTimestamp, b: RtpTimestamp) -> bool {
    let ahead = a.0.wrapping_sub(b.0);
    ahead != 0 && ahead < 1 << 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_time::{ms, start};

    const A: Ssrc = Ssrc(0xa);
    const B: Ssrc = Ssrc(0xb);

    fn rewriter() -> SequenceRewriter {
        SequenceRewriter::new(90_000, SeqNum(1), RtpTimestamp(500))
    }

    fn packet(source: Ssrc, seq: u64, timestamp: u32) -> Incoming {
        Incoming { source, seq: ExtSeqNum(seq), timestamp: RtpTimestamp(timestamp) }
    }

    fn seq_of(rewritten: Option<Rewritten>) -> Option<u64> {
        rewritten.map(|rewritten| rewritten.seq.0)
    }

    #[test]
    fn nothing_is_sent_before_the_first_switch() {
        let mut rewriter = rewriter();
        assert_eq!(rewriter.rewrite(&packet(A, 1, 0), start()), None);
        assert!(!rewriter.skip(A, ExtSeqNum(1)));
        assert_eq!((rewriter.source(), rewriter.highest_seq()), (None, None));
    }

    /// The figure above the type.
    #[test]
    fn numbers_go_on_across_a_switch_with_late_and_dropped_packets() {
        let (mut rewriter, now) = (rewriter(), start());
        assert_eq!(rewriter.switch_to(&packet(A, 10, 0), now).seq, ExtSeqNum(1));
        for (seq, ours) in [(11, 2), (12, 3), (13, 4), (15, 6)] {
            assert_eq!(seq_of(rewriter.rewrite(&packet(A, seq, 0), now)), Some(ours));
        }
        // Before the switch B is not sent, whatever comes of it.
        assert_eq!(rewriter.rewrite(&packet(B, 6, 9), now), None);
        assert_eq!(rewriter.switch_to(&packet(B, 7, 9), now).seq, ExtSeqNum(7));
        assert_eq!(seq_of(rewriter.rewrite(&packet(B, 8, 9), now)), Some(8));
        assert!(rewriter.skip(B, ExtSeqNum(9)));
        assert_eq!(seq_of(rewriter.rewrite(&packet(B, 10, 9), now)), Some(9));
        // Late: A's open place is filled; what came after A's last, and B before its start, are dropped.
        assert_eq!(seq_of(rewriter.rewrite(&packet(A, 14, 0), now)), Some(5));
        assert_eq!(rewriter.rewrite(&packet(A, 16, 0), now), None);
        assert_eq!(rewriter.rewrite(&packet(B, 6, 9), now), None);
        assert_eq!(rewriter.rewrite(&packet(B, 9, 9), now), None);
        assert_eq!((rewriter.source(), rewriter.highest_seq()), (Some(B), Some(ExtSeqNum(9))));
    }

    #[test]
    fn a_packet_finds_its_place_behind_several_switches() {
        let (mut rewriter, now) = (rewriter(), start());
        rewriter.switch_to(&packet(A, 10, 0), now);
        rewriter.rewrite(&packet(A, 12, 0), now);
        rewriter.switch_to(&packet(B, 7, 9), now);
        rewriter.switch_to(&packet(A, 40, 90), now);
        rewriter.rewrite(&packet(A, 42, 90), now);
        rewriter.switch_to(&packet(B, 20, 99), now);
        let late = [(A, 11), (A, 41), (A, 13), (A, 39), (B, 8), (A, 10)];
        let ours = late.map(|(source, seq)| seq_of(rewriter.rewrite(&packet(source, seq, 0), now)));
        assert_eq!(ours, [Some(2), Some(6), None, None, None, Some(1)]);
    }

    #[test]
    fn time_goes_on_by_what_passed() {
        let (mut rewriter, start) = (rewriter(), start());
        assert_eq!(rewriter.switch_to(&packet(A, 1, 1_000_000), start).timestamp, RtpTimestamp(500));
        let next = rewriter.rewrite(&packet(A, 2, 1_003_000), start + ms(33)).unwrap();
        assert_eq!(next.timestamp, RtpTimestamp(3500));
        // The rest of the frame comes later, and does not count as newer.
        rewriter.rewrite(&packet(A, 3, 1_003_000), start + ms(40)).unwrap();
        let switched = rewriter.switch_to(&packet(B, 1, 77), start + ms(133));
        assert_eq!(switched.timestamp, RtpTimestamp(3500 + 9000));
        assert_eq!(rewriter.map_timestamp(B, RtpTimestamp(78)), Some(RtpTimestamp(12_501)));
        assert_eq!(rewriter.map_timestamp(A, RtpTimestamp(78)), None);
    }

    #[test]
    fn two_frames_never_share_a_time() {
        let (mut rewriter, now) = (rewriter(), start());
        rewriter.switch_to(&packet(A, 1, 10), now);
        assert_eq!(rewriter.switch_to(&packet(B, 1, 10), now).timestamp, RtpTimestamp(501));
    }

    #[test]
    fn the_same_source_after_a_pause_keeps_its_clock_and_leaves_no_gap() {
        let (mut rewriter, start) = (rewriter(), start());
        rewriter.switch_to(&packet(A, 100, 0), start);
        rewriter.rewrite(&packet(A, 102, 0), start);
        let resumed = rewriter.switch_to(&packet(A, 5000, 900_000), start + ms(10_003));
        assert_eq!(resumed, Rewritten { seq: ExtSeqNum(4), timestamp: RtpTimestamp(900_500) });
        assert_eq!(seq_of(rewriter.rewrite(&packet(A, 101, 0), start)), Some(2));
        assert_eq!(rewriter.rewrite(&packet(A, 4999, 0), start), None);
        assert_eq!(seq_of(rewriter.rewrite(&packet(A, 5001, 900_000), start)), Some(5));
    }

    #[test]
    fn a_stream_that_comes_back_goes_on_behind_its_numbers() {
        let (mut rewriter, start) = (rewriter(), start());
        assert_eq!(rewriter.last_sent(), None);
        rewriter.switch_to(&packet(A, 1, 0), start);
        rewriter.rewrite(&packet(A, 2, 3000), start + ms(33));
        let last = rewriter.last_sent().unwrap();
        assert_eq!((last.seq, last.timestamp), (ExtSeqNum(2), RtpTimestamp(3500)));
        let again = SequenceRewriter::continuing(90_000, last);
        assert_eq!(again.last_sent(), Some(last));
        let mut again = SequenceRewriter::continuing(90_000, again.last_sent().unwrap());
        let first = again.switch_to(&packet(A, 9000, 77), start + ms(1033));
        assert_eq!(first, Rewritten { seq: ExtSeqNum(3), timestamp: RtpTimestamp(93_500) });
    }

    #[test]
    fn the_first_number_leaves_room_before_the_wrap() {
        let mut rewriter = SequenceRewriter::new(48_000, SeqNum(0xffff), RtpTimestamp(0));
        assert_eq!(rewriter.switch_to(&packet(A, 1, 0), start()).seq, ExtSeqNum(0x7fff));
    }

    #[test]
    fn numbers_stay_unique_and_dense_through_random_switches() {
        let (mut rewriter, now) = (rewriter(), start());
        let mut random = 7_u32;
        let mut next = |below: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 16) % below
        };
        let mut seqs = [1_000_u64, 60_000_u64];
        let mut sent = Vec::new();
        sent.push(rewriter.switch_to(&packet(A, 999, 0), now).seq.0);
        let mut skipped = 0;
        for _ in 0..5000 {
            let which = next(2) as usize;
            let (source, seq) = ([A, B][which], seqs[which]);
            seqs[which] += 1;
            let incoming = packet(source, seq, 0);
            match next(20) {
                0 => sent.push(rewriter.switch_to(&incoming, now).seq.0),
                1 => skipped += u32::from(rewriter.skip(source, incoming.seq)),
                _ => sent.extend(rewriter.rewrite(&incoming, now).map(|rewritten| rewritten.seq.0)),
            }
        }
        assert!(skipped > 50 && sent.len() > 1000);
        assert!(sent.iter().enumerate().all(|(i, seq)| *seq == i as u64 + 1), "a gap or a number given twice");
    }
}
