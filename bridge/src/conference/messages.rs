//! What clients and the bridge say over bridge channels (client.md §8).
//!
//! Here: messages of clients and what follows, who is told what. Not here: what carries the channel (`channel`,
//! `web_sockets`, `transport`).

use jitsi_protocol::bridge_channel::{
    BridgeMessage, ClientMessage, EndpointConnectivityStatusChangeEvent, EndpointMessage, EndpointStats,
    ForwardedSources, RelayMessage, SenderSourceConstraints, ServerHello,
};
use model::{EndpointId, SourceName};

use super::relays::video_type;
use super::{Conference, Context};
use crate::channel::ChannelTransport;
use crate::connection::{Connection, Member, MemberKey};
use crate::constraints::AudioSubscription;
use crate::counters::DropReason;
use crate::endpoint::Endpoint;
use crate::keys::SourceId;
use crate::relay::Owner;
use crate::shard::audio::Audibility;

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
        let inactive = all.filter(|id| self.connectivity.is_inactive(id));
        let relayed = self.relayed.iter().filter(|(_, endpoint)| !endpoint.is_active).map(|(_, endpoint)| &endpoint.id);
        let inactive: Vec<EndpointId> = inactive.chain(relayed).cloned().collect();
        let Some(endpoint) = self.endpoints.get_mut(key) else { return };
        for gone in inactive {
            let event = EndpointConnectivityStatusChangeEvent { endpoint: gone, active: false };
            tell(endpoint, &BridgeMessage::EndpointConnectivityStatusChangeEvent(event), context);
        }
    }

    /// A transport of an endpoint's bridge channel is gone. Another one that takes over is told all again: what was said
    /// last may have been lost.
    pub(crate) fn handle_channel_closed(&mut self, key: usize, closed: ChannelTransport, context: &mut Context<'_>) {
        if self.endpoints.get_mut(key).is_some_and(|endpoint| endpoint.connection.channel.close(closed)) {
            self.greet(key, context);
        }
    }

    /// A message of a client over its bridge channel.
    pub(crate) fn handle_channel_text(&mut self, key: usize, text: &str, context: &mut Context<'_>) {
        let Some(endpoint) = self.endpoints.get_mut(key) else { return };
        endpoint.connection.last_activity = Some(context.now);
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
                let mut videos = endpoint.sources.video.iter_mut();
                let named = videos.find(|video| video.name == message.source_name);
                if let Some(video) = named
                    && video.set_type(message.video_type)
                {
                    let message = video_type(&endpoint.id, video);
                    self.handle_video_type(&message, context);
                }
            }
            ClientMessage::VideoTypeMessage(message) => {
                if let Some(video) = endpoint.sources.video.first_mut()
                    && video.set_type(message.video_type)
                {
                    let message = video_type(&endpoint.id, video);
                    self.handle_video_type(&message, context);
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

    /// A video of an endpoint here shows something else; other bridges are told.
    fn handle_video_type(&mut self, message: &RelayMessage, context: &mut Context<'_>) {
        self.tell_relays(None, message, context);
        self.reallocate(context);
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
        let text = BridgeMessage::EndpointMessage(message.clone()).to_json();
        for (_, receiver) in self.endpoints.iter_mut().filter(|(key, _)| *key != from) {
            if to.is_empty() || receiver.id.as_str() == to {
                tell_text(receiver, &text, context);
            }
        }
        // What visitors say stays here, as other bridges do not know them.
        if self.relays.is_empty() || self.endpoints.get(from).is_none_or(|from| from.is_visitor) {
            return;
        }
        let message = RelayMessage::EndpointMessage(message);
        match to.as_str() {
            "" => self.tell_relays(None, &message, context),
            to => self.tell_relay_of(to, &message, context),
        }
    }

    /// Statistics of a client go to all others; in a large conference to those who show it, or to all if it speaks (JVB's
    /// `wantsStatsFrom`).
    fn pass_stats_on(&mut self, from: usize, stats: EndpointStats, context: &mut Context<'_>) {
        self.tell_stats(Owner::Local(from), &stats, context);
        if self.endpoints.get(from).is_some_and(|from| !from.is_visitor) {
            self.tell_relays(None, &RelayMessage::EndpointStats(stats), context);
        }
    }

    /// Statistics of an endpoint go to those here who want them.
    pub(super) fn tell_stats(&mut self, from: Owner, stats: &EndpointStats, context: &mut Context<'_>) {
        let text = BridgeMessage::EndpointStats(stats.clone()).to_json();
        let sender = match from {
            Owner::Local(key) => self.endpoints.get(key).map(|sender| (&sender.id, &sender.sources, sender.audibility)),
            Owner::Relayed(key) => {
                self.relayed.get(key).map(|sender| (&sender.id, &sender.sources, Audibility::LeftOut))
            }
        };
        let Some((id, sources, audibility)) = sender else { return };
        let is_speaker = self.speakers.dominant() == Some(id) || self.speakers.recent().contains(id);
        let is_loud = self.loudest.is_some() && audibility == Audibility::Forwarded;
        let count = self.endpoints.len() + self.relayed.len();
        let is_for_all = count <= STATS_FILTER_THRESHOLD || is_speaker || is_loud;
        let videos: Vec<_> = sources.video.iter().map(|video| (video.id, video.name.clone())).collect();
        for (_, receiver) in self.endpoints.iter_mut().filter(|(key, _)| Owner::Local(*key) != from) {
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
    if endpoint.connection.channel.active() != ChannelTransport::None {
        tell_text(endpoint, &message.to_json(), context);
    }
}

pub(super) fn tell_text(endpoint: &mut Endpoint, text: &str, context: &mut Context<'_>) {
    send_text(&mut endpoint.connection, Member::Endpoint(endpoint.key), text, context);
}

/// Sends a text over whatever carries a member's channel.
pub(super) fn send_text(connection: &mut Connection, member: Member, text: &str, context: &mut Context<'_>) {
    match connection.channel.active() {
        ChannelTransport::None => {}
        ChannelTransport::DataChannel => {
            context.metrics.data_channel_sent.inc();
            connection.transport.send_channel_text(text);
            context.touched.push_back(MemberKey { conference: context.conference, member });
        }
        ChannelTransport::WebSocket(id) => {
            context.metrics.web_socket_sent.inc();
            context.texts.push((id, text.to_owned()));
        }
    }
}
