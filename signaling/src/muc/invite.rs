//! Invitations (XEP-0045 §7.8.2). Moderators let people in from the lobby by them, several in one message.

use xmpp::muc::Affiliation;
use xmpp::{Condition, Element, Jid, StanzaError, ns};

use super::admin::MAX_AFFILIATIONS;
use super::event::Happening;
use super::presence::Cause;
use super::room::Room;
use crate::audit::{self, Act};
use crate::context::{Context, Sender};

/// Whom a message invites; `None` when it is no invitation.
pub(super) fn invites_of(stanza: &Element) -> Option<Vec<&Element>> {
    let x = stanza.child("x", ns::MUC_USER)?;
    let invites: Vec<_> =
        x.children_named("invite", ns::MUC_USER).filter(|invite| invite.attr("to").is_some()).collect();
    (!invites.is_empty()).then_some(invites)
}

impl Room {
    /// Takes a message with invitations, of a moderator here or in a breakout room.
    pub(super) fn handle_invites(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        stanza: &Element,
        invites: &[&Element],
    ) {
        match self.check_invites(sender, invites) {
            Ok(invitees) => {
                for (invitee, reason) in invitees {
                    self.invite(context, sender.jid, &invitee, reason.as_deref());
                }
            }
            Err(error) => context.refuse(sender.jid, stanza, &error),
        }
    }

    fn check_invites(
        &self,
        sender: Sender<'_>,
        invites: &[&Element],
    ) -> Result<Vec<(Jid, Option<String>)>, StanzaError> {
        if self.affiliation_of(sender.jid, sender.is_service) < Affiliation::Admin {
            return Err(StanzaError::new(Condition::Forbidden));
        }
        if self.affiliations.len() + invites.len() > MAX_AFFILIATIONS {
            return Err(StanzaError::new(Condition::ResourceConstraint));
        }
        let invitees = invites.iter().map(|invite| {
            let invitee = invite.attr("to").unwrap_or_default().parse::<Jid>();
            let reason = invite.child("reason", ns::MUC_USER).map(Element::text);
            invitee.map(|invitee| (invitee, reason)).map_err(|_| StanzaError::new(Condition::JidMalformed))
        });
        invitees.collect()
    }

    /// Makes somebody a member and tells him that he may come.
    fn invite(&mut self, context: &mut Context<'_>, by: &Jid, invitee: &Jid, reason: Option<&str>) {
        if context.settings.hosts.is_service(invitee) {
            return;
        }
        let bare = invitee.to_bare();
        if self.config.is_members_only && self.affiliation_of(&bare, false) < Affiliation::Member {
            let rule = self.affiliation_of(by, context.settings.hosts.is_service(by)).as_str();
            let act = Act { event: "lobby_admitted", rule, by: Some(by), on: Some(invitee.as_str()) };
            audit::moderated(&self.jid, act);
            self.set_affiliation(context, by, &bare, Affiliation::Member, &Cause::default());
        }
        let mut invite = Element::new("invite", ns::MUC_USER).with_attr("from", by.as_str());
        if let Some(reason) = reason {
            invite.push(Element::new("reason", ns::MUC_USER).with_text(reason));
        }
        let message = Element::new("message", ns::CLIENT)
            .with_attr("from", self.jid.as_str())
            .with_attr("id", context.random_uuid())
            .with_child(Element::new("x", ns::MUC_USER).with_child(invite));
        context.send(invitee, message);
        self.emit(context, Happening::Invited { by: by.clone(), invitee: invitee.clone() });
    }
}
