//! Lasting bonds between users and a room (XEP-0045 §5.2), which lobbies and breakout rooms share with their conference.

use std::sync::Arc;

use xmpp::Jid;
use xmpp::muc::{Affiliation, Role, status};

use super::event::{Departed, Happening};
use super::kind::MucKind;
use super::occupant::role_of;
use super::presence::Cause;
use super::room::Room;
use crate::context::Context;
use auth::Features;

impl Room {
    /// Gives a user an affiliation, by the hand of `actor`. Answers whose occupants left by it.
    pub(super) fn set_affiliation(
        &mut self,
        context: &mut Context<'_>,
        actor: &Jid,
        bare: &Jid,
        affiliation: Affiliation,
        cause: &Cause,
    ) -> Vec<Jid> {
        let former = self.affiliation_of(bare, false);
        if former == affiliation {
            return Vec::new();
        }
        if affiliation == Affiliation::Owner {
            self.share_rights(actor, bare);
        } else if former == Affiliation::Owner {
            self.withdraw_rights(bare);
        }
        self.apply_affiliation(context, bare, affiliation, cause)
    }

    /// Takes over what another room of the same meeting says of a user. Answers whose occupants left by it.
    pub(crate) fn adopt(
        &mut self,
        context: &mut Context<'_>,
        bare: &Jid,
        affiliation: Affiliation,
        granted: Option<Arc<Features>>,
    ) -> Vec<Jid> {
        match granted {
            Some(granted) => drop(self.granted.insert(bare.clone(), granted)),
            None => drop(self.granted.remove(bare)),
        }
        if self.affiliation_of(bare, false) == affiliation {
            return Vec::new();
        }
        self.apply_affiliation(context, bare, affiliation, &Cause::default())
    }

    /// What the room says of a user, for other rooms of the same meeting.
    pub(crate) fn standing_of(&self, bare: &Jid) -> (Affiliation, Option<Arc<Features>>) {
        (self.affiliation_of(bare, false), self.granted.get(bare).cloned())
    }

    /// Begins with the affiliations of the conference that this room belongs to.
    pub(crate) fn inherit(&mut self, main: &Room) {
        self.affiliations.clone_from(&main.affiliations);
        self.granted.clone_from(&main.granted);
        self.main_room = Some(main.jid.clone());
    }

    fn apply_affiliation(
        &mut self,
        context: &mut Context<'_>,
        bare: &Jid,
        affiliation: Affiliation,
        cause: &Cause,
    ) -> Vec<Jid> {
        match affiliation {
            Affiliation::None => drop(self.affiliations.remove(bare)),
            Affiliation::Outcast | Affiliation::Member | Affiliation::Admin | Affiliation::Owner => {
                self.affiliations.insert(bare.clone(), affiliation);
            }
        }
        self.emit(context, Happening::AffiliationChanged { bare: bare.clone() });
        let expulsion = match affiliation {
            Affiliation::Outcast => Some(status::BANNED),
            Affiliation::None if self.config.is_members_only => Some(status::AFFILIATION_LOST),
            Affiliation::None | Affiliation::Member | Affiliation::Admin | Affiliation::Owner => None,
        };
        let nicks: Vec<String> = self
            .occupants
            .values()
            .filter(|occupant| occupant.jid.bare_str() == bare.as_str())
            .map(|occupant| occupant.nick.clone())
            .collect();
        let mut departed = Vec::new();
        for nick in nicks {
            match expulsion {
                Some(code) => {
                    departed.extend(self.expel(context, &nick, &Cause { status: Some(code), ..cause.clone() }));
                }
                // A visitor stays one, whatever he is a member of.
                None if self.kind == MucKind::Visitors && role_of(affiliation) == Role::Participant => {}
                None => self.set_role(context, &nick, role_of(affiliation), cause),
            }
        }
        departed
    }

    /// Gives an occupant a role and tells everybody how it stands with him.
    pub(super) fn set_role(&mut self, context: &mut Context<'_>, nick: &str, role: Role, cause: &Cause) {
        let Some(occupant) = self.occupants.get_mut(nick) else { return };
        let is_changed = occupant.role != role;
        if self.kind == MucKind::Lobby && !is_changed {
            // Who waits learns from the invitation that he may come in.
            return;
        }
        occupant.role = role;
        occupant.knows_permissions &= !is_changed;
        let jid = occupant.jid.clone();
        self.announce(context, nick, cause, &[]);
        if is_changed {
            self.emit(context, Happening::RoleChanged { nick: nick.to_owned() });
        }
        if is_changed && role == Role::Moderator {
            if self.kind == MucKind::Lobby {
                self.send_occupants(context, &jid);
            }
            self.emit(context, Happening::BecameModerator { nick: nick.to_owned() });
        }
    }

    /// Where everybody owns what he joins, he does so for as long as he is there (`muc_allowners`).
    pub(super) fn forget_rule_affiliation(&mut self, context: &mut Context<'_>, departed: &Departed) {
        let bare = departed.jid.to_bare();
        let is_elsewhere =
            departed.switches_room || self.occupants.values().any(|occupant| occupant.jid.bare_str() == bare.as_str());
        let has_rule = context.settings.conference.all_owners.is_some();
        if has_rule && self.kind == MucKind::Conference && !is_elsewhere && self.affiliations.remove(&bare).is_some() {
            self.granted.remove(&bare);
            self.emit(context, Happening::AffiliationChanged { bare });
        }
    }
}
