//! What was sent to one receiver under which number, so that a NACK leads back to the source's packet.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use model::{ExtSeqNum, SeqNum};

use crate::rtx_cache::RTX_CACHE_AGE;

/// Runs that a log has at most. Leaving out a temporal layer begins one with each frame that is sent: at 60 frames
/// a second these are two seconds, and a packet is repeated for one.
pub const MAX_SENT_RUNS: usize = 128;

/// Repeated packets that are remembered, so that none is repeated while it is under way: those of a burst of loss.
const MAX_REPEATED: usize = 256;

/// Packets sent on one outgoing stream. `T` is what its numbers have in common with their source's: which source, and
/// the distances.
///
/// A bridge has one for every video stream to every receiver, and notes each packet. So a packet that has the same
/// distances as the one before, as nearly all have, costs a comparison: only where they change a run begins.
#[derive(Clone, Debug)]
pub struct SentLog<T> {
    /// Ascending, none overlaps another. Numbers between two were not sent.
    runs: VecDeque<Run<T>>,
    /// Packets that were repeated, and when last. Oldest first.
    repeated: VecDeque<(ExtSeqNum, Instant)>,
}

/// Numbers of equal distances. Some of them may be open still, for packets of the source that come late.
#[derive(Clone, Copy, Debug)]
struct Run<T> {
    first: ExtSeqNum,
    last: ExtSeqNum,
    distances: T,
}

impl<T> Default for SentLog<T> {
    fn default() -> Self {
        Self { runs: VecDeque::new(), repeated: VecDeque::new() }
    }
}

impl<T: Copy + PartialEq> SentLog<T> {
    /// Notes a packet that leaves for the first time.
    pub fn insert(&mut self, seq: ExtSeqNum, distances: T) {
        match self.runs.back_mut() {
            Some(newest) if seq >= newest.first && newest.distances == distances => newest.last = newest.last.max(seq),
            Some(newest) if seq <= newest.last => self.insert_late(seq, distances),
            Some(_) | None => self.insert_run(self.runs.len(), Run { first: seq, last: seq, distances }),
        }
    }

    /// The number in full of a packet that a NACK asks for, and its distances. None where it is not remembered.
    #[must_use]
    pub fn find(&self, lost: SeqNum) -> Option<(ExtSeqNum, T)> {
        let seq = ExtSeqNum::extend(lost, Some(self.runs.back()?.last));
        let run = self.runs.get(self.runs.partition_point(|run| run.last < seq))?;
        (run.first <= seq).then_some((seq, run.distances))
    }

    /// Whether a packet that first left `age` ago may be sent again, noted as sent again now if so. It may not where it is
    /// under way still: sent less than min(0.9·RTT, RTT − 5 ms) ago, as JVB does; nor after a second.
    pub fn admit_retransmission(&mut self, seq: ExtSeqNum, age: Duration, rtt: Option<Duration>, now: Instant) -> bool {
        let under_way =
            rtt.map_or(Duration::ZERO, |rtt| (rtt * 9 / 10).min(rtt.saturating_sub(Duration::from_millis(5))));
        let repeated = self.repeated.iter().rposition(|(repeated, _)| *repeated == seq);
        let last = repeated.and_then(|at| self.repeated.get(at)).map(|(_, at)| now.saturating_duration_since(*at));
        if age > RTX_CACHE_AGE || last.unwrap_or(age) < under_way {
            return false;
        }
        if let Some(at) = repeated {
            self.repeated.remove(at);
        } else if self.repeated.len() >= MAX_REPEATED {
            self.repeated.pop_front();
        }
        self.repeated.push_back((seq, now));
        true
    }

    /// Frees what is of no use any more. To be called now and then.
    pub fn free_expired(&mut self, now: Instant) {
        while self.repeated.pop_front_if(|(_, at)| now.saturating_duration_since(*at) > RTX_CACHE_AGE).is_some() {}
        crate::rtx_cache::shrink_idle(&mut self.repeated);
    }

    /// The lowest number that is remembered.
    #[must_use]
    pub fn first(&self) -> Option<ExtSeqNum> {
        self.runs.front().map(|run| run.first)
    }

