//! Our agent against the one of the `webrtc` family (`rtc-ice`), an implementation that shares no code with `is`: both
//! roles, UDP and TCP, restart, role conflict, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use ice::{Event, Generation, IceAgent, IceCredentials, IceRole, LocalAddress, LocalCandidate, Output, Transmit};
use model::{FiveTuple, TransportProtocol};
use rtc_ice::candidate::candidate_host::CandidateHostConfig;
use rtc_ice::candidate::{CandidateConfig, CandidateType};
use rtc_ice::network_type::NetworkType;
use rtc_ice::state::ConnectionState;
use rtc_ice::tcp_type::TcpType;
use rtc_shared::{TransportContext, TransportMessage};
use sansio::Protocol;
use sim::{Conditions, Delivery, Network};

const ROLES: [IceRole; 2] = [IceRole::Controlling, IceRole::Controlled];

#[test]
fn connects_in_either_role() {
    for role in ROLES {
        for is_peer_signalled in [true, false] {
            let mut world = World::new(role);
            world.start(role);
            if is_peer_signalled {
                world.signal_peer();
            }
            world.run(Duration::from_secs(5));
            assert_eq!(world.events, [Event::Connected(udp_pair())], "{role:?}");
            assert_eq!(world.peer.state(), ConnectionState::Connected, "{role:?}");
            assert_eq!(world.peers_choice(), Some((peer_address(), bridge_address())), "{role:?}");
        }
    }
}

#[test]
fn connects_through_loss_in_either_role() {
    for role in ROLES {
        for seed in 0..20 {
            let mut world = World::new(role);
            world.network = Network::new(PATH, seed);
            world.loss_percent = 25;
            world.start(role);
            world.run(Duration::from_secs(30));
            assert!(world.bridge.selected_pair().is_some(), "{role:?}, seed {seed}: {:?}", world.events);
            assert_eq!(world.peer.state(), ConnectionState::Connected, "{role:?}, seed {seed}");
        }
    }
}

#[test]
fn stays_connected_for_minutes() {
    for role in ROLES {
        let mut world = World::new(role);
        world.start(role);
        world.run(Duration::from_secs(180));
        assert_eq!(world.events, [Event::Connected(udp_pair())], "{role:?}");
        assert_eq!(world.peer.state(), ConnectionState::Connected, "{role:?}");
    }
}

#[test]
fn consent_ends_when_the_peer_is_gone() {
    for role in ROLES {
        let mut world = World::new(role);
        world.start(role);
        world.run(Duration::from_secs(5));
        world.loss_percent = 100;
        world.run(Duration::from_secs(40));
        assert_eq!(world.events, [Event::Connected(udp_pair()), Event::Disconnected, Event::Failed], "{role:?}");
    }
}

#[test]
fn connects_over_tcp_when_udp_is_blocked() {
    for role in ROLES {
        let mut world = World::new(role);
        world.is_udp_blocked = true;
        world.start(role);
        world.run(Duration::from_secs(10));
        assert_eq!(world.events, [Event::Connected(tcp_pair())], "{role:?}");
        assert_eq!(world.peer.state(), ConnectionState::Connected, "{role:?}");
    }
}

#[test]
fn restart_keeps_the_traffic_going_in_either_role() {
    for role in ROLES {
        let mut world = World::new(role);
        world.start(role);
        world.run(Duration::from_secs(5));
        let generation = world.bridge.restart(world.now, IceCredentials::from_random(&[3; 24])).unwrap();
        world.run(Duration::from_secs(1));
        assert_eq!(world.bridge.selected_pair(), Some(udp_pair()), "{role:?}");
        let (ufrag, pwd) = ("restarted".to_owned(), "restartedrestartedrestarted".to_owned());
        world.peer.restart(world.now, ufrag.clone(), pwd.clone(), true).unwrap();
        let remote = IceCredentials::from_signaling(&ufrag, &pwd).unwrap();
        world.bridge.set_remote_credentials(world.now, generation, remote).unwrap();
        world.start_peer(role);
        world.run(Duration::from_secs(5));
        let expected = [Event::Connected(udp_pair()), Event::RestartCompleted(generation)];
        assert_eq!(world.events, expected, "{role:?}");
        assert_eq!(world.peer.state(), ConnectionState::Connected, "{role:?}");
    }
}

