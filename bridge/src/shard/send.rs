//! What goes out to one receiver of one source: which packets, under which numbers.
//!
//! Here: the switch between simulcast layers at key frames, renumbering, what was sent for NACKs, counts for sender
//! reports. Not here: encryption (`egress`), which height a receiver wants (`allocation`).

use std::time::{Duration, Instant};

use model::{ExtSeqNum, RtpTimestamp, SeqNum, Ssrc};
use rtp::rtcp::SenderInfo;
use streams::{
    Incoming, Rewritten, RttEstimator, SenderStats, SentLog, SequenceRewriter, Vp8Distances, Vp8Numbers, Vp8Rewriter,
};

use super::in_order::InOrder;
use super::packet::{Descriptor, StreamRole};
use super::receive::{AUDIO_CLOCK_HZ, VIDEO_CLOCK_HZ};
use super::repairs::KeyFrameAllowance;
use super::sent_ssrcs::Ended;
use crate::constraints::MaxHeight;
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
    target: Option<Ssrc>,
    /// The layer that the receiver has a key frame of and everything since.
    synced: Option<Ssrc>,
    rewriter: SequenceRewriter,
    vp8: Vp8Rewriter,
    sent: SentLog<Distances>,
    stats: SenderStats,
    next_rtx_seq: ExtSeqNum,
    /// Reports that were sent of it, which the receiver answers.
    pub(crate) reports: RttEstimator,
    /// Key frames that the receiver may ask for.
    pub(crate) key_frames: KeyFrameAllowance,
}

/// From the numbers of a source's stream to those under which a receiver gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Distances {
    /// The source's stream.
    pub(crate) source: Ssrc,
    seq: u64,
    timestamp: u32,
    pub(crate) vp8: Vp8Distances,
}

