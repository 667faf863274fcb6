//! What goes over relays: which sources, and what bridges say to each other (bridge.md §5.3, §5.4).
//!
//! Local sources go to every relay; what came over a relay goes to relays of other meshes only, so that nothing runs in a
//! circle. Here: this rule, demand across bridges, the relay channel. Not here: packets (`shard::link`).

use std::time::Instant;

use jitsi_protocol::bridge_channel::{
    AddReceiver, BridgeMessage, EndpointConnectivityStatusChangeEvent, RelayMessage, SourceVideoTypeMessage,
    VideoConstraints,
};
use jitsi_protocol::colibri2::{EndpointModify, Media};
use model::{Bitrate, EndpointId, SourceName, VideoType};

use super::messages::{send_text, tell_text};
use super::{Conference, Context, DIVISION_DELAY, DIVISION_INTERVAL, Speech};
use crate::channel::ChannelTransport;
use crate::connection::Member;
use crate::constraints::MaxHeight;
use crate::counters::DropReason;
use crate::export::{add_formats, has_synthetic};
use crate::keys::SourceId;
use crate::negotiated::{AudioSource, Sources, VideoSource};
use crate::relay::{Far, MAX_RELAYED_ENDPOINTS, Owner, Relay, RelayedEndpoint, far_of, hello};
use crate::shard::bandwidth::is_other_bandwidth;
use crate::shard::layers::Wanted;
use crate::shard::message::{Level, Route, ShardCommand};

/// The mesh of the bridges that participants are on (focus.md §8.5).
const CORE_MESH: &str = "0";

impl Conference {
    /// Meshes that the bridge's relays belong to.
    pub(crate) fn mesh_count(&self) -> usize {
        let mut meshes: Vec<_> = self.relays.iter().map(|(_, relay)| relay.mesh.as_deref()).collect();
        meshes.sort_unstable();
        meshes.dedup();
        meshes.len()
    }

    /// Takes payload types and header extensions of the conference, as the other bridge has them.
    pub(crate) fn negotiate_relay(&mut self, key: usize, list: &[Media], context: &mut Context<'_>) {
        let Some(relay) = self.relays.get_mut(key) else { return };
        for media in list {
            relay.negotiated.add(media);
        }
        add_formats(&mut relay.audio_formats, list);
        tell_negotiated(relay, context);
    }

    /// A link to a bridge like this one carries more or less than before.
    pub(crate) fn handle_link_bandwidth(&mut self, key: usize, estimate: Bitrate, now: Instant) {
        let Some(relay) = self.relays.get_mut(key).filter(|relay| relay.far == Far::Teranga) else { return };
        relay.bandwidth = Some(estimate);
        if is_other_bandwidth(relay.divided, estimate) {
            self.want_links_divided(now);
        }
        self.divide_all.get_or_insert(now + DIVISION_INTERVAL);
    }

    /// Whether it is known of any link what it carries.
    pub(crate) fn has_estimated_links(&self) -> bool {
        self.relays.iter().any(|(_, relay)| relay.bandwidth.is_some())
    }

    /// Has what links carry divided again, with all else that asks for it soon after.
    pub(super) fn want_links_divided(&mut self, now: Instant) {
        self.links_due = true;
        self.divide_due.get_or_insert(now + DIVISION_DELAY);
    }

