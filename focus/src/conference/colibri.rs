//! What is said to bridges: which endpoints a conference has there, and what follows when a bridge cannot.

use indexmap::IndexSet;
use jitsi_protocol::colibri2::{ColibriError, ConferenceModify, EndpointModify, MediaSource, Reason, TransportRequest};
use model::EndpointId;
use xmpp::jingle::{IceTransport, Source};
use xmpp::{Condition, Jid, StanzaError};

use super::members::BRIDGE_OWNER;
use super::participant::Session;
use super::restart::MOVING;
use super::{Conference, problem_of};
use crate::bridge::BridgeWanted;
use crate::context::{ConferencePurpose, Context};
use crate::iq::IqOutcome;
use crate::source::{EndpointSource, EndpointSourceSet, media_sources};

/// The part of a conference on one bridge.
#[derive(Debug)]
pub(super) struct ColibriSession {
    /// Told to clients, who repeat it when they want another session.
    pub(super) id: String,
    pub(super) region: Option<String>,
    was_created: bool,
    endpoints: IndexSet<EndpointId>,
    feedback_owner: Option<EndpointId>,
    feedback: EndpointSourceSet,
}

/// What a bridge is told that loses a conference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Nothing: it is out of reach.
    None,
    /// To forget the conference.
    Expire,
}

/// What becomes of an endpoint that a bridge refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// The request was wrong: another bridge would refuse it too.
    GiveUp,
    /// This bridge and this conference do not get along.
    LeaveBridge,
    /// The bridge has no data channels.
    LacksSctp,
    /// The bridge does not take more.
    BridgeIsGraceful,
    /// The bridge does not work.
    BridgeFailed,
}

impl Refusal {
    /// Jicofo's reactions (bridge.md §1.4), but for a bridge without data channels, which is none that failed.
    fn of(error: &ColibriError, with_data: bool) -> Self {
        match (error.condition, error.reason) {
            (Condition::FeatureNotImplemented, _) if with_data => Self::LacksSctp,
            (Condition::BadRequest, _) => Self::GiveUp,
            (Condition::ItemNotFound, Some(Reason::ConferenceNotFound)) | (Condition::Conflict, _) => Self::LeaveBridge,
            (Condition::ItemNotFound, _) => Self::GiveUp,
            (Condition::ServiceUnavailable, Some(Reason::GracefulShutdown)) => Self::BridgeIsGraceful,
            _ => Self::BridgeFailed,
        }
    }
}

impl ColibriSession {
    pub(super) fn new(id: String, region: Option<String>) -> Self {
        Self {
            id,
            region,
            was_created: false,
            endpoints: IndexSet::new(),
            feedback_owner: BRIDGE_OWNER.parse().ok(),
            feedback: EndpointSourceSet::default(),
        }
    }

    /// One more endpoint; answers whether the request for it has to create the conference.
    pub(super) fn add(&mut self, endpoint: &EndpointId) -> bool {
        self.endpoints.insert(endpoint.clone());
        !std::mem::replace(&mut self.was_created, true)
    }

    /// The sources from which the bridge sends feedback, as clients are told of them. Their msids are those that clients
    /// never show.
    pub(super) fn set_feedback(&mut self, sources: &[MediaSource]) {
        let describe = |media: &MediaSource, source: &Source| {
            let kind = media.media_type.as_str();
            let msid = Some(format!("mixedmslabel mixedlabel{kind}0"));
            let name = source.name.clone().or_else(|| Some(media.id.clone()));
            EndpointSource { media_type: media.media_type, source: Source { name, msid, ..source.clone() } }
        };
        self.feedback.sources =
            sources.iter().flat_map(|media| media.sources.iter().map(move |source| describe(media, source))).collect();
    }

    /// The bridge's own sources with their owner.
    pub(super) fn feedback(&self) -> Option<(&EndpointId, &EndpointSourceSet)> {
        Some((self.feedback_owner.as_ref()?, &self.feedback))
    }
}

impl Conference {
    /// Sends the bridge what changed of an endpoint.
    pub(super) fn update_endpoint(
        &self,
        endpoint: &EndpointId,
        change: impl FnOnce(&mut EndpointModify),
        context: &mut Context<'_>,
    ) {
        let Some(allocation) = self.participants.get(endpoint).and_then(|known| known.session.allocation()) else {
            return;
        };
        let Some(meeting_id) = self.meeting_id.clone() else { return };
        let mut modify = EndpointModify::new(endpoint.clone());
        change(&mut modify);
        let purpose = if modify.transport.as_ref().is_some_and(|transport| transport.ice_restart) {
            ConferencePurpose::IceRestart { endpoint: endpoint.clone(), attempt: allocation.attempt }
        } else {
            ConferencePurpose::UpdateEndpoint { endpoint: endpoint.clone(), attempt: allocation.attempt }
        };
        let modify = ConferenceModify { endpoints: vec![modify], ..ConferenceModify::new(meeting_id) };
        self.request(&allocation.bridge, "get", modify.to_element(), purpose, context);
    }

