//! AV1 aggregation headers of synthetic frames, and dependency descriptors (AOM "RTP Payload Format For AV1").
//!
//! Frames of clips bring their aggregation headers along (`clip`).

use std::sync::Arc;

use bytes::BufMut;
use codecs::{DependencyDescriptor, MandatoryFields};

use super::{Phase, ScalableStructure};
use crate::load::media::frame::{DescriptorBytes, Frame, PlaceInFrame, Prefix};

/// Header of a padding OBU, which decoders ignore: the trailer is its body (AV1 bitstream specification §5.7).
pub(in crate::load::media) const AV1_TRAILER_LEAD: [u8; 1] = [15 << 3];

/// Bytes of the sequence header of synthetic frames.
const SEQUENCE_HEADER_LEN: usize = 12;

/// Whether a frame consists of OBUs already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load::media) enum Av1Content {
    Clip,
    Synthetic,
}

/// Numbers of one frame of one spatial layer.
#[derive(Clone, Debug)]
pub(in crate::load::media) struct Av1Frame {
    /// The low 16 bits travel.
    pub(in crate::load::media) frame_number: u64,
    pub(in crate::load::media) phase: Phase,
    pub(in crate::load::media) structure: Arc<ScalableStructure>,
    pub(in crate::load::media) content: Av1Content,
}

impl Av1Frame {
    pub(super) fn prefix(&self, frame: &Frame, place: PlaceInFrame) -> Prefix {
        let mut prefix = Prefix::EMPTY;
        if self.content == Av1Content::Clip {
            return prefix;
        }
        let starts_sequence = self.phase == Phase::Key && frame.layer.spatial == 0 && place.is_first;
        // A packet has a sequence header, a piece of the frame, and in the last packet the trailer as an OBU of its own.
        let elements = 1 + u8::from(starts_sequence) + u8::from(place.is_last);
        prefix.put(&[u8::from(!place.is_first) << 7
            | u8::from(!place.is_last) << 6
            | elements << 4
            | u8::from(starts_sequence) << 3]);
        if starts_sequence {
            let header = self.sequence_header();
            prefix.put(&[header.len() as u8]);
            prefix.put(&header);
        }
        // A frame OBU with extension; the first bits of its frame header: shown, a key or an inter frame.
        let is_key_frame = self.phase == Phase::Key && frame.layer.spatial == 0;
        let start = [
            6 << 3 | 0x04,
            frame.layer.temporal << 5 | frame.layer.spatial << 3,
            if is_key_frame { 0x10 } else { 0x30 },
        ];
        let start: &[u8] = if place.is_first { &start } else { &[] };
        if place.is_last {
            let mut len = [0; 4];
            let mut rest = len.as_mut_slice();
            put_leb128(&mut rest, start.len() + place.piece_len);
            let unused = rest.len();
            prefix.put(len.get(..len.len() - unused).unwrap_or_default());
        }
        prefix.put(start);
        prefix
    }

    /// In the first packet of a key frame with the structure; three bytes in others.
    pub(super) fn dependency_descriptor(&self, frame: &Frame, place: PlaceInFrame) -> DescriptorBytes {
        let ScalableStructure { dependency, .. } = &*self.structure;
        let spatial = frame.layer.spatial;
        let fields = MandatoryFields {
            is_start_of_frame: place.is_first,
            is_end_of_frame: place.is_last,
            template_id: self.structure.template_id(spatial, self.phase),
            frame_number: self.frame_number as u16,
        };
        let mut bytes = DescriptorBytes::EMPTY;
        let has_structure = place.is_first && spatial == 0 && self.phase == Phase::Key;
        let template = dependency.template(fields.template_id).filter(|_| has_structure);
        match template {
            None => bytes.put(&fields.to_bytes()),
            Some(template) => {
                let descriptor = DependencyDescriptor {
                    fields,
                    attached_structure: Some(Box::new(dependency.clone())),
                    active_decode_targets: None,
                    spatial,
                    temporal: template.temporal,
                    indications: template.indications,
                    frame_diffs: template.frame_diffs,
                    chain_diffs: template.chain_diffs,
                    resolution: None,
                };
                bytes.fill(|dest| descriptor.write_to(dependency, dest).unwrap_or(0));
            }
        }
        bytes
    }

    /// Sequence header OBU of the largest spatial layer: profile 0, one operating point, all tools off (AV1 bitstream
    /// specification §5.5).
    fn sequence_header(&self) -> [u8; SEQUENCE_HEADER_LEN] {
        let (width, height) = self
            .structure
            .resolutions
            .last()
            .map_or((1, 1), |largest| (u128::from(largest.width), u128::from(largest.height)));
        let fields = [
            // Up to the operating points all is off; level 3.1.
            (29, 5),
            // Bits of width and height less one, then these less one.
            (4, 10),
            (4, 10),
            (11, (width - 1).min(0x7ff)),
            (11, (height - 1).min(0x7ff)),
            (9, 0),
            // Screen content tools and integer vectors are chosen frame by frame.
            (2, 3),
            // 4:2:0 of 8 bits.
            (11, 0),
            // The trailing bit.
            (1, 1),
        ];
        let (len, bits) =
            fields.iter().fold((0, 0_u128), |(len, bits), (width, field)| (len + width, bits << width | field));
        let mut header = [0; SEQUENCE_HEADER_LEN];
        let [head, body @ ..] = &mut header;
        *head = 1 << 3;
        for (byte, aligned) in body.iter_mut().zip((bits << (u128::BITS - len)).to_be_bytes()) {
            *byte = aligned;
        }
        header
    }
}

/// Appends a length as AV1 writes it (bitstream specification §4.10.5).
pub(in crate::load::media) fn put_leb128(out: &mut impl BufMut, mut value: usize) {
    while value >= 0x80 {
        out.put_u8(0x80 | value as u8);
        value >>= 7;
    }
    out.put_u8(value as u8);
}
