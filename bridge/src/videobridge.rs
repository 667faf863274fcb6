//! Control of the bridge, without its thread: all conferences, and all that is decided about them.
//!
//! Here: what shards say, timers, conferences that come and go. Not here: endpoints and relays that do (`members`), whose STUN and
//! DTLS it is that shards pass on (`datagrams`), Colibri2 requests (`colibri`), bridge channels over WebSocket (`web_sockets`),
//! what happens inside a conference (`conference`), media (`shard`).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{ConferenceId, FiveTuple, PeerAddress};
use rand::Rng;
use rand::distr::{Alphanumeric, SampleString};
use rand::rngs::StdRng;
use slab::Slab;

use crate::Settings;
use crate::addresses::{AddressNews, AddressOutput, MediaAddress, MediaAddresses};
use crate::capture::control::{Capture, CaptureEnd, CaptureId};
use crate::channel::WebSocketId;
use crate::conference::{Conference, Context, FeedbackSsrcs, Speech};
use crate::connection::{Connection, Member, MemberKey};
use crate::data_plane::DataPlane;
use crate::endpoint::Endpoint;
use crate::expiry::HOUSEKEEPING_INTERVAL;
use crate::export::{ExporterId, ExporterOutput};
use crate::figures::Meter;
use crate::last_n::{LastNLimits, LoadReducer};
use crate::load::MediaTime;
use crate::loudest::Loudest;
use crate::metrics::Metrics;
use crate::relay::Owner;
use crate::remote_owners::RemoteOwners;
use crate::shard::message::{ConnectionAction, Route, ShardCommand, ShardEvent, ShardId};
use crate::shutdown::ShutdownManager;
use crate::timers::Timers;
use crate::transport::Event;
use crate::unique_ports::{PortOpener, UniquePorts};
use crate::web_sockets::ChannelOutput;

/// A timer that is set again is not due before this time: no state, however odd, keeps the bridge at one instant.
const TIMER_STEP: Duration = Duration::from_millis(1);
/// What is due no sooner, keep-alives and checks of consent (RFC 7675 §5.1) mostly, may come this much later, with others:
/// those of a hundred endpoints, and the answers to them, would each wake this thread and a media thread.
const FAR: Duration = Duration::from_secs(1);
const FAR_STEP: Duration = Duration::from_millis(200);
/// Length of the secret in WebSocket URLs, and of a conference's name there.
const SECRET_LEN: usize = 24;

/// Names an endpoint in the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EndpointKey {
    pub(crate) conference: usize,
    pub(crate) endpoint: usize,
}

