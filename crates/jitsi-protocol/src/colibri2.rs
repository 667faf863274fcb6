//! Colibri2: how a focus tells a bridge which endpoints a conference has (`jitsi:colibri2`).
//!
//! Here: requests, answers and refusals with their XML form both ways, and the JSON of a bridge's HTTP interface. Not here: what a bridge does with them
//! (`bridge`). Codecs, transports and sources are the elements of Jingle and come from `xmpp::jingle`.

mod answer;
mod connect;
mod error;
mod json;
mod request;
mod source;

pub use answer::{ConferenceModified, EndpointModified, RelayModified, TransportModified};
pub use connect::{Connect, ConnectPing, ConnectType, HttpHeader};
pub use error::{ColibriError, Reason};
pub use json::InvalidJson;
pub use request::{ConferenceModify, EndpointModify, ForceMute, Media, MucRole, RelayModify, TransportRequest};
pub use source::{MediaSource, Sctp};
pub use xmpp::jingle::{
    Candidate, DtlsSetup, Fingerprint, GroupSemantics, HeaderExtension, IceTransport, InvalidElement,
    PayloadTypeDescription, RtcpFeedback, Source, SsrcGroup,
};

use connect::{connects, connects_element};
use source::{media_sources, media_type_of, sources_element};
