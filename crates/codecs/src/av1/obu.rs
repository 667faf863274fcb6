//! OBU elements of a payload, and the OBU header (AV1 bitstream specification §5.3).

use super::Av1Error;

/// `obu_type` (AV1 bitstream specification §6.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObuType {
    /// 1.
    SequenceHeader,
    /// 2: senders leave it out.
    TemporalDelimiter,
    /// 3.
    FrameHeader,
    /// 4.
    TileGroup,
    /// 5.
    Metadata,
    /// 6: header and tiles of a frame.
    Frame,
    /// 7.
    RedundantFrameHeader,
    /// 8: not sent over RTP.
    TileList,
    /// 15: decoders ignore it.
    Padding,
    /// Anything else.
    Reserved(u8),
}

impl ObuType {
    const fn from_bits(bits: u8) -> Self {
        match bits {
            1 => Self::SequenceHeader,
            2 => Self::TemporalDelimiter,
            3 => Self::FrameHeader,
            4 => Self::TileGroup,
            5 => Self::Metadata,
            6 => Self::Frame,
            7 => Self::RedundantFrameHeader,
            8 => Self::TileList,
            15 => Self::Padding,
            other => Self::Reserved(other),
        }
    }
}

/// The header of an OBU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObuHeader {
    /// What it is.
    pub obu_type: ObuType,
    /// `temporal_id`, 0..=7, and `spatial_id`, 0..=3, where the header has an extension.
    pub layer: Option<(u8, u8)>,
    /// `obu_has_size_field`: senders should leave the size out (AOM RTP payload format §4.5).
    pub has_size: bool,
}

impl ObuHeader {
    /// Reads the header at the start of an OBU; `None` if the bytes end inside it or the forbidden bit is set.
    #[must_use]
    pub fn parse(obu: &[u8]) -> Option<Self> {
        let (&first, rest) = obu.split_first()?;
        if first & 0x80 != 0 {
            return None;
        }
        let layer = match first & 0x04 {
            0 => None,
            _ => rest.first().map(|extension| Some((extension >> 5, extension >> 3 & 0x03)))?,
        };
        Some(Self { obu_type: ObuType::from_bits(first >> 3 & 0x0f), layer, has_size: first & 0x02 != 0 })
    }

    /// Bytes of the header without the size behind it.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a header has a byte and is never empty")]
    pub fn len(&self) -> usize {
        1 + usize::from(self.layer.is_some())
    }
}

/// An OBU or a piece of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObuElement<'a> {
    /// Its bytes, with the OBU header where it starts an OBU.
    pub bytes: &'a [u8],
    /// It goes on an OBU of the packet before.
    pub continues_obu: bool,
    /// It goes on in the next packet.
    pub goes_on: bool,
}

impl ObuElement<'_> {
    /// The header of the OBU that starts here.
    #[must_use]
    pub fn header(&self) -> Option<ObuHeader> {
        if self.continues_obu { None } else { ObuHeader::parse(self.bytes) }
    }
}

/// The element at the start of `bytes`, which has no length of its own if it takes them all, and what follows.
pub(super) fn split_element(bytes: &[u8], takes_all: bool) -> Result<(&[u8], &[u8]), Av1Error> {
    if takes_all {
        return Ok((bytes, &[]));
    }
    let (len, rest) = leb128(bytes)?;
    rest.split_at_checked(len as usize).ok_or(Av1Error::Truncated)
}

/// AV1 bitstream specification §4.10.5.
fn leb128(bytes: &[u8]) -> Result<(u32, &[u8]), Av1Error> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let rest = bytes.get(at + 1..).unwrap_or_default();
            return u32::try_from(value).map(|value| (value, rest)).map_err(|_| Av1Error::Length);
        }
    }
    Err(if bytes.len() < 8 { Av1Error::Truncated } else { Av1Error::Length })
}
