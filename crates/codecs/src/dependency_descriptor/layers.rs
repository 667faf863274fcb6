//! Short lists that templates and frames have alike, by value: no frame allocates.

use super::DependencyDescriptorError;
use super::structure::MAX_DECODE_TARGETS;

/// More than AV1's seven references and any other codec's.
pub const MAX_FRAME_DIFFS: usize = 8;

/// A chain protects a decode target at least: as many as those.
pub const MAX_CHAINS: usize = MAX_DECODE_TARGETS;

/// What a frame is to a decode target (appendix A.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecodeTargetIndication {
    /// `-`: not needed.
    NotPresent,
    /// `D`: part of it, but nothing refers to it.
    Discardable,
    /// `S`: from here on the target can be decoded.
    Switch,
    /// `R`: part of it, and others refer to it.
    Required,
}

impl DecodeTargetIndication {
    pub(super) const fn from_bits(bits: u32) -> Self {
        match bits & 3 {
            0 => Self::NotPresent,
            1 => Self::Discardable,
            2 => Self::Switch,
            _ => Self::Required,
        }
    }
}

/// An indication for each decode target, at most 32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecodeTargetIndications {
    /// Two bits each, the lowest for target 0.
    bits: u64,
    len: u8,
}

impl DecodeTargetIndications {
    /// That of a decode target; `None` beyond the last.
    #[must_use]
    pub fn get(&self, decode_target: u8) -> Option<DecodeTargetIndication> {
        (decode_target < self.len).then(|| DecodeTargetIndication::from_bits((self.bits >> (2 * decode_target)) as u32))
    }

    /// All, that of target 0 first.
    pub fn iter(&self) -> impl Iterator<Item = DecodeTargetIndication> + use<> {
        let indications = *self;
        (0..self.len).map_while(move |target| indications.get(target))
    }

    /// A bit for each decode target that has the frame, the lowest for target 0.
    #[must_use]
    pub const fn present(&self) -> u32 {
        every_second_bit(self.bits | self.bits >> 1)
    }

    /// A bit for each decode target that a receiver may move up to here.
    #[must_use]
    pub const fn switching(&self) -> u32 {
        every_second_bit(!self.bits & self.bits >> 1)
    }

    /// Those beyond 32 are left out.
    pub(super) fn push(&mut self, indication: DecodeTargetIndication) {
        if usize::from(self.len) < MAX_DECODE_TARGETS {
            self.bits |= (indication as u64) << (2 * self.len);
            self.len += 1;
        }
    }
}

/// The even bits side by side.
const fn every_second_bit(bits: u64) -> u32 {
    let mut bits = bits & 0x5555_5555_5555_5555;
    bits = (bits | bits >> 1) & 0x3333_3333_3333_3333;
    bits = (bits | bits >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits >> 4) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits >> 8) & 0x0000_ffff_0000_ffff;
    (bits | bits >> 16) as u32
}

impl FromIterator<DecodeTargetIndication> for DecodeTargetIndications {
    fn from_iter<I: IntoIterator<Item = DecodeTargetIndication>>(indications: I) -> Self {
        let mut all = Self::default();
        indications.into_iter().for_each(|indication| all.push(indication));
        all
    }
}

/// Distances to the frames that a frame refers to, in frames of the stream: 1..=16 in a template, 1..=4096 else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameDiffs {
    diffs: [u16; MAX_FRAME_DIFFS],
    len: u8,
}

impl FrameDiffs {
    /// The distances.
    ///
    /// # Errors
    /// More than [`MAX_FRAME_DIFFS`].
    pub fn new(diffs: &[u16]) -> Result<Self, DependencyDescriptorError> {
        let mut all = Self::default();
        diffs.iter().try_for_each(|diff| all.push(*diff))?;
        Ok(all)
    }

    /// The distances in the order of the wire.
    #[must_use]
    pub fn as_slice(&self) -> &[u16] {
        self.diffs.get(..usize::from(self.len)).unwrap_or_default()
    }

    pub(super) fn push(&mut self, diff: u16) -> Result<(), DependencyDescriptorError> {
        let place = self.diffs.get_mut(usize::from(self.len)).ok_or(DependencyDescriptorError::TooManyFrameDiffs)?;
        *place = diff;
        self.len += 1;
        Ok(())
    }
}

/// Distances to the last frame of each chain, at most 32: 0..=15 in a template, 0..=255 else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChainDiffs {
    diffs: [u8; MAX_CHAINS],
    len: u8,
}

impl ChainDiffs {
    /// The distances. Those beyond [`MAX_CHAINS`] are left out.
    #[must_use]
    pub fn new(diffs: &[u8]) -> Self {
        let mut all = Self::default();
        diffs.iter().for_each(|diff| all.push(*diff));
        all
    }

    /// The distances, that of chain 0 first.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.diffs.get(..usize::from(self.len)).unwrap_or_default()
    }

    pub(super) fn push(&mut self, diff: u8) {
        if let Some(place) = self.diffs.get_mut(usize::from(self.len)) {
            *place = diff;
            self.len += 1;
        }
    }
}
