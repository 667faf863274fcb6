//! A client that is who it says it is and sends nonsense.

use super::camera::{OPUS, RTX, VP8};
use super::world::World;

#[test]
fn authentic_garbage_harms_nobody() {
    let mut world = World::connected(1, 3);
    world.run(500);
    world.clients[0].is_live = false;
    let ssrcs = [1_000_000, 1_000_100, 1_000_102, 1_000_150, 2_000_100, 7];
    for round in 0..6000_u64 {
        let len = world.random.below(80) as usize;
        let mut bytes: Vec<u8> = (0..len).map(|_| world.random.below(256) as u8).collect();
        let ssrc = ssrcs[world.random.below(6) as usize] as u32;
        if round % 2 == 0 {
            let payload_type = [OPUS, VP8, RTX, 13][world.random.below(4) as usize];
            let seq = 40_000 + round;
            // Any of padding, extension and contributing sources, with or without what they announce.
            let first = 0x80 | world.random.below(64) as u8;
            let mut packet = vec![first, payload_type | (world.random.below(2) as u8) << 7];
            packet.extend((seq as u16).to_be_bytes());
            packet.extend([0, 0, 0, 1]);
            packet.extend(ssrc.to_be_bytes());
            packet.append(&mut bytes);
            if rtp::RtpView::parse(&packet).is_ok() {
                let protected = world.clients[0].peer.protect_rtp(&packet, seq);
                world.clients[0].peer.outgoing.push(protected);
            }
        } else {
            // All packet types of RTCP, with lengths that mostly lie.
            let kind = 192 + world.random.below(32) as u8;
            let mut packet = vec![0x80 | world.random.below(32) as u8, kind, 0, (len / 4) as u8 + 1];
            packet.extend(ssrc.to_be_bytes());
            packet.append(&mut bytes);
            world.clients[0].send_rtcp(&packet);
        }
        if round % 50 == 0 {
            world.run(20);
        }
    }
    // The others go on; what reached them of the first is whatever it sent.
    world.run(1000);
    for (receiver, sender) in [(1, 2), (2, 1)] {
        let (audio, video) = (world.clients[sender].microphone.ssrc, world.clients[sender].video_ssrc());
        world.clients[receiver].stream(audio).check_audio();
        world.clients[receiver].stream(video).check_video();
        assert!(world.now - world.clients[receiver].stream(video).last_at < std::time::Duration::from_millis(200));
    }
    assert!(world.endpoint(0).is_some());
}

#[test]
fn nonsense_on_the_bridge_channel_is_dropped() {
    let mut world = World::connected(2, 2);
    world.open_web_socket(0).unwrap();
    let classes = [
        "ReceiverVideoConstraints",
        "LastNChangedEvent",
        "ReceiverAudioSubscription",
        "SourceVideoTypeMessage",
        "VideoTypeMessage",
        "EndpointMessage",
        "EndpointStats",
        "ServerHello",
    ];
    let values = ["null", "-1", "1e99", "[]", "{}", "\"x\"", "[null,1,\"0000a001-v0\"]", "{\"maxHeight\":-9999999999}"];
    let keys =
        ["lastN", "selectedSources", "constraints", "defaultConstraints", "videoType", "sourceName", "to", "from"];
    for class in classes {
        for key in keys {
            for value in values {
                world.web_socket_text(0, &format!(r#"{{"colibriClass":"{class}","{key}":{value}}}"#));
                world.run(60);
            }
        }
    }
    let video = world.clients[1].stream(world.clients[0].video_ssrc());
    video.check_video();
    assert!(world.now - video.last_at < std::time::Duration::from_millis(200));
}
