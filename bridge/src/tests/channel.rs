//! The bridge channel over data channel and WebSocket.

use jitsi_protocol::bridge_channel::{
    BridgeMessage, ClientMessage, DominantSpeakerEndpointChangeEvent, EndpointMessage, EndpointStats,
    LastNChangedEvent, SenderSourceConstraints, VideoConstraints,
};
use serde_json::{Map, Value, json};

use super::client::{Client, constraints};
use super::world::World;
use crate::counters::DropReason;
use crate::web_sockets::{ChannelAddress, ChannelMember, ChannelRefusal};

fn fields(value: Value) -> Map<String, Value> {
    let Value::Object(fields) = value else { panic!("{value}") };
    fields
}

/// `colibriClass` of each, in order.
fn classes(texts: &[String]) -> Vec<String> {
    let class = |text: &String| {
        let value: Value = serde_json::from_str(text).unwrap();
        value["colibriClass"].as_str().unwrap().to_owned()
    };
    texts.iter().map(class).collect()
}

/// The height that an endpoint was last asked for of its camera.
fn asked_for(messages: &[BridgeMessage]) -> Option<i32> {
    messages.iter().rev().find_map(|message| {
        let BridgeMessage::SenderSourceConstraints(SenderSourceConstraints { max_height, .. }) = message else {
            return None;
        };
        Some(*max_height)
    })
}

/// What an endpoint was last told is forwarded to it.
fn forwarded(messages: &[BridgeMessage]) -> Vec<String> {
    let last = messages.iter().rev().find_map(|message| {
        let BridgeMessage::ForwardedSources(sources) = message else { return None };
        Some(sources)
    });
    last.unwrap().forwarded_sources.iter().map(ToString::to_string).collect()
}

#[test]
fn a_channel_that_opens_is_told_everything_that_holds() {
    let mut world = World::connected(1, 2);
    world.clients[0].microphone.level = 10;
    world.run(2000);
    let texts = &world.clients[1].peer.texts;
    assert_eq!(classes(&texts[..3]), ["ServerHello", "SenderSourceConstraints", "ForwardedSources"]);
    // All of it again on each WebSocket, in place of the one before.
    for round in 0..3 {
        world.clients[1].web_socket_texts.clear();
        world.open_web_socket(1).unwrap();
        let texts = &world.clients[1].web_socket_texts;
        let expected =
            ["ServerHello", "SenderSourceConstraints", "ForwardedSources", "DominantSpeakerEndpointChangeEvent"];
        assert_eq!(classes(texts), expected);
        let BridgeMessage::DominantSpeakerEndpointChangeEvent(DominantSpeakerEndpointChangeEvent {
            dominant_speaker_endpoint,
            ..
        }) = &world.clients[1].web_socket_messages()[3]
        else {
            panic!()
        };
        assert_eq!(*dominant_speaker_endpoint, world.clients[0].id);
        assert_eq!(world.clients[1].closes, vec![(1000, "replaced"); round]);
    }
}

#[test]
fn only_the_right_secret_opens_a_web_socket() {
    let mut world = World::connected(2, 2);
    let url = world.clients[0].web_socket_url.clone().unwrap();
    assert!(url.starts_with("wss://bridge.example/colibri-ws/default-id/"));
    let right = url.clone();
    let (path, pwd) = right.split_once("?pwd=").unwrap();
    let id = world.clients[0].id.to_string();
    let other = world.clients[1].id.to_string();
    for wrong in [
        url.clone() + "x",
        path.to_owned() + "?pwd=",
        url.replace(&id, "deadbeef"),
        url.replace(&id, &other),
        url.replace(&id, "not an id"),
        format!("wss://bridge.example/colibri-ws/default-id/unknown/{id}?pwd={pwd}"),
    ] {
        world.clients[0].web_socket_url = Some(wrong.clone());
        assert_eq!(world.open_web_socket(0), Err(ChannelRefusal::Forbidden), "{wrong}");
    }
    world.clients[0].web_socket_url = Some(url);
    assert!(world.open_web_socket(0).is_ok());
}

