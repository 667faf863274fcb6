//! Layers of video that came, against those that were asked for.

use std::collections::BTreeMap;

/// Different pairs that are told apart. A scenario has a handful; the server decides what comes.
const MAX_PAIRS: usize = 64;

/// Heights of a picture in lines, 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerPair {
    /// The receiver asked for at most these.
    pub asked: u16,
    /// The most within that which the sender sent.
    pub best: u16,
    /// What came.
    pub got: u16,
}

/// Decodable frames by the layers that were asked for and that came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    pairs: BTreeMap<LayerPair, u64>,
    matching: u64,
    below: u64,
    above: u64,
}

impl Layers {
    pub(super) fn record(&mut self, asked: u16, best: u16, got: u16) {
        self.add(LayerPair { asked, best, got }, 1);
        match got.cmp(&best) {
            std::cmp::Ordering::Less => self.below += 1,
            std::cmp::Ordering::Equal => self.matching += 1,
            std::cmp::Ordering::Greater => self.above += 1,
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (pair, frames) in &other.pairs {
            self.add(*pair, *frames);
        }
        self.matching += other.matching;
        self.below += other.below;
        self.above += other.above;
    }

    fn add(&mut self, pair: LayerPair, frames: u64) {
        if self.pairs.len() < MAX_PAIRS || self.pairs.contains_key(&pair) {
            *self.pairs.entry(pair).or_default() += frames;
        }
    }

    /// Frames of the best layer within what was asked.
    #[must_use]
    pub const fn matching(&self) -> u64 {
        self.matching
    }

    /// Frames of a lower layer than there was.
    #[must_use]
    pub const fn below(&self) -> u64 {
        self.below
    }

    /// Frames of a higher layer than asked for.
    #[must_use]
    pub const fn above(&self) -> u64 {
        self.above
    }

    /// All frames.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.matching + self.below + self.above
    }

    /// Frames by pair; of more than 64 different pairs, the first.
    pub fn pairs(&self) -> impl Iterator<Item = (LayerPair, u64)> {
        self.pairs.iter().map(|(pair, frames)| (*pair, *frames))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_too_little_from_too_much() {
        let mut layers = Layers::default();
        layers.record(720, 720, 720);
        layers.record(720, 720, 360);
        // Asked for more than there is.
        layers.record(1080, 720, 720);
        layers.record(180, 180, 720);
        assert_eq!((layers.matching(), layers.below(), layers.above(), layers.total()), (2, 1, 1, 4));
        assert_eq!(layers.pairs().count(), 4);
    }

    #[test]
    fn pairs_are_bounded_but_all_frames_count() {
        let mut layers = Layers::default();
        (0..1000).for_each(|got| layers.record(720, 720, got));
        let mut sum = Layers::default();
        sum.merge(&layers);
        sum.record(720, 720, 3);
        assert_eq!((sum.pairs().count(), sum.total()), (64, 1001));
        assert_eq!(sum.pairs().find(|(pair, _)| pair.got == 3).map(|(_, frames)| frames), Some(2));
    }
}
