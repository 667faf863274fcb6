//! New sessions in place of old ones, and new ICE credentials within a session.

use std::time::Duration;

use jitsi_protocol::colibri2::{ConferenceModified, TransportRequest};
use model::EndpointId;
use xmpp::jingle::{Action, Content};
use xmpp::{Condition, StanzaError, ns};

use super::participant::Session;
use super::{Conference, problem_of};
use crate::context::{ConferencePurpose, Context};
use crate::iq::IqOutcome;

/// How long a participant waits that failed too often in a row: long enough for a broken deployment, short for a person
/// whose server only stalled.
const RETRY_AFTER_FAILURES: Duration = Duration::from_secs(10);

/// Why a session ends that is replaced by the focus's own decision.
pub(super) const MOVING: (&str, &str) = ("success", "moving");

impl Conference {
    /// Ends a session whose client knows already: others lose its sources, the bridge its endpoint.
    pub(super) fn end_session(&mut self, endpoint: &EndpointId, next: Session, context: &mut Context<'_>) {
        let Some(participant) = self.participants.get_mut(endpoint) else { return };
        let ended = participant.end_session(next);
        self.withdraw_sources(endpoint, context);
        if let Some(bridge) = ended.bridge() {
            self.expire_endpoint(bridge, endpoint, context);
        }
        self.cancel_move(endpoint, context);
    }

    /// Replaces a participant's session by a new one.
    pub(super) fn reinvite(&mut self, endpoint: &EndpointId, context: &mut Context<'_>) {
        let Some(participant) = self.participants.get(endpoint) else { return };
        let bridge = participant.session.bridge().cloned();
        self.terminate(endpoint, MOVING, Session::None, context);
        self.withdraw_sources(endpoint, context);
        if let Some(bridge) = bridge {
            self.expire_endpoint(&bridge, endpoint, context);
        }
        self.cancel_move(endpoint, context);
        self.invite_after_failure(endpoint, context);
    }

    /// Invites again, but not without end when one failure follows the other.
    pub(super) fn invite_after_failure(&mut self, endpoint: &EndpointId, context: &mut Context<'_>) {
        let is_active = self.phase.is_active();
        let Some(participant) = self.participants.get_mut(endpoint) else { return };
        if participant.session != Session::None || !is_active {
            return;
        }
        if participant.reinvites.accept(context.now) {
            self.invite(endpoint, context);
        } else {
            tracing::warn!(room = %self.room, %endpoint, "invited too often, will wait");
            self.retry_later(context);
        }
    }

    /// Those without a session are invited again, after a while.
    pub(super) fn retry_later(&mut self, context: &Context<'_>) {
        self.retry_at = Some(context.now + RETRY_AFTER_FAILURES);
    }

    /// A client wants a new session.
    pub(super) fn restart_session(
        &mut self,
        endpoint: &EndpointId,
        bridge_session: Option<&str>,
        context: &mut Context<'_>,
    ) -> Result<(), StanzaError> {
        self.check_bridge_session(endpoint, bridge_session)?;
        let participant = self.participants.get_mut(endpoint).ok_or_else(no_session)?;
        if !participant.restarts.accept(context.now) {
            return Err(StanzaError::new(Condition::ResourceConstraint).with_text("rate-limited"));
        }
        tracing::info!(room = %self.room, %endpoint, "session restart requested");
        context.metrics.participants_restart_requested.inc();
        self.report_restart(endpoint, context);
        Ok(())
    }

    /// A failure of an endpoint speaks against its bridge.
    pub(super) fn report_restart(&self, endpoint: &EndpointId, context: &mut Context<'_>) {
        let bridge = self.participants.get(endpoint).and_then(|participant| participant.session.bridge());
        context.restart_reports.extend(bridge.cloned());
    }

