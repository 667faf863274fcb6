//! What goes out to one receiver of one source: which packets, under which numbers.
//!
//! Here: the switch between encodings and codecs at key frames, renumbering, what was sent for NACKs, counts for sender
//! reports. Not here: encryption (`egress`), which layers of an encoding pass (`selection`), which height a receiver wants
//! (`allocation`).

use std::time::{Duration, Instant};

use model::{ExtSeqNum, PayloadType, RtpTimestamp, SeqNum, Ssrc, prefetch};
use rtp::rtcp::{ReportBlock, SenderInfo};
use streams::{
    DependencyRewriter, Incoming, LastSent, PictureDistances, PictureRewriter, Rewritten, RttEstimator, SenderStats,
    SentLog, SentWindow, SequenceRewriter,
};

use super::dependencies::{Brings, Dependencies};
use super::in_order::{InOrder, LastNumbers};
use super::layers::Wanted;
use super::packet::{Descriptor, Mark, NumberKind, Numbers, StreamRole};
use super::receive::{AUDIO_CLOCK_HZ, VIDEO_CLOCK_HZ};
use super::repairs::KeyFrameAllowance;
use super::rewrite::{NumberDistances, Rewrite};
use super::selection::{Limit, Pass, Selection, Verdict};
use super::sent_ssrcs::Ended;
use super::source::KeyFrame;
use crate::negotiated::LayerSsrcs;

/// Where the numbers of a stream begin: behind those of an earlier stream under the same SSRC, as no number may come
/// twice in one SRTP session (RFC 3711 §9.1), else at random ones (RFC 3550 §5.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstNumbers {
    pub(crate) earlier: Option<Ended>,
    pub(crate) earlier_rtx: Option<ExtSeqNum>,
    pub(crate) seq: SeqNum,
    pub(crate) rtx_seq: SeqNum,
    pub(crate) timestamp: RtpTimestamp,
}

/// One stream to one receiver. What follows the last packet needs the first three fields only, which stand together in two
/// cache lines: a bridge has as many streams as sources times receivers, and each packet visits those of all its
/// receivers.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct SendStream {
    in_order: Option<InOrder>,
    ssrcs: LayerSsrcs,
    target: Option<Target>,
    /// The encoding that the receiver has a key frame of and everything since that it should have.
    synced: Option<Synced>,
    selection: Selection,
    rewriter: SequenceRewriter,
    pictures: PictureRewriter,
    /// Of a source that sends dependency descriptors.
    frames: Option<Box<DependencyRewriter>>,
    sent: SentLog<Distances>,
    /// The last packets of an audio source that were sent.
    heard: SentWindow,
    stats: SenderStats,
    next_rtx_seq: ExtSeqNum,
    /// Of the packets that were sent last.
    payload_type: Option<PayloadType>,
    /// Packets lost, and the highest number, as the receiver told last.
    reported: Option<(i32, u32)>,
    /// Reports that were sent of it, which the receiver answers.
    pub(crate) reports: RttEstimator,
    /// Key frames that the receiver may ask for.
    pub(crate) key_frames: KeyFrameAllowance,
}

/// What the receiver should get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    ssrc: Ssrc,
    encoding: u8,
    limit: Limit,
}

/// What it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Synced {
    ssrc: Ssrc,
    /// A stream of video may go on in another codec; then it begins anew.
    payload_type: PayloadType,
    /// So it does when it tells its layers in another way.
    kind: NumberKind,
    encoding: u8,
}

/// What is known of a source where one of its packets is sent on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfSource<'a> {
    /// The stream of each encoding, the lowest first.
    pub(crate) encodings: &'a [Ssrc],
    /// The structure that the packet's dependency descriptor refers to.
    pub(crate) dependencies: Option<&'a Dependencies>,
}

/// From the numbers of a source's stream to those under which a receiver gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Distances {
    /// The source's stream.
    pub(crate) source: Ssrc,
    seq: u64,
    timestamp: u32,
    pub(crate) rewrite: Rewrite,
}

impl Distances {
    fn between(packet: &Descriptor, ours: Rewritten, rewrite: Rewrite) -> Self {
        Self {
            source: packet.ssrc,
            seq: ours.seq.0.wrapping_sub(packet.seq.0),
            timestamp: ours.timestamp.0.wrapping_sub(packet.timestamp.0),
            rewrite,
        }
    }

