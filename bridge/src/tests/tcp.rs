//! Participants whose network lets no UDP pass.

use std::time::Duration;

use model::TransportProtocol;

use super::world::World;

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
        let path = world.endpoint(0).unwrap().path.unwrap();
        assert_eq!(path.protocol, TransportProtocol::Tcp);
        assert_eq!(world.endpoint(1).unwrap().path.unwrap().protocol, TransportProtocol::Udp);
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
