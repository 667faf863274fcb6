//! Requests for a key frame: PLI (RFC 4585 §6.3.1) and FIR (RFC 5104 §4.3.1).

use model::Ssrc;

use super::{feedback_type, packet_type, split_feedback, write_feedback_ssrcs, write_packet};

/// A receiver lost a picture of `media_ssrc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureLossIndication {
    /// Who asks.
    pub sender_ssrc: Ssrc,
    /// Of which stream.
    pub media_ssrc: Ssrc,
}

impl PictureLossIndication {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let (sender_ssrc, media_ssrc, _) = split_feedback(body)?;
        Some(Self { sender_ssrc, media_ssrc })
    }
}

/// One stream of a FIR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirEntry {
    /// The stream.
    pub ssrc: Ssrc,
    /// Command sequence number: a repeat keeps it (RFC 5104 §4.3.1.1).
    pub command_seq: u8,
}

/// A receiver wants a decoder refresh point. The media SSRC of the header is 0 by the RFC and not read.
#[derive(Clone, Copy, Debug)]
pub struct FullIntraRequest<'a> {
    /// Who asks.
    pub sender_ssrc: Ssrc,
    entries: &'a [[u8; 8]],
}

impl<'a> FullIntraRequest<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender_ssrc, _, entries) = split_feedback(body)?;
        Some(Self { sender_ssrc, entries: entries.as_chunks().0 })
    }

    /// The streams that it asks for.
    pub fn entries(&self) -> impl Iterator<Item = FirEntry> + 'a {
        self.entries.iter().map(|&[a, b, c, d, command_seq, ..]| FirEntry {
            ssrc: Ssrc(u32::from_be_bytes([a, b, c, d])),
            command_seq,
        })
    }
}

/// Appends a PLI.
pub fn write_pli(out: &mut Vec<u8>, sender_ssrc: Ssrc, media_ssrc: Ssrc) {
    write_packet(out, feedback_type::PICTURE_LOSS, packet_type::PAYLOAD_FEEDBACK, |out| {
        write_feedback_ssrcs(out, sender_ssrc, media_ssrc);
    });
}

/// Appends a FIR for one stream.
pub fn write_fir(out: &mut Vec<u8>, sender_ssrc: Ssrc, entry: FirEntry) {
    write_packet(out, feedback_type::FULL_INTRA, packet_type::PAYLOAD_FEEDBACK, |out| {
        write_feedback_ssrcs(out, sender_ssrc, Ssrc(0));
        out.extend_from_slice(&entry.ssrc.0.to_be_bytes());
        out.extend_from_slice(&[entry.command_seq, 0, 0, 0]);
    });
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, RtcpPacket};
    use super::*;

    #[test]
    fn pli_is_read_back() {
        let mut out = Vec::new();
        write_pli(&mut out, Ssrc(1), Ssrc(2));
        assert_eq!(out, [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
        let Some(Ok(RtcpPacket::PictureLossIndication(pli))) = Compound::new(&out).next() else { panic!("no PLI") };
        assert_eq!(pli, PictureLossIndication { sender_ssrc: Ssrc(1), media_ssrc: Ssrc(2) });
    }

    #[test]
    fn fir_is_read_back() {
        let entry = FirEntry { ssrc: Ssrc(7), command_seq: 200 };
        let mut out = Vec::new();
        write_fir(&mut out, Ssrc(1), entry);
        let Some(Ok(RtcpPacket::FullIntraRequest(fir))) = Compound::new(&out).next() else { panic!("no FIR") };
        assert_eq!(fir.sender_ssrc, Ssrc(1));
        assert_eq!(fir.entries().collect::<Vec<_>>(), [entry]);
    }

    #[test]
    fn short_bodies_are_malformed() {
        for datagram in [[0x81, 206, 0, 1, 0, 0, 0, 1], [0x84, 206, 0, 1, 0, 0, 0, 1], [0x81, 205, 0, 1, 0, 0, 0, 1]] {
            assert!(Compound::new(&datagram).next().unwrap().is_err());
        }
    }
}
