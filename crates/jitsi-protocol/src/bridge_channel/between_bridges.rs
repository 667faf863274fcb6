//! What bridges of one conference say to each other over the channel of a relay.
//!
//! An original bridge refuses a message with a field that it does not know, so nothing is added to these.

use model::SourceName;
use serde::{Deserialize, Serialize};

use super::from_bridge::{EndpointConnectivityStatusChangeEvent, ServerHello};
use super::from_client::{SourceVideoTypeMessage, VideoConstraints};
use super::{
    ChannelMessageError, EndpointMessage, EndpointStats, SyntheticSourceSendingChangeEvent, parse, serde_text,
};

/// A message of one bridge to another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "colibriClass")]
pub enum RelayMessage {
    /// Asks for a [`ServerHello`].
    ClientHello,
    /// The channel works.
    ServerHello(ServerHello),
    /// The largest picture of a source that anyone behind the sender wants.
    AddReceiver(AddReceiver),
    /// What a video source shows; with its owner.
    SourceVideoTypeMessage(SourceVideoTypeMessage),
    /// A message of an endpoint.
    EndpointMessage(EndpointMessage),
    /// Measurements of an endpoint.
    EndpointStats(EndpointStats),
    /// An endpoint's transport came or went.
    EndpointConnectivityStatusChangeEvent(EndpointConnectivityStatusChangeEvent),
    /// A source that no client sends, such as a translation, begins or ends.
    SyntheticSourceSendingChangeEvent(SyntheticSourceSendingChangeEvent),
}

impl RelayMessage {
    const CLASSES: [&'static str; 8] = [
        "ClientHello",
        "ServerHello",
        "AddReceiver",
        "SourceVideoTypeMessage",
        "EndpointMessage",
        "EndpointStats",
        "EndpointConnectivityStatusChangeEvent",
        "SyntheticSourceSendingChangeEvent",
    ];

    /// Reads a message.
    ///
    /// # Errors
    /// [`ChannelMessageError`] when it is none of a bridge to another one.
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

/// The largest picture of a source that anyone behind a bridge wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddReceiver {
    /// The `relay_id` of the bridge that wants it.
    pub bridge_id: String,
    /// The source.
    #[serde(with = "serde_text")]
    pub source_name: SourceName,
    /// Its lines and frames a second.
    pub video_constraints: VideoConstraints,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote_without_a_field_more() {
        for text in [
            r#"{"colibriClass":"ServerHello","version":"2.3"}"#,
            r#"{"colibriClass":"AddReceiver","bridgeId":"10.0.0.8:4096","sourceName":"a-v0","videoConstraints":{"maxHeight":360,"maxFrameRate":-1.0}}"#,
            r#"{"colibriClass":"SourceVideoTypeMessage","videoType":"desktop","sourceName":"a-v1","endpointId":"a"}"#,
            r#"{"colibriClass":"SyntheticSourceSendingChangeEvent","sourceName":"a-a0.de","sending":true,"timestamp":7}"#,
            r#"{"colibriClass":"EndpointConnectivityStatusChangeEvent","endpoint":"a","active":"false"}"#,
        ] {
            assert_eq!(RelayMessage::parse(text).unwrap().to_json(), text);
        }
        let of_a_client = r#"{"colibriClass":"ReceiverVideoConstraints","lastN":1}"#;
        assert!(RelayMessage::parse(of_a_client).is_err());
    }
}
