//! Endpoints that change their bridge while the conference goes on, because it drains, has too much to do, or an operator
//! wants it.
//!
//! The new bridge is asked for an endpoint while the session on the old one goes on; only when it answers the session ends and
//! the next one begins. Clients have one session at a time: the rest of the way is a break.

use jitsi_protocol::colibri2::ForceMute;
use model::EndpointId;
use xmpp::Jid;

use super::Conference;
use super::colibri::Farewell;
use super::participant::{Participant, Session};
use super::restart::MOVING;
use crate::bridge::{Bridge, BridgeWanted};
use crate::context::Context;

/// A new endpoint that another bridge is asked for while the session goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) attempt: u64,
    pub(super) bridge: Jid,
    pub(super) with_data: bool,
    /// What the other bridge was told to drop.
    pub(super) force_mute: ForceMute,
}

/// A request for an endpoint whose answer is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) attempt: u64,
    pub(super) bridge: Jid,
    pub(super) with_data: bool,
    /// Whether a session goes on elsewhere meanwhile.
    pub(super) is_move: bool,
}

/// Why endpoints move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MoveReason {
    /// An operator wants it.
    Operator,
    /// Their bridge drains.
    Draining,
    /// Their bridge has too much to do.
    Overloaded,
}

impl MoveReason {
    /// Whether a bridge is better than the one that they have.
    fn is_reached_by(self, bridge: &Bridge, now: std::time::Instant) -> bool {
        match self {
            Self::Operator => true,
            Self::Draining => !bridge.is_draining() && !bridge.is_in_graceful_shutdown(),
            Self::Overloaded => {
                !bridge.is_draining() && !bridge.is_in_graceful_shutdown() && !bridge.is_overloaded(now)
            }
        }
    }
}

impl Participant {
    /// The request whose answer this is, unless something else came after it.
    pub(super) fn pending(&self, attempt: u64) -> Option<Pending> {
        let pending = match (&self.session, &self.moving) {
            (Session::Allocating { attempt, bridge, with_data }, _) => {
                Pending { attempt: *attempt, bridge: bridge.clone(), with_data: *with_data, is_move: false }
            }
            (_, Some(Move { attempt, bridge, with_data, .. })) => {
                Pending { attempt: *attempt, bridge: bridge.clone(), with_data: *with_data, is_move: true }
            }
            (
                Session::None
                | Session::Discovering
                | Session::Offered { .. }
                | Session::Active { .. }
                | Session::Ended,
                None,
            ) => {
                return None;
            }
        };
        Some(pending).filter(|pending| pending.attempt == attempt)
    }
}

impl Conference {
    /// Begins to move endpoints off a bridge, `count` at most where the conference may have both bridges, else all of them
    /// together. Answers how many.
    pub(crate) fn move_off(
        &mut self,
        bridge: &Jid,
        count: usize,
        reason: MoveReason,
        context: &mut Context<'_>,
    ) -> usize {
        let mut moved = 0;
        if self.may_split(bridge, context) {
            for endpoint in self.endpoints_at(bridge) {
                if moved < count && self.begin_move(&endpoint, reason, context) {
                    moved += 1;
                }
            }
        }
        // Bridges of another version take it as a whole only.
        let is_alone = self.colibri.len() == 1;
        if moved == 0 && (is_alone && reason != MoveReason::Overloaded || !self.may_split(bridge, context)) {
            moved = self.move_all(bridge, reason, context);
        }
        self.publish(context);
        moved
    }

    /// The same for one endpoint; answers how many move with it, itself included.
    pub(crate) fn move_endpoint(&mut self, endpoint: &EndpointId, context: &mut Context<'_>) -> usize {
        let Some(bridge) = self.participants.get(endpoint).and_then(|known| known.session.bridge().cloned()) else {
            return 0;
        };
        let moved = if self.may_split(&bridge, context) {
            usize::from(self.begin_move(endpoint, MoveReason::Operator, context))
        } else {
            self.move_all(&bridge, MoveReason::Operator, context)
        };
        self.publish(context);
        moved
    }

    /// Whether those on a bridge may leave it one by one.
    fn may_split(&self, bridge: &Jid, context: &Context<'_>) -> bool {
        let has_relay_id = self.colibri.get(bridge).is_some_and(|session| session.relay_id.is_some());
        has_relay_id && context.settings.selection.uses_several()
    }

    fn endpoints_at(&self, bridge: &Jid) -> Vec<EndpointId> {
        self.colibri.get(bridge).map(|session| session.endpoints.iter().cloned().collect()).unwrap_or_default()
    }

    fn begin_move(&mut self, endpoint: &EndpointId, reason: MoveReason, context: &mut Context<'_>) -> bool {
        let Some(participant) = self.participants.get(endpoint) else { return false };
        let Some(allocation) = participant.session.allocation().filter(|_| participant.moving.is_none()) else {
            return false;
        };
        let home = &allocation.bridge;
        let target = self.select_bridge(participant, Some(home), context);
        let Some(target) = target.filter(|target| target != home && is_better(target, reason, context)) else {
            return false;
        };
        // What the focus does by itself it does not do without end where a bridge refuses again and again.
        let is_due =
            |participant: &mut Participant| reason == MoveReason::Operator || participant.reinvites.accept(context.now);
        self.participants.get_mut(endpoint).is_some_and(is_due) && self.request_move(endpoint, &target, context)
    }

