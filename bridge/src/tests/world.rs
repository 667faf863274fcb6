//! One bridge, one conference, its clients, and the network between them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use ice::IceCredentials;
use jitsi_protocol::colibri2::{
    ColibriError, ConferenceModified, ConferenceModify, EndpointModify, HeaderExtension, IceTransport, Media,
    PayloadTypeDescription, RtcpFeedback, Sctp, TransportRequest,
};
use model::{EndpointId, FiveTuple, MediaType, PayloadType};
use rtp::ExtensionKind;
use sim::Bottleneck;

use super::bridge::Bridge;
use super::camera::{Camera, OPUS, VIDEO};
use super::client::{
    ABS_SEND_TIME_ID, ALLOCATION_ID, AUDIO_LEVEL_ID, Client, DEPENDENCY_DESCRIPTOR_ID, MID_ID, TWCC_ID,
};
use super::encoder::Scheme;
use crate::Settings;
use crate::channel::WebSocketId;
use crate::counters::DropReason;
use crate::endpoint::Endpoint;
use crate::shard::layers::LayerCap;
use crate::transport::test_peer::{Random, bridge_address};
use crate::web_sockets::{ChannelAddress, ChannelMember, ChannelOutput, ChannelRefusal};

pub(super) const MEETING: &str = "6b1c0000-0000";
/// Inputs that may come at one instant; more, and time stands still.
const MAX_STEPS_AT_ONCE: usize = 20_000;

/// IPv4 and UDP.
const HEADERS_LEN: usize = 28;

/// What happens to datagrams one way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) latency: Duration,
    /// Most that is added to the latency, so that packets overtake each other.
    pub(super) jitter: Duration,
    pub(super) loss_percent: u64,
    /// Datagrams in a row of which a loss is one, on average; `loss_percent` counts them all.
    pub(super) burst: u64,
    pub(super) duplicate_percent: u64,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(20),
            jitter: Duration::ZERO,
            loss_percent: 0,
            burst: 1,
            duplicate_percent: 0,
        }
    }
}

/// The way of a client's datagrams to the bridge and back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    pub(super) up: Path,
    pub(super) down: Path,
}

/// Arrival, its place among those of the same time, where from and where to, the datagram.
type Flight = (Instant, u64, SocketAddr, SocketAddr, Vec<u8>);

/// From, to, datagram.
type Filter = fn(SocketAddr, SocketAddr, &[u8]) -> bool;

/// Everything.
pub(super) struct World {
    seed: u64,
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) bridge: Bridge,
    pub(super) clients: Vec<Client>,
    pub(super) up: Path,
    pub(super) down: Path,
    pub(super) random: Random,
    /// How often the bridge wanted to be woken.
    pub(super) wakeups: usize,
    network: BinaryHeap<Reverse<Flight>>,
    flights: u64,
    /// Loses what a test wants lost.
    pub(super) loses: Option<Filter>,
    /// Lines to clients that are narrow.
    pub(super) lines: BTreeMap<SocketAddr, Bottleneck>,
    /// Clients with other ways than `up` and `down`.
    pub(super) links: BTreeMap<SocketAddr, Link>,
    /// Ways on which a burst of loss is under way, by where from and where to.
    bursts: BTreeSet<(SocketAddr, SocketAddr)>,
    /// What those who join can do, as the focus tells it.
    pub(super) capabilities: Vec<&'static str>,
    /// How they and the bridge tell each other what their paths carry.
    pub(super) feedback: Feedback,
    /// Whether what passes the bridge's port is noted: from, to, datagram.
    pub(super) is_watched: bool,
    pub(super) passed: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    /// Clients of other bridges, whose names and SSRCs come before those here.
    pub(super) first_client: usize,
    /// What the bridge sent to others: from which port, where to, the datagram.
    pub(super) to_bridges: Vec<(u16, SocketAddr, Vec<u8>)>,
    /// WebSockets to and from other bridges, and what goes to them.
    pub(super) relay_sockets: BTreeSet<WebSocketId>,
    pub(super) to_relay_sockets: Vec<ChannelOutput>,
    /// The conference that clients join and requests are about.
    pub(super) meeting: &'static str,
}

/// Whether another bridge is there, at whatever port.
fn is_other_bridge(address: SocketAddr) -> bool {
    matches!(address.ip(), IpAddr::V4(ip) if (Ipv4Addr::new(192, 0, 2, 101)..=Ipv4Addr::new(192, 0, 2, 255)).contains(&ip))
}

