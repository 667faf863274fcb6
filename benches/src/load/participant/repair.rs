//! Which packets of a stream did not come, for the report: those that are late, repaired, or lost for good.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use model::ExtSeqNum;

use crate::load::measure::MediaCounts;

/// A packet that is missing so long is lost for good: no player waits longer.
const GIVE_UP_AFTER: Duration = Duration::from_secs(2);
/// A jump by so many numbers is a new start of the stream and no loss.
const RESTART_JUMP: u64 = 1_000;
/// Packets that are waited for.
const MAX_MISSING: usize = 2 * RESTART_JUMP as usize;

/// The packets that one stream lacks.
#[derive(Debug, Default)]
pub(super) struct LossRegister {
    highest: Option<ExtSeqNum>,
    /// In ascending order, with the time when the gap was seen.
    missing: VecDeque<(ExtSeqNum, Instant, Repair)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repair {
    None,
    /// A retransmission came.
    Came,
}

impl LossRegister {
    /// Takes the number of a packet that came on the stream itself, not before.
    pub(super) fn handle_packet(&mut self, seq: ExtSeqNum, now: Instant, counts: &mut MediaCounts) {
        counts.expected_packets += 1;
        let Some(highest) = self.highest else {
            self.highest = Some(seq);
            return;
        };
        if seq > highest {
            let gap = seq.0 - highest.0 - 1;
            if gap >= RESTART_JUMP {
                self.flush(counts);
            } else {
                counts.expected_packets += gap;
                self.missing.extend((highest.0 + 1..seq.0).map(|missing| (ExtSeqNum(missing), now, Repair::None)));
                while self.missing.len() > MAX_MISSING {
                    self.lose_oldest(counts);
                }
            }
            self.highest = Some(seq);
        } else if let Ok(at) = self.find(seq) {
            // It was only overtaken; it is counted as expected already.
            counts.expected_packets -= 1;
            counts.reordered_packets += 1;
            self.missing.remove(at);
        } else {
            // From before the first, or after it was given up.
            counts.expected_packets -= 1;
        }
    }

    /// Takes the number that a retransmission repairs.
    pub(super) fn handle_repair(&mut self, seq: ExtSeqNum) {
        if let Ok(at) = self.find(seq)
            && let Some((_, _, repair)) = self.missing.get_mut(at)
        {
            *repair = Repair::Came;
        }
    }

    /// Counts as lost what is missing for too long.
    pub(super) fn handle_timeout(&mut self, now: Instant, counts: &mut MediaCounts) {
        while self.missing.front().is_some_and(|(_, since, _)| now.saturating_duration_since(*since) >= GIVE_UP_AFTER) {
            self.lose_oldest(counts);
        }
    }

    /// Counts as lost all that is missing: the stream is over.
    pub(super) fn flush(&mut self, counts: &mut MediaCounts) {
        while !self.missing.is_empty() {
            self.lose_oldest(counts);
        }
    }

    fn lose_oldest(&mut self, counts: &mut MediaCounts) {
        let Some((_, _, repair)) = self.missing.pop_front() else { return };
        counts.lost_packets += 1;
        match repair {
            Repair::None => counts.unrecoverable_packets += 1,
            Repair::Came => counts.recovered_packets += 1,
        }
    }

    fn find(&self, seq: ExtSeqNum) -> Result<usize, usize> {
        self.missing.binary_search_by_key(&seq, |(seq, _, _)| *seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "virtual time has to begin somewhere")]
    fn run(numbers: &[u64], repaired: &[u64]) -> MediaCounts {
        let now = Instant::now();
        let (mut register, mut counts) = (LossRegister::default(), MediaCounts::default());
        for number in numbers {
            register.handle_packet(ExtSeqNum(*number), now, &mut counts);
        }
        for number in repaired {
            register.handle_repair(ExtSeqNum(*number));
        }
        register.handle_timeout(now + GIVE_UP_AFTER / 2, &mut counts);
        assert_eq!(counts.lost_packets, 0, "nothing is given up early");
        register.handle_timeout(now + GIVE_UP_AFTER, &mut counts);
        counts
    }

    #[test]
    fn gaps_are_lost_repaired_or_only_late() {
        let counts = run(&[10, 11, 14, 13, 18], &[15, 16]);
        assert_eq!(counts.expected_packets, 9);
        assert_eq!((counts.lost_packets, counts.recovered_packets, counts.unrecoverable_packets), (4, 2, 2));
        assert_eq!(counts.reordered_packets, 1);
    }

    #[test]
    fn a_new_start_is_no_loss() {
        let counts = run(&[1, 2, 50_000, 50_001], &[]);
        assert_eq!((counts.expected_packets, counts.lost_packets), (4, 0));
    }

    #[test]
    fn packets_from_before_the_first_do_not_count() {
        let counts = run(&[10, 9, 8, 11], &[9]);
        assert_eq!((counts.expected_packets, counts.lost_packets), (2, 0));
    }

    #[test]
    fn what_is_missing_is_bounded() {
        #[expect(clippy::disallowed_methods, reason = "virtual time has to begin somewhere")]
        let now = Instant::now();
        let (mut register, mut counts) = (LossRegister::default(), MediaCounts::default());
        for number in 0..100 {
            register.handle_packet(ExtSeqNum(number * 900), now, &mut counts);
        }
        assert!(register.missing.len() <= MAX_MISSING);
        assert_eq!(counts.lost_packets as usize + register.missing.len(), 99 * 899);
    }
}
