//! The last steps of a packet to one receiver: in which order, under which header, sealed into the send queue.
//!
//! Here: what waits for one receiver in the round of its shard. Not here: which packets, and their numbers (`source`), the
//! datagrams' way to the kernel (`net`).

use std::time::Instant;

use model::{ExtSeqNum, PayloadType, RtpTimestamp, SeqNum, Ssrc};
use net::SendQueue;
use rtp::{ExtensionKind, MAX_OUTGOING_HEADER_LEN, OutgoingExtensions, OutgoingHeader, RtpParts, rtx};
use streams::Vp8Numbers;

use super::Held;
use super::packet::{Descriptor, Slot};
use super::peer::Peer;
use crate::negotiated::Negotiated;

/// Packets that are put into order together; the search for equal lengths looks at each pair of them.
const MAX_ORDERED: usize = 64;

/// A packet that waits for the end of the round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    /// Which of the packets that the shard holds in this round.
    pub(crate) held: usize,
    pub(crate) ssrc: Ssrc,
    pub(crate) seq: ExtSeqNum,
    pub(crate) timestamp: RtpTimestamp,
    pub(crate) vp8: Option<Vp8Numbers>,
    /// It goes out as a retransmission (RFC 4588) of the packet that had this number.
    pub(crate) repeats: Option<SeqNum>,
    /// Bytes on the wire but for what all packets to this receiver have in common.
    len: u16,
}

impl Pending {
    pub(crate) const fn new(
        held: usize,
        ssrc: Ssrc,
        seq: ExtSeqNum,
        timestamp: RtpTimestamp,
        vp8: Option<Vp8Numbers>,
    ) -> Self {
        Self { held, ssrc, seq, timestamp, vp8, repeats: None, len: 0 }
    }

    /// As a retransmission of the packet that had the number `original`.
    pub(crate) const fn repeating(self, original: SeqNum) -> Self {
        Self { repeats: Some(original), ..self }
    }
}

/// Header lengths to one receiver, with and without the extensions that only some packets have.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeaderLens([u16; 4]);

impl HeaderLens {
    pub(crate) fn new(negotiated: &Negotiated) -> Self {
        let len = |which: usize| {
            let header = OutgoingHeader {
                marker: false,
                payload_type: PayloadType::from_low_bits(0),
                seq: SeqNum(0),
                timestamp: RtpTimestamp(0),
                ssrc: Ssrc(0),
                extensions: OutgoingExtensions {
                    audio_level: negotiated
                        .extensions
                        .id(ExtensionKind::AudioLevel)
                        .map(|id| (id, rtp::AudioLevel::from_byte(0)))
                        .filter(|_| which & 1 != 0),
                    video_orientation: negotiated
                        .extensions
                        .id(ExtensionKind::VideoOrientation)
                        .map(|id| (id, 0))
                        .filter(|_| which & 2 != 0),
                    transport_seq: negotiated.transport_seq_id().map(|id| (id, model::TwccSeq(0))),
                    ..OutgoingExtensions::default()
                },
            };
            let written = header.write_to(&mut [0; MAX_OUTGOING_HEADER_LEN]);
            written.map_or(0, |written| u16::try_from(written.len).unwrap_or_default())
        };
        Self([0, 1, 2, 3].map(len))
    }

    fn of(self, packet: &Descriptor) -> u16 {
        let which = usize::from(packet.audio_level.is_some()) | usize::from(packet.video_orientation.is_some()) << 1;
        self.0.get(which).copied().unwrap_or_default()
    }
}

impl Peer {
    /// Puts a packet into this round. Answers whether it is the first one for this receiver.
    pub(crate) fn push(&mut self, mut pending: Pending, packet: &Descriptor) -> bool {
        let osn = if pending.repeats.is_some() { rtx::OSN_LEN as u16 } else { 0 };
        pending.len = self.header_lens.of(packet) + packet.payload_len + osn;
        self.pending.push(pending);
        self.pending.len() == 1
    }