    /// Takes what a focus says of endpoints behind a relay.
    pub(crate) fn modify_relayed(&mut self, relay: usize, list: &[EndpointModify], context: &mut Context<'_>) {
        let mut has_new_synthetic = false;
        for request in list {
            let known = self.relayed_by_id.get(&request.id).copied();
            let is_here = |key: &usize| self.relayed.get(*key).is_some_and(|endpoint| endpoint.relay == relay);
            if request.expire {
                if let Some(key) = known.filter(is_here) {
                    self.remove_relayed(key, context);
                }
                continue;
            }
            let key = match known.filter(is_here) {
                Some(key) => key,
                None if !request.create => {
                    tracing::warn!(endpoint = %request.id, "change of an endpoint that is not behind the relay");
                    continue;
                }
                None => {
                    // It moved from behind another relay.
                    if let Some(key) = known {
                        self.remove_relayed(key, context);
                    }
                    if self.relayed.len() >= MAX_RELAYED_ENDPOINTS {
                        tracing::warn!(limit = MAX_RELAYED_ENDPOINTS, "too many endpoints behind relays");
                        continue;
                    }
                    let key = self.relayed.insert(RelayedEndpoint::new(request.id.clone(), relay));
                    self.relayed_by_id.insert(request.id.clone(), key);
                    key
                }
            };
            let Some(relay) = self.relays.get_mut(relay) else { return };
            let Some(endpoint) = self.relayed.get_mut(key) else { continue };
            if request.stats_id.is_some() {
                endpoint.stats_id.clone_from(&request.stats_id);
            }
            let Some(sources) = &request.sources else { continue };
            let before = std::mem::take(&mut endpoint.sources);
            let route = relay.connection.route;
            endpoint.sources = context.data_plane.replace_sources(&before, sources, route, &endpoint.id);
            has_new_synthetic |= has_synthetic(&before) || has_synthetic(&endpoint.sources);
            for source in before.ids() {
                relay.owners.remove(source);
            }
            for source in endpoint.sources.ids() {
                relay.owners.insert(source, key);
            }
            let videos = &endpoint.sources.video;
            endpoint.layers.retain(|source, _| videos.iter().any(|video| video.id == *source));
            endpoint.asked.retain(|name, _| videos.iter().any(|video| video.name == *name));
        }
        if has_new_synthetic {
            self.receive_from_relays(context);
        } else {
            self.receive_relayed(relay, context);
        }
        self.reallocate(context);
    }

    /// Tells the data plane all streams that come over relays.
    pub(super) fn receive_from_relays(&self, context: &mut Context<'_>) {
        for (relay, _) in &self.relays {
            self.receive_relayed(relay, context);
        }
    }

    /// Tells the data plane all streams that come over a relay.
    fn receive_relayed(&self, relay: usize, context: &mut Context<'_>) {
        let Some(route) = self.relays.get(relay).map(|relay| relay.connection.route) else { return };
        let mut all = Sources::default();
        for (_, endpoint) in self.relayed.iter().filter(|(_, endpoint)| endpoint.relay == relay) {
            all.audio.extend_from_slice(&endpoint.sources.audio);
            all.video.extend_from_slice(&endpoint.sources.video);
        }
        all.audio.extend(self.synthetic_not_behind(relay));
        context.data_plane.send(route.home, ShardCommand::Receive { peer: route.peer, sources: Box::new(all) });
    }

    fn remove_relayed(&mut self, key: usize, context: &mut Context<'_>) {
        let Some(endpoint) = self.relayed.try_remove(key) else { return };
        self.relayed_by_id.remove(&endpoint.id);
        if !self.by_id.contains_key(&endpoint.id) {
            self.speakers.remove(&endpoint.id);
        }
        if let Some(loudest) = &mut self.loudest {
            loudest.remove(Owner::Relayed(key));
        }
        if let Some(relay) = self.relays.get_mut(endpoint.relay) {
            for source in endpoint.sources.ids() {
                relay.owners.remove(source);
            }
        }
        self.forget_sources(&endpoint.sources, context);
    }

    /// Sources are gone for good.
    pub(super) fn forget_sources(&mut self, sources: &Sources, context: &mut Context<'_>) {
        for source in sources.ids() {
            context.data_plane.remove_source(source);
        }
        for (_, relay) in &mut self.relays {
            for video in &sources.video {
                relay.forget_demand(&video.name);
            }
        }
    }

    /// Takes a relay out with all who are behind it, and gives the others what that changes.
    pub(crate) fn remove_relay(&mut self, key: usize, context: &mut Context<'_>) -> Option<Relay> {
        let behind = self.relayed.iter().filter(|(_, endpoint)| endpoint.relay == key);
        for endpoint in behind.map(|(endpoint, _)| endpoint).collect::<Vec<_>>() {
            self.remove_relayed(endpoint, context);
        }
        let relay = self.relays.try_remove(key)?;
        self.relay_by_id.remove(&relay.id);
        self.reallocate(context);
        Some(relay)
    }

