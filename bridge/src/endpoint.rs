//! One participant at the bridge: its transport, what comes in from it and what goes out to it.
//!
//! Here: an endpoint's own state and the packets and reports that it is sent. Not here: what concerns several endpoints
//! (`conference`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use codecs::Vp8Descriptor;
use jitsi_protocol::colibri2::ForceMute;
use model::{EndpointId, ExtSeqNum, PeerAddress, SeqNum, SourceName, Ssrc, TwccSeq};
use net::SendQueue;
use rtp::rtcp::{
    MAX_REPORT_BLOCKS, SenderInfo, write_nack, write_pli, write_receiver_report, write_sdes_cname, write_sender_report,
};
use rtp::{AudioLevel, ExtensionKind, MAX_OUTGOING_HEADER_LEN, OutgoingExtensions, OutgoingHeader, RtpParts, rtx};

use crate::channel::{Channel, MessageRate};
use crate::constraints::{AudioSubscription, Constraints, MaxHeight};
use crate::metrics::Metrics;
use crate::negotiated::{Negotiated, SourceId, Sources};
use crate::receive::{ReceiveStreams, ReceivedPacket};
use crate::repairs::RepairBudget;
use crate::send::{Decision, SentPacket};
use crate::send_streams::SendStreams;
use crate::transport::EndpointTransport;

/// Reports of what is received are sent this often (RFC 3550 §6.2 allows less than 5 s for few participants).
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Packets named in one NACK: at most four bytes each. Another is begun when a compound has this many bytes, so that
/// none exceeds a path's MTU.
const MAX_LOST_PER_NACK: usize = 128;
const FULL_COMPOUND_LEN: usize = 600;

/// Everything about one endpoint.
pub(crate) struct Endpoint {
    pub(crate) id: EndpointId,
    /// Its place in the conference.
    pub(crate) key: usize,
    pub(crate) transport: EndpointTransport,
    pub(crate) negotiated: Negotiated,
    pub(crate) sources: Sources,
    pub(crate) receive: ReceiveStreams,
    pub(crate) send: SendStreams,
    pub(crate) force_mute: ForceMute,
    pub(crate) constraints: Constraints,
    pub(crate) audio: AudioSubscription,
    pub(crate) channel: Channel,
    pub(crate) message_rate: MessageRate,
    /// Lets the client open a WebSocket for its bridge channel; for the endpoint's life.
    pub(crate) web_socket_pwd: String,
    /// The videos that it gets, with the height that it wants of each.
    pub(crate) heights: BTreeMap<SourceId, MaxHeight>,
    /// What the client was last told is forwarded to it.
    pub(crate) forwarded: Option<Vec<SourceName>>,
    /// What the client was last told is wanted of its sources.
    pub(crate) sender_constraints: BTreeMap<SourceName, MaxHeight>,
    pub(crate) created_at: Instant,
    pub(crate) last_activity: Option<Instant>,
    /// Addresses that packets of this endpoint come from, for the demultiplexer to forget.
    pub(crate) remotes: Vec<PeerAddress>,
    pub(crate) ufrags: Vec<String>,
    /// Limits what it makes the bridge send again.
    pub(crate) repairs: RepairBudget,
    /// The round trip to the client, smoothed.
    rtt: Option<Duration>,
    next_report: Instant,
    next_twcc_seq: u16,
    /// Scratch for compounds that are written.
    rtcp: Vec<u8>,
}

impl Endpoint {
    pub(crate) fn new(id: EndpointId, transport: EndpointTransport, web_socket_pwd: String, now: Instant) -> Self {
        Self {
            id,
            key: 0,
            transport,
            negotiated: Negotiated::default(),
            sources: Sources::default(),
            receive: ReceiveStreams::new(now),
            send: SendStreams::default(),
            force_mute: ForceMute::default(),
            constraints: Constraints::default(),
            audio: AudioSubscription::default(),
            channel: Channel::default(),
            message_rate: MessageRate::default(),
            web_socket_pwd,
            heights: BTreeMap::new(),
            forwarded: None,
            sender_constraints: BTreeMap::new(),
            created_at: now,
            last_activity: None,
            remotes: Vec::new(),
            ufrags: Vec::new(),
            repairs: RepairBudget::default(),
            rtt: None,
            next_report: now + REPORT_INTERVAL,
            next_twcc_seq: 1,
            rtcp: Vec::new(),
        }
    }

