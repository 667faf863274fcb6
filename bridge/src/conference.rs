//! One conference: who sends what to whom.
//!
//! Here: forwarding between endpoints, speakers, messages among clients. Not here: the choice of sources for each
//! receiver (`allocation`), an endpoint's own packets (`endpoint`), which conference a datagram is for (`videobridge`).

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use jitsi_protocol::bridge_channel::{
    BridgeMessage, ClientMessage, DominantSpeakerEndpointChangeEvent, EndpointMessage, ForwardedSources,
    SenderSourceConstraints, ServerHello,
};
use jitsi_protocol::colibri2::ForceMute;
use model::{ConferenceId, EndpointId, ExtSeqNum, SeqNum, Ssrc};
use net::SendQueue;
use rtp::rtcp::{Compound, RtcpPacket, SenderInfo};
use slab::Slab;

use crate::channel::{ChannelTransport, WebSocketId};
use crate::constraints::AudioSubscription;
use crate::endpoint::{Endpoint, KeyFrame};
use crate::metrics::{DropReason, Metrics};
use crate::negotiated::SourceId;
use crate::receive::StreamRole;
use crate::speaker::SpeakerDetector;
use crate::videobridge::EndpointKey;

/// What a conference needs of its surroundings to act.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    /// Which conference it is, to the bridge.
    pub(crate) conference: usize,
    pub(crate) out: &'a mut SendQueue,
    pub(crate) metrics: &'a Metrics,
    /// Texts for clients whose bridge channel is a WebSocket.
    pub(crate) texts: &'a mut Vec<(WebSocketId, String)>,
    /// Endpoints whose data channel has something to send.
    pub(crate) touched: &'a mut VecDeque<EndpointKey>,
}

/// All state of one conference.
pub(crate) struct Conference {
    pub(crate) id: ConferenceId,
    /// Names the conference in WebSocket URLs; random, so that the meeting id stays between focus and bridge.
    pub(crate) channel_name: String,
    pub(crate) endpoints: Slab<Endpoint>,
    pub(crate) by_id: BTreeMap<EndpointId, usize>,
    pub(crate) speakers: SpeakerDetector,
    /// The bridge's own SSRCs, under which it reports (`jvb-a0`, `jvb-v0`).
    pub(crate) feedback_ssrcs: FeedbackSsrcs,
    pub(crate) created_at: Instant,
    /// Endpoints by the video sources that are theirs.
    pub(crate) video_owners: BTreeMap<SourceId, usize>,
    last_source: u32,
}

/// The bridge's own SSRCs in one conference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FeedbackSsrcs {
    pub(crate) audio: Ssrc,
    pub(crate) video: Ssrc,
}

impl Conference {
    pub(crate) fn new(id: ConferenceId, channel_name: String, feedback_ssrcs: FeedbackSsrcs, now: Instant) -> Self {
        Self {
            id,
            channel_name,
            endpoints: Slab::new(),
            by_id: BTreeMap::new(),
            speakers: SpeakerDetector::default(),
            feedback_ssrcs,
            created_at: now,
            video_owners: BTreeMap::new(),
            last_source: 0,
        }
    }

    /// A decrypted RTP packet of an endpoint: from its header to everyone who gets it.
    pub(crate) fn handle_rtp(&mut self, sender: usize, packet: &mut [u8], seq: ExtSeqNum, context: &mut Context<'_>) {
        let now = context.now;
        let Some(endpoint) = self.endpoints.get_mut(sender) else { return };
        let received = match endpoint.receive.handle_rtp(packet, seq, &endpoint.negotiated, now) {
            Ok(received) => received,
            Err(reason) => return context.metrics.count(reason),
        };
        let (source, layers) = match received.role {
            StreamRole::Audio { source } => {
                if endpoint.force_mute.audio {
                    return context.metrics.count(DropReason::ForceMuted);
                }
                if let Some(level) = received.audio_level {
                    self.speakers.handle_level(&endpoint.id, level.level, now);
                }
                (source, None)
            }
            StreamRole::Video { source, .. } => {
                if endpoint.force_mute.video {
                    return context.metrics.count(DropReason::ForceMuted);
                }
                (source, endpoint.receive.layers(source).copied())
            }
        };
        let mut key_frame = KeyFrame::NotNeeded;
        for (_, receiver) in self.endpoints.iter_mut().filter(|(key, _)| *key != sender) {
            if receiver.forward(source, &received, layers.as_ref(), now, context.out) == KeyFrame::Needed {
                key_frame = KeyFrame::Needed;
            }
        }
        if key_frame == KeyFrame::Needed
            && let Some(endpoint) = self.endpoints.get_mut(sender)
        {
            endpoint.request_key_frame(received.ssrc, self.feedback_ssrcs.video, now, context.metrics, context.out);
        }
    }