    /// Whose source it is that comes over a relay.
    pub(crate) fn relayed_owner(&self, relay: usize, source: SourceId) -> Option<usize> {
        self.relays.get(relay)?.owners.get(source).copied()
    }

    /// The level of a packet that came over a relay.
    pub(crate) fn handle_relayed_level(&mut self, of: usize, level: Level) -> Speech {
        let Some(endpoint) = self.relayed.get_mut(of) else { return Speech::GoesOn };
        let loudness = self.speakers.handle_level(&endpoint.id, level.minus_dbov, level.at);
        if let Some(loudest) = &mut self.loudest {
            // Its own bridge has decided that it is heard; here it takes the place of one who is less loud.
            loudest.handle_level(Owner::Relayed(of), loudness, level.at);
        }
        Speech::after(endpoint.last_audio.replace(level.at), level.at)
    }

    /// Whether sources of an owner go to a relay.
    pub(crate) fn goes_to(&self, owner: Owner, relay: &Relay) -> bool {
        match owner {
            Owner::Local(_) => true,
            Owner::Relayed(endpoint) => {
                let from = self.relayed.get(endpoint).and_then(|endpoint| self.relays.get(endpoint.relay));
                from.is_some_and(|from| from.mesh != relay.mesh)
            }
        }
    }

    /// Whether audio of an owner goes to a relay. What nobody sends goes everywhere from the bridge where it is put in; where
    /// it came over a relay, it goes on to other meshes only. That was one of mesh `0`, as bridges of participants are.
    fn audio_goes_to(&self, owner: Owner, audio: &AudioSource, relay: &Relay) -> bool {
        if !audio.synthetic {
            return self.goes_to(owner, relay);
        }
        if self.exporters.requests(&audio.name) {
            return true;
        }
        match owner {
            Owner::Local(_) => relay.mesh.as_deref().is_some_and(|mesh| mesh != CORE_MESH),
            Owner::Relayed(_) => self.goes_to(owner, relay),
        }
    }

    /// The tallest picture that anyone behind relays wants of a video.
    pub(crate) fn relay_demand(&self, owner: Owner, video: &SourceName) -> MaxHeight {
        let relays = self.relays.iter().map(|(_, relay)| relay);
        let demands = relays.filter(|relay| self.goes_to(owner, relay)).map(|relay| relay.demand(video));
        demands.max().unwrap_or(MaxHeight::NOTHING)
    }

    /// Tells the bridge of a relayed endpoint the tallest picture that anyone here, or behind other meshes, wants of a video.
    pub(crate) fn ask_of_relayed(
        &mut self,
        owner: usize,
        video: &SourceName,
        most: MaxHeight,
        context: &mut Context<'_>,
    ) {
        let Some(endpoint) = self.relayed.get_mut(owner) else { return };
        if endpoint.asked.insert(video.clone(), most) == Some(most) {
            return;
        }
        let Some(relay) = self.relays.get_mut(endpoint.relay) else { return };
        tell_relay(relay, &add_receiver(video, most, context), context);
    }

    /// Something of an endpoint comes for the first time. An original bridge takes no word about sources that it does not know yet,
    /// as it may be told of them later than this one (bridge.md §5.4); by now it knows them.
    pub(crate) fn repeat_what_is_asked_of(&mut self, owner: Owner, context: &mut Context<'_>) {
        let Owner::Relayed(endpoint) = owner else { return };
        let Some(endpoint) = self.relayed.get(endpoint) else { return };
        let Some(relay) = self.relays.get_mut(endpoint.relay).filter(|relay| relay.far == Far::Jvb) else { return };
        for (name, most) in &endpoint.asked {
            tell_relay(relay, &add_receiver(name, *most, context), context);
        }
    }

