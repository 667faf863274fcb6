//! Connects: the rules of requests about them, who gets which audio, and what comes back (bridge.md §8).

use jitsi_protocol::bridge_channel::{BridgeMessage, ClientMessage, ReceiverAudioSubscription};
use jitsi_protocol::colibri2::{
    ColibriError, ConferenceModified, ConferenceModify, Connect, ConnectPing, ConnectType, EndpointModify, HttpHeader,
    Reason,
};
use model::SourceName;
use serde_json::{Value, json};
use xmpp::Condition;

use super::camera::origin;
use super::world::{MEETING, World, create_request};
use crate::export::serializer::MediaJsonSerializer;
use crate::export::{ExporterEvent, ExporterId, ExporterOutput, InjectedAudio, NewExporter};

/// The other end's side of a connect.
pub(super) struct Exporter {
    new: NewExporter,
    serializer: MediaJsonSerializer,
}

impl Exporter {
    /// What was sent since the last time.
    pub(super) fn take(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(packet) = self.new.queue.take() {
            self.serializer.write(&packet, |text| events.push(serde_json::from_str(&text).unwrap()));
            self.new.queue.give_back(packet);
        }
        self.new.queue.grow(packet_time());
        events
    }

    pub(super) fn id(&self) -> ExporterId {
        self.new.id
    }
}

#[expect(clippy::disallowed_methods, reason = "buffers are made at some time or other")]
fn packet_time() -> std::time::Instant {
    std::time::Instant::now()
}

impl World {
    pub(super) fn set_connects(&mut self, connects: Vec<Connect>) -> Result<ConferenceModified, ColibriError> {
        let meeting = self.meeting.parse().map_err(|_| ColibriError::new(Condition::BadRequest, None, "no meeting"))?;
        self.colibri(&ConferenceModify { connects: Some(connects), ..ConferenceModify::new(meeting) })
    }

    /// Exporters that began, open.
    pub(super) fn take_exporters(&mut self) -> Vec<Exporter> {
        let outputs = std::iter::from_fn(|| self.bridge.poll_exporter_output()).collect::<Vec<_>>();
        let started = outputs.into_iter().filter_map(|output| match output {
            ExporterOutput::Start(new) => Some(*new),
            ExporterOutput::Sources { .. } | ExporterOutput::Stop { .. } => None,
        });
        let now = self.now;
        started
            .map(|mut new| {
                new.queue.open(now);
                Exporter { new, serializer: MediaJsonSerializer::new(now) }
            })
            .collect()
    }

    /// The other end of an exporter says something.
    pub(super) fn exporter_says(&mut self, id: ExporterId, event: ExporterEvent) {
        self.bridge.handle_exporter_event(id, event, self.now);
        self.flush();
    }

    fn outputs(&mut self) -> Vec<String> {
        let outputs = std::iter::from_fn(|| self.bridge.poll_exporter_output());
        let word = |output| match output {
            ExporterOutput::Start(new) => format!("+{}", new.connect.id.unwrap_or_default()),
            ExporterOutput::Sources { sources, .. } => format!("~{}", sources.exports.len()),
            ExporterOutput::Stop { .. } => "-".to_owned(),
        };
        outputs.map(word).collect()
    }
}

pub(super) fn connect(id: &str) -> Connect {
    let connect = Connect::new(id.to_owned(), "wss://scribe.example/1".to_owned(), ConnectType::Transcriber);
    Connect { create: true, ..connect }
}

fn name(text: &str) -> SourceName {
    text.parse().unwrap()
}

fn of(events: &[Value], event: &str) -> Vec<Value> {
    events.iter().filter(|value| value["event"] == event).cloned().collect()
}

fn refusal(answer: Result<ConferenceModified, ColibriError>) -> (Condition, Option<Reason>) {
    let error = answer.unwrap_err();
    (error.condition, error.reason)
}

