//! Paths over TCP: the client opens them, this side checks what is open (RFC 6544).

use model::TransportProtocol;

use super::*;

#[test]
fn connects_over_tcp_when_udp_is_blocked() {
    for role in [IceRole::Controlling, IceRole::Controlled] {
        let mut world = both_protocols(1, role);
        world.network.is_udp_blocked = true;
        world.exchange_credentials();
        world.run(Duration::from_secs(3));
        assert_eq!(world.events, [Event::Connected(tcp_pair())], "{role:?}");
        assert!(world.client.state().is_connected());
        assert!(world.connected_after() < Duration::from_millis(500), "{:?}", world.connected_after());
        assert!(world.bridge.is_validated(tcp_pair().peer()));
    }
}

#[test]
fn udp_is_used_where_both_work() {
    for role in [IceRole::Controlling, IceRole::Controlled] {
        for seed in 0..20 {
            let mut world = both_protocols(seed, role);
            world.network.loss_percent = 20;
            world.exchange_credentials();
            world.run(Duration::from_secs(10));
            // Whoever nominates may be on TCP for a moment whenever the loss took a few checks in a row.
            world.network.loss_percent = 0;
            world.run(Duration::from_secs(2));
            assert_eq!(world.bridge.selected_pair(), Some(world.pair()), "{role:?}, seed {seed}: {:?}", world.events);
        }
    }
}

#[test]
fn nothing_is_sent_over_tcp_before_the_peer_has_connected() {
    let mut world = both_protocols(2, IceRole::Controlling);
    for (tcp_type, port) in [(TcpType::Active, 9), (TcpType::Passive, 4443), (TcpType::SimultaneousOpen, 4443)] {
        let candidate = RemoteCandidate {
            foundation: "1".into(),
            transport: CandidateTransport::Tcp(tcp_type),
            kind: CandidateKind::Host,
            address: SocketAddr::new(client_address().ip(), port),
            priority: 1_518_214_911,
        };
        assert_eq!(world.bridge.add_remote_candidate(world.now, Generation(0), &candidate), Ok(()), "{tcp_type:?}");
    }
    world.bridge.set_remote_credentials(world.now, Generation(0), world.client_credentials()).unwrap();
    let mut at = world.now;
    for _ in 0..200 {
        at += Duration::from_millis(50);
        world.bridge.handle_timeout(at);
        assert!(matches!(world.bridge.poll_output(), Output::Timeout(_)), "nothing to send");
    }
}

#[test]
fn tcp_takes_over_when_udp_is_blocked_later_and_gives_way_again() {
    let mut world = both_protocols(3, IceRole::Controlling);
    world.exchange_credentials();
    world.run(Duration::from_secs(5));
    assert_eq!(world.bridge.selected_pair(), Some(world.pair()));
    world.network.is_udp_blocked = true;
    let at = world.now;
    world.run(Duration::from_secs(10));
    assert_eq!(world.events.last(), Some(&Event::PairChanged(tcp_pair())));
    assert!(*world.event_times.last().unwrap() - at < Duration::from_secs(10));
    world.network.is_udp_blocked = false;
    world.run(Duration::from_secs(10));
    assert_eq!(world.events.last(), Some(&Event::PairChanged(world.pair())));
}

#[test]
fn closed_connection_is_left_at_once_where_udp_works() {
    let mut world = both_protocols(4, IceRole::Controlling);
    world.network.is_udp_blocked = true;
    world.exchange_credentials();
    world.run(Duration::from_secs(3));
    world.network.is_udp_blocked = false;
    world.run(Duration::from_millis(2_900));
    world.network.is_tcp_blocked = true;
    world.bridge.handle_path_closed(world.now, tcp_pair());
    world.run(Duration::from_millis(500));
    assert_eq!(world.bridge.selected_pair(), Some(world.pair()));
    assert!(!world.events.contains(&Event::Disconnected), "{:?}", world.events);
    assert!(!world.bridge.is_known(tcp_pair().peer()));
}

