//! What a packet says of its frame.

use codecs::{PictureId, Vp8Descriptor};

use super::ReceivedPacket;
use crate::load::media::{Codec, VideoCodec};

/// A number of limited width as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WireNumber {
    pub(super) value: u16,
    pub(super) width_bits: u32,
}

/// What the packets at the start of the layers of a picture say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// The packet is the first of its picture, whatever came before.
    pub(super) starts_picture: bool,
    /// The frame needs no other.
    pub(super) is_key: bool,
    pub(super) height: Option<u16>,
    pub(super) references: References,
}

/// How the references of a frame are told.
#[derive(Clone, Copy, Debug)]
pub(super) enum References {
    /// The packet says nothing of it: it goes on a frame.
    Continued,
    /// Each packet stands alone.
    None,
    /// The frame needs the one before it.
    Previous,
    /// Temporal layers with numbers.
    Temporal(TemporalNumbers),
}

/// What VP8 descriptors tell (RFC 7741 §4.2), and those of VP9 in non-flexible mode without a picture group.
#[derive(Clone, Copy, Debug)]
pub(super) struct TemporalNumbers {
    pub(super) picture_id: Option<WireNumber>,
    pub(super) tl0_pic_idx: Option<u8>,
    pub(super) temporal: Option<u8>,
    /// The frame refers to the base layer only.
    pub(super) is_layer_sync: bool,
}

const CONTINUED: Head = Head { starts_picture: false, is_key: false, height: None, references: References::Continued };

/// Reads heads of one stream.
#[derive(Debug)]
pub(super) struct HeadReader {
    codec: Codec,
}

impl HeadReader {
    pub(super) const fn new(codec: Codec) -> Self {
        Self { codec }
    }

    /// What cannot be read counts as the middle of a frame.
    pub(super) fn read(&mut self, packet: &ReceivedPacket<'_>) -> Head {
        match self.codec {
            Codec::Opus => Head { starts_picture: true, is_key: true, height: None, references: References::None },
            Codec::Video(VideoCodec::Vp8) => vp8(packet.payload).unwrap_or(CONTINUED),
            Codec::Video(VideoCodec::Vp9 | VideoCodec::Av1 | VideoCodec::H264) => CONTINUED,
        }
    }
}

fn vp8(payload: &[u8]) -> Option<Head> {
    let descriptor = Vp8Descriptor::parse(payload).ok().filter(Vp8Descriptor::is_frame_start)?;
    let picture_id = |id: PictureId| WireNumber { value: id.get(), width_bits: id.width_bits() };
    Some(Head {
        starts_picture: true,
        is_key: descriptor.is_key_frame_start,
        height: descriptor.resolution.map(|resolution| resolution.height),
        references: References::Temporal(TemporalNumbers {
            picture_id: descriptor.picture_id.map(picture_id),
            tl0_pic_idx: descriptor.tl0_pic_idx,
            temporal: descriptor.temporal_layer.map(|layer| layer.id),
            is_layer_sync: descriptor.temporal_layer.is_some_and(|layer| layer.is_layer_sync),
        }),
    })
}