#[test]
fn connects_begin_change_and_end_by_their_ids() {
    let mut world = World::connected(1, 1);
    world.set_connects(vec![connect("a"), connect("b")]).unwrap();
    assert_eq!(world.outputs(), ["+a", "+b"]);
    // Nothing that is not mentioned changes.
    let update = Connect { create: false, exports: vec![name("x-a0")], ..connect("a") };
    world.set_connects(vec![update.clone()]).unwrap();
    assert_eq!(world.outputs(), ["~1"]);
    world.set_connects(vec![update]).unwrap();
    assert_eq!(world.outputs(), [""; 0], "it is so already");
    world.set_connects(Vec::new()).unwrap();
    assert_eq!(world.outputs(), [""; 0]);
    let expire = |id: &str| Connect { create: false, expire: true, ..connect(id) };
    let other = Connect { url: "wss://other.example".to_owned(), ..connect("a") };
    world.set_connects(vec![other, expire("a"), expire("unknown")]).unwrap();
    assert_eq!(world.outputs(), ["-", "+a"], "an id ends before it begins anew");
    world.set_connects(vec![expire("b")]).unwrap();
    assert_eq!(world.outputs(), ["-"]);
    world.expire(0);
    assert_eq!(world.outputs(), ["-"], "the end of the conference ends what is left");
    assert_eq!(world.bridge.exporters.len(), 0);
}

#[test]
fn a_request_that_is_wrong_in_part_changes_nothing() {
    let mut world = World::connected(2, 1);
    world.set_connects(vec![connect("a")]).unwrap();
    world.outputs();
    let update = |id: &str| Connect { create: false, ..connect(id) };
    let expire = |id: &str| Connect { expire: true, ..update(id) };
    let bad = (Condition::BadRequest, None);
    let unsupported = (Condition::FeatureNotImplemented, Some(Reason::FeatureNotImplemented));
    let header = HttpHeader { name: "Authorization".to_owned(), value: "x".to_owned() };
    let ping = ConnectPing { interval: std::time::Duration::from_secs(1), timeout: std::time::Duration::from_secs(1) };
    for (wrong, error) in [
        (vec![connect("a")], bad),
        (vec![update("b")], bad),
        (vec![update("a"), update("a")], bad),
        (vec![connect("b"), connect("b")], bad),
        (vec![expire("a"), expire("a")], bad),
        (vec![expire("a"), update("a")], bad),
        (vec![connect("b"), Connect { id: None, ..connect("c") }], bad),
        (vec![Connect { video: true, ..connect("b") }], unsupported),
        (vec![Connect { protocol: "rtp".to_owned(), ..connect("b") }], unsupported),
        (vec![Connect { url: "ws://other.example".to_owned(), ..update("a") }], unsupported),
        (vec![Connect { connect_type: ConnectType::Recorder, ..update("a") }], unsupported),
        (vec![Connect { audio: false, ..update("a") }], unsupported),
        (vec![Connect { http_headers: vec![header], ..update("a") }], unsupported),
        (vec![Connect { ping: Some(ping), ..update("a") }], unsupported),
    ] {
        let request: Vec<_> =
            wrong.into_iter().chain([connect("fine")]).filter(|connect| connect.id.is_some() || error == bad).collect();
        assert_eq!(refusal(world.set_connects(request.clone())), error, "{request:?}");
        assert_eq!(world.outputs(), [""; 0]);
    }
    let many = (0..300).map(|n| connect(&n.to_string()));
    for chunk in many.collect::<Vec<_>>().chunks(200) {
        let answer = world.set_connects(chunk.to_vec());
        if chunk.len() == 200 {
            answer.unwrap();
        } else {
            assert_eq!(refusal(answer).0, Condition::ResourceConstraint);
        }
    }
}

