//! Conferences over several bridges: worlds of one bridge each, in step, with links between the bridges.
//!
//! Here: the bridges, the focus that joins them, and what passes between them. Tests of one behaviour are in the modules
//! beside.

mod bandwidth;
mod channel;
mod colibri;
mod connects;
mod demand;
mod media;
mod trouble;
mod unique_ports;
mod web_sockets;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use jitsi_protocol::bridge_channel::{RelayMessage, ServerHello};
use jitsi_protocol::colibri2::{
    ColibriError, ConferenceModified, ConferenceModify, EndpointModify, IceTransport, RelayModify, Sctp,
    TransportRequest,
};
use xmpp::jingle::DtlsSetup;

use super::client::Client;
use super::incoming::Incoming;
use super::world::{Feedback, MEETING, World, media, other_bridge_address};
use crate::Settings;
use crate::channel::WebSocketId;
use crate::counters::DropReason;
use crate::relay::{Far, Relay};
use crate::transport::test_peer::bridge_address;
use crate::web_sockets::{ChannelAddress, ChannelMember, ChannelOutput};

/// Clients of one bridge at most.
const MAX_CLIENTS: usize = 8;

/// Several bridges.
pub(super) struct Cascade {
    worlds: Vec<World>,
    /// What bridges sent each other: from, to, datagram.
    passed: Vec<(usize, usize, Vec<u8>)>,
    channels: Channels,
    /// WebSockets between bridges that are open: both ends of each.
    sockets: Vec<[(usize, WebSocketId); 2]>,
    /// Whether bridges refuse WebSockets, and when somebody tried.
    refuses_sockets: bool,
    tries: Vec<Instant>,
}

/// What carries the channels of relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channels {
    Sctp,
    WebSockets,
}

fn is_rtp(datagram: &[u8]) -> bool {
    ice::DatagramKind::of(datagram) == ice::DatagramKind::Media && !rtp::is_rtcp(datagram)
}

fn relay_id(bridge: usize) -> String {
    format!("bridge-{bridge}.example")
}

impl Cascade {
    /// Bridges with so many clients each, not joined yet.
    fn new(seed: u64, clients: &[usize]) -> Self {
        Self::with_settings(seed, clients, |_| {})
    }

    fn with_settings(seed: u64, clients: &[usize], change: impl Fn(&mut Settings)) -> Self {
        let worlds = (0..).zip(clients).map(|(bridge, clients)| {
            let mut world = World::with_settings(seed + bridge as u64, |settings| {
                settings.relay_id = Some(relay_id(bridge));
                settings.web_socket_base = Some(format!("wss://{}", relay_id(bridge)));
                change(settings);
            });
            world.first_client = bridge * MAX_CLIENTS;
            for _ in 0..*clients {
                world.join();
            }
            world
        });
        let mut cascade = Self {
            worlds: worlds.collect(),
            passed: Vec::new(),
            channels: Channels::Sctp,
            sockets: Vec::new(),
            refuses_sockets: false,
            tries: Vec::new(),
        };
        // Each world began at an instant of its own.
        let start = cascade.worlds.iter().map(|world| world.now).max().unwrap();
        cascade.worlds.iter_mut().for_each(|world| world.now = start);
        cascade
    }

    /// Bridges in a full mesh, where everybody is connected.
    fn meshed(seed: u64, clients: &[usize]) -> Self {
        Self::meshed_over(Channels::Sctp, seed, clients)
    }

    fn meshed_over(channels: Channels, seed: u64, clients: &[usize]) -> Self {
        let mut cascade = Self::new(seed, clients);
        cascade.channels = channels;
        for from in 0..clients.len() {
            for to in from + 1..clients.len() {
                cascade.join(from, to, "0");
            }
        }
        cascade.run(2000);
        cascade.check_connected();
        cascade
    }

    fn check_connected(&self) {
        for (bridge, world) in self.worlds.iter().enumerate() {
            for client in &world.clients {
                assert!(client.peer.has_keys() && client.peer.is_channel_open(), "{} is connected", client.id);
            }
            for (_, relay) in world.bridge.conferences.iter().flat_map(|(_, conference)| &conference.relays) {
                assert!(relay.connection.path.is_some(), "{bridge} has a path to {}", relay.id);
                assert_ne!(relay.connection.channel.active(), crate::channel::ChannelTransport::None);
            }
        }
    }

