//! What goes out to one receiver of one source: which packets, under which numbers.
//!
//! Here: the switch between simulcast layers at key frames, renumbering, what was sent for NACKs, counts for sender
//! reports. Not here: encryption (`egress`), which height a receiver wants (`allocation`).

use std::time::{Duration, Instant};

use model::{ExtSeqNum, RtpTimestamp, SeqNum, Ssrc};
use rtp::rtcp::SenderInfo;
use streams::{
    Incoming, LastSent, Rewritten, RttEstimator, SenderStats, SentLog, SequenceRewriter, Vp8Distances, Vp8Rewriter,
};

use super::packet::{Descriptor, StreamRole};
use super::receive::{AUDIO_CLOCK_HZ, VIDEO_CLOCK_HZ};
use super::repairs::KeyFrameAllowance;
use crate::constraints::MaxHeight;
use crate::negotiated::LayerSsrcs;

/// Where the numbers of a stream begin: behind those of an earlier stream under the same SSRC, as no number may come
/// twice in one SRTP session (RFC 3711 §9.1), else at random ones (RFC 3550 §5.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstNumbers {
    pub(crate) earlier: Option<LastSent>,
    pub(crate) earlier_rtx: Option<ExtSeqNum>,
    pub(crate) seq: SeqNum,
    pub(crate) rtx_seq: SeqNum,
    pub(crate) timestamp: RtpTimestamp,
}

/// One stream to one receiver.
#[derive(Debug)]
pub(crate) struct SendStream {
    ssrcs: LayerSsrcs,
    /// The layer that the receiver has a key frame of and everything since.
    synced: Option<Ssrc>,
    target: Option<Ssrc>,
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

    /// A stream of an audio source.
    pub(crate) fn audio(ssrc: Ssrc, first: FirstNumbers) -> Self {
        let mut stream = Self::new(LayerSsrcs { primary: ssrc, rtx: None }, AUDIO_CLOCK_HZ, first);
        stream.target = Some(ssrc);
        stream
    }

    fn new(ssrcs: LayerSsrcs, clock_hz: u32, first: FirstNumbers) -> Self {
        let rewriter = match first.earlier {
            Some(earlier) => SequenceRewriter::continuing(clock_hz, earlier),
            None => SequenceRewriter::new(clock_hz, first.seq, first.timestamp),
        };
        // A cleared top bit keeps the receiver's roll-over guess right, as the rewriter does for the stream itself.
        let next_rtx_seq = first.earlier_rtx.unwrap_or(ExtSeqNum(u64::from(first.rtx_seq.0 & 0x7fff)));
        Self {
            ssrcs,
            synced: None,
            target: None,
            rewriter,
            vp8: Vp8Rewriter::default(),
            sent: SentLog::default(),
            stats: SenderStats::new(ssrcs.primary),
            next_rtx_seq,
            reports: RttEstimator::default(),
            key_frames: KeyFrameAllowance::default(),
        }
    }

    /// Where the stream is; `None` if nothing was ever sent.
    pub(crate) fn last_sent(&self) -> Option<LastSent> {
        self.rewriter.last_sent()
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
            self.rewriter.skip(packet.ssrc, packet.seq);
            return Decision::Drop;
        }
        if let StreamRole::Video { .. } = packet.role
            && (self.target.is_none() || packet.vp8.is_some_and(|vp8| vp8.is_frame_start()))
        {
            let best = packet.layers.best(max_height, now);
            self.target = best.and_then(|layer| layers.get(layer).copied()).or(self.target);
        }
        let incoming = Incoming { source: packet.ssrc, seq: packet.seq, timestamp: packet.timestamp };
        if self.target == Some(packet.ssrc) && self.synced != self.target {
            if !packet.starts_key_frame() {
                // Until then the receiver keeps the layer that it has.
                return Decision::NeedKeyFrame;
            }
            self.synced = self.target;
            let vp8 = packet.vp8.as_ref().map_or_else(Vp8Distances::default, |descriptor| {
                Vp8Distances::between(descriptor, self.vp8.switch_to(packet.ssrc, descriptor))
            });
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
                Some(numbers) => Vp8Distances::between(descriptor, numbers),
                None => return Decision::Drop,
            },
            None => Vp8Distances::default(),
        };
        self.forward(packet, numbers, vp8)
    }

    fn forward(&mut self, packet: &Descriptor, numbers: Rewritten, vp8: Vp8Distances) -> Decision {
        self.stats.handle_sent(usize::from(packet.payload_len));
        if self.ssrcs.rtx.is_some() {
            self.sent.insert(numbers.seq, Distances::between(packet, numbers, vp8));
        }
        Decision::Forward { numbers, vp8 }
    }

    /// The number in full of the packet that a NACK asks for, and the way back to the source's. `None` where it is not
    /// known.
    pub(crate) fn find_sent(&self, lost: SeqNum) -> Option<(ExtSeqNum, Distances)> {
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
    pub(crate) fn sender_info(&self, source: &SenderInfo) -> Option<SenderInfo> {
        let timestamp = self.rewriter.map_timestamp(source.ssrc, source.rtp_timestamp)?;
        self.stats.sender_info(source.ntp, timestamp)
    }

    /// Frees what is too old to be asked for.
    pub(crate) fn free_expired(&mut self, now: Instant) {
        self.sent.free_expired(now);
    }
}
