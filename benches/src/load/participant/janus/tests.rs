//! A conversation with a server that says what Janus 1.1.2 says.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use xmpp::jingle::IceTransport;

use super::super::sdp::tests::JANUS_OFFER;
use super::*;
use crate::load::participant::LocalSource;
use crate::load::scenario::{Scenario, View};

struct Script {
    signaling: JanusSignaling,
    now: Instant,
}

impl Script {
    #[expect(clippy::disallowed_methods, reason = "virtual time has to begin somewhere")]
    fn new(sends: bool, view: View) -> Self {
        let now = Instant::now();
        let settings = JanusSettings {
            room: 7,
            participants: 4,
            nick: "0000000a".to_owned(),
            sends,
            codec: VideoCodec::Vp8,
            wishes: Wishes::new(&Scenario { view, participants: 4, ..Scenario::default() }),
        };
        Self { signaling: JanusSignaling::new(settings, now), now }
    }

    fn says(&mut self, message: &Value) -> Result<(), Failure> {
        self.signaling.handle_frame(self.now, &message.to_string())
    }

    fn room_says(&mut self, handle: u64, data: &Value, jsep: Option<&str>) -> Result<(), Failure> {
        let plugindata = json!({ "plugin": "janus.plugin.videoroom", "data": data });
        let mut message = json!({ "janus": "event", "session_id": 11, "sender": handle, "plugindata": plugindata });
        if let Some(sdp) = jsep {
            let kind = if handle == PUBLISHER { "answer" } else { "offer" };
            message["jsep"] = json!({ "type": kind, "sdp": sdp });
        }
        self.says(&message)
    }

    /// What is sent next, without what is told by the transaction.
    fn sent(&mut self) -> Value {
        let mut message: Value = serde_json::from_str(&self.signaling.poll_frame().expect("a frame")).unwrap();
        assert!(message.as_object_mut().unwrap().remove("transaction").is_some_and(|id| id.is_string()));
        message
    }

    fn request(&mut self, handle: u64) -> Value {
        let mut message = self.sent();
        assert_eq!((&message["janus"], &message["session_id"]), (&json!("message"), &json!(11)));
        assert_eq!(message["handle_id"], json!(handle));
        message["body"].take()
    }

    fn event(&mut self) -> SignalingEvent {
        self.signaling.poll_event().expect("an event")
    }

    fn is_quiet(&mut self) -> bool {
        self.signaling.poll_frame().is_none() && self.signaling.poll_event().is_none()
    }

    /// Until it is in the room, where others are.
    fn join(&mut self, publishers: &Value) {
        assert_eq!(self.sent(), json!({ "janus": "create" }));
        self.says(&json!({ "janus": "success", "data": { "id": 11 } })).unwrap();
        assert_eq!(self.sent()["plugin"], "janus.plugin.videoroom");
        self.says(&json!({ "janus": "success", "session_id": 11, "data": { "id": PUBLISHER } })).unwrap();
        assert_eq!(self.event(), SignalingEvent::LoggedIn);
        let create = self.request(PUBLISHER);
        assert_eq!(
            (&create["request"], &create["room"], &create["publishers"]),
            (&json!("create"), &json!(7), &json!(4))
        );
        // The room is there already.
        let exists = json!({ "videoroom": "event", "error_code": 427, "error": "Room 7 already exists" });
        self.says(&json!({ "janus": "success", "sender": PUBLISHER, "plugindata": { "data": exists } })).unwrap();
        assert_eq!(self.event(), SignalingEvent::ConferenceReady);
        let join = json!({ "request": "join", "ptype": "publisher", "room": 7, "display": "0000000a" });
        assert_eq!(self.request(PUBLISHER), join);
        self.says(&json!({ "janus": "ack", "session_id": 11 })).unwrap();
        let joined = json!({ "videoroom": "joined", "room": 7, "id": 100, "private_id": 1, "publishers": publishers,
            "attendees": [{ "id": 300, "display": "0000000c" }] });
        self.room_says(PUBLISHER, &joined, None).unwrap();
        assert_eq!(self.event(), SignalingEvent::Joined { nick: "0000000a".to_owned() });
    }

    fn attach_subscriber(&mut self) {
        assert_eq!(self.sent()["janus"], "attach");
        self.says(&json!({ "janus": "success", "session_id": 11, "data": { "id": SUBSCRIBER } })).unwrap();
    }
}

const PUBLISHER: u64 = 21;
const SUBSCRIBER: u64 = 22;

fn bob() -> Value {
    json!({ "id": 200, "display": "0000000b", "streams": [{ "type": "audio", "mid": "0" }, { "type": "video", "mid": "1" }] })
}

/// What a subscriber gets of him.
fn streams_of_bob() -> Value {
    let stream = |kind: &str, mid: &str, name: &str| json!({ "type": kind, "mid": mid, "feed_id": 200, "feed_display": "0000000b", "feed_description": name });
    json!([stream("audio", "0", "0000000b-a0"), stream("video", "1", "0000000b-v0")])
}

