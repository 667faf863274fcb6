//! Two agents in virtual time: ours, controlling and without remote candidates, against a plain `is` agent as client.

use std::net::SocketAddr;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use is::stun::{StunMessage, StunPacket};

use model::PeerAddress;

use super::*;
use crate::LocalAddress;

#[test]
fn connects_to_a_peer_whose_address_only_its_checks_reveal() {
    let mut world = World::new(1);
    world.exchange_credentials();
    world.run(Duration::from_secs(2));
    assert_eq!(world.events, [Event::Connected(world.pair())]);
    assert!(world.client.state().is_connected());
    assert!(world.bridge.is_validated(PeerAddress::udp(client_address())));
    assert!(world.connected_after() < Duration::from_millis(200), "{:?}", world.connected_after());
}

#[test]
fn checks_that_come_before_the_credentials_are_answered_with_them() {
    let mut world = World::new(2);
    world.client.set_remote_credentials(world.bridge.local_credentials().to_is());
    world.run(Duration::from_secs(1));
    assert_eq!(world.events, []);
    assert!(!world.bridge.is_known(PeerAddress::udp(client_address())));
    let at = world.now;
    world.bridge.set_remote_credentials(at, Generation(0), world.client_credentials()).unwrap();
    world.run(Duration::from_secs(1));
    assert_eq!(world.events, [Event::Connected(world.pair())]);
}

#[test]
fn connects_through_loss_whatever_the_seed() {
    for seed in 0..40 {
        let mut world = World::new(seed);
        world.loss_percent = 30;
        world.exchange_credentials();
        world.run(Duration::from_secs(30));
        assert!(world.bridge.selected_pair().is_some(), "seed {seed}");
        assert!(world.client.state().is_connected(), "seed {seed}");
    }
}

#[test]
fn stays_connected_for_minutes_under_loss() {
    for seed in 0..5 {
        let mut world = World::new(seed);
        world.exchange_credentials();
        world.run(Duration::from_secs(2));
        world.loss_percent = 25;
        world.run(Duration::from_secs(180));
        assert!(!world.events.contains(&Event::Failed), "seed {seed}: {:?}", world.events);
        assert!(world.bridge.selected_pair().is_some(), "seed {seed}");
    }
}

#[test]
fn dead_peer_is_noticed_between_15_and_30_seconds() {
    let mut world = World::new(3);
    world.exchange_credentials();
    world.run(Duration::from_secs(5));
    world.loss_percent = 100;
    let died = world.now;
    world.run(Duration::from_secs(40));
    assert_eq!(world.events, [Event::Connected(world.pair()), Event::Disconnected, Event::Failed]);
    let noticed = world.event_times[2] - died;
    assert!((15..=30).contains(&noticed.as_secs()), "{noticed:?}");
    assert_eq!(world.bridge.selected_pair(), None);
}

#[test]
fn failed_agent_connects_again_when_the_peer_is_back() {
    let mut world = World::new(4);
    world.exchange_credentials();
    world.run(Duration::from_secs(5));
    world.blackout = true;
    world.run(Duration::from_secs(28));
    assert_eq!(world.events.last(), Some(&Event::Failed));
    world.blackout = false;
    // The client's `is` gave its only pair up; a browser keeps pinging, as this fresh agent does.
    let mut client = client_agent(&world.client_credentials);
    client.set_remote_credentials(world.bridge.local_credentials().to_is());
    client.add_remote_candidate(is::Candidate::host(bridge_address(), is::Protocol::Udp).unwrap());
    world.client = client;
    world.run(Duration::from_secs(5));
    assert_eq!(world.events.last(), Some(&Event::Connected(world.pair())));
}

#[test]
fn new_address_behind_a_nat_takes_over_within_ten_seconds() {
    let mut world = World::new(5);
    world.exchange_credentials();
    world.run(Duration::from_secs(5));
    let moved = "198.51.100.9:40001".parse().unwrap();
    world.nat = Some(moved);
    let at = world.now;
    world.run(Duration::from_secs(15));
    let to = FiveTuple::udp(bridge_address(), moved);
    assert_eq!(world.events[1..], [Event::PairChanged(to)]);
    assert!(world.event_times[1] - at < Duration::from_secs(10), "{:?}", world.event_times[1] - at);
}