    /// The receiver's number for the source's.
    pub(crate) const fn seq(&self, source: ExtSeqNum) -> ExtSeqNum {
        ExtSeqNum(source.0.wrapping_add(self.seq))
    }

    /// The source's number of the packet that the receiver got as `ours`.
    pub(crate) const fn source_seq(&self, ours: ExtSeqNum) -> ExtSeqNum {
        ExtSeqNum(ours.0.wrapping_sub(self.seq))
    }

    /// The receiver's time for the source's.
    pub(crate) const fn timestamp(&self, source: RtpTimestamp) -> RtpTimestamp {
        RtpTimestamp(source.0.wrapping_add(self.timestamp))
    }
}

/// What to do with a packet of the source.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Decision {
    /// It does not go to this receiver.
    Drop,
    /// It does not, and the receiver cannot go on before a key frame of its stream.
    NeedKeyFrame,
    /// It goes out under these numbers.
    Forward {
        numbers: Rewritten,
        rewrite: Rewrite,
        /// Whether layers that the receiver should get wait for one.
        key_frame: KeyFrame,
    },
}

/// The newest packet, and what it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repairs {
    pub(crate) newest: ExtSeqNum,
    pub(crate) timestamp: RtpTimestamp,
    pub(crate) payload_type: PayloadType,
}

/// What became of packets, as a receiver reports.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reported {
    pub(crate) lost: u64,
    pub(crate) expected: u64,
}

/// Whether a packet has a dependency descriptor of a structure that never came: nobody can tell where its pictures begin.
pub(crate) fn is_unreadable(packet: &Descriptor) -> bool {
    packet.dependency().is_some_and(|fields| fields.structure == 0)
}

impl SendStream {
    /// A stream of a video source that is known to receivers under `ssrcs`.
    pub(crate) fn video(ssrcs: LayerSsrcs, first: FirstNumbers) -> Self {
        Self::new(ssrcs, VIDEO_CLOCK_HZ, first)
    }

    /// A stream of the audio source `ssrc`, which is known to receivers under `sent_as`.
    pub(crate) fn audio(ssrc: Ssrc, sent_as: Ssrc, first: FirstNumbers) -> Self {
        let mut stream = Self::new(LayerSsrcs { primary: sent_as, rtx: None }, AUDIO_CLOCK_HZ, first);
        stream.target = Some(Target { ssrc, encoding: 0, limit: Limit { spatial: 0, temporal: 0 } });
        stream
    }

    fn new(ssrcs: LayerSsrcs, clock_hz: u32, first: FirstNumbers) -> Self {
        let earlier = first.earlier;
        let rewriter = match earlier {
            Some(earlier) => SequenceRewriter::continuing(clock_hz, earlier.last),
            None => SequenceRewriter::new(clock_hz, first.seq, first.timestamp),
        };
        // A cleared top bit keeps the receiver's roll-over guess right, as the rewriter does for the stream itself.
        let next_rtx_seq = first.earlier_rtx.unwrap_or(ExtSeqNum(u64::from(first.rtx_seq.0 & 0x7fff)));
        Self {
            in_order: None,
            ssrcs,
            target: None,
            synced: None,
            selection: Selection::default(),
            rewriter,
            pictures: earlier.and_then(|earlier| earlier.picture).map(PictureRewriter::continuing).unwrap_or_default(),
            frames: earlier
                .and_then(|earlier| earlier.frame)
                .map(|frame| Box::new(DependencyRewriter::continuing(frame))),
            sent: SentLog::default(),
            heard: SentWindow::default(),
            stats: SenderStats::new(ssrcs.primary),
            next_rtx_seq,
            payload_type: None,
            reported: None,
            reports: RttEstimator::default(),
            key_frames: KeyFrameAllowance::default(),
        }
    }

    /// Brings near what a packet needs that follows the last one.
    pub(crate) fn prefetch(&self) {
        prefetch(self, std::mem::offset_of!(Self, synced));
    }

    /// Where the stream is; `None` if nothing was ever sent.
    pub(crate) fn ended(&mut self) -> Option<Ended> {
        self.catch_up();
        let frame = self.frames.as_ref().and_then(|frames| frames.newest_sent());
        Some(Ended { last: self.rewriter.last_sent()?, picture: self.pictures.newest(), frame })
    }

