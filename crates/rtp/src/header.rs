//! The RTP header, parsed once into plain numbers (RFC 3550 §5.1, RFC 8285 §4).
//!
//! It holds for the encrypted packet and for the plain one alike: SRTP leaves the header clear. Padding is not looked
//! at, because its length is encrypted; [`crate::RtpView`] checks it afterwards.

use model::{PayloadType, RtpTimestamp, SeqNum, Ssrc};

use crate::error::RtpError;
use crate::extension::{ExtensionBlock, ExtensionForm};

/// Bytes of an RTP header without contributing sources and extension.
pub const FIXED_HEADER_LEN: usize = 12;

/// An RTP header as numbers and offsets, free of the bytes it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    /// The marker bit; for video: last packet of a frame.
    pub marker: bool,
    /// What the payload is.
    pub payload_type: PayloadType,
    /// Sequence number on the wire.
    pub seq: SeqNum,
    /// Media time.
    pub timestamp: RtpTimestamp,
    /// The stream.
    pub ssrc: Ssrc,
    /// Whether the P bit is set: the last byte of the plain packet counts its padding.
    pub has_padding: bool,
    /// Number of contributing sources, 0..=15.
    pub csrc_count: u8,
    header_len: usize,
    extension: Option<ExtensionBlock>,
}

impl RtpHeader {
    /// Reads the header. Checks version and that contributing sources and extension fit the packet.
    pub fn parse(packet: &[u8]) -> Result<Self, RtpError> {
        let Some(&[b0, b1, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3]) = packet.first_chunk::<FIXED_HEADER_LEN>() else {
            return Err(RtpError::Truncated);
        };
        if b0 >> 6 != 2 {
            return Err(RtpError::Version(b0 >> 6));
        }
        let csrc_count = b0 & 0x0f;
        let mut header_len = FIXED_HEADER_LEN + 4 * usize::from(csrc_count);
        let mut extension = None;
        if b0 & 0x10 != 0 {
            let Some(&[p0, p1, l0, l1]) = packet.get(header_len..).and_then(|rest| rest.first_chunk()) else {
                return Err(RtpError::Truncated);
            };
            let start = header_len + 4;
            let len = 4 * usize::from(u16::from_be_bytes([l0, l1]));
            extension =
                Some(ExtensionBlock { form: ExtensionForm::from_profile(u16::from_be_bytes([p0, p1])), start, len });
            header_len = start + len;
        }
        if packet.len() < header_len {
            return Err(RtpError::Truncated);
        }
        Ok(Self {
            marker: b1 & 0x80 != 0,
            payload_type: PayloadType::from_low_bits(b1),
            seq: SeqNum(u16::from_be_bytes([s0, s1])),
            timestamp: RtpTimestamp(u32::from_be_bytes([t0, t1, t2, t3])),
            ssrc: Ssrc(u32::from_be_bytes([r0, r1, r2, r3])),
            has_padding: b0 & 0x20 != 0,
            csrc_count,
            header_len,
            extension,
        })
    }

    /// Bytes from the start of the packet to its payload, as the wire says.
    #[must_use]
    pub const fn header_len(&self) -> usize {
        self.header_len
    }

    pub(crate) const fn extension_block(&self) -> Option<ExtensionBlock> {
        self.extension
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_field_of_the_fixed_header() {
        let packet = [0xa0, 0xe4, 0x12, 0x34, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1];
        let header = RtpHeader::parse(&packet).unwrap();
        assert!(header.marker && header.has_padding);
        assert_eq!(header.payload_type.get(), 100);
        assert_eq!(header.seq, SeqNum(0x1234));
        assert_eq!(header.timestamp, RtpTimestamp(0x0102_0304));
        assert_eq!(header.ssrc, Ssrc(0x0506_0708));
        assert_eq!(header.header_len(), 12);
    }

    #[test]
    fn header_len_comes_from_the_wire_even_when_elements_stop_early() {
        // An element with id 15 ends the walk (RFC 8285 §4.2) but not the block.
        let mut packet = vec![0x92, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7];
        packet.extend([0; 8]);
        packet.extend([0xbe, 0xde, 0, 2, 0xf0, 1, 0x10, 2, 3, 0, 0, 0]);
        packet.push(0xaa);
        assert_eq!(RtpHeader::parse(&packet).unwrap().header_len(), 32);
    }

    #[test]
    fn refuses_other_versions_and_headers_that_do_not_fit() {
        assert_eq!(RtpHeader::parse(&[0x40; 12]), Err(RtpError::Version(1)));
        assert_eq!(RtpHeader::parse(&[0x80; 11]), Err(RtpError::Truncated));
        assert_eq!(RtpHeader::parse(&[0x81; 15]), Err(RtpError::Truncated));
        let mut extended = [0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0xbe, 0xde, 0, 1, 0, 0, 0, 0];
        assert!(RtpHeader::parse(&extended).is_ok());
        assert_eq!(RtpHeader::parse(&extended[..14]), Err(RtpError::Truncated));
        extended[14] = 0xff;
        assert_eq!(RtpHeader::parse(&extended), Err(RtpError::Truncated));
    }
}
