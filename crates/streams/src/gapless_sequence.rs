//! The numbers of a stream of which packets are left out on purpose, for all its receivers at once.

use model::ExtSeqNum;

use crate::gapless::GaplessMap;

/// Gives the packets of a stream that go on numbers without the gaps that are left out. Numbers of packets that never came stay
/// open.
#[derive(Clone, Debug, Default)]
pub struct GaplessSequence {
    map: Option<GaplessMap>,
}

impl GaplessSequence {
    /// The number of a packet that goes on. The first one keeps its own. `None` where it was left out, lies before the first
    /// one or too far back: then it must be dropped.
    pub fn pass(&mut self, seq: ExtSeqNum) -> Option<ExtSeqNum> {
        let map = self.map.get_or_insert_with(|| GaplessMap::starting_at(seq.0, seq.0));
        map.map(seq.0).map(ExtSeqNum)
    }

    /// Leaves a packet out. False where a gap would stay, as later packets have gone on: it has to go on too.
    pub fn leave_out(&mut self, seq: ExtSeqNum) -> bool {
        self.map.as_mut().is_none_or(|map| map.skip(seq.0))
    }

    /// The number of a packet before the newest that went on, whether it came or not. `None` where it was left out, or is not
    /// known.
    #[must_use]
    pub fn find(&self, seq: ExtSeqNum) -> Option<ExtSeqNum> {
        self.map.as_ref()?.map_late(seq.0).map(ExtSeqNum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(sequence: &mut GaplessSequence, seq: u64) -> Option<u64> {
        sequence.pass(ExtSeqNum(seq)).map(|seq| seq.0)
    }

    #[test]
    fn what_is_left_out_closes_up_and_what_is_lost_stays_open() {
        let mut sequence = GaplessSequence::default();
        assert!(sequence.leave_out(ExtSeqNum(9)), "nothing went on yet");
        assert_eq!(pass(&mut sequence, 10), Some(10));
        assert!(sequence.leave_out(ExtSeqNum(11)) && sequence.leave_out(ExtSeqNum(12)));
        // 13 is lost.
        assert_eq!(pass(&mut sequence, 14), Some(12));
        assert_eq!((sequence.find(ExtSeqNum(13)), sequence.find(ExtSeqNum(12))), (Some(ExtSeqNum(11)), None));
        assert_eq!(pass(&mut sequence, 13), Some(11));
        assert_eq!((pass(&mut sequence, 12), pass(&mut sequence, 9)), (None, None));
    }

    #[test]
    fn a_packet_that_was_overtaken_cannot_be_left_out() {
        let mut sequence = GaplessSequence::default();
        pass(&mut sequence, 10);
        pass(&mut sequence, 12);
        assert!(!sequence.leave_out(ExtSeqNum(11)));
        assert_eq!(pass(&mut sequence, 11), Some(11));
    }
}