/// Only where the other one keeps its role: where it has to yield, `rtc-ice` 0.21 refuses the check as well, which
/// RFC 8445 §7.3.1.1 does not allow, and a 487 it does not take. Conflicts of all kinds are tested against `is`.
#[test]
fn role_conflict_is_settled_by_yielding() {
    let mut world = World::with_tie_breaker(IceRole::Controlling, 0);
    world.start(IceRole::Controlled);
    world.run(Duration::from_secs(10));
    assert_eq!(world.events.first(), Some(&Event::Connected(udp_pair())));
    assert_eq!(world.peer.state(), ConnectionState::Connected);
    assert!(world.peer.role(), "it was controlling, and still is");
}

const PATH: Conditions = Conditions::clean(Duration::from_millis(20));

/// Our agent, the other one, and the path between them.
struct World {
    now: Instant,
    bridge: IceAgent,
    peer: rtc_ice::Agent,
    network: Network<End>,
    loss_percent: u8,
    is_udp_blocked: bool,
    events: Vec<Event>,
}

/// Where a datagram goes, or comes from, on a path named as the bridge sees it.
#[derive(Clone, Copy)]
enum End {
    Bridge(FiveTuple),
    Peer(FiveTuple),
}

impl World {
    fn new(role: IceRole) -> Self {
        Self::with_tie_breaker(role, 1 << 60)
    }

    fn with_tie_breaker(role: IceRole, tie_breaker: u64) -> Self {
        let now = sim::start();
        let addresses = [LocalAddress::host(bridge_address()), LocalAddress::tcp(bridge_tcp_address())];
        let candidates = LocalCandidate::gather(&addresses).unwrap();
        let bridge = IceAgent::new(now, IceCredentials::from_random(&[1; 24]), candidates, role, tie_breaker).unwrap();
        let config = rtc_ice::AgentConfig {
            candidate_types: vec![CandidateType::Host],
            network_types: vec![NetworkType::Udp4, NetworkType::Tcp4],
            check_interval: Duration::from_millis(50),
            ..Default::default()
        };
        let crypto = rtc_ice::crypto::default_provider().unwrap();
        let mut peer = rtc_ice::Agent::new(now, Arc::new(config), crypto).unwrap();
        peer.add_local_candidate(candidate("udp", peer_address(), TcpType::Unspecified)).unwrap();
        let active = SocketAddr::new(peer_address().ip(), 9);
        peer.add_local_candidate(candidate("tcp", active, TcpType::Active)).unwrap();
        Self {
            now,
            bridge,
            peer,
            network: Network::new(PATH, 1),
            loss_percent: 0,
            is_udp_blocked: false,
            events: Vec::new(),
        }
    }

    /// Exchanges credentials, and tells the peer the candidates of the bridge.
    fn start(&mut self, role_of_bridge: IceRole) {
        let credentials = self.peer.get_local_credentials();
        let remote = IceCredentials::from_signaling(&credentials.ufrag, &credentials.pwd).unwrap();
        self.bridge.set_remote_credentials(self.now, Generation(0), remote).unwrap();
        self.start_peer(role_of_bridge);
    }

    fn start_peer(&mut self, role_of_bridge: IceRole) {
        self.peer.add_remote_candidate(candidate("udp", bridge_address(), TcpType::Unspecified)).unwrap();
        self.peer.add_remote_candidate(candidate("tcp", bridge_tcp_address(), TcpType::Passive)).unwrap();
        let local = self.bridge.local_credentials();
        let (ufrag, pwd) = (local.ufrag().to_owned(), local.pwd().to_owned());
        let is_controlling = role_of_bridge == IceRole::Controlled;
        self.peer.start_connectivity_checks(self.now, is_controlling, ufrag, pwd).unwrap();
    }