/// Where another bridge is, as bridges of tests see it: each sees itself at [`bridge_address`].
pub(super) fn other_bridge_address(bridge: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 101 + bridge as u8], 10_000))
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}, {:?} after the start", self.seed, self.now.saturating_duration_since(self.start));
        }
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self::with_settings(seed, |_| {})
    }

    pub(super) fn with_settings(seed: u64, change: impl FnOnce(&mut Settings)) -> Self {
        #[expect(clippy::disallowed_methods, reason = "virtual time needs one instant to count from")]
        let now = Instant::now();
        let mut settings = Settings::for_domain("meet.jitsi").unwrap();
        // Microphones are silent until they speak, and are to be heard all the same.
        settings.audio.silence = None;
        settings.web_socket_base = Some("wss://bridge.example".to_owned());
        change(&mut settings);
        Self {
            seed,
            start: now,
            now,
            // One shard, and several with hops between them.
            bridge: Bridge::new(settings, 1 + (seed % 3) as usize, seed, now),
            clients: Vec::new(),
            up: Path::default(),
            down: Path::default(),
            random: Random::new(seed),
            wakeups: 0,
            network: BinaryHeap::new(),
            flights: 0,
            loses: None,
            lines: BTreeMap::new(),
            links: BTreeMap::new(),
            bursts: BTreeSet::new(),
            capabilities: vec!["source-names"],
            feedback: Feedback::TransportWide,
            is_watched: false,
            passed: Vec::new(),
            first_client: 0,
            to_bridges: Vec::new(),
            relay_sockets: BTreeSet::new(),
            to_relay_sockets: Vec::new(),
            meeting: MEETING,
        }
    }

    /// A world in which `count` clients have joined and are connected.
    pub(super) fn connected(seed: u64, count: usize) -> Self {
        Self::connected_with(seed, count, |_| {})
    }

    /// As [`connected`](Self::connected), with other settings.
    pub(super) fn connected_with(seed: u64, count: usize, change: impl FnOnce(&mut Settings)) -> Self {
        let mut world = Self::with_settings(seed, change);
        for _ in 0..count {
            world.join();
        }
        world.run(1000);
        for client in &world.clients {
            assert!(client.peer.has_keys() && client.peer.is_channel_open(), "{} is connected", client.id);
        }
        world
    }

    /// A client joins as the focus has it: the bridge is asked for a transport, then told the client's, and what it
    /// sends.
    pub(super) fn join(&mut self) -> usize {
        let index = self.clients.len();
        let mut client = Client::new(self.first_client + index, self.now);
        client.sends_times = self.feedback == Feedback::Remb;
        client.meeting = self.meeting;
        let is_first = self.clients.iter().all(|client| client.meeting != self.meeting);
        self.clients.push(client);
        self.allocate(index, is_first);
        self.announce(index);
        index
    }

    /// The first request of a join.
    pub(super) fn allocate(&mut self, index: usize, creates_conference: bool) {
        let id = self.clients[index].id.clone();
        let capabilities = self.capabilities.iter().copied().map(str::to_owned).collect();
        let request = ConferenceModify {
            create: creates_conference,
            name: Some("room@muc.meet.jitsi".to_owned()),
            endpoints: vec![EndpointModify { capabilities, media: media(self.feedback), ..create_request(&id) }],
            ..ConferenceModify::new(self.meeting.parse().unwrap())
        };
        let answer = self.colibri(&request).unwrap();
        let ice = answer.endpoints[0].transport.clone().unwrap().ice.unwrap();
        let client = &mut self.clients[index];
        client.web_socket_url = ice.web_sockets.first().cloned();
        client.peer.take_description(&ice, self.now);
    }

    /// The second request of a join: the client's transport and sources.
    pub(super) fn announce(&mut self, index: usize) {
        let description = self.clients[index].peer.description();
        self.announce_as(index, description);
    }

    /// As [`announce`](Self::announce), with another transport than the client has.
    pub(super) fn announce_as(&mut self, index: usize, description: IceTransport) {
        let client = &self.clients[index];
        let transport = TransportRequest { ice: Some(description), ..transport_request(None) };
        let sources = Some(client.sources());
        let request = EndpointModify { transport: Some(transport), sources, ..EndpointModify::new(client.id.clone()) };
        self.modify(request).unwrap();
    }

    /// Tells the bridge the client's sources again.
    pub(super) fn update_sources(&mut self, index: usize) {
        let client = &self.clients[index];
        let request = EndpointModify { sources: Some(client.sources()), ..EndpointModify::new(client.id.clone()) };
        self.modify(request).unwrap();
    }

    /// A client sends another camera from now on.
    pub(super) fn set_camera(&mut self, index: usize, scheme: Scheme, encodings: &[&[u16]]) {
        let client = &mut self.clients[index];
        let (name, ssrc) = (client.cameras[0].name.clone(), client.video_ssrc() + 10);
        client.cameras[0] = Camera::of_scheme(name, ssrc, scheme, encodings);
        self.update_sources(index);
    }

    /// Allows a receiver no higher layers of another client's camera.
    pub(super) fn cap(&mut self, receiver: usize, sender: usize, cap: LayerCap) {
        let source = self.endpoint(sender).unwrap().sources.video[0].id;
        let key = self.endpoint(receiver).unwrap().key;
        let (conference, mut context) = self.bridge.conference(0, self.now).unwrap();
        conference.endpoints[key].caps.insert(source, Some(cap));
        conference.reallocate_receiver(key, &mut context);
        self.flush();
    }

    /// Restarts ICE as the focus and the client do; the `generation`th time.
    pub(super) fn restart_ice(&mut self, index: usize, generation: u8) {
        let id = self.clients[index].id.clone();
        let restart = TransportRequest { ice_restart: true, ..transport_request(None) };
        let request = EndpointModify { transport: Some(restart), ..EndpointModify::new(id.clone()) };
        let answer = self.modify(request).unwrap();
        let ice = answer.endpoints[0].transport.clone().unwrap().ice.unwrap();
        assert_eq!(ice.ice_generation, Some(u32::from(generation)));
        let client = &mut self.clients[index];
        client.peer.ice.restart(self.now, IceCredentials::from_random(&[200 + generation; 24])).unwrap();
        client.peer.take_description(&ice, self.now);
        let answer = TransportRequest { ice: Some(client.peer.description()), ..transport_request(None) };
        self.modify(EndpointModify { transport: Some(answer), ..EndpointModify::new(id) }).unwrap();
    }

    /// Takes a client out of the conference.
    pub(super) fn expire(&mut self, index: usize) {
        let id = self.clients[index].id.clone();
        self.modify(EndpointModify { expire: true, ..EndpointModify::new(id) }).unwrap();
    }

    #[expect(clippy::unwrap_in_result, reason = "a refusal is an answer, anything else a fault of the test")]
    pub(super) fn modify(&mut self, endpoint: EndpointModify) -> Result<ConferenceModified, ColibriError> {
        let meeting = self.meeting.parse().unwrap();
        let request = ConferenceModify { endpoints: vec![endpoint], ..ConferenceModify::new(meeting) };
        self.colibri(&request)
    }

    /// A request as it comes over XMPP.
    #[expect(clippy::unwrap_in_result, reason = "a refusal is an answer, anything else a fault of the test")]
    pub(super) fn colibri(&mut self, request: &ConferenceModify) -> Result<ConferenceModified, ColibriError> {
        let parsed = ConferenceModify::from_element(&request.to_element()).unwrap();
        assert_eq!(parsed, *request);
        let answer = self.bridge.handle_colibri(parsed, self.now)?;
        assert_eq!(ConferenceModified::from_element(&answer.to_element()).as_ref(), Ok(&answer));
        self.flush();
        Ok(answer)
    }

    /// The bridge's side of a client.
    pub(super) fn endpoint(&self, index: usize) -> Option<&Endpoint> {
        let id = &self.clients[index].id;
        let mut endpoints = self.bridge.conferences.iter().flat_map(|(_, conference)| &conference.endpoints);
        endpoints.find(|(_, endpoint)| endpoint.id == *id).map(|(_, endpoint)| endpoint)
    }

    /// The round trip to a client, as its home shard knows it.
    pub(super) fn rtt(&self, index: usize) -> Option<Duration> {
        let route = self.endpoint(index)?.connection.route;
        self.bridge.shard(route.home).rtt(route.peer)
    }

    pub(super) fn dropped(&self, reason: DropReason) -> u64 {
        self.bridge.counted(|counters| counters.dropped(reason))
    }

    /// Opens a WebSocket as the client's URL says.
    pub(super) fn open_web_socket(&mut self, index: usize) -> Result<WebSocketId, ChannelRefusal> {
        let url = self.clients[index].web_socket_url.clone().unwrap();
        let (path, pwd) = url.split_once("?pwd=").unwrap();
        let mut parts = path.rsplit('/');
        let (endpoint, conference) = (parts.next().unwrap(), parts.next().unwrap());
        let address = ChannelAddress {
            conference: conference.to_owned(),
            member: ChannelMember::Endpoint(endpoint.to_owned()),
            pwd: pwd.to_owned(),
        };
        let id = self.bridge.open_web_socket(&address, self.now)?;
        self.clients[index].web_socket = Some(id);
        self.flush();
        Ok(id)
    }

    pub(super) fn web_socket_text(&mut self, index: usize, text: &str) {
        let id = self.clients[index].web_socket.unwrap();
        self.bridge.handle_web_socket_text(id, text, self.now);
        self.flush();
    }

    /// Lets `ms` milliseconds pass.
    pub(super) fn run(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        let (mut steps, mut at) = (0, self.now);
        loop {
            let next = self.next_event(end);
            steps = if next == at { steps + 1 } else { 0 };
            at = next;
            assert!(steps < MAX_STEPS_AT_ONCE, "time stands still");
            if next >= end {
                self.now = end;
                return;
            }
            self.now = next;
            self.step();
        }
    }

    /// Has everybody send what they have, and answers when something happens next, at the `end` if not before.
    pub(super) fn next_event(&mut self, end: Instant) -> Instant {
        self.flush();
        let mut next = end;
        for index in 0..self.clients.len() {
            let client = &mut self.clients[index];
            client.take_received(self.now);
            next = next.min(client.peer.drain(self.now)).min(client.next_tick);
            let external = client.external;
            for datagram in std::mem::take(&mut client.peer.outgoing) {
                self.send(external, bridge_address(), datagram);
            }
        }
        next = self.bridge.poll_timeout().map_or(next, |timeout| next.min(timeout));
        self.network.peek().map_or(next, |Reverse((arrival, ..))| next.min(*arrival)).max(self.now)
    }

    /// Does what is due now.
    pub(super) fn step(&mut self) {
        let now = self.now;
        while self.network.peek().is_some_and(|Reverse((arrival, ..))| *arrival <= now)
            && let Some(Reverse((_, _, from, to, datagram))) = self.network.pop()
        {
            self.deliver(from, to, datagram);
        }
        if self.bridge.poll_timeout().is_some_and(|timeout| timeout <= now) {
            self.wakeups += 1;
            self.bridge.handle_timeout(now);
        }
        let ms = now.saturating_duration_since(self.start).as_millis() as u64;
        for client in &mut self.clients {
            client.peer.handle_timeout(now);
            if client.next_tick <= now {
                client.handle_tick(ms, now);
            }
        }
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
        if to.ip() == bridge_address().ip() {
            self.watch(from, to, &datagram);
            let sender = self.clients.iter_mut().find(|client| client.external == from);
            if let Some(journal) = sender.and_then(|client| client.journal.as_mut()) {
                journal.handle_arrival(&datagram, self.now);
            }
            let is_over_tcp = self.clients.iter().any(|client| client.external == from && client.is_over_tcp);
            let path = if is_over_tcp { FiveTuple::tcp(to, from) } else { FiveTuple::udp(to, from) };
            self.bridge.handle_datagram(path, &datagram, self.now);
        } else if let Some(client) = self.clients.iter_mut().find(|client| client.external == to) {
            client.peer.handle_datagram(self.now, datagram);
        }
    }

    /// Takes what the bridge has to send.
    pub(super) fn flush(&mut self) {
        for (path, datagram) in self.bridge.take_sent(self.now) {
            self.watch(bridge_address(), path.remote, &datagram);
            if let Some(client) = self.clients.iter_mut().find(|client| client.external == path.remote) {
                client.handle_sent_by_bridge(&datagram, self.now);
            }
            let port = Some(path.local.port()).filter(|port| *port > 0).unwrap_or(bridge_address().port());
            self.send(SocketAddr::new(bridge_address().ip(), port), path.remote, datagram);
        }
        while let Some(output) = self.bridge.poll_channel_output() {
            let (ChannelOutput::Text { id, .. } | ChannelOutput::Close { id, .. } | ChannelOutput::Dial { id, .. }) =
                output;
            if self.bridge.is_relay_socket(id) || self.relay_sockets.contains(&id) {
                self.relay_sockets.insert(id);
                self.to_relay_sockets.push(output);
                continue;
            }
            let client = self.clients.iter_mut().find(|client| client.web_socket.is_some_and(|open| open >= id));
            let Some(client) = client else { continue };
            match output {
                ChannelOutput::Text { text, .. } => client.web_socket_texts.push(text),
                ChannelOutput::Close { code, reason, .. } => client.closes.push((code, reason)),
                ChannelOutput::Dial { .. } => panic!("clients are not dialed"),
            }
        }
    }

    fn watch(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        if self.is_watched {
            self.passed.push((from, to, datagram.to_vec()));
        }
    }

    pub(super) fn send(&mut self, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
        if is_other_bridge(to) {
            return self.to_bridges.push((from.port(), to, datagram));
        }
        let is_up = to.ip() == bridge_address().ip();
        let mut client = if is_up { from } else { to };
        if is_other_bridge(client) {
            client.set_port(bridge_address().port());
        }
        let link = self.links.get(&client).copied().unwrap_or(Link { up: self.up, down: self.down });
        let path = if is_up { link.up } else { link.down };
        if self.loses.is_some_and(|loses| loses(from, to, &datagram)) {
            return;
        }
        if self.random.below(100) < path.duplicate_percent {
            self.put_on_the_way(path, from, to, datagram.clone());
        }
        if !self.is_lost(path, from, to) {
            self.put_on_the_way(path, from, to, datagram);
        }
    }

    /// Losses come alone, or in bursts of geometric length (the model of Gilbert).
    fn is_lost(&mut self, path: Path, from: SocketAddr, to: SocketAddr) -> bool {
        let chance = self.random.below(100 * path.burst);
        if path.burst == 1 {
            return chance < path.loss_percent;
        }
        let goes_on = if self.bursts.contains(&(from, to)) {
            chance >= 100
        } else {
            // So that the share of time within bursts is the loss.
            chance * (100 - path.loss_percent) < path.loss_percent * 100
        };
        if goes_on {
            self.bursts.insert((from, to));
        } else {
            self.bursts.remove(&(from, to));
        }
        goes_on
    }

    fn put_on_the_way(&mut self, path: Path, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
        let jitter = Duration::from_micros(self.random.below(path.jitter.as_micros() as u64 + 1));
        self.flights += 1;
        let left = match self.lines.get_mut(&to) {
            Some(line) => line.pass(self.now, datagram.len() + HEADERS_LEN),
            None => Some(self.now),
        };
        let Some(left) = left else { return };
        self.network.push(Reverse((left + path.latency + jitter, self.flights, from, to, datagram)));
    }
}

