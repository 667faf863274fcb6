//! Narrow lines: each gets the layers that its line carries, and nothing stands in a queue.

use std::collections::BTreeSet;
use std::time::Duration;

use jitsi_protocol::bridge_channel::{BridgeMessage, ClientMessage, ReceiverVideoConstraints, VideoConstraints};
use model::Bitrate;
use sim::Bottleneck;
use streams::TwccReceiver;

use super::camera::origin;
use super::world::World;

/// Bytes of picture in each packet of a camera: at 25 frames a second its layers, of one, two and three packets a frame, take
/// 200, 400 and 600 kbit/s.
const PICTURE_LEN: usize = 900;

/// Clients that all tell the bridge what arrives, with large pictures.
fn world(seed: u64, clients: usize) -> World {
    let mut world = World::connected(seed, clients);
    for client in &mut world.clients {
        client.twcc = Some(TwccReceiver::new(world.now));
        for layer in client.cameras.iter_mut().flat_map(|camera| &mut camera.layers) {
            layer.picture_len = PICTURE_LEN;
        }
    }
    world
}

/// Puts a client behind a line of so many kilobits a second, with half a second of queue.
fn narrow(world: &mut World, index: usize, kbps: u64) {
    let line = Bottleneck::new(kbps * 1000, 1000 * kbps as usize / 8 / 2);
    world.lines.insert(world.clients[index].external, line);
}

/// The encoding of which a client got the last packet from another; `None` if it got nothing for a second.
fn layer(world: &World, sender: usize, receiver: usize) -> Option<u32> {
    let ssrc = world.clients[sender].video_ssrc();
    let stream = world.clients[receiver].incoming.get(&ssrc)?;
    if world.now.saturating_duration_since(stream.last_at) > Duration::from_secs(1) {
        return None;
    }
    let (_, last) = stream.packets.iter().rfind(|(_, packet)| !packet.payload.is_empty())?;
    Some(origin(&last.payload).0 - ssrc)
}

/// What client 1 was told is forwarded to it.
fn forwarded(world: &World) -> BTreeSet<String> {
    let messages = world.clients[1].messages();
    let last = messages.into_iter().rev().find_map(|message| {
        let BridgeMessage::ForwardedSources(forwarded) = message else { return None };
        Some(forwarded.forwarded_sources)
    });
    last.unwrap_or_default().into_iter().map(|name| name.to_string()).collect()
}

/// Leaves what the change of a line did to what was under way out of what is checked.
fn forget(world: &mut World, sender: usize, receiver: usize) {
    let ssrcs = [world.clients[sender].video_ssrc(), world.clients[sender].microphone.ssrc];
    for ssrc in ssrcs {
        if let Some(incoming) = world.clients[receiver].incoming.get_mut(&ssrc) {
            incoming.forget();
        }
    }
}

fn line(world: &World, index: usize) -> &Bottleneck {
    &world.lines[&world.clients[index].external]
}

fn probe_packets(world: &World) -> u64 {
    world.bridge.counted(|counters| counters.probe_packets.get())
}

#[test]
fn a_line_gets_the_layer_that_it_carries() {
    for (seed, kbps, expected) in [(1, 400, 0), (2, 600, 1), (3, 2000, 2)] {
        let mut world = world(seed, 2);
        narrow(&mut world, 1, kbps);
        world.run(10_000);
        forget(&mut world, 0, 1);
        let dropped = line(&world, 1).dropped();
        for _ in 0..100 {
            world.run(100);
            assert_eq!(layer(&world, 0, 1), Some(expected), "{kbps} kbit/s");
            let delay = line(&world, 1).delay(world.now);
            assert!(delay < Duration::from_millis(150), "{kbps} kbit/s: {delay:?} behind");
        }
        assert_eq!(line(&world, 1).dropped(), dropped, "{kbps} kbit/s");
        world.clients[1].stream(world.clients[0].video_ssrc()).check_video();
        world.clients[1].stream(world.clients[0].microphone.ssrc).check_audio();
    }
}

#[test]
fn layers_follow_the_line_down_and_up_and_others_keep_theirs() {
    let mut world = world(4, 3);
    narrow(&mut world, 1, 5000);
    world.run(5000);
    assert_eq!(layer(&world, 0, 1), Some(2));
    narrow(&mut world, 1, 350);
    world.run(10_000);
    assert_eq!(layer(&world, 0, 1), Some(0));
    let delay = line(&world, 1).delay(world.now);
    assert!(delay < Duration::from_millis(150), "what stood in the queue has left: {delay:?}");
    forget(&mut world, 0, 1);
    narrow(&mut world, 1, 3000);
    world.run(8000);
    assert_eq!(layer(&world, 0, 1), Some(2));
    let video = world.clients[1].stream(world.clients[0].video_ssrc());
    video.check_video();
    assert!(video.repaired > 0, "padding");
    let other = world.clients[2].stream(world.clients[0].video_ssrc());
    other.check_video();
    let after_start =
        other.origins().into_iter().skip_while(|(_, origin)| *origin != world.clients[0].video_ssrc() + 2);
    assert_eq!(after_start.count(), 1, "nothing but the top layer");
}

#[test]
fn nothing_is_added_where_everything_fits() {
    let mut world = world(5, 2);
    narrow(&mut world, 1, 5000);
    world.run(10_000);
    let probes = probe_packets(&world);
    world.run(10_000);
    assert_eq!(probe_packets(&world), probes);
    assert_eq!(layer(&world, 0, 1), Some(2));
}