fn offer() -> SessionDescription {
    let mut random = SmallRng::seed_from_u64(1);
    let endpoint: EndpointId = "0000000a".parse().unwrap();
    let camera = LocalSource::new(MediaKind::Camera, &endpoint, 3, &mut random).unwrap();
    SessionDescription::offer(IceTransport::default(), &[camera], VideoCodec::Vp8)
}

#[test]
fn a_participant_sends_and_gets_what_others_send() {
    let mut script = Script::new(true, View::Tile);
    script.join(&json!([bob()]));
    assert_eq!(script.event(), SignalingEvent::Senders { audio: true, video: true });
    assert_eq!(script.event(), SignalingEvent::Publish);
    script.signaling.publish(script.now, &offer());
    script.attach_subscriber();
    let publish = script.sent();
    let description = json!([{ "mid": "0", "description": "0000000a-v0" }]);
    assert_eq!((&publish["body"]["request"], &publish["body"]["descriptions"]), (&json!("publish"), &description));
    assert_eq!((&publish["jsep"]["type"], &publish["jsep"]["sdp"]), (&json!("offer"), &json!(offer().to_string())));
    let join = json!({ "request": "join", "ptype": "subscriber", "room": 7, "streams": [{ "feed": 200 }] });
    assert_eq!(script.request(SUBSCRIBER), join);
    let answer = offer().answer(IceTransport::default()).to_string();
    script.room_says(PUBLISHER, &json!({ "videoroom": "event", "configured": "ok" }), Some(&answer)).unwrap();
    assert!(matches!(script.event(), SignalingEvent::Published(_)));
    let attached = json!({ "videoroom": "attached", "room": 7, "streams": streams_of_bob() });
    script.room_says(SUBSCRIBER, &attached, Some(JANUS_OFFER)).unwrap();
    let SignalingEvent::Subscribe { offer, sources } = script.event() else { panic!("an offer") };
    let seen: Vec<_> = sources.iter().map(|source| (source.name.as_str(), source.ssrc.0, source.kind)).collect();
    let audio = ("0000000b-a0", 2_724_853_812, MediaKind::Audio);
    assert_eq!(seen, [audio, ("0000000b-v0", 3_007_311_437, MediaKind::Camera)]);
    script.signaling.subscribe(script.now, &offer.answer(IceTransport::default()));
    let start = script.sent();
    assert_eq!((&start["body"], &start["jsep"]["type"]), (&json!({ "request": "start" }), &json!("answer")));
    // Four in tiles: 360 lines, the second of three layers.
    let layers = json!([{ "mid": "1", "substream": 1, "temporal": 2 }]);
    assert_eq!(script.request(SUBSCRIBER), json!({ "request": "configure", "streams": layers }));
    assert!(script.is_quiet() && !script.signaling.is_alone());
}

#[test]
fn who_comes_while_an_offer_is_awaited_is_asked_for_afterwards() {
    let mut script = Script::new(false, View::Tile);
    script.join(&json!([bob()]));
    assert_eq!(script.event(), SignalingEvent::Senders { audio: true, video: true });
    script.attach_subscriber();
    script.request(SUBSCRIBER);
    for id in [201, 202] {
        let publisher = json!([{ "id": id, "display": format!("00000{id}"), "streams": [] }]);
        script
            .room_says(PUBLISHER, &json!({ "videoroom": "event", "room": 7, "publishers": publisher }), None)
            .unwrap();
    }
    assert!(script.is_quiet());
    let attached = json!({ "videoroom": "attached", "room": 7, "streams": streams_of_bob() });
    script.room_says(SUBSCRIBER, &attached, Some(JANUS_OFFER)).unwrap();
    let SignalingEvent::Subscribe { offer, .. } = script.event() else { panic!("an offer") };
    script.signaling.subscribe(script.now, &offer.answer(IceTransport::default()));
    assert_eq!(script.request(SUBSCRIBER)["request"], "start");
    assert_eq!(script.request(SUBSCRIBER)["request"], "configure");
    let subscribe = json!({ "request": "subscribe", "streams": [{ "feed": 201 }, { "feed": 202 }] });
    assert_eq!(script.request(SUBSCRIBER), subscribe);
    // Both are gone again: there is nothing to offer.
    script.room_says(SUBSCRIBER, &json!({ "videoroom": "updated", "room": 7, "streams": [] }), None).unwrap();
    script.room_says(PUBLISHER, &json!({ "videoroom": "event", "room": 7, "leaving": 202 }), None).unwrap();
    assert_eq!(script.event(), SignalingEvent::OccupantLeft { nick: "00000202".to_owned() });
    script.now += ANSWER_TIMEOUT;
    script.signaling.handle_timeout(script.now).unwrap();
}

