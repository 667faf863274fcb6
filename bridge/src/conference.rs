//! One conference: who sends what to whom.
//!
//! Here: sources, speakers. Not here: what is said over bridge channels (`messages`), the choice of sources for each
//! receiver (`allocation`), the packets (`shard`), which conference a datagram is for (`videobridge`).

mod messages;
mod relays;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jitsi_protocol::bridge_channel::{
    BridgeMessage, ConnectionStats, DominantSpeakerEndpointChangeEvent, EndpointConnectivityStatusChangeEvent,
    RelayMessage,
};
use jitsi_protocol::colibri2::{ForceMute, MediaSource};
use model::{Bitrate, ConferenceId, EndpointId, SourceName, Ssrc, VideoType};
use slab::Slab;

use crate::audio::speech_begins;
use crate::channel::{ChannelTransport, WebSocketId};
use crate::connection::{Connection, Member, MemberKey, Reached};
use crate::connectivity::{Activity, ConnectivityMonitor};
use crate::data_plane::DataPlane;
use crate::endpoint::Endpoint;
use crate::export::{Exporters, has_synthetic};
use crate::keys::SourceId;
use crate::last_n::LastNLimits;
use crate::loudest::Loudest;
use crate::metrics::Metrics;
use crate::negotiated::Sources;
use crate::relay::{Owner, Relay, RelayedEndpoint};
use crate::shard::audio::Audibility;
use crate::shard::bitrates::LayerReport;
use crate::shard::message::{Level, Route, ShardCommand};
use crate::speaker::SpeakerDetector;
use crate::ssrc_slots::MAX_SLOTS;
use crate::transport::Event;
pub(crate) use messages::tell;
use messages::tell_text;

/// What a conference needs of its surroundings to act.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    /// Which conference it is, to the bridge.
    pub(crate) conference: usize,
    /// What other bridges know this one by.
    pub(crate) relay_id: &'a str,
    pub(crate) data_plane: &'a mut DataPlane,
    pub(crate) metrics: &'a Metrics,
    /// Texts for clients whose bridge channel is a WebSocket.
    pub(crate) texts: &'a mut Vec<(WebSocketId, String)>,
    /// Members whose data channel has something to send.
    pub(crate) touched: &'a mut VecDeque<MemberKey>,
}

/// All state of one conference.
pub(crate) struct Conference {
    pub(crate) id: ConferenceId,
    /// Bare JID of the room.
    pub(crate) name: Option<String>,
    /// Whether a statistics server may have its state.
    pub(crate) rtcstats_enabled: bool,
    /// Names the conference in WebSocket URLs; random, so that the meeting id stays between focus and bridge.
    pub(crate) channel_name: String,
    pub(crate) endpoints: Slab<Endpoint>,
    pub(crate) by_id: BTreeMap<EndpointId, usize>,
    /// Other bridges of the conference, and the endpoints behind them.
    pub(crate) relays: Slab<Relay>,
    pub(crate) relay_by_id: BTreeMap<String, usize>,
    pub(crate) relayed: Slab<RelayedEndpoint>,
    pub(crate) relayed_by_id: BTreeMap<EndpointId, usize>,
    pub(crate) speakers: SpeakerDetector,
    pub(crate) connectivity: ConnectivityMonitor,
    /// Whose cameras are asked for a key frame, and when, as receivers are about to show them large.
    key_frame_due: Option<(Instant, usize)>,
    pub(crate) limits: LastNLimits,
    /// Where only the loudest are forwarded.
    pub(crate) loudest: Option<Loudest>,
    /// Who gets its audio over WebSockets.
    pub(crate) exporters: Exporters,
    /// Audio sources that somebody asked for by name, which are forwarded in any case.
    named_audio: BTreeSet<SourceName>,
    /// The bridge's own SSRCs, under which it reports (`jvb-a0`, `jvb-v0`).
    pub(crate) feedback_ssrcs: FeedbackSsrcs,
    pub(crate) created_at: Instant,
    /// Receivers whose bandwidth has to be divided again.
    due_receivers: BTreeSet<usize>,
    /// So may links to other bridges.
    links_due: bool,
    divide_due: Option<Instant>,
    /// When the bandwidth of all that tell theirs is divided again, and how often it was.
    divide_all: Option<Instant>,
    divisions: u32,
}

/// Whether somebody sent audio before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    Begins,
    GoesOn,
}

