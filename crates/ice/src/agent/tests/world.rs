//! The bridge's agent, a client that is a plain `is` agent, and a network of 20 ms between them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use is::stun::{StunMessage, StunPacket};
use model::{FiveTuple, PeerAddress, TransportProtocol};
use sim::{Conditions, Delivery};

use super::{Event, Generation, IceAgent, IceRole, Output, Transmit};
use crate::candidate::to_is_protocol;
use crate::{CheckResponder, IceCredentials, LocalAddress, LocalCandidate, Settled};

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) start: Instant,
    pub(super) bridge: IceAgent,
    /// Answers in its place where it can, as of when the agent was last asked.
    pub(super) responder: Option<CheckResponder>,
    settled: Option<Settled>,
    /// Checks that it answered.
    pub(super) answered: usize,
    /// Of these, those that the agent was shown.
    pub(super) shown: usize,
    pub(super) client: is::IceAgent,
    pub(super) client_credentials: IceCredentials,
    pub(super) network: Network,
    pub(super) events: Vec<Event>,
    pub(super) event_times: Vec<Instant>,
    pub(super) last_to_bridge: Vec<u8>,
    pub(super) last_request_to_bridge: Vec<u8>,
}

/// What happens between the two. Paths are named as the bridge sees them.
pub(super) struct Network {
    under_way: sim::Network<End>,
    /// The client's own addresses.
    pub(super) client_addresses: Vec<PeerAddress>,
    /// Over UDP; TCP loses nothing.
    pub(super) loss_percent: u8,
    pub(super) blackout: bool,
    pub(super) is_udp_blocked: bool,
    /// No TCP connection comes up, and one that is there carries nothing.
    pub(super) is_tcp_blocked: bool,
    /// The client's answers get lost.
    pub(super) are_answers_lost: bool,
    /// An address of the client that nothing comes from or gets to.
    pub(super) dead: Option<SocketAddr>,
    /// The client's address as the bridge sees it.
    pub(super) nat: Option<SocketAddr>,
    /// Answers of the client come from there.
    pub(super) rewrite_source: Option<SocketAddr>,
    /// The bridge's address as its socket tells it.
    pub(super) arrival: Option<SocketAddr>,
    /// Public addresses of the bridge and the host addresses behind.
    pub(super) forwards: Vec<(PeerAddress, SocketAddr)>,
}

/// Where a datagram goes, or comes from, on which path.
#[derive(Clone)]
enum End {
    Bridge(FiveTuple),
    Client(FiveTuple),
}

impl World {
    /// A controlling bridge and a client with one address each, over UDP and IPv4.
    pub(super) fn new(seed: u64) -> Self {
        let client = [PeerAddress::udp(client_address())];
        Self::with(seed, IceRole::Controlling, &[LocalAddress::host(bridge_address())], &client)
    }

    pub(super) fn with(seed: u64, role: IceRole, bridge: &[LocalAddress], client: &[PeerAddress]) -> Self {
        let start = sim::start();
        let candidates = LocalCandidate::gather(bridge).unwrap();
        let local = IceCredentials::from_random(&[1; 24]);
        let bridge = IceAgent::new(start, local, candidates, role, 1 << 60).unwrap();
        let client_credentials = IceCredentials::from_random(&[2; 24]);
        let mut world = Self {
            now: start,
            start,
            bridge,
            responder: None,
            settled: None,
            answered: 0,
            shown: 0,
            client: client_agent(&client_credentials, client),
            client_credentials,
            network: Network {
                under_way: sim::Network::new(PATH, seed),
                client_addresses: client.to_vec(),
                loss_percent: 0,
                blackout: false,
                is_udp_blocked: false,
                is_tcp_blocked: false,
                are_answers_lost: false,
                dead: None,
                nat: None,
                rewrite_source: None,
                arrival: None,
                forwards: Vec::new(),
            },
            events: Vec::new(),
            event_times: Vec::new(),
            last_to_bridge: Vec::new(),
            last_request_to_bridge: Vec::new(),
        };
        world.client.set_controlling(role == IceRole::Controlled);
        world.tell_client_the_candidates();
        world
    }