#[test]
fn the_speaker_is_large_on_stage() {
    let mut script = Script::new(false, View::Stage);
    script.join(&json!([bob()]));
    script.event();
    script.attach_subscriber();
    script.request(SUBSCRIBER);
    let attached = json!({ "videoroom": "attached", "room": 7, "streams": streams_of_bob() });
    script.room_says(SUBSCRIBER, &attached, Some(JANUS_OFFER)).unwrap();
    let SignalingEvent::Subscribe { offer, .. } = script.event() else { panic!("an offer") };
    script.signaling.subscribe(script.now, &offer.answer(IceTransport::default()));
    script.request(SUBSCRIBER);
    assert_eq!(script.request(SUBSCRIBER)["streams"][0]["substream"], 0);
    script.room_says(PUBLISHER, &json!({ "videoroom": "talking", "room": 7, "id": 200 }), None).unwrap();
    assert_eq!(script.event(), SignalingEvent::Speaker("0000000b".parse().unwrap()));
    assert_eq!(script.request(SUBSCRIBER)["streams"][0]["substream"], 2);
}

#[test]
fn candidates_belong_to_the_connection_of_their_handle() {
    let mut script = Script::new(false, View::Tile);
    script.join(&json!([]));
    script.event();
    for (handle, leg) in [(PUBLISHER, Leg::Own), (SUBSCRIBER, Leg::Offered)] {
        let candidate = json!({ "sdpMid": "0", "candidate": "candidate:1 1 udp 7 10.0.0.1 5000 typ host" });
        script.says(&json!({ "janus": "trickle", "sender": handle, "candidate": candidate })).unwrap();
        script.says(&json!({ "janus": "trickle", "sender": handle, "candidate": { "completed": true } })).unwrap();
        assert!(matches!(script.event(), SignalingEvent::Candidate(of, _) if of == leg));
    }
    assert!(script.is_quiet());
}

#[test]
fn refusals_are_told_by_what_was_asked_for() {
    let refuse = json!({ "janus": "error", "error": { "code": 460, "reason": "No such plugin" } });
    let mut early = Script::new(true, View::Tile);
    assert_eq!(early.says(&refuse).unwrap_err().cause, FailureCause::NotXmpp);
    early.says(&json!({ "janus": "success", "data": { "id": 11 } })).unwrap();
    let failure = early.says(&refuse).unwrap_err();
    assert_eq!(failure.cause, FailureCause::Authentication);
    assert!(failure.detail.contains("No such plugin (460)"), "{failure}");
    let mut joined = Script::new(true, View::Tile);
    joined.join(&json!([]));
    let full = json!({ "videoroom": "event", "error_code": 432, "error": "Maximum number of publishers reached" });
    assert_eq!(joined.room_says(PUBLISHER, &full, None).unwrap_err().cause, FailureCause::InvalidOffer);
    let hangup = json!({ "janus": "hangup", "sender": PUBLISHER, "reason": "ICE failed" });
    assert_eq!(joined.says(&hangup).unwrap_err().cause, FailureCause::SessionTerminated);
    assert_eq!(joined.signaling.handle_frame(joined.now, "<open/>").unwrap_err().cause, FailureCause::NotXmpp);
}

#[test]
fn silence_is_noticed() {
    let mut script = Script::new(true, View::Tile);
    let deadline = script.signaling.poll_timeout();
    assert_eq!(script.signaling.handle_timeout(deadline).unwrap_err().cause, FailureCause::NotXmpp);
    let mut joined = Script::new(false, View::Tile);
    joined.join(&json!([]));
    for acknowledged in [true, false] {
        joined.now = joined.signaling.poll_timeout();
        joined.signaling.handle_timeout(joined.now).unwrap();
        assert_eq!(joined.sent(), json!({ "janus": "keepalive", "session_id": 11 }));
        if acknowledged {
            joined.says(&json!({ "janus": "ack" })).unwrap();
        }
    }
    joined.now = joined.signaling.poll_timeout();
    assert_eq!(joined.signaling.handle_timeout(joined.now).unwrap_err().cause, FailureCause::ConnectionLost);
}

#[test]
fn the_last_farewell_takes_the_room_along() {
    for (farewell, requests) in [(Farewell::ForNow, &["leave"][..]), (Farewell::ForGood, &["leave", "destroy"])] {
        let mut script = Script::new(false, View::Tile);
        script.join(&json!([]));
        script.signaling.leave(farewell);
        for request in requests {
            assert_eq!(script.request(PUBLISHER)["request"], *request);
        }
        // Somebody else was quicker.
        let gone = json!({ "videoroom": "event", "error_code": 426, "error": "No such room" });
        script.room_says(PUBLISHER, &gone, None).unwrap();
        script.says(&json!({ "janus": "hangup", "sender": PUBLISHER, "reason": "Close PC" })).unwrap();
    }
}