#[test]
fn a_refused_connect_leaves_no_conference() {
    let mut world = World::new(3);
    let request = ConferenceModify {
        create: true,
        endpoints: vec![create_request(&"00000001".parse().unwrap())],
        connects: Some(vec![Connect { video: true, ..connect("a") }]),
        ..ConferenceModify::new(MEETING.parse().unwrap())
    };
    assert_eq!(refusal(world.colibri(&request)).0, Condition::FeatureNotImplemented);
    assert_eq!(world.bridge.conferences.len(), 0);
    world.colibri(&ConferenceModify { connects: Some(vec![connect("a")]), ..request }).unwrap();
    assert_eq!(world.outputs(), ["+a"]);
}

#[test]
fn a_focus_of_before_ids_has_one_connect_or_none() {
    let mut world = World::connected(4, 1);
    let old = |url: &str| Connect { id: None, create: false, url: url.to_owned(), ..connect("") };
    world.set_connects(vec![old("wss://a")]).unwrap();
    assert_eq!(world.outputs(), ["+"]);
    world.set_connects(vec![old("wss://b")]).unwrap();
    assert_eq!(world.outputs(), ["-", "+"]);
    let two = world.set_connects(vec![old("wss://c"), old("wss://d")]);
    assert_eq!(refusal(two).0, Condition::FeatureNotImplemented);
    world.set_connects(Vec::new()).unwrap();
    assert_eq!(world.outputs(), ["-"]);
}

#[test]
fn audio_of_all_is_sent_whole_and_in_order() {
    for seed in 0..3 {
        let mut world = World::connected(seed, 3);
        world.clients[0].microphone.level = 30;
        let id = world.clients[2].id.clone();
        world.modify(EndpointModify { media: super::world::media(world.feedback), ..EndpointModify::new(id) }).unwrap();
        world.set_connects(vec![connect("a")]).unwrap();
        let mut exporter = world.take_exporters().remove(0);
        let mut events = Vec::new();
        for _ in 0..100 {
            world.run(20);
            events.extend(exporter.take());
        }
        let starts = of(&events, "start");
        let mut tags: Vec<_> = starts.iter().map(|start| start["start"]["tag"].as_str().unwrap()).collect();
        tags.sort_unstable();
        assert_eq!(tags, ["0000a000-a0", "0000a001-a0", "0000a002-a0"]);
        let format = &starts[0]["start"]["mediaFormat"];
        assert_eq!((&format["encoding"], &format["sampleRate"]), (&json!("opus"), &json!(48_000)));
        assert_eq!(starts[0]["start"]["customParameters"]["endpointId"], json!(&tags_owner(&starts[0])));
        let media: Vec<_> =
            of(&events, "media").into_iter().filter(|media| media["media"]["tag"] == "0000a000-a0").collect();
        assert!((98..=101).contains(&media.len()), "{} packets", media.len());
        let number = |media: &Value, field: &str| media["media"][field].as_str().unwrap().parse::<i64>().unwrap();
        for pair in media.windows(2) {
            assert_eq!(number(&pair[1], "chunk"), number(&pair[0], "chunk") + 1);
            assert_eq!(number(&pair[1], "timestamp"), number(&pair[0], "timestamp") + 960);
        }
        let first = number(&media[0], "timestamp");
        assert!((0..4800).contains(&first), "0 is when the WebSocket opened: {first}");
        let last = &media[media.len() - 1]["media"];
        assert_eq!((&last["audioLevel"], &last["vad"]), (&json!(30), &json!(true)));
        let numbers: Vec<u64> =
            events.iter().map(|event| event["sequenceNumber"].as_str().unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>());
        let payload = {
            use base64::Engine;
            let text = media[5]["media"]["payload"].as_str().unwrap();
            base64::engine::general_purpose::STANDARD.decode(text).unwrap()
        };
        assert_eq!(origin(&payload).0, world.clients[0].microphone.ssrc);
        // Others hear each other as before.
        let ssrc = world.clients[0].microphone.ssrc;
        world.clients[1].stream(ssrc).check_audio();
    }
}