    /// A decrypted RTCP compound of an endpoint.
    pub(crate) fn handle_rtcp(&mut self, from: usize, compound: &[u8], context: &mut Context<'_>) {
        for packet in Compound::new(compound) {
            match packet {
                Ok(RtcpPacket::SenderReport(report)) => {
                    self.handle_sender_report(from, report.info, context);
                    self.handle_report_blocks(from, report.report_blocks(), context.now);
                }
                Ok(RtcpPacket::ReceiverReport(report)) => {
                    self.handle_report_blocks(from, report.report_blocks(), context.now);
                }
                Ok(RtcpPacket::Nack(nack)) => self.retransmit(from, nack.media_ssrc, nack.lost(), context),
                Ok(RtcpPacket::PictureLossIndication(pli)) => {
                    self.pass_key_frame_request(from, pli.media_ssrc, context)
                }
                Ok(RtcpPacket::FullIntraRequest(fir)) => {
                    for entry in fir.entries() {
                        self.pass_key_frame_request(from, entry.ssrc, context);
                    }
                }
                // What a receiver can take is not estimated: it gets the layers that it asks for (`layers`).
                Ok(
                    RtcpPacket::TransportFeedback(_)
                    | RtcpPacket::ReceiverEstimatedMaxBitrate(_)
                    | RtcpPacket::SourceDescription
                    | RtcpPacket::Goodbye(_)
                    | RtcpPacket::Unknown { .. },
                ) => {}
                Err(_) => context.metrics.count(DropReason::Rtcp),
            }
        }
    }

    fn handle_report_blocks(
        &mut self,
        from: usize,
        blocks: impl Iterator<Item = rtp::rtcp::ReportBlock>,
        now: Instant,
    ) {
        if let Some(endpoint) = self.endpoints.get_mut(from) {
            for block in blocks {
                endpoint.handle_report_block(&block, now);
            }
        }
    }

    /// A source's report goes on to each receiver, on the clock of the stream that the receiver gets.
    fn handle_sender_report(&mut self, from: usize, info: SenderInfo, context: &mut Context<'_>) {
        let Some(endpoint) = self.endpoints.get_mut(from) else { return };
        let Some(role) = endpoint.receive.handle_sender_report(info, context.now) else { return };
        let (StreamRole::Audio { source } | StreamRole::Video { source, .. }) = role;
        let cname = endpoint.id.clone();
        for (_, receiver) in self.endpoints.iter_mut().filter(|(key, _)| *key != from) {
            receiver.forward_sender_report(source, &info, &cname, context.now, context.out);
        }
    }

    /// Packets that a receiver lost are sent again from the cache of their source.
    fn retransmit(&mut self, to: usize, ssrc: Ssrc, lost: impl Iterator<Item = SeqNum>, context: &mut Context<'_>) {
        for lost in lost {
            let Some(receiver) = self.endpoints.get_mut(to) else { return };
            if !receiver.repairs.is_allowed() {
                return context.metrics.count(DropReason::RepairBudget);
            }
            let Some(retransmission) = receiver.retransmission(ssrc, lost, context.now) else { continue };
            let Some(owner) = self.video_owners.get(&retransmission.source).copied() else { continue };
            let Some((receiver, owner)) = self.endpoints.get2_mut(to, owner) else { continue };
            let cached = owner.receive.stream(retransmission.packet.source);
            let payload = cached.and_then(|stream| stream.cache.get(retransmission.packet.source_seq, context.now));
            if let Some(payload) = payload
                && receiver.retransmit(&retransmission, payload, context.out)
            {
                receiver.repairs.spend();
                context.metrics.retransmissions.inc();
            }
        }
    }

