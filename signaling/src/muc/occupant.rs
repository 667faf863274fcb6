//! Somebody in a room (XEP-0045 §4.2).

use xmpp::muc::{Affiliation, MucUser, Role};
use xmpp::{Element, Jid, ns};

use crate::context::Sender;

/// The nick of the focus, which clients look for (client.md §5.1).
pub(crate) const FOCUS_NICK: &str = "focus";

/// Somebody in a room.
#[derive(Debug)]
pub(crate) struct Occupant {
    pub(crate) nick: String,
    /// The real full JID.
    pub(crate) jid: Jid,
    pub(crate) is_service: bool,
    pub(crate) role: Role,
    /// The latest presence, without addresses and without what rooms say: see [`as_relayed`].
    pub(crate) presence: Element,
}

impl Occupant {
    pub(crate) fn new(sender: Sender<'_>, nick: &str, affiliation: Affiliation, presence: Element) -> Self {
        Self {
            nick: nick.to_owned(),
            jid: sender.jid.clone(),
            is_service: sender.is_service,
            role: role_of(affiliation),
            presence: as_relayed(presence),
        }
    }

    /// Whether this is the focus: the nick is open to services only.
    pub(crate) fn is_focus(&self) -> bool {
        self.is_service && self.nick == FOCUS_NICK
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

/// A presence as the room passes it on: every child as it came, but for those by which a room speaks itself.
pub(crate) fn as_relayed(mut presence: Element) -> Element {
    presence.remove_attr("to");
    presence.remove_attr("from");
    presence.retain_children(|child| !matches!(child.ns(), ns::MUC | ns::MUC_USER));
    presence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_children_are_relayed_and_what_only_rooms_say_is_not() {
        let presence = "<presence xmlns='jabber:client' to='r@m/n' from='u@d/r' id='1'>\
             <x xmlns='http://jabber.org/protocol/muc'/>\
             <x xmlns='http://jabber.org/protocol/muc#user'><item role='moderator'/></x>\
             <SourceInfo>{}</SourceInfo><custom xmlns='urn:x'><deep xmlns='urn:y'/></custom></presence>";
        assert_eq!(
            as_relayed(presence.parse().unwrap()).to_string(),
            "<presence xmlns='jabber:client' id='1'><SourceInfo>{}</SourceInfo>\
             <custom xmlns='urn:x'><deep xmlns='urn:y'/></custom></presence>"
        );
    }
}
