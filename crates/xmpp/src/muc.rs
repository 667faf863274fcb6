//! Multi-user chat (XEP-0045 1.35): the words that rooms, occupants and focus share.
//!
//! Here: affiliations, roles, what the room says of an occupant, admin items. Not here: rooms (`signaling`).

use crate::{Element, ns};

/// A lasting bond between a user and a room (XEP-0045 §5.2), in rising order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are those of XEP-0045 §5.2")]
pub enum Affiliation {
    Outcast,
    #[default]
    None,
    Member,
    Admin,
    Owner,
}

impl Affiliation {
    const TABLE: [(Affiliation, &'static str); 5] = [
        (Self::Outcast, "outcast"),
        (Self::None, "none"),
        (Self::Member, "member"),
        (Self::Admin, "admin"),
        (Self::Owner, "owner"),
    ];

    /// The value of the attribute.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::TABLE.iter().find(|(known, _)| *known == self).map_or("none", |(_, name)| name)
    }

    /// The affiliation of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::TABLE.iter().find(|(_, known)| *known == name).map(|(affiliation, _)| *affiliation)
    }
}

/// What an occupant may do during a visit (XEP-0045 §5.1), in rising order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are those of XEP-0045 §5.1")]
pub enum Role {
    #[default]
    None,
    Visitor,
    Participant,
    Moderator,
}

impl Role {
    const TABLE: [(Role, &'static str); 4] = [
        (Self::None, "none"),
        (Self::Visitor, "visitor"),
        (Self::Participant, "participant"),
        (Self::Moderator, "moderator"),
    ];

    /// The value of the attribute.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::TABLE.iter().find(|(known, _)| *known == self).map_or("none", |(_, name)| name)
    }

    /// The role of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::TABLE.iter().find(|(_, known)| *known == name).map(|(role, _)| *role)
    }
}

/// Status codes of presences and messages (XEP-0045 §15.6).
pub mod status {
    /// Everybody in the room sees real addresses.
    pub const NON_ANONYMOUS: u16 = 100;
    /// The configuration of the room changed.
    pub const CONFIG_CHANGED: u16 = 104;
    /// This presence is the receiver's own.
    pub const SELF_PRESENCE: u16 = 110;
    /// The room came into being by this join.
    pub const CREATED: u16 = 201;
    /// Banned.
    pub const BANNED: u16 = 301;
    /// Kicked.
    pub const KICKED: u16 = 307;
    /// Removed because the affiliation was lost in a members-only room.
    pub const AFFILIATION_LOST: u16 = 321;
    /// Removed because the room became members-only.
    pub const MEMBERS_ONLY: u16 = 322;
    /// Removed because the service shuts down.
    pub const SHUTDOWN: u16 = 332;
}

/// What a room says of an occupant: the `x` of namespace [`ns::MUC_USER`] in its presences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MucUser {
    /// The affiliation.
    pub affiliation: Affiliation,
    /// The role.
    pub role: Role,
    /// The real address, where the room shows it.
    pub jid: Option<String>,
    /// Nick of who caused the change.
    pub actor: Option<String>,
    /// Why it was caused.
    pub reason: Option<String>,
    /// The status codes.
    pub statuses: Vec<u16>,
    /// The room is gone.
    pub destroy: Option<Destroy>,
}

/// The end of a room (XEP-0045 §10.9).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destroy {
    /// Another room to go to.
    pub alternate: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

impl Destroy {
    /// Reads a `destroy` element.
    #[must_use]
    pub fn parse(element: &Element) -> Self {
        Self {
            alternate: element.attr("jid").map(str::to_owned),
            reason: element.child("reason", element.ns()).map(Element::text),
        }
    }
}

impl MucUser {
    /// Whether the status code is there.
    #[must_use]
    pub fn has_status(&self, code: u16) -> bool {
        self.statuses.contains(&code)
    }

    /// Reads what the room says in a presence; `None` when it says nothing.
    #[must_use]
    pub fn of_presence(presence: &Element) -> Option<Self> {
        let x = presence.child("x", ns::MUC_USER)?;
        let item = x.child("item", ns::MUC_USER);
        let attr = |name| item.and_then(|item| item.attr(name));
        Some(Self {
            affiliation: attr("affiliation").and_then(Affiliation::from_name).unwrap_or_default(),
            role: attr("role").and_then(Role::from_name).unwrap_or_default(),
            jid: attr("jid").map(str::to_owned),
            actor: item
                .and_then(|item| item.child("actor", ns::MUC_USER))
                .and_then(|actor| actor.attr("nick"))
                .map(str::to_owned),
            reason: item.and_then(|item| item.child("reason", ns::MUC_USER)).map(Element::text),
            statuses: x
                .children_named("status", ns::MUC_USER)
                .filter_map(|status| status.attr("code")?.parse().ok())
                .collect(),
            destroy: x.child("destroy", ns::MUC_USER).map(Destroy::parse),
        })
    }

