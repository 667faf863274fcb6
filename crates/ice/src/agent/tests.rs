//! Two agents in virtual time: ours, controlling and without remote candidates, against a plain `is` agent as client.

mod responder;
mod roles;
mod tcp;
mod world;

use std::net::SocketAddr;

use model::PeerAddress;

use super::*;
use crate::{CandidateKind, CandidateTransport, LocalAddress, TcpType};
use sim::Random;
use world::{World, bridge_address, client_address, client_agent};

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
        world.network.loss_percent = 30;
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
        world.network.loss_percent = 25;
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
    world.network.loss_percent = 100;
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
    world.network.blackout = true;
    world.run(Duration::from_secs(28));
    assert_eq!(world.events.last(), Some(&Event::Failed));
    world.network.blackout = false;
    // The client's `is` gave its only pair up; a browser keeps pinging, as this fresh agent does.
    let mut client = client_agent(&world.client_credentials, &world.network.client_addresses);
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
    world.network.nat = Some(moved);
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
    let mut random = Random::new(5);
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
    world.network.arrival = Some(wildcard);
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
        transport: CandidateTransport::Udp,
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

#[test]
fn second_path_takes_over_and_the_first_one_gets_the_traffic_back() {
    let mut world = World::new(15);
    let second = world.add_client_address("198.51.100.3:40000");
    world.exchange_credentials();
    world.run(Duration::from_secs(5));
    let used = world.bridge.selected_pair().unwrap();
    let other = if used == second { world.pair() } else { second };
    world.network.dead = Some(used.remote);
    world.run(Duration::from_secs(12));
    assert_eq!(world.events.last(), Some(&Event::PairChanged(other)));
    world.network.dead = None;
    world.run(Duration::from_secs(12));
    assert_eq!(world.bridge.selected_pair(), Some(used), "{:?}", world.events);
}

#[test]
fn direct_path_carries_the_traffic_whichever_relay_libwebrtc_ranks_above_it() {
    for is_relay_first in [true, false] {
        let mut world = World::with(21, IceRole::Controlling, &[LocalAddress::host(bridge_address())], &[]);
        // The priorities of Chromium 156 with four TURN servers, the first over UDP.
        let relays = [("203.0.113.9:50001", 0x6e00_22ff), ("203.0.113.9:50002", 0x6e00_21ff)];
        let direct = world.add_client_address_of("198.51.100.2:40000", 0x6e00_1eff);
        world.network.dead = Some(direct.remote).filter(|_| is_relay_first);
        for (address, priority) in relays {
            world.add_client_address_of(address, priority);
        }
        world.exchange_credentials();
        world.run(Duration::from_secs(1));
        let relayed = world.bridge.selected_pair().unwrap();
        assert_eq!(relayed.remote == direct.remote, !is_relay_first, "{relayed:?}");
        world.network.dead = None;
        world.run(Duration::from_secs(4));
        assert_eq!(world.bridge.selected_pair(), Some(direct), "{:?}", world.events);
    }
}

#[test]
fn answer_counts_only_from_the_address_that_was_asked() {
    let mut world = World::new(16);
    world.exchange_credentials();
    world.network.rewrite_source = Some("203.0.113.66:6666".parse().unwrap());
    world.run(Duration::from_secs(5));
    assert_eq!(world.events, []);
    assert!(world.bridge.counters().not_accepted > 0);
    assert!(!world.bridge.is_validated(PeerAddress::udp(client_address())));
}

#[test]
fn datagram_of_a_family_without_candidate_is_refused_and_counted() {
    let mut world = World::new(17);
    world.exchange_credentials();
    world.run(Duration::from_secs(2));
    let path = FiveTuple::udp("[2001:db8::1]:10000".parse().unwrap(), "[2001:db8::2]:40000".parse().unwrap());
    let request = world.last_request_to_bridge.clone();
    assert_eq!(world.bridge.handle_datagram(world.now, path, &request), Err(StunRefusal::NoCandidate));
    assert_eq!(world.bridge.counters().no_candidate, 1);
    assert!(!world.bridge.is_known(path.peer()));
}

#[test]
fn validation_ends_with_thirty_seconds_of_silence() {
    let mut world = World::new(18);
    let second = world.add_client_address("198.51.100.3:40000");
    world.exchange_credentials();
    world.run(Duration::from_secs(3));
    let used = world.bridge.selected_pair().unwrap();
    let other = if used == second { world.pair() } else { second };
    assert!(world.bridge.is_validated(other.peer()));
    world.network.dead = Some(other.remote);
    world.run(Duration::from_secs(20));
    assert!(world.bridge.is_validated(other.peer()));
    world.run(Duration::from_secs(15));
    assert!(!world.bridge.is_validated(other.peer()));
    assert!(world.bridge.is_validated(used.peer()));
}

#[test]
fn connects_over_ipv6_and_prefers_no_family_that_does_not_work() {
    let v6 = ["[2001:db8::1]:10000", "[2001:db8::2]:40000"].map(|text| text.parse::<SocketAddr>().unwrap());
    for is_v4_dead in [true, false] {
        let bridge = [LocalAddress::host(v6[0]), LocalAddress::host(bridge_address())];
        let client = [PeerAddress::udp(v6[1]), PeerAddress::udp(client_address())];
        let mut world = World::with(19, IceRole::Controlling, &bridge, &client);
        world.network.dead = Some(if is_v4_dead { client_address() } else { v6[1] });
        world.exchange_credentials();
        world.run(Duration::from_secs(3));
        let works = if is_v4_dead { FiveTuple::udp(v6[0], v6[1]) } else { world.pair() };
        assert_eq!(world.events, [Event::Connected(works)]);
    }
}

#[test]
fn client_reaches_the_bridge_at_each_of_its_mapped_addresses() {
    for public in ["203.0.113.7:10000", "203.0.113.7:443", "203.0.113.8:20000"] {
        let public: SocketAddr = public.parse().unwrap();
        let mapped = LocalAddress { public: Some(public), is_host_told: false, ..LocalAddress::host(bridge_address()) };
        let client = [PeerAddress::udp(client_address())];
        let mut world = World::with(20, IceRole::Controlling, &[mapped], &client);
        world.network.forwards.push((PeerAddress::udp(public), bridge_address()));
        world.exchange_credentials();
        world.run(Duration::from_secs(3));
        assert_eq!(world.events, [Event::Connected(world.pair())], "{public}");
        assert!(world.client.state().is_connected());
    }
}
