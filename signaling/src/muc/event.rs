//! What happens in rooms that concerns more than the room: components, lobbies and breakout rooms act on it afterwards.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;
use xmpp::muc::Destroy;
use xmpp::{Element, Jid};

use crate::conference_components::ComponentKind;

/// Something that happened in a room.
#[derive(Debug)]
pub(crate) struct RoomEvent {
    /// Where.
    pub(crate) room: Jid,
    pub(crate) what: Happening,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Happening {
    /// Somebody came.
    Joined { nick: String },
    /// Somebody is gone.
    Left(Departed),
    /// An occupant shows itself anew.
    PresenceUpdated { nick: String },
    /// An occupant has another role than before.
    RoleChanged { nick: String },
    /// An occupant became a moderator.
    BecameModerator { nick: String },
    /// A user has another affiliation than before.
    AffiliationChanged { bare: Jid },
    /// The room has a lobby from now on.
    LobbyOpened { by: Option<Jid> },
    /// The room has no lobby any more; who waits is told why, and to come in if there is where to.
    LobbyClosed { by: Option<Jid>, reason: &'static str },
    /// An occupant was sent away by somebody else.
    Kicked { by: Jid, occupant: Departed },
    /// A moderator asks somebody in.
    Invited { by: Jid, invitee: Jid },
    /// Something was said to all in a conference that visitors are to hear, too.
    Said { message: Element, is_subject: bool },
    /// A component told all in a conference something that visitors are to hear, too.
    Told { component: ComponentKind, news: Value },
    /// What all in a conference agree on is not what it was.
    MetadataChanged,
    /// A moderator says something about visitors.
    VisitorsCommand { by: String, command: Value },
    /// Joins or departures wait for their turn.
    Paced,
    /// The room is no more. Those who were sent out by it spoke for so many milliseconds, by nick.
    Ended { destroy: Destroy, spoke_ms: BTreeMap<String, u64> },
}

/// Who left, and how.
#[derive(Clone, Debug)]
pub(crate) struct Departed {
    pub(crate) nick: String,
    /// The real full JID.
    pub(crate) jid: Jid,
    /// The address of its client, where that is known.
    pub(crate) address: Option<IpAddr>,
    pub(crate) is_focus: bool,
    /// The last available presence.
    pub(crate) presence: Element,
    /// Whether it goes to another room of the same meeting, as its goodbye says.
    pub(crate) switches_room: bool,
    /// For how many milliseconds he was the one who spoke.
    pub(crate) spoke_ms: u64,
}
