//! Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1): which packets of a transport
//! arrived, and how far apart.

use std::time::Duration;

use model::{Ssrc, TwccSeq};

use super::{feedback_type, packet_type, split_feedback, write_feedback_ssrcs, write_packet};

/// Unit of the times between arrivals.
pub const TWCC_DELTA_UNIT: Duration = Duration::from_micros(250);

/// Unit of the reference time.
pub const TWCC_REFERENCE_UNIT: Duration = Duration::from_millis(64);

/// Most packets that one feedback may speak about: half the number space, beyond which a number has two meanings.
pub const MAX_TWCC_STATUSES: usize = 1 << 15;

/// Time from the arrival of the packet before (or from the reference time, for the first) in units of
/// [`TWCC_DELTA_UNIT`]. Negative where packets arrived out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArrivalDelta(pub i16);

impl ArrivalDelta {
    /// Whether one byte holds it.
    const fn is_small(self) -> bool {
        0 <= self.0 && self.0 <= 255
    }
}

/// The numbers in front of the statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwccFeedbackHeader {
    /// Who reports.
    pub sender_ssrc: Ssrc,
    /// A stream of the transport, of no further meaning.
    pub media_ssrc: Ssrc,
    /// Number of the first packet that is spoken about.
    pub base_seq: TwccSeq,
    /// Time that the first delta counts from, in units of [`TWCC_REFERENCE_UNIT`] on the reporter's clock; 24 bits,
    /// signed.
    pub reference_time: i32,
    /// Counts the feedback packets of a transport.
    pub feedback_count: u8,
}

/// One feedback packet. Chunks and deltas are checked against each other once, in the parse.
#[derive(Clone, Copy, Debug)]
pub struct TwccFeedback<'a> {
    /// The numbers in front.
    pub header: TwccFeedbackHeader,
    status_count: u16,
    chunks: &'a [[u8; 2]],
    deltas: &'a [u8],
}

impl<'a> TwccFeedback<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender_ssrc, media_ssrc, rest) = split_feedback(body)?;
        let (&[s0, s1, c0, c1, r0, r1, r2, feedback_count], rest) = rest.split_first_chunk()?;
        let status_count = u16::from_be_bytes([c0, c1]);
        if usize::from(status_count) > MAX_TWCC_STATUSES {
            return None;
        }
        let header = TwccFeedbackHeader {
            sender_ssrc,
            media_ssrc,
            base_seq: TwccSeq(u16::from_be_bytes([s0, s1])),
            // Shifted down from the top, so that the sign of the 24 bits is kept.
            reference_time: i32::from_be_bytes([r0, r1, r2, 0]) >> 8,
            feedback_count,
        };
        let (chunk_count, delta_len) = measure(status_count, rest)?;
        let (chunks, deltas) = rest.split_at_checked(2 * chunk_count)?;
        Some(Self { header, status_count, chunks: chunks.as_chunks().0, deltas: deltas.get(..delta_len)? })
    }

    /// Each packet in order of its number, with its arrival if it arrived. At most [`MAX_TWCC_STATUSES`].
    pub fn statuses(&self) -> impl Iterator<Item = (TwccSeq, Option<ArrivalDelta>)> + 'a {
        let first = self.header.base_seq.0;
        let mut deltas = self.deltas;
        let symbols = self.chunks.iter().flat_map(|chunk| Chunk::parse(*chunk).symbols());
        symbols.take(usize::from(self.status_count)).enumerate().map(move |(i, symbol)| {
            let (delta, rest) = match (symbol, deltas) {
                (Symbol::Small, [delta, rest @ ..]) => (Some(ArrivalDelta(i16::from(*delta))), rest),
                (Symbol::Large, [high, low, rest @ ..]) => {
                    (Some(ArrivalDelta(i16::from_be_bytes([*high, *low]))), rest)
                }
                // The parse made sure that no delta is missing.
                (Symbol::NotReceived | Symbol::Small | Symbol::Large | Symbol::Reserved, rest) => (None, rest),
            };
            deltas = rest;
            (TwccSeq(first.wrapping_add(i as u16)), delta)
        })
    }
}

/// Counts the chunks that `status_count` packets take and the bytes of their deltas; none where the body is too short
/// or has a reserved symbol.
fn measure(status_count: u16, body: &[u8]) -> Option<(usize, usize)> {
    let mut left = usize::from(status_count);
    let (mut chunks, mut deltas) = (0, 0);
    let mut wire = body.as_chunks().0.iter();
    while left > 0 {
        let chunk = Chunk::parse(*wire.next()?);
        chunks += 1;
        let taken = match chunk {
            Chunk::Run { symbol, len } => {
                let taken = usize::from(len).min(left);
                deltas += taken * symbol.delta_len()?;
                taken
            }
            Chunk::OneBit(_) | Chunk::TwoBit(_) => {
                let mut taken = 0;
                for symbol in chunk.symbols().take(left) {
                    deltas += symbol.delta_len()?;
                    taken += 1;
                }
                taken
            }
        };
        left -= taken;
        // A run of length 0 takes nothing, but the chunk itself is used up, so that this ends.
    }
    Some((chunks, deltas))
}

