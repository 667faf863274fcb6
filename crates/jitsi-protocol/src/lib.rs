//! Jitsi's own words: what focus, bridge and clients say to each other beyond the XSF's extensions.
//!
//! Here: types of Colibri2, conference requests and bridge-channel messages with their XML or JSON form. Not here:
//! what a service does with them.

pub mod bridge_channel;
pub mod colibri2;