#[test]
fn closed_connection_stops_the_traffic_until_the_peer_connects_again() {
    let mut world = both_protocols(5, IceRole::Controlling);
    world.network.is_udp_blocked = true;
    world.exchange_credentials();
    world.run(Duration::from_secs(3));
    world.bridge.handle_path_closed(world.now, tcp_pair());
    assert_eq!(world.bridge.selected_pair(), None);
    assert_eq!(world.bridge.poll_output(), Output::Event(Event::Disconnected));
    // The client's checks go on over a new connection, here one from the same port.
    world.run(Duration::from_secs(8));
    assert_eq!(world.events, [Event::Connected(tcp_pair()), Event::Connected(tcp_pair())]);
    assert!(world.bridge.is_validated(tcp_pair().peer()));
}

#[test]
fn closed_connection_without_another_path_fails_after_fifteen_seconds() {
    let mut world = both_protocols(6, IceRole::Controlling);
    world.network.is_udp_blocked = true;
    world.exchange_credentials();
    world.run(Duration::from_secs(3));
    world.network.is_tcp_blocked = true;
    let at = world.now;
    world.bridge.handle_path_closed(world.now, tcp_pair());
    world.run(Duration::from_secs(20));
    assert_eq!(world.events, [Event::Connected(tcp_pair()), Event::Disconnected, Event::Failed]);
    assert_eq!(world.event_times[2] - at, IceAgent::RECONNECT_TIMEOUT);
}

fn udp_candidate(kind: CandidateKind, address: SocketAddr, priority: u32) -> RemoteCandidate {
    RemoteCandidate { foundation: "1".into(), transport: CandidateTransport::Udp, kind, address, priority }
}

#[test]
fn candidate_at_the_address_of_a_connection_does_not_keep_it_alive() {
    for kind in [CandidateKind::Host, CandidateKind::Relayed] {
        let mut world = both_protocols(8, IceRole::Controlling);
        world.network.is_udp_blocked = true;
        world.exchange_credentials();
        world.run(Duration::from_secs(3));
        let candidate = udp_candidate(kind, tcp_pair().remote, 1_845_501_695);
        world.bridge.add_remote_candidate(world.now, Generation(0), &candidate).unwrap();
        world.bridge.handle_path_closed(world.now, tcp_pair());
        let mut at = world.now;
        for _ in 0..400 {
            at += Duration::from_millis(50);
            world.bridge.handle_timeout(at);
            loop {
                match world.bridge.poll_output() {
                    Output::Transmit(transmit) => assert_ne!(transmit.pair, tcp_pair(), "{kind:?}"),
                    Output::Event(_) => {}
                    Output::Timeout(_) => break,
                }
            }
        }
    }
}

#[test]
fn closing_of_a_connection_that_carries_nothing_changes_nothing() {
    let mut world = both_protocols(7, IceRole::Controlling);
    world.exchange_credentials();
    world.run(Duration::from_secs(3));
    let before = world.events.clone();
    world.bridge.handle_path_closed(world.now, tcp_pair());
    world.bridge.handle_path_closed(world.now, FiveTuple::tcp(tcp_address(), "203.0.113.9:1".parse().unwrap()));
    world.network.is_tcp_blocked = true;
    world.run(Duration::from_secs(30));
    assert_eq!(world.events, before);
    assert_eq!(world.bridge.selected_pair(), Some(world.pair()));
}

#[test]
fn the_same_port_of_the_client_over_both_protocols_is_two_paths() {
    let own = [
        PeerAddress::udp(client_address()),
        PeerAddress { protocol: TransportProtocol::Tcp, address: client_address() },
    ];
    let bridge = [LocalAddress::host(bridge_address()), LocalAddress::tcp(bridge_address())];
    let over_tcp = FiveTuple::tcp(bridge_address(), client_address());
    for is_udp_blocked in [true, false] {
        let mut world = World::with(8, IceRole::Controlling, &bridge, &own);
        world.network.is_udp_blocked = is_udp_blocked;
        world.exchange_credentials();
        world.run(Duration::from_secs(1));
        // Signalled late, when the connection over TCP is known already.
        let candidate = udp_candidate(CandidateKind::Host, client_address(), 2_122_260_223);
        world.bridge.add_remote_candidate(world.now, Generation(0), &candidate).unwrap();
        world.run(Duration::from_secs(9));
        let used = if is_udp_blocked { over_tcp } else { world.pair() };
        assert_eq!(world.bridge.selected_pair(), Some(used), "{:?}", world.events);
        assert_eq!(world.bridge.is_validated(world.pair().peer()), !is_udp_blocked);
        assert!(world.bridge.is_validated(over_tcp.peer()));
        world.network.is_udp_blocked = false;
        world.run(Duration::from_secs(10));
        assert_eq!(world.bridge.selected_pair(), Some(world.pair()));
    }
}

