//! What clients say to their bridge.

use std::collections::BTreeMap;

use model::{EndpointId, SourceName, VideoType};
use serde::{Deserialize, Serialize};

use super::{ChannelMessageError, EndpointMessage, EndpointStats, parse, serde_text};

/// A message of a client to its bridge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "colibriClass")]
pub enum ClientMessage {
    /// Asks for a [`super::ServerHello`] on a data channel.
    ClientHello,
    /// Which video the client wants to receive.
    ReceiverVideoConstraints(ReceiverVideoConstraints),
    /// How many videos the client wants, in the older form.
    LastNChangedEvent(LastNChangedEvent),
    /// Which audio the client wants to receive.
    ReceiverAudioSubscription(ReceiverAudioSubscription),
    /// What a video source shows.
    SourceVideoTypeMessage(SourceVideoTypeMessage),
    /// What the only video source shows; from clients without source names.
    VideoTypeMessage(VideoTypeMessage),
    /// A message to other endpoints.
    EndpointMessage(EndpointMessage),
    /// Measurements for other endpoints.
    EndpointStats(EndpointStats),
}

impl ClientMessage {
    const CLASSES: [&'static str; 8] = [
        "ClientHello",
        "ReceiverVideoConstraints",
        "LastNChangedEvent",
        "ReceiverAudioSubscription",
        "SourceVideoTypeMessage",
        "VideoTypeMessage",
        "EndpointMessage",
        "EndpointStats",
    ];

    /// Reads a message.
    ///
    /// # Errors
    /// [`ChannelMessageError`]; the channel stays open, the message is dropped.
    pub fn parse(text: &str) -> Result<Self, ChannelMessageError> {
        parse(text, &Self::CLASSES)
    }

    /// The message as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Maps have text keys and no writer fails: there is no case left in which serialization can.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Which video a client wants. An absent field keeps what was said before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReceiverVideoConstraints {
    /// How many videos at most; -1 for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_n: Option<i32>,
    /// Sources that come first.
    #[serde(with = "serde_text::optional_list", skip_serializing_if = "Option::is_none")]
    pub selected_sources: Option<Vec<SourceName>>,
    /// Sources that come before the selected ones and are shown large.
    #[serde(with = "serde_text::optional_list", skip_serializing_if = "Option::is_none")]
    pub on_stage_sources: Option<Vec<SourceName>>,
    /// For sources that `constraints` does not list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_constraints: Option<VideoConstraints>,
    /// By source name.
    #[serde(with = "serde_text::optional_by_source", skip_serializing_if = "Option::is_none")]
    pub constraints: Option<BTreeMap<SourceName, VideoConstraints>>,
    /// Bandwidth to assume instead of the estimate, in bit/s; -1 for the estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assumed_bandwidth_bps: Option<i64>,
}

/// The best picture that a client can use of one source.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoConstraints {
    /// Lines; 0 for nothing, -1 for no limit.
    pub max_height: i32,
    /// Frames a second; absent or -1 for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_frame_rate: Option<f64>,
}

/// How many videos a client wants, without saying more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastNChangedEvent {
    /// How many videos at most; -1 for all.
    pub last_n: i32,
}

/// Which audio a client wants: what `exclude` lists is out, then what `include` lists is in, the rest follows `all`.
///
/// The older form with `mode` and `list` is read too and turned into this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WireAudioSubscription")]
pub struct ReceiverAudioSubscription {
    /// Whether sources that neither list has are received.
    pub all: bool,
    /// Sources to receive.
    #[serde(with = "serde_text::list")]
    pub include: Vec<SourceName>,
    /// Sources not to receive.
    #[serde(with = "serde_text::list")]
    pub exclude: Vec<SourceName>,
}

/// Both forms of a subscription on the wire.
#[derive(Deserialize)]
struct WireAudioSubscription {
    all: Option<bool>,
    #[serde(default, with = "serde_text::list")]
    include: Vec<SourceName>,
    #[serde(default, with = "serde_text::list")]
    exclude: Vec<SourceName>,
    mode: Option<AudioMode>,
    #[serde(default, with = "serde_text::list")]
    list: Vec<SourceName>,
}

#[derive(Clone, Copy, Deserialize)]
enum AudioMode {
    #[serde(alias = "all", alias = "ALL")]
    All,
    #[serde(alias = "none", alias = "NONE")]
    None,
    #[serde(alias = "include", alias = "INCLUDE")]
    Include,
    #[serde(alias = "exclude", alias = "EXCLUDE")]
    Exclude,
}

impl From<WireAudioSubscription> for ReceiverAudioSubscription {
    fn from(wire: WireAudioSubscription) -> Self {
        match (wire.all, wire.mode) {
            (None, Some(AudioMode::All)) => Self { all: true, include: Vec::new(), exclude: Vec::new() },
            (None, Some(AudioMode::None)) => Self { all: false, include: Vec::new(), exclude: Vec::new() },
            (None, Some(AudioMode::Include)) => Self { all: false, include: wire.list, exclude: Vec::new() },
            (None, Some(AudioMode::Exclude)) => Self { all: true, include: Vec::new(), exclude: wire.list },
            (all, _) => Self { all: all.unwrap_or(false), include: wire.include, exclude: wire.exclude },
        }
    }
}

