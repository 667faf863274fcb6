//! AV1 payload: aggregation header and OBU elements (AOM "RTP Payload Format For AV1" §4.4), OBU headers (AV1 bitstream
//! specification §5.3.2) and the start of a sequence header (§5.5.1).
//!
//! Which layer a packet belongs to, and what it refers to, is told by the dependency descriptor
//! ([`crate::DependencyDescriptor`]); without it, only OBU headers with extension and the N bit help.

mod obu;
mod sequence_header;

pub use obu::{ObuElement, ObuHeader, ObuType};
pub use sequence_header::Av1SequenceHeader;

use crate::common::Resolution;

/// The bytes are no AV1 payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Av1Error {
    /// No byte behind the aggregation header, or an element reaches beyond the payload.
    #[error("AV1 payload ends inside an OBU element")]
    Truncated,
    /// A length of more than eight bytes or 32 bits (AV1 bitstream specification §4.10.5).
    #[error("AV1 element length is no leb128")]
    Length,
}

/// The aggregation header of a payload, in front of its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Av1Payload<'a> {
    /// Z: the first element goes on an OBU of the packet before.
    pub continues_obu: bool,
    /// Y: the last element goes on in the next packet.
    pub obu_goes_on: bool,
    /// W: how many elements there are, 1..=3, the last of which has no length; `None` where all have one.
    pub element_count: Option<u8>,
    /// N: the first packet of a coded video sequence.
    pub starts_coded_video_sequence: bool,
    elements: &'a [u8],
}

impl<'a> Av1Payload<'a> {
    /// Reads the aggregation header, which must have at least one byte behind it.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Av1Error> {
        let (&first, elements) = payload.split_first().ok_or(Av1Error::Truncated)?;
        if elements.is_empty() {
            return Err(Av1Error::Truncated);
        }
        let count = first >> 4 & 0x03;
        Ok(Self {
            continues_obu: first & 0x80 != 0,
            obu_goes_on: first & 0x40 != 0,
            element_count: (count > 0).then_some(count),
            starts_coded_video_sequence: first & 0x08 != 0,
            elements,
        })
    }

    /// The elements in order. The first error is the last item.
    pub fn elements(&self) -> impl Iterator<Item = Result<ObuElement<'a>, Av1Error>> + use<'a> {
        let payload = *self;
        let mut left = Some((0_u8, self.elements));
        std::iter::from_fn(move || {
            let (index, bytes) = left.take().filter(|(_, bytes)| !bytes.is_empty())?;
            let is_last_counted = payload.element_count == Some(index.saturating_add(1));
            Some(obu::split_element(bytes, is_last_counted).map(|(element, rest)| {
                // Elements behind those that W counts are none.
                left = (!is_last_counted).then_some((index.saturating_add(1), rest));
                let is_last = left.is_none_or(|(_, rest)| rest.is_empty());
                ObuElement {
                    bytes: element,
                    continues_obu: index == 0 && payload.continues_obu,
                    goes_on: is_last && payload.obu_goes_on,
                }
            }))
        })
    }

    /// The sequence header that starts in this packet. What does not parse has none.
    #[must_use]
    pub fn sequence_header(&self) -> Option<Av1SequenceHeader> {
        self.elements().map_while(Result::ok).find_map(|element| {
            let header = element.header().filter(|header| header.obu_type == ObuType::SequenceHeader)?;
            Av1SequenceHeader::parse(element.bytes.get(header.len()..)?)
        })
    }

    /// Whether the packet starts a frame that needs no other, as far as the payload tells: it starts a coded video sequence,
    /// or has the start of a sequence header, which encoders repeat in front of each key frame.
    ///
    /// Key frames of which SFrame hides the OBUs are told by the dependency descriptor only.
    #[must_use]
    pub fn is_key_frame_start(&self) -> bool {
        !self.continues_obu
            && (self.starts_coded_video_sequence
                || self
                    .elements()
                    .map_while(Result::ok)
                    .any(|element| element.header().is_some_and(|header| header.obu_type == ObuType::SequenceHeader)))
    }

    /// Size of the largest frame of the sequence, in a packet that starts a sequence header.
    #[must_use]
    pub fn resolution(&self) -> Option<Resolution> {
        self.sequence_header().map(|header| header.max_resolution)
    }

    /// Temporal and spatial layer of the first OBU that starts here and has an extension header.
    #[must_use]
    pub fn layer(&self) -> Option<(u8, u8)> {
        self.elements().map_while(Result::ok).find_map(|element| element.header()?.layer)
    }
}

#[cfg(test)]
mod tests;
