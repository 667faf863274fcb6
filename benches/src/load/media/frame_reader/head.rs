//! What a packet says of its frame, whatever the codec.

mod numbers;
mod vp9;

use codecs::{
    Av1Payload, DependencyDescriptor, DependencyDescriptorError, FrameDependencyStructure, H264Payload,
    MAX_FRAME_DIFFS, MandatoryFields, PictureId, Vp8Descriptor,
};

use self::numbers::Extender;
use self::vp9::Vp9Heads;
use super::ReceivedPacket;
use crate::load::media::{Codec, VideoCodec};

/// What the packet at the start of a frame, of one spatial layer, says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// The packet is the first of its picture, whatever came before.
    pub(super) starts_picture: bool,
    /// A sequence begins: the frame needs no other, and none that follows needs an earlier one.
    pub(super) is_key: bool,
    pub(super) height: Option<u16>,
    /// Of the lowest spatial layer.
    pub(super) numbers: TemporalNumbers,
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
    /// By the temporal layer and its numbers.
    Temporal,
    /// Each by its distance.
    Named(NamedReferences),
}

/// What VP8 descriptors tell (RFC 7741 §4.2), and those of VP9 in non-flexible mode without a picture group.
#[derive(Clone, Copy, Debug)]
pub(super) struct TemporalNumbers {
    /// Without wrap.
    pub(super) picture_id: Option<u64>,
    pub(super) tl0_pic_idx: Option<u8>,
    pub(super) temporal: Option<u8>,
    /// The frame refers to the base layer only.
    pub(super) is_layer_sync: bool,
}

/// What dependency descriptors and VP9 descriptors tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct NamedReferences {
    /// Number of the frame or picture, without wrap.
    pub(super) id: u64,
    /// Spatial layer, where all layers of a picture have one number.
    pub(super) layer: u8,
    diffs: [u16; MAX_FRAME_DIFFS],
    count: u8,
    /// It needs the next lower layer of its picture.
    pub(super) needs_lower_layer: bool,
}

impl NamedReferences {
    /// Diffs beyond [`MAX_FRAME_DIFFS`] are left out; there are none.
    fn new(id: u64, layer: u8, diffs: impl IntoIterator<Item = u16>, needs_lower_layer: bool) -> Self {
        let mut named = Self { id, layer, diffs: [0; MAX_FRAME_DIFFS], count: 0, needs_lower_layer };
        for (place, diff) in named.diffs.iter_mut().zip(diffs) {
            *place = diff;
            named.count += 1;
        }
        named
    }

    /// The numbers that it refers to.
    pub(super) fn ids(&self) -> impl Iterator<Item = u64> {
        self.diffs.iter().take(usize::from(self.count)).map(|diff| self.id.saturating_sub(u64::from(*diff)))
    }
}

impl TemporalNumbers {
    const NONE: Self = Self { picture_id: None, tl0_pic_idx: None, temporal: None, is_layer_sync: false };
}

const CONTINUED: Head = Head {
    starts_picture: false,
    is_key: false,
    height: None,
    numbers: TemporalNumbers::NONE,
    references: References::Continued,
};

/// Reads heads of one stream.
#[derive(Debug)]
pub(super) struct HeadReader {
    codec: Codec,
    /// Of picture ids of VP8.
    picture_ids: Extender,
    vp9: Vp9Heads,
    /// Of frame numbers in dependency descriptors.
    frame_numbers: Extender,
    structure: Option<Box<FrameDependencyStructure>>,
}

impl HeadReader {
    pub(super) const fn new(codec: Codec) -> Self {
        Self {
            codec,
            picture_ids: Extender::new(),
            vp9: Vp9Heads::new(),
            frame_numbers: Extender::new(),
            structure: None,
        }
    }

    /// What cannot be read counts as the middle of a frame.
    pub(super) fn read(&mut self, packet: &ReceivedPacket<'_>) -> Head {
        if packet.payload.is_empty() {
            return CONTINUED;
        }
        let codec = match self.codec {
            Codec::Opus => {
                return Head { starts_picture: true, references: References::None, ..CONTINUED };
            }
            Codec::Video(codec) => codec,
        };
        // What a descriptor says goes before what the payload says: that may be encrypted, or have lost layers on the way.
        if let Some(bytes) = packet.dependency_descriptor {
            return self.described(bytes).unwrap_or(CONTINUED);
        }
        let head = match codec {
            VideoCodec::Vp8 => self.vp8(packet.payload),
            VideoCodec::Vp9 => self.vp9.read(packet.payload),
            VideoCodec::Av1 => av1(packet.payload),
            VideoCodec::H264 => h264(packet.payload),
        };
        head.unwrap_or(CONTINUED)
    }

    fn described(&mut self, bytes: &[u8]) -> Result<Head, DependencyDescriptorError> {
        // The other packets of a frame repeat what its first one says.
        if !MandatoryFields::parse(bytes)?.is_start_of_frame {
            return Ok(CONTINUED);
        }
        let descriptor = DependencyDescriptor::parse(bytes, self.structure.as_deref())?;
        let id = self.frame_numbers.extend(descriptor.fields.frame_number, u16::BITS);
        let head = Head {
            // Whoever forwards layers forwards the lowest of each picture.
            starts_picture: descriptor.spatial == 0,
            is_key: descriptor.is_key_frame_start(),
            height: descriptor.resolution.map(|resolution| resolution.height),
            numbers: TemporalNumbers::NONE,
            references: References::Named(NamedReferences::new(
                id,
                0,
                descriptor.frame_diffs.as_slice().iter().copied(),
                false,
            )),
        };
        if let Some(structure) = descriptor.attached_structure {
            self.structure = Some(structure);
        }
        Ok(head)
    }

    fn vp8(&mut self, payload: &[u8]) -> Option<Head> {
        let descriptor = Vp8Descriptor::parse(payload).ok().filter(Vp8Descriptor::is_frame_start)?;
        let picture_id = descriptor.picture_id.map(|id: PictureId| self.picture_ids.extend(id.get(), id.width_bits()));
        Some(Head {
            starts_picture: true,
            is_key: descriptor.is_key_frame_start,
            height: descriptor.resolution.map(|resolution| resolution.height),
            numbers: TemporalNumbers {
                picture_id,
                tl0_pic_idx: descriptor.tl0_pic_idx,
                temporal: descriptor.temporal_layer.map(|layer| layer.id),
                is_layer_sync: descriptor.temporal_layer.is_some_and(|layer| layer.is_layer_sync),
            },
            references: References::Temporal,
        })
    }
}

/// Without dependency descriptor AV1 tells key frames only.
fn av1(payload: &[u8]) -> Option<Head> {
    let payload = Av1Payload::parse(payload).ok().filter(|payload| !payload.continues_obu)?;
    let is_key = payload.is_key_frame_start();
    Some(Head {
        starts_picture: is_key,
        is_key,
        height: payload.resolution().map(|resolution| resolution.height),
        numbers: TemporalNumbers::NONE,
        references: References::Previous,
    })
}

fn h264(payload: &[u8]) -> Option<Head> {
    let payload = H264Payload::parse(payload).ok().filter(H264Payload::is_frame_start)?;
    Some(Head {
        starts_picture: true,
        is_key: payload.is_key_frame_start(),
        height: payload.resolution().map(|resolution| resolution.height),
        numbers: TemporalNumbers::NONE,
        references: References::Previous,
    })
}
