//! Opus packets with padding that holds the trailer (RFC 6716 §3.2.5).

use crate::load::media::frame::Prefix;
use crate::load::media::trailer::TRAILER_LEN;

/// Bytes around the frame of a packet.
pub(in crate::load::media) const OPUS_OVERHEAD: usize = 3 + TRAILER_LEN;

/// The start of a code 3 packet with one frame and the trailer as its padding. `toc` is the first byte of a code 0 packet,
/// of which only the code changes.
pub(super) fn prefix(toc: u8) -> Prefix {
    let mut prefix = Prefix::EMPTY;
    // RFC 6716 §3.2.5: code 3; constant bit rate, padding, one frame; bytes of padding.
    prefix.put(&[toc & 0xfc | 3, 0x41, TRAILER_LEN as u8]);
    prefix
}
