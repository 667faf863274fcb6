//! What is wanted of a source crosses links: back to its sender as demand, and forth as the layers that somebody watches.

use jitsi_protocol::bridge_channel::BridgeMessage;

use super::Cascade;
use crate::shard::bitrates::LayerReport;
use crate::tests::client::constraints;
use crate::tests::encoder::CAMERAS;

/// The height that a client was last asked for of its camera.
fn asked_for(cascade: &Cascade, bridge: usize, index: usize) -> Option<i32> {
    cascade.client(bridge, index).messages().into_iter().rev().find_map(|message| {
        let BridgeMessage::SenderSourceConstraints(constraints) = message else { return None };
        Some(constraints.max_height)
    })
}

#[test]
fn only_layers_that_somebody_behind_a_link_wants_cross_it() {
    let mut cascade = Cascade::meshed(50, &[1, 2]);
    let name = cascade.client(0, 0).cameras[0].name.clone();
    let ssrcs: Vec<u32> = cascade.client(0, 0).cameras[0].layers.iter().map(|layer| layer.ssrc).collect();
    for (heights, expected) in [([180, 180], 1), ([720, 180], 3), ([360, 180], 2), ([0, 0], 0), ([0, 360], 2)] {
        for (index, height) in heights.iter().enumerate() {
            cascade.client_mut(1, index).send_text(&constraints(&[(&name, *height)]));
        }
        cascade.run(3000);
        assert_eq!(asked_for(&cascade, 0, 0), heights.iter().max().copied());
        cascade.passed.clear();
        cascade.run(1000);
        let passed = cascade.take_passed(0, 1);
        let crossed: Vec<bool> = ssrcs.iter().map(|ssrc| passed.contains_key(ssrc)).collect();
        assert_eq!(crossed, (0..3).map(|layer| layer < expected).collect::<Vec<_>>(), "{heights:?}");
        for (index, height) in heights.iter().enumerate().filter(|(_, height)| **height > 0) {
            let seen = cascade.video((1, index), (0, 0)).check_video();
            assert_eq!(seen.last(), Some(&(*height as u16)), "{heights:?}");
        }
    }
}

#[test]
fn layers_of_every_codec_cross_links() {
    for (seed, (scheme, encodings)) in (54..).zip(CAMERAS) {
        let mut cascade = Cascade::meshed(seed, &[1, 1]);
        cascade.worlds[0].set_camera(0, scheme, encodings);
        cascade.announce(1, 0);
        let camera = &cascade.client(0, 0).cameras[0];
        let (name, ssrcs) = (camera.name.clone(), camera.layers.iter().map(|layer| layer.ssrc).collect::<Vec<_>>());
        let mut crossed = Vec::new();
        for (height, layer) in [(720, 2), (180, 0), (360, 1), (720, 2)] {
            cascade.client_mut(1, 0).send_text(&constraints(&[(&name, height)]));
            cascade.run(3000);
            let findings = cascade.video((1, 0), (0, 0)).check_layers(scheme);
            assert_eq!(findings.missing, 0, "{scheme:?}");
            let (_, (encoding, spatial, _)) = findings.pictures.last().unwrap();
            assert_eq!(encoding + spatial, layer, "{scheme:?} {height}");
            cascade.passed.clear();
            cascade.run(1000);
            let passed = cascade.take_passed(0, 1);
            crossed.push(ssrcs.iter().filter_map(|ssrc| passed.get(ssrc)).sum::<usize>());
        }
        assert!(crossed[1] < crossed[2] && crossed[2] < crossed[3], "{scheme:?}: {crossed:?}");
    }
}

/// Three encodings of 50, 100 and 150 kbit/s; a phone that is held upright has 90, 270 and 540 pixels to a line, and twice as many
/// lines.
const ALLOCATION: [u8; 21] = [0x21, 0, 50, 100, 0x96, 1, 0, 89, 0, 179, 30, 1, 13, 2, 27, 30, 2, 27, 4, 55, 30];

/// Lines of the camera's layers, and what they are to take in kbit/s.
fn told_layers(report: &LayerReport) -> [(u16, u64); 3] {
    [0, 1, 2].map(|at| {
        let height = report.layers[at].map_or(0, |layer| layer.height.get());
        (height, report.targets[at][0].bps() / 1000)
    })
}

