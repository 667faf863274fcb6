//! Layers of all codecs from one to another: what is asked for arrives, and can be decoded.

use std::time::Duration;

use super::client::constraints;
use super::encoder::{CAMERAS, SIMULCAST, SVC, Scheme};
use super::incoming::Incoming;
use super::judge::Findings;
use super::world::World;
use crate::shard::layers::LayerCap;

/// A world in which client 0 sends such a camera to client 1.
fn world(seed: u64, scheme: Scheme, encodings: &[&[u16]]) -> World {
    let mut world = World::connected(seed, 2);
    world.set_camera(0, scheme, encodings);
    world.run(1000);
    world
}

fn video(world: &World) -> &Incoming {
    world.clients[1].stream(world.clients[0].video_ssrc())
}

/// The place of the last picture among the layers of the source, lowest first.
fn last_layer(findings: &Findings) -> u8 {
    let (_, (encoding, spatial, _)) = findings.pictures.last().unwrap();
    encoding + spatial
}

#[test]
fn heights_are_layers_of_each_codec() {
    for (seed, (scheme, encodings)) in (100..).zip(CAMERAS) {
        let mut world = world(seed, scheme, encodings);
        let name = world.clients[0].cameras[0].name.clone();
        for (height, layer) in [(720, 2), (180, 0), (360, 1), (720, 2)] {
            world.clients[1].send_text(&constraints(&[(&name, height)]));
            world.run(1500);
            let findings = video(&world).check_layers(scheme);
            assert_eq!(findings.missing, 0, "{scheme:?}");
            assert_eq!(last_layer(&findings), layer, "{scheme:?} {encodings:?} {height}");
        }
        video(&world).check_layers(scheme);
    }
}

#[test]
fn caps_leave_temporal_layers_out() {
    for (seed, (scheme, encodings)) in (120..).zip(CAMERAS) {
        let mut world = world(seed, scheme, encodings);
        for (layer, temporal) in [(2, 0), (0, 1), (u8::MAX, u8::MAX), (1, 0)] {
            world.cap(1, 0, LayerCap { layer, temporal });
            world.run(2000);
            let findings = video(&world).check_layers(scheme);
            assert_eq!(findings.missing, 0, "{scheme:?}");
            assert_eq!(last_layer(&findings), layer.min(2), "{scheme:?} {layer} {temporal}");
            let recent = &findings.pictures[findings.pictures.len() - 8..];
            let highest = if scheme == Scheme::H264 { 1 } else { 2 };
            let top = recent.iter().map(|(_, (.., temporal))| *temporal).max();
            assert_eq!(top, Some(temporal.min(highest)), "{scheme:?} {layer} {temporal}: {recent:?}");
        }
    }
}

#[test]
fn loss_and_disorder_are_repaired_in_each_codec() {
    for (seed, (scheme, encodings)) in (140..).zip(CAMERAS) {
        let mut world = world(seed, scheme, encodings);
        for path in [&mut world.up, &mut world.down] {
            (path.loss_percent, path.jitter) = (8, Duration::from_millis(15));
        }
        world.run(5000);
        for path in [&mut world.up, &mut world.down] {
            (path.loss_percent, path.jitter) = (0, Duration::ZERO);
        }
        world.run(300);
        world.clients.iter_mut().for_each(|client| client.is_live = false);
        world.run(1500);
        let video = video(&world);
        assert!(video.repaired > 3, "{scheme:?}: {} repairs", video.repaired);
        let missing = video.missing();
        assert!(missing.len() <= 3, "{scheme:?}: missing {missing:?} of {}", video.packets.len());
        if missing.is_empty() {
            video.check_layers(scheme);
        }
    }
}

#[test]
fn control_knows_what_each_layer_takes() {
    for (scheme, encodings) in [(Scheme::Vp8, SIMULCAST), (Scheme::Vp9Svc, SVC), (Scheme::Av1KSvc, SVC)] {
        let mut world = world(160, scheme, encodings);
        world.run(3000);
        let sender = world.endpoint(0).unwrap();
        let report = sender.layers.get(&sender.sources.video[0].id).unwrap();
        let layers: Vec<_> = report.layers.iter().flatten().collect();
        assert_eq!(layers.iter().map(|layer| layer.height.get()).collect::<Vec<_>>(), [180, 360, 720], "{scheme:?}");
        for layer in &layers {
            assert!(layer.is_measured());
            assert!(layer.bitrates.is_sorted(), "{scheme:?}: {layer:?}");
            assert!(layer.bitrates[0] < layer.bitrates[2], "{scheme:?}: {layer:?}");
        }
        assert!(layers.iter().map(|layer| layer.bitrates[3]).is_sorted());
        // What stops is gone before long.
        world.clients[0].cameras[0].is_on = false;
        world.run(4000);
        let sender = world.endpoint(0).unwrap();
        let report = sender.layers.get(&sender.sources.video[0].id).unwrap();
        assert_eq!(report.layers, [None; 4], "{scheme:?}");
    }
}

#[test]
fn a_receiver_without_dependency_descriptors_gets_the_payload_alone() {
    let mut world = world(170, Scheme::Av1Svc, SVC);
    let before = video(&world).packets.len();
    let route = world.endpoint(1).unwrap().connection.route;
    let mut negotiated = world.endpoint(1).unwrap().negotiated.clone();
    negotiated.extensions.set(rtp::ExtensionKind::DependencyDescriptor, None);
    let command = crate::shard::message::ShardCommand::Negotiate { peer: route.peer, negotiated: Box::new(negotiated) };
    world.bridge.data_plane.send(route.home, command);
    world.run(1000);
    let bare = video(&world).packets.values().skip(before).filter(|packet| packet.dependency_descriptor.is_none());
    assert!(bare.count() > 100);
}
