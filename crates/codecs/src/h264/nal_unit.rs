//! NAL unit headers (ITU-T H.264 §7.3.1, table 7-1).

use crate::bits::BitReader;

/// `nal_unit_type` of what baseline, main and high profiles send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NalUnitType {
    /// 1: slice of a picture that needs others.
    Slice,
    /// 2.
    PartitionA,
    /// 3.
    PartitionB,
    /// 4.
    PartitionC,
    /// 5: slice of an IDR picture.
    Idr,
    /// 6.
    Sei,
    /// 7: parameter set of a sequence.
    Sps,
    /// 8: parameter set of a picture.
    Pps,
    /// 9.
    AccessUnitDelimiter,
    /// 12: decoders ignore it.
    FillerData,
    /// Anything else.
    Other(u8),
}

impl NalUnitType {
    const fn from_bits(bits: u8) -> Self {
        match bits {
            1 => Self::Slice,
            2 => Self::PartitionA,
            3 => Self::PartitionB,
            4 => Self::PartitionC,
            5 => Self::Idr,
            6 => Self::Sei,
            7 => Self::Sps,
            8 => Self::Pps,
            9 => Self::AccessUnitDelimiter,
            12 => Self::FillerData,
            other => Self::Other(other),
        }
    }
}

/// A NAL unit, or the start of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NalUnit<'a> {
    /// What it is.
    pub nal_type: NalUnitType,
    /// `nal_ref_idc`, 0..=3.
    pub ref_idc: u8,
    /// What stands behind its header byte.
    pub body: &'a [u8],
}

impl<'a> NalUnit<'a> {
    pub(super) const fn new(head: u8, body: &'a [u8]) -> Self {
        Self { nal_type: NalUnitType::from_bits(head & 0x1f), ref_idc: head >> 5 & 0x03, body }
    }

    /// Whether a slice is the first of its picture: `first_mb_in_slice` is 0 (ITU-T H.264 §7.4.3), without arbitrary slice
    /// order.
    pub(super) fn starts_picture(&self) -> bool {
        BitReader::new(self.body).exp_golomb() == Ok(0)
    }
}
