//! Transcription and translation by bridges that connect to services (focus.md §11.3).

use std::collections::BTreeMap;

use focus::{SelectionStrategy, Settings, TranslationMode};
use jitsi_protocol::colibri2::{ColibriError, Connect, ConnectType, HttpHeader};
use serde_json::{Value, json};
use xmpp::{Condition, Element, ns};

use crate::cascade::cascade_with;
use crate::world::{FakeClient, Manner, ROOM, World};

const SCRIBE: &str = "wss://scribe.example/{{REGION}}/{{MEETING_ID}}";
const TRANSLATOR: &str = "wss://translate.example/{{MEETING_ID}}";

fn services(settings: &mut Settings) {
    settings.transcription.url_template = Some(SCRIBE.to_owned());
    let header = |name: &str, value: &str| HttpHeader { name: name.to_owned(), value: value.to_owned() };
    settings.transcription.http_headers = vec![header("Authorization", "general"), header("X-Other", "1")];
    settings.translation.connect.url_template = Some(TRANSLATOR.to_owned());
    settings.translation.max_languages_per_connect = 2;
}

/// Two bridges and these participants, on one and the other in turn.
fn call(nicks: &[&str], change: impl FnOnce(&mut Settings)) -> World {
    let mut world = cascade_with(SelectionStrategy::SplitBridge, &["jvb-1", "jvb-2"], |settings| {
        services(settings);
        change(settings);
    });
    for nick in nicks {
        world.join(nick);
    }
    for nick in nicks {
        world.accept(nick).unwrap();
    }
    world
}

fn metadata(world: &mut World, metadata: &Value) {
    let json = json!({ "type": "room_metadata", "metadata": metadata }).to_string();
    let json = Element::new("json-message", ns::JITMEET).with_attr("room", ROOM).with_text(json);
    world.stanza(Element::new("message", ns::CLIENT).with_attr("from", "metadata.meet.jitsi").with_child(json));
}

fn transcribe(world: &mut World, is_on: bool) {
    metadata(world, &json!({ "recording": { "isTranscribingEnabled": is_on }, "asyncTranscription": true }));
}

/// What a bridge has open.
fn connects(world: &mut World, bridge: &str) -> BTreeMap<String, Connect> {
    let meetings = world.bridge(bridge).meetings.values();
    meetings.flat_map(|meeting| meeting.connects.clone()).collect()
}

fn check(world: &mut World) {
    for (nick, bridge) in &world.bridges {
        assert_eq!(bridge.violations, [""; 0], "{nick}");
    }
}

fn property(world: &World) -> Option<String> {
    let properties = world.room_presence().child_named("conference-properties")?;
    let found = properties.children().find(|property| property.attr("key") == Some("audio-recording-enabled"))?;
    found.attr("value").map(str::to_owned)
}

#[test]
fn one_bridge_connects_to_the_transcriber_while_the_room_wants_it() {
    let mut world = call(&["aaaa1111", "bbbb2222"], |_| {});
    assert_eq!(property(&world), None);
    transcribe(&mut world, true);
    let connect = connects(&mut world, "jvb-1").remove("transcriber").unwrap();
    let meeting = world.bridge("jvb-1").meetings.keys().next().unwrap().clone();
    assert_eq!(connect.url, format!("wss://scribe.example/jvb-1/{meeting}"));
    assert_eq!((connect.connect_type, connect.audio, connect.video), (ConnectType::Transcriber, true, false));
    assert_eq!(connect.ping.unwrap().interval.as_secs(), 10);
    assert_eq!((connect.http_headers.len(), connect.exports.len()), (2, 0));
    assert!(connects(&mut world, "jvb-2").is_empty());
    assert_eq!(property(&world).as_deref(), Some("true"));
    let requests = world.bridge("jvb-1").requests.len();
    transcribe(&mut world, true);
    assert_eq!(world.bridge("jvb-1").requests.len(), requests, "it is so already");
    transcribe(&mut world, false);
    assert!(connects(&mut world, "jvb-1").is_empty());
    assert_eq!(property(&world).as_deref(), Some("false"));
    check(&mut world);
}

#[test]
fn a_room_that_does_not_leave_it_to_bridges_has_none_connect() {
    let mut world = call(&["aaaa1111", "bbbb2222"], |_| {});
    metadata(&mut world, &json!({ "recording": { "isTranscribingEnabled": true } }));
    assert!(connects(&mut world, "jvb-1").is_empty() && connects(&mut world, "jvb-2").is_empty());
    let mut world = call(&["aaaa1111", "bbbb2222"], |settings| settings.transcription.url_template = None);
    transcribe(&mut world, true);
    assert!(connects(&mut world, "jvb-1").is_empty());
    assert_eq!(property(&world).as_deref(), Some("true"), "somebody else may do it");
}

