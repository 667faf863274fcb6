//! Jitsi's own words: what focus, bridge and clients say to each other beyond the XSF's extensions.
//!
//! Here: types of Colibri2, conference requests and bridge-channel messages with their XML or JSON form. Not here:
//! what a service does with them.

pub mod bridge_channel;
pub mod bridge_session;
pub mod bridge_stats;
pub mod colibri2;
pub mod conference_request;
pub mod focus_presence;
pub mod jibri;
pub mod media_json;
pub mod mute;
pub mod source_json;
pub mod visitors;