    /// The number of the next retransmission.
    pub(crate) const fn next_rtx_seq(&self) -> ExtSeqNum {
        self.next_rtx_seq
    }

    /// The SSRCs under which the receiver knows the stream.
    pub(crate) const fn ssrcs(&self) -> LayerSsrcs {
        self.ssrcs
    }

    /// The receiver misses what comes now. It goes on without a gap in its numbers, video with a key frame.
    pub(crate) fn pause(&mut self) {
        self.leave_order();
        self.synced = None;
    }

    /// The encoding that the receiver gets or waits for: the one of which it needs a key frame when it cannot decode.
    pub(crate) fn encoding_in_use(&self) -> Option<Ssrc> {
        self.synced.map(|synced| synced.ssrc).or(self.target.map(|target| target.ssrc))
    }

    /// Decides about a packet of the source, of which the receiver gets what is `wanted`.
    pub(crate) fn handle_packet(
        &mut self,
        packet: &Descriptor,
        source: OfSource<'_>,
        wanted: Wanted,
        now: Instant,
    ) -> Decision {
        if packet.payload_len == 0 {
            return self.skip_padding(packet);
        }
        if let StreamRole::Video { .. } = packet.role
            && (self.target.is_none() || packet.frame.is(Mark::PictureStart) || is_unreadable(packet))
        {
            self.choose(packet, source.encodings, wanted);
        }
        self.decide(packet, source.dependencies, now)
    }

    /// As [`handle_packet`](Self::handle_packet), of a stream that goes to another bridge as the encoding that it is.
    pub(crate) fn handle_own_packet(
        &mut self,
        packet: &Descriptor,
        limit: Limit,
        dependencies: Option<&Dependencies>,
        now: Instant,
    ) -> Decision {
        if packet.payload_len == 0 {
            return self.skip_padding(packet);
        }
        if let StreamRole::Video { encoding, .. } = packet.role {
            let target = Some(Target { ssrc: packet.ssrc, encoding, limit });
            if self.target != target {
                self.leave_order();
                self.target = target;
            }
        }
        self.decide(packet, dependencies, now)
    }

    /// Padding, with which senders probe: left out, and without a gap.
    fn skip_padding(&mut self, packet: &Descriptor) -> Decision {
        self.leave_order();
        self.rewriter.skip(packet.ssrc, packet.seq);
        Decision::Drop
    }

    /// The decision about a packet once it is known what the receiver should get. One copy for each caller, of which one is on
    /// the way of every packet to every receiver.
    #[inline(always)]
    fn decide(&mut self, packet: &Descriptor, dependencies: Option<&Dependencies>, now: Instant) -> Decision {
        if let Some(in_order) = &mut self.in_order
            && let Some(numbers) = in_order.handle_packet(packet, now)
        {
            return Decision::Forward { numbers, rewrite: in_order.distances.rewrite, key_frame: KeyFrame::NotNeeded };
        }
        let Some(target) = self.target else { return Decision::Drop };
        self.catch_up();
        if let StreamRole::Video { encoding, .. } = packet.role
            && !self.is_synced_to(packet)
        {
            if self.brings_nearer(encoding, target) && self.can_start_with(packet, dependencies) {
                return self.start(packet, encoding, target, dependencies, now);
            }
            let is_late = self.synced.is_some() && !packet.is_newest;
            if packet.ssrc == target.ssrc && !is_late {
                // Until then the receiver keeps what it has.
                return Decision::NeedKeyFrame;
            }
        } else if self.synced.is_none() {
            return self.start(packet, 0, target, None, now);
        } else if packet.is_audio() && self.heard.has(packet.seq) {
            // A later packet repeated it, and it got its number then.
            return Decision::Drop;
        }
        if self.synced.is_none() {
            return Decision::Drop;
        }
        // The encoding in use, or a late packet of the one before.
        let limit = match packet.role {
            // Of an encoding that is on its way out, what it has.
            StreamRole::Video { encoding, .. } if packet.ssrc != target.ssrc => {
                Limit { spatial: packet.layers.top(encoding), ..target.limit }
            }
            StreamRole::Video { .. } | StreamRole::Audio { .. } => target.limit,
        };
        match self.selection.select(packet, limit, dependencies) {
            Verdict::Forward(pass) => self.rewrite(packet, &pass, target, dependencies, now),
            Verdict::LeaveOut => self.leave_out(packet, now),
            Verdict::Drop => Decision::Drop,
        }
    }

