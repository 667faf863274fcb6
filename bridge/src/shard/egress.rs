//! The last steps of a packet to one receiver: in which order, under which header, sealed into the send queue.
//!
//! Here: what waits for one receiver in the round of its shard. Not here: which packets, and their numbers (`source`), the
//! datagrams' way to the kernel (`net`).

use std::time::Instant;

use bwe::ProbeClusterId;
use model::{ExtSeqNum, PayloadType, RtpTimestamp, SeqNum, Ssrc, TwccSeq};
use net::{Lane, SendQueue};
use rtp::{
    ExtensionId, ExtensionKind, HeaderTemplate, MAX_DEPENDENCY_DESCRIPTOR_ELEMENT_LEN, MAX_OUTGOING_HEADER_LEN,
    OutgoingExtensions, OutgoingHeader, RtpParts, TemplateExtensions, TemplateFields, rtx,
};

use super::Held;
use super::audio::{AudioForm, Part};
use super::packet::{Descriptor, Slot, StreamRole};
use super::peer::Peer;
use super::rewrite::Rewrite;
use super::round::Round;
use crate::keys::PeerKey;
use crate::negotiated::Negotiated;
use crate::ssrc_slots::SlotMid;

/// Packets that are put into order together; the search for equal lengths looks at each pair of them.
const MAX_ORDERED: usize = 64;

/// A packet that waits for the end of the round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    /// Which of the packets that the shard holds in this round.
    pub(crate) held: u32,
    pub(crate) ssrc: Ssrc,
    /// No packet leaves before an earlier one under the same.
    order: Ssrc,
    pub(crate) seq: ExtSeqNum,
    pub(crate) timestamp: RtpTimestamp,
    pub(crate) rewrite: Rewrite,
    /// Of redundant audio.
    pub(crate) part: Part,
    /// Which stream of the receiver it belongs to, where that is told by mids.
    mid: Option<SlotMid>,
    repeat: Repeat,
    /// It is part of this probe, for which it is repeated unasked.
    pub(crate) probe: Option<ProbeClusterId>,
    /// Bytes on the wire but for what all packets to this receiver have in common.
    len: u16,
}

impl Pending {
    pub(crate) const fn new(held: u32, ssrc: Ssrc, seq: ExtSeqNum, timestamp: RtpTimestamp, rewrite: Rewrite) -> Self {
        let (part, repeat) = (Part::Whole, Repeat::First);
        Self { held, ssrc, order: ssrc, seq, timestamp, rewrite, part, mid: None, repeat, probe: None, len: 0 }
    }

    /// Only a part of the packet.
    pub(crate) const fn of(self, part: Part) -> Self {
        Self { part, ..self }
    }

    /// In order with the other encodings of its source. Whoever forwards them gets key frames of several at once, and changes
    /// from one to the other: of the former, what comes later has no number any more.
    pub(crate) const fn in_order_of(self, order: Ssrc) -> Self {
        Self { order, ..self }
    }

    /// Under a mid.
    pub(crate) const fn under(self, mid: Option<SlotMid>) -> Self {
        Self { mid, ..self }
    }

    /// Bytes of RTP, near enough.
    pub(crate) const fn len(&self) -> u16 {
        self.len
    }

    pub(crate) const fn repeating(self, repeat: Repeat) -> Self {
        Self { repeat, ..self }
    }

    pub(crate) fn is_first(&self) -> bool {
        self.repeat == Repeat::First
    }
}

/// Whether a packet goes out once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    First,
    /// The very same packet.
    Plain,
    /// As a retransmission (RFC 4588) of the packet that had this number.
    Rtx(SeqNum),
}

/// Padding whose last byte tells its length (RFC 3550 §5.1), and the bit of a header that tells of it.
const PADDING: [u8; u8::MAX as usize] = {
    let mut padding = [0; u8::MAX as usize];
    padding[u8::MAX as usize - 1] = u8::MAX;
    padding
};
const PADDING_BIT: u8 = 0x20;

/// The retransmissions of a stream, as which padding goes out: it takes no numbers of the stream itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PaddingStream {
    pub(crate) ssrc: Ssrc,
    pub(crate) payload_type: PayloadType,
    pub(crate) timestamp: RtpTimestamp,
    pub(crate) mid: Option<SlotMid>,
}

