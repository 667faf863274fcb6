//! Joining a room (XEP-0045 §7.2): who is let in, in stock's order of refusals (signaling.md §5.4), and what he is told.

use xmpp::muc::{Affiliation, status};
use xmpp::{Condition, Element, Jid, StanzaError, ns};

use super::MucProfile;
use super::occupant::{FOCUS_NICK, Occupant};
use super::presence::Cause;
use super::room::Room;
use crate::Settings;
use crate::context::{Context, Sender};

/// Joins that wait for the focus in one room, as in stock.
const MAX_HELD_JOINS: usize = 500;

/// A join that waits for the focus.
#[derive(Debug)]
pub(crate) struct HeldJoin {
    pub(super) jid: Jid,
    nick: String,
    presence: Element,
}

/// Whether the nick may be used here. In conferences it is the endpoint id, of which sources get their names.
pub(super) fn check_nick(
    profile: &MucProfile,
    settings: &Settings,
    sender: Sender<'_>,
    nick: &str,
) -> Result<(), StanzaError> {
    if !profile.is_conference {
        return Ok(());
    }
    if nick == FOCUS_NICK {
        // Clients trust the occupant of this name.
        let is_focus = settings.hosts.is_focus(sender.jid);
        return if is_focus { Ok(()) } else { Err(StanzaError::new(Condition::NotAllowed)) };
    }
    let mut chars = nick.chars();
    let is_valid = chars.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_valid || sender.is_service {
        Ok(())
    } else {
        Err(StanzaError::new(Condition::NotAllowed).with_text("Invalid resource"))
    }
}

impl Room {
    /// Lets somebody in, or lets him wait for the focus. Answers whose held joins were turned away on the way.
    ///
    /// # Errors
    /// Why the join is refused.
    pub(crate) fn join(
        &mut self,
        context: &mut Context<'_>,
        profile: &MucProfile,
        sender: Sender<'_>,
        nick: &str,
        stanza: &Element,
    ) -> Result<Vec<Jid>, StanzaError> {
        if profile.is_conference && !sender.is_service && !self.has_focus() {
            return self.hold(sender, nick, stanza).map(|()| Vec::new());
        }
        let affiliation = self.affiliation_of(sender.jid, sender.is_service);
        self.check_entry(context, sender, affiliation, nick, stanza)?;
        let is_new = self.is_empty();
        let history = self.history.wanted_by(stanza, context.now.unix_ms);
        let occupant = Occupant::new(sender, nick, affiliation, stanza.clone());
        let brings_focus = occupant.is_focus();
        // XEP-0045 §7.1: the others' presence first, the own one ends the list, then history, then the subject.
        self.send_occupants(context, sender.jid);
        self.insert(context, occupant);
        let own_statuses: &[u16] =
            if is_new { &[status::NON_ANONYMOUS, status::CREATED] } else { &[status::NON_ANONYMOUS] };
        self.announce(context, nick, &Cause::default(), own_statuses);
        for message in history {
            context.send(sender.jid, message);
        }
        self.send_subject(context, sender.jid);
        if brings_focus { Ok(self.release_held(context, profile)) } else { Ok(Vec::new()) }
    }

    fn check_entry(
        &self,
        context: &Context<'_>,
        sender: Sender<'_>,
        affiliation: Affiliation,
        nick: &str,
        stanza: &Element,
    ) -> Result<(), StanzaError> {
        if let Some(holder) = self.occupants.get(nick) {
            tracing::debug!(room = %self.jid, nick, holder = %holder.jid, "nick in use");
            return Err(StanzaError::new(Condition::Conflict));
        }
        if sender.is_service {
            return Ok(());
        }
        let participants = self.occupants.values().filter(|occupant| !occupant.is_service).count();
        if context.settings.limits.occupants.is_some_and(|limit| participants >= limit) {
            return Err(StanzaError::new(Condition::ServiceUnavailable));
        }
        if affiliation == Affiliation::Outcast {
            return Err(StanzaError::new(Condition::Forbidden));
        }
        if self.config.is_members_only && affiliation < Affiliation::Member {
            return Err(StanzaError::new(Condition::RegistrationRequired));
        }
        let given = stanza.child("x", ns::MUC).and_then(|x| x.child("password", ns::MUC)).map(Element::text);
        match &self.config.password {
            Some(password) if given.as_deref() != Some(password) => Err(StanzaError::new(Condition::NotAuthorized)),
            Some(_) | None => Ok(()),
        }
    }

    fn hold(&mut self, sender: Sender<'_>, nick: &str, presence: &Element) -> Result<(), StanzaError> {
        self.held.retain(|held| held.jid != *sender.jid);
        if self.held.len() >= MAX_HELD_JOINS {
            return Err(StanzaError::new(Condition::ResourceConstraint));
        }
        self.held.push(HeldJoin { jid: sender.jid.clone(), nick: nick.to_owned(), presence: presence.clone() });
        Ok(())
    }

    /// The focus is here: those who waited come in. Answers who was refused.
    fn release_held(&mut self, context: &mut Context<'_>, profile: &MucProfile) -> Vec<Jid> {
        let mut turned_away = Vec::new();
        for HeldJoin { jid, nick, presence } in std::mem::take(&mut self.held) {
            let sender = Sender { jid: &jid, is_service: false, host: None };
            if let Err(error) = self.join(context, profile, sender, &nick, &presence) {
                context.metrics.joins_refused.with_label_values(&[error.condition.as_str()]).inc();
                context.refuse(&jid, &presence, &error);
                turned_away.push(jid);
            }
        }
        turned_away
    }

    /// The room ends before a focus came: those who wait are told to try again. Answers who that was.
    pub(crate) fn turn_held_away(&mut self, context: &mut Context<'_>) -> Vec<Jid> {
        let error = StanzaError::new(Condition::NotAllowed).with_text("Room creation is restricted");
        std::mem::take(&mut self.held)
            .into_iter()
            .map(|held| {
                context.refuse(&held.jid, &held.presence, &error);
                held.jid
            })
            .collect()
    }
}