/// What a focus asks for a new endpoint.
pub(super) fn create_request(id: &EndpointId) -> EndpointModify {
    EndpointModify {
        create: true,
        capabilities: vec!["source-names".to_owned()],
        media: media(Feedback::TransportWide),
        transport: Some(transport_request(Some(Sctp::default()))),
        ..EndpointModify::new(id.clone())
    }
}

/// A transport without anything of the client.
pub(super) fn transport_request(sctp: Option<Sctp>) -> TransportRequest {
    TransportRequest { ice_controlling: sctp.is_some(), use_unique_port: false, ice_restart: false, ice: None, sctp }
}

/// What is negotiated of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feedback {
    TransportWide,
    /// With `abs-send-time`.
    Remb,
}

pub(super) fn media(feedback: Feedback) -> Vec<Media> {
    let feedback_type = match feedback {
        Feedback::TransportWide => "transport-cc",
        Feedback::Remb => "goog-remb",
    };
    let payload_type = |id: u8, name: &str, clock_rate, parameters: &[(&str, &str)]| PayloadTypeDescription {
        id: PayloadType::try_from(id).unwrap(),
        name: name.to_owned(),
        clock_rate,
        channels: None,
        parameters: parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        feedback: vec![RtcpFeedback { feedback_type: feedback_type.to_owned(), subtype: None }],
    };
    let extension = |id, kind: ExtensionKind| HeaderExtension { id, uri: kind.uri().to_owned() };
    let transport_cc = match feedback {
        Feedback::TransportWide => extension(TWCC_ID, ExtensionKind::TransportWideCc),
        Feedback::Remb => extension(ABS_SEND_TIME_ID, ExtensionKind::AbsSendTime),
    };
    let mid = extension(MID_ID, ExtensionKind::Mid);
    vec![
        Media {
            media_type: MediaType::Audio,
            payload_types: vec![payload_type(OPUS, "opus", 48_000, &[])],
            header_extensions: vec![
                extension(AUDIO_LEVEL_ID, ExtensionKind::AudioLevel),
                transport_cc.clone(),
                mid.clone(),
            ],
            extmap_allow_mixed: true,
        },
        Media {
            media_type: MediaType::Video,
            payload_types: VIDEO
                .into_iter()
                .flat_map(|(video, rtx, name)| {
                    let apt = video.to_string();
                    [payload_type(video, name, 90_000, &[]), payload_type(rtx, "rtx", 90_000, &[("apt", &apt)])]
                })
                .collect(),
            header_extensions: vec![
                transport_cc,
                mid,
                extension(DEPENDENCY_DESCRIPTOR_ID, ExtensionKind::DependencyDescriptor),
                extension(ALLOCATION_ID, ExtensionKind::VideoLayersAllocation),
            ],
            extmap_allow_mixed: true,
        },
    ]
}
