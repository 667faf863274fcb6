//! Stages of a join.

use std::fmt;

/// A stage of a join, in order. Its time runs from the end of the one before to its own end, where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// TCP, TLS and the upgrade to WebSocket.
    WebSocket,
    /// SASL and resource binding.
    Login,
    /// The request that has the focus create the room.
    ConferenceRequest,
    /// Until the own presence came back.
    Room,
    /// From where there are others in the room to the session-initiate of the focus. Within the next one.
    Offer,
    /// From where there are others in the room to the acknowledgement of the session-accept.
    Jingle,
    /// Until a candidate pair is nominated.
    Ice,
    /// Until the SRTP keys are there.
    Dtls,
    /// Until the bridge said hello on the data channel or WebSocket.
    BridgeChannel,
    /// From the end of DTLS to the first packet of audio.
    FirstAudio,
    /// From the end of DTLS to the first decodable frame.
    FirstVideo,
    /// The whole: from the start to the last of first audio and video that is expected.
    Join,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Self; 12] = [
        Self::WebSocket,
        Self::Login,
        Self::ConferenceRequest,
        Self::Room,
        Self::Offer,
        Self::Jingle,
        Self::Ice,
        Self::Dtls,
        Self::BridgeChannel,
        Self::FirstAudio,
        Self::FirstVideo,
        Self::Join,
    ];

    /// Name in metrics and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Login => "login",
            Self::ConferenceRequest => "conference_request",
            Self::Room => "room",
            Self::Offer => "offer",
            Self::Jingle => "jingle",
            Self::Ice => "ice",
            Self::Dtls => "dtls",
            Self::BridgeChannel => "bridge_channel",
            Self::FirstAudio => "first_audio",
            Self::FirstVideo => "first_video",
            Self::Join => "join",
        }
    }
}

/// As a person reads it in a table.
impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::WebSocket => "WebSocket",
            Self::Login => "Login",
            Self::ConferenceRequest => "Conference request",
            Self::Room => "Room",
            Self::Offer => "Offer",
            Self::Jingle => "Jingle",
            Self::Ice => "ICE",
            Self::Dtls => "DTLS",
            Self::BridgeChannel => "Bridge channel",
            Self::FirstAudio => "First audio",
            Self::FirstVideo => "First video frame",
            Self::Join => "Join, whole",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_stands_where_its_number_says() {
        for (number, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, number, "{stage}");
        }
    }
}
