//! One participant, sans-IO: the conversation with the server, and the media session that comes of an offer.
//!
//! Here is only what a stock deployment offers to stock clients (client.md for Jitsi, the published interfaces of others);
//! nothing of any server's internals. Not here: sockets and clock reads (`engine`), what is counted (`measure`), media itself (`media`).

mod answer;
mod constraints;
mod conversation;
#[cfg(test)]
mod direct_tests;
mod impairment;
mod janus;
mod livekit;
mod negotiated;
mod offer;
mod playout;
mod receiving;
mod repair;
mod sdp;
mod sending;
mod session;
mod signaling;
mod sources;

use std::time::Duration;

use super::measure::FailureCause;

pub use answer::LocalSource;
pub use constraints::Wishes;
pub use conversation::{Conversation, Farewell, Frame, Leg, SignalingEvent};
pub use impairment::{DelayLine, Fate};
pub use janus::{JanusSettings, JanusSignaling};
pub use livekit::{LiveKitSettings, LiveKitSignaling, livekit_token};
pub use negotiated::Negotiated;
pub use offer::{Offer, OfferError};
pub use playout::Playout;
pub use sdp::{SdpError, SessionDescription};
pub use sending::{Outbox, SendingSettings};
pub use session::{MediaSession, SessionSettings, SessionTurn};
pub use signaling::{Purpose, Signaling, SignalingSettings};
pub use sources::{RemoteSource, SourceChange};

/// Why a participant is not there, or no longer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}: {detail}")]
pub struct Failure {
    /// What kind.
    pub cause: FailureCause,
    /// What exactly.
    pub detail: String,
}

impl Failure {
    /// A failure with what exactly happened.
    #[must_use]
    pub fn new(cause: FailureCause, detail: impl Into<String>) -> Self {
        Self { cause, detail: detail.into() }
    }
}

/// Longest wait for an answer over XMPP; the stock client's for Jingle (client.md §10.2).
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
