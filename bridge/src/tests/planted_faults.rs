//! What planted faults do to receivers, so that those who measure a bridge know what they have to find.

use std::time::Duration;

use super::client::constraints;
use super::incoming::Incoming;
use super::world::World;
use crate::transport::test_peer::bridge_address;

/// Two clients that are connected over a bridge with a fault.
fn faulty(seed: u64, fault: &str) -> World {
    World::connected_with(seed, 2, |settings| settings.planted_fault = Some(fault.parse().unwrap()))
}

/// Parts of a thousand that did not arrive.
fn loss_per_mille(stream: &Incoming) -> usize {
    let missing = stream.missing().len();
    missing * 1000 / (missing + stream.packets.len())
}

#[test]
fn a_bridge_that_drops_leaves_gaps_for_the_receiver() {
    for seed in 60..62 {
        let mut world = faulty(seed, "drop=1%");
        world.clients[1].sends_nacks = false;
        world.run(40_000);
        for ssrc in [world.clients[0].microphone.ssrc, world.clients[0].video_ssrc()] {
            let lost = loss_per_mille(world.clients[1].stream(ssrc));
            assert!((4..=18).contains(&lost), "{lost} of 1000 packets of {ssrc}");
        }
        // Its peer asks for what it misses, and gets it.
        let video = world.clients[0].stream(world.clients[1].video_ssrc());
        assert!(video.repaired > 20 && video.missing().len() <= 1, "{} repaired", video.repaired);
        assert_eq!(world.clients[0].nacked, 0, "nothing is lost before the bridge");
    }
}

#[test]
fn a_bridge_that_delays_sends_media_later_and_in_order() {
    for seed in 63..66 {
        let mut world = faulty(seed, "delay=50ms");
        world.run(1000);
        for client in &mut world.clients {
            client.is_live = false;
        }
        world.run(200);
        world.is_watched = true;
        let up = world.up.latency.as_millis() as u64;
        let sent: Vec<_> = (0..3).map(|at| world.clients[0].microphone.next_packet(5000 + at).unwrap()).collect();
        for packet in &sent {
            world.clients[0].send_packet(packet);
            world.run(5);
        }
        let (receiver, ssrc) = (world.clients[1].external, sent[0].ssrc);
        let media = |world: &World| {
            let passed = world.passed.iter().filter(|(from, to, _)| *from == bridge_address() && *to == receiver);
            let rtp = passed.filter(|(_, _, datagram)| datagram[0] & 0xc0 == 0x80 && !rtp::is_rtcp(datagram));
            rtp.map(|(_, _, datagram)| u16::from_be_bytes([datagram[2], datagram[3]])).collect::<Vec<_>>()
        };
        world.run(up + 50 - 15 - 1);
        assert_eq!(media(&world).len(), 0, "seed {seed}");
        world.run(2);
        assert_eq!(media(&world).len(), 1, "seed {seed}");
        world.run(10);
        let seqs = media(&world);
        assert!(seqs.len() == 3 && seqs.is_sorted_by(|a, b| b.wrapping_sub(*a) == 1), "seed {seed}: {seqs:?}");
        world.clients[1].take_received(world.now);
        world.run(100);
        world.clients[1].stream(ssrc).check_audio();
        // The round trip that reports tell has the delay in it, and ICE keeps its pair.
        world.clients.iter_mut().for_each(|client| client.is_live = true);
        world.run(5000);
        assert!(world.rtt(1).is_some_and(|rtt| rtt >= Duration::from_millis(50)), "{:?}", world.rtt(1));
        world.clients[1].stream(world.clients[0].video_ssrc()).check_video();
    }
}

#[test]
fn a_bridge_with_the_wrong_layer_sends_another_one_than_was_asked_for() {
    for (seed, fault, height, layer) in [(66, "layer=lowest", 720, 0), (67, "layer=highest", 180, 2)] {
        let mut world = faulty(seed, fault);
        let (name, ssrc) = (world.clients[0].cameras[0].name.clone(), world.clients[0].video_ssrc());
        world.clients[1].send_text(&constraints(&[(&name, height)]));
        world.run(3000);
        let video = world.clients[1].stream(ssrc);
        assert_eq!(video.origins().last().unwrap().1, ssrc + layer, "{fault}");
        video.check_video();
        world.clients[1].send_text(&constraints(&[(&name, 0)]));
        world.run(200);
        let packets = world.clients[1].stream(ssrc).packets.len();
        world.run(1000);
        assert_eq!(world.clients[1].stream(ssrc).packets.len(), packets, "nothing is still nothing");
    }
}