#[test]
fn a_video_that_does_not_fit_leaves_room_to_others_and_the_client_is_told() {
    let mut world = world(6, 3);
    // The first has one layer only, of 600 kbit/s.
    world.clients[0].cameras[0].layers[..2].iter_mut().for_each(|layer| layer.is_on = false);
    let [large, small] = [0, 2].map(|index| world.clients[index].cameras[0].name.clone());
    world.clients[1].send_text(&ClientMessage::ReceiverVideoConstraints(ReceiverVideoConstraints {
        on_stage_sources: Some(vec![large.parse().unwrap()]),
        default_constraints: Some(VideoConstraints { max_height: 720, max_frame_rate: None }),
        ..ReceiverVideoConstraints::default()
    }));
    // After audio too little is left for a quarter of its frames.
    narrow(&mut world, 1, 220);
    world.run(15_000);
    assert_eq!(forwarded(&world), BTreeSet::from([small.clone()]));
    assert_eq!((layer(&world, 0, 1), layer(&world, 2, 1)), (None, Some(0)));
    narrow(&mut world, 1, 3000);
    world.run(8000);
    assert_eq!(forwarded(&world), BTreeSet::from([small, large]));
    assert_eq!((layer(&world, 0, 1), layer(&world, 2, 1)), (Some(2), Some(2)));
}

#[test]
fn audio_comes_before_all_video() {
    let mut world = world(7, 3);
    narrow(&mut world, 1, 150);
    world.run(15_000);
    for sender in [0, 2] {
        forget(&mut world, sender, 1);
    }
    world.run(10_000);
    for sender in [0, 2] {
        world.clients[1].stream(world.clients[sender].microphone.ssrc).check_audio();
    }
}

#[test]
fn a_key_frame_is_spread_over_time() {
    let mut world = world(9, 2);
    narrow(&mut world, 1, 3000);
    world.run(5000);
    // A key frame of 60 packets would take 170 ms of the line at once.
    world.clients[0].cameras[0].layers[2].key_frame_packets = 20;
    let ssrc = world.clients[0].video_ssrc();
    world.clients[1].send_pli(ssrc);
    let mut longest = Duration::ZERO;
    for _ in 0..1000 {
        world.run(1);
        longest = longest.max(line(&world, 1).delay(world.now));
    }
    assert!(world.clients[0].cameras[0].layers[2].key_frames > 1);
    assert!((Duration::from_millis(60)..Duration::from_millis(125)).contains(&longest), "{longest:?}");
    world.clients[1].stream(ssrc).check_video();
    assert_eq!(world.clients[1].stream(ssrc).repaired_early, 0);
    world.clients[1].stream(world.clients[0].microphone.ssrc).check_audio();
}

#[test]
fn clients_are_told_their_bandwidth() {
    let mut world = world(8, 2);
    narrow(&mut world, 1, 500);
    world.run(25_000);
    let stats: Vec<_> = world.clients[1]
        .messages()
        .into_iter()
        .filter_map(|message| {
            let BridgeMessage::ConnectionStats(stats) = message else { return None };
            Some(stats.estimated_downlink_bandwidth)
        })
        .collect();
    assert!((2..=3).contains(&stats.len()), "each ten seconds: {stats:?}");
    // Of 500 kbit/s audio takes 50; an estimate goes a little beyond the end before it finds it, and dips by a third then.
    assert!(stats.iter().all(|bps| (290_000..=550_000).contains(bps)), "{stats:?}");
}

#[test]
fn random_loss_leaves_a_receiver_most_of_its_line() {
    let mut world = world(11, 4);
    for path in [&mut world.up, &mut world.down] {
        (path.latency, path.loss_percent) = (Duration::from_millis(50), 3);
    }
    narrow(&mut world, 1, 1000);
    world.run(20_000);
    for _ in 0..20 {
        world.run(1000);
        let estimate = world.endpoint(1).unwrap().bandwidth.unwrap();
        assert!(estimate > Bitrate::from_kbps(500), "{estimate:?}");
    }
    for sender in [0, 2, 3] {
        assert!(layer(&world, sender, 1).is_some(), "{sender}");
    }
}

/// As when a client is put on stage, is asked for more than a thumbnail again, and switches layers on.
#[test]
fn a_layer_that_begins_is_taken_with_its_own_key_frame_where_there_is_room() {
    let mut world = world(8, 2);
    narrow(&mut world, 1, 5000);
    world.run(5000);
    assert_eq!(layer(&world, 0, 1), Some(2));
    world.clients[0].cameras[0].layers[1..].iter_mut().for_each(|layer| layer.is_on = false);
    world.run(5000);
    assert_eq!(layer(&world, 0, 1), Some(0));
    let upper = &mut world.clients[0].cameras[0].layers[1..];
    upper.iter_mut().for_each(|layer| (layer.is_on, layer.wants_key_frame) = (true, true));
    let before: Vec<_> = upper.iter().map(|layer| layer.key_frames).collect();
    world.run(2000);
    assert_eq!(layer(&world, 0, 1), Some(2));
    let after = world.clients[0].cameras[0].layers[1..].iter().map(|layer| layer.key_frames);
    assert_eq!(after.zip(before).map(|(after, before)| after - before).collect::<Vec<_>>(), [1, 1]);
    world.clients[1].stream(world.clients[0].video_ssrc()).check_video();
}