impl Speech {
    /// Of one who was heard `before`, if ever, and is heard now.
    fn after(before: Option<Instant>, now: Instant) -> Self {
        if speech_begins(before, now) { Self::Begins } else { Self::GoesOn }
    }
}

/// What comes within this time is decided on together: layers of several sources, bandwidth of several receivers.
const DIVISION_DELAY: Duration = Duration::from_millis(20);
/// Bandwidth is divided again this often (JVB's periodic reallocation), and clients are told theirs each second time.
const DIVISION_INTERVAL: Duration = Duration::from_secs(5);
const STATS_INTERVAL: u32 = 2;

/// A key frame that a new speaker sends unasked comes this much behind the receivers' new constraints, so that it is not too
/// early (JVB's `maybeSendKeyframeRequest`), and not later than this, whatever round trip receivers make us believe in.
const KEY_FRAME_MARGIN: Duration = Duration::from_millis(10);
const MAX_KEY_FRAME_DELAY: Duration = Duration::from_secs(1);

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
            name: None,
            rtcstats_enabled: true,
            channel_name,
            endpoints: Slab::new(),
            by_id: BTreeMap::new(),
            relays: Slab::new(),
            relay_by_id: BTreeMap::new(),
            relayed: Slab::new(),
            relayed_by_id: BTreeMap::new(),
            speakers: SpeakerDetector::default(),
            connectivity: ConnectivityMonitor::default(),
            key_frame_due: None,
            limits: LastNLimits::default(),
            loudest: None,
            exporters: Exporters::default(),
            named_audio: BTreeSet::new(),
            feedback_ssrcs,
            created_at: now,
            due_receivers: BTreeSet::new(),
            links_due: false,
            divide_due: None,
            divide_all: None,
            divisions: 0,
        }
    }

    /// The sources of all endpoints, first of those here, then of those behind relays.
    pub(crate) fn all_sources(&self) -> impl Iterator<Item = (Owner, &EndpointId, &Sources)> {
        let local = self.endpoints.iter().map(|(key, endpoint)| (Owner::Local(key), &endpoint.id, &endpoint.sources));
        let relayed = self.relayed.iter().map(|(key, endpoint)| (Owner::Relayed(key), &endpoint.id, &endpoint.sources));
        local.chain(relayed)
    }

    /// The connection of a member.
    pub(crate) fn connection_mut(&mut self, member: Member) -> Option<&mut Connection> {
        match member {
            Member::Endpoint(key) => self.endpoints.get_mut(key).map(|endpoint| &mut endpoint.connection),
            Member::Relay(key) => self.relays.get_mut(key).map(|relay| &mut relay.connection),
        }
    }

    /// Whose a source is that comes from a member.
    pub(crate) fn owner_of(&self, member: Member, source: SourceId) -> Option<Owner> {
        match member {
            Member::Endpoint(key) => Some(Owner::Local(key)),
            Member::Relay(key) => self.relayed_owner(key, source).map(Owner::Relayed),
        }
    }

    /// A turn in the life of a member's transport. One that is over is for the bridge to deal with.
    pub(crate) fn handle_transport_event(&mut self, member: Member, event: Event, context: &mut Context<'_>) {
        let Some(connection) = self.connection_mut(member) else { return };
        let Route { peer, home } = connection.route;
        match event {
            Event::IceConnected { path } => {
                if connection.reached == Reached::Nothing {
                    connection.reached = Reached::Ice;
                    context.metrics.ice_succeeded.inc();
                }
                tracing::debug!(peer = self.name_of(member), remote = %path.peer(), "ICE connected");
            }
            Event::DtlsConnected { profile } => {
                connection.reached = Reached::Dtls;
                let session = connection.transport.take_session().map(Box::new);
                context.data_plane.send(home, ShardCommand::Keys { peer, session });
                tracing::info!(peer = self.name_of(member), ?profile, "media connected");
                if let Member::Relay(key) = member
                    && let Some(relay) = self.relays.get_mut(key)
                {
                    relay.expect_hello(context.now);
                }
            }
            Event::DtlsClosed | Event::Failed(_) => {
                context.data_plane.send(home, ShardCommand::Keys { peer, session: None });
            }
            Event::ChannelOpen => {
                connection.channel.open_data_channel();
                match member {
                    Member::Endpoint(key) => self.greet(key, context),
                    Member::Relay(key) => self.greet_relay(key, context),
                }
            }
            Event::ChannelText(text) => {
                context.metrics.data_channel_received.inc();
                match member {
                    Member::Endpoint(key) => self.handle_channel_text(key, &text, context),
                    Member::Relay(key) => self.handle_relay_text(key, &text, context),
                }
            }
            Event::ChannelClosed => {
                let closed = ChannelTransport::DataChannel;
                match member {
                    Member::Endpoint(key) => self.handle_channel_closed(key, closed, context),
                    Member::Relay(key) => self.handle_relay_channel_closed(key, closed, context),
                }
            }
        }
    }

    /// What a member is called in logs.
    pub(crate) fn name_of(&self, member: Member) -> &str {
        let name = match member {
            Member::Endpoint(key) => self.endpoints.get(key).map(|endpoint| endpoint.id.as_str()),
            Member::Relay(key) => self.relays.get(key).map(|relay| relay.id.as_str()),
        };
        name.unwrap_or_default()
    }

    /// What is muted is left out of the streams of all receivers without a gap, and begins anew.
    pub(crate) fn set_force_mute(&mut self, of: usize, force_mute: ForceMute, context: &mut Context<'_>) {
        let Some(endpoint) = self.endpoints.get_mut(of) else { return };
        endpoint.force_mute = force_mute;
        let audio = endpoint.sources.audio.iter().map(|audio| audio.id).filter(|_| force_mute.audio);
        let video = endpoint.sources.video.iter().map(|video| video.id).filter(|_| force_mute.video);
        let muted: Arc<[SourceId]> = audio.chain(video).collect();
        let owner = endpoint.connection.route.peer;
        context.data_plane.send_to_all(|| ShardCommand::ForceMute { owner, force_mute, muted: Arc::clone(&muted) });
    }

    /// Takes the full list of an endpoint's sources.
    pub(crate) fn set_sources(&mut self, of: usize, list: &[MediaSource], context: &mut Context<'_>) {
        let Some(endpoint) = self.endpoints.get_mut(of) else { return };
        let data_plane = &mut *context.data_plane;
        let before = std::mem::take(&mut endpoint.sources);
        let Route { peer, home } = endpoint.connection.route;
        let sources = data_plane.replace_sources(&before, list, endpoint.connection.route, &endpoint.id);
        data_plane.send(home, ShardCommand::Receive { peer, sources: Box::new(sources.clone()) });
        endpoint.layers.retain(|source, _| sources.video.iter().any(|video| video.id == *source));
        endpoint.sender_constraints.retain(|name, _| sources.video.iter().any(|video| video.name == *name));
        let has_synthetic = has_synthetic(&before) || has_synthetic(&sources);
        endpoint.sources = sources;
        if has_synthetic {
            self.receive_from_relays(context);
        }
        self.reallocate(context);
    }

    /// Levels of packets that came in.
    pub(crate) fn handle_level(&mut self, of: usize, level: Level, context: &mut Context<'_>) -> Speech {
        let Some(endpoint) = self.endpoints.get_mut(of) else { return Speech::GoesOn };
        let loudness = self.speakers.handle_level(&endpoint.id, level.minus_dbov, level.at);
        if let Some(loudest) = &mut self.loudest {
            let is_heard = loudest.handle_level(Owner::Local(of), loudness, level.at)
                || self.speakers.dominant() == Some(&endpoint.id)
                || endpoint.sources.audio.iter().any(|audio| self.named_audio.contains(&audio.name));
            let audibility = if is_heard { Audibility::Forwarded } else { Audibility::LeftOut };
            if std::mem::replace(&mut endpoint.audibility, audibility) != audibility {
                let Route { peer: owner, home } = endpoint.connection.route;
                context.data_plane.send(home, ShardCommand::Loudness { owner, audibility });
            }
        }
        Speech::after(endpoint.last_audio.replace(level.at), level.at)
    }

    /// Somebody begins to send audio. Where there are fewer slots than microphones, it needs one now.
    pub(crate) fn handle_speech_begins(&mut self, of: Owner, context: &mut Context<'_>) {
        self.repeat_what_is_asked_of(of, context);
        let microphones: usize = self.all_sources().map(|(.., sources)| sources.audio.len()).sum();
        if microphones > MAX_SLOTS && self.endpoints.iter().any(|(_, endpoint)| endpoint.slots.is_some()) {
            self.reallocate(context);
        }
    }

    /// Does what is due for the conference as a whole.
    pub(crate) fn handle_timeout(&mut self, context: &mut Context<'_>) {
        if self.speakers.handle_timeout(context.now) {
            context.metrics.dominant_speaker_changes.inc();
            self.announce_speaker(context);
            self.expect_switch_to_speaker(context);
            self.reallocate(context);
        }
        if let Some((_, speaker)) = self.key_frame_due.take_if(|(at, _)| *at <= context.now) {
            self.request_key_frames(speaker, context);
        }
        if self.connectivity.poll_timeout().is_some_and(|at| at <= context.now) {
            self.check_connectivity(context);
        }
        self.give_up_hellos(context);
        let is_short = |relay: &Relay| relay.short_until().is_some_and(|at| at <= context.now);
        if self.relays.iter().any(|(_, relay)| is_short(relay)) {
            self.subscribe_relays(context);
        }
        if self.divide_all.is_some_and(|at| at <= context.now) {
            self.handle_division_interval(context);
        }
        if self.divide_due.is_some_and(|at| at <= context.now) {
            self.divide_due = None;
            let receivers = std::mem::take(&mut self.due_receivers);
            self.divide_bandwidth(&receivers, context);
            if self.links_due {
                self.subscribe_relays(context);
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let key_frame_due = self.key_frame_due.map(|(at, _)| at);
        let hello_due = self.relays.iter().filter_map(|(_, relay)| relay.hello_due()).min();
        let dial_due = self.relays.iter().filter_map(|(_, relay)| relay.dial.as_ref()?.due()).min();
        let timeouts = [
            hello_due,
            dial_due,
            self.relays.iter().filter_map(|(_, relay)| relay.short_until()).min(),
            self.speakers.poll_timeout(),
            self.connectivity.poll_timeout(),
            key_frame_due,
            self.divide_all,
            self.divide_due,
        ];
        timeouts.into_iter().flatten().min()
    }

    /// Rates of layers change all the time: now and then everybody's bandwidth is divided again. Clients are told theirs.
    fn handle_division_interval(&mut self, context: &mut Context<'_>) {
        self.divisions = self.divisions.wrapping_add(1);
        let mut has_any = false;
        for (key, endpoint) in &mut self.endpoints {
            let Some(bandwidth) = endpoint.bandwidth else { continue };
            has_any = true;
            self.due_receivers.insert(key);
            if self.divisions.is_multiple_of(STATS_INTERVAL) {
                let stats = ConnectionStats { estimated_downlink_bandwidth: bandwidth.bps() };
                tell(endpoint, &BridgeMessage::ConnectionStats(stats), context);
            }
        }
        if self.has_estimated_links() {
            self.links_due = true;
            has_any = true;
        }
        self.divide_all = has_any.then(|| context.now + DIVISION_INTERVAL);
        self.divide_due = Some(context.now).filter(|_| has_any);
    }

    /// The layers of one of an endpoint's videos are others, or were measured.
    pub(crate) fn handle_layers(
        &mut self,
        of: Owner,
        source: SourceId,
        report: LayerReport,
        context: &mut Context<'_>,
    ) {
        let now = context.now;
        let owner = match of {
            Owner::Local(key) => self.endpoints.get_mut(key).map(|owner| (&owner.sources, &mut owner.layers)),
            Owner::Relayed(key) => self.relayed.get_mut(key).map(|owner| (&owner.sources, &mut owner.layers)),
        };
        let Some((_, layers)) = owner.filter(|(sources, _)| sources.has_video(source)) else { return };
        let before = layers.insert(source, report);
        if before.is_none() {
            self.repeat_what_is_asked_of(of, context);
        }
        if before.is_some_and(|before| report.is_like(&before)) {
            return;
        }
        if self.has_estimated_links() {
            self.want_links_divided(now);
        }
        let receivers = self
            .endpoints
            .iter()
            .filter(|(_, endpoint)| endpoint.bandwidth.is_some() && endpoint.heights.contains_key(&source));
        let before = self.due_receivers.len();
        self.due_receivers.extend(receivers.map(|(key, _)| key));
        if self.due_receivers.len() > before {
            self.divide_due.get_or_insert(now + DIVISION_DELAY);
        }
    }

    /// The path to an endpoint carries more or less than before.
    pub(crate) fn handle_bandwidth(&mut self, of: usize, estimate: Bitrate, now: Instant) {
        let Some(receiver) = self.endpoints.get_mut(of) else { return };
        receiver.bandwidth = Some(estimate);
        if receiver.is_division_outdated() {
            self.due_receivers.insert(of);
            self.divide_due.get_or_insert(now + DIVISION_DELAY);
        }
        self.divide_all.get_or_insert(now + DIVISION_INTERVAL);
    }

    fn announce_speaker(&mut self, context: &mut Context<'_>) {
        let Some(message) = self.speaker_message() else { return };
        self.tell_all(&message.to_json(), context);
    }

    /// Tells every endpoint here a text, and other bridges what it says.
    pub(crate) fn tell_everybody(&mut self, text: &str, message: &RelayMessage, context: &mut Context<'_>) {
        self.tell_all(text, context);
        self.tell_relays(None, message, context);
    }

    /// Tells every endpoint here.
    fn tell_all(&mut self, text: &str, context: &mut Context<'_>) {
        for (_, endpoint) in &mut self.endpoints {
            tell_text(endpoint, text, context);
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

    /// Receivers that show whoever speaks are about to show another one large, whose taller layers begin with a key frame: it
    /// is asked for so that it comes just behind what they will say (JVB's pre-emptive key frame request, bridge.md §3.6).
    fn expect_switch_to_speaker(&mut self, context: &mut Context<'_>) {
        let Some(speaker) = self.speakers.dominant().and_then(|id| self.by_id.get(id)).copied() else { return };
        if self.endpoints.len() + self.relayed.len() <= 2 {
            return;
        }
        let is_camera = |name: &SourceName| {
            let mut videos = self.all_sources().flat_map(|(.., sources)| &sources.video);
            videos.any(|video| video.name == *name && video.video_type == VideoType::Camera)
        };
        let others = || self.endpoints.iter().filter(|(key, _)| *key != speaker).map(|(_, endpoint)| endpoint);
        // Of those behind relays it is not known.
        if self.relays.is_empty() && !others().any(|receiver| receiver.constraints.on_stage().any(is_camera)) {
            // Nobody switches: all see tiles, or a screen.
            return context.metrics.preemptive_key_frames_suppressed.inc();
        }
        context.metrics.preemptive_key_frames.inc();
        let rtt = |endpoint: &Endpoint| endpoint.connection.rtt.unwrap_or_default();
        let farthest = others().map(rtt).max().unwrap_or_default();
        let delay =
            (farthest + KEY_FRAME_MARGIN).saturating_sub(self.endpoints.get(speaker).map_or(Duration::ZERO, rtt));
        self.key_frame_due = Some((context.now + delay.min(MAX_KEY_FRAME_DELAY), speaker));
    }

    /// Asks for a key frame of all that an endpoint's cameras send.
    fn request_key_frames(&mut self, of: usize, context: &mut Context<'_>) {
        let Some(owner) = self.endpoints.get(of) else { return };
        let Route { peer, home } = owner.connection.route;
        for video in owner.sources.video.iter().filter(|video| video.video_type == VideoType::Camera) {
            for encoding in &video.encodings {
                context.data_plane.send(home, ShardCommand::RequestKeyFrame { owner: peer, ssrc: encoding.primary });
            }
        }
    }

    /// Tells all, also those whom it concerns, who is gone and who is back.
    fn check_connectivity(&mut self, context: &mut Context<'_>) {
        let activity = self.endpoints.iter().map(|(_, endpoint)| {
            (
                &endpoint.id,
                Activity { created_at: endpoint.connection.created_at, last: endpoint.connection.last_activity },
            )
        });
        for change in self.connectivity.check(activity, context.now) {
            let (endpoint, active) = (change.endpoint, change.is_active);
            match (active, change.was_connected) {
                (true, _) => context.metrics.endpoints_reconnected.inc(),
                (false, true) => context.metrics.endpoints_disconnected.inc(),
                (false, false) => {}
            }
            tracing::info!(%endpoint, active, "whether anything comes from an endpoint changed");
            self.announce_connectivity(None, EndpointConnectivityStatusChangeEvent { endpoint, active }, context);
        }
    }

    /// The load of the bridge allows so many videos for each receiver.
    pub(crate) fn limit_by_load(&mut self, last_n: Option<usize>, context: &mut Context<'_>) {
        self.limits.by_load = last_n;
        self.reallocate(context);
    }

    /// Takes an endpoint out, and tells the others what that changes.
    pub(crate) fn remove_endpoint(&mut self, key: usize, context: &mut Context<'_>) -> Option<Endpoint> {
        let endpoint = self.endpoints.try_remove(key)?;
        self.by_id.remove(&endpoint.id);
        self.speakers.remove(&endpoint.id);
        if let Some(loudest) = &mut self.loudest {
            loudest.remove(Owner::Local(key));
        }
        self.note_named_audio();
        self.forget_sources(&endpoint.sources, context);
        self.reallocate(context);
        Some(endpoint)
    }
}
