//! A conversation with a server that says what LiveKit 1.9 says.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use xmpp::jingle::IceTransport;

use super::super::sdp::tests::JANUS_OFFER;
use super::messages::{ParticipantUpdate, Pong, Speaker, Track, TrackPublished, Trickle};
use super::*;
use crate::load::media::VideoCodec;
use crate::load::participant::LocalSource;
use crate::load::scenario::{Scenario, View};

struct Script {
    signaling: LiveKitSignaling,
    now: Instant,
}

impl Script {
    #[expect(clippy::disallowed_methods, reason = "virtual time has to begin somewhere")]
    fn new(view: View) -> Self {
        let now = Instant::now();
        let settings = LiveKitSettings {
            nick: "0000000a".to_owned(),
            sends: true,
            height: Height::H360,
            wishes: Wishes::new(&Scenario { view, participants: 4, ..Scenario::default() }),
        };
        Self { signaling: LiveKitSignaling::new(settings, now), now }
    }

    fn says(&mut self, response: &SignalResponse) -> Result<(), Failure> {
        self.signaling.handle_frame(self.now, &response.encode_to_vec())
    }

    fn sent(&mut self) -> SignalRequest {
        SignalRequest::decode(self.signaling.poll_frame().expect("a frame").as_slice()).unwrap()
    }

    fn event(&mut self) -> SignalingEvent {
        self.signaling.poll_event().expect("an event")
    }

    /// Until it is in the room, where Bob is, and may send.
    fn join(&mut self) {
        let join = Join {
            participant: Some(Participant { identity: "0000000a".to_owned(), ..Participant::default() }),
            others: vec![bob(1)],
            ping_interval: 5,
        };
        self.says(&SignalResponse { join: Some(join), ..SignalResponse::default() }).unwrap();
        assert_eq!(self.event(), SignalingEvent::LoggedIn);
        assert_eq!(self.event(), SignalingEvent::Joined { nick: "0000000a".to_owned() });
        assert_eq!(self.event(), SignalingEvent::Senders { audio: true, video: true });
        assert_eq!(self.event(), SignalingEvent::Publish);
    }

    /// Until it gets what Bob sends.
    fn subscribe(&mut self) -> Vec<RemoteSource> {
        let tracks = [("0", "TR_a"), ("1", "TR_v")].map(|(mid, track)| (mid.to_owned(), track.to_owned()));
        let offer = Description { kind: "offer".to_owned(), sdp: JANUS_OFFER.to_owned(), id: 9, tracks: tracks.into() };
        self.says(&SignalResponse { offer: Some(offer), ..SignalResponse::default() }).unwrap();
        let SignalingEvent::Subscribe { offer, sources } = self.event() else { panic!("an offer") };
        self.signaling.subscribe(&offer.answer(IceTransport::default()));
        let answer = self.sent().answer.unwrap();
        assert_eq!((answer.kind.as_str(), answer.id), ("answer", 9));
        sources
    }

    fn size_asked_for(&mut self) -> (Vec<String>, u32, u32) {
        let TrackSettings { tracks, width, height } = self.sent().track_setting.unwrap();
        (tracks, width, height)
    }
}

fn bob(state: i32) -> Participant {
    let track = |sid: &str, kind, name: &str| Track { sid: sid.to_owned(), kind, name: name.to_owned() };
    Participant {
        sid: "PA_b".to_owned(),
        identity: "0000000b".to_owned(),
        state,
        tracks: vec![track("TR_a", 0, "0000000b-a0"), track("TR_v", 1, "0000000b-v0")],
    }
}

fn offer() -> SessionDescription {
    let mut random = SmallRng::seed_from_u64(1);
    let endpoint: EndpointId = "0000000a".parse().unwrap();
    let microphone = LocalSource::new(MediaKind::Audio, &endpoint, 1, &mut random).unwrap();
    let mut camera = LocalSource::new(MediaKind::Camera, &endpoint, 2, &mut random).unwrap();
    camera.rids = &["q", "h"];
    SessionDescription::offer(IceTransport::default(), &[microphone, camera], VideoCodec::Vp8)
}

#[test]
fn requests_have_the_numbers_of_the_protocol() {
    let answer = Description { kind: "answer".to_owned(), sdp: "v=0".to_owned(), id: 3, ..Description::default() };
    let request = SignalRequest { answer: Some(answer), ..SignalRequest::default() };
    assert_eq!(request.encode_to_vec(), b"\x12\x0f\x0a\x06answer\x12\x03v=0\x18\x03");
    let settings = TrackSettings { tracks: vec!["TR".to_owned()], width: 320, height: 180 };
    let request = SignalRequest { track_setting: Some(settings), ..SignalRequest::default() };
    assert_eq!(request.encode_to_vec(), b"\x3a\x0a\x0a\x02TR\x28\xc0\x02\x30\xb4\x01");
    // A pong with fields that nobody here reads.
    let pong = SignalResponse::decode(&b"\xa2\x01\x04\x08\x01\x10\x02"[..]).unwrap();
    assert_eq!(pong, SignalResponse { pong: Some(Pong {}), ..SignalResponse::default() });
}

