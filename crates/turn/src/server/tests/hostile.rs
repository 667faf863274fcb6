//! What strangers and clients may not: OWASP ASVS 5.0 V17.1 and what follows from it.

use std::net::SocketAddr;

use model::FiveTuple;

use super::world::{Client, World, at, settings};
use crate::Input;
use crate::stun::{AttributeType, Class, MessageBuilder, Method, TransactionId};

const BRIDGE: &str = "203.0.113.7:10000";

/// ASVS 17.1.1: a relay reaches nothing of the operator's network, in whatever form the address is written, by whatever
/// request; also where the operator opened everything else.
#[test]
fn asvs_17_1_1_turn_refuses_reserved_ranges() {
    let mut open = settings();
    open.peers = open.peers.with_networks(["0.0.0.0/0", "::/0"].map(|network| network.parse().unwrap()));
    for settings in [settings(), open] {
        let mut world = World::new(settings);
        let v4 = Client::udp(5000);
        let v6 = Client::udp(5001);
        world.allocate(&v4);
        let family = (AttributeType::REQUESTED_ADDRESS_FAMILY, vec![2, 0, 0, 0]);
        let transport = (AttributeType::REQUESTED_TRANSPORT, vec![17, 0, 0, 0]);
        world.request(&v6, Method::Allocate, &[transport, family]);
        for (client, peer) in [
            (&v4, "127.0.0.1:80"),
            (&v4, "0.0.0.0:80"),
            (&v4, "10.0.0.1:22"),
            (&v4, "172.16.0.1:22"),
            (&v4, "192.168.1.1:80"),
            (&v4, "100.64.0.1:80"),
            (&v4, "169.254.169.254:80"),
            (&v4, "224.0.0.251:5353"),
            (&v4, "255.255.255.255:9"),
            (&v6, "[::]:80"),
            (&v6, "[::1]:80"),
            (&v6, "[fe80::1]:80"),
            (&v6, "[fd00::1]:80"),
            (&v6, "[ff02::1]:80"),
            (&v6, "[fd00:ec2::254]:80"),
            (&v6, "[::ffff:127.0.0.1]:80"),
            (&v6, "[::ffff:169.254.169.254]:80"),
            (&v6, "[::127.0.0.1]:80"),
            (&v6, "[64:ff9b::169.254.169.254]:80"),
            (&v6, "[64:ff9b:1::10.0.0.1]:80"),
            (&v6, "[2002:7f00:1::]:80"),
            (&v6, "[2001:0:1::1]:80"),
        ] {
            assert_eq!(world.permit(client, peer).code, Some(403), "{peer}");
            assert_eq!(world.bind(client, 0x4001, peer).code, Some(403), "{peer}");
            world.send_indication(client, peer, b"x");
        }
        assert_eq!(world.permit(&v4, "[::1]:80").code, Some(443), "the other family");
        assert!(world.to_peers.is_empty());
        assert!(world.dropped("peer_reserved") >= 40);
    }
}

/// ASVS 17.1.2: when all ports are taken, newcomers hear so, everybody else goes on, and ports come back.
#[test]
fn asvs_17_1_2_turn_survives_port_exhaustion() {
    let mut settings = settings();
    settings.relay_ports = 50_000..=50_009;
    let mut world = World::new(settings);
    let clients: Vec<_> = (0..10).map(|index| Client::udp(5000 + index)).collect();
    for client in &clients {
        assert_eq!(world.allocate(client).code, None);
    }
    world.permit(&clients[3], BRIDGE);
    for port in 6000..6100 {
        let newcomer =
            Client::named(FiveTuple::udp(at("10.0.0.5:3478"), SocketAddr::from(([192, 88, 0, 1], port))), "bob");
        assert_eq!(world.allocate(&newcomer).code, Some(508));
    }
    assert_eq!(world.dropped("no_port"), 100);
    world.send_indication(&clients[3], BRIDGE, b"still here");
    assert_eq!(world.to_peers.len(), 1);
    let lifetime = (AttributeType::LIFETIME, vec![0; 4]);
    assert_eq!(world.request(&clients[0], Method::Refresh, &[lifetime]).code, None);
    let newcomer = Client::named(Client::udp(6000).path, "bob");
    assert_eq!(world.allocate(&newcomer).code, None, "the port came back");
    world.wait(3_600);
    assert_eq!((world.server.remembered(), world.metrics.allocations.get()), (0, 0));
}

#[test]
fn a_relay_reaches_neither_another_relay_nor_the_server_itself() {
    let mut settings = settings();
    // An operator who lists these has made a mistake; the server's own ports stay closed all the same.
    let own = ["10.0.0.5:3478", "10.0.0.5:8443", "10.0.0.5:50000", "10.0.0.5:50001"];
    settings.peers = crate::PeerPolicy::bridges(own.map(|text| crate::BridgeAddress::direct(at(text))));
    settings.shared_ports = vec![8443];
    settings.relay_ports = 50_000..=50_001;
    let mut world = World::new(settings);
    let [alice, bob] = [Client::udp(5000), Client::udp(5001)];
    world.allocate(&alice);
    world.allocate(&bob);
    for peer in own {
        assert_eq!(world.bind(&alice, 0x4001, peer).code, Some(403), "{peer}");
        world.permit(&alice, peer);
        world.send_indication(&alice, peer, b"loop");
    }
    assert!(world.to_peers.is_empty());
    assert!(world.dropped("peer_own_address") >= 8);
}

