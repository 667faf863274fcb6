//! VP8 payload descriptor (RFC 7741 §4.2), payload header (§4.3) and the start of a key frame (RFC 6386 §9.1).

use crate::common::{PictureId, Resolution};
use crate::picture::PictureFields;

/// Longest descriptor: one byte, extension byte, 15-bit picture id, TL0PICIDX, TID/Y/KEYIDX.
pub const MAX_VP8_DESCRIPTOR_LEN: usize = 6;

/// The payload ends inside its descriptor, or has nothing behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("VP8 payload ends inside its descriptor")]
pub struct Vp8DescriptorTruncated;

/// Place of a frame in the temporal structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemporalLayer {
    /// TID, 0 (base) to 3.
    pub id: u8,
    /// Y: the frame depends on the base layer only, so that a receiver may move up here.
    pub is_layer_sync: bool,
}

/// The descriptor in front of a VP8 payload, and what the first bytes behind it say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp8Descriptor {
    /// N: no other frame refers to this one.
    pub is_non_reference: bool,
    /// S: the packet starts a partition.
    pub is_start_of_partition: bool,
    /// PID, 0..=7.
    pub partition: u8,
    /// I.
    pub picture_id: Option<PictureId>,
    /// L: number of the base layer frame that this frame belongs to.
    pub tl0_pic_idx: Option<u8>,
    /// T.
    pub temporal_layer: Option<TemporalLayer>,
    /// K, 0..=31.
    pub key_idx: Option<u8>,
    /// The packet starts a frame that needs no other.
    pub is_key_frame_start: bool,
    /// Set with a key frame that shows its size.
    pub resolution: Option<Resolution>,
    len: u8,
    picture_id_at: u8,
    tl0_pic_idx_at: u8,
}

impl Vp8Descriptor {
    /// Reads the descriptor at the start of an RTP payload, which must have at least one byte behind it.
    pub fn parse(payload: &[u8]) -> Result<Self, Vp8DescriptorTruncated> {
        let mut reader = Reader { bytes: payload, at: 0 };
        let first = reader.byte()?;
        let extension = if first & 0x80 != 0 { reader.byte()? } else { 0 };
        let picture_id_at = reader.at;
        let picture_id = match extension & 0x80 != 0 {
            false => None,
            true => match reader.byte()? {
                high if high & 0x80 != 0 => {
                    Some(PictureId::FifteenBits(u16::from_be_bytes([high & 0x7f, reader.byte()?])))
                }
                low => Some(PictureId::SevenBits(low)),
            },
        };
        let tl0_pic_idx_at = reader.at;
        let tl0_pic_idx = if extension & 0x40 != 0 { Some(reader.byte()?) } else { None };
        // One byte for both, there with either of T and K.
        let layer_and_key = if extension & 0x30 != 0 { reader.byte()? } else { 0 };
        let temporal_layer = (extension & 0x20 != 0)
            .then_some(TemporalLayer { id: layer_and_key >> 6, is_layer_sync: layer_and_key & 0x20 != 0 });
        let key_idx = (extension & 0x10 != 0).then_some(layer_and_key & 0x1f);
        let len = reader.at;
        let frame = payload.get(usize::from(len)..).filter(|frame| !frame.is_empty()).ok_or(Vp8DescriptorTruncated)?;

        let is_start_of_partition = first & 0x10 != 0;
        let partition = first & 0x07;
        // RFC 7741 §4.3: the payload header is there only at the very start of a frame; P clear means key frame.
        let is_frame_start = is_start_of_partition && partition == 0;
        let is_key_frame_start = is_frame_start && frame.first().is_some_and(|header| header & 0x01 == 0);
        Ok(Self {
            is_non_reference: first & 0x20 != 0,
            is_start_of_partition,
            partition,
            picture_id,
            tl0_pic_idx,
            temporal_layer,
            key_idx,
            is_key_frame_start,
            resolution: if is_key_frame_start { key_frame_resolution(frame) } else { None },
            len,
            picture_id_at,
            tl0_pic_idx_at,
        })
    }

    /// Whether the packet is the first of its frame.
    #[must_use]
    pub const fn is_frame_start(&self) -> bool {
        self.is_start_of_partition && self.partition == 0
    }

    /// Bytes of the descriptor: what stands behind is the frame.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a descriptor has a byte and is never empty")]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Where the picture id lies in the payload.
    #[must_use]
    pub fn picture_id_offset(&self) -> Option<usize> {
        self.picture_id.map(|_| usize::from(self.picture_id_at))
    }

    /// Where TL0PICIDX lies in the payload.
    #[must_use]
    pub fn tl0_pic_idx_offset(&self) -> Option<usize> {
        self.tl0_pic_idx.map(|_| usize::from(self.tl0_pic_idx_at))
    }

    /// The numbers that a forwarder gives anew.
    #[must_use]
    pub const fn picture(&self) -> PictureFields {
        PictureFields {
            picture_id: self.picture_id,
            tl0_pic_idx: self.tl0_pic_idx,
            is_key_frame_start: self.is_key_frame_start,
            picture_id_at: self.picture_id_at,
            tl0_pic_idx_at: self.tl0_pic_idx_at,
        }
    }

    /// Writes other numbers over those of `payload`, which this was parsed from.
    pub fn rewrite(&self, payload: &mut [u8], picture_id: u16, tl0_pic_idx: u8) {
        self.picture().rewrite(payload, picture_id, tl0_pic_idx);
    }
}