    pub(super) fn tell_client_the_candidates(&mut self) {
        for told in self.bridge.local_candidates().iter().filter(|candidate| candidate.is_told) {
            let protocol = to_is_protocol(told.protocol());
            self.client.add_remote_candidate(is::Candidate::host(told.address, protocol).unwrap());
        }
    }

    /// Gives the client another address and answers the path from there to the bridge.
    pub(super) fn add_client_address(&mut self, address: &str) -> FiveTuple {
        let address = address.parse().unwrap();
        self.network.client_addresses.push(PeerAddress::udp(address));
        self.client.add_local_candidate(is::Candidate::host(address, is::Protocol::Udp).unwrap());
        FiveTuple::udp(bridge_address(), address)
    }

    /// The same with the priority that its checks are to have.
    pub(super) fn add_client_address_of(&mut self, address: &str, priority: u32) -> FiveTuple {
        let address = address.parse().unwrap();
        self.network.client_addresses.push(PeerAddress::udp(address));
        let (udp, kind) = (is::Protocol::Udp, is::CandidateKind::Host);
        let candidate = is::Candidate::from_parts("1".into(), 1, udp, priority, address, kind, None, None, None);
        self.client.add_local_candidate(candidate);
        FiveTuple::udp(bridge_address(), address)
    }

    pub(super) fn client_credentials(&self) -> IceCredentials {
        self.client_credentials.clone()
    }

    pub(super) fn exchange_credentials(&mut self) {
        self.client.set_remote_credentials(self.bridge.local_credentials().to_is());
        self.bridge.set_remote_credentials(self.now, Generation(0), self.client_credentials()).unwrap();
    }

    /// Between the first address of each.
    pub(super) fn pair(&self) -> FiveTuple {
        FiveTuple::udp(bridge_address(), client_address())
    }

    pub(super) fn connected_after(&self) -> Duration {
        self.event_times[0] - self.start
    }

    pub(super) fn run(&mut self, for_how_long: Duration) {
        let end = self.now + for_how_long;
        self.client.handle_timeout(self.now);
        loop {
            let bridge_timeout = loop {
                match self.bridge.poll_output() {
                    Output::Transmit(Transmit { pair, payload }) => {
                        self.network.send_to_client(self.now, pair, payload)
                    }
                    Output::Event(event) => {
                        self.events.push(event);
                        self.event_times.push(self.now);
                    }
                    Output::Timeout(at) => break at,
                }
            };
            if self.bridge.settled() != self.settled {
                self.settled = self.bridge.settled();
                self.responder = self.bridge.responder(self.now);
            }
            while let Some(transmit) = self.client.poll_transmit() {
                let is_udp = transmit.proto == is::Protocol::Udp;
                let protocol = if is_udp { TransportProtocol::Udp } else { TransportProtocol::Tcp };
                let to = FiveTuple { protocol, local: transmit.source, remote: transmit.destination };
                self.network.send_to_bridge(self.now, to, transmit.contents.to_vec());
            }
            while self.client.poll_event().is_some() {}
            let client_timeout = self.client.poll_timeout().unwrap_or(end);
            let arrival = self.network.under_way.next_arrival().unwrap_or(end);
            let next = bridge_timeout.min(client_timeout).min(arrival).max(self.now);
            if next >= end {
                self.now = end;
                return;
            }
            self.now = next;
            if let Some(delivery) = self.network.under_way.receive(next) {
                self.deliver(delivery);
            }
            if bridge_timeout <= next {
                self.bridge.handle_timeout(next);
            }
            if client_timeout <= next {
                self.client.handle_timeout(next);
            }
        }
    }