/// Status of one packet (§3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Symbol {
    NotReceived,
    Small,
    Large,
    Reserved,
}

impl Symbol {
    const fn from_low_bits(bits: u16) -> Self {
        match bits & 3 {
            0 => Self::NotReceived,
            1 => Self::Small,
            2 => Self::Large,
            _ => Self::Reserved,
        }
    }

    const fn of(delta: Option<ArrivalDelta>) -> Self {
        match delta {
            None => Self::NotReceived,
            Some(delta) if delta.is_small() => Self::Small,
            Some(_) => Self::Large,
        }
    }

    const fn bits(self) -> u16 {
        match self {
            Self::NotReceived => 0,
            Self::Small => 1,
            Self::Large => 2,
            Self::Reserved => 3,
        }
    }

    const fn delta_len(self) -> Option<usize> {
        match self {
            Self::NotReceived => Some(0),
            Self::Small => Some(1),
            Self::Large => Some(2),
            Self::Reserved => None,
        }
    }
}

/// Statuses of several packets (§3.1.3, §3.1.4).
#[derive(Clone, Copy, Debug)]
enum Chunk {
    Run { symbol: Symbol, len: u16 },
    OneBit(u16),
    TwoBit(u16),
}

const MAX_RUN: usize = 0x1fff;

impl Chunk {
    const fn parse(bytes: [u8; 2]) -> Self {
        let word = u16::from_be_bytes(bytes);
        match word >> 14 {
            0 | 1 => Self::Run { symbol: Symbol::from_low_bits(word >> 13), len: word & 0x1fff },
            2 => Self::OneBit(word & 0x3fff),
            _ => Self::TwoBit(word & 0x3fff),
        }
    }

    /// At most 8191.
    fn symbols(self) -> impl Iterator<Item = Symbol> {
        let (len, step) = match self {
            Self::Run { len, .. } => (len, 0),
            Self::OneBit(_) => (14, 1),
            Self::TwoBit(_) => (7, 2),
        };
        (0..len).map(move |i| match self {
            Self::Run { symbol, .. } => symbol,
            Self::OneBit(bits) => Symbol::from_low_bits(bits >> (13 - step * i) & 1),
            Self::TwoBit(bits) => Symbol::from_low_bits(bits >> (12 - step * i)),
        })
    }

    /// The chunk that takes the most of what comes next, and how many it takes.
    fn next_of(statuses: &[Option<ArrivalDelta>]) -> Option<(u16, usize)> {
        let first = Symbol::of(*statuses.first()?);
        let run = statuses.iter().take(MAX_RUN).take_while(|delta| Symbol::of(**delta) == first).count();
        let (next_14, next_7) = (head(statuses, 14), head(statuses, 7));
        let one_bit_fits = next_14.iter().all(|delta| Symbol::of(*delta) != Symbol::Large);
        if run == statuses.len() || run >= 14 || run >= 7 && !one_bit_fits {
            return Some((first.bits() << 13 | run as u16, run));
        }
        let vector = |statuses: &[Option<ArrivalDelta>], width: u16| {
            let bits = statuses.iter().zip((0..14 / width).rev());
            bits.fold(0, |word, (delta, place)| word | Symbol::of(*delta).bits() << (place * width))
        };
        if one_bit_fits {
            Some((0x8000 | vector(next_14, 1), next_14.len()))
        } else {
            Some((0xc000 | vector(next_7, 2), next_7.len()))
        }
    }
}

fn head<T>(slice: &[T], len: usize) -> &[T] {
    slice.get(..len).unwrap_or(slice)
}