/// Headers to one receiver, with and without the extensions that only some packets have.
///
/// Audio has no transport-wide number, as with JVB: signaling does not tell the bridge who takes the extension for video only,
/// and to those all audio would seem lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderTemplates {
    plain: Templates,
    /// With mids of two and of three bytes, where those were negotiated.
    with_mid: Option<Box<[Templates; MID_LENS.len()]>>,
}

/// Lengths of the mids of slots.
const MID_LENS: [u8; 2] = [2, 3];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Templates {
    audio: HeaderTemplate,
    audio_with_level: HeaderTemplate,
    video: HeaderTemplate,
    video_with_orientation: HeaderTemplate,
}

impl HeaderTemplates {
    pub(crate) fn new(negotiated: &Negotiated) -> Self {
        let with_mid = |id| Box::new(MID_LENS.map(|len| Templates::new(negotiated, Some((id, len)))));
        Self {
            plain: Templates::new(negotiated, None),
            with_mid: negotiated.extensions.id(ExtensionKind::Mid).map(with_mid),
        }
    }

    pub(crate) fn usual_len(&self) -> UsualHeaderLen {
        let [audio, video] = [&self.plain.audio_with_level, &self.plain.video].map(|template| template.len() as u8);
        UsualHeaderLen { audio, video }
    }

    fn of(&self, packet: &Descriptor, mid: Option<SlotMid>) -> &HeaderTemplate {
        self.under(mid).of(packet)
    }

    fn under(&self, mid: Option<SlotMid>) -> &Templates {
        let Some((mid, with_mid)) = mid.zip(self.with_mid.as_ref()) else { return &self.plain };
        let place = MID_LENS.iter().position(|len| *len == mid.len());
        place.and_then(|at| with_mid.get(at)).unwrap_or(&self.plain)
    }
}

/// Bytes of the header that most packets to a receiver have: all that is to be known of headers before the end of a round.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UsualHeaderLen {
    audio: u8,
    video: u8,
}

impl UsualHeaderLen {
    const fn of(self, packet: &Descriptor) -> u16 {
        match packet.role {
            StreamRole::Audio { .. } => self.audio as u16,
            StreamRole::Video { .. } => self.video as u16,
        }
    }
}

impl Templates {
    fn new(negotiated: &Negotiated, mid: Option<(ExtensionId, u8)>) -> Self {
        let map = &negotiated.extensions;
        let template = |audio_level, video_orientation, transport_seq| {
            HeaderTemplate::new(&TemplateExtensions { audio_level, video_orientation, transport_seq, mid })
        };
        let transport_seq = negotiated.transport_seq_id();
        Self {
            audio: template(None, None, None),
            audio_with_level: template(map.id(ExtensionKind::AudioLevel), None, None),
            video: template(None, None, transport_seq),
            video_with_orientation: template(None, map.id(ExtensionKind::VideoOrientation), transport_seq),
        }
    }

    fn of(&self, packet: &Descriptor) -> &HeaderTemplate {
        match packet.role {
            StreamRole::Audio { .. } if packet.audio_level.is_none() => &self.audio,
            StreamRole::Audio { .. } => &self.audio_with_level,
            StreamRole::Video { .. } if packet.video_orientation.is_none() => &self.video,
            StreamRole::Video { .. } => &self.video_with_orientation,
        }
    }
}

impl Peer {
    /// Puts a packet into the round of this receiver, whose `key` it is.
    pub(super) fn push(&mut self, mut pending: Pending, packet: &Descriptor, key: PeerKey, round: &mut Round) {
        let osn = match pending.repeat {
            Repeat::First | Repeat::Plain => 0,
            Repeat::Rtx(_) => rtx::OSN_LEN as u16,
        };
        // Near enough for order: few packets have other extensions than most, or tell of layers.
        let payload_len = if pending.rewrite.is_filler() { 0 } else { packet.payload_len };
        let dependency = packet.dependency().map_or(0, |fields| u16::from(fields.extension_len));
        pending.len = self.usual_header_len.of(packet) + payload_len + osn + dependency;
        round.push(key, &mut self.queue, pending);
    }