    /// Decides about a packet of another endpoint's source, and sends it if it goes to this receiver. Answers whether
    /// a key frame is needed first.
    pub(crate) fn forward(
        &mut self,
        source: SourceId,
        packet: &ReceivedPacket<'_>,
        layers: Option<&crate::layers::LayerActivity>,
        now: Instant,
        out: &mut SendQueue,
    ) -> KeyFrame {
        let Some(stream) = self.send.get_mut(source) else { return KeyFrame::NotNeeded };
        if !self.transport.is_connected() {
            // Numbers stand still while nothing leaves: the receiver could not tell how often they rolled over.
            stream.pause();
            return KeyFrame::NotNeeded;
        }
        let (numbers, vp8) = match stream.handle_packet(packet, layers, now) {
            Decision::Drop => return KeyFrame::NotNeeded,
            Decision::NeedKeyFrame => return KeyFrame::Needed,
            Decision::Forward { numbers, vp8 } => (numbers, vp8),
        };
        let ssrc = stream.ssrcs().primary;
        // The source's payload goes out as it came, but for the VP8 numbers, which go on across layers.
        let descriptor = packet.vp8.as_ref();
        let prefix = descriptor
            .zip(vp8)
            .map(|(descriptor, numbers)| descriptor.rewritten(packet.payload, numbers.picture_id, numbers.tl0_pic_idx));
        let prefix = prefix.as_ref().map_or(&[][..], |prefix| prefix.as_bytes());
        let payload = packet.payload.get(prefix.len()..).unwrap_or_default();
        let header = OutgoingHeader {
            marker: packet.marker,
            payload_type: packet.payload_type,
            seq: numbers.seq.wire(),
            timestamp: numbers.timestamp,
            ssrc,
            extensions: self.extensions(packet.audio_level, packet.video_orientation),
        };
        if self.send_packet(&header, prefix, payload, numbers.seq, out) {
            self.repairs.earn();
        }
        KeyFrame::NotNeeded
    }

    /// Protects a packet and queues it. Answers whether it left.
    fn send_packet(
        &self,
        header: &OutgoingHeader<'_>,
        prefix: &[u8],
        payload: &[u8],
        seq: ExtSeqNum,
        out: &mut SendQueue,
    ) -> bool {
        let mut header_bytes = [0; MAX_OUTGOING_HEADER_LEN];
        let Ok(written) = header.write_to(&mut header_bytes) else { return false };
        let header = header_bytes.get(..written.len).unwrap_or_default();
        self.transport.send_rtp(&RtpParts { header, prefix, payload }, seq, out)
    }

