//! What a bridge says to clients.

use model::{EndpointId, Mid, SourceName, Ssrc, VideoType};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    ChannelMessageError, EndpointMessage, EndpointStats, SyntheticSourceSendingChangeEvent, parse, serde_text,
};

/// A message of a bridge to a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "colibriClass")]
pub enum BridgeMessage {
    /// The channel works.
    ServerHello(ServerHello),
    /// The bandwidth towards the client.
    ConnectionStats(ConnectionStats),
    /// Another endpoint speaks.
    DominantSpeakerEndpointChangeEvent(DominantSpeakerEndpointChangeEvent),
    /// The video sources that are sent to the client.
    ForwardedSources(ForwardedSources),
    /// The largest picture of the client's own source that anyone wants.
    SenderSourceConstraints(SenderSourceConstraints),
    /// What the video SSRCs of the bridge stand for, with SSRC rewriting.
    VideoSourcesMap(VideoSourcesMap),
    /// What the audio SSRCs of the bridge stand for, with SSRC rewriting.
    AudioSourcesMap(AudioSourcesMap),
    /// A message of another endpoint.
    EndpointMessage(EndpointMessage),
    /// Measurements of another endpoint.
    EndpointStats(EndpointStats),
    /// An endpoint's transport came or went.
    EndpointConnectivityStatusChangeEvent(EndpointConnectivityStatusChangeEvent),
    /// A source that nobody sends, such as a translation, begins or ends.
    SyntheticSourceSendingChangeEvent(SyntheticSourceSendingChangeEvent),
}

impl BridgeMessage {
    const CLASSES: [&'static str; 11] = [
        "ServerHello",
        "ConnectionStats",
        "DominantSpeakerEndpointChangeEvent",
        "ForwardedSources",
        "SenderSourceConstraints",
        "VideoSourcesMap",
        "AudioSourcesMap",
        "EndpointMessage",
        "EndpointStats",
        "EndpointConnectivityStatusChangeEvent",
        "SyntheticSourceSendingChangeEvent",
    ];

    /// Reads a message.
    ///
    /// # Errors
    /// [`ChannelMessageError`] when it is none of a bridge.
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

/// The first message on a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerHello {
    /// The bridge's version, if it may be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The bandwidth towards a client, sent each 10 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionStats {
    /// Estimate in bit/s.
    pub estimated_downlink_bandwidth: u64,
}

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DominantSpeakerEndpointChangeEvent {
    /// The speaker.
    #[serde(with = "serde_text")]
    pub dominant_speaker_endpoint: EndpointId,
    /// Who spoke before, latest first, at most 10.
    #[serde(default, with = "serde_text::list")]
    pub previous_speakers: Vec<EndpointId>,
    /// Nobody speaks now.
    #[serde(default)]
    pub silence: bool,
}

/// The video sources that are sent to a client. What is not listed shows as an avatar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardedSources {
    /// In the order of forwarding.
    #[serde(with = "serde_text::list")]
    pub forwarded_sources: Vec<SourceName>,
}

/// The largest picture of a client's source that anyone wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SenderSourceConstraints {
    /// The client's source.
    #[serde(with = "serde_text")]
    pub source_name: SourceName,
    /// Lines; 0 for nothing, -1 for no limit. Always a number: clients ignore text.
    pub max_height: i32,
}

/// What the video SSRCs of a bridge stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoSourcesMap {
    /// Changed mappings.
    pub mapped_sources: Vec<VideoSourceMapping>,
}

/// One video SSRC of a bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoSourceMapping {
    /// The source that it carries now.
    #[serde(with = "serde_text")]
    pub source: SourceName,
    /// The source's owner; null while the SSRC is free.
    #[serde(with = "serde_text::optional")]
    pub owner: Option<EndpointId>,
    /// The bridge's SSRC.
    #[serde(with = "ssrc_number")]
    pub ssrc: Ssrc,
    /// SSRC of the retransmissions. None goes out as the text `"-1"`: clients take the number -1 for an SSRC.
    #[serde(with = "rtx")]
    pub rtx: Option<Ssrc>,
    /// What the source shows.
    #[serde(
        serialize_with = "serde_text::video_type::serialize_upper",
        deserialize_with = "serde_text::video_type::deserialize"
    )]
    pub video_type: VideoType,
    /// The media section, when the client demultiplexes by MID.
    #[serde(default, with = "serde_text::optional", skip_serializing_if = "Option::is_none")]
    pub mid: Option<Mid>,
}