#[test]
fn messages_go_over_what_opened_last_and_fall_back() {
    let mut world = World::connected(3, 2);
    let id = world.open_web_socket(0).unwrap();
    let texts = world.clients[0].peer.texts.len();
    world.clients[1].send_text(&constraints(&[("0000a000-v0", 720)]));
    world.run(200);
    assert_eq!(asked_for(&world.clients[0].web_socket_messages()), Some(720));
    assert_eq!(world.clients[0].peer.texts.len(), texts, "not over the data channel");
    // It still hears what comes over the data channel.
    world.clients[0].send_text(&ClientMessage::LastNChangedEvent(LastNChangedEvent { last_n: 0 }));
    world.run(200);
    assert_eq!(forwarded(&world.clients[0].web_socket_messages()), [""; 0]);
    world.bridge.handle_web_socket_closed(id, world.now);
    world.run(200);
    let again = classes(&world.clients[0].peer.texts[texts..]);
    assert_eq!(again, ["ServerHello", "SenderSourceConstraints", "ForwardedSources"]);
    assert_eq!(asked_for(&world.clients[0].messages()), Some(720));
}

#[test]
fn a_web_socket_is_never_heard_for_another_endpoint() {
    let mut world = World::connected(4, 2);
    world.open_web_socket(0).unwrap();
    let stale = world.clients[0].web_socket.unwrap();
    // The data channel opens after it, and the endpoint goes.
    let now = world.now;
    let key = world.bridge.web_sockets[&stale];
    world.bridge.connection_mut(key).unwrap().channel.open_data_channel();
    world.expire(0);
    assert_eq!(world.clients[0].closes, [(1001, "endpoint closed")]);
    // Another endpoint takes its place in the tables.
    let newcomer = world.join();
    world.run(1000);
    let text = ClientMessage::EndpointMessage(EndpointMessage {
        to: String::new(),
        from: None,
        fields: fields(json!({"msgPayload": {"name": "forged"}})),
    });
    world.bridge.handle_web_socket_text(stale, &text.to_json(), now);
    world.run(500);
    assert!(world.endpoint(newcomer).is_some());
    assert!(world.clients.iter().all(|client| !client.peer.texts.iter().any(|text| text.contains("forged"))));
    assert!(world.bridge.web_sockets.is_empty());
}

#[test]
fn expiry_closes_the_web_socket() {
    let mut world = World::connected(5, 2);
    world.open_web_socket(0).unwrap();
    world.expire(0);
    assert_eq!(world.clients[0].closes, [(1001, "endpoint closed")]);
    let address = world.clients[0].web_socket_url.clone().unwrap();
    assert_eq!(world.open_web_socket(0), Err(ChannelRefusal::Forbidden), "{address}");
}

#[test]
fn endpoint_messages_go_to_one_or_all_under_the_true_sender() {
    let mut world = World::connected(6, 3);
    let message = |to: &str, n: u32| {
        ClientMessage::EndpointMessage(EndpointMessage {
            to: to.to_owned(),
            from: Some("0000a002".parse().unwrap()),
            fields: fields(json!({"msgPayload": {"n": n}})),
        })
    };
    world.clients[0].send_text(&message("", 1));
    world.clients[0].send_text(&message("0000a001", 2));
    world.clients[0].send_text(&message("nobody", 3));
    world.run(300);
    let heard = |index: usize| -> Vec<String> {
        let texts = world.clients[index].peer.texts.iter();
        texts.filter(|text| text.contains("\"EndpointMessage\"")).cloned().collect()
    };
    assert_eq!((heard(0).len(), heard(1).len(), heard(2).len()), (0, 2, 1));
    let value: Value = serde_json::from_str(&heard(2)[0]).unwrap();
    assert_eq!((&value["from"], &value["to"]), (&json!("0000a000"), &json!("")));
    assert_eq!(value["msgPayload"], json!({"n": 1}));
}

