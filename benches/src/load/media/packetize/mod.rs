//! What stands around the pieces of a frame, codec by codec: payload descriptors, and what makes decoders skip a trailer.

mod opus;
mod vp8;

pub(super) use opus::OPUS_OVERHEAD;
pub(super) use vp8::Vp8Frame;

use super::frame::{Frame, PlaceInFrame, Prefix, ShortBytes};

/// The numbers of a frame that its descriptors tell.
#[derive(Clone, Copy, Debug)]
pub(super) enum Descriptor {
    /// Opus: the payload itself says what follows.
    Opus {
        toc: u8,
    },
    Vp8(Vp8Frame),
}

impl Descriptor {
    /// In front of a piece.
    pub(super) fn prefix(&self, frame: &Frame, place: PlaceInFrame) -> Prefix {
        match self {
            Self::Opus { toc } => opus::prefix(*toc),
            Self::Vp8(vp8) => vp8.prefix(frame, place),
        }
    }

    /// Between a piece and the trailer.
    pub(super) const fn before_trailer(&self) -> &'static [u8] {
        match self {
            Self::Opus { .. } | Self::Vp8(_) => &[],
        }
    }

    /// Behind a trailer.
    pub(super) const fn after_trailer<const MAX: usize>(&self) -> ShortBytes<MAX> {
        match self {
            Self::Opus { .. } | Self::Vp8(_) => ShortBytes::EMPTY,
        }
    }
}
