//! Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03 §2.2).

use model::{Bitrate, Ssrc};

use super::{feedback_type, packet_type, split_feedback, split_u32, write_feedback_ssrcs, write_packet};

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

/// Streams that one REMB names at most: their count is a byte.
const MAX_SOURCES: usize = 255;

/// Appends a REMB about some streams, of which there are 255 at most. The rate is rounded down to 18 bits and a power of two.
pub fn write_remb(out: &mut Vec<u8>, sender_ssrc: Ssrc, bitrate: Bitrate, sources: &[Ssrc]) {
    let sources = sources.get(..MAX_SOURCES).unwrap_or(sources);
    let exponent = (u64::BITS - bitrate.bps().leading_zeros()).saturating_sub(18);
    let mantissa = (bitrate.bps() >> exponent) as u32;
    write_packet(out, feedback_type::APPLICATION_LAYER, packet_type::PAYLOAD_FEEDBACK, |out| {
        write_feedback_ssrcs(out, sender_ssrc, Ssrc(0));
        out.extend_from_slice(b"REMB");
        out.extend_from_slice(&((sources.len() as u32) << 24 | exponent << 18 | mantissa).to_be_bytes());
        for source in sources {
            out.extend_from_slice(&source.0.to_be_bytes());
        }
    });
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
    fn what_is_written_is_read() {
        for (bps, read) in
            [(0, 0), (250_000, 250_000), (0x3_ffff, 0x3_ffff), (1_234_567, 1_234_560), (u64::MAX, 0x3_ffff << 46)]
        {
            let mut datagram = Vec::new();
            write_remb(&mut datagram, Ssrc(1), Bitrate::from_bps(bps), &[Ssrc(7), Ssrc(8)]);
            let Some(Ok(RtcpPacket::ReceiverEstimatedMaxBitrate(remb))) = Compound::new(&datagram).next() else {
                panic!("no REMB")
            };
            assert_eq!((remb.sender_ssrc, remb.bitrate), (Ssrc(1), Bitrate::from_bps(read)));
            assert_eq!(remb.sources().collect::<Vec<_>>(), [Ssrc(7), Ssrc(8)]);
        }
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
