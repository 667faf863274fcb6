//! The conference focus: it joins requested rooms, invites their members into Jingle sessions, and tells a bridge by
//! Colibri2 which media to carry.
//!
//! Here: the pure state machine [`Focus`], its [`Settings`], and the shell that runs it. Not here: stanza formats
//! (`xmpp`, `jitsi-protocol`), the stream (`net`).

mod admin;
mod authentication;
mod brewery;
mod bridge;
mod conference;
mod context;
mod features;
mod flags;
mod focus;
mod iq;
mod jibri;
mod jigasi;
mod metrics;
mod muc;
mod nodes;
mod offer;
mod pins;
mod rate_limit;
mod redistribution;
mod request;
mod routing;
mod services;
mod settings;
mod shell;
mod source;

pub use admin::{AdminError, AdminRequest};
pub use authentication::{AuthenticationSettings, AuthorityType};
pub use flags::{
    BridgeChoiceFlags, ConferenceFlags, ConnectFlags, NodeServer, RegionGroups, VisitorNodeFlags, VisitorPlacementFlags,
};
pub use focus::{Focus, Health, HttpRequestId, Input, Output};
pub use metrics::Metrics;
pub use offer::{CodecSettings, HeaderExtensionKind, OfferedHeaderExtension, OpusSettings, VideoCodec, VideoCodecKind};
pub use settings::{
    BridgeSettings, ConnectSettings, IceFailureDetection, JibriSettings, Limits, LoadRedistribution, NodeAccess,
    RateLimitSettings, SelectionSettings, SelectionStrategy, Settings, Timers, TopologyStrategy, TranslationMode,
    TranslationSettings, UnknownMode, UnknownStrategy, UnknownTopology, VisitorNode, VisitorSettings, region_groups,
};
pub use shell::FocusHandle;
