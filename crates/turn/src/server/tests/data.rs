//! The way of data, and the permissions and channels that open it.

use super::world::{Client, World, at, data_indication, settings};
use crate::channel_data::{self, ChannelNumber};
use crate::{BridgeAddress, Input, PeerPolicy};

const BRIDGE: &str = "203.0.113.7:10000";
const BRIDGE_INSIDE: &str = "10.0.0.5:10000";

#[test]
fn data_goes_by_indications_to_the_bridge_inside_and_comes_from_its_public_address() {
    let mut world = World::new(settings());
    let client = Client::udp(5000);
    let relayed = world.allocate(&client).relayed.unwrap();
    assert_eq!(world.permit(&client, BRIDGE).code, None);
    world.send_indication(&client, BRIDGE, b"ping");
    let (_, destination, bytes) = world.to_peers.pop().unwrap();
    assert_eq!((destination, bytes), (at(BRIDGE_INSIDE), b"ping".to_vec()));
    world.peer_sends(relayed, BRIDGE_INSIDE, b"pong");
    let (_, bytes) = world.to_clients.pop().unwrap();
    assert_eq!(data_indication(&bytes), (at(BRIDGE), b"pong".to_vec()));
}

#[test]
fn data_goes_by_channels_padded_on_a_stream() {
    let mut world = World::new(settings());
    for client in [Client::udp(5000), Client::tcp(5000)] {
        let is_stream = client.path == Client::tcp(5000).path;
        if is_stream {
            world.input(Input::StreamOpened { path: client.path });
        }
        let relayed = world.allocate(&client).relayed.unwrap();
        assert_eq!(world.bind(&client, 0x4001, BRIDGE).code, None);
        world.send_channel_data(&client, 0x4001, b"hello");
        assert_eq!(world.to_peers.pop().unwrap().2, b"hello");
        world.peer_sends(relayed, BRIDGE_INSIDE, b"world");
        let (_, bytes) = world.to_clients.pop().unwrap();
        assert_eq!(bytes.len(), if is_stream { 12 } else { 9 });
        assert_eq!(channel_data::parse(&bytes), Some((ChannelNumber::new(0x4001).unwrap(), &b"world"[..])));
    }
}

#[test]
fn a_bridge_with_two_public_addresses_answers_from_the_one_that_was_asked() {
    let other = "203.0.113.8:10000";
    let mut settings = settings();
    let named = |advertised| BridgeAddress { advertised: at(advertised), local: at(BRIDGE_INSIDE) };
    settings.peers = PeerPolicy::bridges([named(BRIDGE), named(other)]);
    let mut world = World::new(settings);
    let client = Client::udp(5000);
    let relayed = world.allocate(&client).relayed.unwrap();
    world.permit(&client, BRIDGE);
    world.permit(&client, other);
    for asked in [BRIDGE, other, BRIDGE] {
        world.send_indication(&client, asked, b"check");
        world.peer_sends(relayed, BRIDGE_INSIDE, b"answer");
        let (_, bytes) = world.to_clients.pop().unwrap();
        assert_eq!(data_indication(&bytes).0, at(asked));
    }
}

#[test]
fn a_bridge_that_moves_is_followed_and_its_old_place_closed() {
    let mut world = World::new(settings());
    let client = Client::udp(5000);
    world.allocate(&client);
    world.permit(&client, BRIDGE);
    world.server.set_peers(PeerPolicy::bridges([BridgeAddress::direct(at("192.88.1.1:10000"))]));
    world.send_indication(&client, BRIDGE, b"old");
    assert!(world.to_peers.is_empty());
    assert_eq!(world.permit(&client, "192.88.1.1:1").code, None);
    world.send_indication(&client, "192.88.1.1:10000", b"new");
    assert_eq!(world.to_peers.len(), 1);
}

#[test]
fn a_permission_ends_after_five_minutes_unless_refreshed() {
    let mut world = World::new(settings());
    let client = Client::udp(5000);
    let relayed = world.allocate(&client).relayed.unwrap();
    world.permit(&client, BRIDGE);
    world.wait(200);
    world.permit(&client, BRIDGE);
    world.wait(299);
    world.send_indication(&client, BRIDGE, b"in time");
    assert_eq!(world.to_peers.len(), 1);
    world.wait(1);
    world.send_indication(&client, BRIDGE, b"late");
    world.peer_sends(relayed, BRIDGE_INSIDE, b"late");
    assert_eq!((world.to_peers.len(), world.to_clients.len()), (1, 0));
    assert_eq!((world.dropped("no_permission"), world.dropped("peer_without_permission")), (1, 1));
}

#[test]
fn a_channel_ends_after_ten_minutes_and_needs_its_permission_meanwhile() {
    let mut world = World::new(settings());
    let client = Client::udp(5000);
    world.allocate(&client);
    world.bind(&client, 0x4001, BRIDGE);
    world.wait(301);
    world.send_channel_data(&client, 0x4001, b"no permission");
    assert_eq!((world.to_peers.len(), world.dropped("no_permission")), (0, 1));
    world.permit(&client, BRIDGE);
    world.send_channel_data(&client, 0x4001, b"again");
    assert_eq!(world.to_peers.len(), 1);
    world.request(&client, crate::stun::Method::Refresh, &[]);
    world.wait(299);
    world.permit(&client, BRIDGE);
    world.send_channel_data(&client, 0x4001, b"over");
    assert_eq!((world.to_peers.len(), world.dropped("unbound_channel")), (1, 1));
    assert_eq!(world.bind(&client, 0x4002, BRIDGE).code, None, "the peer is free for another number");
}

#[test]
fn a_channel_stands_for_one_peer_and_a_peer_has_one_channel() {
    let mut settings = settings();
    settings.peers = settings.peers.with_networks(["192.88.0.0/16".parse().unwrap()]);
    let mut world = World::new(settings);
    let client = Client::udp(5000);
    world.allocate(&client);
    assert_eq!(world.bind(&client, 0x4001, BRIDGE).code, None);
    assert_eq!(world.bind(&client, 0x4001, BRIDGE).code, None, "a refresh");
    assert_eq!(world.bind(&client, 0x4001, "192.88.1.1:7").code, Some(400));
    assert_eq!(world.bind(&client, 0x4002, BRIDGE).code, Some(400));
    assert_eq!(world.bind(&client, 0x3fff, BRIDGE).code, Some(400));
    assert_eq!(world.bind(&client, 0x4002, "192.88.1.1:7").code, None);
    assert_eq!(world.bind(&client, 0x4003, "[2606:4700::1]:7").code, Some(443));
}

#[test]
fn more_than_an_allocation_may_relay_a_second_is_dropped() {
    let mut settings = settings();
    settings.limits.bytes_per_second = Some(10_000);
    let mut world = World::new(settings);
    let client = Client::udp(5000);
    world.allocate(&client);
    world.permit(&client, BRIDGE);
    for _ in 0..20 {
        world.send_indication(&client, BRIDGE, &[0; 1000]);
    }
    assert_eq!((world.to_peers.len(), world.dropped("bandwidth")), (10, 10));
    world.wait(1);
    world.send_indication(&client, BRIDGE, &[0; 1000]);
    assert_eq!(world.to_peers.len(), 11);
}
