//! SSRC rewriting: what clients are told of the bridge's SSRCs, and what comes under them.

use std::collections::BTreeMap;

use jitsi_protocol::bridge_channel::{BridgeMessage, ClientMessage, ReceiverVideoConstraints};

use super::camera::origin;
use super::world::World;
use crate::ssrc_slots::MAX_SLOTS;

/// Everybody takes the SSRCs of the bridge.
fn world(seed: u64, count: usize) -> World {
    let mut world = World::new(seed);
    world.capabilities.push("ssrc-rewriting");
    for _ in 0..count {
        world.join();
    }
    world.run(1000);
    world
}

/// What a client was last told of each SSRC.
fn mapped(world: &World, client: usize) -> BTreeMap<u32, String> {
    let mut mapped = BTreeMap::new();
    for message in world.clients[client].messages() {
        if let BridgeMessage::VideoSourcesMap(map) = &message {
            mapped.extend(map.mapped_sources.iter().map(|source| (source.ssrc.0, source.source.to_string())));
            assert!(map.mapped_sources.iter().all(|source| source.rtx.is_some() && source.owner.is_some()));
        } else if let BridgeMessage::AudioSourcesMap(map) = &message {
            mapped.extend(map.mapped_sources.iter().map(|source| (source.ssrc.0, source.source.to_string())));
        }
    }
    mapped
}

/// Checks that each stream of a client is that of the source it was told, and whole.
fn check(world: &World, client: usize) {
    let mapped = mapped(world, client);
    assert!(!world.clients[client].incoming.is_empty());
    for (ssrc, stream) in &world.clients[client].incoming {
        let name = mapped.get(ssrc).unwrap_or_else(|| panic!("{ssrc} was not told"));
        let (last, _) = origin(&stream.packets.values().last().unwrap().payload);
        let sender = world.clients.iter().find(|sender| name.starts_with(sender.id.as_str())).unwrap();
        if name.ends_with("-a0") {
            stream.check_audio();
            assert_eq!(last, sender.microphone.ssrc, "{name}");
        } else {
            stream.check_video();
            assert!(sender.cameras[0].layers.iter().any(|layer| layer.ssrc == last), "{name}");
        }
    }
}

#[test]
fn everyone_gets_everyone_under_ssrcs_that_it_was_told() {
    for seed in 60..63 {
        let mut world = world(seed, 3);
        world.run(4000);
        for client in 0..3 {
            check(&world, client);
            assert_eq!(world.clients[client].incoming.len(), 4, "one stream for each source of the others");
            for sender in &world.clients {
                assert!(!world.clients[client].incoming.contains_key(&sender.microphone.ssrc));
                assert!(!world.clients[client].incoming.contains_key(&sender.video_ssrc()));
            }
        }
    }
}

#[test]
fn who_does_not_want_it_sees_the_ssrcs_of_the_senders() {
    let mut world = world(63, 1);
    world.capabilities.pop();
    world.join();
    world.run(3000);
    check(&world, 0);
    assert!(mapped(&world, 1).is_empty());
    let ssrc = world.clients[0].video_ssrc();
    world.clients[1].stream(ssrc).check_video();
}

#[test]
fn loss_is_repaired_and_key_frames_are_asked_for_under_them() {
    let mut world = world(64, 2);
    world.down.loss_percent = 5;
    world.clients.iter_mut().for_each(|client| client.sends_nacks = true);
    world.run(4000);
    world.down.loss_percent = 0;
    world.run(1000);
    world.clients[0].is_live = false;
    world.run(300);
    let video = |world: &World| *mapped(world, 1).iter().find(|(_, name)| name.ends_with("-v0")).unwrap().0;
    let ssrc = video(&world);
    world.clients[1].stream(ssrc).check_video();
    world.clients[0].is_live = true;
    let before: usize = world.clients[0].cameras[0].layers.iter().map(|layer| layer.key_frames).sum();
    world.clients[1].send_pli(ssrc);
    world.run(500);
    let after: usize = world.clients[0].cameras[0].layers.iter().map(|layer| layer.key_frames).sum();
    assert!(after > before);
}

#[test]
fn the_next_source_under_an_ssrc_goes_on_where_the_last_one_ended() {
    let mut world = world(65, 2);
    world.run(2000);
    let before = mapped(&world, 0);
    world.expire(1);
    world.clients[1].is_live = false;
    world.run(500);
    let third = world.join();
    world.run(3000);
    let after = mapped(&world, 0);
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "no new SSRC");
    let name = world.clients[third].cameras[0].name.clone();
    assert!(after.values().any(|told| *told == name));
    check(&world, 0);
    let ssrc = *after.iter().find(|(_, told)| **told == name).unwrap().0;
    assert!(world.clients[0].stream(ssrc).origins().len() >= 2, "two sources came under it");
}

#[test]
fn more_microphones_than_slots_are_heard_when_they_speak() {
    let count = MAX_SLOTS + 6;
    let mut world = World::new(66);
    world.capabilities.push("ssrc-rewriting");
    for at in 0..count {
        world.join();
        world.clients[at].cameras[0].is_on = false;
        world.clients[at].microphone.is_on = false;
    }
    world.run(1000);
    // No pictures, so that the bridge has less to do here.
    let none = ReceiverVideoConstraints { last_n: Some(0), ..ReceiverVideoConstraints::default() };
    world.clients[0].send_text(&ClientMessage::ReceiverVideoConstraints(none));
    for speaker in [count - 1, 3, count - 2, 7, count - 3] {
        world.clients[speaker].microphone.is_on = true;
        world.run(600);
        world.clients[speaker].microphone.is_on = false;
        world.run(100);
        let name = format!("{}-a0", world.clients[speaker].id);
        let mapped = mapped(&world, 0);
        let ssrc = *mapped.iter().find(|(_, told)| **told == name).unwrap_or_else(|| panic!("{name} has a slot")).0;
        let stream = world.clients[0].stream(ssrc);
        let heard = stream
            .packets
            .values()
            .filter(|packet| origin(&packet.payload).0 == world.clients[speaker].microphone.ssrc);
        assert!(heard.count() >= 25, "{name}");
        stream.check_audio();
    }
    assert!(mapped(&world, 0).values().filter(|name| name.ends_with("-a0")).count() <= MAX_SLOTS);
}
