//! Dependency descriptor: the RTP header extension that names layers, references and switching points of a frame, whatever
//! its codec and though its payload is encrypted (AOM "RTP Payload Format For AV1", appendix A).
//!
//! A key frame brings a [`FrameDependencyStructure`], which lists templates; the frames that follow name one of them and how
//! they differ from it. Whoever reads keeps the newest structure of the stream.

mod layers;
mod read;
mod rewrite;
mod structure;
mod write;

pub use layers::{
    ChainDiffs, DecodeTargetIndication, DecodeTargetIndications, FrameDiffs, MAX_CHAINS, MAX_FRAME_DIFFS,
};
pub use rewrite::{ActiveDecodeTargets, DescriptorRewrite};
pub use structure::{
    DecodeTargetLayer, FrameDependencyStructure, FrameDependencyTemplate, MAX_DECODE_TARGETS, MAX_TEMPLATES,
};

use crate::bits::OutOfBits;
use crate::common::Resolution;

/// Bytes of the fields that every descriptor has.
const MANDATORY_LEN: usize = 3;

/// Bits of the flags behind them that say what else there is.
const EXTENDED_FLAGS: usize = 5;

/// Bits of a template id.
const TEMPLATE_ID_BITS: u32 = 6;

/// The bytes are no dependency descriptor, or cannot be understood without the structure that they refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DependencyDescriptorError {
    /// The bytes end inside a field.
    #[error("dependency descriptor ends inside a field")]
    Truncated,
    /// No structure came yet: the key frame was missed.
    #[error("dependency descriptor refers to a structure that did not come")]
    NoStructure,
    /// The id is none of the structure's: it belongs to another one.
    #[error("dependency descriptor names template {0}, which its structure does not have")]
    UnknownTemplate(u8),
    /// More templates than ids.
    #[error("dependency structure has more than {MAX_TEMPLATES} templates")]
    TooManyTemplates,
    /// Layers beyond what two and three bits can name.
    #[error("dependency structure has a layer that cannot be named")]
    LayerOutOfRange,
    /// More references than any codec has.
    #[error("dependency descriptor has more than {MAX_FRAME_DIFFS} references of a frame")]
    TooManyFrameDiffs,
}

impl From<OutOfBits> for DependencyDescriptorError {
    fn from(OutOfBits: OutOfBits) -> Self {
        Self::Truncated
    }
}

/// What every packet of a frame says, understood without a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MandatoryFields {
    /// The packet is the first of its frame.
    pub is_start_of_frame: bool,
    /// It is the last.
    pub is_end_of_frame: bool,
    /// 0..=63.
    pub template_id: u8,
    /// Counts frames of all layers of the stream, in decoding order.
    pub frame_number: u16,
}

impl MandatoryFields {
    /// Reads the first three bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, DependencyDescriptorError> {
        let &[first, high, low] = bytes.first_chunk().ok_or(DependencyDescriptorError::Truncated)?;
        Ok(Self {
            is_start_of_frame: first & 0x80 != 0,
            is_end_of_frame: first & 0x40 != 0,
            template_id: first & 0x3f,
            frame_number: u16::from_be_bytes([high, low]),
        })
    }

    /// The three bytes: a whole descriptor of a frame that its template describes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; MANDATORY_LEN] {
        let [high, low] = self.frame_number.to_be_bytes();
        let flags = (self.is_start_of_frame as u8) << 7 | (self.is_end_of_frame as u8) << 6;
        [flags | self.template_id & 0x3f, high, low]
    }

    /// Writes these fields over those of `bytes`, a descriptor: how a forwarder goes on another count of frames. Shorter
    /// bytes stay as they are.
    pub fn write_over(self, bytes: &mut [u8]) {
        if let Some(place) = bytes.first_chunk_mut() {
            *place = self.to_bytes();
        }
    }
}

/// A descriptor with what its template says filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DependencyDescriptor {
    /// Packet, template and number.
    pub fields: MandatoryFields,
    /// The structure that begins with this frame, which then is a key frame and of the first packet.
    pub attached_structure: Option<Box<FrameDependencyStructure>>,
    /// Bit of each decode target that is sent, the lowest for target 0; `None` where nothing changed.
    pub active_decode_targets: Option<u32>,
    /// 0..=3.
    pub spatial: u8,
    /// 0..=7.
    pub temporal: u8,
    /// What the frame is to each decode target.
    pub indications: DecodeTargetIndications,
    /// How many frames back those lie that this one refers to.
    pub frame_diffs: FrameDiffs,
    /// How many frames back the last of each chain lies, 0 for none.
    pub chain_diffs: ChainDiffs,
    /// Largest size of the frame on display, where the structure tells it.
    pub resolution: Option<Resolution>,
}

impl DependencyDescriptor {
    /// Reads the data of a header extension. `known` is the newest structure of the stream; one that is attached takes its
    /// place.
    pub fn parse(bytes: &[u8], known: Option<&FrameDependencyStructure>) -> Result<Self, DependencyDescriptorError> {
        read::descriptor(bytes, known).map(|(descriptor, _)| descriptor)
    }

    /// As [`Self::parse`]; also at which bit the active decode targets stand, or would if they were told: what
    /// [`DescriptorRewrite`] needs.
    pub fn parse_for_rewrite(
        bytes: &[u8],
        known: Option<&FrameDependencyStructure>,
    ) -> Result<(Self, u16), DependencyDescriptorError> {
        // The data of an extension has 255 bytes at most.
        read::descriptor(bytes, known).map(|(descriptor, at)| (descriptor, u16::try_from(at).unwrap_or(u16::MAX)))
    }

    /// Writes the descriptor to the start of `dest`, with `structure` as the one that the receiver knows or that is attached;
    /// answers its length, which may be more than `dest` holds. What equals the template is left to it.
    ///
    /// # Errors
    /// The structure does not have the template.
    pub fn write_to(
        &self,
        structure: &FrameDependencyStructure,
        dest: &mut [u8],
    ) -> Result<usize, DependencyDescriptorError> {
        write::descriptor(self, structure, dest)
    }

    /// Whether the packet starts a frame that needs no other, with which a new sequence begins.
    #[must_use]
    pub fn is_key_frame_start(&self) -> bool {
        self.fields.is_start_of_frame && self.attached_structure.is_some() && self.frame_diffs.as_slice().is_empty()
    }

    /// Whether a receiver may move up to `decode_target` at this frame, though it has nothing of that target but what it got
    /// so far.
    #[must_use]
    pub fn is_switching_point(&self, decode_target: u8) -> bool {
        self.indications.get(decode_target) == Some(DecodeTargetIndication::Switch)
    }

    /// Whether the frame belongs to `decode_target`.
    #[must_use]
    pub fn is_present_in(&self, decode_target: u8) -> bool {
        self.indications.get(decode_target).is_some_and(|indication| indication != DecodeTargetIndication::NotPresent)
    }
}

#[cfg(test)]
mod tests;