    /// Seals what waits into `out`, packets of one length side by side: the kernel takes them in one piece.
    pub(super) fn flush(&mut self, held: &[Held], order: &mut Vec<usize>, now: Instant, out: &mut SendQueue) {
        let pending = std::mem::take(&mut self.pending);
        for chunk in pending.chunks(MAX_ORDERED) {
            order.clear();
            put_in_order(chunk, order);
            for at in order.iter() {
                if let Some(packet) = chunk.get(*at)
                    && let Some(held) = held.get(packet.held)
                {
                    self.seal(packet, &held.slot, now, out);
                }
            }
        }
        self.pending = pending;
        self.pending.clear();
    }

    fn seal(&mut self, pending: &Pending, slot: &Slot, now: Instant, out: &mut SendQueue) {
        let Some(descriptor) = slot.descriptor() else { return };
        let mut payload = slot.payload();
        // The source's payload goes out as it came, but for the VP8 numbers, which go on across layers.
        let mut prefix = [0; rtx::OSN_LEN + codecs::MAX_VP8_DESCRIPTOR_LEN];
        let mut prefix_len = 0;
        let payload_type = match pending.repeats {
            None => descriptor.payload_type,
            Some(original) => {
                prefix_len = rtx::OSN_LEN;
                if let Some(osn) = prefix.first_chunk_mut() {
                    *osn = rtx::osn_prefix(original);
                }
                let Some(payload_type) = self.negotiated.rtx_of(descriptor.payload_type) else { return };
                payload_type
            }
        };
        if let (Some(vp8), Some(numbers)) = (&descriptor.vp8, pending.vp8) {
            let rewritten = vp8.rewritten(payload, numbers.picture_id, numbers.tl0_pic_idx);
            let rewritten = rewritten.as_bytes();
            if let Some(room) = prefix.get_mut(prefix_len..prefix_len + rewritten.len()) {
                room.copy_from_slice(rewritten);
                prefix_len += rewritten.len();
                payload = payload.get(rewritten.len()..).unwrap_or_default();
            }
        }
        let header = OutgoingHeader {
            marker: descriptor.marker,
            payload_type,
            seq: pending.seq.wire(),
            timestamp: pending.timestamp,
            ssrc: pending.ssrc,
            extensions: self.extensions(descriptor),
        };
        let mut header_bytes = [0; MAX_OUTGOING_HEADER_LEN];
        let Ok(written) = header.write_to(&mut header_bytes) else { return };
        let header = header_bytes.get(..written.len).unwrap_or_default();
        let prefix = prefix.get(..prefix_len).unwrap_or_default();
        if self.send_rtp(&RtpParts { header, prefix, payload }, pending.seq, now, out) && pending.repeats.is_none() {
            self.repairs.earn();
        }
    }

    /// The header extensions of the next packet to this receiver; takes a transport-wide number.
    fn extensions(&mut self, packet: &Descriptor) -> OutgoingExtensions<'static> {
        let transport_seq = self.negotiated.transport_seq_id().map(|id| (id, self.take_transport_seq()));
        let map = &self.negotiated.extensions;
        OutgoingExtensions {
            audio_level: map.id(ExtensionKind::AudioLevel).zip(packet.audio_level),
            video_orientation: map.id(ExtensionKind::VideoOrientation).zip(packet.video_orientation),
            transport_seq,
            ..OutgoingExtensions::default()
        }
    }
}