impl From<EndpointKey> for MemberKey {
    fn from(EndpointKey { conference, endpoint }: EndpointKey) -> Self {
        Self { conference, member: Member::Endpoint(endpoint) }
    }
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum TimerKey {
    Member(MemberKey),
    Conference(usize),
    Housekeeping,
    Shutdown,
    Addresses,
    Capture(CaptureId),
}

/// All conferences of one bridge, and all that is decided about them.
pub(crate) struct Videobridge {
    pub(crate) settings: Settings,
    pub(crate) addresses: MediaAddresses,
    pub(crate) dtls: Arc<dtls::DtlsContext>,
    pub(crate) metrics: Metrics,
    pub(crate) conferences: Slab<Conference>,
    pub(crate) by_meeting: BTreeMap<ConferenceId, usize>,
    pub(crate) by_channel_name: HashMap<String, usize>,
    pub(crate) by_ufrag: HashMap<String, MemberKey>,
    /// By the unique port that they send to, or none, and where from.
    pub(crate) by_remote: HashMap<(Option<u16>, PeerAddress), RemoteOwners>,
    pub(crate) unique_ports: UniquePorts,
    pub(crate) web_sockets: HashMap<WebSocketId, MemberKey>,
    pub(crate) last_web_socket: u64,
    pub(crate) timers: Timers<TimerKey>,
    pub(crate) data_plane: DataPlane,
    pub(crate) captures: Vec<Capture>,
    /// The conferences of exporters.
    pub(crate) exporters: HashMap<ExporterId, usize>,
    pub(crate) last_exporter: u64,
    pub(crate) exporter_outputs: VecDeque<ExporterOutput>,
    pub(crate) limits: LastNLimits,
    /// Where load takes videos away, and how long threads were busy when that was last looked at.
    pub(crate) reducer: Option<LoadReducer>,
    pub(crate) media_time: MediaTime,
    /// What was measured last, to tell rates.
    pub(crate) meter: Meter,
    /// Whether the focus is asked to avoid this bridge.
    pub(crate) drain: bool,
    pub(crate) shutdown: ShutdownManager,
    texts: Vec<(WebSocketId, String)>,
    pub(crate) channel_outputs: VecDeque<ChannelOutput>,
    /// Members that may have something to send or to say.
    touched: VecDeque<MemberKey>,
}

impl Videobridge {
    /// A bridge without conferences, reached at `addresses`. SSRCs and first numbers are `random`; secrets are the system's.
    pub(crate) fn new(
        settings: Settings,
        addresses: MediaAddresses,
        metrics: Metrics,
        dtls: Arc<dtls::DtlsContext>,
        random: StdRng,
    ) -> Self {
        let mut data_plane = DataPlane::new(metrics.shards.len(), random);
        data_plane.send_to_all(|| ShardCommand::Audio(settings.audio));
        #[cfg(feature = "planted-faults")]
        let data_plane = crate::shard::planted_faults::plant(settings.planted_fault, data_plane);
        let limits = LastNLimits { settings: settings.last_n.clone(), by_load: None };
        let reducer = settings.last_n.by_load.map(LoadReducer::new);
        metrics.drain_mode.set(i64::from(settings.initial_drain));
        Self {
            drain: settings.initial_drain,
            shutdown: ShutdownManager::new(settings.shutdown),
            meter: Meter::default(),
            settings,
            addresses,
            dtls,
            conferences: Slab::new(),
            by_meeting: BTreeMap::new(),
            by_channel_name: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_remote: HashMap::new(),
            unique_ports: UniquePorts::default(),
            web_sockets: HashMap::new(),
            last_web_socket: 0,
            timers: Timers::default(),
            data_plane,
            captures: Vec::new(),
            exporters: HashMap::new(),
            last_exporter: 0,
            exporter_outputs: VecDeque::new(),
            limits,
            reducer,
            media_time: MediaTime::default(),
            texts: Vec::new(),
            channel_outputs: VecDeque::new(),
            touched: VecDeque::new(),
            metrics,
        }
    }

    /// The same, that has ports from `opener` for links to other bridges.
    pub(crate) fn with_unique_ports(self, opener: PortOpener) -> Self {
        Self { unique_ports: UniquePorts::new(opener), ..self }
    }