    /// Whether all before a packet of audio was sent, as far as it came.
    pub(crate) fn is_next(&self, packet: &Descriptor) -> bool {
        self.in_order
            .as_ref()
            .is_some_and(|in_order| in_order.last.source == packet.ssrc && in_order.last.seq.0 + 1 == packet.seq.0)
    }

    /// The numbers of a packet of audio that never came, and that a later one repeats. `None` where it was sent, or left out on
    /// purpose.
    pub(crate) fn recover(&mut self, packet: &Descriptor, now: Instant) -> Option<Rewritten> {
        self.synced?;
        self.catch_up();
        if self.heard.has(packet.seq) {
            return None;
        }
        let incoming = Incoming { source: packet.ssrc, seq: packet.seq, timestamp: packet.timestamp };
        let numbers = self.rewriter.rewrite(&incoming, now)?;
        self.heard.note(packet.seq);
        self.stats.handle_sent(1, u64::from(packet.payload_len));
        Some(numbers)
    }

    /// Chooses what the receiver should get, at the start of a picture.
    fn choose(&mut self, packet: &Descriptor, encodings: &[Ssrc], wanted: Wanted) {
        let Some(best) = packet.layers.best(wanted) else { return };
        let Some(ssrc) = encodings.get(usize::from(best.encoding)).copied() else { return };
        let limit = Limit { spatial: best.spatial, temporal: wanted.cap.temporal };
        let target = Some(Target { ssrc, encoding: best.encoding, limit });
        if self.target != target {
            self.leave_order();
            self.target = target;
        }
    }

    /// Whether the receiver has what the packet follows on: its encoding, in its codec, told in the same way.
    fn is_synced_to(&self, packet: &Descriptor) -> bool {
        self.synced.is_some_and(|synced| {
            synced.ssrc == packet.ssrc
                && synced.payload_type == packet.payload_type
                && synced.kind == packet.numbers.kind()
        })
    }

    /// Whether an encoding is the wanted one, or lies between that and what the receiver has: better than to wait.
    fn brings_nearer(&self, encoding: u8, target: Target) -> bool {
        match self.synced {
            None => encoding <= target.encoding,
            Some(synced) => {
                encoding == target.encoding
                    || synced.encoding < encoding && encoding < target.encoding
                    || target.encoding < encoding && encoding < synced.encoding
            }
        }
    }

    fn can_start_with(&self, packet: &Descriptor, dependencies: Option<&Dependencies>) -> bool {
        packet.starts_key_frame() && (packet.dependency().is_none() || dependencies.is_some())
    }

    /// Begins, or goes on with, a packet that starts a key frame.
    fn start(
        &mut self,
        packet: &Descriptor,
        encoding: u8,
        target: Target,
        dependencies: Option<&Dependencies>,
        now: Instant,
    ) -> Decision {
        let kind = packet.numbers.kind();
        self.synced = Some(Synced { ssrc: packet.ssrc, payload_type: packet.payload_type, kind, encoding });
        self.payload_type = Some(packet.payload_type);
        // Of an encoding on the way to the wanted one, all spatial layers.
        let spatial = if encoding == target.encoding { target.limit.spatial } else { packet.layers.top(encoding) };
        let pass = self.selection.start(packet, Limit { spatial, ..target.limit }, dependencies);
        let numbers = match &packet.numbers {
            Numbers::None => NumberDistances::None,
            Numbers::Vp8(picture) | Numbers::Vp9(picture) => {
                let ours = self.pictures.switch_to(packet.ssrc, picture);
                NumberDistances::Picture(PictureDistances::between(picture, ours))
            }
            Numbers::Dependency(fields) => {
                let frames = self.frames.get_or_insert_default();
                let Some(dependencies) = dependencies else { return Decision::NeedKeyFrame };
                let (frame, templates) = (fields.frame_number, dependencies.templates);
                NumberDistances::Dependency(frames.switch_to(packet.ssrc, frame, templates))
            }
        };
        let incoming = Incoming { source: packet.ssrc, seq: packet.seq, timestamp: packet.timestamp };
        let ours = self.rewriter.switch_to(&incoming, now);
        self.forward(packet, ours, numbers, &pass, target, dependencies)
    }