    /// Sends the bridge the client's side of the transport.
    pub(super) fn update_transport(&self, endpoint: &EndpointId, ice: IceTransport, context: &mut Context<'_>) {
        let transport = TransportRequest { ice: Some(ice), ..TransportRequest::default() };
        self.update_endpoint(endpoint, |modify| modify.transport = Some(transport), context);
    }

    /// Sends the bridge all sources of an endpoint.
    pub(super) fn update_sources(&self, endpoint: &EndpointId, context: &mut Context<'_>) {
        let sources = self.media_sources_of(endpoint);
        self.update_endpoint(endpoint, |modify| modify.sources = Some(sources), context);
    }

    pub(super) fn media_sources_of(&self, endpoint: &EndpointId) -> Vec<MediaSource> {
        self.sources.get(endpoint).map(|set| media_sources(endpoint, set)).unwrap_or_default()
    }

    /// The outcome of an update: an endpoint that the bridge lost is invited again, another failure concerns everybody.
    pub(super) fn on_updated(
        &mut self,
        endpoint: &EndpointId,
        attempt: u64,
        outcome: IqOutcome,
        context: &mut Context<'_>,
    ) {
        let allocation = self.participants.get(endpoint).and_then(|known| known.session.allocation());
        let Some(allocation) = allocation.filter(|allocation| allocation.attempt == attempt) else { return };
        let bridge = allocation.bridge.clone();
        let Some(problem) = problem_of(&outcome) else { return };
        tracing::warn!(room = %self.room, %endpoint, %bridge, problem, "bridge did not take an update");
        let IqOutcome::Answer(answer) = outcome else { return };
        let error = ColibriError::from_stanza_error(&StanzaError::of_stanza(&answer));
        if error.reason == Some(Reason::UnknownEndpoint) {
            let lost = error.endpoint.unwrap_or_else(|| endpoint.clone());
            self.reinvite(&lost, context);
        } else {
            self.remove_bridge(&bridge, Farewell::Expire, context);
        }
    }

    pub(super) fn on_allocation_refused(
        &mut self,
        endpoint: &EndpointId,
        bridge: &Jid,
        with_data: bool,
        error: &ColibriError,
        context: &mut Context<'_>,
    ) {
        let condition = error.condition.as_str();
        tracing::warn!(room = %self.room, %endpoint, %bridge, condition, reason = ?error.reason, text = error.text,
            "bridge refused an endpoint");
        match Refusal::of(error, with_data) {
            Refusal::GiveUp => {
                // Nothing was allocated; a conference that was to be created with it does not exist.
                self.forget_endpoint(bridge, endpoint);
                self.set_session(endpoint, Session::Ended);
            }
            Refusal::LeaveBridge => self.remove_bridge(bridge, Farewell::Expire, context),
            Refusal::LacksSctp => {
                if let Some(bridge) = context.selector.get_mut(bridge) {
                    bridge.lacks_sctp();
                }
                self.remove_bridge(bridge, Farewell::Expire, context);
            }
            Refusal::BridgeIsGraceful => {
                if let Some(bridge) = context.selector.get_mut(bridge) {
                    bridge.enter_graceful_shutdown();
                }
                self.remove_bridge(bridge, Farewell::Expire, context);
            }
            Refusal::BridgeFailed => {
                if let Some(bridge) = context.selector.get_mut(bridge) {
                    bridge.failed(context.now);
                }
                self.remove_bridge(bridge, Farewell::Expire, context);
            }
        }
    }

    /// A bridge did not answer an allocation.
    pub(super) fn on_bridge_silent(&mut self, bridge: &Jid, context: &mut Context<'_>) {
        tracing::warn!(room = %self.room, %bridge, "bridge does not answer");
        if let Some(bridge) = context.selector.get_mut(bridge) {
            bridge.failed(context.now);
        }
        self.remove_bridge(bridge, Farewell::Expire, context);
    }

    /// Takes a bridge out of the conference; its participants are invited again, elsewhere if need be.
    pub(super) fn remove_bridge(&mut self, bridge: &Jid, farewell: Farewell, context: &mut Context<'_>) {
        if self.colibri.shift_remove(bridge).is_none() {
            return;
        }
        if farewell == Farewell::Expire {
            self.expire_conference(bridge, context);
        }
        let moved: Vec<EndpointId> = self
            .participants
            .values()
            .filter(|participant| participant.session.bridge() == Some(bridge))
            .map(|participant| participant.endpoint.clone())
            .collect();
        tracing::warn!(room = %self.room, %bridge, participants = moved.len(), "bridge removed from the conference");
        context.metrics.bridges_removed.inc();
        context.metrics.participants_moved.inc_by(moved.len() as u64);
        // All sessions end before the first new one begins: nobody is told of sources that are about to go, or of those
        // of others who move too.
        for endpoint in &moved {
            self.terminate(endpoint, MOVING, Session::None, context);
        }
        for endpoint in &moved {
            self.withdraw_sources(endpoint, context);
        }
        for endpoint in &moved {
            self.invite_after_failure(endpoint, context);
        }
    }

