//! What conferences have to do with servers of others: rooms that open by reservation, and who is told what happens.

use xmpp::muc::Destroy;
use xmpp::{Condition, Element, Jid, StanzaError, ns};

use super::Conferences;
use crate::conference_components::unhandled;
use crate::context::{Context, Sender};
use crate::hosts::Destination;
use crate::muc::{Happening, MucKind};
use crate::outside::{Call, CallAnswer, CallFailed, CallId, JibriQueue, Waiter, is_health_check};

/// Why a conference ended whose reservation is over.
const TIME_IS_UP: &str = "Scheduled conference duration exceeded.";

impl Conferences {
    /// The next call to a server of others.
    pub(crate) fn poll_call(&mut self) -> Option<Call> {
        self.outside.poll_call()
    }

    /// A request to the focus; `None` when it waits for what a server of others says of the room, or is refused.
    pub(crate) fn reserve(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        to: &Jid,
        request: Element,
    ) -> Option<Element> {
        let all = context.settings;
        let Some(settings) = &all.outside.reservations else { return Some(request) };
        let conference = request.child("conference", ns::FOCUS).filter(|_| request.attr("type") == Some("set"));
        let room = conference.and_then(|conference| conference.attr("room")?.parse::<Jid>().ok());
        let room = room.map(|room| all.hosts.outer_form(&room).unwrap_or(room));
        // Breakout rooms are part of a meeting that has its reservation.
        let room = room.filter(|room| all.hosts.destination(room) == Destination::Muc && room.local().is_some());
        let Some(room) = room.filter(|room| self.main.room(room).is_none()) else { return Some(request) };
        let waiter = Waiter::new(sender, to, request);
        let (calls, reservations) = (&mut self.outside.calls, &mut self.outside.reservations);
        reservations.check(context, settings, &room, waiter, calls).map(|waiter| waiter.request)
    }

    /// Takes the end of a question to a server of others. Answers whose requests go on to the focus.
    pub(crate) fn on_call_ended(
        &mut self,
        context: &mut Context<'_>,
        call: CallId,
        end: Result<CallAnswer, CallFailed>,
    ) -> Vec<Waiter> {
        self.outside.reservations.on_call_ended(context, call, end, &mut self.outside.calls)
    }

    /// No way past a reservation: what the focus is asked by HTTP, it is told here that the room may not open.
    pub(super) fn check_reserved(&self, context: &Context<'_>, room: &Jid) -> Result<(), StanzaError> {
        let is_free = context.settings.outside.reservations.is_none()
            || self.main.room(room).is_some()
            || self.outside.reservations.grant_of(room).is_some()
            || is_health_check(room);
        if is_free {
            return Ok(());
        }
        Err(StanzaError::new(Condition::NotAllowed).with_text("Room creation is restricted"))
    }

    /// Ends meetings whose reservation is over.
    pub(super) fn end_expired(&mut self, context: &mut Context<'_>) {
        while let Some(room) = self.outside.reservations.pop_expired(context.now.instant) {
            if self.main.room(&room).is_some() {
                let destroy = Destroy { alternate: None, reason: Some(TIME_IS_UP.to_owned()) };
                self.end(context, &room, &destroy, ("reservation_over", None));
                self.settle(context);
            }
        }
    }

    /// Somebody asks for a place in the queue for a recorder.
    pub(super) fn handle_jibri_queue(
        &mut self,
        context: &mut Context<'_>,
        sender: Sender<'_>,
        request: &Element,
    ) -> Result<(), StanzaError> {
        let room_jid = JibriQueue::room_of(request).ok_or_else(unhandled)?;
        let room_jid = context.settings.hosts.outer_form(&room_jid).unwrap_or(room_jid);
        let room = self.main.room(&room_jid).ok_or_else(unhandled)?;
        let (calls, queue) = (&mut self.outside.calls, &mut self.outside.jibri_queue);
        let answer = queue.handle(context, room, sender.jid, request, calls)?;
        context.send(sender.jid, answer);
        Ok(())
    }

    /// The server stops: whoever was told that a room began is told that it ended.
    pub(crate) fn on_shutdown(&mut self, context: &Context<'_>) {
        for room_jid in self.outside.told_rooms().cloned().collect::<Vec<_>>() {
            let room = self.muc_of(context, &room_jid).room(&room_jid);
            let spoke_ms = room.map(|room| room.spoke_ms(context)).unwrap_or_default();
            self.outside.on_ended(context, &room_jid, &spoke_ms);
        }
    }

    /// Tells servers of others what happened, and does with a new room what its reservation says.
    pub(super) fn tell_outside(&mut self, context: &mut Context<'_>, room_jid: &Jid, what: &Happening) {
        match what {
            Happening::Joined { nick } => {
                if let Some(grant) = self.outside.reservations.grant_to_apply(room_jid)
                    && let Some(room) = self.main.room_mut(room_jid)
                {
                    room.open_as_reserved(context, &grant);
                }
                let muc = match context.settings.hosts.rooms_at(room_jid) {
                    MucKind::Breakout => &self.breakouts,
                    MucKind::Conference => &self.main,
                    MucKind::Lobby | MucKind::Visitors | MucKind::Internal => return,
                };
                if let Some(room) = muc.room(room_jid) {
                    self.outside.on_joined(context, room, nick);
                }
            }
            Happening::Left(departed) => self.outside.on_left(context, room_jid, departed),
            Happening::Ended { spoke_ms, .. } => self.outside.on_ended(context, room_jid, spoke_ms),
            Happening::PresenceUpdated { .. }
            | Happening::RoleChanged { .. }
            | Happening::BecameModerator { .. }
            | Happening::AffiliationChanged { .. }
            | Happening::LobbyOpened { .. }
            | Happening::LobbyClosed { .. }
            | Happening::Kicked { .. }
            | Happening::Invited { .. }
            | Happening::Said { .. }
            | Happening::Told { .. }
            | Happening::MetadataChanged
            | Happening::VisitorsCommand { .. }
            | Happening::Paced => {}
        }
    }
}
