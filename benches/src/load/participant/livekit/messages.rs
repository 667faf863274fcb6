//! Messages of LiveKit's signaling as far as a participant needs them, by the numbers of `livekit_rtc.proto` and
//! `livekit_models.proto` (protocol 16). A `oneof` is a struct here of which one field is there: the same on the wire.

use std::collections::HashMap;

use prost::Message;

/// What a client says.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SignalRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) offer: Option<Description>,
    #[prost(message, optional, tag = "2")]
    pub(super) answer: Option<Description>,
    #[prost(message, optional, tag = "4")]
    pub(super) add_track: Option<AddTrack>,
    #[prost(message, optional, tag = "7")]
    pub(super) track_setting: Option<TrackSettings>,
    #[prost(message, optional, tag = "8")]
    pub(super) leave: Option<Leave>,
    #[prost(message, optional, tag = "16")]
    pub(super) ping: Option<Ping>,
}

/// What a server says.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SignalResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) join: Option<Join>,
    #[prost(message, optional, tag = "2")]
    pub(super) answer: Option<Description>,
    #[prost(message, optional, tag = "3")]
    pub(super) offer: Option<Description>,
    #[prost(message, optional, tag = "4")]
    pub(super) trickle: Option<Trickle>,
    #[prost(message, optional, tag = "5")]
    pub(super) update: Option<ParticipantUpdate>,
    #[prost(message, optional, tag = "6")]
    pub(super) track_published: Option<TrackPublished>,
    #[prost(message, optional, tag = "8")]
    pub(super) leave: Option<Leave>,
    #[prost(message, optional, tag = "10")]
    pub(super) speakers: Option<Speakers>,
    #[prost(message, optional, tag = "20")]
    pub(super) pong: Option<Pong>,
    #[prost(message, optional, tag = "22")]
    pub(super) request_response: Option<RequestResponse>,
}

/// `SessionDescription`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Description {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "2")]
    pub(super) sdp: String,
    /// An answer has that of its offer.
    #[prost(uint32, tag = "3")]
    pub(super) id: u32,
    /// Tracks by m-line, where the server tells them.
    #[prost(map = "string, string", tag = "4")]
    pub(super) tracks: HashMap<String, String>,
}

/// `JoinResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Join {
    #[prost(message, optional, tag = "2")]
    pub(super) participant: Option<Participant>,
    #[prost(message, repeated, tag = "3")]
    pub(super) others: Vec<Participant>,
    /// Seconds.
    #[prost(int32, tag = "11")]
    pub(super) ping_interval: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ParticipantUpdate {
    #[prost(message, repeated, tag = "1")]
    pub(super) participants: Vec<Participant>,
}

/// `ParticipantInfo`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Participant {
    #[prost(string, tag = "1")]
    pub(super) sid: String,
    #[prost(string, tag = "2")]
    pub(super) identity: String,
    #[prost(int32, tag = "3")]
    pub(super) state: i32,
    #[prost(message, repeated, tag = "4")]
    pub(super) tracks: Vec<Track>,
}

impl Participant {
    /// `DISCONNECTED`.
    pub(super) const GONE: i32 = 3;
}

/// `TrackInfo`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Track {
    #[prost(string, tag = "1")]
    pub(super) sid: String,
    /// 0: audio, 1: video.
    #[prost(int32, tag = "2")]
    pub(super) kind: i32,
    /// The name of the source, as its sender gave it.
    #[prost(string, tag = "3")]
    pub(super) name: String,
}

/// `AddTrackRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AddTrack {
    /// The track's id in the offer.
    #[prost(string, tag = "1")]
    pub(super) cid: String,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(int32, tag = "3")]
    pub(super) kind: i32,
    #[prost(uint32, tag = "4")]
    pub(super) width: u32,
    #[prost(uint32, tag = "5")]
    pub(super) height: u32,
    /// 1: camera, 2: microphone, 3: screen.
    #[prost(int32, tag = "8")]
    pub(super) source: i32,
    #[prost(message, repeated, tag = "9")]
    pub(super) layers: Vec<Layer>,
    #[prost(bool, tag = "13")]
    pub(super) disable_red: bool,
}

/// `VideoLayer`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Layer {
    /// 0: low, 1: medium, 2: high.
    #[prost(int32, tag = "1")]
    pub(super) quality: i32,
    #[prost(uint32, tag = "2")]
    pub(super) width: u32,
    #[prost(uint32, tag = "3")]
    pub(super) height: u32,
    #[prost(string, tag = "7")]
    pub(super) rid: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackPublished {
    #[prost(string, tag = "1")]
    pub(super) cid: String,
}

/// `TrickleRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Trickle {
    /// JSON of an `RTCIceCandidateInit`.
    #[prost(string, tag = "1")]
    pub(super) candidate: String,
    /// 0: the connection of what we send, 1: of what we get.
    #[prost(int32, tag = "2")]
    pub(super) target: i32,
}

/// `UpdateTrackSettings`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackSettings {
    #[prost(string, repeated, tag = "1")]
    pub(super) tracks: Vec<String>,
    #[prost(uint32, tag = "5")]
    pub(super) width: u32,
    #[prost(uint32, tag = "6")]
    pub(super) height: u32,
}

/// `LeaveRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Leave {
    /// 1: the client wants it.
    #[prost(int32, tag = "2")]
    pub(super) reason: i32,
}

/// `SpeakersChanged`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Speakers {
    #[prost(message, repeated, tag = "1")]
    pub(super) speakers: Vec<Speaker>,
}

/// `SpeakerInfo`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Speaker {
    #[prost(string, tag = "1")]
    pub(super) sid: String,
    #[prost(bool, tag = "3")]
    pub(super) active: bool,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Ping {
    #[prost(int64, tag = "1")]
    pub(super) timestamp: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Pong {}

/// Says why a request was refused.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RequestResponse {
    #[prost(int32, tag = "2")]
    pub(super) reason: i32,
    #[prost(string, tag = "3")]
    pub(super) message: String,
}

impl RequestResponse {
    /// `OK` and `QUEUED`.
    pub(super) const FINE: [i32; 2] = [0, 4];
}
