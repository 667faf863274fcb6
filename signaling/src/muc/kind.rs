//! What sets one MUC service apart from another.

/// A kind of rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MucKind {
    /// Conferences.
    Conference,
    /// Waiting rooms in front of conferences.
    Lobby,
    /// Rooms beside a conference, with a focus and media of their own.
    Breakout,
    /// Rooms in which visitors see a conference.
    Visitors,
    /// Rooms of services.
    Internal,
}

impl MucKind {
    /// The value of the label `service` in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Conference => "conference",
            Self::Lobby => "lobby",
            Self::Breakout => "breakout",
            Self::Visitors => "visitors",
            Self::Internal => "internal",
        }
    }

    /// Whether occupants meet media through a focus: then nobody but services is let in before it.
    pub(crate) const fn has_media(self) -> bool {
        match self {
            Self::Conference | Self::Breakout | Self::Visitors => true,
            Self::Lobby | Self::Internal => false,
        }
    }

    /// Whether nicks are endpoint ids, and `focus` is a name that clients trust.
    pub(crate) const fn has_endpoints(self) -> bool {
        match self {
            Self::Conference | Self::Breakout | Self::Visitors | Self::Lobby => true,
            Self::Internal => false,
        }
    }

    /// Whether a service that joins creates the room. Lobbies come and go with what they stand in front of.
    pub(crate) const fn is_created_by_joining(self) -> bool {
        match self {
            Self::Conference | Self::Breakout | Self::Visitors | Self::Internal => true,
            Self::Lobby => false,
        }
    }
}
