//! A room: who is in it, who may what, and who is told.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use indexmap::IndexMap;
use xmpp::muc::{Affiliation, Role};
use xmpp::{Element, Jid};

use super::config::RoomConfig;
use super::event::{Happening, RoomEvent};
use super::history::History;
use super::join::HeldJoin;
use super::kind::MucKind;
use super::lobby::LobbyState;
use super::message::Subject;
use super::occupant::Occupant;
use super::pace::Pace;
use super::visitors::Mirror;
use crate::client::Client;
use crate::conference_components::RoomState;
use crate::context::Context;
use auth::Features;

/// A room. Its address is part of every stanza that it sends, byte by byte as clients wrote it.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) jid: Jid,
    pub(crate) kind: MucKind,
    pub(crate) config: RoomConfig,
    /// The conference that a lobby or a breakout room belongs to.
    pub(crate) main_room: Option<Jid>,
    /// Whether everybody was told that the room is no more.
    pub(super) is_destroyed: bool,
    /// When the second occupant came, in milliseconds since 1970: clients count the meeting's time from it.
    pub(crate) started_ms: Option<u64>,
    /// Where people wait in front of this room.
    pub(crate) lobby: Option<LobbyState>,
    /// Whether somebody who showed who he is has been here.
    pub(super) has_had_host: bool,
    /// What components keep of the room.
    pub(crate) state: RoomState,
    /// By nick, in the order of arrival.
    pub(super) occupants: IndexMap<String, Occupant>,
    nicks: HashMap<Jid, String>,
    /// By bare JID. Services are owners of all rooms without an entry.
    pub(super) affiliations: BTreeMap<Jid, Affiliation>,
    /// What users may do because an owner shared his own rights, by bare JID.
    pub(super) granted: BTreeMap<Jid, Arc<Features>>,
    pub(super) subject: Option<Subject>,
    pub(super) history: History,
    /// Messages so far, for the limit.
    pub(super) message_count: u32,
    /// Joins that wait for the focus.
    pub(super) held: Vec<HeldJoin>,
    /// Joins and departures that wait for their turn.
    pub(super) pace: Pace,
    /// The conference that visitors see here.
    pub(super) mirror: Mirror,
}

impl Room {
    pub(crate) fn new(jid: Jid, kind: MucKind, meeting_id: String) -> Self {
        Self {
            jid,
            kind,
            config: RoomConfig::new(meeting_id),
            main_room: None,
            is_destroyed: false,
            started_ms: None,
            lobby: None,
            has_had_host: false,
            state: RoomState::default(),
            occupants: IndexMap::new(),
            nicks: HashMap::new(),
            affiliations: BTreeMap::new(),
            granted: BTreeMap::new(),
            subject: None,
            history: History::default(),
            message_count: 0,
            held: Vec::new(),
            pace: Pace::default(),
            mirror: Mirror::default(),
        }
    }

    pub(super) fn insert(&mut self, context: &Context<'_>, occupant: Occupant) {
        context.metrics.occupants.with_label_values(&[self.kind.as_str()]).inc();
        self.nicks.insert(occupant.jid.clone(), occupant.nick.clone());
        self.occupants.insert(occupant.nick.clone(), occupant);
        // Visitors count the time of the conference.
        if self.occupants.len() == 2 && self.kind != MucKind::Visitors {
            self.started_ms.get_or_insert(context.now.unix_ms);
        }
    }

    pub(super) fn remove(&mut self, context: &Context<'_>, nick: &str) -> Option<Occupant> {
        let occupant = self.occupants.shift_remove(nick)?;
        self.nicks.remove(&occupant.jid);
        context.metrics.occupants.with_label_values(&[self.kind.as_str()]).dec();
        Some(occupant)
    }

    /// Notes what happened, for those outside the room who act on it. Rooms of services are nobody's business.
    pub(crate) fn emit(&self, context: &mut Context<'_>, what: Happening) {
        if self.kind != MucKind::Internal {
            context.room_events.push_back(RoomEvent { room: self.jid.clone(), what });
        }
    }

    /// Whether nobody is in the room.
    pub(crate) fn is_empty(&self) -> bool {
        self.occupants.is_empty()
    }

    /// Whether the room stays when nobody is in it: somebody waits in front of it or is in a room beside it.
    pub(crate) fn is_kept(&self) -> bool {
        let is_needed = self.kind == MucKind::Lobby
            || self.lobby.as_ref().is_some_and(|lobby| lobby.is_persistent)
            || self.state.breakouts.is_active();
        is_needed && !self.is_destroyed
    }

