//! Who is where in a meeting of several rooms (`mod_muc_breakout_rooms`): who may go from one to another, who is on the way,
//! and when nobody is left.

use std::time::Duration;

use indexmap::IndexMap;
use xmpp::{Condition, Element, Jid, StanzaError};

use super::Conferences;
use super::timers::RoomTimer;
use crate::context::{Context, Sender};
use crate::muc::{Departed, Occupant, Room};

/// How long a meeting lives on when nobody is in any of its rooms: people on the way are in none.
const ALL_LEFT_FOR: Duration = Duration::from_secs(5);
/// People on the way between rooms at one time, as in stock. The earliest loses his place first.
const MAX_TRAVELLERS: usize = 1000;

/// What stands between conferences and their breakout rooms.
#[derive(Debug, Default)]
pub(super) struct BreakoutRooms {
    /// Breakout rooms to the conferences that they belong to.
    pub(super) mains: IndexMap<Jid, Jid>,
    /// Conference and nick of who left a room for another, to his bare address.
    pub(super) travellers: IndexMap<(Jid, String), Jid>,
}

impl BreakoutRooms {
    pub(super) fn remembered(&self) -> usize {
        self.mains.len() + self.travellers.len()
    }

    /// Whoever this is, he comes to no room any more.
    pub(super) fn forget_traveller(&mut self, bare: &Jid) {
        self.travellers.retain(|_, traveller| traveller != bare);
    }

    fn add_traveller(&mut self, main: &Jid, departed: &Departed) {
        if self.travellers.len() >= MAX_TRAVELLERS {
            self.travellers.shift_remove_index(0);
        }
        self.travellers.insert((main.clone(), departed.nick.clone()), departed.jid.to_bare());
    }

    fn traveller(&self, main: &Jid, nick: &str) -> Option<&Jid> {
        self.travellers.get(&(main.clone(), nick.to_owned()))
    }
}

impl Conferences {
    /// The conference that a room belongs to, which may be itself.
    pub(super) fn main_of(&self, room_jid: &Jid) -> Option<Jid> {
        if self.main.room(room_jid).is_some() {
            return Some(room_jid.clone());
        }
        self.split.mains.get(room_jid).cloned()
    }

    /// The rooms of a conference: itself first.
    pub(super) fn rooms_of<'a>(&'a self, main: &Jid) -> impl Iterator<Item = &'a Room> + use<'a> {
        let main = self.main.room(main);
        let breakouts = main.into_iter().flat_map(|main| main.state.breakouts.iter());
        main.into_iter().chain(breakouts.filter_map(|(breakout, _)| self.breakouts.room(breakout)))
    }

    /// Where the sender is in a conference, in itself or a breakout room of it.
    pub(super) fn place_of(&self, main: &Jid, sender: &Jid) -> Option<(Jid, &Occupant)> {
        self.rooms_of(main).find_map(|room| Some((room.jid.clone(), room.occupant_of(sender)?)))
    }

    /// Takes a stanza to a breakout room or an occupant of it.
    pub(super) fn handle_breakout_room(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        to: &Jid,
        stanza: Element,
    ) {
        let is_join = stanza.name() == "presence" && stanza.attr("type").is_none();
        let room_jid = to.to_bare();
        let is_inside = self.breakouts.room(&room_jid).is_some_and(|room| room.is_occupant(sender.jid));
        if is_join && !is_inside {
            if let Err(error) = self.check_entry(context, sender, &room_jid, to.resource().unwrap_or_default()) {
                context.refuse(sender.jid, &stanza, &error);
                return;
            }
            self.prepare(context, sender, &room_jid);
        }
        self.breakouts.handle(context, sender, to, stanza);
    }

    fn check_entry(
        &self,
        context: &Context<'_>,
        sender: Sender<'_>,
        breakout: &Jid,
        nick: &str,
    ) -> Result<(), StanzaError> {
        let Some(main) = self.split.mains.get(breakout) else {
            return Err(StanzaError::new(Condition::NotAllowed).with_text("Breakout room is invalid."));
        };
        if self.main.room(main).is_none() {
            return Err(StanzaError::new(Condition::ServiceUnavailable));
        }
        self.check_move(sender, main, breakout, nick)?;
        let is_exempt = sender.is_service || context.settings.hosts.is_hidden(sender.jid);
        let is_traveller = self.split.traveller(main, nick) == Some(&sender.jid.to_bare());
        if is_exempt || is_traveller || self.place_of(main, sender.jid).is_some() {
            return Ok(());
        }
        Err(StanzaError::new(Condition::NotAllowed))
    }

    /// In all rooms of a meeting a nick is one person's, also while he is on the way.
    pub(super) fn check_move(
        &self,
        sender: Sender<'_>,
        main: &Jid,
        target: &Jid,
        nick: &str,
    ) -> Result<(), StanzaError> {
        let bare = sender.jid.bare_str();
        let is_taken = self
            .rooms_of(main)
            .filter(|room| room.jid != *target && !sender.is_service)
            .filter_map(|room| room.occupant(nick))
            .any(|occupant| occupant.jid.bare_str() != bare);
        let is_reserved = self.split.traveller(main, nick).is_some_and(|traveller| traveller.as_str() != bare);
        if is_taken || is_reserved { Err(StanzaError::new(Condition::Conflict)) } else { Ok(()) }
    }

    /// The focus opens a breakout room by joining it: it gets the users of its conference and its name.
    fn prepare(&mut self, context: &mut Context<'_>, sender: Sender<'_>, breakout: &Jid) {
        if !sender.is_service || self.breakouts.room(breakout).is_some() {
            return;
        }
        let Some(main) = self.split.mains.get(breakout).and_then(|main| self.main.room(main)) else { return };
        let name = main.state.breakouts.name_of(breakout).map(str::to_owned);
        let room = self.breakouts.open(context, breakout);
        room.inherit(main);
        if let Some(name) = name {
            room.set_subject(context, &name);
        }
    }

    /// Somebody came to a room of a meeting.
    pub(super) fn on_moved_in(&mut self, context: &Context<'_>, room_jid: &Jid, nick: &str, is_participant: bool) {
        let Some(main) = self.main_of(room_jid).filter(|main| self.is_split(main)) else { return };
        self.split.travellers.shift_remove(&(main.clone(), nick.to_owned()));
        if is_participant {
            self.timers.clear(&RoomTimer::AllLeft(main.clone()));
            self.schedule_update(context, &main);
        }
    }

    /// Somebody left a room of a meeting.
    pub(super) fn on_moved_out(&mut self, context: &Context<'_>, room_jid: &Jid, departed: &Departed) {
        let Some(main) = self.main_of(room_jid).filter(|main| self.is_split(main)) else { return };
        if departed.switches_room {
            self.split.add_traveller(&main, departed);
        }
        if !departed.is_focus {
            self.schedule_update(context, &main);
        }
        if self.rooms_of(&main).all(|room| room.participants().next().is_none()) {
            self.schedule(context, RoomTimer::AllLeft(main), ALL_LEFT_FOR);
        }
    }

    pub(super) fn is_split(&self, main: &Jid) -> bool {
        self.main.room(main).is_some_and(|room| room.state.breakouts.is_active())
    }
}