    /// The header extensions of the next packet to this receiver; takes a transport-wide number.
    fn extensions(
        &mut self,
        audio_level: Option<AudioLevel>,
        video_orientation: Option<u8>,
    ) -> OutgoingExtensions<'static> {
        let map = &self.negotiated.extensions;
        let transport_seq =
            map.id(ExtensionKind::TransportWideCc).filter(|_| self.negotiated.has_transport_cc).map(|id| {
                let seq = TwccSeq(self.next_twcc_seq);
                self.next_twcc_seq = self.next_twcc_seq.wrapping_add(1);
                (id, seq)
            });
        OutgoingExtensions {
            audio_level: map.id(ExtensionKind::AudioLevel).zip(audio_level),
            video_orientation: map.id(ExtensionKind::VideoOrientation).zip(video_orientation),
            transport_seq,
            ..OutgoingExtensions::default()
        }
    }

    /// Notes report blocks of the receiver about streams that it is sent.
    pub(crate) fn handle_report_block(&mut self, block: &rtp::rtcp::ReportBlock, now: Instant) {
        let stream = self.send.source_of(block.ssrc).and_then(|source| self.send.get_mut(source));
        if let Some(sample) = stream.and_then(|stream| stream.reports.handle_report_block(block, now)) {
            // RFC 6298 §2.3.
            self.rtt = Some(self.rtt.map_or(sample, |smoothed| (smoothed * 7 + sample) / 8));
        }
    }

    /// The round trip to the receiver, once known.
    #[cfg(test)]
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// The packets that the receiver asks for again, if they were sent to it and are due.
    pub(crate) fn retransmission(&mut self, ssrc: Ssrc, lost: SeqNum, now: Instant) -> Option<Retransmission> {
        if !self.transport.is_connected() {
            return None;
        }
        let source = self.send.source_of(ssrc)?;
        let rtt = self.rtt;
        let stream = self.send.get_mut(source)?;
        let rtx_ssrc = stream.ssrcs().rtx?;
        let (seq, packet, rtx_seq) = stream.take_for_retransmission(lost, rtt, now)?;
        Some(Retransmission { source, packet, original: seq.wire(), rtx_ssrc, rtx_seq })
    }

    /// Sends a packet again (RFC 4588), with `payload` as the source's cache has it. Answers whether it left.
    pub(crate) fn retransmit(&mut self, retransmission: &Retransmission, payload: &[u8], out: &mut SendQueue) -> bool {
        let packet = &retransmission.packet;
        let Some(rtx_payload_type) = self.negotiated.rtx_of(packet.payload_type) else { return false };
        let mut prefix = [0; rtx::OSN_LEN + codecs::MAX_VP8_DESCRIPTOR_LEN];
        let (osn, descriptor_room) = prefix.split_at_mut(rtx::OSN_LEN);
        osn.copy_from_slice(&rtx::osn_prefix(retransmission.original));
        let (mut prefix_len, mut payload) = (rtx::OSN_LEN, payload);
        if let Some(numbers) = packet.vp8
            && let Ok(descriptor) = Vp8Descriptor::parse(payload)
        {
            let rewritten = descriptor.rewritten(payload, numbers.picture_id, numbers.tl0_pic_idx);
            let rewritten = rewritten.as_bytes();
            if let Some(room) = descriptor_room.get_mut(..rewritten.len()) {
                room.copy_from_slice(rewritten);
                prefix_len += rewritten.len();
                payload = payload.get(rewritten.len()..).unwrap_or_default();
            }
        }
        let header = OutgoingHeader {
            marker: packet.marker,
            payload_type: rtx_payload_type,
            seq: retransmission.rtx_seq.wire(),
            timestamp: packet.timestamp,
            ssrc: retransmission.rtx_ssrc,
            extensions: self.extensions(None, packet.video_orientation),
        };
        let prefix = prefix.get(..prefix_len).unwrap_or_default();
        self.send_packet(&header, prefix, payload, retransmission.rtx_seq, out)
    }

    /// Passes a sender report of a source on to this receiver, if it is being sent that stream.
    pub(crate) fn forward_sender_report(
        &mut self,
        source: SourceId,
        info: &SenderInfo,
        cname: &EndpointId,
        now: Instant,
        out: &mut SendQueue,
    ) {
        let Some(stream) = self.send.get_mut(source) else { return };
        let Some(info) = stream.sender_info(info) else { return };
        stream.reports.handle_report_sent(info.ntp, now);
        self.rtcp.clear();
        write_sender_report(&mut self.rtcp, &info, &[]);
        // One CNAME for all streams of an endpoint: receivers play them in step (RFC 3550 §6.5.1).
        write_sdes_cname(&mut self.rtcp, info.ssrc, cname.as_str());
        self.transport.send_rtcp(&self.rtcp, out);
    }

    /// Asks the endpoint for a key frame of one of its streams, unless one was asked for just now.
    pub(crate) fn request_key_frame(
        &mut self,
        ssrc: Ssrc,
        sender_ssrc: Ssrc,
        now: Instant,
        metrics: &Metrics,
        out: &mut SendQueue,
    ) {
        if !self.receive.is_key_frame_request_due(ssrc, now) {
            return;
        }
        self.receive.note_key_frame_request(ssrc, now);
        metrics.key_frames_requested.inc();
        self.rtcp.clear();
        write_receiver_report(&mut self.rtcp, sender_ssrc, &[]);
        write_pli(&mut self.rtcp, sender_ssrc, ssrc);
        self.transport.send_rtcp(&self.rtcp, out);
    }

    /// Sends what is due about what came in: reports, requests for missing packets, transport-wide feedback.
    pub(crate) fn send_feedback(&mut self, sender_ssrc: Ssrc, now: Instant, out: &mut SendQueue) {
        if !self.transport.is_connected() {
            self.next_report = now + REPORT_INTERVAL;
            return;
        }
        let Self { receive, rtcp, rtt, transport, .. } = self;
        if self.next_report <= now {
            self.next_report = now + REPORT_INTERVAL;
            let mut blocks = Vec::new();
            receive.report_blocks(now, &mut blocks);
            for blocks in blocks.chunks(MAX_REPORT_BLOCKS) {
                rtcp.clear();
                write_receiver_report(rtcp, sender_ssrc, blocks);
                transport.send_rtcp(rtcp, out);
            }
            receive.free_expired(now);
            for (_, stream) in self.send.iter_mut() {
                stream.free_expired(now);
            }
        }
        rtcp.clear();
        write_receiver_report(rtcp, sender_ssrc, &[]);
        let empty_report_len = rtcp.len();
        receive.poll_nacks(now, *rtt, |ssrc, lost| {
            for lost in lost.chunks(MAX_LOST_PER_NACK) {
                write_nack(rtcp, sender_ssrc, ssrc, lost.iter().copied());
                if rtcp.len() > FULL_COMPOUND_LEN {
                    transport.send_rtcp(rtcp, out);
                    rtcp.truncate(empty_report_len);
                }
            }
        });
        if rtcp.len() > empty_report_len {
            transport.send_rtcp(rtcp, out);
        }
        loop {
            rtcp.clear();
            write_receiver_report(rtcp, sender_ssrc, &[]);
            if !receive.poll_twcc(sender_ssrc, now, rtcp) {
                break;
            }
            transport.send_rtcp(rtcp, out);
        }
    }

    /// When [`send_feedback`](Self::send_feedback) has something to do.
    pub(crate) fn next_feedback(&self) -> Instant {
        if !self.transport.is_connected() {
            // What came in is still there to be reported, and nothing can be: that alone is no reason to wake up.
            return self.next_report;
        }
        self.receive.next_timeout().map_or(self.next_report, |at| at.min(self.next_report))
    }

    /// When the endpoint has something to do.
    pub(crate) fn next_timeout(&self) -> Instant {
        self.next_feedback().min(self.transport.next_timeout())
    }
}

/// Whether a source has to send a key frame before a receiver can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyFrame {
    Needed,
    NotNeeded,
}

/// A packet to be sent again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retransmission {
    pub(crate) source: SourceId,
    pub(crate) packet: SentPacket,
    original: SeqNum,
    rtx_ssrc: Ssrc,
    rtx_seq: ExtSeqNum,
}