    /// The `x` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let text = |name: &'static str, text: &str| Element::new(name, ns::MUC_USER).with_text(text);
        let mut item = Element::new("item", ns::MUC_USER)
            .with_attr("affiliation", self.affiliation.as_str())
            .with_attr("role", self.role.as_str())
            .with_opt_attr("jid", self.jid.as_deref());
        if let Some(actor) = &self.actor {
            item.push(Element::new("actor", ns::MUC_USER).with_attr("nick", actor.as_str()));
        }
        if let Some(reason) = &self.reason {
            item.push(text("reason", reason));
        }
        let mut x = Element::new("x", ns::MUC_USER).with_child(item);
        if let Some(Destroy { alternate, reason }) = &self.destroy {
            let mut destroy = Element::new("destroy", ns::MUC_USER).with_opt_attr("jid", alternate.as_deref());
            if let Some(reason) = reason {
                destroy.push(text("reason", reason));
            }
            x.push(destroy);
        }
        x.with_children(self.statuses.iter().map(|code| status_element(*code)))
    }
}

fn status_element(code: u16) -> Element {
    Element::new("status", ns::MUC_USER).with_attr("code", code.to_string())
}

/// An `x` with nothing but status codes, as in the room's own messages (XEP-0045 §10.2.1).
#[must_use]
pub fn statuses(codes: &[u16]) -> Element {
    Element::new("x", ns::MUC_USER).with_children(codes.iter().copied().map(status_element))
}

/// A change or a question in a `query` of namespace [`ns::MUC_ADMIN`] (XEP-0045 §9).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminItem {
    /// The occupant it is about.
    pub nick: Option<String>,
    /// The user it is about, by bare JID.
    pub jid: Option<String>,
    /// The affiliation to give.
    pub affiliation: Option<Affiliation>,
    /// The role to give.
    pub role: Option<Role>,
    /// Why.
    pub reason: Option<String>,
}

impl AdminItem {
    /// Reads an `item`; `None` when it names an affiliation or role that does not exist.
    #[must_use]
    pub fn parse(item: &Element) -> Option<Self> {
        let affiliation = match item.attr("affiliation") {
            Some(name) => Some(Affiliation::from_name(name)?),
            None => None,
        };
        let role = match item.attr("role") {
            Some(name) => Some(Role::from_name(name)?),
            None => None,
        };
        Some(Self {
            nick: item.attr("nick").map(str::to_owned),
            jid: item.attr("jid").map(str::to_owned),
            affiliation,
            role,
            reason: item.child("reason", ns::MUC_ADMIN).map(Element::text),
        })
    }

    /// The `item` element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let item = Element::new("item", ns::MUC_ADMIN)
            .with_opt_attr("affiliation", self.affiliation.map(Affiliation::as_str))
            .with_opt_attr("role", self.role.map(Role::as_str))
            .with_opt_attr("nick", self.nick.as_deref())
            .with_opt_attr("jid", self.jid.as_deref());
        match &self.reason {
            Some(reason) => item.with_child(Element::new("reason", ns::MUC_ADMIN).with_text(reason.as_str())),
            None => item,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_room_says_of_an_occupant_reads_as_written() {
        let user = MucUser {
            affiliation: Affiliation::Owner,
            role: Role::Moderator,
            jid: Some("a@b/c".to_owned()),
            actor: Some("mod".to_owned()),
            reason: Some("enough".to_owned()),
            statuses: vec![status::KICKED, status::SELF_PRESENCE],
            destroy: Some(Destroy { alternate: None, reason: Some("over".to_owned()) }),
        };
        let presence = Element::new("presence", ns::CLIENT).with_child(user.to_element());
        assert_eq!(MucUser::of_presence(&presence), Some(user));
    }

    #[test]
    fn admin_items_read_as_written_and_unknown_words_are_refused() {
        let item = AdminItem {
            nick: Some("n".to_owned()),
            jid: None,
            affiliation: None,
            role: Some(Role::None),
            reason: Some("r".to_owned()),
        };
        assert_eq!(AdminItem::parse(&item.to_element()), Some(item));
        assert_eq!(AdminItem::parse(&"<item role='king'/>".parse().unwrap()), None);
    }

    #[test]
    fn affiliations_and_roles_rise() {
        assert!(Affiliation::Owner > Affiliation::Member && Affiliation::None > Affiliation::Outcast);
        assert!(Role::Moderator > Role::Participant && Role::Visitor > Role::None);
    }
}