    fn signal_peer(&mut self) {
        let candidate = ice::RemoteCandidate {
            foundation: "1".to_owned(),
            transport: ice::CandidateTransport::Udp,
            kind: ice::CandidateKind::Host,
            address: peer_address(),
            priority: 2_130_706_431,
        };
        self.bridge.add_remote_candidate(self.now, Generation(0), &candidate).unwrap();
    }

    /// Own and remote address that the peer sends on.
    fn peers_choice(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.peer.get_selected_candidate_pair().map(|(local, remote)| (local.addr(), remote.addr()))
    }

    fn run(&mut self, for_how_long: Duration) {
        let end = self.now + for_how_long;
        loop {
            let bridge_timeout = loop {
                match self.bridge.poll_output() {
                    Output::Transmit(Transmit { pair, payload }) => {
                        self.send(End::Bridge(pair), End::Peer(pair), pair.protocol, payload);
                    }
                    Output::Event(event) => self.events.push(event),
                    Output::Timeout(at) => break at,
                }
            };
            while let Some(TransportMessage { transport, message, .. }) = self.peer.poll_write() {
                let is_udp = transport.transport_protocol == rtc_shared::TransportProtocol::UDP;
                let udp = FiveTuple::udp(transport.peer_addr, transport.local_addr);
                let path = if is_udp { udp } else { tcp_pair() };
                self.send(End::Peer(path), End::Bridge(path), path.protocol, message.to_vec());
            }
            while self.peer.poll_event().is_some() {}
            let peer_timeout = self.peer.poll_timeout().unwrap_or(end);
            let arrival = self.network.next_arrival().unwrap_or(end);
            let next = bridge_timeout.min(peer_timeout).min(arrival).max(self.now);
            if next >= end {
                self.now = end;
                return;
            }
            self.now = next;
            if let Some(Delivery { to, datagram, .. }) = self.network.receive(next) {
                self.deliver(to, &datagram);
            }
            if bridge_timeout <= next {
                self.bridge.handle_timeout(next);
            }
            if peer_timeout <= next {
                self.peer.handle_timeout(next).unwrap();
            }
        }
    }

    /// A flight over UDP may be lost; TCP carries all or nothing.
    fn send(&mut self, from: End, to: End, protocol: TransportProtocol, datagram: Vec<u8>) {
        let is_udp = protocol == TransportProtocol::Udp;
        let is_gone = self.loss_percent == 100 || is_udp && self.is_udp_blocked;
        if !is_gone {
            self.network.set_conditions(PATH.with_loss(if is_udp { self.loss_percent } else { 0 }));
            self.network.send(self.now, from, to, datagram);
        }
    }

    fn deliver(&mut self, to: End, datagram: &[u8]) {
        match to {
            End::Bridge(path) => {
                let _ = self.bridge.handle_datagram(self.now, path, datagram);
            }
            End::Peer(path) => {
                let transport_protocol = match path.protocol {
                    TransportProtocol::Udp => rtc_shared::TransportProtocol::UDP,
                    TransportProtocol::Tcp => rtc_shared::TransportProtocol::TCP,
                };
                let transport =
                    TransportContext { local_addr: path.remote, peer_addr: path.local, transport_protocol, ecn: None };
                let message = TransportMessage { now: self.now, transport, message: BytesMut::from(datagram) };
                // Around a restart it refuses what is for other credentials.
                let _ = self.peer.handle_read(message);
            }
        }
    }
}

fn candidate(network: &str, address: SocketAddr, tcp_type: TcpType) -> rtc_ice::candidate::Candidate {
    let base_config = CandidateConfig {
        network: network.to_owned(),
        address: address.ip().to_string(),
        port: address.port(),
        component: 1,
        ..Default::default()
    };
    CandidateHostConfig { base_config, tcp_type }.new_candidate_host().unwrap()
}

fn bridge_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 10_000))
}

fn bridge_tcp_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4443))
}

fn peer_address() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 2], 40_000))
}

fn udp_pair() -> FiveTuple {
    FiveTuple::udp(bridge_address(), peer_address())
}

/// The connection that the peer opens when it has something to send over TCP.
fn tcp_pair() -> FiveTuple {
    FiveTuple::tcp(bridge_tcp_address(), SocketAddr::from(([198, 51, 100, 2], 50_001)))
}
