//! Messages of Janus's JSON API and of its video room, as far as a participant needs them (janus.conf.meetecho.com/docs:
//! "JavaScript API" and "VideoRoom plugin", 1.x).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A session description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Jsep {
    #[serde(rename = "type")]
    pub(super) kind: JsepKind,
    pub(super) sdp: String,
    /// Ours have all candidates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trickle: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum JsepKind {
    Offer,
    Answer,
}

/// What Janus says. What is not known is passed over.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    /// `success`, `ack`, `event`, `error`, `trickle`, `hangup`, …
    pub(super) janus: String,
    /// The handle that it comes from.
    #[serde(default)]
    pub(super) sender: Option<u64>,
    #[serde(default)]
    pub(super) data: Option<Identifier>,
    #[serde(default)]
    pub(super) error: Option<ApiError>,
    #[serde(default)]
    pub(super) plugindata: Option<PluginData>,
    #[serde(default)]
    pub(super) jsep: Option<Jsep>,
    #[serde(default)]
    pub(super) candidate: Option<Trickled>,
    /// Of a hangup.
    #[serde(default)]
    pub(super) reason: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Identifier {
    pub(super) id: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct ApiError {
    pub(super) code: i64,
    #[serde(default)]
    pub(super) reason: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct PluginData {
    #[serde(default)]
    pub(super) data: RoomEvent,
}

/// A candidate, or the word that there are no more.
#[derive(Debug, Deserialize)]
pub(super) struct Trickled {
    #[serde(default)]
    pub(super) candidate: Option<String>,
}

/// What the video room says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RoomEvent {
    /// `created`, `joined`, `attached`, `updated`, `event`, `talking`, …
    #[serde(default)]
    pub(super) videoroom: String,
    #[serde(default)]
    pub(super) error_code: Option<i64>,
    #[serde(default)]
    pub(super) error: Option<String>,
    /// Our own, or that of who talks.
    #[serde(default)]
    pub(super) id: Option<u64>,
    /// Those who send, all or new ones.
    #[serde(default)]
    pub(super) publishers: Vec<Occupant>,
    /// Those who only receive.
    #[serde(default)]
    pub(super) attendees: Vec<Occupant>,
    /// Somebody who came, with `notify_joining`.
    #[serde(default)]
    pub(super) joining: Option<Occupant>,
    /// Who left: an id, or `ok` of ourselves.
    #[serde(default)]
    pub(super) leaving: Option<Value>,
    /// Who was thrown out.
    #[serde(default)]
    pub(super) kicked: Option<Value>,
    /// What a subscriber gets.
    #[serde(default)]
    pub(super) streams: Vec<Stream>,
}

/// Somebody in the room.
#[derive(Debug, Deserialize)]
pub(super) struct Occupant {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) display: Option<String>,
    #[serde(default)]
    pub(super) streams: Vec<Stream>,
}

/// A stream that somebody sends, or that a subscriber gets.
#[derive(Debug, Deserialize)]
pub(super) struct Stream {
    /// `audio`, `video`, `data`.
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) mid: String,
    /// Whose it is, for a subscriber.
    #[serde(default)]
    pub(super) feed_display: Option<String>,
    /// The name of the source, as its sender gave it.
    #[serde(default)]
    pub(super) feed_description: Option<String>,
}

/// A request to the room.
#[derive(Debug)]
pub(super) enum Request<'a> {
    /// A room that goes with us. One that is there already is as good.
    Create {
        room: u64,
        publishers: usize,
        codec: &'static str,
        tells_speakers: bool,
    },
    Destroy {
        room: u64,
    },
    JoinAsPublisher {
        room: u64,
        display: &'a str,
    },
    /// Mid and source name of each m-line.
    Publish {
        display: &'a str,
        names: &'a [(String, String)],
    },
    JoinAsSubscriber {
        room: u64,
        feeds: &'a [u64],
    },
    Subscribe {
        feeds: &'a [u64],
    },
    /// Took an offer.
    Start,
    /// Mid and best substream of each video.
    Configure {
        substreams: &'a [(String, usize)],
    },
    Leave,
}

impl Request<'_> {
    pub(super) fn to_json(&self) -> Value {
        let feeds = |feeds: &[u64]| feeds.iter().map(|feed| json!({ "feed": feed })).collect::<Vec<_>>();
        match self {
            Self::Create { room, publishers, codec, tells_speakers } => json!({
                "request": "create", "room": room, "permanent": false, "is_private": true, "publishers": publishers,
                "audiocodec": "opus", "videocodec": codec, "bitrate": 0, "fir_freq": 0, "notify_joining": true,
                "audiolevel_event": tells_speakers,
            }),
            Self::Destroy { room } => json!({ "request": "destroy", "room": room }),
            Self::JoinAsPublisher { room, display } => {
                json!({ "request": "join", "ptype": "publisher", "room": room, "display": display })
            }
            Self::Publish { display, names } => {
                let describe = |(mid, name): &(String, String)| json!({ "mid": mid, "description": name });
                let descriptions: Vec<_> = names.iter().map(describe).collect();
                json!({ "request": "publish", "display": display, "descriptions": descriptions })
            }
            Self::JoinAsSubscriber { room, feeds: of } => {
                json!({ "request": "join", "ptype": "subscriber", "room": room, "streams": feeds(of) })
            }
            Self::Subscribe { feeds: of } => json!({ "request": "subscribe", "streams": feeds(of) }),
            Self::Start => json!({ "request": "start" }),
            Self::Configure { substreams } => {
                let stream =
                    |(mid, substream): &(String, usize)| json!({ "mid": mid, "substream": substream, "temporal": 2 });
                json!({ "request": "configure", "streams": substreams.iter().map(stream).collect::<Vec<_>>() })
            }
            Self::Leave => json!({ "request": "leave" }),
        }
    }
}

/// `VIDEOROOM_ERROR_ROOM_EXISTS`.
pub(super) const ROOM_EXISTS: i64 = 427;
