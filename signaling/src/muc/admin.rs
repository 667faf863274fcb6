//! What moderators and owners do to others (XEP-0045 §8–9): kick, grant and revoke, list.
//!
//! All items of a request are checked before the first is carried out, so a request happens as a whole or not at all.

use xmpp::muc::{AdminItem, Affiliation, Role, status};
use xmpp::{Condition, Element, Jid, StanzaError, iq_result, ns};

use super::event::Happening;
use super::iq::Handled;
use super::kind::MucKind;
use super::presence::Cause;
use super::room::Room;
use crate::audit::{self, Act};
use crate::context::{Context, Sender};

/// Entries in a room's list of affiliations: far more than a meeting has participants.
pub(super) const MAX_AFFILIATIONS: usize = 4096;

/// A checked item.
#[derive(Debug)]
enum Action {
    Kick { nick: String, cause: Cause },
    SetRole { nick: String, role: Role, cause: Cause },
    SetAffiliation { bare: Jid, affiliation: Affiliation, cause: Cause },
}

/// Who acts.
struct Actor {
    jid: Jid,
    nick: Option<String>,
    is_focus: bool,
    role: Role,
    affiliation: Affiliation,
}

impl Actor {
    /// What gives him the right, for the journal.
    fn rule(&self) -> &'static str {
        match self.affiliation {
            Affiliation::Owner if self.is_focus => "focus",
            Affiliation::Owner | Affiliation::Admin => self.affiliation.as_str(),
            Affiliation::Member | Affiliation::None | Affiliation::Outcast => self.role.as_str(),
        }
    }
}

impl Room {
    pub(super) fn handle_admin(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        request: &Element,
        query: &Element,
    ) -> Handled {
        let occupant = self.occupant_of(sender.jid);
        let actor = Actor {
            jid: sender.jid.clone(),
            nick: occupant.map(|occupant| occupant.nick.clone()),
            is_focus: context.settings.hosts.is_focus(sender.jid),
            // A service acts as a moderator without being in the room.
            role: occupant.map_or(if sender.is_service { Role::Moderator } else { Role::None }, |actor| actor.role),
            affiliation: self.affiliation_of(sender.jid, sender.is_service),
        };
        let items: Option<Vec<AdminItem>> = query.children_named("item", ns::MUC_ADMIN).map(AdminItem::parse).collect();
        let items = items.filter(|items| !items.is_empty()).ok_or(StanzaError::new(Condition::BadRequest))?;
        if request.attr("type") == Some("get") {
            let list = self.list(&actor, &items)?;
            return Ok((iq_result(request).with_child(list), Vec::new()));
        }
        let actions: Vec<Action> =
            items.iter().map(|item| self.check(context, &actor, item)).collect::<Result<_, _>>()?;
        let departed = actions.into_iter().flat_map(|action| self.carry_out(context, &actor, action)).collect();
        Ok((iq_result(request), departed))
    }

    fn check(&self, context: &Context<'_>, actor: &Actor, item: &AdminItem) -> Result<Action, StanzaError> {
        let cause = Cause { actor: actor.nick.clone(), reason: item.reason.clone(), ..Cause::default() };
        match (item.role, item.affiliation) {
            (Some(role), None) => self.check_role(actor, item, role, cause),
            (None, Some(affiliation)) => self.check_affiliation(context, actor, item, affiliation, cause),
            (Some(_), Some(_)) | (None, None) => Err(StanzaError::new(Condition::BadRequest)),
        }
    }

    /// The occupant that an item is about; some clients name its real address.
    fn nick_of(&self, item: &AdminItem) -> Option<String> {
        let jid = || item.jid.as_ref()?.parse::<Jid>().ok();
        let by_jid = |jid: Jid| self.occupants.values().find(|occupant| occupant.jid.bare_str() == jid.bare_str());
        item.nick.clone().or_else(|| jid().and_then(by_jid).map(|occupant| occupant.nick.clone()))
    }

    fn check_role(&self, actor: &Actor, item: &AdminItem, role: Role, cause: Cause) -> Result<Action, StanzaError> {
        let nick = self.nick_of(item).ok_or(StanzaError::new(Condition::BadRequest))?;
        let target = self.occupants.get(&nick).ok_or(StanzaError::new(Condition::ItemNotFound))?;
        let target_affiliation = self.affiliation_of(&target.jid, target.is_service);
        if actor.role != Role::Moderator {
            return Err(StanzaError::new(Condition::Forbidden));
        }
        // The focus holds the conference together; nobody sends it away (muc_meeting_id).
        if target.is_focus() || target_affiliation > actor.affiliation {
            return Err(StanzaError::new(Condition::NotAllowed));
        }
        match role {
            // XEP-0045 §8.2 lets nobody kick his equals; with everybody an owner, as Jitsi has it, that would be nobody.
            Role::None => Ok(Action::Kick { nick, cause: Cause { status: Some(status::KICKED), ..cause } }),
            // XEP-0045 §9.6–9.7: moderators are made and unmade by admins and owners; an owner always is one.
            Role::Moderator if actor.affiliation >= Affiliation::Admin => Ok(Action::SetRole { nick, role, cause }),
            Role::Visitor | Role::Participant
                if target_affiliation < Affiliation::Admin
                    && (target.role != Role::Moderator || actor.affiliation >= Affiliation::Admin) =>
            {
                Ok(Action::SetRole { nick, role, cause })
            }
            Role::Moderator | Role::Visitor | Role::Participant => Err(StanzaError::new(Condition::NotAllowed)),
        }
    }

