//! Mute by the client, by a moderator, by a receiver; sources that go and come back.

use jitsi_protocol::bridge_channel::{ClientMessage, ReceiverAudioSubscription, SourceVideoTypeMessage};
use jitsi_protocol::colibri2::{EndpointModify, ForceMute};
use model::VideoType;

use super::camera::Camera;
use super::world::World;
use crate::counters::DropReason;

fn set_video_type(world: &mut World, index: usize, video_type: VideoType) {
    let source_name = world.clients[index].cameras[0].name.parse().unwrap();
    let message = SourceVideoTypeMessage { video_type, source_name, endpoint_id: None };
    world.clients[index].send_text(&ClientMessage::SourceVideoTypeMessage(message));
}

fn force_mute(world: &mut World, index: usize, audio: bool, video: bool) {
    let id = world.clients[index].id.clone();
    let force_mute = Some(ForceMute { audio, video });
    world.modify(EndpointModify { force_mute, ..EndpointModify::new(id) }).unwrap();
}

#[test]
fn a_muted_camera_goes_on_under_the_same_numbers() {
    let mut world = World::connected(1, 2);
    world.run(1000);
    let ssrc = world.clients[0].video_ssrc();
    for _ in 0..3 {
        world.clients[0].cameras[0].is_on = false;
        set_video_type(&mut world, 0, VideoType::None);
        world.run(3000);
        let packets = world.clients[1].stream(ssrc).packets.len();
        assert!(world.clients[1].peer.texts.last().unwrap().contains(r#""forwardedSources":[]"#));
        world.clients[0].cameras[0].is_on = true;
        set_video_type(&mut world, 0, VideoType::Camera);
        world.run(2000);
        assert!(world.clients[1].stream(ssrc).packets.len() > packets + 50);
        assert!(world.clients[1].peer.texts.last().unwrap().contains("0000a000-v0"));
    }
    world.clients[1].stream(ssrc).check_video();
}

#[test]
fn a_source_removed_and_added_again_under_its_ssrc_goes_on() {
    let mut world = World::connected(2, 2);
    world.run(1000);
    let ssrc = world.clients[0].video_ssrc();
    for _ in 0..3 {
        let camera = world.clients[0].cameras.pop().unwrap();
        world.update_sources(0);
        world.run(500);
        world.clients[0].cameras.push(camera);
        world.update_sources(0);
        world.run(1500);
    }
    let video = world.clients[1].stream(ssrc);
    assert_eq!(video.missing(), [0; 0]);
    assert!(video.packets.len() > 300);
}

#[test]
fn a_source_that_changes_its_layers_in_one_step_gives_no_number_twice() {
    let mut world = World::connected(3, 2);
    world.run(1000);
    let ssrc = world.clients[0].video_ssrc();
    // The same SSRC becomes a source of one layer, and again one of three: clients assert that no number comes twice.
    let mut spare = Vec::new();
    for has_one in [true, false, true, false] {
        let layers = &mut world.clients[0].cameras[0].layers;
        if has_one {
            spare = layers.split_off(1);
        } else {
            layers.append(&mut spare);
        }
        world.update_sources(0);
        let before = world.clients[1].stream(ssrc).packets.len();
        world.run(2000);
        assert!(world.clients[1].stream(ssrc).packets.len() > before + 30, "one layer: {has_one}");
    }
}

#[test]
fn an_ssrc_that_is_another_endpoints_is_not_forwarded_twice() {
    let mut world = World::connected(4, 3);
    world.run(1000);
    // The third claims the first one's streams as its own. The second gets each SSRC from one of them only.
    let stolen = world.clients[0].video_ssrc();
    world.clients[2].cameras[0] = Camera::new("0000a002-v0".to_owned(), stolen, &[180, 360, 720]);
    world.update_sources(2);
    world.run(2000);
    let video = world.clients[1].stream(stolen);
    video.check_video();
    // When its owner leaves, the SSRC is free.
    world.expire(0);
    world.run(1000);
    world.update_sources(2);
    world.run(1000);
}

#[test]
fn a_force_muted_endpoint_is_not_heard_and_comes_back_without_a_gap() {
    let mut world = World::connected(5, 2);
    world.run(1000);
    let (audio, video) = (world.clients[0].microphone.ssrc, world.clients[0].video_ssrc());
    force_mute(&mut world, 0, true, true);
    world.run(100);
    let before = (world.clients[1].stream(audio).packets.len(), world.clients[1].stream(video).packets.len());
    world.run(4000);
    let after = (world.clients[1].stream(audio).packets.len(), world.clients[1].stream(video).packets.len());
    assert_eq!(before, after);
    assert!(world.dropped(DropReason::ForceMuted) > 300);
    force_mute(&mut world, 0, false, false);
    world.run(2000);
    assert!(world.clients[1].stream(audio).packets.len() > before.0 + 50);
    world.clients[1].stream(audio).check_audio();
    world.clients[1].stream(video).check_video();
    assert_eq!(world.clients[1].stream(video).repaired, 0, "nothing is missed");
}

#[test]
fn only_what_is_muted_is_dropped() {
    let mut world = World::connected(6, 2);
    world.run(500);
    force_mute(&mut world, 0, true, false);
    world.run(100);
    let (audio, video) = (world.clients[0].microphone.ssrc, world.clients[0].video_ssrc());
    let before = (world.clients[1].stream(audio).packets.len(), world.clients[1].stream(video).packets.len());
    world.run(1000);
    assert_eq!(world.clients[1].stream(audio).packets.len(), before.0);
    assert!(world.clients[1].stream(video).packets.len() > before.1 + 50);
}

#[test]
fn audio_that_a_receiver_does_not_want_is_not_sent_and_comes_back_without_a_gap() {
    let mut world = World::connected(7, 3);
    world.run(500);
    let subscription = |all| {
        let (include, exclude) = (Vec::new(), Vec::new());
        ClientMessage::ReceiverAudioSubscription(ReceiverAudioSubscription { all, include, exclude })
    };
    let ssrc = world.clients[0].microphone.ssrc;
    world.clients[1].send_text(&subscription(false));
    world.run(200);
    let before = world.clients[1].stream(ssrc).packets.len();
    world.run(2000);
    assert_eq!(world.clients[1].stream(ssrc).packets.len(), before);
    assert!(world.clients[2].stream(ssrc).packets.len() > before + 50, "others do");
    world.clients[1].send_text(&subscription(true));
    world.run(1000);
    assert!(world.clients[1].stream(ssrc).packets.len() > before + 20);
    world.clients[1].stream(ssrc).check_audio();
}
