//! H.264 fragments of synthetic frames (RFC 6184 §5.8). Frames of clips bring their headers along (`clip`).

use crate::load::media::frame::{Frame, PlaceInFrame, Prefix};
use crate::load::media::trailer::TRAILER_LEN;

/// Parameter sets of 1920x1080 in constrained baseline, as x264 writes them.
const SPS: [u8; 25] = [
    0x67, 0x42, 0xc0, 0x28, 0xda, 0x01, 0xe0, 0x08, 0x9f, 0x97, 0x01, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 3, 0xc8, 0xf1,
    0x83, 0x2a,
];
const PPS: [u8; 4] = [0x68, 0xce, 0x0f, 0xc8];

/// `first_mb_in_slice` 0 and a slice of type 7 or 5, all of one type (ITU-T H.264 §7.3.3).
const FIRST_SLICE_BYTE: [u8; 2] = [0x88, 0x98];

/// What a frame consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load::media) enum H264Frame {
    /// Whole payloads of a clip.
    Clip,
    /// Bytes without meaning; a key frame has a packet of parameter sets in front.
    Synthetic,
}

impl H264Frame {
    pub(super) fn prefix(self, frame: &Frame, place: PlaceInFrame) -> Prefix {
        let mut prefix = Prefix::EMPTY;
        if self == Self::Clip {
            return prefix;
        }
        if place.is_lead {
            // STAP-A; the trailer counts as the end of the last unit.
            prefix.put(&[0x78, 0, SPS.len() as u8]);
            prefix.put(&SPS);
            prefix.put(&[0, (PPS.len() + TRAILER_LEN) as u8]);
            prefix.put(&PPS);
            return prefix;
        }
        let (nri, kind, slice) = match (frame.is_key, FIRST_SLICE_BYTE) {
            (true, [intra, _]) => (0x60, 5, intra),
            (false, [_, predicted]) => (0x40, 1, predicted),
        };
        if place.is_first && place.is_last {
            prefix.put(&[nri | kind, slice]);
        } else {
            prefix.put(&[nri | 28, u8::from(place.is_first) << 7 | u8::from(place.is_last) << 6 | kind]);
            if place.is_first {
                prefix.put(&[slice]);
            }
        }
        prefix
    }
}
