//! One conference: who sends what to whom.
//!
//! Here: forwarding between endpoints, the choice of videos for each receiver, speakers, messages among clients. Not
//! here: an endpoint's own packets (`endpoint`), which conference a datagram is for (`videobridge`).

use std::collections::BTreeMap;
use std::time::Instant;

use jitsi_protocol::bridge_channel::{
    BridgeMessage, ClientMessage, DominantSpeakerEndpointChangeEvent, EndpointMessage, ForwardedSources,
    SenderSourceConstraints, ServerHello,
};
use model::{ConferenceId, EndpointId, ExtSeqNum, SeqNum, SourceName, Ssrc, VideoType};
use net::SendQueue;
use rtp::rtcp::{Compound, RtcpPacket, SenderInfo};
use slab::Slab;

use crate::channel::{ChannelTransport, WebSocketId};
use crate::constraints::{MaxHeight, wants_audio};
use crate::endpoint::{Endpoint, KeyFrame};
use crate::metrics::{DropReason, Metrics};
use crate::negotiated::{LayerSsrcs, SourceId, VideoSource};
use crate::receive::StreamRole;
use crate::send::SendStream;
use crate::speaker::SpeakerDetector;

/// What a conference needs of its surroundings to act.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) out: &'a mut SendQueue,
    pub(crate) metrics: &'a Metrics,
    /// Texts for clients whose bridge channel is a WebSocket.
    pub(crate) texts: &'a mut Vec<(WebSocketId, String)>,
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
                // The estimate of the way to a receiver is not made yet: everything fits (`layers`).
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
            let Some(retransmission) = receiver.retransmission(ssrc, lost, context.now) else { continue };
            let Some(owner) = self.owner_of_video(retransmission.source) else { continue };
            let Some((receiver, owner)) = self.endpoints.get2_mut(to, owner) else { continue };
            let cached = owner.receive.stream(retransmission.packet.source);
            let payload = cached.and_then(|stream| stream.cache.get(retransmission.packet.source_seq, context.now));
            if let Some(payload) = payload
                && receiver.retransmit(&retransmission, payload, context.out)
            {
                context.metrics.retransmissions.inc();
            }
        }
    }

    /// A receiver that cannot decode asks for a key frame: the source is asked for one of the layer that it gets.
    fn pass_key_frame_request(&mut self, from: usize, ssrc: Ssrc, context: &mut Context<'_>) {
        let Some(receiver) = self.endpoints.get_mut(from) else { return };
        let Some(source) = receiver.send.source_of(ssrc) else { return };
        let Some(layer) = receiver.send.get_mut(source).and_then(|stream| stream.layer_in_use()) else { return };
        let Some(owner) = self.owner_of_video(source).and_then(|owner| self.endpoints.get_mut(owner)) else { return };
        owner.request_key_frame(layer, self.feedback_ssrcs.video, context.now, context.metrics, context.out);
    }

    fn owner_of_video(&self, source: SourceId) -> Option<usize> {
        let owns = |endpoint: &Endpoint| endpoint.sources.video.iter().any(|video| video.id == source);
        self.endpoints.iter().find(|(_, endpoint)| owns(endpoint)).map(|(key, _)| key)
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
        endpoint.sources = sources;
        self.reallocate(context);
    }

    /// Decides again who gets which video and audio, and tells clients what changed for them.
    pub(crate) fn reallocate(&mut self, context: &mut Context<'_>) {
        let videos = self.videos();
        let audio: Vec<_> = self
            .endpoints
            .iter()
            .flat_map(|(owner, endpoint)| endpoint.sources.audio.iter().map(move |audio| (owner, audio.clone())))
            .collect();
        let mut wanted: BTreeMap<SourceName, MaxHeight> = BTreeMap::new();
        for (key, receiver) in &mut self.endpoints {
            let of_others = videos.iter().filter(|(owner, _)| *owner != key);
            let shown = of_others.clone().filter(|(_, video)| is_shown(video.video_type));
            let names: Vec<SourceName> = shown.map(|(_, video)| video.name.clone()).collect();
            let selected = receiver.constraints.select(&names);
            for (_, video) in of_others {
                let chosen = selected.iter().find(|(name, _)| *name == video.name);
                let max_height = chosen.map_or(MaxHeight::NOTHING, |(_, max_height)| *max_height);
                if let Some(ssrcs) = video.signaled() {
                    let layers = || video.layers.iter().map(|layer| layer.primary).collect();
                    let make = |first| SendStream::video(ssrcs, layers(), max_height, first);
                    if let Some(stream) = receiver.send.get_or_insert_with(video.id, ssrcs, make) {
                        stream.set_max_height(max_height);
                    }
                }
                let most = wanted.entry(video.name.clone()).or_insert(MaxHeight::NOTHING);
                *most = (*most).max(max_height);
            }
            for (_, audio) in audio.iter().filter(|(owner, _)| *owner != key) {
                let wants = wants_audio(receiver.audio_subscription.as_ref(), &audio.name);
                let max_height = if wants { MaxHeight::UNLIMITED } else { MaxHeight::NOTHING };
                let make = |first| SendStream::audio(audio.ssrc, max_height, first);
                let ssrcs = LayerSsrcs { primary: audio.ssrc, rtx: None };
                if let Some(stream) = receiver.send.get_or_insert_with(audio.id, ssrcs, make) {
                    stream.set_max_height(max_height);
                }
            }
            let is_there = |source| {
                videos.iter().any(|(owner, video)| *owner != key && video.id == source)
                    || audio.iter().any(|(owner, audio)| *owner != key && audio.id == source)
            };
            receiver.send.retain(is_there);
            let forwarded: Vec<SourceName> = selected.into_iter().map(|(name, _)| name).collect();
            if receiver.forwarded.as_ref() != Some(&forwarded) {
                receiver.forwarded = Some(forwarded.clone());
                let message = BridgeMessage::ForwardedSources(ForwardedSources { forwarded_sources: forwarded });
                tell(receiver, &message, context);
            }
        }
        for (_, owner) in &mut self.endpoints {
            let names: Vec<SourceName> = owner.sources.video.iter().map(|video| video.name.clone()).collect();
            owner.sender_constraints.retain(|name, _| names.contains(name));
            for source_name in names {
                let max_height = wanted.get(&source_name).copied().unwrap_or(MaxHeight::NOTHING);
                if owner.sender_constraints.insert(source_name.clone(), max_height) != Some(max_height) {
                    let constraints = SenderSourceConstraints { source_name, max_height: max_height.to_wire() };
                    tell(owner, &BridgeMessage::SenderSourceConstraints(constraints), context);
                }
            }
        }
    }

    /// All videos, those of recent speakers first.
    fn videos(&self) -> Vec<(usize, VideoSource)> {
        let mut speakers: Vec<&EndpointId> = self.speakers.dominant().into_iter().collect();
        speakers.extend(self.speakers.recent());
        let rank = |endpoint: &Endpoint| {
            speakers.iter().position(|speaker| **speaker == endpoint.id).unwrap_or(speakers.len())
        };
        let mut videos: Vec<(usize, usize, VideoSource)> = Vec::new();
        for (key, endpoint) in &self.endpoints {
            videos.extend(endpoint.sources.video.iter().map(|video| (rank(endpoint), key, video.clone())));
        }
        videos.sort_by_key(|(rank, ..)| *rank);
        videos.into_iter().map(|(_, key, video)| (key, video)).collect()
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
        for (_, endpoint) in &mut self.endpoints {
            tell(endpoint, &message, context);
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
    pub(crate) fn handle_channel_open(&mut self, key: usize, channel: ChannelTransport, context: &mut Context<'_>) {
        let speaker = self.speaker_message();
        let Some(endpoint) = self.endpoints.get_mut(key) else { return };
        endpoint.channel = channel;
        let hello = BridgeMessage::ServerHello(ServerHello { version: Some(env!("CARGO_PKG_VERSION").to_owned()) });
        tell(endpoint, &hello, context);
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
                let version = Some(env!("CARGO_PKG_VERSION").to_owned());
                tell(endpoint, &BridgeMessage::ServerHello(ServerHello { version }), context);
            }
            ClientMessage::ReceiverVideoConstraints(constraints) => {
                endpoint.constraints.update(constraints);
                self.reallocate(context);
            }
            ClientMessage::LastNChangedEvent(event) => {
                endpoint.constraints.set_last_n(event.last_n);
                self.reallocate(context);
            }
            ClientMessage::ReceiverAudioSubscription(subscription) => {
                endpoint.audio_subscription = Some(subscription);
                self.reallocate(context);
            }
            ClientMessage::SourceVideoTypeMessage(message) => {
                let named = endpoint.sources.video.iter_mut().find(|video| video.name == message.source_name);
                if let Some(video) = named {
                    video.video_type = message.video_type;
                    self.reallocate(context);
                }
            }
            ClientMessage::VideoTypeMessage(message) => {
                if let Some(video) = endpoint.sources.video.first_mut() {
                    video.video_type = message.video_type;
                    self.reallocate(context);
                }
            }
            ClientMessage::EndpointMessage(message) => {
                let message = EndpointMessage { from: Some(endpoint.id.clone()), ..message };
                self.pass_on(key, message, context);
            }
            ClientMessage::EndpointStats(mut stats) => {
                stats.from = Some(endpoint.id.clone());
                let message = BridgeMessage::EndpointStats(stats);
                for (_, receiver) in self.endpoints.iter_mut().filter(|(other, _)| *other != key) {
                    tell(receiver, &message, context);
                }
            }
        }
    }

    /// A message among clients goes to the one named, or to all others (client.md §8.4).
    fn pass_on(&mut self, from: usize, message: EndpointMessage, context: &mut Context<'_>) {
        let to = message.to.clone();
        let message = BridgeMessage::EndpointMessage(message);
        for (_, receiver) in self.endpoints.iter_mut().filter(|(key, _)| *key != from) {
            if to.is_empty() || receiver.id.as_str() == to {
                tell(receiver, &message, context);
            }
        }
    }

    /// Takes an endpoint out, and tells the others what that changes.
    pub(crate) fn remove_endpoint(&mut self, key: usize, context: &mut Context<'_>) -> Option<Endpoint> {
        let endpoint = self.endpoints.try_remove(key)?;
        self.by_id.remove(&endpoint.id);
        self.speakers.remove(&endpoint.id);
        self.reallocate(context);
        Some(endpoint)
    }
}

/// Whether receivers can be shown anything of such a source.
const fn is_shown(video_type: VideoType) -> bool {
    match video_type {
        VideoType::Camera | VideoType::Desktop | VideoType::DesktopHighFps => true,
        VideoType::Disabled | VideoType::None => false,
    }
}

/// Sends a message over whatever carries the endpoint's bridge channel; without one it is told when one opens.
pub(crate) fn tell(endpoint: &mut Endpoint, message: &BridgeMessage, context: &mut Context<'_>) {
    match endpoint.channel {
        ChannelTransport::None => {}
        ChannelTransport::DataChannel => endpoint.transport.send_channel_text(&message.to_json()),
        ChannelTransport::WebSocket(id) => context.texts.push((id, message.to_json())),
    }
}
