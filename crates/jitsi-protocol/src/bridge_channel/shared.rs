//! Messages of endpoints to each other, which a bridge passes on.

use model::{EndpointId, SourceName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::serde_text;

/// A message to other endpoints. Browsers put an object into the field `msgPayload`; every field is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointMessage {
    /// The receiver's endpoint id; blank for everybody else.
    #[serde(default)]
    pub to: String,
    /// The sender; a bridge overwrites what a client says.
    #[serde(default, with = "serde_text::optional", skip_serializing_if = "Option::is_none")]
    pub from: Option<EndpointId>,
    /// All other fields.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// What a client measured, for the connection indicators of others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointStats {
    /// The sender; a bridge overwrites what a client says.
    #[serde(default, with = "serde_text::optional", skip_serializing_if = "Option::is_none")]
    pub from: Option<EndpointId>,
    /// All other fields: `bitrate`, `packetLoss`, `connectionQuality`, …
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// A source that no client sends begins or ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyntheticSourceSendingChangeEvent {
    /// The source.
    #[serde(with = "serde_text")]
    pub source_name: SourceName,
    /// Whether it is sent now.
    pub sending: bool,
    /// RTP time of its first packet, or of what would follow its last one.
    pub timestamp: u32,
}