    /// A receiver that cannot decode asks for a key frame: the source is asked for one of the layer that it gets.
    fn pass_key_frame_request(&mut self, from: usize, ssrc: Ssrc, context: &mut Context<'_>) {
        let Some(receiver) = self.endpoints.get_mut(from) else { return };
        let Some(source) = receiver.send.source_of(ssrc) else { return };
        let Some(stream) = receiver.send.get_mut(source) else { return };
        let Some(layer) = stream.layer_in_use() else { return };
        let Some(owner) = self.video_owners.get(&source).copied() else { return };
        let Some((receiver, owner)) = self.endpoints.get2_mut(from, owner) else { return };
        let Some(stream) = receiver.send.get_mut(source) else { return };
        if !owner.receive.is_key_frame_request_due(layer, context.now) {
            // Somebody's request is under way; its key frame serves this receiver too.
            return;
        }
        if !stream.key_frames.admit(context.now) {
            return context.metrics.count(DropReason::KeyFrameRequestRate);
        }
        owner.request_key_frame(layer, self.feedback_ssrcs.video, context.now, context.metrics, context.out);
    }

    /// What is muted is left out of the streams of all receivers without a gap, and begins anew.
    pub(crate) fn set_force_mute(&mut self, of: usize, force_mute: ForceMute) {
        let Some(endpoint) = self.endpoints.get_mut(of) else { return };
        endpoint.force_mute = force_mute;
        let audio = endpoint.sources.audio.iter().map(|audio| audio.id).filter(|_| force_mute.audio);
        let video = endpoint.sources.video.iter().map(|video| video.id).filter(|_| force_mute.video);
        let muted: Vec<SourceId> = audio.chain(video).collect();
        for (_, receiver) in &mut self.endpoints {
            for source in &muted {
                if let Some(stream) = receiver.send.get_mut(*source) {
                    stream.pause();
                }
            }
        }
    }

    /// Takes the full list of an endpoint's sources.
    pub(crate) fn set_sources(
        &mut self,
        of: usize,
        list: &[jitsi_protocol::colibri2::MediaSource],
        context: &mut Context<'_>,
    ) {
        let last_source = &mut self.last_source;
        let Some(endpoint) = self.endpoints.get_mut(of) else { return };
        let sources = crate::negotiated::Sources::of_request(list, &endpoint.sources, || {
            *last_source += 1;
            SourceId(*last_source)
        });
        endpoint.receive.set_sources(&sources);
        self.video_owners.retain(|_, owner| *owner != of);
        self.video_owners.extend(sources.video.iter().map(|video| (video.id, of)));
        endpoint.sender_constraints.retain(|name, _| sources.video.iter().any(|video| video.name == *name));
        endpoint.sources = sources;
        self.reallocate(context);
    }

    /// Does what is due for the conference as a whole.
    pub(crate) fn handle_timeout(&mut self, context: &mut Context<'_>) {
        if self.speakers.handle_timeout(context.now) {
            self.announce_speaker(context);
            self.reallocate(context);
        }
    }

    fn announce_speaker(&mut self, context: &mut Context<'_>) {
        let Some(message) = self.speaker_message() else { return };
        let text = message.to_json();
        for (_, endpoint) in &mut self.endpoints {
            tell_text(endpoint, &text, context);
        }
    }

    fn speaker_message(&self) -> Option<BridgeMessage> {
        let dominant = self.speakers.dominant()?.clone();
        Some(BridgeMessage::DominantSpeakerEndpointChangeEvent(DominantSpeakerEndpointChangeEvent {
            dominant_speaker_endpoint: dominant,
            previous_speakers: self.speakers.recent().to_vec(),
            silence: false,
        }))
    }

    /// An endpoint's bridge channel opened: it is told everything that holds now (client.md §8.1).
    pub(crate) fn greet(&mut self, key: usize, context: &mut Context<'_>) {
        let speaker = self.speaker_message();
        let Some(endpoint) = self.endpoints.get_mut(key) else { return };
        tell(endpoint, &server_hello(), context);
        let constraints: Vec<_> = endpoint.sender_constraints.clone().into_iter().collect();
        for (source_name, max_height) in constraints {
            let constraints = SenderSourceConstraints { source_name, max_height: max_height.to_wire() };
            tell(endpoint, &BridgeMessage::SenderSourceConstraints(constraints), context);
        }
        let forwarded_sources = endpoint.forwarded.clone().unwrap_or_default();
        tell(endpoint, &BridgeMessage::ForwardedSources(ForwardedSources { forwarded_sources }), context);
        if let Some(speaker) = speaker {
            tell(endpoint, &speaker, context);
        }
    }

    /// A transport of an endpoint's bridge channel is gone. Another one that takes over is told all again: what was said
    /// last may have been lost.
    pub(crate) fn handle_channel_closed(&mut self, key: usize, closed: ChannelTransport, context: &mut Context<'_>) {
        if self.endpoints.get_mut(key).is_some_and(|endpoint| endpoint.channel.close(closed)) {
            self.greet(key, context);
        }
    }

