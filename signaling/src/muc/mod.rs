//! Multi-user chat (XEP-0045) as Jitsi's rooms need it (client.md §5, signaling.md §5): the service and its rooms.
//!
//! Here: which room a stanza is for, creation and end of rooms, who is where. What a stanza does in a room is in one
//! module an idea: `entry` (who is let in), `join`, `presence`, `message`, `moderation` (of messages), `admin`,
//! `affiliations`, `permissions`, `owner`, `lobby`, `invite`, `disco`, `iq`, `pace`. What several rooms have to do with
//! each other is in `conference`.

mod admin;
mod affiliations;
mod config;
mod disco;
mod display_name;
mod entry;
mod event;
mod flip;
mod history;
mod invite;
mod iq;
mod join;
mod kind;
mod lobby;
mod message;
mod moderation;
mod occupant;
mod owner;
mod pace;
mod permissions;
mod presence;
mod room;
mod shown;
mod visitor_words;
mod visitors;

use std::collections::BTreeMap;
use std::slice;
use std::time::Instant;

use indexmap::{IndexMap, IndexSet};
use xmpp::muc::Destroy;
use xmpp::{Condition, Element, Jid, StanzaError, ns};

use crate::context::{Context, Sender};
use crate::outside::is_health_check;
use join::refuse_join;

pub(crate) use event::{Departed, Happening, RoomEvent};
pub(crate) use kind::MucKind;
pub(crate) use occupant::{Occupant, display_name_in};
pub(crate) use room::Room;
pub(crate) use visitors::{DEMOTE, RESPOND, ended};

/// A MUC service.
#[derive(Debug)]
pub(crate) struct Muc {
    kind: MucKind,
    rooms: IndexMap<Jid, Room>,
    /// The rooms that a session occupies or waits for, by full JID.
    visits: IndexMap<Jid, IndexSet<Jid>>,
}

impl Muc {
    pub(crate) fn new(kind: MucKind) -> Self {
        Self { kind, rooms: IndexMap::new(), visits: IndexMap::new() }
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
            (_, Some(nick)) => match self.rooms.get_mut(&to.to_bare()) {
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
                let Some(room) = self.rooms.get_mut(&room_jid) else {
                    // As Prosody answers: Jicofo and JVB wait for their departure to come back before they join again.
                    context.refuse(sender.jid, &stanza, &StanzaError::new(Condition::ItemNotFound));
                    return;
                };
                room.leave(context, sender.jid, Some(&stanza));
                self.after_departure(context, &room_jid, slice::from_ref(sender.jid));
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
            Err(error) => refuse_join(context, sender.jid, &stanza, &error),
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
        if self.kind == MucKind::Conference && is_health_check(room_jid) && !context.settings.hosts.is_focus(sender.jid)
        {
            // muc_meeting_id: Jicofo's check of itself is no meeting.
            return Err(StanzaError::new(Condition::ServiceUnavailable));
        }
        entry::check_nick(self.kind, context.settings, sender, nick)?;
        let limits = &context.settings.limits;
        let visits = self.visits.get(sender.jid).map_or(0, IndexSet::len);
        if !sender.is_service && visits >= limits.rooms_per_session {
            return Err(StanzaError::new(Condition::ResourceConstraint));
        }
        if self.rooms.contains_key(room_jid) {
            return Ok(());
        }
        if !sender.is_service || !self.kind.is_created_by_joining() {
            // The client retries on this text: it may have been faster than the focus.
            return Err(StanzaError::new(Condition::NotAllowed).with_text("Room creation is restricted"));
        }
        if self.rooms.len() >= limits.rooms {
            return Err(StanzaError::new(Condition::ResourceConstraint));
        }
        Ok(())
    }

    fn join(&mut self, context: &mut Context<'_>, sender: Sender<'_>, room_jid: &Jid, nick: &str, stanza: &Element) {
        let room = self.open(context, room_jid);
        match room.join(context, sender, nick, stanza) {
            Ok(turned_away) => {
                self.visits.entry(sender.jid.clone()).or_default().insert(room_jid.clone());
                self.after_departure(context, room_jid, &turned_away);
            }
            Err(error) => {
                refuse_join(context, sender.jid, stanza, &error);
                self.after_departure(context, room_jid, &[]);
            }
        }
    }

    /// The room of that address, which comes into being if there is none.
    pub(crate) fn open(&mut self, context: &mut Context<'_>, room_jid: &Jid) -> &mut Room {
        let kind = self.kind;
        self.rooms.entry(room_jid.clone()).or_insert_with(|| {
            context.metrics.rooms.with_label_values(&[kind.as_str()]).inc();
            tracing::info!(room = %room_jid, "room created");
            let mut room = Room::new(room_jid.clone(), kind, context.random_uuid());
            if context.settings.conference.lobby.autostart {
                room.open_lobby(context, lobby::LobbyCause::Autostart);
            }
            room
        })
    }

    pub(crate) fn room(&self, room_jid: &Jid) -> Option<&Room> {
        self.rooms.get(room_jid)
    }

    pub(crate) fn room_mut(&mut self, room_jid: &Jid) -> Option<&mut Room> {
        self.rooms.get_mut(room_jid)
    }

    pub(crate) fn rooms_mut(&mut self) -> impl Iterator<Item = &mut Room> {
        self.rooms.values_mut()
    }

    /// All rooms.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = &Room> {
        self.rooms.values()
    }