/// What a video source shows; `none` while it is muted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceVideoTypeMessage {
    /// What it shows.
    #[serde(with = "serde_text::video_type")]
    pub video_type: VideoType,
    /// The source.
    #[serde(with = "serde_text")]
    pub source_name: SourceName,
    /// The source's owner, set by a bridge before it tells other bridges.
    #[serde(default, with = "serde_text::optional", skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<EndpointId>,
}

/// What the only video source of a client shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoTypeMessage {
    /// What it shows.
    #[serde(with = "serde_text::video_type")]
    pub video_type: VideoType,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ClientMessage {
        ClientMessage::parse(text).unwrap()
    }

    #[test]
    fn reads_constraints_and_tells_absent_from_empty() {
        let text = r#"{"colibriClass":"ReceiverVideoConstraints","lastN":20,"selectedSources":[],"onStageSources":
            ["ee22aa11-v0","a b"],"defaultConstraints":{"maxHeight":180},"constraints":{"ee22aa11-v0":{"maxHeight":720,
            "maxFrameRate":30},"":{"maxHeight":1}},"assumedBandwidthBps":-1,"newField":{"a":[1]}}"#;
        let ClientMessage::ReceiverVideoConstraints(constraints) = read(text) else { panic!("another class") };
        let source: SourceName = "ee22aa11-v0".parse().unwrap();
        assert_eq!(constraints.on_stage_sources, Some(vec![source.clone()]));
        assert_eq!(constraints.selected_sources, Some(Vec::new()));
        let wanted = VideoConstraints { max_height: 720, max_frame_rate: Some(30.0) };
        assert_eq!(constraints.constraints, Some(BTreeMap::from([(source, wanted)])));
        let nothing = ReceiverVideoConstraints::default();
        assert_eq!(
            read(r#"{"colibriClass":"ReceiverVideoConstraints"}"#),
            ClientMessage::ReceiverVideoConstraints(nothing)
        );
    }

    #[test]
    fn reads_both_forms_of_an_audio_subscription() {
        let subscription = |fields: &str| {
            let text = format!(r#"{{"colibriClass":"ReceiverAudioSubscription"{fields}}}"#);
            let ClientMessage::ReceiverAudioSubscription(subscription) = read(&text) else { panic!("another class") };
            let name = |names: &[SourceName]| names.iter().map(SourceName::to_string).collect::<Vec<_>>().join(",");
            (subscription.all, name(&subscription.include), name(&subscription.exclude))
        };
        let expect = |all, include: &str, exclude: &str| (all, include.to_owned(), exclude.to_owned());
        assert_eq!(subscription(r#","all":true,"include":[],"exclude":["a-a0"]"#), expect(true, "", "a-a0"));
        assert_eq!(subscription(r#","all":false,"include":["b-a0"]"#), expect(false, "b-a0", ""));
        assert_eq!(subscription(r#","mode":"All","list":[]"#), expect(true, "", ""));
        assert_eq!(subscription(r#","mode":"None""#), expect(false, "", ""));
        assert_eq!(subscription(r#","mode":"Include","list":["c-a0"]"#), expect(false, "c-a0", ""));
        assert_eq!(subscription(r#","mode":"EXCLUDE","list":["d-a0"]"#), expect(true, "", "d-a0"));
    }

    #[test]
    fn keeps_every_field_of_a_message_to_others() {
        let text = r#"{"colibriClass":"EndpointMessage","to":"","from":"spoofed","msgPayload":{"a":1},"x":[true]}"#;
        let ClientMessage::EndpointMessage(mut message) = read(text) else { panic!("another class") };
        assert_eq!(message.fields.keys().collect::<Vec<_>>(), ["msgPayload", "x"]);
        message.from = Some("a1b2c3d4".parse().unwrap());
        let again = ClientMessage::EndpointMessage(message);
        assert_eq!(read(&again.to_json()), again);
        assert!(again.to_json().contains(r#""from":"a1b2c3d4""#));
    }

    #[test]
    fn reads_what_it_wrote() {
        for text in [
            r#"{"colibriClass":"ClientHello"}"#,
            r#"{"colibriClass":"LastNChangedEvent","lastN":-1}"#,
            r#"{"colibriClass":"SourceVideoTypeMessage","videoType":"desktop_high_fps","sourceName":"a-v1"}"#,
            r#"{"colibriClass":"VideoTypeMessage","videoType":"none"}"#,
            r#"{"colibriClass":"EndpointStats","bitrate":{"upload":1},"jvbRTT":12.5}"#,
            r#"{"colibriClass":"EndpointMessage","to":"","msgPayload":1.2555555555555555e+194}"#,
            r#"{"colibriClass":"ReceiverAudioSubscription","all":true,"include":[],"exclude":["a-a0"]}"#,
        ] {
            assert_eq!(read(text).to_json(), text);
        }
    }

    #[test]
    fn refuses_an_unknown_video_type_and_a_name_that_is_none() {
        for bad in [
            r#"{"colibriClass":"VideoTypeMessage","videoType":"hologram"}"#,
            r#"{"colibriClass":"SourceVideoTypeMessage","videoType":"camera","sourceName":"a b"}"#,
            r#"{"colibriClass":"SourceVideoTypeMessage","videoType":"camera"}"#,
        ] {
            assert!(matches!(ClientMessage::parse(bad), Err(ChannelMessageError::InvalidFields { .. })), "{bad}");
        }
    }
}
