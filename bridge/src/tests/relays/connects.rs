//! Connects of conferences over several bridges: one bridge has the audio of all, and translations reach everybody.

use jitsi_protocol::colibri2::Connect;

use super::Cascade;
use crate::counters::DropReason;
use crate::tests::connects::{audio, connect, include, translate};

const TRANSLATION: &str = "0000a000-a0.de";

#[test]
fn audio_of_participants_on_other_bridges_is_sent() {
    let mut cascade = Cascade::meshed(80, &[1, 1, 1]);
    cascade.worlds[0].set_connects(vec![connect("a")]).unwrap();
    let mut exporter = cascade.worlds[0].take_exporters().remove(0);
    cascade.run(200);
    let owners: std::collections::BTreeSet<_> = exporter
        .take()
        .iter()
        .filter_map(|event| event["start"]["customParameters"]["endpointId"].as_str().map(str::to_owned))
        .collect();
    let all: std::collections::BTreeSet<_> =
        (0..3).map(|bridge| cascade.client(bridge, 0).id.as_str().to_owned()).collect();
    assert_eq!(owners, all);
}

/// A translation of the first participant comes in at that bridge: everybody who asks hears it once.
fn translated_at(seed: u64, at: usize) {
    let mut cascade = Cascade::meshed(seed, &[2, 1, 1]);
    let connect = Connect { requests: vec![TRANSLATION.parse().unwrap()], ..connect("translator") };
    cascade.worlds[at].set_connects(vec![connect]).unwrap();
    let exporter = cascade.worlds[at].take_exporters().remove(0);
    let ssrc = translate(&mut cascade.worlds[0]);
    let told = cascade.endpoints(0);
    for other in [1, 2] {
        let endpoints = told.iter().cloned().map(|mut endpoint| {
            endpoint.create = false;
            endpoint
        });
        let relay =
            super::RelayModify { endpoints: endpoints.collect(), ..super::RelayModify::new(super::relay_id(0)) };
        cascade.modify(other, relay).unwrap();
    }
    for (bridge, client) in [(0, 1), (1, 0), (2, 0)] {
        include(cascade.client_mut(bridge, client), &[TRANSLATION]);
    }
    cascade.run(500);
    for seq in 0..50 {
        cascade.worlds[at].exporter_says(exporter.id(), audio(seq, "de"));
        cascade.run(20);
    }
    cascade.run(300);
    for (bridge, client) in [(0, 1), (1, 0), (2, 0)] {
        let heard = cascade.client(bridge, client).stream(ssrc);
        assert_eq!((heard.packets.len(), heard.missing().len()), (50, 0), "bridge {bridge}");
    }
    assert!(!cascade.client(0, 0).incoming.contains_key(&ssrc), "who did not ask does not");
    for world in &cascade.worlds {
        assert_eq!(world.dropped(DropReason::Duplicate), 0);
        assert_eq!(world.dropped(DropReason::NotAnnounced), 0);
    }
}

#[test]
fn a_translation_put_in_at_the_speakers_bridge_reaches_all() {
    translated_at(81, 0);
}

#[test]
fn a_translation_put_in_at_another_bridge_reaches_all() {
    translated_at(85, 1);
}
