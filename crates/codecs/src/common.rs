//! What several payload formats have in common.

/// Number of a picture, in the width that the sender chose: the M bit of VP8 (RFC 7741 §4.2) and of VP9 (RFC 9628 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureId {
    /// 0..=127.
    SevenBits(u8),
    /// 0..=32767.
    FifteenBits(u16),
}

impl PictureId {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        match self {
            Self::SevenBits(id) => id as u16,
            Self::FifteenBits(id) => id,
        }
    }

    /// Bits on the wire, 7 or 15: the number wraps behind them.
    #[must_use]
    pub const fn width_bits(self) -> u32 {
        match self {
            Self::SevenBits(_) => 7,
            Self::FifteenBits(_) => 15,
        }
    }

    /// Writes another number in the same width over the one at the start of `place`. Bits above the width are lost.
    pub(crate) fn write_over(self, number: u16, place: &mut [u8]) {
        match (self, place) {
            (Self::SevenBits(_), [id, ..]) => *id = number as u8 & 0x7f,
            (Self::FifteenBits(_), [high, low, ..]) => [*high, *low] = (number | 0x8000).to_be_bytes(),
            (Self::SevenBits(_) | Self::FifteenBits(_), _) => {}
        }
    }
}

/// Width and height in pixels as the bitstream has them, without the scaling that it may ask of the display.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resolution {
    /// At least 1; at most 16383 in VP8. The 65536 of other codecs counts as 65535.
    pub width: u16,
    /// Likewise.
    pub height: u16,
}

impl Resolution {
    /// From numbers that formats give as one less than the size.
    pub(crate) const fn from_minus_one(width: u16, height: u16) -> Self {
        Self { width: width.saturating_add(1), height: height.saturating_add(1) }
    }
}