    /// Whether the session is in the room.
    pub(crate) fn is_occupant(&self, jid: &Jid) -> bool {
        self.nicks.contains_key(jid)
    }

    /// The occupant of a session.
    pub(crate) fn occupant_of(&self, jid: &Jid) -> Option<&Occupant> {
        self.occupants.get(self.nicks.get(jid)?)
    }

    /// The client of a session brought something else along than when it came: what it may do follows, and what it is
    /// shown as from its next presence on.
    pub(crate) fn refresh_client(&mut self, jid: &Jid, client: &Arc<Client>) {
        let occupant = self.nicks.get(jid).and_then(|nick| self.occupants.get_mut(nick));
        if let Some(occupant) = occupant {
            occupant.client = Arc::clone(client);
            occupant.knows_permissions = false;
        }
    }

    /// The occupant of that nick.
    pub(crate) fn occupant(&self, nick: &str) -> Option<&Occupant> {
        self.occupants.get(nick)
    }

    /// All occupants, in the order of arrival.
    pub(crate) fn occupants(&self) -> impl Iterator<Item = &Occupant> {
        self.occupants.values()
    }

    /// Those whom clients show as participants: neither the focus nor recorders. Telephones are participants, by an
    /// account of a service.
    pub(crate) fn participants(&self) -> impl Iterator<Item = &Occupant> {
        self.occupants.values().filter(|occupant| occupant.is_participant())
    }

    /// For how many milliseconds each in the room was the one who spoke, by nick.
    pub(crate) fn spoke_ms(&self, context: &Context<'_>) -> BTreeMap<String, u64> {
        let spoke_ms = |nick: &String| self.state.speaker_stats.spoke_ms(nick, context.now.unix_ms);
        self.occupants.keys().map(|nick| (nick.clone(), spoke_ms(nick))).collect()
    }

    /// Whether an owner is in the room, services apart.
    pub(crate) fn has_owner(&self) -> bool {
        let is_owner = |occupant: &Occupant| self.affiliation_of(&occupant.jid, false) == Affiliation::Owner;
        self.participants().any(|occupant| !occupant.is_service && is_owner(occupant))
    }

    /// Whether the focus is in the room.
    pub(super) fn has_focus(&self) -> bool {
        self.occupants.values().any(Occupant::is_focus)
    }

    /// The affiliation of a user, by any JID of his.
    pub(crate) fn affiliation_of(&self, jid: &Jid, is_service: bool) -> Affiliation {
        if is_service {
            return Affiliation::Owner;
        }
        self.affiliations.get(&jid.to_bare()).copied().unwrap_or_default()
    }

    /// The address of an occupant.
    pub(crate) fn occupant_jid(&self, nick: &str) -> String {
        format!("{}/{nick}", self.jid)
    }

    /// Whether an occupant is shown another. Who waits in a lobby is shown to moderators, and moderators to nobody
    /// (`mod_muc_lobby_rooms`). Visitors are shown to services, and those to them.
    pub(super) fn sees(&self, viewer: &Occupant, subject: &Occupant) -> bool {
        match self.kind {
            _ if viewer.nick == subject.nick => true,
            MucKind::Lobby => viewer.role == Role::Moderator && subject.role != Role::Moderator,
            MucKind::Visitors => viewer.is_service || subject.is_service,
            MucKind::Conference | MucKind::Breakout | MucKind::Internal => true,
        }
    }

    /// Whether an occupant gets what another says. Who waits in a lobby talks with moderators only.
    pub(super) fn hears(&self, listener: &Occupant, speaker: &Occupant) -> bool {
        self.kind != MucKind::Lobby || listener.role == Role::Moderator || speaker.role == Role::Moderator
    }

    /// Sends a stanza to everybody in the room.
    pub(crate) fn broadcast(&self, context: &mut Context<'_>, stanza: &Element) {
        context.send_to_all(self.occupants.values().map(|occupant| &occupant.jid), stanza.clone());
    }

    /// Sends what an occupant says to all who hear it.
    pub(super) fn broadcast_of(&self, context: &mut Context<'_>, speaker: &str, stanza: &Element) {
        let Some(speaker) = self.occupants.get(speaker) else { return };
        let listeners = self.occupants.values().filter(|listener| self.hears(listener, speaker));
        context.send_to_all(listeners.map(|listener| &listener.jid), stanza.clone());
    }
}
