//! Multi-user chat (XEP-0045) as Jitsi's rooms need it (client.md §5, signaling.md §5): the service and its rooms.
//!
//! Here: which room a stanza is for, creation and end of rooms, who is where. What a stanza does in a room is in one
//! module an idea: `join`, `presence`, `message`, `admin`, `owner`, `disco`, `iq`.

mod admin;
mod config;
mod disco;
mod history;
mod iq;
mod join;
mod message;
mod occupant;
mod owner;
mod presence;
mod room;

use std::slice;

use indexmap::{IndexMap, IndexSet};
use xmpp::{Condition, Element, Jid, StanzaError, ns};

use crate::context::{Context, Sender};
use room::Room;

/// What sets one MUC service apart from another.
#[derive(Debug)]
pub(crate) struct MucProfile {
    /// The value of the label `service` in metrics.
    pub(crate) label: &'static str,
    /// Whether occupants meet media through a focus: then nobody but services is let in before it, the nick `focus` is
    /// its own, and other nicks are endpoint ids.
    pub(crate) is_conference: bool,
}

impl MucProfile {
    /// Rooms of conferences.
    pub(crate) const CONFERENCE: Self = Self { label: "conference", is_conference: true };

    /// Rooms of services.
    pub(crate) const INTERNAL: Self = Self { label: "internal", is_conference: false };
}

/// A MUC service.
#[derive(Debug)]
pub(crate) struct Muc {
    profile: MucProfile,
    rooms: IndexMap<Jid, Room>,
    /// The rooms that a session occupies or waits for, by full JID.
    visits: IndexMap<Jid, IndexSet<Jid>>,
}

impl Muc {
    pub(crate) fn new(profile: MucProfile) -> Self {
        Self { profile, rooms: IndexMap::new(), visits: IndexMap::new() }
    }

    /// Takes a stanza to the service, a room or an occupant.
    pub(crate) fn handle(&mut self, context: &mut Context<'_>, sender: Sender<'_>, to: &Jid, stanza: Element) {
        if to.local().is_none() {
            self.handle_service(context, sender, &stanza);
            return;
        }
        match (stanza.name(), to.resource()) {
            ("presence", nick) => self.handle_presence(context, sender, to, nick, stanza),
            ("message", nick) => match self.rooms.get_mut(&to.to_bare()) {
                Some(room) => room.handle_message(context, sender, nick, stanza),
                None => context.refuse(sender.jid, &stanza, &StanzaError::new(Condition::ItemNotFound)),
            },
            (_, Some(nick)) => match self.rooms.get(&to.to_bare()) {
                Some(room) => room.relay_iq(context, sender, nick, stanza),
                None => context.refuse(sender.jid, &stanza, &StanzaError::new(Condition::ItemNotFound)),
            },
            (_, None) => self.handle_room_iq(context, sender, &to.to_bare(), &stanza),
        }
    }

    fn handle_presence(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        to: &Jid,
        nick: Option<&str>,
        stanza: Element,
    ) {
        let Some(nick) = nick else {
            context.refuse(sender.jid, &stanza, &StanzaError::new(Condition::JidMalformed));
            return;
        };
        let room_jid = to.to_bare();
        match stanza.attr("type") {
            None => self.join_or_update(context, sender, &room_jid, nick, stanza),
            Some("unavailable") => {
                if let Some(room) = self.rooms.get_mut(&room_jid) {
                    room.leave(context, sender.jid, Some(&stanza));
                    self.after_departure(context, &room_jid, slice::from_ref(sender.jid));
                }
            }
            // Errors about what the room sent, subscriptions, probes: a room has no use for them.
            Some(_) => context.metrics.count_dropped("presence_type"),
        }
    }

    fn join_or_update(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        room_jid: &Jid,
        nick: &str,
        stanza: Element,
    ) {
        let is_inside = self.rooms.get(room_jid).is_some_and(|room| room.is_occupant(sender.jid));
        if is_inside {
            if let Some(room) = self.rooms.get_mut(room_jid) {
                room.update_presence(context, sender.jid, nick, stanza);
            }
            return;
        }
        match self.admit(context, sender, room_jid, nick, &stanza) {
            Ok(()) => self.join(context, sender, room_jid, nick, &stanza),
            Err(error) => {
                context.metrics.joins_refused.with_label_values(&[error.condition.as_str()]).inc();
                context.refuse(sender.jid, &stanza, &error);
            }
        }
    }

