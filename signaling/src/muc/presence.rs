//! Presence in a room (XEP-0045 §7.2, §7.7, §7.14, §8): relayed word for word, with what the room says added.

use std::sync::Arc;

use xmpp::muc::{Affiliation, Destroy, MucUser, Role, status};
use xmpp::{Condition, Element, Jid, SharedStanza, StanzaError, ns};

use super::display_name::{as_shown_to_guests, is_hidden_from};
use super::event::{Departed, Happening};
use super::kind::MucKind;
use super::occupant::{Occupant, as_relayed};
use super::pace::MAX_WAITING;
use super::room::Room;
use super::shown::Shown;
use crate::Settings;
use crate::context::Context;

/// What comes with a presence that the room sends of its own accord.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cause {
    /// The status code for everybody.
    pub(super) status: Option<u16>,
    /// Nick of who caused it.
    pub(super) actor: Option<String>,
    /// Why.
    pub(super) reason: Option<String>,
    /// What a goodbye says besides.
    pub(super) extension: Option<Element>,
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
            occupant.set_presence(stanza);
        }
        if is_rejoin {
            // A client that joins where it is has lost track of the room: it is told everything again.
            self.send_occupants(context, jid);
        }
        self.announce(context, nick, &Cause::default(), &[]);
        if is_rejoin {
            self.send_subject(context, jid);
        }
        self.emit(context, Happening::PresenceUpdated { nick: nick.to_owned() });
    }

    /// Tells everybody of an occupant, that one itself last, with `own_statuses` besides 110.
    pub(super) fn announce(&mut self, context: &mut Context<'_>, nick: &str, cause: &Cause, own_statuses: &[u16]) {
        let permissions = self.permissions_to_tell(context.settings, nick);
        self.refresh_shown(nick);
        let Some(occupant) = self.occupants.get(nick) else { return };
        let mut user = self.said_of(occupant, cause);
        if *cause == Cause::default() {
            self.send_shown(context, occupant);
        } else {
            self.send_to_others(context, occupant, self.presence_of(occupant, &user));
        }
        user.statuses.extend(own_statuses);
        user.statuses.push(status::SELF_PRESENCE);
        let mut own = occupant.presence().clone();
        own.set_attr("from", self.occupant_jid(&occupant.nick));
        context.send(&occupant.jid, own.with_children(permissions).with_child(user.to_element()));
    }

    /// Tells the others what is kept for them of an occupant.
    fn send_shown(&self, context: &mut Context<'_>, subject: &Occupant) {
        let Some(shown) = &subject.shown else { return };
        for other in self.others_who_see(subject) {
            context.send_shared(&other.jid, shown_to(context.settings, other, subject, shown));
        }
    }

    /// Two stanzas at most are written, however many receive them.
    fn send_to_others(&self, context: &mut Context<'_>, subject: &Occupant, presence: Element) {
        let (guests, others): (Vec<_>, Vec<_>) =
            self.others_who_see(subject).partition(|other| is_hidden_from(context.settings, other, subject));
        if !guests.is_empty() {
            context.send_to_all(guests.into_iter().map(|guest| &guest.jid), as_shown_to_guests(&presence));
        }
        context.send_to_all(others.into_iter().map(|other| &other.jid), presence);
    }

    fn others_who_see<'a>(&'a self, subject: &'a Occupant) -> impl Iterator<Item = &'a Occupant> {
        self.occupants.values().filter(|other| other.nick != subject.nick && self.sees(other, subject))
    }

    /// Tells a session of everybody else in the room, of the focus first. Nothing is written for it: everybody's presence
    /// is there from when it was told last.
    pub(super) fn send_occupants(&mut self, context: &mut Context<'_>, to: &Jid) {
        self.refresh_all_shown();
        let Some(viewer) = self.occupant_of(to) else { return };
        let others = self.occupants.values().filter(|other| other.nick != viewer.nick && self.sees(viewer, other));
        let (focuses, others): (Vec<_>, Vec<_>) = others.partition(|occupant| occupant.is_focus());
        for occupant in focuses.into_iter().chain(others) {
            let Some(shown) = &occupant.shown else { continue };
            context.send_shared(to, shown_to(context.settings, viewer, occupant, shown));
        }
        self.send_mirrored(context, viewer);
    }

    /// Makes sure that there is something to show of everybody.
    fn refresh_all_shown(&mut self) {
        let stale = self.occupants.values().filter(|occupant| self.is_shown_stale(occupant));
        let stale: Vec<String> = stale.map(|occupant| occupant.nick.clone()).collect();
        for nick in stale {
            self.refresh_shown(&nick);
        }
    }

    fn is_shown_stale(&self, occupant: &Occupant) -> bool {
        let affiliation = self.affiliation_of(&occupant.jid, occupant.is_service);
        !occupant.shown.as_ref().is_some_and(|shown| shown.says(affiliation, occupant.role))
    }

    /// Writes down what others are shown of an occupant, unless that is there.
    fn refresh_shown(&mut self, nick: &str) {
        let Some(occupant) = self.occupants.get(nick).filter(|occupant| self.is_shown_stale(occupant)) else { return };
        let user = self.said_of(occupant, &Cause::default());
        let shown = Shown::new(self.presence_of(occupant, &user), user.affiliation, user.role);
        if let Some(occupant) = self.occupants.get_mut(nick) {
            occupant.shown = Some(shown);
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

    pub(super) fn presence_of(&self, occupant: &Occupant, user: &MucUser) -> Element {
        let mut presence = occupant.presence().clone();
        presence.set_attr("from", self.occupant_jid(&occupant.nick));
        presence.with_child(user.to_element())
    }

    /// Somebody leaves, by a presence of type `unavailable` or because the session ended; or waits no longer.
    pub(crate) fn leave(&mut self, context: &mut Context<'_>, jid: &Jid, stanza: Option<&Element>) {
        self.held.retain(|held| held.jid != *jid);
        self.pace.joins.waiting.retain(|held| held.jid != *jid);
        let Some(nick) = self.occupant_of(jid).map(|occupant| occupant.nick.clone()) else { return };
        let Some(mut occupant) = self.remove(context, &nick) else { return };
        let goodbye = match stanza {
            Some(stanza) => as_relayed(stanza.clone(), &occupant.client),
            None => Element::new("presence", ns::CLIENT),
        };
        let switches_room = goodbye.child("status", ns::CLIENT).is_some_and(|status| is_room_switch(&status.text()));
        let spoke_ms = self.state.speaker_stats.spoke_ms(&nick, context.now.unix_ms);
        let departed = Departed { switches_room, spoke_ms, ..occupant.departed() };
        occupant.say_goodbye(goodbye);
        self.forget_rule_affiliation(context, &departed);
        if stanza.is_some() {
            self.tell_departed(context, &occupant, &Cause::default());
        }
        self.tell_departure(context, occupant, Cause::default());
        self.emit(context, Happening::Left(departed));
    }

    /// Removes somebody against his will.
    pub(super) fn expel(&mut self, context: &mut Context<'_>, nick: &str, cause: &Cause) -> Option<Jid> {
        let mut occupant = self.remove(context, nick)?;
        let spoke_ms = self.state.speaker_stats.spoke_ms(nick, context.now.unix_ms);
        let departed = Departed { spoke_ms, ..occupant.departed() };
        occupant.say_goodbye(Element::new("presence", ns::CLIENT).with_children(cause.extension.clone()));
        self.tell_departed(context, &occupant, cause);
        let jid = occupant.jid.clone();
        self.tell_departure(context, occupant, cause.clone());
        self.emit(context, Happening::Left(departed));
        Some(jid)
    }

    /// Removes somebody by the hand of the operator.
    pub(crate) fn kick(&mut self, context: &mut Context<'_>, nick: &str) -> Option<Jid> {
        self.forget_affiliation_of(context, nick);
        self.expel(context, nick, &Cause { status: Some(status::KICKED), ..Cause::default() })
    }

    /// Who is kicked loses what he was given, else he would come back as moderator (`muc_meeting_id`).
    pub(super) fn forget_affiliation_of(&mut self, context: &mut Context<'_>, nick: &str) {
        let Some(bare) = self.occupants.get(nick).map(|occupant| occupant.jid.to_bare()) else { return };
        if self.kind != MucKind::Lobby && self.affiliations.remove(&bare).is_some() {
            self.withdraw_rights(&bare);
            self.emit(context, Happening::AffiliationChanged { bare });
        }
    }

    /// Tells who left that he did.
    fn tell_departed(&self, context: &mut Context<'_>, occupant: &Occupant, cause: &Cause) {
        let mut user = MucUser { role: Role::None, ..self.said_of(occupant, cause) };
        user.statuses.push(status::SELF_PRESENCE);
        context.send(&occupant.jid, self.presence_of(occupant, &user));
    }

    /// Tells the others that somebody left, at once or when the turn comes.
    fn tell_departure(&mut self, context: &mut Context<'_>, occupant: Occupant, cause: Cause) {
        let limit = context.settings.conference.leaves_per_second;
        let is_paced = self.kind == MucKind::Conference && !occupant.is_service;
        let may_wait = is_paced && self.pace.departures.waiting.len() < MAX_WAITING;
        if may_wait && !self.pace.departures.is_due(limit, context.now.instant) {
            self.pace.departures.waiting.push_back((occupant, cause));
            self.emit(context, Happening::Paced);
            return;
        }
        self.broadcast_departure(context, &occupant, &cause);
    }

    fn broadcast_departure(&self, context: &mut Context<'_>, occupant: &Occupant, cause: &Cause) {
        let user = MucUser { role: Role::None, ..self.said_of(occupant, cause) };
        self.send_to_others(context, occupant, self.presence_of(occupant, &user));
    }

    /// Tells of the departures whose turn has come.
    pub(super) fn tell_paced_departures(&mut self, context: &mut Context<'_>) {
        let limit = context.settings.conference.leaves_per_second;
        while let Some((occupant, cause)) = self.pace.departures.pop_due(limit, context.now.instant) {
            self.broadcast_departure(context, &occupant, &cause);
        }
    }

    /// Somebody is about to take the nick of who left: that one's goodbye must not come after.
    pub(super) fn tell_waiting_departure_of(&mut self, context: &mut Context<'_>, nick: &str) {
        let at = self.pace.departures.waiting.iter().position(|(occupant, _)| occupant.nick == nick);
        if let Some((occupant, cause)) = at.and_then(|at| self.pace.departures.waiting.remove(at)) {
            self.broadcast_departure(context, &occupant, &cause);
        }
    }

    /// Ends the room: everybody is told so about himself (XEP-0045 §10.9). Answers who was in it.
    pub(crate) fn destroy(&mut self, context: &mut Context<'_>, destroy: &Destroy) -> Vec<Jid> {
        let spoke_ms = self.spoke_ms(context);
        let nicks: Vec<String> = self.occupants.keys().cloned().collect();
        let mut departed = Vec::with_capacity(nicks.len());
        for nick in nicks {
            let Some(mut occupant) = self.remove(context, &nick) else { continue };
            occupant.say_goodbye(Element::new("presence", ns::CLIENT));
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
        self.is_destroyed = true;
        self.emit(context, Happening::Ended { destroy: destroy.clone(), spoke_ms });
        departed
    }
}

/// What a viewer is shown of an occupant.
pub(super) fn shown_to<'a>(
    settings: &Settings,
    viewer: &Occupant,
    subject: &Occupant,
    shown: &'a Shown,
) -> &'a Arc<SharedStanza> {
    if is_hidden_from(settings, viewer, subject) { shown.to_guests() } else { shown.whole() }
}

/// Whether the words of a goodbye say that the client goes to another room of the same meeting. More may follow the
/// first (client.md §5.6).
fn is_room_switch(status: &str) -> bool {
    status.split('|').next() == Some("switch_room")
}