    /// Ends a room, whoever is in it.
    pub(crate) fn destroy(&mut self, context: &mut Context<'_>, room_jid: &Jid, destroy: &Destroy) {
        let Some(room) = self.rooms.get_mut(room_jid) else { return };
        let departed = room.destroy(context, destroy);
        self.after_departure(context, room_jid, &departed);
    }

    /// Carries out the joins and departures of a room whose turn has come; answers when the next comes.
    pub(crate) fn take_turns(&mut self, context: &mut Context<'_>, room_jid: &Jid) -> Option<Instant> {
        let room = self.rooms.get_mut(room_jid)?;
        room.tell_paced_departures(context);
        let turned_away = room.let_paced_in(context);
        let next = room.next_turn();
        self.after_departure(context, room_jid, &turned_away);
        next
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

    /// Whether a session is in any room.
    pub(crate) fn is_occupied_by(&self, jid: &Jid) -> bool {
        let mut visits = self.visits.get(jid).into_iter().flatten();
        visits.any(|room| self.rooms.get(room).is_some_and(|room| room.is_occupant(jid)))
    }

    /// Whoever is in a room under an address of this domain.
    pub(crate) fn visitors_of(&self, domain: &str) -> impl Iterator<Item = Jid> {
        self.visits.keys().filter(move |jid| jid.domain() == domain).cloned()
    }

    /// Rooms and visits, for tests.
    pub(crate) fn remembered(&self) -> usize {
        self.rooms.len() + self.visits.len()
    }

    /// Forgets who left the room, and the room itself once nobody is in it and nothing keeps it.
    pub(crate) fn after_departure(&mut self, context: &mut Context<'_>, room_jid: &Jid, departed: &[Jid]) {
        self.forget_visits(room_jid, departed);
        let Some(room) = self.rooms.get(room_jid).filter(|room| room.is_empty() && !room.is_kept()) else { return };
        if !room.is_destroyed {
            room.emit(context, Happening::Ended { destroy: Destroy::default(), spoke_ms: BTreeMap::new() });
        }
        let Some(mut room) = self.rooms.swap_remove(room_jid) else { return };
        context.metrics.rooms.with_label_values(&[self.kind.as_str()]).dec();
        tracing::info!(room = %room_jid, "room ended");
        let turned_away = room.turn_held_away(context);
        self.forget_visits(room_jid, &turned_away);
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