    fn client(&self, bridge: usize, index: usize) -> &Client {
        &self.worlds[bridge].clients[index]
    }

    fn client_mut(&mut self, bridge: usize, index: usize) -> &mut Client {
        &mut self.worlds[bridge].clients[index]
    }

    /// What a client receives of the first camera of another one.
    fn video(&self, receiver: (usize, usize), sender: (usize, usize)) -> &Incoming {
        self.client(receiver.0, receiver.1).stream(self.client(sender.0, sender.1).video_ssrc())
    }

    /// A bridge hears of the one that it is linked with that it is an original one.
    fn take_other_for_original(&mut self, bridge: usize) {
        let now = self.now();
        let videobridge = &mut self.worlds[bridge].bridge;
        let key = videobridge.conferences.iter().next().unwrap().1.relays.iter().next().unwrap().0;
        let hello = RelayMessage::ServerHello(ServerHello { version: Some("2.3.269-gabc".to_owned()) });
        let (conference, mut context) = videobridge.conference(0, now).unwrap();
        conference.handle_relay_text(key, &hello.to_json(), &mut context);
        assert_eq!(conference.relays.get(key).unwrap().far, Far::Jvb);
    }

    /// The bridge's side of a link.
    fn relay(&self, bridge: usize, to: usize) -> &Relay {
        let (_, conference) = self.worlds[bridge].bridge.conferences.iter().next().unwrap();
        let key = conference.relay_by_id[&relay_id(to)];
        &conference.relays[key]
    }

    /// What a focus tells a bridge about one of its relays.
    #[expect(clippy::unwrap_in_result, reason = "a refusal is an answer, anything else a fault of the test")]
    fn modify(&mut self, bridge: usize, relay: RelayModify) -> Result<ConferenceModified, ColibriError> {
        let meeting = self.worlds[bridge].meeting.parse().unwrap();
        let request = ConferenceModify { relays: vec![relay], ..ConferenceModify::new(meeting) };
        self.worlds[bridge].colibri(&request)
    }

    /// The clients of a bridge as others are told of them.
    fn endpoints(&self, bridge: usize) -> Vec<EndpointModify> {
        let told = |client: &Client| EndpointModify {
            create: true,
            sources: Some(client.sources()),
            ..EndpointModify::new(client.id.clone())
        };
        let world = &self.worlds[bridge];
        world.clients.iter().filter(|client| client.meeting == world.meeting).map(told).collect()
    }

    /// Joins two bridges as Jicofo does: `from` is controlling, client of SCTP and server of DTLS.
    fn join(&mut self, from: usize, to: usize, mesh: &str) {
        self.connect(from, to, mesh, true);
    }

    /// As [`join`](Self::join); with or without telling each who is behind the other.
    fn connect(&mut self, from: usize, to: usize, mesh: &str, tells_endpoints: bool) {
        let mut create = |bridge: usize, other: usize, is_initiator: bool| {
            let endpoints = if tells_endpoints { self.endpoints(other) } else { Vec::new() };
            let mut request = RelayModify { endpoints, ..create_request(other, mesh, is_initiator) };
            if let (Channels::WebSockets, Some(transport)) = (self.channels, &mut request.transport) {
                transport.sctp = None;
            }
            let answer = self.modify(bridge, request);
            let ice = answer.unwrap().relays.remove(0).transport.unwrap().ice.unwrap();
            assert_eq!(ice.fingerprints[0].setup, Some(DtlsSetup::ActPass));
            as_others_see_it(ice, bridge)
        };
        let (ours, theirs) = (create(from, to, true), create(to, from, false));
        for (bridge, other, ice, setup) in [(from, to, theirs, DtlsSetup::Active), (to, from, ours, DtlsSetup::Passive)]
        {
            let mut ice = ice;
            ice.fingerprints[0].setup = Some(setup);
            if setup == DtlsSetup::Passive {
                // It waits for the side that starts the link.
                ice.web_sockets.clear();
            }
            let transport = Some(TransportRequest { ice: Some(ice), ..TransportRequest::default() });
            let answer = self.modify(bridge, RelayModify { transport, ..RelayModify::new(relay_id(other)) }).unwrap();
            assert_eq!(answer.relays[0].transport, None);
        }
    }