#[test]
fn a_bridge_is_told_whose_voices_are_to_be_told_apart() {
    let mut world = cascade_with(SelectionStrategy::SplitBridge, &["jvb-1", "jvb-2"], services);
    world.join("aaaa1111");
    let mut presence = FakeClient::new("bbbb2222").presence();
    presence.push(Element::new("jitsi_participant_diarize", ns::CLIENT).with_text("true"));
    world.clients.insert("bbbb2222".to_owned(), FakeClient::new("bbbb2222"));
    world.stanza(presence);
    assert!(world.bridge("jvb-2").last_of("bbbb2222").diarize);
    assert!(!world.bridge("jvb-1").last_of("aaaa1111").diarize);
}

#[test]
fn the_room_says_parameters_and_headers() {
    let mut world = call(&["aaaa1111", "bbbb2222"], |_| {});
    metadata(
        &mut world,
        &json!({
            "recording": { "isTranscribingEnabled": true }, "asyncTranscription": true,
            "transcription": { "urlParams": { "lang": "en us" }, "httpHeaders": { "Authorization": "special" } },
        }),
    );
    let connect = connects(&mut world, "jvb-1").remove("transcriber").unwrap();
    assert!(connect.url.ends_with("?lang=en%20us"), "{}", connect.url);
    let headers: BTreeMap<_, _> = connect.http_headers.into_iter().map(|header| (header.name, header.value)).collect();
    assert_eq!(headers["Authorization"], "special");
    assert_eq!(headers["X-Other"], "1");
}

#[test]
fn who_is_alone_is_written_down_too() {
    let mut world = cascade_with(SelectionStrategy::SplitBridge, &["jvb-1"], services);
    world.join("aaaa1111");
    assert!(!world.client("aaaa1111").has_offer());
    transcribe(&mut world, true);
    assert!(world.client("aaaa1111").has_offer());
    world.accept("aaaa1111").unwrap();
    let first = world.bridge("jvb-1").requests.first().unwrap().clone();
    assert!(first.create && first.connects.is_some(), "the bridge is told together with its first endpoint");
    assert_eq!(connects(&mut world, "jvb-1").len(), 1);
    transcribe(&mut world, false);
    world.seconds(25);
    assert!(world.bridge("jvb-1").meetings.is_empty(), "nobody is left to talk to");
    check(&mut world);
}

#[test]
fn another_bridge_connects_when_the_one_that_did_is_gone() {
    let mut world = call(&["aaaa1111", "bbbb2222"], |_| {});
    transcribe(&mut world, true);
    world.remove_bridge("jvb-1");
    assert!(connects(&mut world, "jvb-2").contains_key("transcriber"));
    world.accept("aaaa1111").unwrap_or_default();
    assert_eq!(connects(&mut world, "jvb-2").len(), 1);
    check(&mut world);
}

#[test]
fn the_bridge_that_connects_stays_while_it_has_anybody() {
    let mut world = call(&["aaaa1111", "bbbb2222", "cccc3333"], |_| {});
    transcribe(&mut world, true);
    world.leave("aaaa1111");
    assert_eq!(connects(&mut world, "jvb-1").len(), 1);
    world.leave("cccc3333");
    assert!(world.bridge("jvb-1").meetings.is_empty());
    assert_eq!(connects(&mut world, "jvb-2").len(), 1);
    check(&mut world);
}

#[test]
fn a_bridge_that_cannot_connect_keeps_its_participants() {
    let mut world = call(&["aaaa1111", "bbbb2222"], |_| {});
    let error = ColibriError::new(Condition::FeatureNotImplemented, None, "no connects");
    world.bridge("jvb-1").manner = Manner::RefusingConnects(error);
    transcribe(&mut world, true);
    assert!(connects(&mut world, "jvb-2").contains_key("transcriber"), "another one does");
    assert!(world.client("aaaa1111").take_actions().iter().all(|action| *action != "session-terminate"));
    let asked =
        |world: &mut World| world.bridge("jvb-1").requests.iter().filter(|request| request.connects.is_some()).count();
    assert_eq!(asked(&mut world), 1);
    world.leave("bbbb2222");
    world.seconds(5);
    assert_eq!(asked(&mut world), 1, "it is not asked again and again");
}

