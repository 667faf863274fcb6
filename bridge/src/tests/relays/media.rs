//! Media over links: everybody gets everybody's once, under the numbers that it has.

use super::{Cascade, is_rtp};
use crate::counters::DropReason;

#[test]
fn participants_of_two_bridges_hear_and_see_each_other() {
    for seed in 0..3 {
        let mut cascade = Cascade::meshed(seed, &[2, 1]);
        cascade.run(4000);
        cascade.check_all_see_all();
        for (receiver, sender) in [((1, 0), (0, 0)), ((0, 1), (1, 0))] {
            let video = cascade.video(receiver, sender);
            assert!(video.packets.len() > 150, "{} packets", video.packets.len());
            let tallest = cascade.client(sender.0, sender.1).cameras[0].layers[2].ssrc;
            assert_eq!(video.origins().last().unwrap().1, tallest, "the tallest layer");
        }
        for world in &cascade.worlds {
            assert!(world.bridge.counted(|counters| counters.relay_packets_received.get()) > 100);
            assert_eq!(world.dropped(DropReason::UnknownSsrc), 0);
        }
    }
}

#[test]
fn in_a_full_mesh_each_packet_crosses_each_link_once() {
    let mut cascade = Cascade::meshed(10, &[1, 1, 1]);
    cascade.take_passed(0, 1);
    cascade.run(2000);
    let sent = cascade.client(0, 0).microphone.ssrc;
    let passed = std::mem::take(&mut cascade.passed);
    for (from, to) in [(0, 1), (0, 2), (1, 2), (2, 1)] {
        cascade.passed.clone_from(&passed);
        let counts = cascade.take_passed(from, to);
        let of_first = counts.get(&sent).copied().unwrap_or(0);
        if from == 0 {
            assert!((99..=101).contains(&of_first), "{of_first} packets of 100");
        } else {
            assert_eq!(of_first, 0, "what came over a link goes over no other one of the mesh");
        }
    }
    cascade.check_all_see_all();
    for world in &cascade.worlds {
        assert_eq!(world.dropped(DropReason::Duplicate), 0);
    }
}

#[test]
fn a_bridge_between_two_meshes_passes_everything_on() {
    let mut cascade = Cascade::new(20, &[1, 1, 1]);
    cascade.join(0, 1, "0");
    cascade.join(1, 2, "1");
    // The focus tells both ends of the chain who is behind the middle.
    for (bridge, behind) in [(0, 2), (2, 0)] {
        let endpoints = cascade.endpoints(behind);
        let relay = super::RelayModify { endpoints, ..super::RelayModify::new(super::relay_id(1)) };
        cascade.modify(bridge, relay).unwrap();
    }
    cascade.run(5000);
    cascade.check_connected();
    cascade.check_all_see_all();
    let name = cascade.client(0, 0).cameras[0].name.parse().unwrap();
    assert!(cascade.relay(0, 1).demand(&name).0 > 0 && cascade.relay(1, 2).demand(&name).0 > 0);
}

#[test]
fn streams_keep_their_numbers_between_bridges() {
    let mut cascade = Cascade::meshed(30, &[1, 1]);
    let camera = &cascade.client(0, 0).cameras[0];
    let ssrcs: Vec<u32> = camera.layers.iter().map(|layer| layer.ssrc).collect();
    cascade.run(500);
    cascade.passed.clear();
    let before: Vec<u64> = cascade.client(0, 0).cameras[0].layers.iter().map(|layer| layer.next_seq).collect();
    cascade.run(200);
    for (ssrc, next_seq) in ssrcs.iter().zip(before) {
        let headers = cascade.passed.iter().filter(|(from, _, datagram)| {
            *from == 0 && is_rtp(datagram) && rtp::RtpView::parse(datagram).unwrap().ssrc().0 == *ssrc
        });
        let numbers: Vec<u16> =
            headers.map(|(_, _, datagram)| rtp::RtpView::parse(datagram).unwrap().seq().0).collect();
        assert!(numbers.len() > 3);
        // Those that the client gave, but for the top bit at the beginning.
        let behind = (next_seq as u16 & 0x7fff).wrapping_sub(numbers[0] & 0x7fff);
        assert!(behind < 20, "{numbers:?} after {next_seq}");
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "{numbers:?}");
    }
}

#[test]
fn a_source_that_is_announced_late_loses_nothing() {
    let mut cascade = Cascade::new(40, &[1, 1]);
    cascade.connect(0, 1, "0", false);
    // Bridge 0 is told at once who is behind the other one, so that all is wanted there.
    cascade.announce(0, 1);
    cascade.run(2000);
    cascade.check_connected();
    let name: model::SourceName = cascade.client(0, 0).cameras[0].name.parse().unwrap();
    assert_eq!(cascade.relay(0, 1).demand(&name).0, 0);
    let audio = cascade.client(0, 0).microphone.ssrc;
    assert!(!cascade.client(1, 0).incoming.contains_key(&audio));
    cascade.announce(1, 0);
    cascade.run(200);
    let early = cascade.worlds[1].bridge.counted(|counters| counters.early_packets.get());
    assert!((20..=27).contains(&early), "half a second of audio waited: {early}");
    cascade.run(1000);
    cascade.client(1, 0).stream(audio).check_audio();
    cascade.video((1, 0), (0, 0)).check_video();
    let lost = cascade.worlds[1].dropped(DropReason::NotAnnounced);
    assert!(lost > 20, "what waited for longer was dropped and counted: {lost}");
}
