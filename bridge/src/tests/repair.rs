//! Loss on both ways: NACK and RTX.

use std::collections::BTreeSet;
use std::time::Duration;

use model::SeqNum;

use super::world::World;
use crate::counters::DropReason;

/// Stops all media and lets repairs come in.
fn settle(world: &mut World) {
    world.up.loss_percent = 0;
    world.down.loss_percent = 0;
    world.run(300);
    world.clients.iter_mut().for_each(|client| client.is_live = false);
    world.run(1500);
}

#[test]
fn loss_from_the_sender_is_repaired_before_receivers_notice_for_long() {
    for seed in 20..24 {
        let mut world = World::connected(seed, 2);
        world.run(500);
        world.up.loss_percent = 10;
        world.run(5000);
        settle(&mut world);
        let ssrc = world.clients[0].video_ssrc();
        assert!(world.clients[0].nacked > 50, "the bridge asks the sender");
        let video = world.clients[1].stream(ssrc);
        assert!(video.missing().len() <= 1, "missing: {:?}", video.missing());
        assert!(video.packets.len() > 300);
    }
}

#[test]
fn loss_to_the_receiver_is_repaired_from_the_cache() {
    for seed in 30..34 {
        let mut world = World::connected(seed, 2);
        world.run(500);
        world.down.loss_percent = 10;
        world.run(5000);
        settle(&mut world);
        let ssrc = world.clients[0].video_ssrc();
        let video = world.clients[1].stream(ssrc);
        assert!(video.repaired > 20, "{} repairs", video.repaired);
        // Their descriptors are rewritten as those of the first time: picture ids and all go on.
        video.check_video();
        assert!(world.bridge.counted(|counters| counters.retransmissions.get()) >= video.repaired as u64);
    }
}

#[test]
fn loss_on_both_ways_and_layer_switches_end_in_a_picture() {
    for seed in 40..46 {
        let mut world = World::connected(seed, 3);
        world.up.loss_percent = 10;
        world.down.loss_percent = 10;
        world.up.jitter = Duration::from_millis(15);
        world.down.jitter = Duration::from_millis(15);
        let name = world.clients[0].cameras[0].name.clone();
        let ssrc = world.clients[0].video_ssrc();
        for height in [720, 180, 360, 720] {
            world.clients[1].send_text(&super::client::constraints(&[(&name, height)]));
            world.run(3000);
        }
        settle(&mut world);
        for receiver in [1, 2] {
            let video = world.clients[receiver].stream(ssrc);
            assert!(video.missing().len() <= 1, "seed {seed}: missing {:?}", video.missing());
        }
        let last = world.clients[1].stream(ssrc).origins().last().unwrap().1;
        assert_eq!(last, ssrc + 2, "seed {seed}");
    }
}

#[test]
fn a_nack_flood_gets_no_more_than_half_of_what_is_sent() {
    let mut world = World::connected(50, 2);
    world.run(3000);
    let ssrc = world.clients[0].video_ssrc();
    let all: Vec<SeqNum> = (0..=u16::MAX).map(SeqNum).collect();
    let newest = *world.clients[1].stream(ssrc).packets.last_key_value().unwrap().0 as u16;
    let recent: Vec<SeqNum> = all.iter().copied().filter(|seq| newest.wrapping_sub(seq.0) < 200).collect();
    let sent = world.bridge.counted(|counters| counters.packets_sent.get());
    for _ in 0..200 {
        world.clients[1].send_nack(ssrc, &recent);
        world.run(10);
    }
    let repeated = world.bridge.counted(|counters| counters.retransmissions.get());
    let sent = world.bridge.counted(|counters| counters.packets_sent.get()) - sent;
    assert!(repeated <= 512 + sent / 2, "{repeated} of {sent}");
    assert!(world.dropped(DropReason::RepairBudget) > 0);
}

#[test]
fn a_burst_of_loss_makes_feedback_that_fits_a_path() {
    let mut world = World::connected(51, 2);
    world.run(1000);
    world.up.loss_percent = 60;
    world.run(3000);
    let longest = world.clients[0].compounds.iter().map(Vec::len).max().unwrap();
    assert!(longest <= 1200, "{longest} bytes");
    assert!(world.clients[0].nacked > 100);
}

#[test]
fn repairs_have_numbers_of_their_own_without_a_gap() {
    let mut world = World::connected(52, 2);
    world.run(500);
    world.down.loss_percent = 20;
    world.run(3000);
    settle(&mut world);
    // Each transport-wide number once, whether a packet is a first one or a repair.
    let numbers = &world.clients[1].transport_seqs;
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len());
}

#[test]
fn a_repair_before_its_stream_is_dropped() {
    let mut world = World::connected(53, 2);
    world.clients[0].cameras[0].is_on = false;
    let extra = super::camera::Camera::new("0000a000-v1".to_owned(), 1_000_200, &[720]);
    world.clients[0].cameras.push(extra);
    world.clients[0].cameras[1].is_on = false;
    world.update_sources(0);
    // Made, but never sent on its own stream.
    world.clients[0].cameras[1].is_on = true;
    let made = world.clients[0].cameras[1].next_frame(0);
    world.clients[0].cameras[1].is_on = false;
    let repair = world.clients[0].cameras[1].layers[0].repeat(made[0].seq as u16).unwrap();
    world.clients[0].send_packet(&repair);
    let before = world.dropped(DropReason::UnknownSsrc);
    world.run(100);
    assert_eq!(world.dropped(DropReason::UnknownSsrc), before + 1);
    assert!(!world.clients[1].incoming.contains_key(&1_000_200));
}