    /// Moves everybody on the conference's only bridge to another one.
    fn move_all(&mut self, bridge: &Jid, reason: MoveReason, context: &mut Context<'_>) -> usize {
        let endpoints = self.endpoints_at(bridge);
        let first = endpoints.first().and_then(|endpoint| self.participants.get(endpoint));
        let wanted = BridgeWanted {
            region: first.and_then(|participant| participant.member.region.as_deref()),
            version: context.pins.version_of(&self.room, context.now),
            avoid: Some(bridge),
            ..BridgeWanted::default()
        };
        let target = context.selector.select(&wanted, context.now);
        let Some(target) = target.filter(|target| target != bridge && is_better(target, reason, context)) else {
            return 0;
        };
        // Who comes meanwhile is not to come to the bridge that all leave.
        self.moved_from = Some(bridge.clone());
        let mut moved = 0;
        for endpoint in endpoints {
            let Some(participant) = self.participants.get_mut(&endpoint) else { continue };
            if participant.moving.is_some() {
                continue;
            }
            let has_moved = if participant.session.allocation().is_some() {
                self.request_move(&endpoint, &target, context)
            } else {
                // There is no session yet that could go on.
                participant.session = Session::None;
                self.expire_endpoint(bridge, &endpoint, context);
                self.allocate_at(&endpoint, &target, context)
            };
            moved += usize::from(has_moved);
        }
        moved
    }

    fn request_move(&mut self, endpoint: &EndpointId, target: &Jid, context: &mut Context<'_>) -> bool {
        let Some(home) = self.participants.get(endpoint).and_then(|known| known.session.bridge().cloned()) else {
            return false;
        };
        let Some(request) = self.prepare_request(endpoint, target, context) else { return false };
        let (attempt, with_data, force_mute) = (request.attempt, request.with_data, request.force_mute);
        let Some(participant) = self.participants.get_mut(endpoint) else { return false };
        participant.moving = Some(Move { attempt, bridge: target.clone(), with_data, force_mute });
        tracing::info!(room = %self.room, %endpoint, bridge = %home, %target, "endpoint moves");
        self.send_request(endpoint, target, request, context);
        true
    }

    /// The other bridge has the endpoint: the session on the old one ends.
    pub(super) fn complete_move(&mut self, endpoint: &EndpointId, context: &mut Context<'_>) {
        let Some(participant) = self.participants.get_mut(endpoint) else { return };
        let Some(moving) = participant.moving.take() else { return };
        let home = participant.session.bridge().cloned();
        participant.force_mute = moving.force_mute;
        context.metrics.participants_moved.inc();
        self.terminate(endpoint, MOVING, Session::None, context);
        self.withdraw_sources(endpoint, context);
        if let Some(home) = home {
            self.expire_endpoint(&home, endpoint, context);
        }
    }

    /// A move is not to be: the endpoint stays where it is, or goes for another reason.
    pub(super) fn cancel_move(&mut self, endpoint: &EndpointId, context: &mut Context<'_>) {
        let Some(participant) = self.participants.get_mut(endpoint) else { return };
        let Some(moving) = participant.moving.take() else { return };
        let home = participant.session.bridge().cloned();
        self.expire_endpoint(&moving.bridge, endpoint, context);
        if let Some(home) = home {
            self.relay_presence(endpoint, &home, context);
        }
    }

    /// A bridge is gone to which endpoints were about to move: they stay where they are.
    pub(super) fn forget_moves_to(&mut self, bridge: &Jid) {
        for participant in self.participants.values_mut() {
            if participant.moving.as_ref().is_some_and(|moving| moving.bridge == *bridge) {
                participant.moving = None;
                tracing::info!(room = %self.room, endpoint = %participant.endpoint, "endpoint stays, its move failed");
            }
        }
        if self.moved_from.as_ref().is_some_and(|from| self.colibri.contains_key(from)) {
            self.moved_from = None;
        }
    }

    /// The bridge is gone that an endpoint was about to leave. Answers whether there is another one that was asked already.
    pub(super) fn continue_move(&mut self, endpoint: &EndpointId) -> bool {
        let Some(participant) = self.participants.get_mut(endpoint) else { return false };
        let Some(Move { attempt, bridge, with_data, force_mute }) = participant.moving.take() else { return false };
        participant.session = Session::Allocating { attempt, bridge, with_data };
        participant.force_mute = force_mute;
        true
    }

    /// A bridge gave nothing for an endpoint: no other would, or it stays where it has something.
    pub(super) fn on_allocation_failed(&mut self, endpoint: &EndpointId, pending: &Pending, context: &mut Context<'_>) {
        if !pending.is_move {
            return self.set_session(endpoint, Session::Ended);
        }
        self.cancel_move(endpoint, context);
        let home = self.participants.get(endpoint).and_then(|known| known.session.bridge().cloned());
        if home.is_some() && self.moved_from == home {
            // Nobody is to be where the others are not: all stay, and do not try the same again at once.
            if let Some(bridge) = context.selector.get_mut(&pending.bridge) {
                bridge.failed(context.now);
            }
            self.remove_bridge(&pending.bridge, Farewell::Expire, context);
        }
    }
}

fn is_better(target: &Jid, reason: MoveReason, context: &Context<'_>) -> bool {
    context.selector.get(target).is_some_and(|bridge| reason.is_reached_by(bridge, context.now))
}
