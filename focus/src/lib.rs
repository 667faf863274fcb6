//! The conference focus: it joins requested rooms, invites their members into Jingle sessions, and tells a bridge by
//! Colibri2 which media to carry.
//!
//! Here: the pure state machine [`Focus`], its [`Settings`], and the shell that runs it. Not here: stanza formats
//! (`xmpp`, `jitsi-protocol`), the stream (`net`).

mod authentication;
mod bridge;
mod conference;
mod context;
mod features;
mod focus;
mod iq;
mod metrics;
mod muc;
mod offer;
mod rate_limit;
mod request;
mod settings;
mod shell;
mod source;

pub use authentication::AuthenticationSettings;
pub use focus::{Focus, Health, HttpRequestId, Input, Output};
pub use metrics::Metrics;
pub use settings::{BridgeSettings, CodecSettings, Limits, RateLimitSettings, Settings, Timers};
pub use shell::FocusHandle;