    /// A client wants new ICE credentials in its session.
    pub(super) fn restart_ice(
        &mut self,
        endpoint: &EndpointId,
        bridge_session: Option<&str>,
        context: &mut Context<'_>,
    ) -> Result<(), StanzaError> {
        if !context.settings.enable_ice_restart {
            let error = StanzaError::new(Condition::FeatureNotImplemented);
            return Err(error.with_text("in-place ICE restart is disabled"));
        }
        self.check_bridge_session(endpoint, bridge_session)?;
        let participant = self.participants.get_mut(endpoint).ok_or_else(no_session)?;
        if !participant.ice_restarts.accept(context.now) {
            return Err(StanzaError::new(Condition::ResourceConstraint).with_text("rate-limited"));
        }
        tracing::info!(room = %self.room, %endpoint, "ICE restart requested");
        context.metrics.ice_restarts_requested.inc();
        Ok(())
    }

    /// Asks the bridge for the new credentials.
    pub(super) fn request_ice_restart(&self, endpoint: &EndpointId, context: &mut Context<'_>) {
        let transport = TransportRequest { ice_controlling: true, ice_restart: true, ..TransportRequest::default() };
        self.update_endpoint(endpoint, |modify| modify.transport = Some(transport), context);
    }

    pub(super) fn on_ice_restarted(
        &mut self,
        endpoint: &EndpointId,
        attempt: u64,
        outcome: IqOutcome,
        context: &mut Context<'_>,
    ) {
        let Some(participant) = self.participants.get_mut(endpoint) else { return };
        let occupant = participant.member.occupant.clone();
        let Session::Active { sid, allocation } = &mut participant.session else { return };
        if allocation.attempt != attempt {
            return;
        }
        let IqOutcome::Answer(answer) = &outcome else {
            tracing::warn!(room = %self.room, %endpoint, "bridge does not answer an ICE restart");
            return;
        };
        if problem_of(&outcome).is_some() {
            return self.on_updated(endpoint, attempt, outcome, context);
        }
        let modified = answer.child("conference-modified", ns::COLIBRI2).map(ConferenceModified::from_element);
        let endpoints = modified.and_then(Result::ok).map(|modified| modified.endpoints).unwrap_or_default();
        let modified = endpoints.into_iter().find(|modified| modified.id == *endpoint);
        let Some(ice) = modified.and_then(|modified| modified.transport).and_then(|transport| transport.ice) else {
            tracing::info!(room = %self.room, %endpoint, "bridge refused an ICE restart, inviting again");
            context.metrics.ice_restarts_failed.inc();
            return self.reinvite(endpoint, context);
        };
        // Without a generation the old credentials are still good; an older one than the client has is late.
        let Some(generation) = ice.ice_generation else { return context.metrics.ice_restarts_not_needed.inc() };
        if allocation.ice_generation.is_some_and(|old| generation <= old) {
            return;
        }
        context.metrics.ice_restarts_relayed.inc();
        allocation.ice_generation = Some(generation);
        let mut jingle = context.jingle(Action::TransportInfo, sid);
        jingle.contents.push(Content { transport: Some(ice), ..Content::new("audio") });
        let purpose = ConferencePurpose::Notify { endpoint: endpoint.clone(), news: "transport-info" };
        self.request(&occupant, "set", jingle.to_element(), purpose, context);
    }

    /// A client's report that ICE failed counts when it is about its current session on the bridge.
    pub(super) fn is_current_bridge_session(&self, endpoint: &EndpointId, id: Option<&str>) -> bool {
        let bridge = self.participants.get(endpoint).and_then(|known| known.session.bridge());
        let current = bridge.and_then(|bridge| self.colibri.get(bridge)).map(|session| session.id.as_str());
        current.is_some() && current == id
    }

    fn check_bridge_session(&self, endpoint: &EndpointId, id: Option<&str>) -> Result<(), StanzaError> {
        if self.is_current_bridge_session(endpoint, id) { Ok(()) } else { Err(no_session()) }
    }
}

fn no_session() -> StanzaError {
    StanzaError::new(Condition::ItemNotFound).with_text("no such bridge session")
}
