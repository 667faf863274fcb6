//! BYE (RFC 3550 §6.6).

use model::Ssrc;

use super::{packet_type, write_packet};

/// Streams that end. The reason, if any, is not read.
#[derive(Clone, Copy, Debug)]
pub struct Goodbye<'a> {
    sources: &'a [[u8; 4]],
}

impl<'a> Goodbye<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        Some(Self { sources: body.as_chunks().0.get(..usize::from(count))? })
    }

    /// The streams, at most 31.
    pub fn sources(&self) -> impl Iterator<Item = Ssrc> + 'a {
        self.sources.iter().map(|ssrc| Ssrc(u32::from_be_bytes(*ssrc)))
    }
}

/// Appends BYE packets for `sources`, 31 in each.
pub fn write_bye(out: &mut Vec<u8>, sources: &[Ssrc]) {
    for sources in sources.chunks(31) {
        write_packet(out, sources.len() as u8, packet_type::GOODBYE, |out| {
            for ssrc in sources {
                out.extend_from_slice(&ssrc.0.to_be_bytes());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, RtcpPacket};
    use super::*;

    #[test]
    fn sources_are_read_back_across_packets() {
        let sources: Vec<_> = (0..40).map(Ssrc).collect();
        let mut out = Vec::new();
        write_bye(&mut out, &sources);
        let mut seen = Vec::new();
        for packet in Compound::new(&out) {
            let Ok(RtcpPacket::Goodbye(bye)) = packet else { panic!("{packet:?}") };
            seen.extend(bye.sources());
        }
        assert_eq!(seen, sources);
    }

    #[test]
    fn a_reason_is_skipped_and_a_missing_source_is_malformed() {
        let with_reason = [0x81, 203, 0, 2, 0, 0, 0, 5, 3, b'b', b'y', b'e'];
        let Some(Ok(RtcpPacket::Goodbye(bye))) = Compound::new(&with_reason).next() else { panic!("no BYE") };
        assert_eq!(bye.sources().collect::<Vec<_>>(), [Ssrc(5)]);
        assert!(Compound::new(&[0x82, 203, 0, 1, 0, 0, 0, 5]).next().unwrap().is_err());
    }
}
