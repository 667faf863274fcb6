//! Who asks whom for a key frame, and how often.

use std::collections::BTreeSet;
use std::time::Duration;

use jitsi_protocol::bridge_channel::ClientMessage;

use super::client::constraints;
use super::world::World;
use crate::counters::DropReason;

#[test]
fn a_picture_loss_reaches_the_layer_in_use_only() {
    let mut world = World::connected(1, 2);
    world.run(2000);
    let ssrc = world.clients[0].video_ssrc();
    world.clients[0].key_frame_requests.clear();
    world.clients[1].send_pli(ssrc);
    world.run(500);
    let asked: Vec<u32> = world.clients[0].key_frame_requests.iter().map(|(_, layer)| *layer).collect();
    assert_eq!(asked, [ssrc + 2], "the tallest layer is what it gets");
    let name = world.clients[0].cameras[0].name.clone();
    world.clients[1].send_text(&constraints(&[(&name, 180)]));
    world.run(1000);
    world.clients[0].key_frame_requests.clear();
    world.clients[1].send_pli(ssrc);
    world.run(500);
    let asked: Vec<u32> = world.clients[0].key_frame_requests.iter().map(|(_, layer)| *layer).collect();
    assert_eq!(asked, [ssrc]);
}

#[test]
fn requests_of_many_receivers_are_one_for_the_sender() {
    let mut world = World::connected(2, 6);
    world.run(2000);
    let ssrc = world.clients[0].video_ssrc();
    world.clients[0].key_frame_requests.clear();
    for receiver in 1..6 {
        world.clients[receiver].send_pli(ssrc);
    }
    world.run(500);
    assert_eq!(world.clients[0].key_frame_requests.len(), 1);
}

#[test]
fn a_receiver_cannot_make_a_sender_send_key_frames_all_the_time() {
    let mut world = World::connected(3, 2);
    world.run(2000);
    let ssrc = world.clients[0].video_ssrc();
    world.clients[0].key_frame_requests.clear();
    for _ in 0..500 {
        world.clients[1].send_pli(ssrc);
        world.run(20);
    }
    let asked = &world.clients[0].key_frame_requests;
    assert!((3..=8).contains(&asked.len()), "{} in ten seconds", asked.len());
    assert!(asked.windows(2).all(|pair| pair[1].0 - pair[0].0 >= Duration::from_millis(200)));
    assert!(world.dropped(DropReason::KeyFrameRequestRate) > 0);
}

#[test]
fn a_late_joiner_makes_the_sender_send_a_key_frame_and_no_storm() {
    let mut world = World::connected(4, 2);
    world.run(2000);
    let ssrc = world.clients[0].video_ssrc();
    world.clients[0].key_frame_requests.clear();
    let late = world.join();
    world.run(2000);
    assert!(world.clients[late].stream(ssrc).check_video().len() <= 3);
    let asked = world.clients[0].key_frame_requests.len();
    assert!((1..=3).contains(&asked), "{asked} requests");
}

#[test]
fn a_new_speaker_sends_key_frames_before_those_who_show_speakers_large_ask() {
    for (on_stage, requested) in [(vec![], 0), (vec!["0000a000-v0"], 3)] {
        let mut world = World::connected(6, 3);
        let ClientMessage::ReceiverVideoConstraints(mut message) = constraints(&[]) else { unreachable!() };
        message.on_stage_sources = Some(on_stage.iter().map(|name| name.parse().unwrap()).collect());
        world.clients[1].send_text(&ClientMessage::ReceiverVideoConstraints(message));
        world.run(3000);
        world.clients[2].key_frame_requests.clear();
        world.clients[2].microphone.level = 10;
        world.run(3000);
        let asked: BTreeSet<u32> = world.clients[2].key_frame_requests.iter().map(|(_, layer)| *layer).collect();
        assert_eq!(asked.len(), requested, "{on_stage:?}");
        let metrics = &world.bridge.metrics;
        let counted = (metrics.preemptive_key_frames.get(), metrics.preemptive_key_frames_suppressed.get());
        assert_eq!(counted, if on_stage.is_empty() { (0, 1) } else { (1, 0) });
    }
}

#[test]
fn a_lost_request_is_repeated() {
    let mut world = World::connected(5, 2);
    world.run(1000);
    let name = world.clients[0].cameras[0].name.clone();
    world.down.loss_percent = 100;
    world.clients[1].send_text(&constraints(&[(&name, 180)]));
    world.run(500);
    world.down.loss_percent = 0;
    world.run(1500);
    let ssrc = world.clients[0].video_ssrc();
    assert_eq!(world.clients[1].stream(ssrc).origins().last().unwrap().1, ssrc);
}
