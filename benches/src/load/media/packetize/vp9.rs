//! VP9 descriptors in non-flexible mode, as libwebrtc writes them for cameras (RFC 9628 §4.2).

use std::sync::Arc;

use super::{Phase, ScalableStructure};
use crate::load::media::frame::{Frame, PlaceInFrame, Prefix, Suffix};

/// Numbers of one frame of one spatial layer.
#[derive(Clone, Debug)]
pub(in crate::load::media) struct Vp9Frame {
    /// The low 15 bits travel.
    pub(in crate::load::media) picture_id: u64,
    pub(in crate::load::media) tl0_pic_idx: u8,
    pub(in crate::load::media) phase: Phase,
    pub(in crate::load::media) structure: Arc<ScalableStructure>,
    /// Length of the frame of a clip, for the index behind it; `None` where the payload is synthetic.
    pub(in crate::load::media) clip_frame_len: Option<usize>,
}

impl Vp9Frame {
    pub(super) fn prefix(&self, frame: &Frame, place: PlaceInFrame) -> Prefix {
        let mut prefix = Prefix::EMPTY;
        let (is_key, spatial) = (self.phase == Phase::Key, frame.layer.spatial);
        let is_top = usize::from(spatial) + 1 == self.structure.spatial_layers();
        // A key picture tells its structure in its first packet.
        let has_structure = is_key && spatial == 0 && place.is_first;
        let first = 0xa0 // I, L
            | u8::from(!is_key) << 6
            | u8::from(place.is_first) << 3
            | u8::from(place.is_last) << 2
            | u8::from(has_structure) << 1
            // Only key pictures have prediction between spatial layers.
            | u8::from(!is_key || is_top);
        let [high, low] = (self.picture_id as u16 | 0x8000).to_be_bytes();
        let has_temporal_layers = self.structure.pattern.len() > 1;
        let layer = frame.layer.temporal << 5
            | u8::from(has_temporal_layers) << 4
            | spatial << 1
            | u8::from(is_key && spatial > 0);
        prefix.put(&[first, high, low, layer, self.tl0_pic_idx]);
        if has_structure {
            self.put_structure(&mut prefix);
        }
        if self.clip_frame_len.is_none() && place.is_first {
            // VP9 bitstream specification §6.2: marker, shown; a key frame has a sync code.
            prefix.put(if is_key && spatial == 0 { &[0x82, 0x49, 0x83, 0x42] } else { &[0x86] });
        }
        prefix
    }

    /// RFC 9628 §4.2.1: sizes and the pattern.
    fn put_structure(&self, prefix: &mut Prefix) {
        let ScalableStructure { resolutions, pattern, .. } = &*self.structure;
        prefix.put(&[(resolutions.len() as u8).wrapping_sub(1) << 5 | 0x18]);
        for resolution in resolutions {
            prefix.put(&resolution.width.to_be_bytes());
            prefix.put(&resolution.height.to_be_bytes());
        }
        prefix.put(&[pattern.len() as u8]);
        let has_temporal_layers = pattern.len() > 1;
        for (at, temporal) in pattern.iter().enumerate() {
            // Back to the nearest picture of a lower layer; from the base layer to the last of its own.
            let back = if *temporal == 0 { pattern.len() } else { 1 + usize::from(at == 2) };
            prefix.put(&[temporal << 5 | u8::from(has_temporal_layers) << 4 | 1 << 2, back as u8]);
        }
    }

    /// A superframe of one frame (VP9 bitstream specification, Annex B): decoders take as many bytes as it says and ignore
    /// the trailer.
    pub(super) fn superframe_index(&self) -> Suffix {
        let mut index = Suffix::EMPTY;
        if let Some(len) = self.clip_frame_len {
            // Marker: one frame, four bytes of length.
            let marker = 0xc0 | 3 << 3;
            let [a, b, c, d] = (len as u32).to_le_bytes();
            index.put(&[marker, a, b, c, d, marker]);
        }
        index
    }
}