#[test]
fn endpoint_stats_reach_all_others() {
    let mut world = World::connected(7, 3);
    let stats =
        EndpointStats { from: None, fields: fields(json!({"bitrate": {"upload": 9}, "connectionQuality": 99})) };
    world.clients[0].send_text(&ClientMessage::EndpointStats(stats));
    world.run(300);
    for client in &world.clients[1..] {
        let text = client.peer.texts.iter().find(|text| text.contains("EndpointStats")).unwrap();
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!((&value["from"], &value["connectionQuality"]), (&json!("0000a000"), &json!(99)));
    }
    assert!(!world.clients[0].peer.texts.iter().any(|text| text.contains("EndpointStats")));
}

#[test]
fn endpoint_stats_of_a_large_conference_reach_those_who_show_their_sender() {
    let mut world = World::connected(14, 21);
    let name = world.clients[0].cameras[0].name.clone();
    let shows = |heights: &[(&str, i32)], on_stage: &[&str]| {
        let ClientMessage::ReceiverVideoConstraints(mut message) = constraints(heights) else { unreachable!() };
        message.default_constraints = Some(VideoConstraints { max_height: 0, max_frame_rate: None });
        message.on_stage_sources = Some(on_stage.iter().map(|name| name.parse().unwrap()).collect());
        ClientMessage::ReceiverVideoConstraints(message)
    };
    for receiver in 1..21 {
        let message = match receiver {
            1 => shows(&[(&name, 180)], &[]),
            2 => shows(&[], &[&name]),
            _ => shows(&[], &[]),
        };
        world.clients[receiver].send_text(&message);
    }
    world.run(300);
    let stats = || ClientMessage::EndpointStats(EndpointStats { from: None, fields: Map::new() });
    world.clients[0].send_text(&stats());
    world.run(300);
    let told = |world: &World| {
        let texts = |client: &Client| client.peer.texts.iter().filter(|text| text.contains("EndpointStats")).count();
        world.clients.iter().map(texts).collect::<Vec<_>>()
    };
    assert_eq!(told(&world), [&[0, 1, 1][..], &[0; 18]].concat());
    world.clients[0].microphone.level = 10;
    world.run(3000);
    world.clients[0].send_text(&stats());
    world.run(300);
    assert_eq!(told(&world), [&[0, 2, 2][..], &[1; 18]].concat(), "it speaks");
}

#[test]
fn all_are_told_who_is_gone_and_who_is_back() {
    let mut world = World::connected(15, 3);
    let told = |client: &Client| -> Vec<(String, bool)> {
        let messages = client.messages();
        let changes = messages.into_iter().filter_map(|message| {
            let BridgeMessage::EndpointConnectivityStatusChangeEvent(event) = message else { return None };
            Some((event.endpoint.to_string(), event.active))
        });
        changes.collect()
    };
    world.run(20_000);
    assert_eq!(told(&world.clients[0]), [], "all are there");
    world.loses = Some(|from, _, _| from.ip().to_string().ends_with(".11"));
    world.run(10_000);
    let gone = ("0000a001".to_owned(), false);
    assert_eq!((told(&world.clients[0]), told(&world.clients[2])), (vec![gone.clone()], vec![gone.clone()]));
    let newcomer = world.join();
    world.run(1000);
    assert_eq!(told(&world.clients[newcomer]), std::slice::from_ref(&gone));
    world.loses = None;
    world.run(3000);
    assert_eq!(told(&world.clients[newcomer]), [gone, ("0000a001".to_owned(), true)]);
    let metrics = &world.bridge.metrics;
    assert_eq!((metrics.endpoints_disconnected.get(), metrics.endpoints_reconnected.get()), (1, 1));
}

