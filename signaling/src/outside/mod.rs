//! What servers of others are asked and told over HTTP: who gets in (`access`), whether a room may open (`reservations`), what
//! happens in rooms (`events`), who wants a recorder (`jibri_queue`), which conferences are live (`visitors_queue`).
//!
//! Here: calls as values, and who waits for which answer. Not here: sockets, time limits and further tries
//! (`shell/calls.rs`), so that a server that is slow or dead is in nobody's way.

mod access;
mod bearer;
mod call;
mod events;
mod gate;
mod jibri_queue;
mod reservations;
mod settings;
mod visitors_queue;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use xmpp::Jid;

use crate::context::Context;
use crate::muc::{Departed, Room};

pub use call::{AnswerTo, Call, CallAnswer, CallFailed, CallId};
pub use settings::{
    AccessSettings, EventSettings, OutsideServer, OutsideSettings, Patience, QueueSettings, ReservationSettings,
    WhenSilent,
};

pub(crate) use access::{Decision, decide, question};
pub(crate) use jibri_queue::JibriQueue;
pub(crate) use reservations::{Grant, Reservations, Waiter};
pub(crate) use settings::below;

use events::Events;
use visitors_queue::VisitorsQueue;

/// Jicofo's own check that it works makes rooms of this name (`is_healthcheck_room`); they are no meetings.
pub(crate) fn is_health_check(room: &Jid) -> bool {
    room.local().is_some_and(|local| local.starts_with("__jicofo-health-check"))
}

/// What is known of and for servers of others.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    pub(crate) reservations: Reservations,
    pub(crate) jibri_queue: JibriQueue,
    events: Events,
    visitors_queue: VisitorsQueue,
    /// Calls that are still to be made.
    pub(crate) calls: VecDeque<Call>,
}

impl Outside {
    /// The next call to make.
    pub(crate) fn poll_call(&mut self) -> Option<Call> {
        self.calls.pop_front()
    }

    /// When there is something to do next.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.reservations.next_timeout()
    }

    /// The rooms whose end somebody waits for.
    pub(crate) fn told_rooms(&self) -> impl Iterator<Item = &Jid> {
        self.events.rooms()
    }

    /// Rooms and waiting requests, for tests.
    pub(crate) fn remembered(&self) -> usize {
        self.reservations.remembered() + self.jibri_queue.remembered() + self.events.remembered()
    }

    /// Somebody came into a room.
    pub(crate) fn on_joined(&mut self, context: &Context<'_>, room: &Room, nick: &str) {
        self.events.on_joined(context, room, nick, &mut self.calls);
    }

    /// Somebody left a room.
    pub(crate) fn on_left(&mut self, context: &Context<'_>, room: &Jid, departed: &Departed) {
        self.events.on_left(context, room, departed, &mut self.calls);
        self.jibri_queue.on_left(context, room, &departed.nick, &mut self.calls);
    }

    /// A conference may be live.
    pub(crate) fn go_live(&mut self, context: &Context<'_>, main: &mut Room) {
        self.visitors_queue.go_live(context, main, &mut self.calls);
    }

    /// A room is no more.
    pub(crate) fn on_ended(&mut self, context: &Context<'_>, room: &Jid, spoke_ms: &BTreeMap<String, u64>) {
        self.events.on_ended(context, room, spoke_ms, &mut self.calls);
        self.jibri_queue.on_ended(context, room, &mut self.calls);
        self.reservations.on_ended(context, room, &mut self.calls);
    }
}