    /// Tells a bridge the sources of all who are behind one of its relays.
    fn announce(&mut self, bridge: usize, other: usize) {
        let endpoints = self.endpoints(other);
        self.modify(bridge, RelayModify { endpoints, ..RelayModify::new(relay_id(other)) }).unwrap_or_else(|error| {
            panic!("{error:?}");
        });
    }

    /// Ends both sides of a link.
    fn part(&mut self, from: usize, to: usize) {
        for (bridge, other) in [(from, to), (to, from)] {
            let answer = self.modify(bridge, RelayModify { expire: true, ..RelayModify::new(relay_id(other)) });
            assert!(answer.unwrap().relays[0].expire);
        }
    }

    fn now(&self) -> Instant {
        self.worlds[0].now
    }

    /// Lets `ms` milliseconds pass everywhere.
    fn run(&mut self, ms: u64) {
        let end = self.now() + Duration::from_millis(ms);
        loop {
            self.worlds.iter_mut().for_each(|world| {
                world.next_event(end);
            });
            self.exchange();
            self.exchange_texts();
            let next = self.worlds.iter_mut().map(|world| world.next_event(end)).min().unwrap();
            self.exchange();
            self.exchange_texts();
            self.worlds.iter_mut().for_each(|world| world.now = next.min(end));
            if next >= end {
                return;
            }
            self.worlds.iter_mut().for_each(World::step);
        }
    }

    /// Carries what bridges have for each other.
    fn exchange(&mut self) {
        for from in 0..self.worlds.len() {
            for (port, address, datagram) in std::mem::take(&mut self.worlds[from].to_bridges) {
                let to = (0..self.worlds.len()).find(|bridge| other_bridge_address(*bridge).ip() == address.ip());
                let to = to.expect("no bridge sends to another address");
                self.passed.push((from, to, datagram.clone()));
                let sender = SocketAddr::new(other_bridge_address(from).ip(), port);
                let receiver = SocketAddr::new(bridge_address().ip(), address.port());
                self.worlds[to].send(sender, receiver, datagram);
            }
        }
    }

    /// Opens WebSockets between bridges, and carries what they have for each other.
    fn exchange_texts(&mut self) {
        for from in 0..self.worlds.len() {
            for output in std::mem::take(&mut self.worlds[from].to_relay_sockets) {
                let now = self.now();
                match output {
                    ChannelOutput::Dial { id, url } => {
                        self.tries.push(now);
                        match self.accept(&url) {
                            Some(other) => {
                                self.sockets.push([(from, id), other]);
                                self.worlds[from].bridge.handle_web_socket_opened(id, now);
                            }
                            None => self.worlds[from].bridge.handle_web_socket_closed(id, now),
                        }
                    }
                    ChannelOutput::Text { id, text } => {
                        if let Some((to, id)) = self.other_end((from, id)) {
                            self.worlds[to].bridge.handle_web_socket_text(id, &text, now);
                        }
                    }
                    ChannelOutput::Close { id, .. } => self.break_socket((from, id)),
                }
            }
        }
    }

    /// A bridge is asked for a WebSocket: answers which bridge and its end.
    fn accept(&mut self, url: &str) -> Option<(usize, WebSocketId)> {
        let (host, path) = url.strip_prefix("wss://")?.split_once('/')?;
        let to = (0..self.worlds.len()).find(|bridge| relay_id(*bridge) == host).filter(|_| !self.refuses_sockets)?;
        let (path, pwd) = path.split_once("?pwd=")?;
        let ["colibri-relay-ws", "default-id", conference, relay] = path.split('/').collect::<Vec<_>>()[..] else {
            panic!("{path}");
        };
        let member = ChannelMember::Relay(relay.to_owned());
        let address = ChannelAddress { conference: conference.to_owned(), member, pwd: pwd.to_owned() };
        let now = self.now();
        Some((to, self.worlds[to].bridge.open_web_socket(&address, now).ok()?))
    }

