//! What a participant and a server say to each other before and beside media, in the words of either kind of server.
//!
//! Here: what all kinds have in common. The kinds: `signaling` (Jitsi), `janus`, `livekit`.

use std::time::Instant;

use model::EndpointId;
use xmpp::jingle::{Candidate, Jingle};

use super::janus::JanusSignaling;
use super::livekit::LiveKitSignaling;
use super::sdp::SessionDescription;
use super::{Failure, RemoteSource, Signaling};
use crate::load::measure::FailureCause;

/// A turn of the conversation.
#[derive(Clone, Debug, PartialEq)]
pub enum SignalingEvent {
    /// There is a session: a bound resource, a handle of the plugin.
    LoggedIn,
    /// The room is there, with the focus in it.
    ConferenceReady,
    /// The participant is in the room.
    Joined {
        /// Its nick and endpoint id.
        nick: String,
    },
    /// Somebody else is in the room too, so that the focus will invite.
    NotAlone,
    /// Media that others sent already when the participant came; where an offer says so, this is not told.
    Senders {
        /// Somebody's microphone.
        audio: bool,
        /// Somebody's camera or screen.
        video: bool,
    },
    /// The focus offers a session. To be answered with [`Signaling::accept`].
    Offer(Box<Jingle>),
    /// The focus took the answer.
    Accepted,
    /// Sources of others come or go; a message of `source-add` or `source-remove`.
    Sources(Box<Jingle>),
    /// What is sent may be offered now, to [`Conversation::publish`].
    Publish,
    /// The server takes what is sent.
    Published(Box<SessionDescription>),
    /// The server offers sources of others: all that it sends from now on. To be answered with [`Conversation::subscribe`].
    Subscribe {
        /// Its offer, the first one or another for the same connection.
        offer: Box<SessionDescription>,
        /// What its m-lines carry.
        sources: Vec<RemoteSource>,
    },
    /// A candidate of the server.
    Candidate(Leg, Box<Candidate>),
    /// Somebody else speaks.
    Speaker(EndpointId),
    /// Somebody else left the room.
    OccupantLeft {
        /// Nick and endpoint id.
        nick: String,
    },
    /// The server ended the session, and may offer another one.
    Terminated {
        /// Its reason.
        reason: String,
    },
}

/// A connection for media. Jitsi has one for both directions, other servers one for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    /// The server offers it: media of others comes on it, and with Jitsi our own goes.
    Offered,
    /// We offer it: for what we send.
    Own,
}

impl Leg {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Offered, Self::Own];
}

/// How a participant leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// It comes back, or others stay.
    ForNow,
    /// The run is over.
    ForGood,
}

/// A message on the WebSocket of the signaling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// XML or JSON.
    Text(String),
    /// Protocol buffers.
    Binary(Vec<u8>),
}

/// The conversation of one participant.
#[derive(Debug)]
pub enum Conversation {
    /// XMPP and Jingle.
    Jitsi(Box<Signaling>),
    /// Janus's video room.
    Janus(Box<JanusSignaling>),
    /// LiveKit's protocol buffers.
    LiveKit(Box<LiveKitSignaling>),
}

impl Conversation {
    /// The next frame to send.
    pub fn poll_frame(&mut self) -> Option<Frame> {
        match self {
            Self::Jitsi(signaling) => signaling.poll_frame().map(Frame::Text),
            Self::Janus(signaling) => signaling.poll_frame().map(Frame::Text),
            Self::LiveKit(signaling) => signaling.poll_frame().map(Frame::Binary),
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<SignalingEvent> {
        match self {
            Self::Jitsi(signaling) => signaling.poll_event(),
            Self::Janus(signaling) => signaling.poll_event(),
            Self::LiveKit(signaling) => signaling.poll_event(),
        }
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        match self {
            Self::Jitsi(signaling) => signaling.poll_timeout(),
            Self::Janus(signaling) => signaling.poll_timeout(),
            Self::LiveKit(signaling) => signaling.poll_timeout(),
        }
    }

    /// Repeats, asks for a sign of life, or gives up.
    ///
    /// # Errors
    /// An answer did not come in time.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Failure> {
        match self {
            Self::Jitsi(signaling) => signaling.handle_timeout(now),
            Self::Janus(signaling) => signaling.handle_timeout(now),
            Self::LiveKit(signaling) => signaling.handle_timeout(now),
        }
    }

    /// Takes a text frame.
    ///
    /// # Errors
    /// The server refuses something, or does not speak as it should.
    pub fn handle_text(&mut self, now: Instant, text: &str) -> Result<(), Failure> {
        match self {
            Self::Jitsi(signaling) => signaling.handle_frame(now, text),
            Self::Janus(signaling) => signaling.handle_frame(now, text),
            // Nothing that matters comes as text.
            Self::LiveKit(_) => Ok(()),
        }
    }

    /// Takes a binary frame.
    ///
    /// # Errors
    /// The server refuses something, or does not speak as it should.
    pub fn handle_binary(&mut self, now: Instant, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Jitsi(_) | Self::Janus(_) => Err(Failure::new(FailureCause::NotXmpp, "a binary frame")),
            Self::LiveKit(signaling) => signaling.handle_frame(now, bytes),
        }
    }

    /// Answers [`SignalingEvent::Offer`].
    pub fn accept(&mut self, now: Instant, answer: Jingle) {
        match self {
            Self::Jitsi(signaling) => signaling.accept(now, answer),
            Self::Janus(_) | Self::LiveKit(_) => {}
        }
    }

    /// Answers [`SignalingEvent::Publish`] with an offer of what is sent.
    pub fn publish(&mut self, now: Instant, offer: &SessionDescription) {
        match self {
            Self::Jitsi(_) => {}
            Self::Janus(signaling) => signaling.publish(now, offer),
            Self::LiveKit(signaling) => signaling.publish(now, offer),
        }
    }

    /// Answers [`SignalingEvent::Subscribe`].
    pub fn subscribe(&mut self, now: Instant, answer: &SessionDescription) {
        match self {
            Self::Jitsi(_) => {}
            Self::Janus(signaling) => signaling.subscribe(now, answer),
            Self::LiveKit(signaling) => signaling.subscribe(answer),
        }
    }

    /// Whether nobody else is in the room.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        match self {
            Self::Jitsi(signaling) => signaling.is_alone(),
            Self::Janus(signaling) => signaling.is_alone(),
            Self::LiveKit(signaling) => signaling.is_alone(),
        }
    }

    /// Leaves the room.
    pub fn leave(&mut self, farewell: Farewell) {
        match self {
            Self::Jitsi(signaling) => signaling.leave(),
            Self::Janus(signaling) => signaling.leave(farewell),
            Self::LiveKit(signaling) => signaling.leave(),
        }
    }
}