#[test]
fn tracks_are_told_before_they_are_offered() {
    let mut script = Script::new(View::Tile);
    script.join();
    script.signaling.publish(script.now, &offer());
    let (audio, video) = (script.sent().add_track.unwrap(), script.sent().add_track.unwrap());
    assert_eq!((audio.name.as_str(), audio.kind, audio.source, audio.layers.len()), ("0000000a-a0", 0, 2, 0));
    assert_eq!((video.name.as_str(), video.kind, video.source), ("0000000a-v0", 1, 1));
    let layers: Vec<_> = video.layers.iter().map(|layer| (layer.rid.as_str(), layer.quality, layer.height)).collect();
    assert_eq!(layers, [("q", 0, 180), ("h", 1, 360)]);
    for cid in [audio.cid, video.cid] {
        assert!(script.signaling.poll_frame().is_none());
        let sdp = offer().to_string();
        assert!(sdp.contains(&format!(" {cid}\r\n")), "{cid} in {sdp}");
        let published = TrackPublished { cid };
        script.says(&SignalResponse { track_published: Some(published), ..SignalResponse::default() }).unwrap();
    }
    let offered = script.sent().offer.unwrap();
    assert_eq!((offered.kind.as_str(), offered.sdp), ("offer", offer().to_string()));
    let sdp = offer().answer(IceTransport::default()).to_string();
    let answer = Description { kind: "answer".to_owned(), sdp, ..Description::default() };
    script.says(&SignalResponse { answer: Some(answer), ..SignalResponse::default() }).unwrap();
    assert!(matches!(script.event(), SignalingEvent::Published(_)));
}

#[test]
fn simulcast_is_offered_by_the_names_of_its_encodings() {
    let text = offer().to_string();
    let camera = text.split("m=video").nth(1).unwrap();
    for line in ["a=rid:q send", "a=rid:h send", "a=simulcast:send q;h", "sdes:rtp-stream-id", "sdes:mid"] {
        assert!(camera.contains(line), "{line} in {camera}");
    }
    assert!(!camera.contains("a=ssrc"), "{camera}");
}

#[test]
fn what_others_send_is_known_by_their_tracks() {
    let mut script = Script::new(View::Stage);
    script.join();
    let sources = script.subscribe();
    let seen: Vec<_> =
        sources.iter().map(|source| (source.name.as_str(), source.owner.as_str(), source.kind)).collect();
    let audio = ("0000000b-a0", "0000000b", MediaKind::Audio);
    assert_eq!(seen, [audio, ("0000000b-v0", "0000000b", MediaKind::Camera)]);
    assert_eq!(script.size_asked_for(), (vec!["TR_v".to_owned()], 320, 180));
    let speaker = |sid: &str| Speaker { sid: sid.to_owned(), active: true };
    let speakers = Speakers { speakers: vec![speaker("PA_a"), speaker("PA_b")] };
    script.says(&SignalResponse { speakers: Some(speakers), ..SignalResponse::default() }).unwrap();
    assert_eq!(script.event(), SignalingEvent::Speaker("0000000b".parse().unwrap()));
    assert_eq!(script.size_asked_for(), (vec!["TR_v".to_owned()], 1280, 720));
    assert!(!script.signaling.is_alone());
    let update = ParticipantUpdate { participants: vec![bob(Participant::GONE)] };
    script.says(&SignalResponse { update: Some(update), ..SignalResponse::default() }).unwrap();
    assert_eq!(script.event(), SignalingEvent::OccupantLeft { nick: "0000000b".to_owned() });
    assert!(script.signaling.is_alone());
}

#[test]
fn candidates_belong_to_the_connection_of_their_target() {
    let mut script = Script::new(View::Tile);
    for (target, leg) in [(0, Leg::Own), (1, Leg::Offered)] {
        for candidate in [r#"{"candidate":"candidate:1 1 udp 7 10.0.0.1 5000 typ host","sdpMid":"0"}"#, "{}", "no JSON"]
        {
            let trickle = Trickle { candidate: candidate.to_owned(), target };
            script.says(&SignalResponse { trickle: Some(trickle), ..SignalResponse::default() }).unwrap();
        }
        assert!(matches!(script.event(), SignalingEvent::Candidate(of, _) if of == leg));
        assert!(script.signaling.poll_event().is_none());
    }
}

#[test]
fn refusals_and_silence_are_told() {
    let mut early = Script::new(View::Tile);
    assert_eq!(early.signaling.handle_frame(early.now, b"\xff\xff").unwrap_err().cause, FailureCause::NotXmpp);
    let deadline = early.signaling.poll_timeout();
    assert_eq!(early.signaling.handle_timeout(deadline).unwrap_err().cause, FailureCause::RoomRefused);
    let mut joined = Script::new(View::Tile);
    joined.join();
    let refusal = RequestResponse { reason: 2, message: "not allowed".to_owned() };
    let refused = SignalResponse { request_response: Some(refusal), ..SignalResponse::default() };
    assert_eq!(joined.says(&refused).unwrap_err().cause, FailureCause::InvalidOffer);
    let leave = SignalResponse { leave: Some(Leave { reason: 4 }), ..SignalResponse::default() };
    assert_eq!(joined.says(&leave).unwrap_err().cause, FailureCause::SessionTerminated);
    joined.now = joined.signaling.poll_timeout();
    joined.signaling.handle_timeout(joined.now).unwrap();
    assert!(joined.sent().ping.is_some());
    joined.now = joined.signaling.poll_timeout();
    assert_eq!(joined.signaling.handle_timeout(joined.now).unwrap_err().cause, FailureCause::ConnectionLost);
    joined.signaling.leave();
    assert_eq!(joined.sent().leave, Some(Leave { reason: 1 }));
    joined.says(&leave).unwrap();
}