fn tags_owner(start: &Value) -> String {
    start["start"]["tag"].as_str().unwrap().trim_end_matches("-a0").to_owned()
}

#[test]
fn only_what_is_named_is_sent_and_nothing_after_the_end() {
    let mut world = World::connected(5, 3);
    let named = Connect { exports: vec![name("0000a001-a0")], ..connect("a") };
    world.set_connects(vec![named.clone(), Connect { audio: false, ..connect("deaf") }]).unwrap();
    let mut exporters = world.take_exporters();
    let mut heard = |world: &mut World, at: usize| {
        world.run(100);
        let events = exporters[at].take();
        let tags = events.iter().filter_map(|event| event["media"]["tag"].as_str().map(str::to_owned));
        tags.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(heard(&mut world, 0), ["0000a001-a0"]);
    assert_eq!(heard(&mut world, 1), [""; 0]);
    let others = Connect { create: false, exports: vec![name("0000a000-a0"), name("0000a002-a0")], ..named.clone() };
    world.set_connects(vec![others]).unwrap();
    heard(&mut world, 0);
    assert_eq!(heard(&mut world, 0), ["0000a000-a0", "0000a002-a0"]);
    // Who comes later is heard too, where all are.
    world.set_connects(vec![Connect { create: false, expire: true, ..named }]).unwrap();
    heard(&mut world, 0);
    assert_eq!(heard(&mut world, 0), [""; 0]);
}

#[test]
fn one_that_does_not_read_loses_packets_and_nobody_else_does() {
    let mut world = World::connected(6, 2);
    world.set_connects(vec![connect("a")]).unwrap();
    let mut exporter = world.take_exporters().remove(0);
    world.run(5000);
    assert!(exporter.new.queue.take_lost() > 300);
    let waited = of(&exporter.take(), "media").len();
    assert!(waited <= 64, "{waited}");
    let ssrc = world.clients[0].microphone.ssrc;
    world.clients[1].stream(ssrc).check_audio();
    // It takes more from then on.
    world.run(500);
    assert!(of(&exporter.take(), "media").len() >= 48);
}

#[test]
fn who_comes_later_is_heard_and_told_apart_where_that_is_wanted() {
    let mut world = World::connected(7, 1);
    world.set_connects(vec![connect("a")]).unwrap();
    let mut exporter = world.take_exporters().remove(0);
    let mut request = create_request(&"0000a001".parse().unwrap());
    request.diarize = true;
    request.media = super::world::media(world.feedback);
    let mut client = super::client::Client::new(1, world.now);
    let answer = world.modify(request).unwrap();
    client.peer.take_description(&answer.endpoints[0].transport.clone().unwrap().ice.unwrap(), world.now);
    world.clients.push(client);
    world.announce(1);
    world.run(2000);
    let starts = of(&exporter.take(), "start");
    let marks: Vec<_> = starts.iter().map(|start| (tags_owner(start), start["start"]["diarize"].clone())).collect();
    assert!(marks.contains(&("0000a001".to_owned(), json!(true))), "{marks:?}");
    assert!(marks.contains(&("0000a000".to_owned(), Value::Null)), "{marks:?}");
}

#[test]
fn results_of_a_transcriber_go_to_everybody() {
    let mut world = World::connected(8, 2);
    world.set_connects(vec![connect("a")]).unwrap();
    let exporter = world.take_exporters().remove(0);
    let result = json!({ "transcript": [{ "text": "hello" }], "language": "en" });
    world.exporter_says(exporter.id(), ExporterEvent::TranscriptionResult(result.as_object().unwrap().clone()));
    world.run(200);
    for client in &world.clients {
        let told = client.messages().into_iter().find_map(|message| {
            if let BridgeMessage::EndpointMessage(message) = message { Some(message) } else { None }
        });
        let told = told.unwrap();
        assert_eq!((told.to.as_str(), told.from.unwrap().as_str()), ("", "transcriber"));
        assert_eq!(
            told.fields["msgPayload"],
            json!({ "event": "transcription-result", "transcript": [{ "text": "hello" }], "language": "en" })
        );
    }
    world.exporter_says(ExporterId(999), ExporterEvent::TranscriptionResult(result.as_object().unwrap().clone()));
}

/// A translation of the first client, and its SSRC.
pub(super) fn translate(world: &mut World) -> u32 {
    let ssrc = world.clients[0].microphone.ssrc + 20;
    world.clients[0].translations.push(("de", ssrc));
    world.update_sources(0);
    ssrc
}

pub(super) fn audio(seq: u16, language: &str) -> ExporterEvent {
    let payload = vec![seq as u8; 60];
    let audio = InjectedAudio { seq, timestamp: u32::from(seq) * 960, payload };
    ExporterEvent::Audio { source: name(&format!("0000a000-a0.{language}")), audio }
}

pub(super) fn include(client: &mut super::client::Client, include: &[&str]) {
    let include = include.iter().map(|text| name(text)).collect();
    client.send_text(&ClientMessage::ReceiverAudioSubscription(ReceiverAudioSubscription {
        all: true,
        include,
        exclude: Vec::new(),
    }));
}

#[test]
fn a_translation_goes_to_those_who_ask_for_it_by_name() {
    for seed in 0..3 {
        let mut world = World::connected(10 + seed, 3);
        world.set_connects(vec![connect("all")]).unwrap();
        let ssrc = translate(&mut world);
        let mut exporter = world.take_exporters().remove(0);
        include(&mut world.clients[1], &["0000a000-a0.de"]);
        world.run(200);
        for seq in 0..50_u16 {
            world.exporter_says(exporter.id(), audio(seq.wrapping_add(65_520), "de"));
            world.exporter_says(exporter.id(), audio(seq, "fr"));
            world.run(20);
        }
        world.run(100);
        let heard = world.clients[1].stream(ssrc);
        assert_eq!((heard.packets.len(), heard.missing().len()), (50, 0));
        assert!(!world.clients[2].incoming.contains_key(&ssrc) && !world.clients[0].incoming.contains_key(&ssrc));
        let events = exporter.take();
        assert!(events.iter().all(|event| event["media"]["tag"] != "0000a000-a0.de"), "it does not go back");
        // The speaker may listen too.
        include(&mut world.clients[0], &["0000a000-a0.de"]);
        world.run(200);
        for seq in 34..60_u16 {
            world.exporter_says(exporter.id(), audio(seq, "de"));
            world.run(20);
        }
        world.run(100);
        assert!(world.clients[0].stream(ssrc).packets.len() >= 26);
        let begin = ExporterEvent::Sending { source: name("0000a000-a0.de"), sending: true, timestamp: 7 };
        world.exporter_says(exporter.id(), begin);
        let unknown = ExporterEvent::Sending { source: name("0000a000-a0.fr"), sending: true, timestamp: 8 };
        world.exporter_says(exporter.id(), unknown);
        world.run(200);
        let texts = &world.clients[2].peer.texts;
        let told: Vec<_> = texts.iter().filter(|text| text.contains("SyntheticSourceSendingChangeEvent")).collect();
        assert_eq!(
            told,
            [
                r#"{"colibriClass":"SyntheticSourceSendingChangeEvent","sourceName":"0000a000-a0.de","sending":true,"timestamp":7}"#
            ]
        );
        // It is gone with the wish for it.
        world.clients[0].translations.clear();
        world.update_sources(0);
        let before = world.clients[1].stream(ssrc).packets.len();
        world.exporter_says(exporter.id(), audio(61, "de"));
        world.run(100);
        assert_eq!(world.clients[1].stream(ssrc).packets.len(), before);
    }
}
