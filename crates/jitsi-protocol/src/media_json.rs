//! MediaJSON: what a bridge and a recorder, transcriber or translator say to each other over the WebSocket of a `connect`
//! (bridge.md §8; jicoco-mediajson). One JSON object a text.
//!
//! The format is after VoxImplant's, so some numbers stand as strings; of the other end both forms are taken.

use std::collections::BTreeMap;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// What a bridge says.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum BridgeEvent<'a> {
    /// Which sources are sent, and which the bridge wants back.
    Sources {
        /// Names; none means all.
        exports: Vec<&'a str>,
        /// Names.
        requests: Vec<&'a str>,
    },
    /// What the bridge is.
    Info {
        /// Of the program.
        application: &'a str,
        /// Of the program.
        version: &'a str,
        /// Where the bridge is.
        #[serde(skip_serializing_if = "Option::is_none")]
        region: Option<&'a str>,
    },
    /// Packets of a source follow, or of another format than before.
    Start {
        /// Counts all that has a number on this WebSocket.
        #[serde(rename = "sequenceNumber", serialize_with = "as_text")]
        sequence_number: u64,
        /// About the source.
        start: Start<'a>,
    },
    /// One packet.
    Media {
        /// Counts all that has a number on this WebSocket.
        #[serde(rename = "sequenceNumber", serialize_with = "as_text")]
        sequence_number: u64,
        /// The packet.
        media: Media<'a>,
    },
    /// A sign of life is asked for.
    Ping {
        /// To be repeated in the answer.
        id: u32,
    },
    /// Nothing follows.
    SessionEnd,
}

/// About a source.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Start<'a> {
    /// The source's name.
    pub tag: &'a str,
    /// Of its packets.
    pub media_format: MediaFormat<'a>,
    /// Whose it is.
    pub custom_parameters: CustomParameters<'a>,
    /// Voices that share the microphone are to be told apart; left out unless they are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub diarize: bool,
}

/// The format of a source's packets, as it was negotiated.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MediaFormat<'a> {
    /// Encoding name in lower case, such as `opus`.
    pub encoding: &'a str,
    /// RTP clock in Hz.
    pub sample_rate: u32,
    /// Audio channels.
    pub channels: u8,
    /// Format parameters.
    pub parameters: BTreeMap<&'a str, &'a str>,
}

/// Whose a source is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomParameters<'a> {
    /// Endpoint id.
    pub endpoint_id: &'a str,
}

/// One packet.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Media<'a> {
    /// The source's name.
    pub tag: &'a str,
    /// RTP sequence number without roll-over.
    #[serde(serialize_with = "as_text")]
    pub chunk: u64,
    /// RTP time without roll-over, where 0 is when the WebSocket opened.
    #[serde(serialize_with = "as_text")]
    pub timestamp: i64,
    /// RTP payload in Base64.
    pub payload: &'a str,
    /// 0 is the loudest, 127 silence (RFC 6464 §3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_level: Option<u8>,
    /// Whether the sender takes it for speech (RFC 6464 §3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vad: Option<bool>,
}

/// What the other end says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum PeerEvent {
    /// The answer to a ping.
    Pong {
        /// Of the ping.
        id: u32,
    },
    /// A ping of the other end; bridges give no answer.
    Ping {
        /// To be repeated.
        id: u32,
    },
    /// What was said, for clients to read: any fields.
    TranscriptionResult(Map<String, Value>),
    /// What the other end is: any fields.
    Info(Map<String, Value>),
    /// A packet of a source that the bridge wants back.
    Media {
        /// The packet.
        media: InboundMedia,
    },
    /// A source begins.
    Start {
        /// Which one.
        start: Mark,
    },
    /// A source ends.
    Stop {
        /// Which one.
        stop: Mark,
    },
}

/// A packet of the other end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct InboundMedia {
    /// The source's name.
    pub tag: String,
    /// RTP sequence number; the low 16 bits count.
    #[serde(deserialize_with = "number")]
    pub chunk: i64,
    /// RTP time; the low 32 bits count.
    #[serde(deserialize_with = "number")]
    pub timestamp: i64,
    /// RTP payload in Base64.
    pub payload: String,
}

/// A source that begins or ends.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Mark {
    /// The source's name.
    pub tag: String,
    /// RTP time of it: somebody begins or ends to speak. Without it the text is about the format only.
    #[serde(default)]
    pub timestamp: Option<i64>,
}