    /// A relay's channel opened: the other bridge is told everything that holds now.
    pub(crate) fn greet_relay(&mut self, key: usize, context: &mut Context<'_>) {
        let Some(relay) = self.relays.get(key) else { return };
        let mut messages = vec![RelayMessage::ServerHello(hello(env!("CARGO_PKG_VERSION")))];
        let behind = self.relayed.iter().filter(|(_, endpoint)| endpoint.relay == key);
        for (name, most) in behind.flat_map(|(_, endpoint)| &endpoint.asked) {
            messages.push(add_receiver(name, *most, context));
        }
        for (_, id, sources) in self.all_sources().filter(|(owner, ..)| self.goes_to(*owner, relay)) {
            let others = sources.video.iter().filter(|video| video.video_type != VideoType::Camera);
            messages.extend(others.map(|video| video_type(id, video)));
        }
        let all = self.endpoints.iter().map(|(_, endpoint)| &endpoint.id);
        let inactive = all.filter(|id| self.connectivity.is_inactive(id)).cloned();
        messages.extend(inactive.map(|endpoint| {
            let event = EndpointConnectivityStatusChangeEvent { endpoint, active: false };
            RelayMessage::EndpointConnectivityStatusChangeEvent(event)
        }));
        let Some(relay) = self.relays.get_mut(key) else { return };
        for message in &messages {
            tell_relay(relay, message, context);
        }
    }

    /// The transport of a relay's channel is gone. Another one that takes over is told all again.
    pub(crate) fn handle_relay_channel_closed(
        &mut self,
        key: usize,
        closed: ChannelTransport,
        context: &mut Context<'_>,
    ) {
        if self.relays.get_mut(key).is_some_and(|relay| relay.connection.channel.close(closed)) {
            self.greet_relay(key, context);
        }
    }