    /// A shard says something.
    pub(crate) fn handle_event(&mut self, event: ShardEvent, now: Instant) {
        match event {
            ShardEvent::Datagram { path, datagram, at } => {
                self.data_plane.note_connection(path, at);
                self.handle_datagram(path, &datagram, now);
            }
            ShardEvent::CheckAnswered { peer, path, at, check } => {
                if let Some(connection) = self.data_plane.member(peer).and_then(|key| self.connection_mut(key)) {
                    connection.last_activity = Some(now);
                    connection.transport.note_answered(at, path, check.as_deref());
                }
            }
            ShardEvent::ConnectionClosed { path } => self.handle_connection_closed(path, now),
            ShardEvent::Heard { levels, active } => {
                for (peer, rtt) in active {
                    let connection = self.data_plane.member(peer).and_then(|key| self.connection_mut(key));
                    if let Some(connection) = connection {
                        connection.last_activity = Some(now);
                        connection.rtt = rtt;
                    }
                }
                for level in levels {
                    let Some(key) = self.data_plane.member(level.peer) else { continue };
                    let Some((conference, mut context)) = self.conference(key.conference, now) else { continue };
                    let Some(owner) = conference.owner_of(key.member, level.source) else { continue };
                    let speech = match owner {
                        Owner::Local(endpoint) => conference.handle_level(endpoint, level, &mut context),
                        Owner::Relayed(endpoint) => conference.handle_relayed_level(endpoint, level),
                    };
                    if speech == Speech::Begins {
                        conference.handle_speech_begins(owner, &mut context);
                    }
                    self.schedule_conference(key.conference);
                }
                self.settle(now);
            }
            ShardEvent::Layers { owner, source, report } => {
                let Some(key) = self.data_plane.member(owner) else { return };
                let rates = self.settings.layer_rates;
                let Some((conference, mut context)) = self.conference(key.conference, now) else { return };
                let Some(owner) = conference.owner_of(key.member, source) else { return };
                conference.handle_layers(owner, source, report.with_targets(rates), &mut context);
                self.schedule_conference(key.conference);
                self.settle(now);
            }
            ShardEvent::LinkTraffic { peer, traffic } => {
                let Some(MemberKey { conference, member: Member::Relay(relay) }) = self.data_plane.member(peer) else {
                    return;
                };
                let relay = self.conferences.get(conference).and_then(|state| state.relays.get(relay));
                if let Some(relay) = relay {
                    self.metrics.links.count(&relay.id, traffic);
                }
            }
            ShardEvent::Bandwidth { receiver, estimate } => {
                let Some(key) = self.data_plane.member(receiver) else { return };
                let Some((conference, context)) = self.conference(key.conference, now) else { return };
                match key.member {
                    Member::Endpoint(endpoint) => conference.handle_bandwidth(endpoint, estimate, context.now),
                    Member::Relay(relay) => conference.handle_link_bandwidth(relay, estimate, context.now),
                }
                self.schedule_conference(key.conference);
            }
        }
    }

    /// The shell found out about addresses. Endpoints that are there keep theirs.
    pub(crate) fn handle_address_news(&mut self, news: AddressNews, now: Instant) {
        self.addresses.handle_news(now, news);
        self.ask_stun_servers(now);
    }

    /// Where clients are told to reach media, if that changed since the last call.
    pub(crate) fn take_changed_addresses(&mut self) -> Option<Vec<MediaAddress>> {
        self.addresses.take_changed()
    }

    /// Sends what is due to STUN servers, from the media port.
    pub(crate) fn ask_stun_servers(&mut self, now: Instant) {
        loop {
            match self.addresses.poll_output(now, || rand::rng().random()) {
                AddressOutput::Transmit { to, payload } => {
                    let any = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
                    let path = FiveTuple::udp(SocketAddr::new(any, 0), to);
                    self.data_plane.transmit_to_server(path, payload.to_vec());
                }
                AddressOutput::Timeout(Some(at)) => return self.timers.set(TimerKey::Addresses, at),
                AddressOutput::Timeout(None) => return self.timers.remove(TimerKey::Addresses),
            }
        }
    }

