//! Control of the bridge, without its thread: conferences, and whose STUN and DTLS it is that shards pass on.
//!
//! Here: demultiplexing, timers, the life of conferences and endpoints. Not here: Colibri2 requests (`colibri`), bridge
//! channels over WebSocket (`web_sockets`), what happens inside a conference (`conference`), media (`shard`).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ice::{DatagramKind, StunDemux};
use model::{ConferenceId, EndpointId, FiveTuple, PeerAddress, TransportProtocol};
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
use crate::counters::DropReason;
use crate::data_plane::DataPlane;
use crate::dial::Dial;
use crate::endpoint::Endpoint;
use crate::expiry::HOUSEKEEPING_INTERVAL;
use crate::figures::Meter;
use crate::last_n::{LastNLimits, LoadReducer};
use crate::load::MediaTime;
use crate::loudest::Loudest;
use crate::metrics::Metrics;
use crate::relay::{Owner, Relay};
use crate::remote_owners::RemoteOwners;
use crate::shard::message::{ConnectionAction, Route, ShardCommand, ShardEvent, ShardId};
use crate::shutdown::ShutdownManager;
use crate::subscriptions::Subscriptions;
use crate::timers::Timers;
use crate::transport::{EndpointTransport, Event, Received};
use crate::unique_ports::{OpenedPort, PortOpener, UniquePorts};
use crate::web_sockets::ChannelOutput;

