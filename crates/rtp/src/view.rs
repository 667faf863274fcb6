//! A plain RTP packet as a view over its bytes (RFC 3550 §5.1).

use std::ops::Range;

use model::{PayloadType, RtpTimestamp, SeqNum, Ssrc};

use crate::error::RtpError;
use crate::extension::{ExtensionElement, ExtensionId, Extensions};
use crate::header::{FIXED_HEADER_LEN, RtpHeader};

/// A whole, plain RTP packet. Lengths are checked once, in the constructor.
#[derive(Clone, Copy, Debug)]
pub struct RtpView<'a> {
    header: RtpHeader,
    packet: &'a [u8],
    padding_len: u8,
}

impl<'a> RtpView<'a> {
    /// Reads a plain packet.
    pub fn parse(packet: &'a [u8]) -> Result<Self, RtpError> {
        Self::with_header(RtpHeader::parse(packet)?, packet)
    }

    /// A view with a header that was already read from the same bytes, such as before decryption. Checks padding.
    pub fn with_header(header: RtpHeader, packet: &'a [u8]) -> Result<Self, RtpError> {
        let body_len = packet.len().checked_sub(header.header_len()).ok_or(RtpError::Truncated)?;
        let padding_len = match packet.last() {
            Some(&len) if header.has_padding => {
                // RFC 3550 §5.1: the count includes itself, so that 0 is never right.
                if len == 0 || usize::from(len) > body_len {
                    return Err(RtpError::Padding(len));
                }
                len
            }
            Some(_) | None => 0,
        };
        Ok(Self { header, packet, padding_len })
    }

    /// The header's numbers.
    #[must_use]
    pub const fn header(&self) -> &RtpHeader {
        &self.header
    }

    /// The marker bit.
    #[must_use]
    pub const fn marker(&self) -> bool {
        self.header.marker
    }

    /// What the payload is.
    #[must_use]
    pub const fn payload_type(&self) -> PayloadType {
        self.header.payload_type
    }

    /// Sequence number on the wire.
    #[must_use]
    pub const fn seq(&self) -> SeqNum {
        self.header.seq
    }

    /// Media time.
    #[must_use]
    pub const fn timestamp(&self) -> RtpTimestamp {
        self.header.timestamp
    }

    /// The stream.
    #[must_use]
    pub const fn ssrc(&self) -> Ssrc {
        self.header.ssrc
    }

    /// Contributing sources, at most 15.
    pub fn csrcs(&self) -> impl Iterator<Item = Ssrc> + 'a {
        let end = FIXED_HEADER_LEN + 4 * usize::from(self.header.csrc_count);
        let (words, _) = self.packet.get(FIXED_HEADER_LEN..end).unwrap_or_default().as_chunks::<4>();
        words.iter().map(|word| Ssrc(u32::from_be_bytes(*word)))
    }

    /// Bytes from the start of the packet to its payload.
    #[must_use]
    pub const fn header_len(&self) -> usize {
        self.header.header_len()
    }

    /// Bytes of padding at the end, its count included.
    #[must_use]
    pub const fn padding_len(&self) -> usize {
        self.padding_len as usize
    }

    /// Where the payload lies in the packet, without padding.
    #[must_use]
    pub const fn payload_range(&self) -> Range<usize> {
        self.header.header_len()..self.packet.len() - self.padding_len as usize
    }

    /// The payload without padding.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.packet.get(self.payload_range()).unwrap_or_default()
    }

    /// Whether there is padding and nothing else, as bandwidth probes have it.
    #[must_use]
    pub fn is_padding_only(&self) -> bool {
        self.padding_len > 0 && self.payload_range().is_empty()
    }

    /// The whole packet.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.packet
    }

    /// All header extension elements in wire order.
    #[must_use]
    pub fn extensions(&self) -> Extensions<'a> {
        Extensions::new(self.packet, self.header.extension_block())
    }

    /// The first element with this identifier.
    #[must_use]
    pub fn extension(&self, id: ExtensionId) -> Option<ExtensionElement<'a>> {
        self.extensions().find(|element| element.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> Vec<u8> {
        let mut packet = vec![0xb1, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 9];
        packet.extend([0xbe, 0xde, 0, 1, 0x10, 0x85, 0, 0]);
        packet.extend([1, 2, 3, 0, 0, 3]);
        packet
    }

    #[test]
    fn finds_sources_extension_payload_and_padding() {
        let packet = packet();
        let view = RtpView::parse(&packet).unwrap();
        assert_eq!(view.csrcs().collect::<Vec<_>>(), [Ssrc(9)]);
        assert_eq!(view.header_len(), 24);
        assert_eq!(view.payload(), [1, 2, 3]);
        assert_eq!(view.padding_len(), 3);
        assert!(!view.is_padding_only());
        let element = view.extension(ExtensionId::try_from(1).unwrap()).unwrap();
        assert_eq!((element.offset, element.data), (21, &[0x85][..]));
        assert_eq!(packet[element.offset], 0x85);
        assert!(view.extension(ExtensionId::try_from(2).unwrap()).is_none());
    }

    #[test]
    fn refuses_padding_that_is_zero_or_reaches_into_the_header() {
        let mut packet = packet();
        *packet.last_mut().unwrap() = 0;
        assert_eq!(RtpView::parse(&packet).unwrap_err(), RtpError::Padding(0));
        *packet.last_mut().unwrap() = 7;
        assert_eq!(RtpView::parse(&packet).unwrap_err(), RtpError::Padding(7));
        *packet.last_mut().unwrap() = 6;
        assert!(RtpView::parse(&packet).unwrap().is_padding_only());
    }

    #[test]
    fn every_cut_and_every_byte_value_is_an_answer() {
        let packet = packet();
        for len in 0..packet.len() {
            let _ = RtpView::parse(&packet[..len]).map(|view| view.extensions().count() + view.payload().len());
        }
        for at in 0..packet.len() {
            for value in 0..=255 {
                let mut changed = packet.clone();
                changed[at] = value;
                let _ = RtpView::parse(&changed).map(|view| view.extensions().count() + view.csrcs().count());
            }
        }
    }
}