    /// A message of another bridge.
    pub(crate) fn handle_relay_text(&mut self, key: usize, text: &str, context: &mut Context<'_>) {
        let Some(relay) = self.relays.get_mut(key) else { return };
        relay.connection.last_activity = Some(context.now);
        if !relay.admit_message(context.now) {
            return context.metrics.count(DropReason::RelayMessageRate);
        }
        let message = match RelayMessage::parse(text) {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(relay = relay.id, %error, "dropped a message of another bridge");
                return context.metrics.count(DropReason::RelayMessage);
            }
        };
        match &message {
            RelayMessage::ServerHello(hello) => self.set_far(key, far_of(hello), context),
            RelayMessage::ClientHello
            | RelayMessage::AddReceiver(_)
            | RelayMessage::SourceVideoTypeMessage(_)
            | RelayMessage::EndpointMessage(_)
            | RelayMessage::EndpointStats(_)
            | RelayMessage::EndpointConnectivityStatusChangeEvent(_)
            | RelayMessage::SyntheticSourceSendingChangeEvent(_) => {
                if matches!(relay.far, Far::Silent { .. }) {
                    // One like this says hello first of all.
                    self.set_far(key, Far::Jvb, context);
                }
            }
        }
        match message {
            RelayMessage::ServerHello(hello) => tracing::debug!(?hello, "another bridge says what it is"),
            RelayMessage::ClientHello => {
                let Some(relay) = self.relays.get_mut(key) else { return };
                tell_relay(relay, &RelayMessage::ServerHello(hello(env!("CARGO_PKG_VERSION"))), context);
            }
            RelayMessage::AddReceiver(message) => {
                let height = MaxHeight::of_wire(message.video_constraints);
                let Some(relay) = self.relays.get_mut(key) else { return };
                if relay.set_demand(message.source_name.clone(), height) {
                    self.follow_demand(key, &message.source_name, context);
                }
            }
            RelayMessage::SourceVideoTypeMessage(message) => {
                let Some(endpoint) = self.behind(key, message.endpoint_id.as_ref()) else { return };
                let mut videos = endpoint.sources.video.iter_mut();
                let named = videos.find(|video| video.name == message.source_name);
                if named.is_some_and(|video| video.set_type(message.video_type)) {
                    self.reallocate(context);
                }
                let named = message.endpoint_id.as_ref().and_then(|id| self.relayed_by_id.get(id)).copied();
                named.into_iter().for_each(|owner| self.repeat_what_is_asked_of(Owner::Relayed(owner), context));
                self.tell_relays(Some(key), &RelayMessage::SourceVideoTypeMessage(message), context);
            }
            RelayMessage::EndpointMessage(message) => {
                let to = message.to.clone();
                let text = BridgeMessage::EndpointMessage(message.clone()).to_json();
                for (_, receiver) in &mut self.endpoints {
                    if to.is_empty() || receiver.id.as_str() == to {
                        tell_text(receiver, &text, context);
                    }
                }
                if to.is_empty() {
                    self.tell_relays(Some(key), &RelayMessage::EndpointMessage(message), context);
                }
            }
            RelayMessage::EndpointStats(stats) => {
                let Some(from) = stats.from.as_ref().and_then(|from| self.relayed_by_id.get(from)) else { return };
                let from = Owner::Relayed(*from);
                self.tell_stats(from, &stats, context);
                self.tell_relays(Some(key), &RelayMessage::EndpointStats(stats), context);
            }
            RelayMessage::EndpointConnectivityStatusChangeEvent(event) => {
                let Some(endpoint) = self.behind(key, Some(&event.endpoint)) else { return };
                endpoint.is_active = event.active;
                self.announce_connectivity(Some(key), event, context);
            }
            RelayMessage::SyntheticSourceSendingChangeEvent(_) => {
                self.tell_all(&message.to_json(), context);
                self.tell_relays(Some(key), &message, context);
            }
        }
    }

    /// An endpoint that is behind this relay; of others it has nothing to say.
    fn behind(&mut self, relay: usize, id: Option<&EndpointId>) -> Option<&mut RelayedEndpoint> {
        let key = *self.relayed_by_id.get(id?)?;
        self.relayed.get_mut(key).filter(|endpoint| endpoint.relay == relay)
    }

    /// Tells everybody here, and on other bridges, that an endpoint is gone or back.
    pub(super) fn announce_connectivity(
        &mut self,
        from: Option<usize>,
        event: EndpointConnectivityStatusChangeEvent,
        context: &mut Context<'_>,
    ) {
        let text = BridgeMessage::EndpointConnectivityStatusChangeEvent(event.clone()).to_json();
        self.tell_all(&text, context);
        self.tell_relays(from, &RelayMessage::EndpointConnectivityStatusChangeEvent(event), context);
    }

    /// Tells other bridges what came from this one, or over the relay `from`: then only those of other meshes.
    pub(super) fn tell_relays(&mut self, from: Option<usize>, message: &RelayMessage, context: &mut Context<'_>) {
        if self.relays.is_empty() {
            return;
        }
        let mesh = from.and_then(|from| self.relays.get(from)).map(|from| from.mesh.clone());
        for (_, relay) in &mut self.relays {
            if mesh.as_ref().is_none_or(|mesh| *mesh != relay.mesh) {
                tell_relay(relay, message, context);
            }
        }
    }

    /// Tells the one bridge that an endpoint is on, if it is known.
    pub(super) fn tell_relay_of(&mut self, id: &str, message: &RelayMessage, context: &mut Context<'_>) {
        let endpoint = id.parse().ok().and_then(|id: EndpointId| self.relayed_by_id.get(&id).copied());
        let relay = endpoint.and_then(|endpoint| self.relayed.get(endpoint)).map(|endpoint| endpoint.relay);
        if let Some(relay) = relay.and_then(|relay| self.relays.get_mut(relay)) {
            tell_relay(relay, message, context);
        }
    }

    /// It turned out what another bridge is.
    fn set_far(&mut self, key: usize, far: Far, context: &mut Context<'_>) {
        let Some(relay) = self.relays.get_mut(key) else { return };
        if std::mem::replace(&mut relay.far, far) == far {
            return;
        }
        tracing::info!(relay = relay.id, ?far, "another bridge joined the conference");
        if far != Far::Teranga {
            (relay.bandwidth, relay.demand, relay.short_since) = (None, None, None);
        }
        tell_negotiated(relay, context);
        self.subscribe_relays(context);
    }

    /// Takes bridges that keep silent for original ones.
    pub(super) fn give_up_hellos(&mut self, context: &mut Context<'_>) {
        let silent = self.relays.iter().filter(|(_, relay)| relay.hello_due().is_some_and(|at| at <= context.now));
        for key in silent.map(|(key, _)| key).collect::<Vec<_>>() {
            if let Some(relay) = self.relays.get(key)
                && relay.connection.channel.active() == ChannelTransport::None
            {
                tracing::warn!(relay = relay.id, "no channel to another bridge (data channel or WebSocket)");
                context.metrics.relays_without_channel.inc();
            }
            self.set_far(key, Far::Jvb, context);
        }
    }

    /// Those behind a relay want another height of one video than before.
    fn follow_demand(&mut self, key: usize, name: &SourceName, context: &mut Context<'_>) {
        let is_it = |video: &&VideoSource| video.name == *name;
        let video_of = |sources: &Sources| sources.video.iter().find(is_it).cloned();
        let found = self.all_sources().find_map(|(owner, _, sources)| Some((owner, video_of(sources)?)));
        // It may be announced to this bridge later than to the other one.
        let Some((owner, video)) = found else { return };
        let Some(relay) = self.relays.get(key).filter(|relay| self.goes_to(owner, relay)) else { return };
        let wanted = relay.wanted(&video);
        if relay.bandwidth.is_some() {
            self.want_links_divided(context.now);
        }
        if let Some(Relay { connection, subscriptions, .. }) = self.relays.get_mut(key) {
            subscriptions.set(connection.route, video.id, wanted, context.data_plane);
        }
        let most = self.most_wanted(owner, &video);
        self.constrain_sender(owner, &video, most, context);
    }

    /// Gives every relay the sources that go there.
    pub(crate) fn subscribe_relays(&mut self, context: &mut Context<'_>) {
        self.links_due = false;
        self.divide_links(context);
        let keys: Vec<usize> = self.relays.iter().map(|(key, _)| key).collect();
        for key in keys {
            let Some(relay) = self.relays.get(key) else { continue };
            let mut all = Vec::new();
            for (owner, _, sources) in self.all_sources() {
                if self.goes_to(owner, relay) {
                    all.extend(sources.video.iter().map(|video| (video.id, relay.wanted(video))));
                }
                let audio = sources.audio.iter().filter(|audio| self.audio_goes_to(owner, audio, relay));
                all.extend(audio.map(|audio| (audio.id, Wanted::EVERYTHING)));
            }
            all.sort_unstable_by_key(|(source, _)| *source);
            let Some(Relay { connection, subscriptions, .. }) = self.relays.get_mut(key) else { continue };
            subscriptions.retain(|source| all.binary_search_by_key(&source, |(there, _)| *there).is_ok());
            for (source, wanted) in all {
                subscriptions.set(connection.route, source, wanted, context.data_plane);
            }
        }
    }
}