/// RFC 6386 §9.1: three bytes of frame tag, a start code, then 14 bits of width and of height, little endian.
fn key_frame_resolution(frame: &[u8]) -> Option<Resolution> {
    let &[_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1] = frame.first_chunk()? else { return None };
    let (width, height) = (u16::from_le_bytes([w0, w1]) & 0x3fff, u16::from_le_bytes([h0, h1]) & 0x3fff);
    (width > 0 && height > 0).then_some(Resolution { width, height })
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// At most the length of a descriptor.
    at: u8,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Vp8DescriptorTruncated> {
        let byte = self.bytes.get(usize::from(self.at)).ok_or(Vp8DescriptorTruncated)?;
        self.at += 1;
        Ok(*byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Chromium sends the first packet of a 1280x720 key frame with 15-bit picture id, TL0PICIDX and TID.
    const KEY_FRAME: [u8; 17] =
        [0x90, 0xe0, 0x92, 0x34, 7, 0x20, 0x50, 1, 2, 0x9d, 0x01, 0x2a, 0x00, 0x05, 0xd0, 0x42, 9];

    #[test]
    fn reads_the_start_of_a_key_frame() {
        let descriptor = Vp8Descriptor::parse(&KEY_FRAME).unwrap();
        assert_eq!(descriptor.len(), 6);
        assert_eq!(descriptor.picture_id, Some(PictureId::FifteenBits(0x1234)));
        assert_eq!(descriptor.picture_id_offset(), Some(2));
        assert_eq!((descriptor.tl0_pic_idx, descriptor.tl0_pic_idx_offset()), (Some(7), Some(4)));
        assert_eq!(descriptor.temporal_layer, Some(TemporalLayer { id: 0, is_layer_sync: true }));
        assert_eq!(descriptor.key_idx, None);
        assert!(descriptor.is_frame_start() && descriptor.is_key_frame_start);
        assert_eq!(descriptor.resolution, Some(Resolution { width: 1280, height: 720 }));
    }

    #[test]
    fn a_key_frame_is_seen_only_at_the_start_of_the_first_partition() {
        let is_key = |first: u8, header: u8| Vp8Descriptor::parse(&[first, header]).unwrap().is_key_frame_start;
        assert!(is_key(0x10, 0x50));
        assert!(!is_key(0x10, 0x51));
        assert!(!is_key(0x00, 0x50));
        assert!(!is_key(0x11, 0x50));
    }

    #[test]
    fn reads_each_optional_field_alone() {
        let parse = |bytes: &[u8]| Vp8Descriptor::parse(bytes).unwrap();
        assert_eq!(parse(&[0x00, 1]).len(), 1);
        assert_eq!(parse(&[0x80, 0x00, 1]).len(), 2);
        let seven = parse(&[0x80, 0x80, 0x7f, 1]);
        assert_eq!((seven.picture_id, seven.len()), (Some(PictureId::SevenBits(127)), 3));
        let base = parse(&[0x80, 0x40, 200, 1]);
        assert_eq!((base.tl0_pic_idx, base.picture_id, base.tl0_pic_idx_offset()), (Some(200), None, Some(2)));
        let layer = parse(&[0x80, 0x20, 0x9f, 1]);
        assert_eq!(layer.temporal_layer, Some(TemporalLayer { id: 2, is_layer_sync: false }));
        assert_eq!(layer.key_idx, None);
        let key = parse(&[0xa0, 0x10, 0xdf, 1]);
        assert_eq!((key.key_idx, key.temporal_layer), (Some(31), None));
        assert!(key.is_non_reference);
    }

    #[test]
    fn refuses_what_ends_inside_the_descriptor_or_right_behind_it() {
        for len in 0..=6 {
            assert_eq!(Vp8Descriptor::parse(&KEY_FRAME[..len]), Err(Vp8DescriptorTruncated), "{len}");
        }
        // The size of a key frame that is cut is not known; the rest is.
        for len in 7..16 {
            let descriptor = Vp8Descriptor::parse(&KEY_FRAME[..len]).unwrap();
            assert!(descriptor.is_key_frame_start);
            assert_eq!(descriptor.resolution, None);
        }
    }

    #[test]
    fn rewriting_keeps_width_and_everything_else() {
        let descriptor = Vp8Descriptor::parse(&KEY_FRAME).unwrap();
        let prefix = descriptor.picture().rewritten(&KEY_FRAME, 0xffff, 9);
        assert_eq!(prefix.as_bytes(), [0x90, 0xe0, 0xff, 0xff, 9]);
        let mut in_place = KEY_FRAME;
        descriptor.rewrite(&mut in_place, 0x0001, 8);
        assert_eq!(in_place[..6], [0x90, 0xe0, 0x80, 0x01, 8, 0x20]);
        assert_eq!(in_place[6..], KEY_FRAME[6..]);

        let seven = [0x80, 0x80, 0x05, 1];
        let descriptor = Vp8Descriptor::parse(&seven).unwrap();
        assert_eq!(descriptor.picture().rewritten(&seven, 0x1ff, 9).as_bytes(), [0x80, 0x80, 0x7f]);
        let none = [0x10, 1];
        let descriptor = Vp8Descriptor::parse(&none).unwrap();
        assert_eq!(descriptor.picture().rewritten(&none, 1, 1).as_bytes(), []);
    }

    #[test]
    fn any_three_first_bytes_are_an_answer() {
        for first in 0..=u16::MAX {
            let [a, b] = first.to_be_bytes();
            for c in [0, 0x7f, 0x80, 0xff] {
                let payload = [a, b, c, 0x01, 0x02, 0x03, 0x04];
                for len in 0..payload.len() {
                    if let Ok(descriptor) = Vp8Descriptor::parse(&payload[..len]) {
                        assert!(descriptor.len() < len && descriptor.len() <= MAX_VP8_DESCRIPTOR_LEN);
                        assert!(descriptor.picture().rewritten(&payload, 1, 1).as_bytes().len() <= descriptor.len());
                    }
                }
            }
        }
    }
}
