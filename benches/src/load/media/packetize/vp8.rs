//! VP8 descriptors as libwebrtc writes them (RFC 7741 §4.2).

use crate::load::media::frame::{Frame, PlaceInFrame, Prefix};

/// Numbers of one VP8 frame.
#[derive(Clone, Copy, Debug)]
pub(in crate::load::media) struct Vp8Frame {
    /// The low 15 bits travel.
    pub(in crate::load::media) picture_id: u64,
    pub(in crate::load::media) tl0_pic_idx: u8,
    /// The frame refers to the base layer only.
    pub(in crate::load::media) is_layer_sync: bool,
    /// Width of the picture, where the payload is synthetic and so gets a header of its own.
    pub(in crate::load::media) synthetic_width: Option<u16>,
}

impl Vp8Frame {
    pub(super) fn prefix(&self, frame: &Frame, place: PlaceInFrame) -> Prefix {
        let mut prefix = Prefix::EMPTY;
        let [high, low] = (self.picture_id as u16 | 0x8000).to_be_bytes();
        let first = 0x80 | u8::from(place.is_first) << 4;
        let layer = frame.layer.temporal << 6 | u8::from(self.is_layer_sync) << 5;
        // X; I, L and T; a picture id of 15 bits.
        prefix.put(&[first, 0xe0, high, low, self.tl0_pic_idx, layer]);
        if let Some(width) = self.synthetic_width.filter(|_| place.is_first) {
            prefix.put(&[if frame.is_key { 0x10 } else { 0x11 }, 0, 0]);
            if frame.is_key {
                // RFC 6386 §9.1: start code, width and height.
                let ([w0, w1], [h0, h1]) = (width.to_le_bytes(), frame.height.to_le_bytes());
                prefix.put(&[0x9d, 0x01, 0x2a, w0, w1, h0, h1]);
            }
        }
        prefix
    }
}
