//! Only the loudest are forwarded.

use jitsi_protocol::bridge_channel::{ClientMessage, ReceiverAudioSubscription};

use super::world::World;
use crate::audio::LoudestSettings;
use crate::counters::DropReason;

/// Packets of each client's microphone that the last client got.
fn heard(world: &World) -> Vec<usize> {
    let listener = world.clients.last().unwrap();
    let others = world.clients.iter().take(world.clients.len() - 1);
    others.map(|client| listener.stream(client.microphone.ssrc).packets.len()).collect()
}

/// What comes in `ms`.
fn heard_in(world: &mut World, ms: u64) -> Vec<usize> {
    let before = heard(world);
    world.run(ms);
    heard(world).iter().zip(before).map(|(now, before)| now - before).collect()
}

#[test]
fn the_loudest_and_the_dominant_speaker_are_heard_and_others_come_and_go_without_a_gap() {
    let mut world = World::connected_with(3, 5, |settings| settings.audio.loudest = Some(LoudestSettings::of(1)));
    for (client, level) in world.clients.iter_mut().zip([20, 60, 70, 80, 127]) {
        client.microphone.level = level;
    }
    world.run(3000);
    let packets = heard_in(&mut world, 1000);
    assert!(packets[0] > 45 && packets[1..] == [0; 3], "{packets:?}");
    // Another one is louder, but not yet dominant; then both at once, then the new one alone.
    world.clients[0].microphone.level = 40;
    world.clients[2].microphone.level = 10;
    let packets = heard_in(&mut world, 200);
    assert!(packets[0] > 5 && packets[2] > 5, "{packets:?}");
    // Somebody asks for a quiet one by name.
    let name = world.clients[3].id.as_str().to_owned() + "-a0";
    let (include, exclude) = (vec![name.parse().unwrap()], Vec::new());
    let subscription = ReceiverAudioSubscription { all: true, include, exclude };
    world.clients[4].send_text(&ClientMessage::ReceiverAudioSubscription(subscription));
    world.run(3000);
    let packets = heard_in(&mut world, 1000);
    assert!(packets[2] > 45 && packets[3] > 45 && packets[1] == 0, "{packets:?}");
    assert!(world.dropped(DropReason::NotLoudest) > 300);
    for client in 0..4 {
        world.clients[4].stream(world.clients[client].microphone.ssrc).check_audio();
    }
}