#[test]
fn a_permission_for_the_bridge_opens_its_media_port_only() {
    let mut world = World::new(settings());
    let client = Client::udp(5000);
    world.allocate(&client);
    assert_eq!(world.permit(&client, "203.0.113.7:22").code, None, "a permission has no port");
    world.send_indication(&client, "203.0.113.7:22", b"ssh");
    assert_eq!(world.bind(&client, 0x4001, "203.0.113.7:22").code, Some(403));
    assert!(world.to_peers.is_empty());
}

#[test]
fn data_without_permission_passes_in_neither_direction() {
    let mut world = World::new(settings());
    let client = Client::udp(5000);
    let relayed = world.allocate(&client).relayed.unwrap();
    world.send_indication(&client, BRIDGE, b"out");
    world.peer_sends(relayed, "10.0.0.5:10000", b"in");
    world.permit(&client, BRIDGE);
    world.peer_sends(relayed, "10.0.0.5:10001", b"another program of the host");
    world.peer_sends(relayed, "203.0.113.9:10000", b"a stranger");
    assert!(world.to_peers.is_empty() && world.to_clients.is_empty());
    assert_eq!(world.dropped("peer_without_permission"), 3);
}

#[test]
fn forged_channel_data_is_dropped() {
    let mut world = World::new(settings());
    let [alice, mallory] = [Client::udp(5000), Client::udp(5001)];
    world.allocate(&alice);
    world.bind(&alice, 0x4001, BRIDGE);
    world.send_channel_data(&mallory, 0x4001, b"from another path");
    world.send_channel_data(&alice, 0x4002, b"on a channel that is not bound");
    world.send(&alice, &[0x40, 0x01, 0xff, 0xff, 1, 2, 3]);
    world.send(&alice, &[0x40, 0x01, 0x00]);
    assert!(world.to_peers.is_empty());
    assert_eq!((world.dropped("no_allocation"), world.dropped("unbound_channel")), (1, 1));
    assert_eq!(world.dropped("malformed_channel_data"), 2);
}

#[test]
fn the_allocation_of_another_is_out_of_reach() {
    let mut world = World::new(settings());
    let alice = Client::udp(5000);
    world.allocate(&alice);
    let mallory = Client::named(alice.path, "mallory");
    let lifetime = (AttributeType::LIFETIME, vec![0; 4]);
    assert_eq!(world.request(&mallory, Method::Refresh, &[lifetime]).code, Some(441));
    assert_eq!(world.permit(&mallory, BRIDGE).code, Some(441));
    assert_eq!(world.bind(&mallory, 0x4001, BRIDGE).code, Some(441));
    assert_eq!(world.relays.len(), 1);
}

#[test]
fn one_user_and_one_address_have_a_quota_and_leave_room_for_others() {
    let mut settings = settings();
    settings.limits.allocations_per_user = 3;
    settings.limits.allocations_per_address = 5;
    settings.limits.allocations = 7;
    let mut world = World::new(settings);
    let client = |name: &str, host: u8, port| {
        Client::named(FiveTuple::udp(at("10.0.0.5:3478"), SocketAddr::from(([198, 51, 100, host], port))), name)
    };
    for port in 0..3 {
        assert_eq!(world.allocate(&client("alice", 1, 5000 + port)).code, None);
    }
    assert_eq!(world.allocate(&client("alice", 2, 5000)).code, Some(486), "her own quota, wherever she is");
    // The same user with a later expiry is the same user.
    let later = client("alice", 2, 5000).with_username("1790009999:alice".to_owned());
    assert_eq!(world.allocate(&later).code, Some(486));
    assert_eq!(world.allocate(&client("bob", 1, 6000)).code, None);
    assert_eq!(world.allocate(&client("bob", 1, 6001)).code, None);
    assert_eq!(world.allocate(&client("carol", 1, 7000)).code, Some(486), "the address's quota");
    assert_eq!(world.allocate(&client("carol", 2, 7000)).code, None);
    assert_eq!(world.allocate(&client("carol", 2, 7001)).code, None);
    assert_eq!(world.allocate(&client("dave", 3, 8000)).code, Some(508), "all together");
    world.wait(600);
    assert_eq!(world.allocate(&client("alice", 1, 5000)).code, None);
}

