//! What stands around the pieces of a frame, codec by codec: payload descriptors, and what makes decoders skip a trailer.

mod av1;
mod h264;
mod opus;
mod structure;
mod vp8;
mod vp9;

pub(super) use av1::{AV1_TRAILER_LEAD, Av1Content, Av1Frame, put_leb128};
pub(super) use h264::H264Frame;
pub(super) use opus::OPUS_OVERHEAD;
pub(super) use structure::{Phase, ScalableStructure};
pub(super) use vp8::Vp8Frame;
pub(super) use vp9::Vp9Frame;

use super::frame::{DescriptorBytes, Frame, PlaceInFrame, Prefix, Suffix};

/// The numbers of a frame that its descriptors tell.
#[derive(Clone, Debug)]
pub(super) enum Descriptor {
    /// With the first byte of the packet.
    Opus {
        toc: u8,
    },
    Vp8(Vp8Frame),
    Vp9(Vp9Frame),
    Av1(Av1Frame),
    H264(H264Frame),
}

impl Descriptor {
    /// In front of a piece.
    pub(super) fn prefix(&self, frame: &Frame, place: PlaceInFrame) -> Prefix {
        match self {
            Self::Opus { toc } => opus::prefix(*toc),
            Self::Vp8(vp8) => vp8.prefix(frame, place),
            Self::Vp9(vp9) => vp9.prefix(frame, place),
            Self::Av1(av1) => av1.prefix(frame, place),
            Self::H264(h264) => h264.prefix(frame, place),
        }
    }

    /// Between a piece and the trailer.
    pub(super) const fn before_trailer(&self, place: PlaceInFrame) -> &'static [u8] {
        match self {
            Self::Av1(_) if place.is_last => &AV1_TRAILER_LEAD,
            Self::Opus { .. } | Self::Vp8(_) | Self::Vp9(_) | Self::Av1(_) | Self::H264(_) => &[],
        }
    }

    /// Behind a trailer.
    pub(super) fn after_trailer(&self) -> Suffix {
        match self {
            Self::Vp9(vp9) => vp9.superframe_index(),
            Self::Opus { .. } | Self::Vp8(_) | Self::Av1(_) | Self::H264(_) => Suffix::EMPTY,
        }
    }

    /// Data of the header extension.
    pub(super) fn dependency_descriptor(&self, frame: &Frame, place: PlaceInFrame) -> Option<DescriptorBytes> {
        match self {
            Self::Av1(av1) => Some(av1.dependency_descriptor(frame, place)),
            Self::Opus { .. } | Self::Vp8(_) | Self::Vp9(_) | Self::H264(_) => None,
        }
    }
}