#[test]
fn a_flood_is_cut_off_and_what_is_no_message_dropped() {
    let mut world = World::connected(8, 2);
    world.open_web_socket(0).unwrap();
    let stats = EndpointStats { from: None, fields: Map::new() };
    let text = ClientMessage::EndpointStats(stats).to_json();
    for _ in 0..1000 {
        world.web_socket_text(0, &text);
    }
    world.run(500);
    let passed = world.clients[1].peer.texts.iter().filter(|text| text.contains("EndpointStats")).count();
    assert!((90..=120).contains(&passed), "{passed}");
    assert_eq!(world.dropped(DropReason::ChannelMessageRate), 1000 - passed as u64);
    world.run(10_000);
    let nothing = ["", "[]", "{", r#"{"colibriClass":"Nonsense"}"#, r#"{"colibriClass":"LastNChangedEvent"}"#];
    for text in nothing {
        world.web_socket_text(0, text);
    }
    assert_eq!(world.dropped(DropReason::ChannelMessage), nothing.len() as u64);
}

#[test]
fn forwarded_sources_follow_last_n_speakers_and_leaving() {
    let mut world = World::connected(9, 4);
    let last = |world: &World| forwarded(&world.clients[0].messages());
    assert_eq!(last(&world).len(), 3);
    world.clients[0].send_text(&ClientMessage::LastNChangedEvent(LastNChangedEvent { last_n: 1 }));
    world.run(500);
    assert_eq!(last(&world).len(), 1);
    for speaker in [3, 2] {
        world.clients[1].microphone.level = 127;
        world.clients[2].microphone.level = 127;
        world.clients[3].microphone.level = 127;
        world.clients[speaker].microphone.level = 10;
        world.run(5000);
        assert_eq!(last(&world), [world.clients[speaker].cameras[0].name.clone()], "the one who speaks");
        let video = world.clients[0].stream(world.clients[speaker].video_ssrc());
        assert!(world.now - video.last_at < std::time::Duration::from_millis(200));
    }
    world.expire(2);
    world.run(500);
    assert_eq!(last(&world), [world.clients[3].cameras[0].name.clone()], "who spoke before");
}

#[test]
fn senders_are_asked_for_the_most_that_anyone_wants() {
    let mut world = World::connected(10, 3);
    let name = world.clients[0].cameras[0].name.clone();
    let asked = |world: &World| asked_for(&world.clients[0].messages());
    assert_eq!(asked(&world), Some(-1), "nobody said anything yet");
    for (first, second, most) in [(360, 180, 360), (180, 720, 720), (180, 180, 180), (0, 180, 180), (0, 0, 0)] {
        world.clients[1].send_text(&constraints(&[(&name, first)]));
        world.clients[2].send_text(&constraints(&[(&name, second)]));
        world.run(300);
        assert_eq!(asked(&world), Some(most));
    }
    // Nobody wants it: nothing is sent. One who comes does.
    let newcomer = world.join();
    world.run(1000);
    assert_eq!(asked(&world), Some(-1));
    world.expire(newcomer);
    world.run(300);
    assert_eq!(asked(&world), Some(0));
}

#[test]
fn someone_alone_is_not_asked_for_video() {
    let mut world = World::connected(11, 1);
    world.run(300);
    assert_eq!(asked_for(&world.clients[0].messages()), Some(0));
}

#[test]
fn an_address_is_looked_up_exactly() {
    let mut world = World::connected(12, 1);
    let address = ChannelAddress {
        conference: String::new(),
        member: ChannelMember::Endpoint(String::new()),
        pwd: String::new(),
    };
    assert_eq!(world.bridge.open_web_socket(&address, world.now), Err(ChannelRefusal::Forbidden));
}

#[test]
fn what_senders_are_asked_for_is_always_the_most_of_all_receivers() {
    let mut world = World::connected(13, 5);
    for index in 0..5 {
        world.open_web_socket(index).unwrap();
    }
    for step in 0..300 {
        let receiver = world.random.below(5) as usize;
        let source = format!("0000a00{}-v0", world.random.below(5));
        let height = [0, 180, 360, 720, -1][world.random.below(5) as usize];
        world.web_socket_text(receiver, &constraints(&[(&source, height)]).to_json());
        world.run(200);
        for (_, owner) in &world.bridge.conferences[0].endpoints {
            let video = &owner.sources.video[0];
            let demands = world.bridge.conferences[0].endpoints.iter().filter_map(|(_, receiver)| {
                let height = receiver.heights.get(&video.id).copied();
                height.filter(|_| receiver.id != owner.id)
            });
            let most = demands.max().unwrap_or(crate::constraints::MaxHeight::NOTHING);
            assert_eq!(owner.sender_constraints[&video.name], most, "step {step}");
        }
    }
}