    /// Notes a number below the newest.
    fn insert_late(&mut self, seq: ExtSeqNum, distances: T) {
        let at = self.runs.partition_point(|run| run.last < seq);
        let Some(above) = self.runs.get_mut(at) else { return };
        let Run { first, last, .. } = *above;
        if above.distances == distances {
            above.first = first.min(seq);
            return;
        }
        let single = Run { first: seq, last: seq, distances };
        if first <= seq {
            // Within numbers of other distances: those go on behind it.
            let before = Run { last: ExtSeqNum(seq.0.saturating_sub(1)), ..*above };
            above.first = ExtSeqNum(seq.0 + 1);
            if last == seq {
                self.runs.remove(at);
            }
            if first < seq {
                self.runs.insert(at, before);
                return self.insert_run(at + 1, single);
            }
            return self.insert_run(at, single);
        }
        match at.checked_sub(1).and_then(|at| self.runs.get_mut(at)) {
            Some(below) if below.distances == distances => below.last = seq,
            Some(_) | None => self.insert_run(at, single),
        }
    }

    fn insert_run(&mut self, at: usize, run: Run<T>) {
        self.runs.insert(at, run);
        while self.runs.len() > MAX_SENT_RUNS {
            self.runs.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_time::{ms, start};

    /// Notes numbers with their distances, and answers a way to ask for one.
    fn log(sent: &[(u64, char)]) -> SentLog<char> {
        let mut log = SentLog::default();
        for (seq, distances) in sent {
            log.insert(ExtSeqNum(*seq), *distances);
        }
        log
    }

    fn found(log: &SentLog<char>, range: std::ops::RangeInclusive<u64>) -> String {
        range.map(|seq| log.find(ExtSeqNum(seq).wire()).map_or('-', |(_, distances)| distances)).collect()
    }

    #[test]
    fn leads_from_our_number_to_the_source_across_the_wrap() {
        let log = log(&[(65_534, 'a'), (65_536, 'b'), (65_535, 'a'), (65_537, 'b')]);
        assert_eq!(found(&log, 65_533..=65_538), "-aabb-");
        assert_eq!(log.find(SeqNum(1)), Some((ExtSeqNum(65_537), 'b')));
        assert_eq!(log.runs.len(), 2);
    }

    #[test]
    fn numbers_between_runs_are_not_sent_until_their_packets_come() {
        let mut log = log(&[(10, 'a'), (13, 'b')]);
        assert_eq!(found(&log, 8..=14), "--a--b-");
        for (late, distances, wanted) in [(12, 'b', "--a-bb-"), (11, 'a', "--aabb-"), (8, 'c', "c-aabb-")] {
            for _ in 0..2 {
                log.insert(ExtSeqNum(late), distances);
                assert_eq!(found(&log, 8..=14), wanted);
            }
        }
    }

    #[test]
    fn a_late_packet_of_other_distances_stands_alone() {
        for (late, wanted) in [(10, "xaaa"), (11, "axaa"), (12, "aaxa"), (13, "aaax")] {
            let mut log = log(&[(10, 'a'), (13, 'a')]);
            log.insert(ExtSeqNum(late), 'x');
            assert_eq!(found(&log, 10..=13), wanted);
        }
    }

    #[test]
    fn a_steady_stream_is_one_run_and_others_have_a_limit() {
        let steady: Vec<_> = (0..5000).map(|seq| (seq, 'a')).collect();
        assert_eq!(log(&steady).runs.len(), 1);
        let mut log = SentLog::default();
        for seq in 0..5000_u64 {
            log.insert(ExtSeqNum(seq), seq);
            log.insert(ExtSeqNum(seq / 2), 7);
        }
        assert!(log.runs.len() <= MAX_SENT_RUNS, "{}", log.runs.len());
        assert!(log.runs.iter().zip(log.runs.iter().skip(1)).all(|(a, b)| a.first <= a.last && a.last < b.first));
    }

    #[test]
    fn does_not_repeat_what_is_still_under_way() {
        let (mut log, now, rtt) = (log(&[(1, 'a')]), start(), Some(ms(100)));
        let mut admit = |at| log.admit_retransmission(ExtSeqNum(1), ms(at), rtt, now + ms(at));
        assert!(!admit(89));
        assert!(admit(90));
        assert!(!admit(150));
        assert!(admit(180));
        assert!(!admit(1001), "too late for a conversation");
    }

    #[test]
    fn remembers_a_bounded_number_of_repeated_packets_for_a_second() {
        let (mut log, now) = (log(&[(1, 'a')]), start());
        for seq in 0..1000 {
            assert!(log.admit_retransmission(ExtSeqNum(seq), ms(50), Some(ms(40)), now));
        }
        assert_eq!(log.repeated.len(), MAX_REPEATED);
        assert!(!log.admit_retransmission(ExtSeqNum(999), ms(50), Some(ms(40)), now));
        log.free_expired(now + RTX_CACHE_AGE + ms(1));
        assert_eq!(log.repeated.capacity(), 0);
    }
}