#[test]
fn permissions_and_channels_of_an_allocation_are_limited() {
    let mut settings = settings();
    settings.peers = settings.peers.with_networks(["9.0.0.0/8".parse().unwrap()]);
    settings.limits.permissions = 4;
    settings.limits.channels = 2;
    let mut world = World::new(settings);
    let client = Client::udp(5000);
    world.allocate(&client);
    for host in 1..=4 {
        assert_eq!(world.permit(&client, &format!("9.0.0.{host}:1")).code, None);
    }
    assert_eq!(world.permit(&client, "9.0.0.5:1").code, Some(508));
    assert_eq!(world.permit(&client, "9.0.0.4:1").code, None, "a refresh takes no room");
    assert_eq!(world.bind(&client, 0x4000, "9.0.0.1:1").code, None);
    assert_eq!(world.bind(&client, 0x4001, "9.0.0.1:2").code, None);
    assert_eq!(world.bind(&client, 0x4002, "9.0.0.1:3").code, Some(508));
    world.request(&client, Method::Refresh, &[]);
    world.wait(301);
    assert_eq!(world.permit(&client, "9.0.0.5:1").code, None, "what expired makes room");
}

/// Half-open streams: nobody waits for ever, and one address leaves room for others.
#[test]
fn streams_without_an_allocation_are_closed_and_limited() {
    let mut settings = settings();
    settings.limits.streams_per_address = 3;
    settings.limits.streams = 4;
    let mut world = World::new(settings);
    let path = |host: u8, port| FiveTuple::tcp(at("10.0.0.5:3478"), SocketAddr::from(([198, 51, 100, host], port)));
    for (host, port, is_closed) in
        [(1, 1, false), (1, 2, false), (1, 3, false), (1, 4, true), (2, 1, false), (3, 1, true)]
    {
        world.input(Input::StreamOpened { path: path(host, port) });
        assert_eq!(world.closed_streams.pop(), is_closed.then(|| path(host, port)));
    }
    world.wait(19);
    assert!(world.closed_streams.is_empty());
    world.wait(1);
    assert_eq!((world.closed_streams.len(), world.server.remembered()), (4, 0));
    assert_eq!(world.dropped("stream_without_allocation"), 4);
}

/// The first request of a browser.
fn first_allocate() -> MessageBuilder {
    MessageBuilder::new(Class::Request, Method::Allocate, TransactionId([1; 12]))
        .attribute(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
}

/// Nobody's server is flooded through this one: a forged sender gets few more bytes than were sent in its name, and so
/// many answers a second.
#[test]
fn strangers_are_answered_with_hardly_more_than_they_send_and_not_without_end() {
    let mut world = World::new(settings());
    let limit = u64::from(crate::Limits::default().unauthenticated_burst);
    let request = first_allocate().finish(false);
    let victim = Client::udp(5000);
    let mut sent = 0;
    for _ in 0..2 * limit + 1000 {
        world.send(&victim, &request);
        sent += request.len();
        assert!(world.to_clients.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() <= sent + 4096);
    }
    assert_eq!(world.to_clients.len() as u64, limit);
    let refused = world.dropped("unauthenticated_short") + world.dropped("unauthenticated_rate");
    assert_eq!(refused, limit + 1000);
    world.to_clients.clear();
    world.wait(1);
    for _ in 0..1000 {
        world.send(&victim, &request);
    }
    assert_eq!(world.to_clients.len(), crate::Limits::default().unauthenticated_per_second as usize);
    assert_eq!(world.server.remembered(), 0, "strangers leave nothing");
}

/// What clients send first, as captured. Chromium has no candidate of its own interfaces where a page may not know them: the
/// answer to Binding then shows the direct path, which comes too late once a relay works.
#[test]
fn real_clients_are_answered_at_once() {
    let binding = || MessageBuilder::new(Class::Request, Method::Binding, TransactionId([1; 12]));
    let lifetime = |message: MessageBuilder| message.attribute(AttributeType::LIFETIME, &[0, 0, 0x0e, 0x10]);
    let chromium = first_allocate().finish(false);
    let firefox = lifetime(first_allocate()).finish(true);
    let coturn = lifetime(first_allocate()).attribute(AttributeType::REQUESTED_ADDRESS_FAMILY, &[1, 0, 0, 0]);
    for (request, bytes, answer) in [
        (chromium, 28, 56),
        (firefox, 44, 64),
        (coturn.finish(true), 52, 64),
        (binding().finish(false), 20, 32),
        (binding().finish(true), 28, 40),
    ] {
        for client in [Client::udp(5000), Client::tcp(5000)] {
            let mut world = World::new(settings());
            world.input(Input::StreamOpened { path: client.path });
            assert_eq!(request.len(), bytes);
            world.send(&client, &request);
            assert_eq!(world.reply(&client).len, answer);
        }
    }
}

#[test]
fn noise_is_dropped_and_leaves_nothing() {
    let mut world = World::new(settings());
    let client = Client::udp(5000);
    let valid = MessageBuilder::new(Class::Request, Method::Allocate, TransactionId([1; 12])).finish(true);
    for len in 0..valid.len() {
        world.send(&client, &valid[..len]);
    }
    for first in 0..=u8::MAX {
        world.send(&client, &[first; 33]);
    }
    for class in [Class::Indication, Class::Success, Class::Error] {
        let message = MessageBuilder::new(class, Method::Allocate, TransactionId([1; 12])).finish(false);
        world.send(&client, &message);
    }
    assert!(world.to_clients.is_empty() && world.to_peers.is_empty());
    assert_eq!(world.server.remembered(), 0);
}