    /// Seals what waits into `out`, packets of one length side by side: the kernel takes them in one piece.
    pub(super) fn flush(&mut self, held: &[Held], round: &mut Round, now: Instant, out: &mut SendQueue) {
        let (Some(queue), Some(path)) = (self.queue.take(), self.path()) else { return };
        let mut out = out.lane(path);
        let may_all_leave =
            self.bandwidth.as_mut().is_none_or(|bandwidth| bandwidth.has_room_for(round.packets_of(queue), now));
        // Mostly nothing waits, and what is there is a run already.
        if may_all_leave && is_run(round.packets_of(queue)) {
            for packet in round.packets_of(queue) {
                if let Some(held) = held.get(packet.held as usize) {
                    self.seal(packet, &held.slot, now, &mut out);
                }
            }
            return;
        }
        round.gather(queue);
        let Round { of_one, order, .. } = round;
        if let Some(bandwidth) = self.bandwidth.as_mut().filter(|_| !may_all_leave) {
            bandwidth.hold_back(of_one, held, now);
        }
        for chunk in of_one.chunks(MAX_ORDERED) {
            order.clear();
            put_in_order(chunk, order);
            for at in order.iter() {
                if let Some(packet) = chunk.get(*at)
                    && let Some(held) = held.get(packet.held as usize)
                {
                    self.seal(packet, &held.slot, now, &mut out);
                }
            }
        }
    }

    /// Seals what waited for its time, and may leave now.
    pub(super) fn release(&mut self, now: Instant, out: &mut SendQueue) {
        let Some(path) = self.path() else { return };
        let mut out = out.lane(path);
        while let Some(released) = self.bandwidth.as_mut().and_then(|bandwidth| bandwidth.release(now)) {
            self.seal(&released.pending, &released.slot, now, &mut out);
        }
    }

    fn seal(&mut self, pending: &Pending, slot: &Slot, now: Instant, out: &mut Lane<'_>) {
        let Some(whole) = slot.descriptor() else { return };
        let part;
        let descriptor = match pending.part {
            Part::Whole => whole,
            Part::Primary | Part::Before(_) => match whole.part(pending.part) {
                Some(found) => {
                    part = found;
                    &part
                }
                None => return,
            },
        };
        let is_filler = pending.rewrite.is_filler();
        let mut payload = if is_filler { &[] } else { slot.payload(descriptor) };
        // The source's payload goes out as it came, but for the numbers of pictures, which go on across layers.
        let mut prefix = [0; rtx::OSN_LEN + codecs::MAX_PICTURE_PREFIX_LEN];
        let mut prefix_len = 0;
        let payload_type = match pending.repeat {
            Repeat::First | Repeat::Plain => match descriptor.audio {
                AudioForm::Plain => descriptor.payload_type,
                AudioForm::Opaque | AudioForm::Red(_) => self.red.unwrap_or(descriptor.payload_type),
            },
            Repeat::Rtx(original) => {
                prefix_len = rtx::OSN_LEN;
                if let Some(osn) = prefix.first_chunk_mut() {
                    *osn = rtx::osn_prefix(original);
                }
                let Some(payload_type) = self.negotiated.rtx_of(descriptor.payload_type) else { return };
                payload_type
            }
        };
        if let Some(rewritten) = pending.rewrite.prefix(descriptor, payload) {
            let rewritten = rewritten.as_bytes();
            if let Some(room) = prefix.get_mut(prefix_len..prefix_len + rewritten.len()) {
                room.copy_from_slice(rewritten);
                prefix_len += rewritten.len();
                payload = payload.get(rewritten.len()..).unwrap_or_default();
            }
        }
        let prefix = prefix.get(..prefix_len).unwrap_or_default();
        let fields = TemplateFields {
            marker: !is_filler && pending.rewrite.marker(descriptor),
            payload_type,
            seq: pending.seq.wire(),
            timestamp: pending.timestamp,
            ssrc: pending.ssrc,
            audio_level: descriptor.audio_level,
            video_orientation: descriptor.video_orientation,
            transport_seq: match descriptor.role {
                StreamRole::Audio { .. } => {
                    if let Some(bandwidth) = &mut self.bandwidth {
                        bandwidth.handle_untracked(pending.len);
                    }
                    TwccSeq(0)
                }
                StreamRole::Video { .. } => self.take_transport_seq(pending.len, pending.probe, now),
            },
            mid: pending.mid.map_or([0; _], SlotMid::bytes),
        };
        let dependency = self.dependency_descriptor(pending, descriptor, slot);
        let has_left = match (&dependency, self.takes_allocation(descriptor)) {
            (None, false) => {
                let template = self.headers.of(descriptor, pending.mid);
                let header = template.fill(&fields);
                let header = header.get(..template.len()).unwrap_or_default();
                self.send_rtp(&RtpParts { header, prefix, payload }, pending.seq, now, out)
            }
            (Some(_), _) | (_, true) => {
                let mut header = [0; MAX_DESCRIBED_HEADER_LEN];
                let allocation = slot.element(descriptor.allocation);
                let len = self.write_header(&fields, pending.mid, dependency.as_ref(), allocation, &mut header);
                let header = header.get(..len).unwrap_or_default();
                self.send_rtp(&RtpParts { header, prefix, payload }, pending.seq, now, out)
            }
        };
        if has_left && pending.is_first() {
            self.repairs.earn();
        }
    }

