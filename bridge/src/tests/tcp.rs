//! Participants whose network lets no UDP pass.

use std::time::Duration;

use model::{FiveTuple, PeerAddress, TransportProtocol};

use super::world::World;
use crate::shard::message::ShardId;
use crate::transport::test_peer::bridge_address;

/// A world of three, the first of them over TCP.
fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    for index in 0..3 {
        let client = world.join();
        assert_eq!(client, index);
        world.clients[index].is_over_tcp = index == 0;
    }
    world.run(1500);
    world
}

#[test]
fn media_and_channel_go_over_tcp_among_others_over_udp() {
    for seed in 31..34 {
        let mut world = world(seed);
        let path = world.endpoint(0).unwrap().connection.path.unwrap();
        assert_eq!(path.protocol, TransportProtocol::Tcp);
        assert_eq!(world.endpoint(1).unwrap().connection.path.unwrap().protocol, TransportProtocol::Udp);
        assert!(world.clients[0].peer.is_channel_open());
        world.run(3000);
        for (receiver, sender) in [(0, 1), (0, 2), (1, 0), (2, 0)] {
            let (audio, video) = (world.clients[sender].microphone.ssrc, world.clients[sender].video_ssrc());
            world.clients[receiver].stream(audio).check_audio();
            world.clients[receiver].stream(video).check_video();
        }
    }
}

#[test]
fn who_reads_slowly_keeps_hearing_and_loses_video_by_whole_frames() {
    let mut world = world(35);
    world.run(1000);
    let external = world.clients[0].external;
    let (audio, video) = (world.clients[1].microphone.ssrc, world.clients[1].video_ssrc());
    world.bridge.backlogs.insert(external, 100 << 10);
    world.run(200);
    let seen = world.clients[0].stream(video).packets.len();
    let last = world.clients[0].stream(video).packets.last_key_value().map(|(_, packet)| packet.marker);
    assert_eq!(last, Some(true), "the frame that was begun came to its end");
    world.run(1000);
    assert_eq!(world.clients[0].stream(video).packets.len(), seen, "no video while it is behind");
    assert!(world.now - world.clients[0].stream(audio).last_at < Duration::from_millis(100), "audio goes on");
    // Others do not feel it.
    assert!(world.now - world.clients[2].stream(video).last_at < Duration::from_millis(200));
    world.bridge.backlogs.clear();
    world.run(1000);
    assert!(world.now - world.clients[0].stream(video).last_at < Duration::from_millis(200), "it has caught up");
    world.clients[0].stream(video).check_video();
    world.clients[0].stream(audio).check_audio();
}

/// The TCP connection of a client closes at the shard that has it.
fn close_connection(world: &mut World, index: usize) -> FiveTuple {
    let path = FiveTuple::tcp(bridge_address(), world.clients[index].external);
    world.bridge.handle_connection_closed(path, ShardId(0), world.now);
    path
}

#[test]
fn closed_connection_is_sent_nothing_at_once_and_a_new_one_goes_on() {
    for seed in 36..39 {
        let mut world = world(seed);
        world.run(1000);
        let closed = close_connection(&mut world, 0);
        let endpoint = world.endpoint(0).unwrap();
        assert_eq!(endpoint.connection.path, None, "not after seconds of silence");
        assert!(!endpoint.connection.remotes.contains(&closed.peer()), "who gets this port next is somebody else");
        world.flush();
        world.clients[0].external.set_port(50_000);
        world.is_watched = true;
        world.run(8000);
        assert!(world.passed.iter().all(|(_, to, _)| *to != closed.remote), "sent into a closed connection");
        assert_eq!(world.endpoint(0).unwrap().connection.path.map(|path| path.remote), Some(world.clients[0].external));
        for (receiver, sender) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
            let audio = world.clients[sender].microphone.ssrc;
            let last = world.clients[receiver].stream(audio).last_at;
            assert!(world.now - last < Duration::from_millis(200), "{receiver} hears {sender}");
        }
    }
}

#[test]
fn media_moves_at_once_from_a_closed_connection_to_udp() {
    let mut world = world(39);
    // The client's checks come over UDP too from now on; while both work the better one may be taken already.
    world.clients[0].is_over_tcp = false;
    let udp = PeerAddress::udp(world.clients[0].external);
    while !world.endpoint(0).unwrap().connection.transport.is_validated(udp) {
        world.run(20);
    }
    close_connection(&mut world, 0);
    assert_eq!(world.endpoint(0).unwrap().connection.path.map(|path| path.peer()), Some(udp));
    let seen = world.clients[0].stream(world.clients[1].microphone.ssrc).packets.len();
    world.run(200);
    let audio = world.clients[1].microphone.ssrc;
    assert!(world.clients[0].stream(audio).packets.len() > seen + 5, "no gap");
}

#[test]
fn closed_connection_of_nobody_or_of_an_idle_path_changes_nothing() {
    let mut world = world(40);
    let path = world.endpoint(1).unwrap().connection.path;
    let before = world.bridge.endpoint_count();
    close_connection(&mut world, 1);
    world.bridge.handle_connection_closed(
        FiveTuple::tcp(bridge_address(), "203.0.113.9:1".parse().unwrap()),
        ShardId(0),
        world.now,
    );
    assert_eq!((world.endpoint(1).unwrap().connection.path, world.bridge.endpoint_count()), (path, before));
}