#[test]
fn restart_keeps_the_old_pair_until_the_new_one_works() {
    let mut world = World::new(6);
    world.exchange_credentials();
    world.run(Duration::from_secs(5));
    let before = world.bridge.local_credentials().clone();
    let generation = world.bridge.restart(world.now, IceCredentials::from_random(&[9; 24])).unwrap();
    assert_eq!(generation, Generation(1));
    assert_ne!(world.bridge.local_credentials(), &before);
    assert_eq!(world.bridge.local_ufrags().count(), 2);
    world.run(Duration::from_secs(1));
    assert_eq!(world.bridge.selected_pair(), Some(world.pair()), "nothing changes before the peer restarts");

    world.client_credentials = IceCredentials::from_random(&[10; 24]);
    world.client.ice_restart(world.client_credentials.to_is(), true);
    world.client.set_remote_credentials(world.bridge.local_credentials().to_is());
    world.client.add_remote_candidate(is::Candidate::host(bridge_address(), is::Protocol::Udp).unwrap());
    world.bridge.set_remote_credentials(world.now, generation, world.client_credentials()).unwrap();
    world.run(Duration::from_secs(10));
    assert_eq!(world.events, [Event::Connected(world.pair()), Event::RestartCompleted(generation)]);
    assert_eq!(world.bridge.local_ufrags().count(), 1);
    assert_eq!(world.bridge.generation(), generation);
}

#[test]
fn restart_that_the_peer_ignores_times_out_and_changes_nothing() {
    let mut world = World::new(7);
    world.exchange_credentials();
    world.run(Duration::from_secs(5));
    let generation = world.bridge.restart(world.now, IceCredentials::from_random(&[9; 24])).unwrap();
    world.run(Duration::from_secs(25));
    assert_eq!(world.events, [Event::Connected(world.pair()), Event::RestartTimedOut(generation)]);
    assert_eq!(world.bridge.generation(), Generation(0));
    let error = world.bridge.set_remote_credentials(world.now, generation, world.client_credentials());
    assert_eq!(error, Err(IceError::UnknownGeneration { generation: 1 }));
}

#[test]
fn wrong_password_never_connects_and_is_counted() {
    let mut world = World::new(8);
    let forged = IceCredentials::from_signaling(world.bridge.local_credentials().ufrag(), &"x".repeat(26)).unwrap();
    world.client.set_remote_credentials(forged.to_is());
    world.bridge.set_remote_credentials(world.now, Generation(0), world.client_credentials()).unwrap();
    world.run(Duration::from_secs(10));
    assert_eq!(world.events, []);
    assert!(world.bridge.counters().not_accepted > 0);
    assert!(!world.bridge.is_known(PeerAddress::udp(client_address())));
}

#[test]
fn role_conflict_ends_with_a_connection_for_either_tie_breaker() {
    for tie_breaker in [0, u64::MAX] {
        let mut world = World::new(9);
        world.client.set_controlling(true);
        world.client.set_control_tie_breaker(tie_breaker);
        world.exchange_credentials();
        world.run(Duration::from_secs(5));
        assert_eq!(world.events, [Event::Connected(world.pair())], "tie-breaker {tie_breaker}");
        assert!(world.client.state().is_connected());
    }
}

#[test]
fn changed_credentials_without_restart_are_refused() {
    let mut world = World::new(10);
    world.exchange_credentials();
    let (now, same) = (world.now, world.client_credentials());
    assert_eq!(world.bridge.set_remote_credentials(now, Generation(0), same), Ok(()));
    let other = IceCredentials::from_random(&[77; 24]);
    assert_eq!(world.bridge.set_remote_credentials(now, Generation(0), other), Err(IceError::CredentialsChanged));
}