    /// Sends a packet of nothing but padding, the most that one can have. Answers its bytes of RTP.
    pub(crate) fn send_padding(
        &mut self,
        stream: &PaddingStream,
        seq: ExtSeqNum,
        probe: Option<ProbeClusterId>,
        now: Instant,
        out: &mut SendQueue,
    ) -> u16 {
        let template = self.headers.under(stream.mid).video;
        let len = (template.len() + PADDING.len()) as u16;
        let mut header = template.fill(&TemplateFields {
            marker: false,
            payload_type: stream.payload_type,
            seq: seq.wire(),
            timestamp: stream.timestamp,
            ssrc: stream.ssrc,
            audio_level: None,
            video_orientation: None,
            transport_seq: self.take_transport_seq(len, probe, now),
            mid: stream.mid.map_or([0; _], SlotMid::bytes),
        });
        let [first, ..] = &mut header;
        *first |= PADDING_BIT;
        let header = header.get(..template.len()).unwrap_or_default();
        if let Some(path) = self.path() {
            self.send_rtp(&RtpParts { header, prefix: &[], payload: &PADDING }, seq, now, &mut out.lane(path));
        }
        len
    }

    /// Whether a packet has a video layers allocation that this receiver is told: other bridges are, no clients (JVB's
    /// `HeaderExtStripper`).
    const fn takes_allocation(&self, packet: &Descriptor) -> bool {
        packet.allocation.len > 0 && self.link.is_some()
    }

    /// The dependency descriptor of a packet as this receiver gets it; `None` where it has none, or did not negotiate them.
    fn dependency_descriptor(
        &self,
        pending: &Pending,
        descriptor: &Descriptor,
        slot: &Slot,
    ) -> Option<WrittenDescriptor> {
        let fields = descriptor.dependency().filter(|_| !pending.rewrite.is_filler())?;
        let id = self.negotiated.extensions.id(ExtensionKind::DependencyDescriptor)?;
        let mut written = WrittenDescriptor { id, bytes: [0; MAX_DESCRIPTOR_LEN], len: 0 };
        let bytes = slot.dependency_descriptor(fields);
        written.len = pending.rewrite.write_descriptor(fields, bytes, &mut written.bytes)?;
        Some(written)
    }

    /// Writes a header with what is said of frame and layers; answers its length.
    fn write_header(
        &self,
        fields: &TemplateFields,
        mid: Option<SlotMid>,
        dependency: Option<&WrittenDescriptor>,
        allocation: &[u8],
        dest: &mut [u8],
    ) -> usize {
        let extensions = &self.negotiated.extensions;
        let allocation_id = extensions.id(ExtensionKind::VideoLayersAllocation).filter(|_| self.link.is_some());
        let header = OutgoingHeader {
            marker: fields.marker,
            payload_type: fields.payload_type,
            seq: fields.seq,
            timestamp: fields.timestamp,
            ssrc: fields.ssrc,
            extensions: OutgoingExtensions {
                video_orientation: extensions.id(ExtensionKind::VideoOrientation).zip(fields.video_orientation),
                transport_seq: self.negotiated.transport_seq_id().map(|id| (id, fields.transport_seq)),
                mid: extensions.id(ExtensionKind::Mid).zip(mid.as_ref().map(SlotMid::as_str)),
                dependency_descriptor: dependency
                    .map(|written| (written.id, written.bytes.get(..written.len).unwrap_or_default())),
                layers_allocation: allocation_id.map(|id| (id, allocation)),
                ..OutgoingExtensions::default()
            },
        };
        // The buffer takes the longest header there is.
        header.write_to(dest).map_or(0, |written| written.len)
    }
}