/// What the audio SSRCs of a bridge stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AudioSourcesMap {
    /// Changed mappings.
    pub mapped_sources: Vec<AudioSourceMapping>,
}

/// One audio SSRC of a bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioSourceMapping {
    /// The source that it carries now.
    #[serde(with = "serde_text")]
    pub source: SourceName,
    /// The source's owner; null while the SSRC is free.
    #[serde(with = "serde_text::optional")]
    pub owner: Option<EndpointId>,
    /// The bridge's SSRC.
    #[serde(with = "ssrc_number")]
    pub ssrc: Ssrc,
    /// The media section, when the client demultiplexes by MID.
    #[serde(default, with = "serde_text::optional", skip_serializing_if = "Option::is_none")]
    pub mid: Option<Mid>,
}

/// An endpoint's transport came or went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointConnectivityStatusChangeEvent {
    /// The endpoint.
    #[serde(with = "serde_text")]
    pub endpoint: EndpointId,
    /// Whether it is there; text on the wire, as clients compare with `"true"`.
    #[serde(with = "serde_text::bool_text")]
    pub active: bool,
}

/// An SSRC as a JSON number.
mod ssrc_number {
    use super::{Deserialize, Deserializer, Serializer, Ssrc};

    pub(super) fn serialize<S: Serializer>(ssrc: &Ssrc, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(ssrc.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ssrc, D::Error> {
        u32::deserialize(deserializer).map(Ssrc)
    }
}

/// An SSRC as a JSON number, none as the text `"-1"`.
mod rtx {
    use super::{Deserialize, Deserializer, Serializer, Ssrc, de};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Wire {
        Number(i64),
        Text(String),
    }

    pub(super) fn serialize<S: Serializer>(ssrc: &Option<Ssrc>, serializer: S) -> Result<S::Ok, S::Error> {
        match ssrc {
            Some(ssrc) => serializer.serialize_u32(ssrc.0),
            None => serializer.serialize_str("-1"),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Ssrc>, D::Error> {
        let number = match Wire::deserialize(deserializer)? {
            Wire::Number(number) => number,
            Wire::Text(text) => text.parse().map_err(de::Error::custom)?,
        };
        match number {
            -1 => Ok(None),
            _ => u32::try_from(number).map(|ssrc| Some(Ssrc(ssrc))).map_err(de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_types_that_clients_compare() {
        for text in [
            r#"{"colibriClass":"ServerHello"}"#,
            r#"{"colibriClass":"ServerHello","version":"0.1.0"}"#,
            r#"{"colibriClass":"ConnectionStats","estimatedDownlinkBandwidth":2500000}"#,
            r#"{"colibriClass":"DominantSpeakerEndpointChangeEvent","dominantSpeakerEndpoint":"ee22aa11","previousSpeakers":["a1b2c3d4"],"silence":false}"#,
            r#"{"colibriClass":"ForwardedSources","forwardedSources":["ee22aa11-v0"]}"#,
            r#"{"colibriClass":"SenderSourceConstraints","sourceName":"a1b2c3d4-v0","maxHeight":720}"#,
            r#"{"colibriClass":"VideoSourcesMap","mappedSources":[{"source":"e-v0","owner":"e","ssrc":7711223,"rtx":7711224,"videoType":"CAMERA","mid":"v0"}]}"#,
            r#"{"colibriClass":"VideoSourcesMap","mappedSources":[{"source":"e-v0","owner":null,"ssrc":1,"rtx":"-1","videoType":"DESKTOP_HIGH_FPS"}]}"#,
            r#"{"colibriClass":"AudioSourcesMap","mappedSources":[{"source":"e-a0","owner":"e","ssrc":4294967295}]}"#,
            r#"{"colibriClass":"EndpointMessage","to":"","from":"a1b2c3d4","msgPayload":{"type":"reaction"}}"#,
            r#"{"colibriClass":"EndpointStats","from":"a1b2c3d4","bitrate":1}"#,
            r#"{"colibriClass":"EndpointConnectivityStatusChangeEvent","endpoint":"a1b2c3d4","active":"false"}"#,
            r#"{"colibriClass":"SyntheticSourceSendingChangeEvent","sourceName":"a-a0.de","sending":true,"timestamp":7}"#,
        ] {
            assert_eq!(BridgeMessage::parse(text).unwrap().to_json(), text);
        }
    }

    #[test]
    fn refuses_a_message_of_a_client() {
        let error = BridgeMessage::parse(r#"{"colibriClass":"ClientHello"}"#).unwrap_err();
        assert_eq!(error.to_string(), "colibriClass \"ClientHello\" is not known");
    }
}
