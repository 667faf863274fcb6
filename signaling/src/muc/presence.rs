//! Presence in a room (XEP-0045 §7.2, §7.7, §7.14, §8): relayed word for word, with what the room says added.

use xmpp::muc::{Affiliation, Destroy, MucUser, Role, status};
use xmpp::{Condition, Element, Jid, StanzaError, ns};

use super::occupant::{Occupant, as_relayed};
use super::room::Room;
use crate::context::Context;

/// What comes with a presence that the room sends of its own accord.
#[derive(Clone, Debug, Default)]
pub(super) struct Cause {
    /// The status code for everybody.
    pub(super) status: Option<u16>,
    /// Nick of who caused it.
    pub(super) actor: Option<String>,
    /// Why.
    pub(super) reason: Option<String>,
}

impl Room {
    /// Takes a presence of somebody who is in the room.
    pub(crate) fn update_presence(&mut self, context: &mut Context<'_>, jid: &Jid, nick: &str, stanza: Element) {
        let Some(own_nick) = self.occupant_of(jid).map(|occupant| occupant.nick.clone()) else { return };
        if own_nick != nick {
            // The nick is the endpoint id: everything in the conference hangs on it.
            let error = StanzaError::new(Condition::NotAllowed).with_text("Nick changes are not allowed");
            context.refuse(jid, &stanza, &error);
            return;
        }
        let is_rejoin = stanza.child("x", ns::MUC).is_some();
        if let Some(occupant) = self.occupants.get_mut(nick) {
            occupant.presence = as_relayed(stanza);
        }
        if is_rejoin {
            // A client that joins where it is has lost track of the room: it is told everything again.
            self.send_occupants(context, jid);
        }
        self.announce(context, nick, &Cause::default(), &[]);
        if is_rejoin {
            self.send_subject(context, jid);
        }
    }

    /// Tells everybody of an occupant, that one itself last, with `own_statuses` besides 110.
    pub(super) fn announce(&self, context: &mut Context<'_>, nick: &str, cause: &Cause, own_statuses: &[u16]) {
        let Some(occupant) = self.occupants.get(nick) else { return };
        let mut user = self.said_of(occupant, cause);
        let presence = self.presence_of(occupant, &user);
        let others = self.occupants.values().filter(|other| other.nick != nick);
        context.send_to_all(others.map(|other| &other.jid), presence);
        user.statuses.extend(own_statuses);
        user.statuses.push(status::SELF_PRESENCE);
        context.send(&occupant.jid, self.presence_of(occupant, &user));
    }

    /// Tells a session of everybody else in the room, of the focus first.
    pub(super) fn send_occupants(&self, context: &mut Context<'_>, to: &Jid) {
        let (focuses, others): (Vec<_>, Vec<_>) =
            self.occupants.values().filter(|occupant| occupant.jid != *to).partition(|occupant| occupant.is_focus());
        for occupant in focuses.into_iter().chain(others) {
            context.send(to, self.presence_of(occupant, &self.said_of(occupant, &Cause::default())));
        }
    }

    fn said_of(&self, occupant: &Occupant, cause: &Cause) -> MucUser {
        MucUser {
            actor: cause.actor.clone(),
            reason: cause.reason.clone(),
            statuses: cause.status.into_iter().collect(),
            ..occupant.muc_user(self.affiliation_of(&occupant.jid, occupant.is_service))
        }
    }

    fn presence_of(&self, occupant: &Occupant, user: &MucUser) -> Element {
        let mut presence = occupant.presence.clone();
        presence.set_attr("from", self.occupant_jid(&occupant.nick));
        presence.with_child(user.to_element())
    }

    /// Somebody leaves, by a presence of type `unavailable` or because the session ended; or waits no longer.
    pub(crate) fn leave(&mut self, context: &mut Context<'_>, jid: &Jid, stanza: Option<&Element>) {
        self.held.retain(|held| held.jid != *jid);
        let Some(nick) = self.occupant_of(jid).map(|occupant| occupant.nick.clone()) else { return };
        let Some(mut occupant) = self.remove(context, &nick) else { return };
        let goodbye = match stanza {
            Some(stanza) => as_relayed(stanza.clone()),
            None => Element::new("presence", ns::CLIENT),
        };
        occupant.presence = goodbye.with_attr("type", "unavailable");
        self.tell_departure(context, &occupant, &Cause::default(), stanza.is_some());
    }

    /// Removes somebody against his will.
    pub(super) fn expel(&mut self, context: &mut Context<'_>, nick: &str, cause: &Cause) -> Option<Jid> {
        let mut occupant = self.remove(context, nick)?;
        occupant.presence = Element::new("presence", ns::CLIENT).with_attr("type", "unavailable");
        self.tell_departure(context, &occupant, cause, true);
        Some(occupant.jid)
    }

    fn tell_departure(&self, context: &mut Context<'_>, occupant: &Occupant, cause: &Cause, tells_self: bool) {
        let mut user = MucUser { role: Role::None, ..self.said_of(occupant, cause) };
        let presence = self.presence_of(occupant, &user);
        self.broadcast(context, &presence);
        if tells_self {
            user.statuses.push(status::SELF_PRESENCE);
            context.send(&occupant.jid, self.presence_of(occupant, &user));
        }
    }

    /// Ends the room: everybody is told so about himself (XEP-0045 §10.9). Answers who was in it.
    pub(super) fn destroy(&mut self, context: &mut Context<'_>, destroy: &Destroy) -> Vec<Jid> {
        let nicks: Vec<String> = self.occupants.keys().cloned().collect();
        let mut departed = Vec::with_capacity(nicks.len());
        for nick in nicks {
            let Some(mut occupant) = self.remove(context, &nick) else { continue };
            occupant.presence = Element::new("presence", ns::CLIENT).with_attr("type", "unavailable");
            let user = MucUser {
                affiliation: Affiliation::None,
                role: Role::None,
                statuses: vec![status::SELF_PRESENCE],
                destroy: Some(destroy.clone()),
                ..MucUser::default()
            };
            context.send(&occupant.jid, self.presence_of(&occupant, &user));
            departed.push(occupant.jid);
        }
        departed
    }
}