    pub(crate) fn endpoints_on(&self, bridge: &Jid) -> usize {
        self.colibri.get(bridge).map_or(0, |session| session.endpoints.len())
    }

    /// Moves the conference off a bridge, to another one if there is one. Without cascading all its endpoints move together.
    /// Answers how many.
    pub(crate) fn move_off(&mut self, bridge: &Jid, context: &mut Context<'_>) -> usize {
        let version = context.pins.version_of(&self.room, context.now);
        let wanted = BridgeWanted { version, avoid: Some(bridge), ..BridgeWanted::default() };
        let moved = self.endpoints_on(bridge);
        if moved == 0 || context.selector.select(&wanted, context.now).is_none_or(|other| other == *bridge) {
            return 0;
        }
        self.moved_from = Some(bridge.clone());
        self.remove_bridge(bridge, Farewell::Expire, context);
        self.publish(context);
        moved
    }

    /// Removes an endpoint from its bridge, and the conference with the last one.
    pub(super) fn expire_endpoint(&mut self, bridge: &Jid, endpoint: &EndpointId, context: &mut Context<'_>) {
        if !self.forget_endpoint(bridge, endpoint) {
            return;
        }
        if !self.colibri.contains_key(bridge) {
            return self.expire_conference(bridge, context);
        }
        let Some(meeting_id) = self.meeting_id.clone() else { return };
        let mut modify = EndpointModify::new(endpoint.clone());
        modify.expire = true;
        let modify = ConferenceModify { endpoints: vec![modify], ..ConferenceModify::new(meeting_id) };
        self.request(bridge, "get", modify.to_element(), ConferencePurpose::Expire { bridge: bridge.clone() }, context);
    }

    /// Takes an endpoint off the books of its bridge, and the bridge with the last one. Answers whether it was there.
    fn forget_endpoint(&mut self, bridge: &Jid, endpoint: &EndpointId) -> bool {
        let Some(session) = self.colibri.get_mut(bridge) else { return false };
        let was_there = session.endpoints.shift_remove(endpoint);
        if session.endpoints.is_empty() {
            self.colibri.shift_remove(bridge);
        }
        was_there
    }

    /// Ends the conference on all its bridges.
    pub(super) fn expire_all_bridges(&mut self, context: &mut Context<'_>) {
        for (bridge, _) in std::mem::take(&mut self.colibri) {
            self.expire_conference(&bridge, context);
        }
    }

    fn expire_conference(&self, bridge: &Jid, context: &mut Context<'_>) {
        let Some(meeting_id) = self.meeting_id.clone() else { return };
        let modify = ConferenceModify { expire: true, ..ConferenceModify::new(meeting_id) };
        self.request(bridge, "get", modify.to_element(), ConferencePurpose::Expire { bridge: bridge.clone() }, context);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reacts_to_refusals_as_jicofo_does() {
        use Condition::{
            BadRequest, Conflict, FeatureNotImplemented, InternalServerError, ItemNotFound, ServiceUnavailable,
        };
        for (condition, reason, reaction) in [
            (BadRequest, Some(Reason::Unspecified), Refusal::GiveUp),
            (ItemNotFound, Some(Reason::ConferenceNotFound), Refusal::LeaveBridge),
            (ItemNotFound, Some(Reason::UnknownEndpoint), Refusal::GiveUp),
            (ItemNotFound, None, Refusal::GiveUp),
            (Conflict, Some(Reason::ConferenceAlreadyExists), Refusal::LeaveBridge),
            (Conflict, None, Refusal::LeaveBridge),
            (ServiceUnavailable, Some(Reason::GracefulShutdown), Refusal::BridgeIsGraceful),
            (ServiceUnavailable, None, Refusal::BridgeFailed),
            (FeatureNotImplemented, Some(Reason::FeatureNotImplemented), Refusal::BridgeFailed),
            (InternalServerError, None, Refusal::BridgeFailed),
        ] {
            assert_eq!(
                Refusal::of(&ColibriError::new(condition, reason, ""), false),
                reaction,
                "{condition:?} {reason:?}"
            );
        }
    }

    #[test]
    fn a_bridge_that_has_no_data_channels_has_not_failed() {
        let refusal = ColibriError::new(Condition::FeatureNotImplemented, Some(Reason::FeatureNotImplemented), "");
        assert_eq!(Refusal::of(&refusal, true), Refusal::LacksSctp);
    }
}