impl BridgeEvent<'_> {
    /// The event as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Maps have text keys and no writer fails: there is no case left in which serialization can.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl PeerEvent {
    /// Reads a text of the other end. Fields that are not known are ignored.
    ///
    /// # Errors
    /// It is no JSON, or none of the events.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

fn as_text<S: Serializer>(number: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&number.to_string())
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    struct NumberOrText;

    impl Visitor<'_> for NumberOrText {
        type Value = i64;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a number, or a string that has one")
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<i64, E> {
            Ok(number)
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<i64, E> {
            i64::try_from(number).map_err(E::custom)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<i64, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_any(NumberOrText)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Composed after bridge.md §8.
    #[test]
    fn numbers_stand_as_upstream_has_them() {
        let start = BridgeEvent::Start {
            sequence_number: 1,
            start: Start {
                tag: "a1b2c3d4-a0",
                media_format: MediaFormat {
                    encoding: "opus",
                    sample_rate: 48_000,
                    channels: 2,
                    parameters: BTreeMap::from([("useinbandfec", "1")]),
                },
                custom_parameters: CustomParameters { endpoint_id: "a1b2c3d4" },
                diarize: true,
            },
        };
        assert_eq!(
            start.to_json(),
            r#"{"event":"start","sequenceNumber":"1","start":{"tag":"a1b2c3d4-a0","mediaFormat":{"encoding":"opus","sampleRate":48000,"channels":2,"parameters":{"useinbandfec":"1"}},"customParameters":{"endpointId":"a1b2c3d4"},"diarize":true}}"#
        );
        let media = Media {
            tag: "a1b2c3d4-a0",
            chunk: 6,
            timestamp: 48_960,
            payload: "AAA=",
            audio_level: Some(23),
            vad: Some(true),
        };
        let event = |media| BridgeEvent::Media { sequence_number: 7, media }.to_json();
        assert_eq!(
            event(media.clone()),
            r#"{"event":"media","sequenceNumber":"7","media":{"tag":"a1b2c3d4-a0","chunk":"6","timestamp":"48960","payload":"AAA=","audioLevel":23,"vad":true}}"#
        );
        assert!(event(Media { audio_level: None, vad: None, ..media }).ends_with(r#""payload":"AAA="}}"#));
        assert_eq!(BridgeEvent::Ping { id: 3 }.to_json(), r#"{"event":"ping","id":3}"#);
        assert_eq!(BridgeEvent::SessionEnd.to_json(), r#"{"event":"session-end"}"#);
        let sources = BridgeEvent::Sources { exports: vec!["a-a0"], requests: vec!["a-a0.de"] };
        assert_eq!(sources.to_json(), r#"{"event":"sources","exports":["a-a0"],"requests":["a-a0.de"]}"#);
    }

    #[test]
    fn reads_what_the_other_end_says() {
        let media = |chunk: Value, timestamp: Value| {
            let text = json!({ "event": "media", "sequenceNumber": "1", "new": 1, "media": {
                "tag": "a-a0.de", "chunk": chunk, "timestamp": timestamp, "payload": "AAA=", "audioLevel": 3,
            } });
            PeerEvent::parse(&text.to_string())
        };
        let PeerEvent::Media { media: read } = media(json!("65537"), json!("4294967297")).unwrap() else { panic!() };
        assert_eq!((read.chunk, read.timestamp), (65_537, 4_294_967_297));
        assert!(media(json!(1), json!(2)).is_ok(), "numbers as numbers");
        let PeerEvent::Start { start } =
            PeerEvent::parse(r#"{"event":"start","start":{"tag":"a-a0.de","timestamp":7}}"#).unwrap()
        else {
            panic!()
        };
        assert_eq!(start.timestamp, Some(7));
        let text = r#"{"event":"transcription-result","transcript":[{"text":"hi"}],"n":0.1}"#;
        let PeerEvent::TranscriptionResult(fields) = PeerEvent::parse(text).unwrap() else { panic!() };
        assert_eq!(fields["transcript"][0]["text"], "hi");
        for bad in ["", "[]", "{}", r#"{"event":"dance"}"#, r#"{"event":"pong"}"#, r#"{"event":"media","media":{}}"#] {
            assert!(PeerEvent::parse(bad).is_err(), "{bad}");
        }
        assert!(media(json!("x"), json!(1)).is_err() && media(json!(0.5), json!(1)).is_err());
    }
}