/// Appends a feedback about `statuses`, the first of which is packet `base_seq`; those beyond [`MAX_TWCC_STATUSES`] are
/// left out.
pub fn write_twcc_feedback(out: &mut Vec<u8>, header: &TwccFeedbackHeader, statuses: &[Option<ArrivalDelta>]) {
    let statuses = head(statuses, MAX_TWCC_STATUSES);
    write_packet(out, feedback_type::TRANSPORT_WIDE, packet_type::TRANSPORT_FEEDBACK, |out| {
        write_feedback_ssrcs(out, header.sender_ssrc, header.media_ssrc);
        out.extend_from_slice(&header.base_seq.0.to_be_bytes());
        out.extend_from_slice(&(statuses.len() as u16).to_be_bytes());
        let [_, r0, r1, r2] = header.reference_time.to_be_bytes();
        out.extend_from_slice(&[r0, r1, r2, header.feedback_count]);
        let mut rest = statuses;
        while let Some((chunk, taken)) = Chunk::next_of(rest) {
            out.extend_from_slice(&chunk.to_be_bytes());
            rest = rest.get(taken..).unwrap_or_default();
        }
        for delta in statuses.iter().flatten() {
            if delta.is_small() {
                out.push(delta.0 as u8);
            } else {
                out.extend_from_slice(&delta.0.to_be_bytes());
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, RtcpPacket};
    use super::*;

    const HEADER: TwccFeedbackHeader = TwccFeedbackHeader {
        sender_ssrc: Ssrc(1),
        media_ssrc: Ssrc(2),
        base_seq: TwccSeq(65_530),
        reference_time: -5,
        feedback_count: 9,
    };

    fn round_trip(statuses: &[Option<ArrivalDelta>]) -> usize {
        let mut out = Vec::new();
        write_twcc_feedback(&mut out, &HEADER, statuses);
        let Some(Ok(RtcpPacket::TransportFeedback(feedback))) = Compound::new(&out).next() else {
            panic!("no feedback in {out:x?}")
        };
        assert_eq!(feedback.header, HEADER);
        let expected: Vec<_> = statuses
            .iter()
            .enumerate()
            .map(|(i, delta)| (TwccSeq(65_530_u16.wrapping_add(i as u16)), *delta))
            .collect();
        assert_eq!(feedback.statuses().collect::<Vec<_>>(), expected);
        out.len()
    }

    #[test]
    fn statuses_of_all_kinds_are_read_back() {
        let small = Some(ArrivalDelta(4));
        let large = Some(ArrivalDelta(256));
        let back = Some(ArrivalDelta(-1));
        round_trip(&[]);
        round_trip(&[small]);
        round_trip(&[small, None, large, back, small]);
        // One run chunk for 100 packets: 20 bytes in front, 2 of chunk, 100 of deltas, 2 to fill the word.
        assert_eq!(round_trip(&[small; 100]), 124);
        round_trip(&[&[large; 8][..], &[None; 9000], &[small; 20], &[None, small, None, back]].concat());
    }

    #[test]
    fn any_mix_is_read_back() {
        let mut state = 1_u32;
        for len in 0..200 {
            let statuses: Vec<_> = (0..len)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let runs_favoured = (state >> 24) % 7;
                    match runs_favoured {
                        0 => None,
                        1 => Some(ArrivalDelta((state >> 8) as i16)),
                        _ => Some(ArrivalDelta(20)),
                    }
                })
                .collect();
            round_trip(&statuses);
        }
    }

    /// Worked by hand from §3.1: base 1, 4 packets, a two-bit vector (small, none, large, small), then deltas.
    #[test]
    fn reads_the_wire_format_of_the_draft() {
        let datagram = [
            0x8f, 205, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2, // common header, SSRCs
            0, 1, 0, 4, 0, 0, 3, 7, // base, count, reference time, feedback count
            0xd2, 0x40, 4, 0x01, 0x00, 8, 0, 0, // 11 01 00 10 01 00 00 00, deltas, padding
        ];
        let Some(Ok(RtcpPacket::TransportFeedback(feedback))) = Compound::new(&datagram).next() else {
            panic!("no feedback")
        };
        assert_eq!((feedback.header.reference_time, feedback.header.feedback_count), (3, 7));
        let deltas: Vec<_> = feedback.statuses().map(|(seq, delta)| (seq.0, delta.map(|delta| delta.0))).collect();
        assert_eq!(deltas, [(1, Some(4)), (2, None), (3, Some(256)), (4, Some(8))]);
    }

    #[test]
    fn refuses_what_contradicts_itself() {
        let parse = |tail: &[u8]| {
            let mut body = vec![0, 0, 0, 1, 0, 0, 0, 2];
            body.extend_from_slice(tail);
            TwccFeedback::parse(&body).is_some()
        };
        assert!(parse(&[0, 1, 0, 1, 0, 0, 0, 0, 0x20, 1, 4, 0]));
        // Statuses without a chunk, a delta that is missing, a reserved symbol, too many statuses, runs of nothing.
        assert!(!parse(&[0, 1, 0, 1, 0, 0, 0, 0]));
        assert!(!parse(&[0, 1, 0, 3, 0, 0, 0, 0, 0x20, 3, 4, 4]));
        assert!(!parse(&[0, 1, 0, 1, 0, 0, 0, 0, 0x60, 1, 4, 4]));
        assert!(!parse(&[0, 1, 0x80, 1, 0, 0, 0, 0, 0x1f, 0xff, 0, 0]));
        assert!(!parse(&[0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
    }

    #[test]
    fn every_cut_and_changed_byte_is_an_answer() {
        let mut out = Vec::new();
        let statuses = [&[None; 3][..], &[Some(ArrivalDelta(300)); 9], &[Some(ArrivalDelta(3)); 20]].concat();
        write_twcc_feedback(&mut out, &HEADER, &statuses);
        let count = |bytes: &[u8]| {
            Compound::new(bytes)
                .map(|packet| match packet {
                    Ok(RtcpPacket::TransportFeedback(feedback)) => feedback.statuses().count(),
                    Ok(_) | Err(_) => 0,
                })
                .sum::<usize>()
        };
        for at in 0..out.len() {
            let _ = count(&out[..at]);
            for value in [0, 1, 0x1f, 0x7f, 0x80, 0xff] {
                let mut changed = out.clone();
                changed[at] = value;
                assert!(count(&changed) <= MAX_TWCC_STATUSES);
            }
        }
    }
}