#[test]
fn what_senders_say_of_their_layers_crosses_links() {
    let mut cascade = Cascade::meshed(58, &[1, 1]);
    let name = cascade.client(0, 0).cameras[0].name.clone();
    cascade.client_mut(0, 0).allocation = Some(ALLOCATION.to_vec());
    cascade.client_mut(1, 0).send_text(&constraints(&[(&name, 720)]));
    cascade.run(3000);
    let expected = [(90, 50), (270, 100), (540, 150)];
    let near = &cascade.worlds[0].endpoint(0).unwrap().layers;
    assert_eq!(near.values().map(told_layers).collect::<Vec<_>>(), [expected]);
    let conferences = &cascade.worlds[1].bridge.conferences;
    let far = conferences.iter().flat_map(|(_, conference)| &conference.relayed);
    let far: Vec<_> = far.flat_map(|(_, endpoint)| endpoint.layers.values().map(told_layers)).collect();
    assert_eq!(far, [expected]);
    cascade.video((1, 0), (0, 0)).check_video();
}

#[test]
fn who_goes_down_sees_the_tall_picture_until_there_is_a_small_one() {
    let mut cascade = Cascade::meshed(51, &[1, 1]);
    let name = cascade.client(0, 0).cameras[0].name.clone();
    cascade.client_mut(1, 0).send_text(&constraints(&[(&name, 720)]));
    cascade.run(2000);
    cascade.client_mut(1, 0).send_text(&constraints(&[(&name, 180)]));
    cascade.run(2000);
    let video = cascade.video((1, 0), (0, 0));
    video.check_video();
    let times: Vec<u32> = video.packets.values().map(|packet| packet.timestamp).collect();
    let longest = times.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).max().unwrap();
    assert!(longest <= 90 * 90, "no picture is missing at the switch: {} ms", longest / 90);
}

#[test]
fn what_nobody_watches_is_not_sent_by_its_client_either() {
    let mut cascade = Cascade::meshed(52, &[1, 1]);
    let name = cascade.client(0, 0).cameras[0].name.clone();
    cascade.client_mut(1, 0).send_text(&constraints(&[(&name, 0)]));
    cascade.run(500);
    assert_eq!(asked_for(&cascade, 0, 0), Some(0));
    cascade.client_mut(1, 0).send_text(&constraints(&[(&name, 360)]));
    cascade.run(500);
    assert_eq!(asked_for(&cascade, 0, 0), Some(360));
}

#[test]
fn an_original_bridge_is_asked_again_when_something_comes_of_whom_it_may_not_have_known() {
    for is_heard in [true, false] {
        let mut cascade = Cascade::new(59, &[1, 1]);
        cascade.client_mut(0, 0).is_live = false;
        cascade.client_mut(0, 0).microphone.is_on = is_heard;
        cascade.join(0, 1, "0");
        cascade.run(2000);
        (0..2).for_each(|bridge| cascade.take_other_for_original(bridge));
        let (name, now) = (cascade.client(0, 0).cameras[0].name.parse().unwrap(), cascade.now());
        let asked = cascade.relay(0, 1).demand(&name);
        let (conference, _) = cascade.worlds[0].bridge.conference(0, now).unwrap();
        conference.relays.iter_mut().for_each(|(_, relay)| relay.forget_demand(&name));
        cascade.run(1000);
        assert!(asked > cascade.relay(0, 1).demand(&name), "{asked:?}");
        cascade.client_mut(0, 0).is_live = true;
        cascade.run(500);
        assert_eq!(cascade.relay(0, 1).demand(&name), asked, "{is_heard}");
    }
}

#[test]
fn key_frame_requests_cross_links() {
    let mut cascade = Cascade::meshed(53, &[1, 1]);
    let name = cascade.client(0, 0).cameras[0].name.clone();
    cascade.client_mut(1, 0).send_text(&constraints(&[(&name, 720)]));
    cascade.run(2000);
    let ssrc = cascade.client(0, 0).video_ssrc();
    let tallest = cascade.client(0, 0).cameras[0].layers[2].ssrc;
    let before = cascade.client(0, 0).key_frame_requests.len();
    cascade.client_mut(1, 0).send_pli(ssrc);
    cascade.run(300);
    let asked = &cascade.client(0, 0).key_frame_requests[before..];
    assert_eq!(asked.iter().map(|(_, ssrc)| *ssrc).collect::<Vec<_>>(), [tallest]);
}
