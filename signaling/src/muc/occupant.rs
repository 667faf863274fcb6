//! Somebody in a room (XEP-0045 §4.2).

use std::sync::Arc;

use xmpp::muc::{Affiliation, MucUser, Role};
use xmpp::{Element, Jid, ns};

use super::display_name::identified;
use super::event::Departed;
use super::shown::Shown;
use crate::client::Client;
use crate::context::Sender;

/// The nick of the focus, which clients look for (client.md §5.1).
pub(crate) const FOCUS_NICK: &str = "focus";

/// Where a participant is, which the focus goes by when it selects a bridge (client.md §2.10).
const REGION: &str = "jitsi_participant_region";

/// Somebody in a room.
#[derive(Debug)]
pub(crate) struct Occupant {
    pub(crate) nick: String,
    /// The real full JID.
    pub(crate) jid: Jid,
    pub(crate) is_service: bool,
    /// Whether this is a recorder or a transcriber, whom clients do not show.
    pub(crate) is_hidden: bool,
    pub(crate) role: Role,
    /// What the session brought along.
    pub(crate) client: Arc<Client>,
    /// Whether the client was told what it may do, for as long as it has the role.
    pub(super) knows_permissions: bool,
    /// The latest presence, without addresses and without what rooms say: see [`as_relayed`].
    presence: Element,
    /// What others are shown of it; `None` after a change, until it is told.
    pub(super) shown: Option<Shown>,
}

impl Occupant {
    pub(crate) fn new(
        sender: Sender<'_>,
        nick: &str,
        affiliation: Affiliation,
        is_hidden: bool,
        presence: Element,
    ) -> Self {
        Self {
            nick: nick.to_owned(),
            jid: sender.jid.clone(),
            is_service: sender.is_service,
            is_hidden,
            role: role_of(affiliation),
            client: Arc::clone(sender.client),
            knows_permissions: false,
            presence: as_relayed(presence, sender.client),
            shown: None,
        }
    }

    /// The same occupant, as another room shows him.
    pub(super) fn mirrored(&self) -> Self {
        Self {
            nick: self.nick.clone(),
            jid: self.jid.clone(),
            is_service: self.is_service,
            is_hidden: self.is_hidden,
            role: self.role,
            client: Arc::clone(&self.client),
            knows_permissions: true,
            presence: self.presence.clone(),
            shown: None,
        }
    }

    /// Whether others see in one what they see in the other.
    pub(super) fn is_shown_like(&self, other: &Self) -> bool {
        (&self.jid, self.role) == (&other.jid, other.role) && self.presence == other.presence
    }

    pub(crate) fn presence(&self) -> &Element {
        &self.presence
    }

    /// Takes another presence of the occupant, as it came.
    pub(super) fn set_presence(&mut self, presence: Element) {
        self.presence = as_relayed(presence, &self.client);
        self.shown = None;
    }

    /// Takes the last presence of an occupant who leaves, as it is relayed.
    pub(super) fn say_goodbye(&mut self, presence: Element) {
        self.presence = presence.with_attr("type", "unavailable");
        self.shown = None;
    }

    /// Whether this is the focus: the nick is open to services only.
    pub(crate) fn is_focus(&self) -> bool {
        self.is_service && self.nick == FOCUS_NICK
    }

    /// Whether clients show it.
    pub(crate) fn is_participant(&self) -> bool {
        !self.is_focus() && !self.is_hidden
    }

    pub(crate) fn is_moderator(&self) -> bool {
        self.role == Role::Moderator
    }

    /// The name that others are shown.
    pub(crate) fn display_name(&self) -> Option<String> {
        display_name_in(&self.presence)
    }

    pub(super) fn departed(&self) -> Departed {
        Departed {
            nick: self.nick.clone(),
            jid: self.jid.clone(),
            address: self.client.address,
            is_focus: self.is_focus(),
            presence: self.presence.clone(),
            switches_room: false,
            spoke_ms: 0,
        }
    }

    /// What the room says of the occupant, real address included: clients tell the focus, recorders and each other by
    /// it.
    pub(crate) fn muc_user(&self, affiliation: Affiliation) -> MucUser {
        MucUser { affiliation, role: self.role, jid: Some(self.jid.as_str().to_owned()), ..MucUser::default() }
    }
}

/// The role that an affiliation gives in an unmoderated room (XEP-0045 §5.1.2).
pub(crate) fn role_of(affiliation: Affiliation) -> Role {
    match affiliation {
        Affiliation::Owner | Affiliation::Admin => Role::Moderator,
        Affiliation::Member | Affiliation::None => Role::Participant,
        Affiliation::Outcast => Role::None,
    }
}

/// The name in a presence; an empty one is none.
pub(crate) fn display_name_in(presence: &Element) -> Option<String> {
    presence.child("nick", ns::NICK).map(Element::text).filter(|name| !name.is_empty())
}

/// A presence as the room passes it on: every child as it came, but for those by which a room speaks itself. Who does not
/// say in which region he is is in that of the proxy that he came through (`muc_meeting_id`).
pub(crate) fn as_relayed(mut presence: Element, client: &Client) -> Element {
    presence.remove_attr("to");
    presence.remove_attr("from");
    presence.retain_children(|child| {
        !matches!(child.ns(), ns::MUC | ns::MUC_USER) && !child.is("permissions", ns::JITMEET)
    });
    if presence.attr("type").is_none()
        && presence.child(REGION, ns::CLIENT).is_none()
        && let Some(region) = &client.region
    {
        presence.push(Element::new(REGION, ns::CLIENT).with_text(region.as_str()));
    }
    identified(presence, client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_children_are_relayed_and_what_only_rooms_say_is_not() {
        let presence = "<presence xmlns='jabber:client' to='r@m/n' from='u@d/r' id='1'>\
             <x xmlns='http://jabber.org/protocol/muc'/>\
             <x xmlns='http://jabber.org/protocol/muc#user'><item role='moderator'/></x>\
             <permissions xmlns='http://jitsi.org/jitmeet'/><identity><user/></identity>\
             <SourceInfo>{}</SourceInfo><custom xmlns='urn:x'><deep xmlns='urn:y'/></custom></presence>";
        assert_eq!(
            as_relayed(presence.parse().unwrap(), &Client::default()).to_string(),
            "<presence xmlns='jabber:client' id='1'><SourceInfo>{}</SourceInfo>\
             <custom xmlns='urn:x'><deep xmlns='urn:y'/></custom></presence>"
        );
    }
}