#[test]
fn garbage_is_counted_and_changes_nothing() {
    let mut world = World::new(11);
    world.exchange_credentials();
    world.run(Duration::from_secs(2));
    let sample = world.last_to_bridge.clone();
    let mut random = Random(5);
    let before = world.bridge.counters();
    for round in 0..20_000usize {
        let mut datagram = sample.clone();
        match round % 3 {
            0 => datagram = (0..random.below(200)).map(|_| random.below(256) as u8).collect(),
            1 => datagram.truncate(random.below(sample.len() as u64) as usize),
            _ => {
                let at = random.below(sample.len() as u64) as usize;
                datagram[at] ^= 1 << random.below(8);
            }
        }
        let _ = world.bridge.handle_datagram(world.now, FiveTuple::udp(bridge_address(), client_address()), &datagram);
    }
    let after = world.bridge.counters();
    assert!(after.malformed > before.malformed && after.not_accepted > before.not_accepted);
    world.run(Duration::from_secs(10));
    assert_eq!(world.events, [Event::Connected(world.pair())]);
}

#[test]
fn peer_with_endless_addresses_stays_within_bounds_and_connected() {
    let mut world = World::new(12);
    world.exchange_credentials();
    world.run(Duration::from_secs(2));
    for i in 0..2_000u32 {
        let spoofed = SocketAddr::from(([203, 0, 113, (i % 250) as u8], 1_024 + i as u16));
        let datagram = world.last_request_to_bridge.clone();
        let _ = world.bridge.handle_datagram(world.now, FiveTuple::udp(bridge_address(), spoofed), &datagram);
    }
    assert!(world.bridge.counters().check_list_rebuilt > 0);
    world.run(Duration::from_secs(60));
    assert!(world.bridge.selected_pair().is_some());
    assert!(!world.events.contains(&Event::Failed), "{:?}", world.events);
}

#[test]
fn datagram_at_a_wildcard_address_is_taken_as_the_host_candidate() {
    let mut world = World::new(13);
    let wildcard = "[::]:10000".parse().unwrap();
    world.arrival = Some(wildcard);
    world.exchange_credentials();
    world.run(Duration::from_secs(2));
    let pair = FiveTuple::udp(wildcard, client_address());
    assert_eq!(world.events, [Event::Connected(pair)], "answers leave from where requests arrive");
}

#[test]
fn remote_candidates_are_limited_and_checked() {
    let mut world = World::new(14);
    let candidate = |port: u16, ip: [u8; 4]| RemoteCandidate {
        foundation: "1".into(),
        kind: crate::CandidateKind::Host,
        address: SocketAddr::from((ip, port)),
        priority: 1,
    };
    let now = world.now;
    for port in 1..=32 {
        world.bridge.add_remote_candidate(now, Generation(0), &candidate(port, [192, 0, 2, 1])).unwrap();
    }
    let refused = world.bridge.add_remote_candidate(now, Generation(0), &candidate(33, [192, 0, 2, 1]));
    assert_eq!(refused, Err(IceError::TooManyRemoteCandidates { limit: 32 }));
    for ip in [[0, 0, 0, 0], [224, 0, 0, 1], [255, 255, 255, 255]] {
        let refused = world.bridge.add_remote_candidate(now, Generation(0), &candidate(9, ip));
        assert!(matches!(refused, Err(IceError::UnusableAddress { .. })), "{ip:?}");
    }
}

/// The bridge's agent, a client, and a network of 20 ms between them.
struct World {
    now: Instant,
    start: Instant,
    bridge: IceAgent,
    client: is::IceAgent,
    client_credentials: IceCredentials,
    network: BinaryHeap<Reverse<(Instant, u64, Flight)>>,
    sent: u64,
    random: Random,
    loss_percent: u64,
    blackout: bool,
    nat: Option<SocketAddr>,
    arrival: Option<SocketAddr>,
    events: Vec<Event>,
    event_times: Vec<Instant>,
    last_to_bridge: Vec<u8>,
    last_request_to_bridge: Vec<u8>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Flight {
    ToBridge { from: SocketAddr, datagram: Vec<u8> },
    ToClient { to: SocketAddr, datagram: Vec<u8> },
}

impl World {
    fn new(seed: u64) -> Self {
        #[expect(clippy::disallowed_methods, reason = "virtual time needs one instant to count from")]
        let start = Instant::now();
        let candidates = LocalCandidate::gather(&[LocalAddress::host(bridge_address())]).unwrap();
        let local = IceCredentials::from_random(&[1; 24]);
        let bridge = IceAgent::new(start, local, candidates, IceRole::Controlling, 1 << 60).unwrap();
        let client_credentials = IceCredentials::from_random(&[2; 24]);
        let mut client = client_agent(&client_credentials);
        client.add_remote_candidate(is::Candidate::host(bridge_address(), is::Protocol::Udp).unwrap());
        Self {
            now: start,
            start,
            bridge,
            client,
            client_credentials,
            network: BinaryHeap::new(),
            sent: 0,
            random: Random(seed.wrapping_mul(2).wrapping_add(1)),
            loss_percent: 0,
            blackout: false,
            nat: None,
            arrival: None,
            events: Vec::new(),
            event_times: Vec::new(),
            last_to_bridge: Vec::new(),
            last_request_to_bridge: Vec::new(),
        }
    }