    /// Does what is due at `now`.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if !self.timers.contains(TimerKey::Housekeeping) && !self.conferences.is_empty() {
            self.timers.set(TimerKey::Housekeeping, now + HOUSEKEEPING_INTERVAL);
        }
        while let Some(due) = self.timers.pop_due(now) {
            match due {
                TimerKey::Member(key) => {
                    if let Some(connection) = self.connection_mut(key) {
                        connection.transport.handle_timeout(now);
                        self.touch(key);
                        self.settle(now);
                    }
                }
                TimerKey::Conference(key) => {
                    if let Some((conference, mut context)) = self.conference(key, now) {
                        conference.handle_timeout(&mut context);
                    }
                    self.dial_relays(key, now);
                    self.settle(now);
                    self.schedule_conference(key);
                }
                TimerKey::Housekeeping => {
                    self.expire_inactive(now);
                    self.follow_load(now);
                }
                TimerKey::Shutdown => self.follow_shutdown(now),
                TimerKey::Addresses => self.ask_stun_servers(now),
                TimerKey::Capture(id) => self.end_capture(id, CaptureEnd::Time),
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do; `None` while there is no conference.
    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The next command, and for which shard.
    pub(crate) fn poll_command(&mut self) -> Option<(ShardId, ShardCommand)> {
        self.data_plane.poll_command()
    }

    /// The next thing for a WebSocket.
    pub(crate) fn poll_channel_output(&mut self) -> Option<ChannelOutput> {
        self.channel_outputs.pop_front()
    }

    /// Endpoints of all conferences.
    pub(crate) fn endpoint_count(&self) -> usize {
        self.conferences.iter().map(|(_, conference)| conference.endpoints.len()).sum()
    }

    /// What is there of conferences, by what it is.
    #[cfg(test)]
    pub(crate) fn left_behind(&self) -> Vec<(&'static str, usize)> {
        let mut left = self.data_plane.left_behind();
        left.extend([
            ("conferences", self.conferences.len()),
            ("meetings", self.by_meeting.len()),
            ("channel names", self.by_channel_name.len()),
            ("ufrags", self.by_ufrag.len()),
            ("remote addresses", self.by_remote.len()),
            ("web sockets", self.web_sockets.len()),
            ("captures", self.captures.len()),
            ("exporters", self.exporters.len()),
            ("unique ports", self.unique_ports.len()),
            ("touched members", self.touched.len()),
        ]);
        left
    }

    /// Makes a conference.
    pub(crate) fn create_conference(&mut self, id: ConferenceId, now: Instant) -> usize {
        let feedback_ssrcs =
            FeedbackSsrcs { audio: self.data_plane.random_ssrc(), video: self.data_plane.random_ssrc() };
        let channel_name = random_secret();
        let mut conference = Conference::new(id.clone(), channel_name.clone(), feedback_ssrcs, now);
        conference.limits = self.limits.clone();
        conference.loudest = self.settings.audio.loudest.map(Loudest::new);
        let key = self.conferences.insert(conference);
        self.by_channel_name.insert(channel_name, key);
        self.by_meeting.insert(id, key);
        self.metrics.conferences.set(self.conferences.len() as i64);
        self.metrics.conferences_created.inc();
        self.timers.set(TimerKey::Housekeeping, now + HOUSEKEEPING_INTERVAL);
        key
    }

    /// Ends a conference.
    pub(crate) fn remove_conference(&mut self, key: usize, now: Instant) {
        let Some(conference) = self.conferences.try_remove(key) else { return };
        self.stop_exporters(&conference);
        self.by_meeting.remove(&conference.id);
        self.by_channel_name.remove(&conference.channel_name);
        let relayed = conference.relayed.iter().flat_map(|(_, endpoint)| endpoint.sources.ids());
        let local = conference.endpoints.iter().flat_map(|(_, endpoint)| endpoint.sources.ids());
        relayed.chain(local).for_each(|source| self.data_plane.remove_source(source));
        for (endpoint_key, endpoint) in conference.endpoints {
            self.forget_endpoint(EndpointKey { conference: key, endpoint: endpoint_key }, endpoint, now);
        }
        for (relay_key, relay) in conference.relays {
            self.forget_relay(MemberKey { conference: key, member: Member::Relay(relay_key) }, relay);
        }
        self.timers.remove(TimerKey::Conference(key));
        self.metrics.conferences.set(self.conferences.len() as i64);
        self.metrics.conferences_completed.inc();
        self.metrics.conference_seconds.inc_by(now.saturating_duration_since(conference.created_at).as_secs());
    }

    /// Notes that a member may have something to send or to say, for [`settle`](Self::settle).
    pub(crate) fn touch(&mut self, key: MemberKey) {
        self.touched.push_back(key);
    }

    /// Drives all members that were touched, and those that this touches, until all are quiet.
    pub(crate) fn settle(&mut self, now: Instant) {
        while let Some(key) = self.touched.pop_front() {
            self.drive(key, now);
        }
        let texts = self.texts.drain(..).map(|(id, text)| ChannelOutput::Text { id, text });
        self.channel_outputs.extend(texts);
    }

    /// Sends what a member's transport has to send, takes its events, and sets the next timer.
    fn drive(&mut self, key: MemberKey, now: Instant) {
        loop {
            let Some((conference, mut context)) = self.conference(key.conference, now) else { return };
            let Some(connection) = conference.connection_mut(key.member) else { return };
            match connection.transport.poll_event(now) {
                Some(Event::Failed(reason)) => {
                    let name = conference.name_of(key.member);
                    tracing::warn!(peer = name, %reason, "media failed (is the media port open?)");
                    context.metrics.transports_failed.inc();
                    match key.member {
                        Member::Endpoint(endpoint) => {
                            return self.remove_endpoint(EndpointKey { conference: key.conference, endpoint }, now);
                        }
                        // It is the focus that ends a relay, and tells who is behind it until then.
                        Member::Relay(_) => {
                            conference.handle_transport_event(key.member, Event::Failed(reason), &mut context);
                        }
                    }
                }
                Some(event) => conference.handle_transport_event(key.member, event, &mut context),
                None => {
                    let Route { peer, home } = connection.route;
                    while let Some((path, datagram)) = connection.transport.poll_transmit() {
                        context.data_plane.transmit(Route { peer, home }, path, datagram);
                    }
                    let path = connection.transport.path();
                    if connection.path != path {
                        connection.path = path;
                        if let Some(path) = path {
                            context.data_plane.manage_connection(path.peer(), ConnectionAction::MoveTo(home));
                        }
                        context.data_plane.send(home, ShardCommand::Path { peer, path });
                    }
                    let settled = connection.transport.settled();
                    if connection.settled != settled {
                        connection.settled = settled;
                        let responder = connection.transport.responder(now).map(Box::new);
                        context.data_plane.send(home, ShardCommand::Responder { peer, responder });
                    }
                    break;
                }
            }
        }
        self.schedule(key, now);
        self.schedule_conference(key.conference);
    }

    fn schedule(&mut self, key: MemberKey, now: Instant) {
        if let Some(connection) = self.connection_mut(key) {
            let at = connection.transport.next_timeout().max(now + TIMER_STEP);
            if at < now + FAR {
                self.timers.set(TimerKey::Member(key), at);
            } else {
                self.timers.set_with_others(TimerKey::Member(key), at, FAR_STEP);
            }
        }
    }

    pub(crate) fn schedule_conference(&mut self, key: usize) {
        let timeout = self.conferences.get(key).and_then(Conference::poll_timeout);
        match timeout {
            Some(at) => self.timers.set(TimerKey::Conference(key), at),
            None => self.timers.remove(TimerKey::Conference(key)),
        }
    }

    pub(crate) fn endpoint_mut(&mut self, key: EndpointKey) -> Option<&mut Endpoint> {
        self.conferences.get_mut(key.conference)?.endpoints.get_mut(key.endpoint)
    }

    pub(crate) fn connection_mut(&mut self, key: MemberKey) -> Option<&mut Connection> {
        self.conferences.get_mut(key.conference)?.connection_mut(key.member)
    }

    /// A conference and what it needs to act.
    pub(crate) fn conference(&mut self, key: usize, now: Instant) -> Option<(&mut Conference, Context<'_>)> {
        let Self { conferences, data_plane, metrics, texts, touched, settings, .. } = self;
        let conference = conferences.get_mut(key)?;
        let relay_id = settings.relay_id.as_deref().unwrap_or_default();
        Some((conference, Context { now, conference: key, relay_id, data_plane, metrics, texts, touched }))
    }
}

pub(crate) fn random_secret() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), SECRET_LEN)
}
