//! The trailer: when a frame was captured and when its packet left, at the end of a payload.
//!
//! Every byte has its top bit set and carries seven bits, so that no trailer looks like a start code of H.264 (Annex B) or
//! like the zero bytes that end an AV1 OBU:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | magic |
//! | 8 | time of capture, microseconds of the sender's [`MediaClock`](super::MediaClock) |
//! | 3 | microseconds from capture to departure, at most two seconds |
//! | 1 | encoding, spatial layer, temporal layer |
//! | 2 | lines of the picture |
//! | 4 | number of the sender |
//! | 1 | sum of the seven bits of all bytes between magic and here |
//! | 1 | 128: the trailing bits of an AV1 OBU (bitstream specification §5.3.4) |
//!
//! Where decoders ignore it: as padding of an Opus packet (RFC 6716 §3.2.5); behind the last partition of VP8, whose length is
//! implied; behind the frame of VP9, whose length a superframe index tells; in a padding OBU of AV1; behind the stop bit of an
//! H.264 slice.

use std::time::Duration;

use super::{Layer, MediaTime};

/// Bytes of a trailer.
pub const TRAILER_LEN: usize = 24;

/// The last byte.
const END: u8 = 0x80;

/// Bytes of the VP9 superframe index that stands behind the trailer where there is one (VP9 bitstream specification, Annex B):
/// marker, four bytes of length, marker.
pub const VP9_INDEX_LEN: usize = 6;

const MAGIC: [u8; 4] = [0xd4, 0xe5, 0xf2, 0xe1];
/// 21 bits of microseconds.
const MAX_DELAY_MICROS: u64 = (1 << 21) - 1;

/// A sender of one run, by the number that the engine gives it; the low 28 bits travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SenderNumber(pub u32);

/// What a trailer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// When the frame was captured.
    pub captured: MediaTime,
    /// When the packet left, at most two seconds later.
    pub sent: MediaTime,
    /// The layer that the packet belongs to.
    pub layer: Layer,
    /// Lines of the picture, at most 16383; 0 for audio.
    pub height: u16,
    /// Who sent it.
    pub sender: SenderNumber,
}

impl Trailer {
    /// Its bytes. What does not fit the widths above is cut.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; TRAILER_LEN] {
        let delay = self.sent.since(self.captured).unwrap_or(Duration::ZERO).as_micros();
        let delay = u64::try_from(delay).unwrap_or(MAX_DELAY_MICROS).min(MAX_DELAY_MICROS);
        let Layer { encoding, spatial, temporal } = self.layer;
        let mut bytes = [0; TRAILER_LEN];
        let mut out = bytes.iter_mut();
        put(&mut out, 4, magic_bits());
        put(&mut out, 8, self.captured.0);
        put(&mut out, 3, delay);
        put(&mut out, 1, u64::from((encoding & 3) << 5 | (spatial & 3) << 3 | temporal & 7));
        put(&mut out, 2, u64::from(self.height));
        put(&mut out, 4, u64::from(self.sender.0));
        let sum = sum(&bytes);
        if let Some(last) = bytes.last_chunk_mut() {
            *last = [sum, END];
        }
        bytes
    }

    /// The trailer at the end of `payload`, or in front of the superframe index there; `None` where there is none, as in all
    /// but the last packet of most frames.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let at_end = payload.last_chunk::<TRAILER_LEN>();
        let before_index =
            || payload.len().checked_sub(VP9_INDEX_LEN).and_then(|end| payload.get(..end)?.last_chunk::<TRAILER_LEN>());
        at_end.and_then(Self::from_bytes).or_else(|| before_index().and_then(Self::from_bytes))
    }

    fn from_bytes(bytes: &[u8; TRAILER_LEN]) -> Option<Self> {
        let (magic, fields) = bytes.split_first_chunk::<4>()?;
        if *magic != MAGIC
            || bytes.last_chunk() != Some(&[sum(bytes), END])
            || fields.iter().any(|byte| byte & 0x80 == 0)
        {
            return None;
        }
        let mut input = fields.iter();
        let captured = MediaTime(take(&mut input, 8));
        let delay = take(&mut input, 3);
        let layer = take(&mut input, 1) as u8;
        Some(Self {
            captured,
            sent: MediaTime(captured.0 + delay),
            layer: Layer { encoding: layer >> 5, spatial: layer >> 3 & 3, temporal: layer & 7 },
            height: take(&mut input, 2) as u16,
            sender: SenderNumber(take(&mut input, 4) as u32),
        })
    }
}

/// The seven bits of each byte of the magic.
const fn magic_bits() -> u64 {
    let [a, b, c, d] = MAGIC;
    ((a & 0x7f) as u64) << 21 | ((b & 0x7f) as u64) << 14 | ((c & 0x7f) as u64) << 7 | (d & 0x7f) as u64
}

/// Writes the low bits of `value`, seven a byte, the highest first.
fn put(out: &mut std::slice::IterMut<'_, u8>, bytes: u32, value: u64) {
    for (at, byte) in (0..bytes).rev().zip(out) {
        *byte = 0x80 | (value >> (7 * at)) as u8;
    }
}

fn take(input: &mut std::slice::Iter<'_, u8>, bytes: usize) -> u64 {
    input.take(bytes).fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
}

fn sum(bytes: &[u8; TRAILER_LEN]) -> u8 {
    let fields = bytes.get(MAGIC.len()..TRAILER_LEN - 2).unwrap_or_default();
    0x80 | fields.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAILER: Trailer = Trailer {
        captured: MediaTime(0x00fe_dcba_9876_5432),
        sent: MediaTime(0x00fe_dcba_9876_5432 + 1_234_567),
        layer: Layer { encoding: 2, spatial: 1, temporal: 5 },
        height: 720,
        sender: SenderNumber(0x0abc_def0),
    };

    #[test]
    fn is_read_back_from_the_end_of_a_payload() {
        let payload = [&[1, 2, 3][..], &TRAILER.to_bytes()].concat();
        assert_eq!(Trailer::read(&payload), Some(TRAILER));
        let with_index = [&payload[..], &[0xd8, 3, 0, 0, 0, 0xd8]].concat();
        assert_eq!(Trailer::read(&with_index), Some(TRAILER));
        assert_eq!(Trailer::read(&payload[..payload.len() - 1]), None);
        assert_eq!(Trailer::read(&[]), None);
    }

    #[test]
    fn no_byte_can_be_part_of_a_start_code() {
        assert!(TRAILER.to_bytes().iter().all(|byte| *byte >= 0x80));
        assert!(TRAILER.to_bytes().starts_with(&MAGIC));
    }

    #[test]
    fn a_departure_that_is_out_of_range_is_cut() {
        let read = |sent| Trailer::read(&Trailer { sent: MediaTime(sent), ..TRAILER }.to_bytes()).unwrap().sent.0;
        assert_eq!(read(0), TRAILER.captured.0);
        assert_eq!(read(u64::MAX), TRAILER.captured.0 + MAX_DELAY_MICROS);
    }

    #[test]
    fn any_changed_bit_is_seen() {
        let bytes = TRAILER.to_bytes();
        for bit in 0..TRAILER_LEN * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Trailer::read(&changed), None, "{bit}");
        }
    }
}