    fn client_credentials(&self) -> IceCredentials {
        self.client_credentials.clone()
    }

    fn exchange_credentials(&mut self) {
        self.client.set_remote_credentials(self.bridge.local_credentials().to_is());
        self.bridge.set_remote_credentials(self.now, Generation(0), self.client_credentials()).unwrap();
    }

    fn pair(&self) -> FiveTuple {
        FiveTuple::udp(bridge_address(), client_address())
    }

    fn connected_after(&self) -> Duration {
        self.event_times[0] - self.start
    }

    fn send(&mut self, flight: Flight) {
        if self.blackout || self.random.below(100) < self.loss_percent {
            return;
        }
        self.sent += 1;
        let at = self.now + Duration::from_millis(15 + self.random.below(10));
        self.network.push(Reverse((at, self.sent, flight)));
    }

    fn run(&mut self, for_how_long: Duration) {
        let end = self.now + for_how_long;
        self.client.handle_timeout(self.now);
        loop {
            let bridge_timeout = loop {
                match self.bridge.poll_output() {
                    Output::Transmit(Transmit { pair, payload }) => {
                        self.send(Flight::ToClient { to: pair.remote, datagram: payload });
                    }
                    Output::Event(event) => {
                        self.events.push(event);
                        self.event_times.push(self.now);
                    }
                    Output::Timeout(at) => break at,
                }
            };
            while let Some(transmit) = self.client.poll_transmit() {
                let from = self.nat.unwrap_or(transmit.source);
                self.send(Flight::ToBridge { from, datagram: transmit.contents.to_vec() });
            }
            while self.client.poll_event().is_some() {}
            let client_timeout = self.client.poll_timeout().unwrap_or(end);
            let arrival = self.network.peek().map_or(end, |Reverse((at, ..))| *at);
            let next = bridge_timeout.min(client_timeout).min(arrival).max(self.now);
            if next >= end {
                self.now = end;
                return;
            }
            self.now = next;
            if arrival <= next
                && let Some(Reverse((_, _, flight))) = self.network.pop()
            {
                self.deliver(flight);
            }
            if bridge_timeout <= next {
                self.bridge.handle_timeout(next);
            }
            if client_timeout <= next {
                self.client.handle_timeout(next);
            }
        }
    }

    fn deliver(&mut self, flight: Flight) {
        match flight {
            Flight::ToBridge { from, datagram } => {
                let local = self.arrival.unwrap_or(bridge_address());
                let _ = self.bridge.handle_datagram(self.now, FiveTuple::udp(local, from), &datagram);
                if StunMessage::parse(&datagram).is_ok_and(|m| m.is_binding_request()) {
                    self.last_request_to_bridge.clone_from(&datagram);
                }
                self.last_to_bridge = datagram;
            }
            Flight::ToClient { to, datagram } => {
                if to != self.nat.unwrap_or(client_address()) {
                    return;
                }
                let message = StunMessage::parse(&datagram).unwrap();
                let (source, destination) = (bridge_address(), client_address());
                let packet = StunPacket { proto: is::Protocol::Udp, source, destination, message };
                self.client.handle_packet(self.now, packet);
            }
        }
    }
}

fn client_agent(credentials: &IceCredentials) -> is::IceAgent {
    let mut client = is::IceAgent::new(credentials.to_is());
    client.set_controlling(false);
    client.add_local_candidate(is::Candidate::host(client_address(), is::Protocol::Udp).unwrap());
    client
}

fn bridge_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 10_000))
}

fn client_address() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 2], 40_000))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