    /// A message of a client over its bridge channel.
    pub(crate) fn handle_channel_text(&mut self, key: usize, text: &str, context: &mut Context<'_>) {
        let Some(endpoint) = self.endpoints.get_mut(key) else { return };
        endpoint.last_activity = Some(context.now);
        if !endpoint.message_rate.admit(context.now) {
            return context.metrics.count(DropReason::ChannelMessageRate);
        }
        let message = match ClientMessage::parse(text) {
            Ok(message) => message,
            Err(error) => {
                tracing::debug!(endpoint = %endpoint.id, %error, "dropped a bridge-channel message");
                return context.metrics.count(DropReason::ChannelMessage);
            }
        };
        match message {
            ClientMessage::ClientHello => {
                tell(endpoint, &server_hello(), context);
            }
            ClientMessage::ReceiverVideoConstraints(constraints) => {
                endpoint.constraints.update(constraints);
                self.reallocate_receiver(key, context);
            }
            ClientMessage::LastNChangedEvent(event) => {
                endpoint.constraints.set_last_n(event.last_n);
                self.reallocate_receiver(key, context);
            }
            ClientMessage::ReceiverAudioSubscription(subscription) => {
                endpoint.audio = AudioSubscription::new(subscription);
                self.reallocate_receiver(key, context);
            }
            ClientMessage::SourceVideoTypeMessage(message) => {
                let named = endpoint.sources.video.iter_mut().find(|video| video.name == message.source_name);
                if named.is_some_and(|video| video.set_type(message.video_type)) {
                    self.reallocate(context);
                }
            }
            ClientMessage::VideoTypeMessage(message) => {
                let only = endpoint.sources.video.first_mut();
                if only.is_some_and(|video| video.set_type(message.video_type)) {
                    self.reallocate(context);
                }
            }
            ClientMessage::EndpointMessage(message) => {
                let message = EndpointMessage { from: Some(endpoint.id.clone()), ..message };
                self.pass_on(key, message, context);
            }
            ClientMessage::EndpointStats(mut stats) => {
                stats.from = Some(endpoint.id.clone());
                let text = BridgeMessage::EndpointStats(stats).to_json();
                for (_, receiver) in self.endpoints.iter_mut().filter(|(other, _)| *other != key) {
                    tell_text(receiver, &text, context);
                }
            }
        }
    }

    /// A message among clients goes to the one named, or to all others (client.md §8.4).
    fn pass_on(&mut self, from: usize, message: EndpointMessage, context: &mut Context<'_>) {
        let to = message.to.clone();
        let text = BridgeMessage::EndpointMessage(message).to_json();
        for (_, receiver) in self.endpoints.iter_mut().filter(|(key, _)| *key != from) {
            if to.is_empty() || receiver.id.as_str() == to {
                tell_text(receiver, &text, context);
            }
        }
    }

    /// Takes an endpoint out, and tells the others what that changes.
    pub(crate) fn remove_endpoint(&mut self, key: usize, context: &mut Context<'_>) -> Option<Endpoint> {
        let endpoint = self.endpoints.try_remove(key)?;
        self.by_id.remove(&endpoint.id);
        self.speakers.remove(&endpoint.id);
        self.video_owners.retain(|_, owner| *owner != key);
        self.reallocate(context);
        Some(endpoint)
    }
}

fn server_hello() -> BridgeMessage {
    BridgeMessage::ServerHello(ServerHello { version: Some(env!("CARGO_PKG_VERSION").to_owned()) })
}

/// Sends a message over whatever carries the endpoint's bridge channel; without one it is told when one opens.
pub(crate) fn tell(endpoint: &mut Endpoint, message: &BridgeMessage, context: &mut Context<'_>) {
    if endpoint.channel.active() != ChannelTransport::None {
        tell_text(endpoint, &message.to_json(), context);
    }
}

fn tell_text(endpoint: &mut Endpoint, text: &str, context: &mut Context<'_>) {
    match endpoint.channel.active() {
        ChannelTransport::None => {}
        ChannelTransport::DataChannel => {
            endpoint.transport.send_channel_text(text);
            context.touched.push_back(EndpointKey { conference: context.conference, endpoint: endpoint.key });
        }
        ChannelTransport::WebSocket(id) => context.texts.push((id, text.to_owned())),
    }
}