    fn check_affiliation(
        &self,
        context: &Context<'_>,
        actor: &Actor,
        item: &AdminItem,
        affiliation: Affiliation,
        cause: Cause,
    ) -> Result<Action, StanzaError> {
        let bare = match (&item.jid, &item.nick) {
            (Some(jid), _) => jid.parse::<Jid>().map_err(|_| StanzaError::new(Condition::JidMalformed))?.to_bare(),
            (None, Some(nick)) => {
                self.occupants.get(nick).ok_or(StanzaError::new(Condition::ItemNotFound))?.jid.to_bare()
            }
            (None, None) => return Err(StanzaError::new(Condition::BadRequest)),
        };
        // XEP-0045 §5.2.1: admins manage members and outcasts, owners everybody.
        let highest = match actor.affiliation {
            Affiliation::Owner => Affiliation::Owner,
            Affiliation::Admin => Affiliation::Member,
            Affiliation::Member | Affiliation::None | Affiliation::Outcast => {
                return Err(StanzaError::new(Condition::Forbidden));
            }
        };
        // Services are owners whatever a list says.
        if context.settings.hosts.is_service(&bare) {
            return Err(StanzaError::new(Condition::NotAllowed));
        }
        let former = self.affiliation_of(&bare, false);
        if let Some(rule) = context.settings.conference.all_owners.as_ref().filter(|_| self.kind.has_media()) {
            // Where everybody is an owner, nobody makes less of another; where a token makes owners, not even the focus
            // makes one (`muc_allowners`).
            let is_demotion =
                former == Affiliation::Owner && matches!(affiliation, Affiliation::None | Affiliation::Member);
            let is_moderated =
                !rule.apply_to(self.main_room.as_ref().unwrap_or(&self.jid), &context.settings.hosts, None);
            if (is_demotion && !is_moderated) || (is_moderated && actor.is_focus && affiliation == Affiliation::Owner) {
                return Err(StanzaError::new(Condition::Forbidden));
            }
        }
        if affiliation > highest || former > highest {
            return Err(StanzaError::new(Condition::NotAllowed));
        }
        if affiliation != Affiliation::None
            && self.affiliations.len() >= MAX_AFFILIATIONS
            && !self.affiliations.contains_key(&bare)
        {
            return Err(StanzaError::new(Condition::ResourceConstraint));
        }
        Ok(Action::SetAffiliation { bare, affiliation, cause })
    }

    /// Answers whose occupants left.
    fn carry_out(&mut self, context: &mut Context<'_>, actor: &Actor, action: Action) -> Vec<Jid> {
        match action {
            Action::Kick { nick, cause } => {
                let Some(departed) = self.occupants.get(&nick).map(super::Occupant::departed) else {
                    return Vec::new();
                };
                let event = if self.kind == MucKind::Lobby { "lobby_denied" } else { "kick" };
                self.note(actor, event, &departed.jid);
                self.forget_affiliation_of(context, &nick);
                self.emit(context, Happening::Kicked { by: actor.jid.clone(), occupant: departed });
                self.expel(context, &nick, &cause).into_iter().collect()
            }
            Action::SetRole { nick, role, cause } => {
                if let Some(occupant) = self.occupants.get(&nick).filter(|occupant| occupant.role != role) {
                    self.note(actor, if role == Role::Moderator { "grant" } else { "revoke" }, &occupant.jid);
                    self.set_role(context, &nick, role, &cause);
                }
                Vec::new()
            }
            Action::SetAffiliation { bare, affiliation, cause } => {
                if self.affiliation_of(&bare, false) != affiliation {
                    let event = match affiliation {
                        Affiliation::Outcast => "ban",
                        Affiliation::Owner | Affiliation::Admin => "grant",
                        Affiliation::Member => "member",
                        Affiliation::None => "revoke",
                    };
                    self.note(actor, event, &bare);
                }
                self.set_affiliation(context, &actor.jid, &bare, affiliation, &cause)
            }
        }
    }

    fn note(&self, actor: &Actor, event: &'static str, on: &Jid) {
        let act = Act { event, rule: actor.rule(), by: Some(&actor.jid), on: Some(on.as_str()) };
        audit::moderated(&self.jid, act);
    }

    /// The users of an affiliation, for owners and admins, or the occupants of a role, for moderators (§9.5, §9.8).
    fn list(&self, actor: &Actor, items: &[AdminItem]) -> Result<Element, StanzaError> {
        let mut list = Element::new("query", ns::MUC_ADMIN);
        for item in items {
            match (item.affiliation, item.role) {
                (Some(affiliation), None) if actor.affiliation >= Affiliation::Admin => {
                    let users = self.affiliations.iter().filter(|(_, known)| **known == affiliation);
                    for (jid, _) in users {
                        list.push(
                            AdminItem {
                                jid: Some(jid.as_str().to_owned()),
                                affiliation: Some(affiliation),
                                ..AdminItem::default()
                            }
                            .to_element(),
                        );
                    }
                }
                (None, Some(role)) if actor.role == Role::Moderator => {
                    for occupant in self.occupants.values().filter(|occupant| occupant.role == role) {
                        list.push(
                            AdminItem {
                                nick: Some(occupant.nick.clone()),
                                jid: Some(occupant.jid.as_str().to_owned()),
                                affiliation: Some(self.affiliation_of(&occupant.jid, occupant.is_service)),
                                role: Some(role),
                                reason: None,
                            }
                            .to_element(),
                        );
                    }
                }
                (Some(_), Some(_)) | (None, None) => return Err(StanzaError::new(Condition::BadRequest)),
                (Some(_), None) | (None, Some(_)) => return Err(StanzaError::new(Condition::Forbidden)),
            }
        }
        Ok(list)
    }
}