/// Tells the data plane what the two bridges have in common.
fn tell_negotiated(relay: &Relay, context: &mut Context<'_>) {
    let Route { peer, home } = relay.connection.route;
    let negotiated = Box::new(relay.negotiated_with_far());
    context.data_plane.send(home, ShardCommand::Negotiate { peer, negotiated });
}

/// Sends a message over whatever carries the relay's channel; without one the other bridge is told when one opens.
fn tell_relay(relay: &mut Relay, message: &RelayMessage, context: &mut Context<'_>) {
    if relay.connection.channel.active() != ChannelTransport::None {
        send_text(&mut relay.connection, Member::Relay(relay.key), &message.to_json(), context);
    }
}

fn add_receiver(video: &SourceName, most: MaxHeight, context: &Context<'_>) -> RelayMessage {
    RelayMessage::AddReceiver(AddReceiver {
        bridge_id: context.relay_id.to_owned(),
        source_name: video.clone(),
        video_constraints: VideoConstraints { max_height: most.to_wire(), max_frame_rate: Some(-1.0) },
    })
}

/// What a video of an endpoint shows.
pub(super) fn video_type(owner: &EndpointId, video: &VideoSource) -> RelayMessage {
    RelayMessage::SourceVideoTypeMessage(SourceVideoTypeMessage {
        video_type: video.video_type,
        source_name: video.name.clone(),
        endpoint_id: Some(owner.clone()),
    })
}
