//! What rooms do after a while.

use std::time::{Duration, Instant};

use xmpp::Jid;
use xmpp::muc::Destroy;

use super::{Conferences, TERMINATED};
use crate::conference_components::audio_translation;
use crate::context::Context;

/// Something that is to be done for a room.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum RoomTimer {
    /// Joins or departures that waited have their turn.
    Turn(Jid),
    /// All in a conference are told of its breakout rooms.
    BreakoutUpdate(Jid),
    /// Nobody has been in any room of a conference for a while.
    AllLeft(Jid),
    /// The wishes for translation are passed on.
    Translations(Jid),
    /// No owner has been in any room of a conference for a while.
    WithoutOwner(Jid),
    /// A conference took as long as it may.
    Longest(Jid),
    /// Nobody but recorders has been in a room for a while.
    OnlyRecorders(Jid),
    /// No visitor has been in a room for visitors for a while.
    WithoutVisitors(Jid),
    /// The languages that visitors of a conference want to read are passed on.
    VisitorLanguages(Jid),
}

impl RoomTimer {
    /// All timers of one room.
    pub(super) fn all_of(room: &Jid) -> [Self; 9] {
        let timers = [
            Self::Turn,
            Self::BreakoutUpdate,
            Self::AllLeft,
            Self::Translations,
            Self::WithoutOwner,
            Self::Longest,
            Self::OnlyRecorders,
            Self::WithoutVisitors,
            Self::VisitorLanguages,
        ];
        timers.map(|timer: fn(Jid) -> Self| timer(room.clone()))
    }
}

impl Conferences {
    /// When there is something to do next.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.next().into_iter().chain(self.outside.next_timeout()).min()
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, context: &mut Context<'_>) {
        while let Some(timer) = self.timers.pop_due(context.now.instant) {
            match timer {
                RoomTimer::Turn(room) => self.take_turns(context, &room),
                RoomTimer::BreakoutUpdate(room) => self.tell_breakouts(context, &room),
                RoomTimer::AllLeft(room) => self.on_all_left(context, &room),
                RoomTimer::Translations(room) => {
                    if let Some(room) = self.main.room_mut(&room) {
                        audio_translation::publish(context, room);
                    }
                }
                RoomTimer::WithoutOwner(room) => self.end_for(context, &room, TERMINATED, "without_owner"),
                RoomTimer::Longest(room) => self.end_for(context, &room, TERMINATED, "longest"),
                RoomTimer::WithoutVisitors(room) => self.on_without_visitors(context, &room),
                RoomTimer::VisitorLanguages(room) => self.publish_languages(context, &room),
                RoomTimer::OnlyRecorders(room) => {
                    self.end_for(context, &room, "Empty room with recording and/or transcribing.", "only_recorders");
                }
            }
            self.settle(context);
        }
        self.end_expired(context);
    }

    fn end_for(&mut self, context: &mut Context<'_>, room: &Jid, reason: &str, rule: &'static str) {
        self.end(context, room, &Destroy { alternate: None, reason: Some(reason.to_owned()) }, (rule, None));
    }

    /// Has something done after a while, if it is not to be done already.
    pub(super) fn schedule(&mut self, context: &Context<'_>, timer: RoomTimer, delay: Duration) {
        if !self.timers.is_set(&timer) {
            self.timers.set(timer, context.now.instant + delay);
        }
    }

    pub(super) fn schedule_turn(&mut self, context: &Context<'_>, room_jid: &Jid) {
        if let Some(next) = self.muc_of(context, room_jid).room(room_jid).and_then(crate::muc::Room::next_turn) {
            self.timers.set(RoomTimer::Turn(room_jid.clone()), next);
        }
    }

    fn take_turns(&mut self, context: &mut Context<'_>, room_jid: &Jid) {
        if let Some(next) = self.muc_of(context, room_jid).take_turns(context, room_jid) {
            self.timers.set(RoomTimer::Turn(room_jid.clone()), next);
        }
    }
}