    fn deliver(&mut self, Delivery { to, datagram, .. }: Delivery<End>) {
        match to {
            End::Bridge(path) => {
                let now = self.now;
                let responder = self.responder.as_mut();
                match responder.and_then(|responder| Some((responder.answer(&path, &datagram)?, responder))) {
                    Some((answer, responder)) => {
                        self.answered += 1;
                        let check = Some(datagram.as_slice()).filter(|_| responder.is_agents_turn(now));
                        self.shown += usize::from(check.is_some());
                        self.bridge.note_answered(now, path, check);
                        self.network.send_to_client(now, path, answer);
                    }
                    None => drop(self.bridge.handle_datagram(now, path, &datagram)),
                }
                if StunMessage::parse(&datagram).is_ok_and(|m| m.is_binding_request()) {
                    self.last_request_to_bridge.clone_from(&datagram);
                }
                self.last_to_bridge = datagram;
            }
            End::Client(path) => {
                let Some(destination) = self.network.client_behind(path.peer()) else { return };
                let message = StunMessage::parse(&datagram).unwrap();
                let (source, proto) = (self.network.shown(path), to_is_protocol(path.protocol));
                self.client.handle_packet(self.now, StunPacket { proto, source, destination, message });
            }
        }
    }
}

impl Network {
    fn send_to_client(&mut self, now: Instant, path: FiveTuple, datagram: Vec<u8>) {
        self.send(now, path, End::Bridge(path), End::Client(path), datagram);
    }

    /// `way` is the path as the client sees it.
    fn send_to_bridge(&mut self, now: Instant, way: FiveTuple, datagram: Vec<u8>) {
        let forward = self.forwards.iter().find(|(public, _)| *public == way.peer());
        let local = forward.map_or(way.remote, |(_, host)| *host);
        let mut path = FiveTuple { local, remote: way.local, ..way };
        if path.protocol == TransportProtocol::Udp {
            let is_answer = StunMessage::parse(&datagram).is_ok_and(|message| !message.is_binding_request());
            let rewritten = self.rewrite_source.filter(|_| is_answer);
            path.remote = rewritten.or(self.nat).unwrap_or(path.remote);
            path.local = self.arrival.unwrap_or(path.local);
            if is_answer && self.are_answers_lost {
                return;
            }
        }
        self.send(now, path, End::Client(path), End::Bridge(path), datagram);
    }

    fn send(&mut self, now: Instant, path: FiveTuple, from: End, to: End, datagram: Vec<u8>) {
        let (is_blocked, loss) = match path.protocol {
            TransportProtocol::Udp => (self.is_udp_blocked, self.loss_percent),
            TransportProtocol::Tcp => (self.is_tcp_blocked, 0),
        };
        if !self.blackout && !is_blocked && self.dead != Some(path.remote) {
            self.under_way.set_conditions(PATH.with_loss(loss));
            self.under_way.send(now, from, to, datagram);
        }
    }

    /// The client's own address that the bridge sees as `seen`, if the NAT still has it.
    fn client_behind(&self, seen: PeerAddress) -> Option<SocketAddr> {
        let nat = self.nat.filter(|_| seen.protocol == TransportProtocol::Udp);
        let own = self.client_addresses.iter().map(|own| (nat.unwrap_or(own.address), *own));
        own.into_iter()
            .find(|(shown, own)| *shown == seen.address && own.protocol == seen.protocol)
            .map(|(_, own)| own.address)
    }

    /// Where the client sees a datagram of the bridge come from.
    fn shown(&self, path: FiveTuple) -> SocketAddr {
        let local = self.arrival.map_or(path.local, |_| bridge_address());
        let mut forwards = self.forwards.iter();
        let forward = forwards.find(|(public, host)| public.protocol == path.protocol && *host == local);
        forward.map_or(local, |(public, _)| public.address)
    }
}

pub(super) fn client_agent(credentials: &IceCredentials, addresses: &[PeerAddress]) -> is::IceAgent {
    let mut client = is::IceAgent::new(credentials.to_is());
    client.set_controlling(false);
    for own in addresses {
        client.add_local_candidate(is::Candidate::host(own.address, to_is_protocol(own.protocol)).unwrap());
    }
    client
}

pub(super) fn bridge_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 10_000))
}

pub(super) fn client_address() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 2], 40_000))
}

const PATH: Conditions = Conditions::clean(Duration::from_millis(15)).with_jitter(Duration::from_millis(10));
