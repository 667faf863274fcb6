//! Changing a packet's numbers where they lie, at the fixed offsets of RFC 3550 §5.1.

use model::{PayloadType, RtpTimestamp, SeqNum, Ssrc, TwccSeq};

use crate::error::RtpError;
use crate::header::FIXED_HEADER_LEN;
use crate::time::AbsSendTime;

/// A packet that is at least as long as the fixed header, open for changes.
#[derive(Debug)]
pub struct RtpPatch<'a> {
    fixed: &'a mut [u8; FIXED_HEADER_LEN],
    rest: &'a mut [u8],
}

impl<'a> RtpPatch<'a> {
    /// Takes the packet for changes. Only its length is checked.
    pub fn new(packet: &'a mut [u8]) -> Result<Self, RtpError> {
        let (fixed, rest) = packet.split_first_chunk_mut().ok_or(RtpError::Truncated)?;
        Ok(Self { fixed, rest })
    }

    /// Sets or clears the marker.
    pub fn set_marker(&mut self, marker: bool) -> &mut Self {
        self.fixed[1] = self.fixed[1] & 0x7f | u8::from(marker) << 7;
        self
    }

    /// Sets the payload type; the marker stays.
    pub fn set_payload_type(&mut self, payload_type: PayloadType) -> &mut Self {
        self.fixed[1] = self.fixed[1] & 0x80 | payload_type.get();
        self
    }

    /// Sets the sequence number.
    pub fn set_seq(&mut self, seq: SeqNum) -> &mut Self {
        let [a, b] = seq.0.to_be_bytes();
        self.fixed[2] = a;
        self.fixed[3] = b;
        self
    }

    /// Sets the timestamp.
    pub fn set_timestamp(&mut self, timestamp: RtpTimestamp) -> &mut Self {
        self.fixed[4..8].copy_from_slice(&timestamp.0.to_be_bytes());
        self
    }

    /// Sets the stream.
    pub fn set_ssrc(&mut self, ssrc: Ssrc) -> &mut Self {
        self.fixed[8..12].copy_from_slice(&ssrc.0.to_be_bytes());
        self
    }

    /// Sets the transport-wide sequence number at `offset` from the packet's start. No effect outside the packet.
    pub fn set_transport_seq(&mut self, offset: usize, seq: TwccSeq) -> &mut Self {
        self.put(offset, seq.0.to_be_bytes())
    }

    /// Sets abs-send-time at `offset` from the packet's start. No effect outside the packet.
    pub fn set_abs_send_time(&mut self, offset: usize, time: AbsSendTime) -> &mut Self {
        self.put(offset, time.to_bytes())
    }

    fn put<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) -> &mut Self {
        let place = offset.checked_sub(FIXED_HEADER_LEN).and_then(|at| self.rest.get_mut(at..)?.first_chunk_mut());
        if let Some(place) = place {
            *place = bytes;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::RtpHeader;

    #[test]
    fn patches_each_field_and_nothing_else() {
        let mut packet = [0x90, 0xe4, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xbe, 0xde, 0, 1, 0x51, 0, 0, 0, 0xaa];
        RtpPatch::new(&mut packet)
            .unwrap()
            .set_payload_type(PayloadType::try_from(96).unwrap())
            .set_seq(SeqNum(0x0102))
            .set_timestamp(RtpTimestamp(0x0304_0506))
            .set_ssrc(Ssrc(0x0708_090a))
            .set_transport_seq(17, TwccSeq(0xabcd));
        assert_eq!(packet[..2], [0x90, 0xe0]);
        assert_eq!(packet[12..], [0xbe, 0xde, 0, 1, 0x51, 0xab, 0xcd, 0, 0xaa]);
        let header = RtpHeader::parse(&packet).unwrap();
        assert_eq!(
            (header.seq, header.timestamp, header.ssrc),
            (SeqNum(0x0102), RtpTimestamp(0x0304_0506), Ssrc(0x0708_090a))
        );
        RtpPatch::new(&mut packet).unwrap().set_marker(false);
        assert_eq!(packet[1], 0x60);
    }

    #[test]
    fn an_offset_outside_the_extension_changes_nothing() {
        let mut packet = [0x80; 14];
        let before = packet;
        let mut patch = RtpPatch::new(&mut packet).unwrap();
        patch.set_transport_seq(13, TwccSeq(1)).set_transport_seq(4, TwccSeq(1)).set_transport_seq(99, TwccSeq(1));
        patch.set_abs_send_time(12, AbsSendTime::from_bytes([1, 2, 3]));
        assert_eq!(packet, before);
        assert!(RtpPatch::new(&mut packet[..11]).is_err());
    }
}