/// The data of an extension (RFC 8285 §4.3).
const MAX_DESCRIPTOR_LEN: usize = 255;
const MAX_DESCRIBED_HEADER_LEN: usize = MAX_OUTGOING_HEADER_LEN + 2 * MAX_DEPENDENCY_DESCRIPTOR_ELEMENT_LEN;

/// A dependency descriptor for one receiver.
struct WrittenDescriptor {
    id: ExtensionId,
    bytes: [u8; MAX_DESCRIPTOR_LEN],
    len: usize,
}

/// Whether packets may leave in the order in which they came: all of one length, but for a shorter last one.
fn is_run<'a>(mut packets: impl Iterator<Item = &'a Pending>) -> bool {
    let Some(first) = packets.next() else { return true };
    let mut is_ended = false;
    packets.all(|packet| {
        let may_join = !is_ended && packet.len <= first.len;
        is_ended = packet.len < first.len;
        may_join
    })
}

/// Writes the places of `pending`, at most [`MAX_ORDERED`], to `order` so that packets of equal length stand side by side,
/// with one shorter packet behind them at most, and never a packet before an earlier one of its stream.
fn put_in_order(pending: &[Pending], order: &mut Vec<usize>) {
    // Where the packet before it of the same order stands, as a bit; a packet may come when that has.
    let mut before = [0_u64; MAX_ORDERED];
    for (at, (packet, before)) in pending.iter().zip(&mut before).enumerate() {
        let earlier = pending.get(..at).unwrap_or_default().iter().rposition(|earlier| earlier.order == packet.order);
        *before = earlier.map_or(0, |earlier| 1 << earlier);
    }
    let mut left: u64 = if pending.len() >= u64::BITS as usize { u64::MAX } else { (1 << pending.len()) - 1 };
    while left != 0 {
        // The longest packet that may come next begins a run.
        let mut run_len = None;
        for_eligible(pending, &before, left, |_, len| {
            run_len = run_len.max(Some(len));
            Take::Leave
        });
        let Some(run_len) = run_len else { return };
        left = for_eligible(pending, &before, left, |at, len| {
            if len == run_len {
                order.push(at);
                Take::This
            } else {
                Take::Leave
            }
        });
        // What ends a run may be shorter.
        let mut is_ended = false;
        left = for_eligible(pending, &before, left, |at, len| {
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
fn for_eligible(
    pending: &[Pending],
    before: &[u64; MAX_ORDERED],
    mut left: u64,
    mut look: impl FnMut(usize, u16) -> Take,
) -> u64 {
    let mut rest = left;
    while rest != 0 {
        let at = rest.trailing_zeros() as usize;
        rest &= rest - 1;
        let (Some(packet), Some(before)) = (pending.get(at), before.get(at)) else { break };
        if left & before == 0 && look(at, packet.len) == Take::This {
            left &= !(1 << at);
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
                ..Pending::new(at as u32, Ssrc(*ssrc), ExtSeqNum(at as u64), RtpTimestamp(0), Rewrite::default())
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
    fn packets_of_one_order_stay_in_it() {
        let of = |at: u32, ssrc, len| {
            let seq = ExtSeqNum(u64::from(at));
            Pending { len, ..Pending::new(at, Ssrc(ssrc), seq, RtpTimestamp(0), Rewrite::default()) }
        };
        let packets = [(1, 1071), (1, 1096), (2, 1071), (2, 1096)];
        let number = |(at, (ssrc, len)): (usize, &(u32, u16))| of(at as u32, *ssrc, *len).in_order_of(Ssrc(1));
        let pending: Vec<_> = packets.iter().enumerate().map(number).collect();
        let mut places = Vec::new();
        put_in_order(&pending, &mut places);
        assert_eq!(places, [0, 1, 2, 3]);
        assert_eq!(order(&packets), [(1, 1071), (2, 1071), (1, 1096), (2, 1096)], "of two orders");
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