    /// Gives a packet that passes its numbers.
    fn rewrite(
        &mut self,
        packet: &Descriptor,
        pass: &Pass,
        target: Target,
        dependencies: Option<&Dependencies>,
        now: Instant,
    ) -> Decision {
        let incoming = Incoming { source: packet.ssrc, seq: packet.seq, timestamp: packet.timestamp };
        let Some(ours) = self.rewriter.rewrite(&incoming, now) else { return Decision::Drop };
        let numbers = match &packet.numbers {
            Numbers::None => NumberDistances::None,
            Numbers::Vp8(picture) | Numbers::Vp9(picture) => match self.pictures.rewrite(packet.ssrc, picture) {
                Some(ours) => NumberDistances::Picture(PictureDistances::between(picture, ours)),
                None => return Decision::Drop,
            },
            Numbers::Dependency(fields) => {
                let frames = self.frames.get_or_insert_default();
                if fields.brings == Brings::Structure
                    && let Some(dependencies) = dependencies
                {
                    frames.handle_structure(dependencies.templates);
                }
                match frames.rewrite(packet.ssrc, fields.frame_number) {
                    Some(distances) => NumberDistances::Dependency(distances),
                    None => return Decision::Drop,
                }
            }
        };
        self.forward(packet, ours, numbers, pass, target, dependencies)
    }

    fn forward(
        &mut self,
        packet: &Descriptor,
        ours: Rewritten,
        numbers: NumberDistances,
        pass: &Pass,
        target: Target,
        dependencies: Option<&Dependencies>,
    ) -> Decision {
        self.stats.handle_sent(1, u64::from(packet.payload_len));
        if packet.is_audio() {
            self.heard.note(packet.seq);
        }
        let rewrite = Rewrite::new(numbers, pass);
        let distances = Distances::between(packet, ours, rewrite);
        if self.ssrcs.rtx.is_some() {
            self.sent.insert(ours.seq, distances);
        }
        // What follows the newest packet may go on from it, while nothing else is waited for.
        let newest = self.rewriter.last_sent();
        let newest = newest.filter(|newest| newest.seq == ours.seq && newest.timestamp == ours.timestamp);
        let is_newest_frame = match &packet.numbers {
            Numbers::None => true,
            Numbers::Vp8(picture) | Numbers::Vp9(picture) => match numbers {
                NumberDistances::Picture(distances) => {
                    self.pictures.newest().map(|newest| newest.picture_id) == Some(distances.apply(picture).picture_id)
                }
                NumberDistances::None | NumberDistances::Dependency(_) => false,
            },
            Numbers::Dependency(fields) => {
                self.frames.as_ref().and_then(|frames| frames.newest()) == Some(fields.frame_number)
            }
        };
        let is_settled = match packet.role {
            StreamRole::Audio { .. } => true,
            StreamRole::Video { .. } => {
                packet.ssrc == target.ssrc && self.selection.is_settled(packet, target.limit, dependencies)
            }
        };
        self.in_order = newest
            .filter(|_| is_newest_frame && is_settled)
            .map(|newest| InOrder::after(packet, distances, pass.admission, newest.at));
        Decision::Forward { numbers: ours, rewrite, key_frame: self.key_frame() }
    }

    /// Leaves a packet out so that no gap stays.
    fn leave_out(&mut self, packet: &Descriptor, now: Instant) -> Decision {
        self.in_order = None;
        // In VP9, and with dependency descriptors, frames refer to each other by the distance of their numbers.
        if let Numbers::Vp8(picture) = &packet.numbers {
            self.pictures.skip_frame(packet.ssrc, picture);
        }
        let key_frame = self.key_frame();
        if self.rewriter.skip(packet.ssrc, packet.seq) || packet.is_newest {
            return match key_frame {
                KeyFrame::Needed => Decision::NeedKeyFrame,
                KeyFrame::NotNeeded => Decision::Drop,
            };
        }
        let incoming = Incoming { source: packet.ssrc, seq: packet.seq, timestamp: packet.timestamp };
        let Some(numbers) = self.rewriter.rewrite(&incoming, now) else { return Decision::Drop };
        let rewrite = Rewrite::filler();
        self.stats.handle_sent(1, 0);
        if self.ssrcs.rtx.is_some() {
            self.sent.insert(numbers.seq, Distances::between(packet, numbers, rewrite));
        }
        Decision::Forward { numbers, rewrite, key_frame }
    }