fn wish(world: &mut World, wishes: &Value) {
    metadata(world, &json!({ "audioTranslationRequests": wishes }));
}

fn names(names: &[model::SourceName]) -> Vec<&str> {
    names.iter().map(model::SourceName::as_str).collect()
}

/// Sources that nobody sends of an endpoint, by name and SSRC, as a bridge was told last.
fn synthetic(world: &mut World, bridge: &str, nick: &str) -> Vec<(String, u32)> {
    let requests = world.bridge(bridge).requests.iter().rev();
    let mut all = requests
        .flat_map(|request| request.endpoints.iter().chain(request.relays.iter().flat_map(|relay| &relay.endpoints)));
    let told = all.find(|endpoint| endpoint.id.as_str() == nick && endpoint.sources.is_some()).unwrap();
    let sources = told.sources.iter().flatten().filter(|source| source.synthetic);
    sources.map(|source| (source.id.to_string(), source.sources[0].ssrc.0)).collect()
}

#[test]
fn each_speakers_bridge_connects_to_the_translator() {
    let mut world = call(&["aaaa1111", "bbbb2222"], |_| {});
    wish(&mut world, &json!({ "aaaa1111": ["de", "fr", "it"], "bbbb2222": ["de"], "nobody00": ["de"] }));
    let first = connects(&mut world, "jvb-1");
    assert_eq!(first.keys().collect::<Vec<_>>(), ["translator-aaaa1111-a0-0", "translator-aaaa1111-a0-1"]);
    let connect = &first["translator-aaaa1111-a0-0"];
    assert_eq!(names(&connect.exports), ["aaaa1111-a0"]);
    assert_eq!(names(&connect.requests), ["aaaa1111-a0.de", "aaaa1111-a0.fr"]);
    assert_eq!(names(&first["translator-aaaa1111-a0-1"].requests), ["aaaa1111-a0.it"]);
    assert_eq!(connects(&mut world, "jvb-2").into_keys().collect::<Vec<_>>(), ["translator-bbbb2222-a0-0"]);
    // Both bridges know the sources, under one SSRC that stays.
    let before = synthetic(&mut world, "jvb-1", "aaaa1111");
    assert_eq!(before.len(), 3);
    assert_eq!(synthetic(&mut world, "jvb-2", "aaaa1111"), before);
    wish(&mut world, &json!({ "aaaa1111": ["de", "fr"] }));
    assert_eq!(synthetic(&mut world, "jvb-1", "aaaa1111"), before[..2]);
    assert_eq!(connects(&mut world, "jvb-1").len(), 1);
    assert!(connects(&mut world, "jvb-2").is_empty());
    world.leave("aaaa1111");
    wish(&mut world, &json!({}));
    assert!(connects(&mut world, "jvb-2").is_empty());
    check(&mut world);
}

#[test]
fn a_wish_waits_for_the_speakers_microphone() {
    let mut world = call(&["aaaa1111", "bbbb2222"], |_| {});
    world.join("cccc3333");
    wish(&mut world, &json!({ "cccc3333": ["de"] }));
    assert!(connects(&mut world, "jvb-1").is_empty());
    world.accept("cccc3333").unwrap();
    assert_eq!(connects(&mut world, "jvb-1").into_keys().collect::<Vec<_>>(), ["translator-cccc3333-a0-0"]);
    check(&mut world);
}

#[test]
fn one_bridge_connects_for_all_where_that_is_wanted() {
    let mut world =
        call(&["aaaa1111", "bbbb2222"], |settings| settings.translation.mode = TranslationMode::SingleBridge);
    wish(&mut world, &json!({ "aaaa1111": ["de", "fr", "it"], "bbbb2222": ["de"] }));
    let connect = connects(&mut world, "jvb-1").remove("translator").unwrap();
    assert_eq!(names(&connect.exports), ["aaaa1111-a0", "bbbb2222-a0"]);
    assert_eq!(connect.requests.len(), 4);
    assert!(connects(&mut world, "jvb-2").is_empty());
    wish(&mut world, &json!({ "bbbb2222": ["de"] }));
    assert_eq!(names(&connects(&mut world, "jvb-1")["translator"].exports), ["bbbb2222-a0"]);
    // Another token for the service: the connection begins anew.
    metadata(
        &mut world,
        &json!({ "audioTranslationRequests": { "bbbb2222": ["de"] }, "translation": { "httpHeaders": { "Token": "t" } } }),
    );
    assert_eq!(connects(&mut world, "jvb-1")["translator"].http_headers[0].value, "t");
    check(&mut world);
}
