//! Generic NACK (RFC 4585 §6.2.1).

use model::{SeqNum, Ssrc};

use super::{feedback_type, packet_type, split_feedback, write_feedback_ssrcs, write_packet};

/// Packets that a receiver misses.
#[derive(Clone, Copy, Debug)]
pub struct Nack<'a> {
    /// Who asks.
    pub sender_ssrc: Ssrc,
    /// Of which stream.
    pub media_ssrc: Ssrc,
    entries: &'a [[u8; 4]],
}

impl<'a> Nack<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender_ssrc, media_ssrc, entries) = split_feedback(body)?;
        Some(Self { sender_ssrc, media_ssrc, entries: entries.as_chunks().0 })
    }

    /// The missing sequence numbers in wire order: at most 17 for each four bytes of the packet.
    pub fn lost(&self) -> impl Iterator<Item = SeqNum> + 'a {
        self.entries.iter().flat_map(|&[p0, p1, b0, b1]| {
            let first = u16::from_be_bytes([p0, p1]);
            let mask = u16::from_be_bytes([b0, b1]);
            let following = (0..16).filter(move |bit| mask & 1 << bit != 0);
            std::iter::once(SeqNum(first)).chain(following.map(move |bit| SeqNum(first.wrapping_add(bit + 1))))
        })
    }
}

/// Most entries in one packet that is written: it stays below any path's MTU.
const MAX_ENTRIES: usize = 256;

/// Appends one NACK for `lost`, which must be in ascending order (across the wrap) to be packed well. Returns how many
/// of them went in: all but in the case of more than 256 entries.
pub fn write_nack(
    out: &mut Vec<u8>,
    sender_ssrc: Ssrc,
    media_ssrc: Ssrc,
    lost: impl IntoIterator<Item = SeqNum>,
) -> usize {
    let mut written = 0;
    write_packet(out, feedback_type::NACK, packet_type::TRANSPORT_FEEDBACK, |out| {
        write_feedback_ssrcs(out, sender_ssrc, media_ssrc);
        let mut lost = lost.into_iter().peekable();
        for _ in 0..MAX_ENTRIES {
            let Some(SeqNum(first)) = lost.next() else { break };
            written += 1;
            let mut mask = 0_u16;
            while let Some(SeqNum(next)) = lost.peek() {
                let bit = next.wrapping_sub(first).wrapping_sub(1);
                if bit >= 16 {
                    break;
                }
                mask |= 1 << bit;
                written += 1;
                lost.next();
            }
            out.extend_from_slice(&first.to_be_bytes());
            out.extend_from_slice(&mask.to_be_bytes());
        }
    });
    written
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, RtcpPacket};
    use super::*;

    fn round_trip(lost: &[u16]) -> (usize, Vec<u16>) {
        let mut out = Vec::new();
        write_nack(&mut out, Ssrc(1), Ssrc(2), lost.iter().copied().map(SeqNum));
        let Some(Ok(RtcpPacket::Nack(nack))) = Compound::new(&out).next() else { panic!("no NACK") };
        assert_eq!((nack.sender_ssrc, nack.media_ssrc), (Ssrc(1), Ssrc(2)));
        (out.len(), nack.lost().map(|seq| seq.0).collect())
    }

    #[test]
    fn packs_seventeen_numbers_into_an_entry_across_the_wrap() {
        let run: Vec<u16> = (0..17).map(|i| 65_530_u16.wrapping_add(i)).collect();
        assert_eq!(round_trip(&run), (16, run.clone()));
        assert_eq!(round_trip(&[10, 26, 27]), (20, vec![10, 26, 27]));
        assert_eq!(round_trip(&[5]), (16, vec![5]));
    }

    #[test]
    fn says_how_many_went_in() {
        let far_apart = (0..2 * MAX_ENTRIES as u16).map(|i| SeqNum(i * 20));
        assert_eq!(write_nack(&mut Vec::new(), Ssrc(1), Ssrc(2), far_apart), MAX_ENTRIES);
    }
}
