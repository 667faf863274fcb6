//! A room: who is in it, who may what, and who is told.

use std::collections::{BTreeMap, HashMap};

use indexmap::IndexMap;
use xmpp::muc::Affiliation;
use xmpp::{Element, Jid};

use super::config::RoomConfig;
use super::history::History;
use super::join::HeldJoin;
use super::message::Subject;
use super::occupant::Occupant;
use crate::context::Context;

/// A room. Its address is part of every stanza that it sends, byte by byte as clients wrote it.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) jid: Jid,
    /// The label of the service in metrics.
    label: &'static str,
    pub(crate) config: RoomConfig,
    /// When the second occupant came, in milliseconds since 1970: clients count the meeting's time from it.
    pub(crate) started_ms: Option<u64>,
    /// By nick, in the order of arrival.
    pub(super) occupants: IndexMap<String, Occupant>,
    nicks: HashMap<Jid, String>,
    /// By bare JID. Services are owners of all rooms without an entry.
    pub(super) affiliations: BTreeMap<Jid, Affiliation>,
    pub(super) subject: Option<Subject>,
    pub(super) history: History,
    /// Joins that wait for the focus.
    pub(super) held: Vec<HeldJoin>,
}

impl Room {
    pub(crate) fn new(jid: Jid, label: &'static str, meeting_id: String) -> Self {
        Self {
            jid,
            label,
            config: RoomConfig::new(meeting_id),
            started_ms: None,
            occupants: IndexMap::new(),
            nicks: HashMap::new(),
            affiliations: BTreeMap::new(),
            subject: None,
            history: History::default(),
            held: Vec::new(),
        }
    }

    pub(super) fn insert(&mut self, context: &Context<'_>, occupant: Occupant) {
        context.metrics.occupants.with_label_values(&[self.label]).inc();
        self.nicks.insert(occupant.jid.clone(), occupant.nick.clone());
        self.occupants.insert(occupant.nick.clone(), occupant);
        if self.occupants.len() == 2 {
            self.started_ms.get_or_insert(context.now.unix_ms);
        }
    }

    pub(super) fn remove(&mut self, context: &Context<'_>, nick: &str) -> Option<Occupant> {
        let occupant = self.occupants.shift_remove(nick)?;
        self.nicks.remove(&occupant.jid);
        context.metrics.occupants.with_label_values(&[self.label]).dec();
        Some(occupant)
    }

    /// Whether nobody is in the room.
    pub(crate) fn is_empty(&self) -> bool {
        self.occupants.is_empty()
    }

    /// Whether the session is in the room.
    pub(crate) fn is_occupant(&self, jid: &Jid) -> bool {
        self.nicks.contains_key(jid)
    }

    /// The occupant of a session.
    pub(super) fn occupant_of(&self, jid: &Jid) -> Option<&Occupant> {
        self.occupants.get(self.nicks.get(jid)?)
    }

    /// Whether the focus is in the room.
    pub(super) fn has_focus(&self) -> bool {
        self.occupants.values().any(Occupant::is_focus)
    }

    /// The affiliation of a user, by any JID of his.
    pub(super) fn affiliation_of(&self, jid: &Jid, is_service: bool) -> Affiliation {
        if is_service {
            return Affiliation::Owner;
        }
        self.affiliations.get(&jid.to_bare()).copied().unwrap_or_default()
    }

    /// The address of an occupant.
    pub(super) fn occupant_jid(&self, nick: &str) -> String {
        format!("{}/{nick}", self.jid)
    }

    /// Sends a stanza to everybody in the room.
    pub(super) fn broadcast(&self, context: &mut Context<'_>, stanza: &Element) {
        context.send_to_all(self.occupants.values().map(|occupant| &occupant.jid), stanza.clone());
    }
}
