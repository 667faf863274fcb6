//! Media from one to all others: continuity, layers, what is left out.

use super::camera::plain;
use super::client::constraints;
use super::world::World;
use crate::counters::DropReason;

#[test]
fn everyone_hears_and_sees_everyone() {
    let mut world = World::connected(1, 3);
    world.run(5000);
    for receiver in &world.clients {
        for sender in world.clients.iter().filter(|sender| sender.id != receiver.id) {
            receiver.stream(sender.microphone.ssrc).check_audio();
            let video = receiver.stream(sender.video_ssrc());
            video.check_video();
            assert!(video.packets.len() > 300, "{} packets", video.packets.len());
            assert_eq!(video.origins().last().unwrap().1, sender.cameras[0].layers[2].ssrc, "the tallest layer");
        }
        assert_eq!(receiver.incoming.len(), 4, "one stream for each source of the others");
    }
}

#[test]
fn layers_change_with_what_the_receiver_wants_and_numbers_go_on() {
    let mut world = World::connected(2, 2);
    let (name, ssrc) = (world.clients[0].cameras[0].name.clone(), world.clients[0].video_ssrc());
    for height in [180, 720, 360, 180, 720] {
        world.clients[1].send_text(&constraints(&[(&name, height)]));
        world.run(2000);
        assert_eq!(world.clients[1].stream(ssrc).check_video().last(), Some(&(height as u16)));
    }
    let origins = world.clients[1].stream(ssrc).origins();
    let layers: Vec<_> = origins.iter().map(|(_, origin)| origin - ssrc).collect();
    assert!(layers.ends_with(&[0, 2, 1, 0, 2]), "{layers:?}");
}

#[test]
fn a_layer_that_stops_is_replaced_by_the_next_one() {
    let mut world = World::connected(3, 2);
    world.run(1000);
    let ssrc = world.clients[0].video_ssrc();
    world.clients[0].cameras[0].layers[2].is_on = false;
    world.run(1200);
    assert_eq!(world.clients[1].stream(ssrc).check_video().last(), Some(&360));
    world.clients[0].cameras[0].layers[2].is_on = true;
    world.run(1000);
    assert_eq!(world.clients[1].stream(ssrc).check_video().last(), Some(&720), "and comes back");
}

#[test]
fn disorder_and_copies_of_the_network_do_no_harm() {
    for seed in 10..14 {
        let mut world = World::connected(seed, 2);
        world.up.jitter = std::time::Duration::from_millis(30);
        world.up.duplicate_percent = 10;
        world.down.jitter = std::time::Duration::from_millis(30);
        world.down.duplicate_percent = 10;
        world.run(4000);
        world.up.jitter = std::time::Duration::ZERO;
        world.clients.iter_mut().for_each(|client| client.is_live = false);
        world.run(200);
        for (receiver, sender) in [(0, 1), (1, 0)] {
            let (audio, video) = (world.clients[sender].microphone.ssrc, world.clients[sender].video_ssrc());
            world.clients[receiver].stream(audio).check_audio();
            world.clients[receiver].stream(video).check_video();
        }
    }
}

#[test]
fn padding_leaves_no_gap() {
    let mut world = World::connected(4, 2);
    for _ in 0..40 {
        world.run(100);
        let ms = (world.now - world.start).as_millis() as u64;
        for layer in 0..3 {
            let padding = world.clients[0].cameras[0].layers[layer].padding(ms);
            world.clients[0].send_packet(&padding);
        }
    }
    let ssrc = world.clients[0].video_ssrc();
    world.clients[1].stream(ssrc).check_video();
    assert_eq!(world.clients[0].nacked + world.clients[1].nacked, 0);
}

#[test]
fn what_was_not_announced_is_dropped_and_counted() {
    let mut world = World::connected(5, 2);
    world.run(500);
    let stray = |ssrc, payload_type| plain(ssrc, 1, 1, payload_type, false, vec![1; 50]);
    let known = world.clients[0].microphone.ssrc;
    let before = world.clients[1].incoming.len();
    world.clients[0].send_packet(&stray(4711, 111));
    world.clients[0].send_packet(&stray(known + 7, 55));
    world.clients[0].send_packet(&stray(known + 9, 96));
    world.run(100);
    assert_eq!(world.dropped(DropReason::UnknownPayloadType), 1);
    assert_eq!(world.dropped(DropReason::UnknownSsrc), 2, "a stream and a repair of none");
    assert_eq!(world.clients[1].incoming.len(), before);
}

#[test]
fn audio_levels_reach_receivers_and_make_the_speaker() {
    let mut world = World::connected(6, 3);
    world.clients[1].microphone.level = 20;
    world.run(3000);
    let ssrc = world.clients[1].microphone.ssrc;
    let levels = &world.clients[0].stream(ssrc).levels;
    assert!(levels.last().unwrap().is_some_and(|level| level.level == 20 && level.voice_activity));
    for client in &world.clients {
        assert!(client.peer.texts.iter().any(|text| text.contains("DominantSpeaker") && text.contains("0000a001")));
    }
}

#[test]
fn a_late_joiner_decrypts_streams_whose_numbers_wrapped() {
    let mut world = World::new(7);
    world.join();
    world.join();
    // Sequence numbers of the sender roll over on the way.
    world.clients[0].microphone.next_seq = 65_500;
    world.clients[0].cameras[0].layers[2].next_seq = 65_400;
    world.clients[0].cameras[0].layers[2].next_picture = 0x7ff0;
    world.run(4000);
    let late = world.join();
    world.run(3000);
    let (audio, video) = (world.clients[0].microphone.ssrc, world.clients[0].video_ssrc());
    world.clients[late].stream(audio).check_audio();
    assert!(world.clients[late].stream(video).check_video().starts_with(&[720]));
}

#[test]
fn an_endpoint_that_connects_after_many_packets_decrypts_them() {
    let mut world = World::connected(8, 1);
    let late = world.join();
    world.clients[late].is_live = false;
    // Its datagrams are lost while more numbers pass than a receiver could extend.
    world.loses = Some(|from, to, _| from.ip().to_string().ends_with(".11") || to.ip().to_string().ends_with(".11"));
    for _ in 0..350 {
        let client = &mut world.clients[0];
        for _ in 0..200 {
            let seq = client.microphone.next_seq;
            let packet = client.microphone.next_packet(seq).unwrap();
            client.send_packet(&packet);
        }
        world.run(20);
    }
    assert!(world.bridge.counted(|counters| counters.packets_received.get()) > 70_000);
    world.loses = None;
    world.run(5000);
    let (audio, video) = (world.clients[0].microphone.ssrc, world.clients[0].video_ssrc());
    world.clients[late].stream(audio).check_audio();
    world.clients[late].stream(video).check_video();
}
