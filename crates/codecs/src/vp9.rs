//! VP9 payload descriptor (RFC 9628 §4.2).

mod structure;

pub use structure::{MAX_VP9_REFERENCES, MAX_VP9_SPATIAL_LAYERS, Vp9GroupPicture, Vp9ScalabilityStructure};

use crate::common::{PictureId, Resolution};
use crate::picture::PictureFields;

/// The payload ends inside its descriptor, has nothing behind it, or names more references than there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Vp9DescriptorError {
    /// The bytes end too early.
    #[error("VP9 payload ends inside its descriptor")]
    Truncated,
    /// RFC 9628 §4.2, P_DIFF: at most three.
    #[error("VP9 descriptor has more than {MAX_VP9_REFERENCES} reference indices")]
    TooManyReferences,
}

/// Place of a frame in the scalability structure: the L byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp9LayerIndices {
    /// TID, 0..=7.
    pub temporal: u8,
    /// U: pictures of higher temporal layers that follow refer to nothing of a higher temporal layer than this one's that
    /// came before, so that a receiver may move up behind it.
    pub is_switching_up_point: bool,
    /// SID, 0..=7.
    pub spatial: u8,
    /// D: the frame refers to the next lower spatial layer of its picture.
    pub depends_on_lower_spatial: bool,
}

/// The distances P_DIFF from a picture to those that it refers to, 1..=127 each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vp9References {
    distances: [u8; MAX_VP9_REFERENCES],
    len: u8,
}

impl Vp9References {
    /// The distances, at most three.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.distances.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn push(&mut self, distance: u8) -> Result<(), Vp9DescriptorError> {
        let place = self.distances.get_mut(usize::from(self.len)).ok_or(Vp9DescriptorError::TooManyReferences)?;
        *place = distance;
        self.len += 1;
        Ok(())
    }
}

/// The descriptor in front of a VP9 payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp9Descriptor<'a> {
    /// I.
    pub picture_id: Option<PictureId>,
    /// P: the frame refers to earlier pictures. Clear in the lowest layer of a key picture, and in higher spatial layers
    /// that only refer to a lower one.
    pub is_inter_picture_predicted: bool,
    /// L.
    pub layer: Option<Vp9LayerIndices>,
    /// There with L in non-flexible mode: number of the base layer picture that this one belongs to.
    pub tl0_pic_idx: Option<u8>,
    /// F: references are named frame by frame.
    pub is_flexible: bool,
    /// The references of an inter-predicted frame in flexible mode.
    pub references: Vp9References,
    /// B: the packet starts a frame, of one spatial layer.
    pub is_frame_start: bool,
    /// E: the packet ends one.
    pub is_frame_end: bool,
    /// V.
    pub structure: Option<Vp9ScalabilityStructure<'a>>,
    /// Z: no higher spatial layer of any picture refers to this frame.
    pub is_not_reference_for_upper_spatial: bool,
    len: usize,
    picture_id_at: usize,
    tl0_pic_idx_at: usize,
}