#[test]
fn message_over_tcp_to_a_bridge_without_tcp_is_refused_and_counted() {
    let mut world = World::new(9);
    world.exchange_credentials();
    world.run(Duration::from_secs(2));
    let request = world.last_request_to_bridge.clone();
    assert_eq!(world.bridge.handle_datagram(world.now, tcp_pair(), &request), Err(StunRefusal::NoCandidate));
    assert_eq!(world.bridge.counters().no_candidate, 1);
}

#[test]
fn restart_moves_from_tcp_to_udp() {
    let mut world = both_protocols(10, IceRole::Controlling);
    world.network.is_udp_blocked = true;
    world.exchange_credentials();
    world.run(Duration::from_secs(5));
    let generation = world.bridge.restart(world.now, IceCredentials::from_random(&[9; 24])).unwrap();
    world.network.is_udp_blocked = false;
    world.client_credentials = IceCredentials::from_random(&[10; 24]);
    world.client.ice_restart(world.client_credentials.to_is(), true);
    world.client.set_remote_credentials(world.bridge.local_credentials().to_is());
    world.tell_client_the_candidates();
    world.bridge.set_remote_credentials(world.now, generation, world.client_credentials()).unwrap();
    world.run(Duration::from_secs(5));
    assert!(world.events.contains(&Event::RestartCompleted(generation)));
    assert_eq!(world.bridge.selected_pair(), Some(world.pair()));
}

#[test]
fn endless_connections_stay_within_bounds() {
    let mut world = both_protocols(11, IceRole::Controlling);
    world.exchange_credentials();
    world.run(Duration::from_secs(2));
    for port in 1_024..3_024 {
        let path = FiveTuple::tcp(tcp_address(), SocketAddr::new(client_address().ip(), port));
        let request = world.last_request_to_bridge.clone();
        let _ = world.bridge.handle_datagram(world.now, path, &request);
        world.bridge.handle_path_closed(world.now, path);
    }
    assert!(world.bridge.counters().check_list_rebuilt > 0);
    world.run(Duration::from_secs(60));
    assert_eq!(world.bridge.selected_pair(), Some(world.pair()));
    assert!(!world.events.contains(&Event::Failed), "{:?}", world.events);
}

#[test]
fn port_that_a_proxy_forwards_is_a_path_like_any_other() {
    let public: SocketAddr = "203.0.113.7:443".parse().unwrap();
    let mapped = LocalAddress { public: Some(public), is_host_told: false, ..LocalAddress::tcp(tcp_address()) };
    let own = [PeerAddress { protocol: TransportProtocol::Tcp, address: tcp_pair().remote }];
    let mut world = World::with(12, IceRole::Controlling, &[mapped], &own);
    world.network.forwards.push((PeerAddress { protocol: TransportProtocol::Tcp, address: public }, tcp_address()));
    world.exchange_credentials();
    world.run(Duration::from_secs(3));
    assert_eq!(world.events, [Event::Connected(tcp_pair())]);
    assert!(world.client.state().is_connected());
}

fn both_protocols(seed: u64, role: IceRole) -> World {
    let bridge = [LocalAddress::host(bridge_address()), LocalAddress::tcp(tcp_address())];
    World::with(seed, role, &bridge, &[PeerAddress::udp(client_address()), tcp_pair().peer()])
}

fn tcp_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4443))
}

fn tcp_pair() -> FiveTuple {
    FiveTuple::tcp(tcp_address(), SocketAddr::from(([198, 51, 100, 2], 50_001)))
}