    const fn key_frame(&self) -> KeyFrame {
        if self.selection.needs_key_frame() { KeyFrame::Needed } else { KeyFrame::NotNeeded }
    }

    /// The packets to come are no longer taken for such as follow the last one.
    fn leave_order(&mut self) {
        self.catch_up();
        self.in_order = None;
    }

    /// Shows everything else the packets that came in order: their last one says all.
    fn catch_up(&mut self) {
        let Some(missed) = self.in_order.as_mut().and_then(InOrder::take) else { return };
        let InOrder { last, last_numbers, distances, .. } = &missed;
        let ours = distances.seq(last.seq);
        let numbers = self.rewriter.rewrite(last, missed.last_at);
        debug_assert_eq!(numbers.map(|numbers| numbers.seq), Some(ours));
        match last_numbers {
            LastNumbers::None => {
                let first = ExtSeqNum(last.seq.0 - u64::from(missed.packets) + 1);
                self.heard.note_from(first, last.seq);
            }
            LastNumbers::Picture(picture) => drop(self.pictures.rewrite(last.source, picture)),
            LastNumbers::Frame(frame_number) => {
                self.selection.note_forwarded(*frame_number);
                self.frames.as_mut().and_then(|frames| frames.rewrite(last.source, *frame_number));
            }
        }
        self.stats.handle_sent(u64::from(missed.packets), u64::from(missed.octets));
        if self.ssrcs.rtx.is_some() {
            self.sent.insert(ours, *distances);
        }
    }

    /// The number in full of the packet that a NACK asks for, and the way back to the source's. `None` where it is not
    /// known.
    pub(crate) fn find_sent(&mut self, lost: SeqNum) -> Option<(ExtSeqNum, Distances)> {
        self.catch_up();
        self.sent.find(lost)
    }

    /// Whether a retransmission of the packet `seq`, which first left `age` ago, is due; notes that it leaves now.
    pub(crate) fn admit_retransmission(
        &mut self,
        seq: ExtSeqNum,
        age: Duration,
        rtt: Option<Duration>,
        now: Instant,
    ) -> bool {
        self.sent.admit_retransmission(seq, age, rtt, now)
    }

    /// The number of a retransmission that leaves now.
    pub(crate) const fn take_rtx_seq(&mut self) -> ExtSeqNum {
        let rtx_seq = self.next_rtx_seq;
        self.next_rtx_seq = ExtSeqNum(rtx_seq.0 + 1);
        rtx_seq
    }

    /// Of what retransmissions can be sent, also while the receiver gets nothing new. `None` without SSRC for them, and before
    /// anything was sent.
    pub(crate) fn repairs(&mut self) -> Option<Repairs> {
        self.catch_up();
        self.ssrcs.rtx?;
        let payload_type = self.payload_type?;
        let LastSent { seq, timestamp, .. } = self.rewriter.last_sent()?;
        Some(Repairs { newest: seq, timestamp, payload_type })
    }

    /// What a report block says of the packets since the one before.
    pub(crate) fn reported_since(&mut self, block: &ReportBlock) -> Option<Reported> {
        let now = (block.cumulative_lost, block.highest_seq);
        let (lost, highest) = self.reported.replace(now)?;
        let expected = now.1.wrapping_sub(highest);
        // A receiver that began anew.
        (expected < 1 << 16).then(|| Reported {
            lost: u64::try_from(now.0.saturating_sub(lost)).unwrap_or(0),
            expected: u64::from(expected),
        })
    }

    /// A sender report of the layer in use, on the clock of this stream.
    pub(crate) fn sender_info(&mut self, source: &SenderInfo) -> Option<SenderInfo> {
        self.catch_up();
        let timestamp = self.rewriter.map_timestamp(source.ssrc, source.rtp_timestamp)?;
        self.stats.sender_info(source.ntp, timestamp)
    }

    /// Frees what is too old to be asked for.
    pub(crate) fn free_expired(&mut self, now: Instant) {
        self.sent.free_expired(now);
    }
}

#[cfg(test)]
mod tests;