impl<'a> Vp9Descriptor<'a> {
    /// Reads the descriptor at the start of an RTP payload, which must have at least one byte behind it.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Vp9DescriptorError> {
        let mut reader = Reader { bytes: payload, at: 0 };
        let first = reader.byte()?;
        let has = |bit: u8| first & bit != 0;
        let picture_id_at = reader.at;
        let picture_id = if has(0x80) { Some(reader.picture_id()?) } else { None };
        let (is_inter_picture_predicted, is_flexible) = (has(0x40), has(0x10));
        let layer = if has(0x20) { Some(layer_indices(reader.byte()?)) } else { None };
        let tl0_pic_idx_at = reader.at;
        let tl0_pic_idx = if layer.is_some() && !is_flexible { Some(reader.byte()?) } else { None };
        let mut references = Vp9References::default();
        if is_inter_picture_predicted && is_flexible {
            // N says that another follows.
            loop {
                let byte = reader.byte()?;
                references.push(byte >> 1)?;
                if byte & 1 == 0 {
                    break;
                }
            }
        }
        let structure = match has(0x02) {
            false => None,
            true => {
                let structure = Vp9ScalabilityStructure::parse(payload.get(reader.at..).unwrap_or_default())?;
                reader.at += structure.len();
                Some(structure)
            }
        };
        if payload.len() <= reader.at {
            return Err(Vp9DescriptorError::Truncated);
        }
        Ok(Self {
            picture_id,
            is_inter_picture_predicted,
            layer,
            tl0_pic_idx,
            is_flexible,
            references,
            is_frame_start: has(0x08),
            is_frame_end: has(0x04),
            structure,
            is_not_reference_for_upper_spatial: has(0x01),
            len: reader.at,
            picture_id_at,
            tl0_pic_idx_at,
        })
    }

    /// SID; 0 without layer indices.
    #[must_use]
    pub fn spatial(&self) -> u8 {
        self.layer.map_or(0, |layer| layer.spatial)
    }

    /// Whether the packet is the first of a picture: it starts a frame of the lowest spatial layer. Where a picture has no
    /// frame of the lowest layer, only what came before tells.
    #[must_use]
    pub fn is_picture_start(&self) -> bool {
        self.is_frame_start && self.layer.is_none_or(|layer| layer.spatial == 0 && !layer.depends_on_lower_spatial)
    }

    /// Whether the packet starts a key picture: its lowest layer refers to nothing.
    #[must_use]
    pub fn is_key_frame_start(&self) -> bool {
        self.is_picture_start() && !self.is_inter_picture_predicted
    }

    /// Whether a receiver of lower spatial layers, who has this picture's, may move up to the frame's spatial layer here: it
    /// refers to no earlier picture.
    #[must_use]
    pub const fn is_spatial_switching_point(&self) -> bool {
        !self.is_inter_picture_predicted
    }

    /// Size of the highest spatial layer, where the structure tells it.
    #[must_use]
    pub fn resolution(&self) -> Option<Resolution> {
        self.structure.and_then(|structure| structure.resolution(structure.spatial_layers() - 1))
    }

    /// Bytes of the descriptor: what stands behind is the frame.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a descriptor has a byte and is never empty")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Where the picture id lies in the payload.
    #[must_use]
    pub fn picture_id_offset(&self) -> Option<usize> {
        self.picture_id.map(|_| self.picture_id_at)
    }

    /// Where TL0PICIDX lies in the payload.
    #[must_use]
    pub fn tl0_pic_idx_offset(&self) -> Option<usize> {
        self.tl0_pic_idx.map(|_| self.tl0_pic_idx_at)
    }

    /// The numbers that a forwarder gives anew. They stand in front of all that has no fixed length.
    #[must_use]
    pub fn picture(&self) -> PictureFields {
        PictureFields {
            picture_id: self.picture_id,
            tl0_pic_idx: self.tl0_pic_idx,
            is_key_frame_start: self.is_key_frame_start(),
            picture_id_at: self.picture_id_at as u8,
            tl0_pic_idx_at: self.tl0_pic_idx_at as u8,
        }
    }

    /// Writes other numbers over those of `payload`, which this was parsed from, or a copy of it. The picture id keeps its
    /// width and loses the bits above; numbers that the descriptor does not have stay away.
    pub fn rewrite(&self, payload: &mut [u8], picture_id: u16, tl0_pic_idx: u8) {
        self.picture().rewrite(payload, picture_id, tl0_pic_idx);
    }
}

const fn layer_indices(byte: u8) -> Vp9LayerIndices {
    Vp9LayerIndices {
        temporal: byte >> 5,
        is_switching_up_point: byte & 0x10 != 0,
        spatial: byte >> 1 & 0x07,
        depends_on_lower_spatial: byte & 0x01 != 0,
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Vp9DescriptorError> {
        let byte = self.bytes.get(self.at).ok_or(Vp9DescriptorError::Truncated)?;
        self.at += 1;
        Ok(*byte)
    }

    fn picture_id(&mut self) -> Result<PictureId, Vp9DescriptorError> {
        let first = self.byte()?;
        Ok(match first & 0x80 {
            0 => PictureId::SevenBits(first),
            _ => PictureId::FifteenBits(u16::from_be_bytes([first & 0x7f, self.byte()?])),
        })
    }
}

#[cfg(test)]
mod tests;
