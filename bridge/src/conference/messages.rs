//! What clients and the bridge say over bridge channels (client.md §8).
//!
//! Here: messages of clients and what follows, who is told what. Not here: what carries the channel (`channel`,
//! `web_sockets`, `transport`).

use jitsi_protocol::bridge_channel::{
    BridgeMessage, ClientMessage, EndpointConnectivityStatusChangeEvent, EndpointMessage, EndpointStats,
    ForwardedSources, SenderSourceConstraints, ServerHello,
};
use model::{EndpointId, SourceName};

use super::{Conference, Context};
use crate::channel::ChannelTransport;
use crate::constraints::AudioSubscription;
use crate::counters::DropReason;
use crate::endpoint::Endpoint;
use crate::keys::SourceId;
use crate::shard::audio::Audibility;
use crate::videobridge::EndpointKey;

/// In a conference of more endpoints statistics go only to those who show their sender (JVB's `stats-filter-threshold`).
const STATS_FILTER_THRESHOLD: usize = 20;
impl Conference {
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
        self.tell_mapped(key, context);
        let Some(endpoint) = self.endpoints.get_mut(key) else { return };
        if let Some(speaker) = speaker {
            tell(endpoint, &speaker, context);
        }
        let all = self.endpoints.iter().map(|(_, endpoint)| &endpoint.id);
        let inactive: Vec<EndpointId> = all.filter(|id| self.connectivity.is_inactive(id)).cloned().collect();
        let Some(endpoint) = self.endpoints.get_mut(key) else { return };
        for gone in inactive {
            let event = EndpointConnectivityStatusChangeEvent { endpoint: gone, active: false };
            tell(endpoint, &BridgeMessage::EndpointConnectivityStatusChangeEvent(event), context);
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
        if !endpoint.admit_message(context.now) {
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
                self.note_named_audio();
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
                self.pass_stats_on(key, stats, context);
            }
        }
    }

    pub(super) fn note_named_audio(&mut self) {
        if self.loudest.is_some() {
            let named = self.endpoints.iter().flat_map(|(_, endpoint)| endpoint.audio.named());
            self.named_audio = named.cloned().collect();
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

    /// Statistics of a client go to all others; in a large conference to those who show it, or to all if it speaks (JVB's
    /// `wantsStatsFrom`).
    fn pass_stats_on(&mut self, from: usize, stats: EndpointStats, context: &mut Context<'_>) {
        let text = BridgeMessage::EndpointStats(stats).to_json();
        let Some(sender) = self.endpoints.get(from) else { return };
        let is_speaker = self.speakers.dominant() == Some(&sender.id) || self.speakers.recent().contains(&sender.id);
        let is_loud = self.loudest.is_some() && sender.audibility == Audibility::Forwarded;
        let is_for_all = self.endpoints.len() <= STATS_FILTER_THRESHOLD || is_speaker || is_loud;
        let videos: Vec<_> = sender.sources.video.iter().map(|video| (video.id, video.name.clone())).collect();
        for (_, receiver) in self.endpoints.iter_mut().filter(|(key, _)| *key != from) {
            let shows = |(id, name): &(SourceId, SourceName)| {
                receiver.heights.contains_key(id) || receiver.constraints.is_on_stage_or_selected(name)
            };
            if is_for_all || videos.iter().any(shows) {
                tell_text(receiver, &text, context);
            }
        }
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

pub(super) fn tell_text(endpoint: &mut Endpoint, text: &str, context: &mut Context<'_>) {
    match endpoint.channel.active() {
        ChannelTransport::None => {}
        ChannelTransport::DataChannel => {
            context.metrics.data_channel_sent.inc();
            endpoint.transport.send_channel_text(text);
            context.touched.push_back(EndpointKey { conference: context.conference, endpoint: endpoint.key });
        }
        ChannelTransport::WebSocket(id) => {
            context.metrics.web_socket_sent.inc();
            context.texts.push((id, text.to_owned()));
        }
    }
}
