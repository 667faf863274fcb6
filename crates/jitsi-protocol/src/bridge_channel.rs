//! The bridge channel: JSON messages between a client and its bridge, and between two
//! bridges, over a WebSocket or a data channel.
//!
//! Here: the messages, told apart by `colibriClass`, with their JSON form both ways. Not here: transports and what a
//! bridge does with a message (`bridge`).
//!
//! Fields that are not known are ignored, as later clients may send more. Names that are none (`SourceName`) are left
//! out of lists, as no source can have them.

mod between_bridges;
mod from_bridge;
mod from_client;
mod serde_text;
mod shared;

pub use between_bridges::{AddReceiver, RelayMessage};
pub use from_bridge::{
    AudioSourceMapping, AudioSourcesMap, BridgeMessage, ConnectionStats, DominantSpeakerEndpointChangeEvent,
    EndpointConnectivityStatusChangeEvent, ForwardedSources, SenderSourceConstraints, ServerHello, VideoSourceMapping,
    VideoSourcesMap,
};
pub use from_client::{
    ClientMessage, LastNChangedEvent, ReceiverAudioSubscription, ReceiverVideoConstraints, SourceVideoTypeMessage,
    VideoConstraints, VideoTypeMessage,
};
pub use shared::{EndpointMessage, EndpointStats, SyntheticSourceSendingChangeEvent};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Longest message that is parsed, in bytes: constraints for a conference of 1000 sources have some 50 000. The nesting
/// is bounded by `serde_json` (128 levels).
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// Why a text is no message of the bridge channel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelMessageError {
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("message of {0} bytes exceeds {MAX_MESSAGE_BYTES}")]
    TooLarge(usize),
    /// Not a JSON object.
    #[error("message is not a JSON object")]
    NotAnObject(#[source] serde_json::Error),
    /// Without the field that tells messages apart.
    #[error("message has no colibriClass")]
    MissingClass,
    /// A class that does not exist in this direction.
    #[error("colibriClass {0:?} is not known")]
    UnknownClass(String),
    /// A field that is missing or has another type.
    #[error("invalid {class}")]
    InvalidFields {
        /// The message's class.
        class: &'static str,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// Reads a message of one of the `classes`.
fn parse<T: DeserializeOwned>(text: &str, classes: &[&'static str]) -> Result<T, ChannelMessageError> {
    if text.len() > MAX_MESSAGE_BYTES {
        return Err(ChannelMessageError::TooLarge(text.len()));
    }
    let object: Map<String, Value> = serde_json::from_str(text).map_err(ChannelMessageError::NotAnObject)?;
    let class = object.get("colibriClass").and_then(Value::as_str).ok_or(ChannelMessageError::MissingClass)?;
    let Some(&class) = classes.iter().find(|known| **known == class) else {
        return Err(ChannelMessageError::UnknownClass(class.chars().take(64).collect()));
    };
    T::deserialize(Value::Object(object)).map_err(|source| ChannelMessageError::InvalidFields { class, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_message() {
        let error = |text: &str| ClientMessage::parse(text).unwrap_err();
        assert!(matches!(error("[]"), ChannelMessageError::NotAnObject(_)));
        assert!(matches!(error("{"), ChannelMessageError::NotAnObject(_)));
        assert!(matches!(error("{}"), ChannelMessageError::MissingClass));
        assert!(matches!(error(r#"{"colibriClass":1}"#), ChannelMessageError::MissingClass));
        assert!(matches!(error(r#"{"colibriClass":"ServerHello"}"#), ChannelMessageError::UnknownClass(_)));
        assert!(matches!(
            error(r#"{"colibriClass":"LastNChangedEvent","lastN":"all"}"#),
            ChannelMessageError::InvalidFields { class: "LastNChangedEvent", .. }
        ));
        let long = format!(r#"{{"colibriClass":"ClientHello","x":"{}"}}"#, "x".repeat(MAX_MESSAGE_BYTES));
        assert!(matches!(error(&long), ChannelMessageError::TooLarge(_)));
        let deep = format!(r#"{{"colibriClass":"EndpointMessage","m":{}{}}}"#, "[".repeat(500), "]".repeat(500));
        assert!(matches!(error(&deep), ChannelMessageError::NotAnObject(_)));
    }
}