impl Distances {
    fn between(packet: &Descriptor, ours: Rewritten, vp8: Vp8Distances) -> Self {
        Self {
            source: packet.ssrc,
            seq: ours.seq.0.wrapping_sub(packet.seq.0),
            timestamp: ours.timestamp.0.wrapping_sub(packet.timestamp.0),
            vp8,
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
    /// It does not, and the receiver cannot go on before a key frame of its layer.
    NeedKeyFrame,
    /// It goes out under these numbers.
    Forward { numbers: Rewritten, vp8: Vp8Distances },
}

impl SendStream {
    /// A stream of a video source that is known to receivers under `ssrcs`.
    pub(crate) fn video(ssrcs: LayerSsrcs, first: FirstNumbers) -> Self {
        Self::new(ssrcs, VIDEO_CLOCK_HZ, first)
    }

    /// A stream of the audio source `ssrc`, which is known to receivers under `sent_as`.
    pub(crate) fn audio(ssrc: Ssrc, sent_as: Ssrc, first: FirstNumbers) -> Self {
        let mut stream = Self::new(LayerSsrcs { primary: sent_as, rtx: None }, AUDIO_CLOCK_HZ, first);
        stream.target = Some(ssrc);
        stream
    }

    fn new(ssrcs: LayerSsrcs, clock_hz: u32, first: FirstNumbers) -> Self {
        let rewriter = match first.earlier {
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
            rewriter,
            vp8: first.earlier.and_then(|earlier| earlier.vp8).map(Vp8Rewriter::continuing).unwrap_or_default(),
            sent: SentLog::default(),
            stats: SenderStats::new(ssrcs.primary),
            next_rtx_seq,
            reports: RttEstimator::default(),
            key_frames: KeyFrameAllowance::default(),
        }
    }

    /// Where the stream is; `None` if nothing was ever sent.
    pub(crate) fn ended(&mut self) -> Option<Ended> {
        self.catch_up();
        Some(Ended { last: self.rewriter.last_sent()?, vp8: self.vp8.newest() })
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
        self.catch_up();
        self.in_order = None;
        self.synced = None;
    }

    /// The layer that the receiver gets or waits for: the one of which it needs a key frame when it cannot decode.
    pub(crate) fn layer_in_use(&self) -> Option<Ssrc> {
        self.synced.or(self.target)
    }

    /// Decides about a packet of the source, of which the receiver wants at most `max_height`. `layers` are the streams
    /// of the source, lowest first.
    pub(crate) fn handle_packet(
        &mut self,
        packet: &Descriptor,
        layers: &[Ssrc],
        max_height: MaxHeight,
        now: Instant,
    ) -> Decision {
        if packet.payload_len == 0 {
            // Padding, with which senders probe: left out, and without a gap.
            self.catch_up();
            self.in_order = None;
            self.rewriter.skip(packet.ssrc, packet.seq);
            return Decision::Drop;
        }
        if let StreamRole::Video { .. } = packet.role
            && (self.target.is_none() || packet.vp8.is_some_and(|vp8| vp8.is_frame_start()))
        {
            let best = packet.layers.best(max_height);
            self.target = best.and_then(|layer| layers.get(layer).copied()).or(self.target);
        }
        if self.target == Some(packet.ssrc)
            && let Some(in_order) = &mut self.in_order
            && let Some(numbers) = in_order.handle_packet(packet, now)
        {
            return Decision::Forward { numbers, vp8: in_order.distances.vp8 };
        }
        self.catch_up();
        let incoming = Incoming { source: packet.ssrc, seq: packet.seq, timestamp: packet.timestamp };
        if self.target == Some(packet.ssrc) && self.synced != self.target {
            if !packet.starts_key_frame() {
                // Until then the receiver keeps the layer that it has.
                return Decision::NeedKeyFrame;
            }
            self.synced = self.target;
            let vp8 = packet.vp8.as_ref().map(|descriptor| self.vp8.switch_to(packet.ssrc, descriptor));
            let numbers = self.rewriter.switch_to(&incoming, now);
            return self.forward(packet, numbers, vp8);
        }
        if self.synced.is_none() {
            return Decision::Drop;
        }
        // The layer in use, or a late packet of the one before.
        let Some(numbers) = self.rewriter.rewrite(&incoming, now) else { return Decision::Drop };
        let vp8 = match &packet.vp8 {
            Some(descriptor) => match self.vp8.rewrite(packet.ssrc, descriptor) {
                Some(numbers) => Some(numbers),
                None => return Decision::Drop,
            },
            None => None,
        };
        self.forward(packet, numbers, vp8)
    }

    fn forward(&mut self, packet: &Descriptor, numbers: Rewritten, vp8: Option<Vp8Numbers>) -> Decision {
        self.stats.handle_sent(1, u64::from(packet.payload_len));
        let vp8_distances = packet.vp8.as_ref().zip(vp8);
        let vp8_distances = vp8_distances.map(|(descriptor, ours)| Vp8Distances::between(descriptor, ours));
        let distances = Distances::between(packet, numbers, vp8_distances.unwrap_or_default());
        if self.ssrcs.rtx.is_some() {
            self.sent.insert(numbers.seq, distances);
        }
        // What follows the newest packet may go on from it.
        let newest = self.rewriter.last_sent();
        let newest = newest.filter(|newest| newest.seq == numbers.seq && newest.timestamp == numbers.timestamp);
        let is_newest_frame =
            vp8.is_none_or(|vp8| self.vp8.newest().map(|newest| newest.picture_id) == Some(vp8.picture_id));
        self.in_order = newest.filter(|_| is_newest_frame).map(|newest| InOrder::after(packet, distances, newest.at));
        Decision::Forward { numbers, vp8: distances.vp8 }
    }

    /// Shows everything else the packets that came in order: their last one says all.
    fn catch_up(&mut self) {
        let Some(missed) = self.in_order.as_mut().and_then(InOrder::take) else { return };
        let InOrder { last, last_vp8, distances, .. } = &missed;
        let ours = distances.seq(last.seq);
        let numbers = self.rewriter.rewrite(last, missed.last_at);
        debug_assert_eq!(numbers.map(|numbers| numbers.seq), Some(ours));
        if let Some(descriptor) = last_vp8 {
            self.vp8.rewrite(last.source, descriptor);
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

    /// The number of a retransmission of the packet `seq`, which first left `age` ago. `None` where it is not due.
    pub(crate) fn begin_retransmission(
        &mut self,
        seq: ExtSeqNum,
        age: Duration,
        rtt: Option<Duration>,
        now: Instant,
    ) -> Option<ExtSeqNum> {
        if !self.sent.admit_retransmission(seq, age, rtt, now) {
            return None;
        }
        let rtx_seq = self.next_rtx_seq;
        self.next_rtx_seq = ExtSeqNum(rtx_seq.0 + 1);
        Some(rtx_seq)
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
mod tests {
    use codecs::Vp8Descriptor;
    use model::PayloadType;
    use proptest::prelude::*;
    use rtp::NtpTime;

    use super::*;
    use crate::keys::{KeyAllocator, SourceId};
    use crate::shard::layers::{ActiveLayers, LayerActivity};

    const LAYERS: [Ssrc; 2] = [Ssrc(0xa), Ssrc(0xb)];

    /// What comes next of one of the layers.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Packet {
            layer: usize,
            payload_len: u16,
            ends_frame: bool,
            is_key: bool,
        },
        Lost {
            layer: usize,
        },
        /// A packet that was lost comes late.
        Late {
            layer: usize,
        },
        Wants(u32),
        Pause,
        /// The encoder of a layer begins anew.
        NewEncoder {
            layer: usize,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        let layer = || 0..LAYERS.len();
        prop_oneof![
            60 => (layer(), prop_oneof![1 => Just(0_u16), 15 => 1..1200_u16], any::<bool>(), prop::bool::weighted(0.1))
                .prop_map(|(layer, payload_len, ends_frame, is_key)| Step::Packet {
                    layer, payload_len, ends_frame, is_key,
                }),
            4 => layer().prop_map(|layer| Step::Lost { layer }),
            4 => layer().prop_map(|layer| Step::Late { layer }),
            1 => prop_oneof![Just(180), Just(720)].prop_map(Step::Wants),
            1 => Just(Step::Pause),
            1 => layer().prop_map(|layer| Step::NewEncoder { layer }),
        ]
    }

    /// A layer's encoder.
    #[derive(Clone)]
    struct Encoder {
        seq: u64,
        picture: u16,
        is_wide: bool,
        timestamp: u32,
        begins_frame: bool,
        lost: Vec<Descriptor>,
    }

    impl Encoder {
        fn next(&mut self, layer: usize, payload_len: u16, is_key: bool, source: SourceId) -> Descriptor {
            self.seq += 1;
            let first = if self.begins_frame { 0x90 } else { 0x80 };
            let id = self.picture.to_be_bytes();
            let header = if is_key && self.begins_frame { 0x50 } else { 0x51 };
            let payload = if self.is_wide {
                vec![first, 0xe0, id[0] | 0x80, id[1], id[1], 0x20, header]
            } else {
                vec![first, 0xe0, id[1] & 0x7f, id[1], 0x20, header]
            };
            Descriptor {
                role: StreamRole::Video { source, layer },
                ssrc: LAYERS[layer],
                seq: ExtSeqNum(self.seq),
                timestamp: RtpTimestamp(self.timestamp),
                payload_type: PayloadType::from_low_bits(100),
                marker: false,
                is_newest: true,
                payload_start: 12,
                payload_len,
                audio_level: None,
                video_orientation: None,
                vp8: (payload_len > 0).then(|| Vp8Descriptor::parse(&payload).unwrap()),
                layers: ActiveLayers::default(),
            }
        }

        fn end_frame(&mut self) {
            self.begins_frame = true;
            self.picture = self.picture.wrapping_add(1) & 0x7fff;
            self.timestamp = self.timestamp.wrapping_add(3000);
        }
    }

    fn stream() -> SendStream {
        let ssrcs = LayerSsrcs { primary: Ssrc(1), rtx: Some(Ssrc(2)) };
        let (seq, rtx_seq, timestamp) = (SeqNum(0x7ff0), SeqNum(9), RtpTimestamp(u32::MAX - 9000));
        SendStream::video(ssrcs, FirstNumbers { earlier: None, earlier_rtx: None, seq, rtx_seq, timestamp })
    }

    fn pair(decision: Decision) -> Option<(u64, u32, Vp8Distances)> {
        match decision {
            Decision::Forward { numbers, vp8 } => Some((numbers.seq.0, numbers.timestamp.0, vp8)),
            Decision::Drop | Decision::NeedKeyFrame => None,
        }
    }

    #[test]
    fn what_follows_the_last_packet_needs_two_cache_lines() {
        assert!(std::mem::offset_of!(SendStream, synced) <= 128);
    }

    proptest! {
        /// The short way gives each packet the numbers that the long one gives it, and never one twice.
        #[test]
        fn packets_in_order_get_the_numbers_of_the_long_way(
            steps in prop::collection::vec(step(), 1..600),
            widths in any::<[bool; 2]>(),
        ) {
            #[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
            let mut now = Instant::now();
            let source = SourceId(KeyAllocator::default().allocate());
            let mut encoders = widths.map(|is_wide| Encoder {
                seq: 65_500, picture: 0x7ff0, is_wide, timestamp: 77, begins_frame: true, lost: Vec::new(),
            });
            let mut activity = LayerActivity::default();
            let mut max_height = MaxHeight(720);
            let (mut short, mut long) = (stream(), stream());
            let mut given = std::collections::BTreeSet::new();
            for step in steps {
                now += Duration::from_millis(3);
                let mut packet = match step {
                    Step::Packet { layer, payload_len, ends_frame, is_key } => {
                        let encoder = &mut encoders[layer];
                        let packet = encoder.next(layer, payload_len, is_key, source);
                        encoder.begins_frame &= payload_len == 0;
                        if ends_frame {
                            encoder.end_frame();
                        }
                        activity.handle_packet(layer, ends_frame, now);
                        packet
                    }
                    Step::Lost { layer } => {
                        let lost = encoders[layer].next(layer, 500, false, source);
                        encoders[layer].lost.push(Descriptor { is_newest: false, ..lost });
                        continue;
                    }
                    Step::Late { layer } => match encoders[layer].lost.pop() {
                        Some(late) => late,
                        None => continue,
                    },
                    Step::Wants(height) => {
                        max_height = MaxHeight(height);
                        continue;
                    }
                    Step::Pause => {
                        short.pause();
                        long.pause();
                        continue;
                    }
                    Step::NewEncoder { layer } => {
                        encoders[layer].picture = encoders[layer].picture.wrapping_mul(7919) & 0x7fff;
                        encoders[layer].begins_frame = true;
                        continue;
                    }
                };
                packet.layers = activity.active(now);
                long.catch_up();
                long.in_order = None;
                let decision = pair(short.handle_packet(&packet, &LAYERS, max_height, now));
                prop_assert_eq!(decision, pair(long.handle_packet(&packet, &LAYERS, max_height, now)));
                if let Some((seq, ..)) = decision {
                    prop_assert!(given.insert(seq), "{} was given twice", seq);
                }
                if packet.seq.0 % 7 == 0 {
                    let info = SenderInfo {
                        ssrc: packet.ssrc, ntp: NtpTime(1), rtp_timestamp: packet.timestamp, packet_count: 0, octet_count: 0,
                    };
                    prop_assert_eq!(short.sender_info(&info), long.sender_info(&info));
                }
            }
            prop_assert_eq!(short.ended(), long.ended());
            for seq in given {
                let lost = ExtSeqNum(seq).wire();
                prop_assert_eq!(short.find_sent(lost), long.find_sent(lost));
            }
        }
    }
}
