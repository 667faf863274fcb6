//! What bridges say to each other, and what of it reaches clients.

use jitsi_protocol::bridge_channel::{
    BridgeMessage, ClientMessage, EndpointMessage, EndpointStats, SourceVideoTypeMessage,
};
use model::VideoType;
use serde_json::{Map, json};

use super::Cascade;
use crate::relay::Far;

fn message(to: &str) -> ClientMessage {
    let fields = Map::from_iter([("msgPayload".to_owned(), json!({ "type": "reaction" }))]);
    ClientMessage::EndpointMessage(EndpointMessage { to: to.to_owned(), from: None, fields })
}

/// From whom a client has messages.
fn senders(cascade: &Cascade, bridge: usize) -> Vec<String> {
    let messages = cascade.client(bridge, 0).messages().into_iter();
    let senders = messages.filter_map(|message| {
        let BridgeMessage::EndpointMessage(message) = message else { return None };
        message.from
    });
    senders.map(|id| id.to_string()).collect()
}

#[test]
fn bridges_of_one_kind_know_each_other() {
    let cascade = Cascade::meshed(70, &[1, 1]);
    assert_eq!((cascade.relay(0, 1).far, cascade.relay(1, 0).far), (Far::Teranga, Far::Teranga));
}

#[test]
fn messages_reach_everybody_once_and_one_reaches_one() {
    let mut cascade = Cascade::meshed(71, &[1, 1, 1]);
    let (from, to) = (cascade.client(0, 0).id.clone(), cascade.client(2, 0).id.clone());
    cascade.client_mut(0, 0).send_text(&message(""));
    cascade.run(300);
    assert_eq!([senders(&cascade, 0).len(), senders(&cascade, 1).len(), senders(&cascade, 2).len()], [0, 1, 1]);
    cascade.client_mut(0, 0).send_text(&message(to.as_str()));
    cascade.run(300);
    assert_eq!([senders(&cascade, 0).len(), senders(&cascade, 1).len(), senders(&cascade, 2).len()], [0, 1, 2]);
    assert!(senders(&cascade, 2).iter().all(|id| *id == from.as_str()));
    let stats = EndpointStats { from: None, fields: Map::from_iter([("bitrate".to_owned(), json!(1))]) };
    cascade.client_mut(0, 0).send_text(&ClientMessage::EndpointStats(stats));
    cascade.run(300);
    for bridge in [1, 2] {
        let stats = cascade.client(bridge, 0).messages().into_iter();
        assert_eq!(stats.filter(|message| matches!(message, BridgeMessage::EndpointStats(_))).count(), 1);
    }
}

#[test]
fn a_screen_is_known_as_one_on_other_bridges() {
    let mut cascade = Cascade::meshed(72, &[1, 1]);
    let name = cascade.client(0, 0).cameras[0].name.clone();
    let message = SourceVideoTypeMessage {
        video_type: VideoType::Desktop,
        source_name: name.parse().unwrap(),
        endpoint_id: None,
    };
    cascade.client_mut(0, 0).send_text(&ClientMessage::SourceVideoTypeMessage(message));
    cascade.run(300);
    let video_type = |cascade: &Cascade, bridge: usize| {
        let (_, conference) = cascade.worlds[bridge].bridge.conferences.iter().next().unwrap();
        let (_, endpoint) = conference.relayed.iter().next().unwrap();
        endpoint.sources.video[0].video_type
    };
    assert_eq!(video_type(&cascade, 1), VideoType::Desktop);
    // One that joins later is told.
    cascade.part(0, 1);
    cascade.join(0, 1, "0");
    cascade.run(1500);
    assert_eq!(video_type(&cascade, 1), VideoType::Desktop);
}

#[test]
fn all_bridges_find_the_same_speaker() {
    let mut cascade = Cascade::meshed(73, &[1, 1, 1]);
    for speaker in [1, 2, 0] {
        for bridge in 0..3 {
            cascade.client_mut(bridge, 0).microphone.level = if bridge == speaker { 10 } else { 127 };
        }
        cascade.run(4000);
        let id = cascade.client(speaker, 0).id.clone();
        for world in &cascade.worlds {
            let (_, conference) = world.bridge.conferences.iter().next().unwrap();
            assert_eq!(conference.speakers.dominant(), Some(&id));
        }
    }
}

#[test]
fn a_client_that_falls_silent_is_told_of_on_other_bridges() {
    let mut cascade = Cascade::meshed(74, &[1, 1]);
    let id = cascade.client(0, 0).id.clone();
    cascade.worlds[0].loses = Some(|from, _, _| from.ip().to_string() == "198.51.100.10");
    cascade.run(15_000);
    let gone = cascade.client(1, 0).messages().into_iter().find_map(|message| {
        let BridgeMessage::EndpointConnectivityStatusChangeEvent(event) = message else { return None };
        Some(event)
    });
    let gone = gone.expect("somebody is gone");
    assert_eq!((gone.endpoint, gone.active), (id, false));
}

/// An original bridge says no hello of ours, and gets everything that there is.
#[test]
fn an_original_bridge_gets_all_layers() {
    let mut cascade = Cascade::meshed(75, &[1, 1]);
    let ssrcs: Vec<u32> = cascade.client(0, 0).cameras[0].layers.iter().map(|layer| layer.ssrc).collect();
    cascade.take_other_for_original(0);
    cascade.run(1000);
    cascade.passed.clear();
    cascade.run(500);
    let passed = cascade.take_passed(0, 1);
    assert!(ssrcs.iter().all(|ssrc| passed.contains_key(ssrc)), "{passed:?}");
}
