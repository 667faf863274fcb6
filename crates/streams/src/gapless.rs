//! Numbers that are handed on without the gaps that we made ourselves.

use std::collections::VecDeque;

/// Most numbers left out that are remembered: with every second frame left out, some seconds of video. What lies
/// before the oldest of them can no longer be mapped.
const MAX_SKIPPED: usize = 512;

/// Maps the numbers of one source, from a first one on, to a line of our own. Numbers that are skipped close up;
/// numbers that never came stay open, so that a late packet finds its place.
#[derive(Clone, Debug)]
pub(crate) struct GaplessMap {
    /// Added to a number, before those skipped are taken off. Wraps, so that our line may lie below the source's.
    offset: u64,
    /// Numbers left out, ascending. Those that were forgotten are in `offset`.
    skipped: VecDeque<u64>,
    /// Numbers below are not mapped.
    oldest: u64,
    /// The highest number mapped.
    highest: u64,
    /// What it was mapped to. Not computed again: the numbers skipped below it may be forgotten.
    highest_ours: u64,
}

impl GaplessMap {
    /// Begins with a first pair.
    pub(crate) fn starting_at(source: u64, ours: u64) -> Self {
        Self {
            offset: ours.wrapping_sub(source),
            skipped: VecDeque::new(),
            oldest: source,
            highest: source,
            highest_ours: ours,
        }
    }

    /// Our number for the source's, which is going to be forwarded. None if it lies before the start or was skipped.
    pub(crate) fn map(&mut self, source: u64) -> Option<u64> {
        let ours = self.get(source)?;
        if source > self.highest {
            self.highest = source;
            self.highest_ours = ours;
        }
        Some(ours)
    }

    /// Our number for a late one: none above the highest that was mapped.
    pub(crate) fn map_late(&self, source: u64) -> Option<u64> {
        if source <= self.highest { self.get(source) } else { None }
    }

    /// Leaves a number out. False where a higher one was mapped already: then the gap stays.
    pub(crate) fn skip(&mut self, source: u64) -> bool {
        if source <= self.highest {
            return false;
        }
        if let Err(at) = self.skipped.binary_search(&source) {
            self.skipped.insert(at, source);
        }
        if self.skipped.len() > MAX_SKIPPED
            && let Some(forgotten) = self.skipped.pop_front()
        {
            self.offset = self.offset.wrapping_sub(1);
            self.oldest = self.oldest.max(forgotten + 1);
        }
        true
    }

    /// The highest of our numbers.
    pub(crate) const fn highest_ours(&self) -> u64 {
        self.highest_ours
    }

    /// The highest of the source's numbers that was mapped.
    pub(crate) const fn highest_source(&self) -> u64 {
        self.highest
    }

    fn get(&self, source: u64) -> Option<u64> {
        if source < self.oldest {
            return None;
        }
        match self.skipped.binary_search(&source) {
            Ok(_) => None,
            Err(below) => Some(source.wrapping_add(self.offset).wrapping_sub(below as u64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_what_is_skipped_and_leaves_open_what_is_lost() {
        let mut map = GaplessMap::starting_at(100, 7);
        assert_eq!(map.map(101), Some(8));
        assert!(map.skip(102));
        assert!(map.skip(104));
        // 103 is late: its place stays open.
        assert_eq!(map.map(105), Some(10));
        assert_eq!(map.map(103), Some(9));
        assert_eq!(map.map(102), None);
        assert_eq!(map.map(99), None);
        assert_eq!((map.highest_ours(), map.highest_source()), (10, 105));
    }

    #[test]
    fn a_late_skip_leaves_its_gap() {
        let mut map = GaplessMap::starting_at(0, 0);
        map.map(2);
        assert!(!map.skip(1));
        assert_eq!(map.map(3), Some(3));
    }

    #[test]
    fn skips_out_of_order_count_once() {
        let mut map = GaplessMap::starting_at(0, 0);
        for skipped in [3, 1, 2, 3] {
            assert!(map.skip(skipped));
        }
        assert_eq!(map.map(4), Some(1));
    }

    #[test]
    fn forgets_the_oldest_skips_and_stays_right_above() {
        let mut map = GaplessMap::starting_at(0, 0);
        for source in (1..4000).step_by(2) {
            map.skip(source);
            assert_eq!(map.map(source + 1), Some(source.div_ceil(2)));
        }
        assert_eq!(map.skipped.len(), MAX_SKIPPED);
        assert_eq!(map.map(10), None);
        assert_eq!(map.map(3998), Some(1999));
    }

    #[test]
    fn a_long_run_of_skips_gives_no_number_twice() {
        let mut map = GaplessMap::starting_at(0, 100);
        for source in 1..3 * MAX_SKIPPED as u64 {
            assert!(map.skip(source));
            assert_eq!(map.highest_ours(), 100);
        }
        assert_eq!(map.map(3 * MAX_SKIPPED as u64), Some(101));
        assert_eq!((map.map(0), map.map_late(1)), (None, None));
    }

    #[test]
    fn our_line_may_lie_below_the_source_s() {
        let mut map = GaplessMap::starting_at(1 << 40, 3);
        assert_eq!(map.map((1 << 40) + 5), Some(8));
        assert_eq!(map.map_late((1 << 40) + 4), Some(7));
        assert_eq!(map.map_late((1 << 40) + 6), None);
    }
}
