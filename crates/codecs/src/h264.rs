//! H.264 payload (RFC 6184 §5): single NAL units, STAP-A and FU-A, as packetization modes 0 and 1 have them, and the few
//! fields of NAL units (ITU-T H.264 §7.3) that tell frames apart.
//!
//! The last packet of a frame has the RTP marker (RFC 6184 §5.1); nothing in the payload says so. Temporal layers are not told
//! either, but by a dependency descriptor ([`crate::DependencyDescriptor`]) where one was negotiated; what nothing refers to
//! has NRI 0.

mod nal_unit;
mod sps;

pub use nal_unit::{NalUnit, NalUnitType};

use crate::common::Resolution;

/// The bytes are no payload of packetization mode 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum H264Error {
    /// Empty, or an aggregate or fragment that ends inside its head.
    #[error("H.264 payload ends inside its header")]
    Truncated,
    /// STAP-B, MTAP and FU-B of the interleaved mode (RFC 6184 §5.4), or a type that is not assigned.
    #[error("H.264 payload of type {0} is not of packetization mode 0 or 1")]
    PayloadType(u8),
    /// A fragment that is both first and last (RFC 6184 §5.8).
    #[error("H.264 fragmentation unit is both first and last")]
    WholeFragment,
}

/// What a payload consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Structure<'a> {
    /// RFC 6184 §5.6.
    Single(NalUnit<'a>),
    /// RFC 6184 §5.7.1; the bytes behind the type.
    StapA(&'a [u8]),
    /// RFC 6184 §5.8: the head of a NAL unit and a piece of its body.
    FuA { piece: NalUnit<'a>, is_start: bool, is_end: bool },
}

/// An H.264 payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct H264Payload<'a> {
    structure: Structure<'a>,
    nal_ref_idc: u8,
}

impl<'a> H264Payload<'a> {
    /// Reads the head of an RTP payload.
    pub fn parse(payload: &'a [u8]) -> Result<Self, H264Error> {
        let (&first, rest) = payload.split_first().ok_or(H264Error::Truncated)?;
        let structure = match first & 0x1f {
            1..=23 => Structure::Single(NalUnit::new(first, rest)),
            24 if rest.len() > 2 => Structure::StapA(rest),
            24 => return Err(H264Error::Truncated),
            28 => {
                let (&head, body) = rest.split_first().ok_or(H264Error::Truncated)?;
                let (is_start, is_end) = (head & 0x80 != 0, head & 0x40 != 0);
                if is_start && is_end {
                    return Err(H264Error::WholeFragment);
                }
                Structure::FuA { piece: NalUnit::new(first & 0xe0 | head & 0x1f, body), is_start, is_end }
            }
            other => return Err(H264Error::PayloadType(other)),
        };
        Ok(Self { structure, nal_ref_idc: first >> 5 & 0x03 })
    }

    /// The NAL units that start in this packet: all of a single NAL unit packet or an aggregate, the start of one in a first
    /// fragment, none in others. An aggregate that lies about a length ends there.
    pub fn nal_units(&self) -> impl Iterator<Item = NalUnit<'a>> + use<'a> {
        let (mut single, mut aggregate) = match self.structure {
            Structure::Single(unit) | Structure::FuA { piece: unit, is_start: true, .. } => (Some(unit), &[][..]),
            Structure::FuA { is_start: false, .. } => (None, &[][..]),
            Structure::StapA(units) => (None, units),
        };
        std::iter::from_fn(move || {
            single.take().or_else(|| {
                let (len, rest) = aggregate.split_first_chunk()?;
                let (unit, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
                aggregate = rest;
                unit.split_first().map(|(head, body)| NalUnit::new(*head, body))
            })
        })
    }

    /// Whether the packet starts an access unit, as far as it tells (ITU-T H.264 §7.4.1.2.3): with a delimiter, parameter
    /// sets, SEI, or the first macroblock of a picture. More than one packet of an access unit may say so, as where
    /// parameter sets come in packets of their own.
    #[must_use]
    pub fn is_frame_start(&self) -> bool {
        self.nal_units().next().is_some_and(|unit| match unit.nal_type {
            NalUnitType::Slice | NalUnitType::PartitionA | NalUnitType::Idr => unit.starts_picture(),
            NalUnitType::Sei | NalUnitType::Sps | NalUnitType::Pps | NalUnitType::AccessUnitDelimiter => true,
            NalUnitType::PartitionB | NalUnitType::PartitionC | NalUnitType::FillerData | NalUnitType::Other(_) => {
                false
            }
        })
    }

    /// Whether a key frame starts here: parameter sets of a sequence, or the first slice of an IDR picture.
    #[must_use]
    pub fn is_key_frame_start(&self) -> bool {
        self.nal_units().any(|unit| match unit.nal_type {
            NalUnitType::Sps => true,
            NalUnitType::Idr => unit.starts_picture(),
            NalUnitType::Slice
            | NalUnitType::PartitionA
            | NalUnitType::PartitionB
            | NalUnitType::PartitionC
            | NalUnitType::Sei
            | NalUnitType::Pps
            | NalUnitType::AccessUnitDelimiter
            | NalUnitType::FillerData
            | NalUnitType::Other(_) => false,
        })
    }

    /// Whether the packet has a piece of an IDR picture, its start or not.
    #[must_use]
    pub fn is_idr(&self) -> bool {
        match self.structure {
            Structure::Single(unit) | Structure::FuA { piece: unit, .. } => unit.nal_type == NalUnitType::Idr,
            Structure::StapA(_) => self.nal_units().any(|unit| unit.nal_type == NalUnitType::Idr),
        }
    }

    /// NRI, 0..=3: with 0 nothing refers to what is in the packet, so that a forwarder may leave it out. Of an aggregate, the
    /// highest of its units (RFC 6184 §5.7).
    #[must_use]
    pub const fn nal_ref_idc(&self) -> u8 {
        self.nal_ref_idc
    }

    /// Whether the packet has slices that no other picture refers to: a forwarder may leave the picture out.
    #[must_use]
    pub fn is_discardable(&self) -> bool {
        self.nal_ref_idc == 0
            && match self.structure {
                Structure::Single(unit) | Structure::FuA { piece: unit, .. } => unit.nal_type == NalUnitType::Slice,
                Structure::StapA(_) => self.nal_units().any(|unit| unit.nal_type == NalUnitType::Slice),
            }
    }

    /// Whether the packet has a parameter set of a sequence.
    #[must_use]
    pub fn has_sps(&self) -> bool {
        self.nal_units().any(|unit| unit.nal_type == NalUnitType::Sps)
    }

    /// Whether the packet is the last of a fragmented NAL unit, or has whole ones.
    #[must_use]
    pub const fn ends_nal_unit(&self) -> bool {
        match self.structure {
            Structure::Single(_) | Structure::StapA(_) => true,
            Structure::FuA { is_end, .. } => is_end,
        }
    }

    /// Size of the picture, in a packet with the parameter set of a sequence.
    #[must_use]
    pub fn resolution(&self) -> Option<Resolution> {
        let sps = self.nal_units().find(|unit| unit.nal_type == NalUnitType::Sps)?;
        sps::resolution(sps.body)
    }
}

#[cfg(test)]
mod tests;