/// Addresses of one member that are remembered: a client has some interfaces, each behind some NAT bindings. The one
/// that was learned first makes room for one more.
const MAX_REMOTES_PER_MEMBER: usize = 64;
/// A timer that is set again is not due before this time: no state, however odd, keeps the bridge at one instant.
const TIMER_STEP: Duration = Duration::from_millis(1);
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
    by_ufrag: HashMap<String, MemberKey>,
    /// By the unique port that they send to, or none, and where from.
    by_remote: HashMap<(Option<u16>, PeerAddress), RemoteOwners>,
    pub(crate) unique_ports: UniquePorts,
    pub(crate) web_sockets: HashMap<WebSocketId, MemberKey>,
    pub(crate) last_web_socket: u64,
    pub(crate) timers: Timers<TimerKey>,
    pub(crate) data_plane: DataPlane,
    pub(crate) captures: Vec<Capture>,
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
                    let speech = match conference.owner_of(key.member, level.source) {
                        Some(Owner::Local(endpoint)) => conference.handle_level(endpoint, level, &mut context),
                        Some(Owner::Relayed(endpoint)) => conference.handle_relayed_level(endpoint, level),
                        None => continue,
                    };
                    if speech == Speech::Begins {
                        conference.handle_speech_begins(&mut context);
                    }
                    self.schedule_conference(key.conference);
                }
                self.settle(now);
            }
            ShardEvent::Layers { owner, source, report } => {
                let Some(key) = self.data_plane.member(owner) else { return };
                let rates = self.settings.layer_rates;
                let Some((conference, context)) = self.conference(key.conference, now) else { return };
                let Some(owner) = conference.owner_of(key.member, source) else { return };
                conference.handle_layers(owner, source, report.with_targets(rates), context.now);
                self.schedule_conference(key.conference);
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

    /// STUN or DTLS came in.
    fn handle_datagram(&mut self, path: FiveTuple, datagram: &[u8], now: Instant) {
        let port = self.unique_ports.of(path);
        // A STUN request names its endpoint; all else comes from an address that a request made known.
        let key = match DatagramKind::of(datagram) {
            DatagramKind::Stun => match StunDemux::parse(datagram) {
                Some(StunDemux::BindingRequest { local_ufrag }) => self.by_ufrag.get(local_ufrag).copied(),
                Some(StunDemux::BindingResponse) => return self.handle_binding_response(path, datagram, now),
                None => return self.metrics.count(DropReason::UnknownProtocol),
            },
            DatagramKind::Dtls => self.by_remote.get(&(port, path.peer())).and_then(RemoteOwners::first),
            DatagramKind::Media | DatagramKind::Unknown => return self.metrics.count(DropReason::UnknownProtocol),
        };
        let Some(key) = key else { return self.metrics.count(DropReason::UnknownPeer) };
        let Some(connection) = self.connection_mut(key) else { return };
        // Others have no business at a port of one's own.
        if connection.unique_port != port {
            return self.metrics.count(DropReason::NotAccepted);
        }
        match connection.transport.handle_datagram(now, path, datagram) {
            Received::Handled => self.handle_taken(key, path.peer(), now),
            Received::Dropped => self.metrics.count(DropReason::NotAccepted),
        }
    }

    /// The answer to a check belongs to whoever sent the check: of the endpoints that claim its address, one knows the
    /// transaction.
    fn handle_binding_response(&mut self, path: FiveTuple, datagram: &[u8], now: Instant) {
        if path.protocol == TransportProtocol::Udp && self.addresses.handle_datagram(now, path.remote, datagram) {
            return self.ask_stun_servers(now);
        }
        let claimants = self.by_remote.get(&(self.unique_ports.of(path), path.peer())).copied().unwrap_or_default();
        for key in claimants.iter() {
            let Some(connection) = self.connection_mut(key) else { continue };
            if connection.transport.handle_datagram(now, path, datagram) == Received::Handled {
                return self.handle_taken(key, path.peer(), now);
            }
        }
        self.metrics.count(DropReason::UnknownPeer);
    }

    /// A TCP connection closed: who was reached over it goes on over another path at once, or is sent nothing until it
    /// connects again, and nobody is taken for it who may get the same port later.
    fn handle_connection_closed(&mut self, path: FiveTuple, now: Instant) {
        self.data_plane.forget_connection(path.remote);
        let owners = self.by_remote.get(&(None, path.peer())).copied().unwrap_or_default();
        for key in owners.iter() {
            if let Some(connection) = self.connection_mut(key) {
                connection.transport.handle_path_closed(now, path);
                connection.remotes.retain(|remote| *remote != path.peer());
            }
            self.forget_remote(key, None, path.peer());
            self.touch(key);
        }
        self.settle(now);
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
    fn ask_stun_servers(&mut self, now: Instant) {
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

    /// A member took a datagram.
    fn handle_taken(&mut self, key: MemberKey, remote: PeerAddress, now: Instant) {
        if let Some(connection) = self.connection_mut(key) {
            connection.last_activity = Some(now);
        }
        self.remember_remote(key, remote);
        self.touch(key);
        self.settle(now);
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

    /// Puts a new endpoint into a conference. `None`: there is no such conference.
    pub(crate) fn insert_endpoint(
        &mut self,
        conference: usize,
        id: EndpointId,
        transport: EndpointTransport,
        web_socket_pwd: String,
        now: Instant,
    ) -> Option<EndpointKey> {
        let key = EndpointKey { conference, endpoint: self.conferences.get(conference)?.endpoints.vacant_key() };
        let connection = self.connect(key.into(), transport, None, web_socket_pwd, now)?;
        let state = self.conferences.get_mut(conference)?;
        state.endpoints.insert(Endpoint::new(id.clone(), key.endpoint, connection));
        state.by_id.insert(id, key.endpoint);
        state.connectivity.handle_new_endpoint(now);
        self.metrics.endpoints.inc();
        self.metrics.endpoints_created.inc();
        self.touch(key.into());
        self.settle(now);
        self.schedule_conference(conference);
        Some(key)
    }

    /// Puts a new relay into a conference, with a port of its own if there is one. `None`: there is no such conference.
    pub(crate) fn insert_relay(
        &mut self,
        conference: usize,
        (id, mesh): (&str, Option<String>),
        transport: EndpointTransport,
        port: Option<OpenedPort>,
        web_socket_pwd: String,
        now: Instant,
    ) -> Option<MemberKey> {
        let place = self.conferences.get(conference)?.relays.vacant_key();
        let key = MemberKey { conference, member: Member::Relay(place) };
        let connection = self.connect(key, transport, port, web_socket_pwd, now)?;
        let state = self.conferences.get_mut(conference)?;
        state.relays.insert(Relay::new(id.to_owned(), place, mesh, connection));
        state.relay_by_id.insert(id.to_owned(), place);
        self.metrics.relays_created.inc();
        self.touch(key);
        self.settle(now);
        Some(key)
    }

    /// Gives a new member its place in the data plane, and makes its ufrag known.
    fn connect(
        &mut self,
        key: MemberKey,
        transport: EndpointTransport,
        port: Option<OpenedPort>,
        web_socket_pwd: String,
        now: Instant,
    ) -> Option<Connection> {
        let state = self.conferences.get(key.conference)?;
        let endpoints = state.endpoints.iter().map(|(_, endpoint)| &endpoint.connection);
        let all = endpoints.chain(state.relays.iter().map(|(_, relay)| &relay.connection));
        let homes: Vec<ShardId> = all.map(|connection| connection.route.home).collect();
        let home = self.data_plane.place(&homes);
        let peer = self.data_plane.add_peer(key, home, state.feedback_ssrcs.video);
        let ufrag = transport.local_ufrag().to_owned();
        self.data_plane.ufrag(&ufrag, Some(peer));
        self.by_ufrag.insert(ufrag, key);
        let unique_port = port.as_ref().map(|port| port.number);
        if let Some(port) = port {
            self.unique_ports.assign(port.number, key);
            self.data_plane.send(home, ShardCommand::OpenPort(port));
        }
        let connection = Connection::new(Route { peer, home }, transport, web_socket_pwd, now);
        Some(Connection { unique_port, ..connection })
    }

    /// A member restarted ICE: requests name it by its new ufrag too, and by those of generations that are gone no
    /// longer.
    pub(crate) fn add_ufrag(&mut self, key: MemberKey, ufrag: String) {
        let Some(connection) = self.connection_mut(key) else { return };
        let current: Vec<String> = connection.transport.local_ufrags().map(str::to_owned).collect();
        let gone = connection.ufrags.extract_if(.., |old| !current.contains(old)).collect::<Vec<_>>();
        let peer = connection.route.peer;
        if !connection.ufrags.contains(&ufrag) {
            connection.ufrags.push(ufrag.clone());
        }
        for old in gone {
            self.by_ufrag.remove(&old);
            self.data_plane.ufrag(&old, None);
        }
        self.data_plane.ufrag(&ufrag, Some(peer));
        self.by_ufrag.insert(ufrag, key);
    }

    /// Takes an endpoint out of its conference. The others are told when things are settled.
    pub(crate) fn remove_endpoint(&mut self, key: EndpointKey, now: Instant) {
        let Some((conference, mut context)) = self.conference(key.conference, now) else { return };
        let Some(endpoint) = conference.remove_endpoint(key.endpoint, &mut context) else { return };
        self.forget_endpoint(key, endpoint, now);
        self.schedule_conference(key.conference);
    }

    /// Ends a relay, and takes those who are behind it out of the conference.
    pub(crate) fn remove_relay(&mut self, conference: usize, relay: usize, now: Instant) {
        let Some((state, mut context)) = self.conference(conference, now) else { return };
        let Some(gone) = state.remove_relay(relay, &mut context) else { return };
        self.forget_relay(MemberKey { conference, member: Member::Relay(relay) }, gone);
        self.schedule_conference(conference);
    }

    /// Ends a conference.
    pub(crate) fn remove_conference(&mut self, key: usize, now: Instant) {
        let Some(conference) = self.conferences.try_remove(key) else { return };
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

    fn forget_endpoint(&mut self, key: EndpointKey, endpoint: Endpoint, now: Instant) {
        self.end_capture_of(key);
        self.forget(key.into(), &endpoint.connection, endpoint.subscriptions, "endpoint closed");
        self.metrics.endpoints.dec();
        self.metrics.count_end(endpoint.connection.reached);
        self.follow_shutdown(now);
    }

    fn forget_relay(&mut self, key: MemberKey, relay: Relay) {
        tracing::info!(relay = relay.id, "relay ended");
        let dialed = relay.dial.as_ref().and_then(Dial::socket);
        if let Some(id) = dialed.filter(|id| relay.connection.channel.web_socket() != Some(*id)) {
            self.close_web_socket(id, 1001, "relay_closed");
        }
        self.forget(key, &relay.connection, relay.subscriptions, "relay_closed");
        self.metrics.count_relay_end(relay.connection.reached);
    }

    /// Forgets every way that leads to a member.
    fn forget(
        &mut self,
        key: MemberKey,
        connection: &Connection,
        subscriptions: Subscriptions,
        last_words: &'static str,
    ) {
        for ufrag in &connection.ufrags {
            self.by_ufrag.remove(ufrag);
            self.data_plane.ufrag(ufrag, None);
        }
        for remote in &connection.remotes {
            self.forget_remote(key, connection.unique_port, *remote);
        }
        if let Some(number) = connection.unique_port {
            self.unique_ports.close(number);
            self.data_plane.send(connection.route.home, ShardCommand::ClosePort { number });
        }
        if let Some(id) = connection.channel.web_socket() {
            self.close_web_socket(id, 1001, last_words);
        }
        self.data_plane.remove_peer(connection.route, subscriptions.into_vec());
        self.timers.remove(TimerKey::Member(key));
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
            self.timers.set(TimerKey::Member(key), at);
        }
    }

    pub(crate) fn schedule_conference(&mut self, key: usize) {
        let timeout = self.conferences.get(key).and_then(Conference::poll_timeout);
        match timeout {
            Some(at) => self.timers.set(TimerKey::Conference(key), at),
            None => self.timers.remove(TimerKey::Conference(key)),
        }
    }

    /// After STUN from `remote` was taken by a member: what comes from there may be its.
    pub(crate) fn remember_remote(&mut self, key: MemberKey, remote: PeerAddress) {
        let Some(connection) = self.connection_mut(key) else { return };
        let (port, is_validated) = (connection.unique_port, connection.transport.is_validated(remote));
        let mut forgotten = None;
        if !connection.remotes.contains(&remote) {
            if !connection.transport.is_known(remote) {
                return;
            }
            if connection.remotes.len() >= MAX_REMOTES_PER_MEMBER {
                forgotten = Some(connection.remotes.remove(0));
            }
            connection.remotes.push(remote);
        }
        if let Some(forgotten) = forgotten {
            self.forget_remote(key, port, forgotten);
        }
        self.change_owners((port, remote), |owners| owners.insert(key, is_validated));
        if is_validated {
            self.data_plane.manage_connection(remote, ConnectionAction::Confirm);
        }
    }

    fn forget_remote(&mut self, key: MemberKey, port: Option<u16>, remote: PeerAddress) {
        self.change_owners((port, remote), |owners| owners.remove(key));
        if !self.by_remote.contains_key(&(port, remote)) {
            self.data_plane.manage_connection(remote, ConnectionAction::Close);
        }
    }

    /// Changes who claims an address; shards are told if its media is somebody else's then.
    fn change_owners(&mut self, at: (Option<u16>, PeerAddress), change: impl FnOnce(&mut RemoteOwners)) {
        let owners = self.by_remote.entry(at).or_default();
        let before = owners.first();
        change(owners);
        let after = owners.first();
        if after.is_none() {
            self.by_remote.remove(&at);
        }
        if after != before {
            let to = after.and_then(|key| self.connection_mut(key)).map(|connection| connection.route);
            self.data_plane.route(at.1, at.0, to);
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
