//! Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03 §2.2).

use model::{Bitrate, Ssrc};

use super::{split_feedback, split_u32};

/// The bit rate that a receiver thinks it can take on some streams together.
#[derive(Clone, Copy, Debug)]
pub struct ReceiverEstimatedMaxBitrate<'a> {
    /// Who reports.
    pub sender_ssrc: Ssrc,
    /// The estimate.
    pub bitrate: Bitrate,
    sources: &'a [[u8; 4]],
}

impl<'a> ReceiverEstimatedMaxBitrate<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender_ssrc, _, rest) = split_feedback(body)?;
        let rest = rest.strip_prefix(b"REMB")?;
        let (word, sources) = split_u32(rest)?;
        let count = (word >> 24) as usize;
        let exponent = word >> 18 & 0x3f;
        // 18 bits shifted by at most 63 fit 128; a rate that no number of bits per second reaches is the largest.
        let bps = u64::try_from(u128::from(word & 0x3_ffff) << exponent).unwrap_or(u64::MAX);
        let sources = sources.as_chunks().0.get(..count)?;
        Some(Self { sender_ssrc, bitrate: Bitrate::from_bps(bps), sources })
    }

    /// The streams that the estimate is about.
    pub fn sources(&self) -> impl Iterator<Item = Ssrc> + 'a {
        self.sources.iter().map(|ssrc| Ssrc(u32::from_be_bytes(*ssrc)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, RtcpPacket};
    use super::*;

    fn remb(word: [u8; 4]) -> Vec<u8> {
        let mut datagram = vec![0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0];
        datagram.extend(b"REMB");
        datagram.extend(word);
        datagram.extend([0, 0, 0, 9]);
        datagram
    }

    #[test]
    fn reads_mantissa_and_exponent() {
        // 0x30000 << 4 bits a second for one stream.
        let datagram = remb([1, 0x13, 0, 0]);
        let Some(Ok(RtcpPacket::ReceiverEstimatedMaxBitrate(remb))) = Compound::new(&datagram).next() else {
            panic!("no REMB")
        };
        assert_eq!(remb.bitrate, Bitrate::from_bps(0x30_0000));
        assert_eq!(remb.sources().collect::<Vec<_>>(), [Ssrc(9)]);
    }

    #[test]
    fn a_rate_beyond_64_bits_saturates() {
        let datagram = remb([1, 0xff, 0xff, 0xff]);
        let Some(Ok(RtcpPacket::ReceiverEstimatedMaxBitrate(remb))) = Compound::new(&datagram).next() else {
            panic!("no REMB")
        };
        assert_eq!(remb.bitrate, Bitrate::from_bps(u64::MAX));
    }

    #[test]
    fn other_application_feedback_is_unknown() {
        let mut datagram = remb([2, 0, 0, 0]);
        assert!(matches!(Compound::new(&datagram).next(), Some(Ok(RtcpPacket::Unknown { .. }))));
        datagram[12] = b'r';
        assert!(matches!(Compound::new(&datagram).next(), Some(Ok(RtcpPacket::Unknown { .. }))));
    }
}
