//! Addresses of clients: roaming, ICE restart, forged sources.

use std::net::SocketAddr;

use super::world::World;
use crate::counters::DropReason;

#[test]
fn a_client_behind_a_new_nat_binding_keeps_its_media() {
    let mut world = World::connected(1, 2);
    world.run(1000);
    let (audio, back) = (world.clients[0].microphone.ssrc, world.clients[1].microphone.ssrc);
    for port in 50_000..50_003 {
        world.clients[0].external = SocketAddr::from(([203, 0, 113, 77], port));
        // The client finds out by its next consent check.
        world.run(20_000);
        let before = (world.clients[1].stream(audio).packets.len(), world.clients[0].stream(back).packets.len());
        world.run(1000);
        let after = (world.clients[1].stream(audio).packets.len(), world.clients[0].stream(back).packets.len());
        assert!(after.0 > before.0 + 40 && after.1 > before.1 + 40, "{before:?} {after:?}");
    }
}

#[test]
fn more_addresses_than_are_remembered_do_not_lock_a_client_out() {
    let mut world = World::connected(2, 2);
    let audio = world.clients[0].microphone.ssrc;
    for port in 50_000..50_080 {
        world.clients[0].external = SocketAddr::from(([203, 0, 113, 77], port));
        world.run(6000);
    }
    world.run(20_000);
    let before = world.clients[1].stream(audio).packets.len();
    world.run(1000);
    assert!(world.clients[1].stream(audio).packets.len() > before + 40);
    assert!(world.endpoint(0).unwrap().connection.remotes.len() <= 64);
}

#[test]
fn a_forged_source_address_takes_nobodys_media() {
    let mut world = World::connected(3, 3);
    world.run(1000);
    let victim = world.clients[0].external;
    let audio = world.clients[0].microphone.ssrc;
    let before = world.clients[1].stream(audio).packets.len();
    // The third sends its checks, which are authentic, from the first one's address.
    world.clients[2].external = victim;
    world.run(500);
    world.clients[2].external = world.clients[2].peer.address;
    world.run(3000);
    let gained = world.clients[1].stream(audio).packets.len() - before;
    assert!(gained > 150, "{gained}");
}

#[test]
fn ice_restart_keeps_media_and_forgets_old_names() {
    let mut world = World::connected(4, 2);
    world.run(1000);
    for generation in 1..=3 {
        world.restart_ice(0, generation);
        world.run(10_000);
        assert!(world.endpoint(0).unwrap().connection.ufrags.len() <= 2);
    }
    let audio = world.clients[0].microphone.ssrc;
    world.clients[1].stream(audio).check_audio();
}

#[test]
fn strangers_are_dropped_and_counted() {
    let mut world = World::connected(5, 1);
    let before = world.dropped(DropReason::UnknownPeer);
    let stranger = SocketAddr::from(([203, 0, 113, 9], 9));
    for first in [22, 0x80] {
        let path = model::FiveTuple::udp(crate::transport::test_peer::bridge_address(), stranger);
        world.bridge.handle_datagram(path, &[first; 60], world.now);
    }
    assert_eq!(world.dropped(DropReason::UnknownPeer), before + 2);
}