    fn other_end(&self, end: (usize, WebSocketId)) -> Option<(usize, WebSocketId)> {
        let [first, second] = *self.sockets.iter().find(|ends| ends.contains(&end))?;
        Some(if first == end { second } else { first })
    }

    /// A WebSocket breaks, for both ends.
    fn break_socket(&mut self, end: (usize, WebSocketId)) {
        let now = self.now();
        let broken = self.sockets.extract_if(.., |ends| ends.contains(&end)).flatten().collect::<Vec<_>>();
        for (bridge, id) in broken {
            self.worlds[bridge].bridge.handle_web_socket_closed(id, now);
        }
    }

    /// SSRCs of the media that passed between two bridges since the last time, with the packets of each.
    fn take_passed(&mut self, from: usize, to: usize) -> std::collections::BTreeMap<u32, usize> {
        let mut counts = std::collections::BTreeMap::new();
        for (_, _, datagram) in std::mem::take(&mut self.passed).iter().filter(|(a, b, _)| (*a, *b) == (from, to)) {
            if is_rtp(datagram) {
                // What pads an encrypted packet cannot be told.
                let ssrc = datagram[8..].first_chunk().unwrap();
                *counts.entry(u32::from_be_bytes(*ssrc)).or_insert(0) += 1;
            }
        }
        counts
    }

    /// What was dropped by each bridge and why, to be told where a test fails.
    fn drops(&self) -> String {
        let of = |world: &World| {
            let counts = DropReason::ALL.iter().map(|(reason, name)| (*name, world.dropped(*reason)));
            counts.filter(|(_, count)| *count > 0).collect::<Vec<_>>()
        };
        format!("dropped: {:?}", self.worlds.iter().map(of).collect::<Vec<_>>())
    }

    /// Stops all media and lets what is under way arrive.
    fn quiet(&mut self) {
        for client in self.worlds.iter_mut().flat_map(|world| &mut world.clients) {
            client.is_live = false;
        }
        self.run(1500);
    }

    /// Checks that everybody got audio and video of everybody, without a gap.
    fn check_all_see_all(&self) {
        let everybody = || {
            let bridges = self.worlds.iter().enumerate();
            bridges.flat_map(|(bridge, world)| (0..world.clients.len()).map(move |index| (bridge, index)))
        };
        for receiver in everybody() {
            for sender in everybody().filter(|sender| *sender != receiver) {
                let (to, from) = (self.client(receiver.0, receiver.1), self.client(sender.0, sender.1));
                to.stream(from.microphone.ssrc).check_audio();
                let heights = to.stream(from.video_ssrc()).check_video();
                assert!(!heights.is_empty(), "{} sees {}", to.id, from.id);
            }
            let streams = 2 * (everybody().count() - 1);
            assert_eq!(self.client(receiver.0, receiver.1).incoming.len(), streams, "nothing else comes");
        }
    }
}

/// What a focus asks for a new relay.
fn create_request(other: usize, mesh: &str, is_initiator: bool) -> RelayModify {
    let role = if is_initiator { "client" } else { "server" };
    RelayModify {
        create: true,
        mesh_id: Some(mesh.to_owned()),
        media: media(Feedback::TransportWide),
        transport: Some(TransportRequest {
            ice_controlling: is_initiator,
            use_unique_port: is_initiator,
            sctp: Some(Sctp { role: Some(role.to_owned()), port: None }),
            ..TransportRequest::default()
        }),
        ..RelayModify::new(relay_id(other))
    }
}

/// A bridge's transport with the address that others reach it at.
fn as_others_see_it(mut ice: IceTransport, bridge: usize) -> IceTransport {
    ice.candidates.retain(|candidate| candidate.protocol == "udp");
    for candidate in &mut ice.candidates {
        candidate.ip = other_bridge_address(bridge).ip().to_string();
    }
    ice
}