    /// Whether a join may be tried: what does not depend on the room's own rules.
    fn admit(
        &self,
        context: &Context<'_>,
        sender: Sender<'_>,
        room_jid: &Jid,
        nick: &str,
        stanza: &Element,
    ) -> Result<(), StanzaError> {
        if stanza.child("x", ns::MUC).is_none() {
            // An update of somebody whom the room has lost; told so, it can join again.
            return Err(StanzaError::new(Condition::ItemNotFound));
        }
        join::check_nick(&self.profile, context.settings, sender, nick)?;
        let limits = &context.settings.limits;
        let visits = self.visits.get(sender.jid).map_or(0, IndexSet::len);
        if !sender.is_service && visits >= limits.rooms_per_session {
            return Err(StanzaError::new(Condition::ResourceConstraint));
        }
        if self.rooms.contains_key(room_jid) {
            return Ok(());
        }
        if !sender.is_service {
            // The client retries on this text: it may have been faster than the focus.
            return Err(StanzaError::new(Condition::NotAllowed).with_text("Room creation is restricted"));
        }
        if self.rooms.len() >= limits.rooms {
            return Err(StanzaError::new(Condition::ResourceConstraint));
        }
        Ok(())
    }

    fn join(&mut self, context: &mut Context<'_>, sender: Sender<'_>, room_jid: &Jid, nick: &str, stanza: &Element) {
        let label = self.profile.label;
        let room = self.rooms.entry(room_jid.clone()).or_insert_with(|| {
            context.metrics.rooms.with_label_values(&[label]).inc();
            tracing::info!(room = %room_jid, "room created");
            Room::new(room_jid.clone(), label, context.random_uuid())
        });
        match room.join(context, &self.profile, sender, nick, stanza) {
            Ok(turned_away) => {
                self.visits.entry(sender.jid.clone()).or_default().insert(room_jid.clone());
                self.after_departure(context, room_jid, &turned_away);
            }
            Err(error) => {
                context.metrics.joins_refused.with_label_values(&[error.condition.as_str()]).inc();
                context.refuse(sender.jid, stanza, &error);
                self.after_departure(context, room_jid, &[]);
            }
        }
    }

    fn handle_room_iq(&mut self, context: &mut Context<'_>, sender: Sender<'_>, room_jid: &Jid, stanza: &Element) {
        let Some(room) = self.rooms.get_mut(room_jid) else {
            context.refuse(sender.jid, stanza, &StanzaError::new(Condition::ItemNotFound));
            return;
        };
        let departed = room.handle_iq(context, sender, stanza);
        self.after_departure(context, room_jid, &departed);
    }

    /// The sender is gone from every room, by presence without an address.
    pub(crate) fn leave_all(&mut self, context: &mut Context<'_>, jid: &Jid, stanza: &Element) {
        self.depart(context, jid, Some(stanza));
    }

    /// A session ended: its occupants leave, its waiting joins are forgotten.
    pub(crate) fn on_session_end(&mut self, context: &mut Context<'_>, jid: &Jid) {
        self.depart(context, jid, None);
    }

    fn depart(&mut self, context: &mut Context<'_>, jid: &Jid, stanza: Option<&Element>) {
        for room_jid in self.visits.swap_remove(jid).unwrap_or_default() {
            if let Some(room) = self.rooms.get_mut(&room_jid) {
                room.leave(context, jid, stanza);
            }
            self.after_departure(context, &room_jid, &[]);
        }
    }

    /// Whoever is in a room under an address of this domain.
    pub(crate) fn visitors_of(&self, domain: &str) -> Vec<Jid> {
        self.visits.keys().filter(|jid| jid.domain() == domain).cloned().collect()
    }

    /// Rooms and visits, for tests.
    pub(crate) fn remembered(&self) -> usize {
        self.rooms.len() + self.visits.len()
    }

    /// Forgets who left the room, and the room itself once nobody is in it.
    fn after_departure(&mut self, context: &mut Context<'_>, room_jid: &Jid, departed: &[Jid]) {
        self.forget_visits(room_jid, departed);
        if !self.rooms.get(room_jid).is_some_and(Room::is_empty) {
            return;
        }
        let turned_away = self.rooms.swap_remove(room_jid).map(|mut room| room.turn_held_away(context));
        context.metrics.rooms.with_label_values(&[self.profile.label]).dec();
        tracing::info!(room = %room_jid, "room ended");
        self.forget_visits(room_jid, &turned_away.unwrap_or_default());
    }

    fn forget_visits(&mut self, room_jid: &Jid, departed: &[Jid]) {
        for jid in departed {
            let Some(visits) = self.visits.get_mut(jid) else { continue };
            visits.swap_remove(room_jid);
            if visits.is_empty() {
                self.visits.swap_remove(jid);
            }
        }
    }
}