/// Writes the places of `pending` to `order` so that packets of equal length stand side by side, with one shorter packet
/// behind them at most, and never a packet before an earlier one of its stream.
fn put_in_order(pending: &[Pending], order: &mut Vec<usize>) {
    let mut left: u64 = if pending.len() >= u64::BITS as usize { u64::MAX } else { (1 << pending.len()) - 1 };
    while left != 0 {
        // The longest packet that may come next begins a run.
        let mut first: Option<(usize, u16)> = None;
        for_eligible(pending, left, |at, len| {
            if first.is_none_or(|(_, longest)| len > longest) {
                first = Some((at, len));
            }
            Take::Leave
        });
        let Some((_, run_len)) = first else { return };
        left = for_eligible(pending, left, |at, len| {
            if len == run_len {
                order.push(at);
                Take::This
            } else {
                Take::Leave
            }
        });
        // What ends a run may be shorter.
        let mut is_ended = false;
        left = for_eligible(pending, left, |at, len| {
            if len < run_len && !is_ended {
                is_ended = true;
                order.push(at);
                Take::This
            } else {
                Take::Leave
            }
        });
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Take {
    This,
    Leave,
}

/// Shows `look` the packets of `left` that no packet of their stream that is left precedes, in order. Answers what is left.
fn for_eligible(pending: &[Pending], mut left: u64, mut look: impl FnMut(usize, u16) -> Take) -> u64 {
    let mut rest = left;
    // Streams of which a packet was left: later ones have to wait for it.
    let mut waiting = [Ssrc(0); MAX_ORDERED];
    let mut waiting_len = 0;
    while rest != 0 {
        let at = rest.trailing_zeros() as usize;
        rest &= rest - 1;
        let Some(packet) = pending.get(at) else { break };
        if waiting.get(..waiting_len).unwrap_or_default().contains(&packet.ssrc) {
            continue;
        }
        match look(at, packet.len) {
            Take::This => left &= !(1 << at),
            Take::Leave => {
                if let Some(place) = waiting.get_mut(waiting_len) {
                    *place = packet.ssrc;
                    waiting_len += 1;
                }
            }
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(packets: &[(u32, u16)]) -> Vec<(u32, u16)> {
        let pending: Vec<_> = packets
            .iter()
            .enumerate()
            .map(|(at, (ssrc, len))| Pending {
                len: *len,
                ..Pending::new(at, Ssrc(*ssrc), ExtSeqNum(at as u64), RtpTimestamp(0), None)
            })
            .collect();
        let mut order = Vec::new();
        put_in_order(&pending, &mut order);
        let mut seen: Vec<_> = order.clone();
        seen.sort_unstable();
        assert_eq!(seen, (0..packets.len()).collect::<Vec<_>>(), "each packet once");
        order.into_iter().map(|at| packets[at]).collect()
    }

    fn runs(packets: &[(u32, u16)]) -> usize {
        let (mut runs, mut last) = (0, None);
        for (_, len) in order(packets) {
            // A run ends behind a shorter packet.
            last = match last {
                Some((run, false)) if len == run => Some((run, false)),
                Some((run, false)) if len < run => Some((run, true)),
                Some(_) | None => {
                    runs += 1;
                    Some((len, false))
                }
            };
        }
        runs
    }

    #[test]
    fn equal_lengths_of_all_streams_stand_side_by_side() {
        let packets = [(1, 1100), (2, 900), (1, 1100), (3, 80), (2, 900), (2, 900)];
        assert_eq!(order(&packets), [(1, 1100), (1, 1100), (2, 900), (2, 900), (2, 900), (3, 80)]);
        assert_eq!(runs(&packets), 2);
        let frames = [(1, 1100), (1, 1101), (1, 1101), (2, 1100), (2, 1101)];
        assert_eq!(runs(&frames), 2, "the last packets of a frame are a byte longer");
    }

    #[test]
    fn a_stream_keeps_its_order() {
        let mut random = 7_u32;
        for _ in 0..2000 {
            let packets: Vec<(u32, u16)> = (0..random % 40)
                .map(|_| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (random >> 28, 100 + (random >> 20 & 3) as u16)
                })
                .collect();
            let ordered = order(&packets);
            for stream in 0..16 {
                let of = |all: &[(u32, u16)]| -> Vec<_> { all.iter().filter(|(s, _)| *s == stream).copied().collect() };
                assert_eq!(of(&ordered), of(&packets));
            }
        }
    }
}
