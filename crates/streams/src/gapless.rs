//! Numbers that are handed on without the gaps that we made ourselves.

/// How far behind the newest number a late one is still mapped: as far as the replay window of its receiver reaches
/// (1024 in libsrtp as browsers set it up), which would refuse what is older.
const WINDOW: u64 = 1024;

const WORDS: usize = (WINDOW / 64) as usize;

/// Maps the numbers of one source, from a first one on, to a line of our own. Numbers that are skipped close up;
/// numbers that never came stay open, so that a late packet finds its place.
#[derive(Clone, Debug)]
pub(crate) struct GaplessMap {
    /// Numbers below are not mapped.
    first: u64,
    /// The highest number noted, mapped or skipped.
    top: u64,
    /// What `top` is mapped to, or would be if it is skipped. May lie below the source's.
    top_ours: u64,
    /// The highest number mapped.
    highest: u64,
    /// What it was mapped to. Not computed again: it may lie below the window.
    highest_ours: u64,
    /// Numbers of the window that were skipped. There from the first skip on: most streams have none.
    skipped: Option<Box<SkippedBits>>,
}

/// A bit for each number of the window, at its place modulo the window.
#[derive(Clone, Debug)]
struct SkippedBits([u64; WORDS]);

impl GaplessMap {
    /// Begins with a first pair.
    pub(crate) const fn starting_at(source: u64, ours: u64) -> Self {
        Self { first: source, top: source, top_ours: ours, highest: source, highest_ours: ours, skipped: None }
    }

    /// Our number for the source's, which is going to be forwarded. None if it lies before the start or the window, or
    /// was skipped.
    pub(crate) fn map(&mut self, source: u64) -> Option<u64> {
        if source > self.top {
            self.advance(source);
        }
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

    /// Leaves a number out. False where a higher one was mapped already, or it is too old: then the gap stays.
    pub(crate) fn skip(&mut self, source: u64) -> bool {
        if source <= self.highest || source + WINDOW <= self.top {
            return false;
        }
        if source > self.top {
            self.advance(source);
        }
        let skipped = self.skipped.get_or_insert_with(|| Box::new(SkippedBits([0; WORDS])));
        if skipped.set(source) && source < self.top {
            self.top_ours = self.top_ours.wrapping_sub(1);
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
        if source < self.first || source > self.top || self.top - source >= WINDOW {
            return None;
        }
        let below_top = self.top - source;
        let Some(skipped) = &self.skipped else { return Some(self.top_ours.wrapping_sub(below_top)) };
        if skipped.is_set(source) {
            return None;
        }
        Some(self.top_ours.wrapping_sub(below_top - skipped.count(source, self.top)))
    }

    /// Makes `top` the newest number. The numbers between stay open.
    fn advance(&mut self, top: u64) {
        let step = top - self.top;
        let is_top_skipped = self.skipped.as_ref().is_some_and(|skipped| skipped.is_set(self.top));
        self.top_ours = self.top_ours.wrapping_add(step).wrapping_sub(u64::from(is_top_skipped));
        if let Some(skipped) = &mut self.skipped {
            if step >= WINDOW {
                skipped.0 = [0; WORDS];
            } else {
                for number in self.top + 1..=top {
                    skipped.clear(number);
                }
            }
        }
        self.top = top;
    }
}

impl SkippedBits {
    fn is_set(&self, number: u64) -> bool {
        self.0[place(number)] & bit(number) != 0
    }

    /// False where it was set before.
    fn set(&mut self, number: u64) -> bool {
        let is_new = !self.is_set(number);
        self.0[place(number)] |= bit(number);
        is_new
    }

    fn clear(&mut self, number: u64) {
        self.0[place(number)] &= !bit(number);
    }

    /// Numbers that are set, from `from` on and below `end`, which lie within one window.
    fn count(&self, from: u64, end: u64) -> u64 {
        let mut count = 0;
        let mut at = from;
        while at < end {
            let next = (at / 64 + 1) * 64;
            let mut word = self.0[place(at)] & (u64::MAX << (at % 64));
            if next > end {
                word &= bit(end) - 1;
            }
            count += u64::from(word.count_ones());
            at = next;
        }
        count
    }
}

/// Below `WORDS` by the modulus.
const fn place(number: u64) -> usize {
    (number / 64 % WORDS as u64) as usize
}

const fn bit(number: u64) -> u64 {
    1 << (number % 64)
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
    fn forgets_what_lies_below_the_window_and_stays_right_above() {
        let mut map = GaplessMap::starting_at(0, 0);
        for source in (1..4000).step_by(2) {
            map.skip(source);
            assert_eq!(map.map(source + 1), Some(source.div_ceil(2)));
        }
        assert_eq!((map.map(4000 - WINDOW), map.map(4002 - WINDOW)), (None, Some((4002 - WINDOW) / 2)));
        assert!(!map.skip(4001 - WINDOW));
        assert_eq!((map.map(3998), map.map(3999)), (Some(1999), None));
    }

    #[test]
    fn a_long_run_of_skips_gives_no_number_twice() {
        let mut map = GaplessMap::starting_at(0, 100);
        for source in 1..3 * WINDOW {
            assert!(map.skip(source));
            assert_eq!(map.highest_ours(), 100);
        }
        assert_eq!(map.map(3 * WINDOW), Some(101));
        assert_eq!((map.map(0), map.map_late(1)), (None, None));
    }

    #[test]
    fn our_line_may_lie_below_the_source_s() {
        let mut map = GaplessMap::starting_at(1 << 40, 3);
        assert_eq!(map.map((1 << 40) + 5), Some(8));
        assert_eq!(map.map_late((1 << 40) + 4), Some(7));
        assert_eq!(map.map_late((1 << 40) + 6), None);
    }

    #[test]
    fn a_jump_beyond_the_window_keeps_what_was_closed() {
        let mut map = GaplessMap::starting_at(0, 0);
        assert!(map.skip(1) && map.skip(2));
        assert_eq!(map.map(10 * WINDOW), Some(10 * WINDOW - 2));
        assert_eq!(map.map(10 * WINDOW - 1), Some(10 * WINDOW - 3));
        assert_eq!(map.map(2), None);
    }

    #[test]
    fn memory_for_skips_comes_with_the_first() {
        let mut map = GaplessMap::starting_at(0, 0);
        map.map(5000);
        assert!(map.skipped.is_none());
        map.skip(5001);
        assert_eq!((size_of_val(&map), map.skipped.as_deref().map(size_of_val)), (48, Some(128)));
    }
}
