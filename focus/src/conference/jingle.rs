//! What clients say in their sessions.

use jitsi_protocol::bridge_session::{BridgeSession, initial_last_n, reports_ice_failure};
use jitsi_protocol::colibri2::TransportRequest;
use model::EndpointId;
use xmpp::jingle::{Action, IceTransport, InvalidElement, Jingle, unknown_session};
use xmpp::{Condition, Element, Jid, StanzaError};

use super::Conference;
use super::invite::rewrites_ssrcs;
use super::participant::Session;
use crate::context::{ConferencePurpose, Context};
use crate::source::{
    EndpointSourceSet, SourceChange, ValidationFailed, encode_json, encode_xml, of_contents, visible_to,
};

impl Conference {
    pub(super) fn on_jingle(&mut self, from: &Jid, iq: &Element, payload: &Element, context: &mut Context<'_>) {
        let Some(endpoint) = self.participant_at(from).map(|known| known.endpoint.clone()) else {
            let error = StanzaError::new(Condition::ItemNotFound).with_text("jingle session no longer active");
            return context.answer(iq, Err(error));
        };
        let jingle = match Jingle::from_element(payload) {
            Ok(jingle) => jingle,
            Err(error) => {
                tracing::info!(room = %self.room, %endpoint, %error, "message of a client not understood");
                return context.answer(iq, Err(error.to_stanza_error()));
            }
        };
        context.metrics.jingle_received.with_label_values(&[jingle.action.as_str()]).inc();
        if let Err(error) = self.check_session(&endpoint, &jingle) {
            return context.answer(iq, Err(error));
        }
        if let Err(error) = self.on_session_message(&endpoint, &jingle, iq, context) {
            let text = error.text.as_deref().unwrap_or_default();
            tracing::info!(room = %self.room, %endpoint, action = jingle.action.as_str(), text, "client refused");
            context.answer(iq, Err(error));
        }
    }

    /// Whether the message is about the participant's current session.
    fn check_session(&self, endpoint: &EndpointId, jingle: &Jingle) -> Result<(), StanzaError> {
        let Some(participant) = self.participants.get(endpoint) else { return Ok(()) };
        let current = participant.session.sid();
        if current == Some(jingle.sid.as_str()) {
            return Ok(());
        }
        if !participant.had_session(&jingle.sid) {
            return Err(unknown_session(Condition::BadRequest).with_text("no such session"));
        }
        let is_accept = matches!(jingle.action, Action::SessionAccept | Action::TransportAccept);
        let text = if is_accept && current.is_some() { "session has been replaced" } else { "session ended" };
        Err(StanzaError::new(Condition::Gone).with_text(text))
    }

    /// Handles a message of the current session. It is answered here when all is well: at once, before what follows.
    fn on_session_message(
        &mut self,
        endpoint: &EndpointId,
        jingle: &Jingle,
        iq: &Element,
        context: &mut Context<'_>,
    ) -> Result<(), StanzaError> {
        match jingle.action {
            Action::SessionAccept => self.on_session_accept(endpoint, jingle, iq, context),
            Action::SourceAdd => self.on_source_add(endpoint, jingle, iq, context),
            Action::SourceRemove => self.on_source_remove(endpoint, jingle, iq, context),
            Action::TransportInfo => self.on_transport_info(endpoint, jingle, iq, context),
            Action::SessionInfo => self.on_session_info(endpoint, jingle, iq, context),
            Action::SessionTerminate => self.on_session_terminate(endpoint, jingle, iq, context),
            Action::TransportReject => {
                tracing::warn!(room = %self.room, %endpoint, "client rejected a transport");
                context.answer(iq, Ok(()));
                Ok(())
            }
            // A focus that replaces whole sessions sends no transport-replace.
            Action::TransportAccept | Action::ContentModify | Action::SessionInitiate | Action::TransportReplace => {
                let unsupported = InvalidElement::UnsupportedAction(jingle.action.as_str().to_owned());
                Err(unsupported.to_stanza_error())
            }
        }
    }

    fn on_session_accept(
        &mut self,
        endpoint: &EndpointId,
        jingle: &Jingle,
        iq: &Element,
        context: &mut Context<'_>,
    ) -> Result<(), StanzaError> {
        let transport = transport_of(jingle)?;
        let last_n = jingle.contents.iter().map(initial_last_n).find_map(Result::transpose).transpose();
        let last_n = last_n.map_err(|error| error.to_stanza_error())?;
        let Some(participant) = self.participants.get(endpoint) else { return Ok(()) };
        let Session::Offered { sid, allocation } = participant.session.clone() else {
            return Err(StanzaError::new(Condition::UnexpectedRequest).with_text("session is accepted already"));
        };
        let added = of_contents(&jingle.contents);
        if !added.is_empty() {
            self.refuse_visitor(endpoint, "sources not allowed for visitors")?;
        }
        let before = self.add_sources(endpoint, added)?;
        if let Some(participant) = self.participants.get_mut(endpoint) {
            participant.session = Session::Active { sid, allocation };
        }
        context.answer(iq, Ok(()));
        tracing::info!(room = %self.room, %endpoint, "session accepted");
        let sources = self.media_sources_of(endpoint);
        self.update_endpoint(
            endpoint,
            |modify| {
                let ice = Some(IceTransport { rtcp_mux: true, ..transport });
                modify.transport = Some(TransportRequest { ice, ..TransportRequest::default() });
                modify.sources = Some(sources);
                modify.initial_last_n = last_n;
            },
            context,
        );
        self.relay_sources(endpoint, context);
        self.tell_others(endpoint, &before, context);
        self.tell_sources(endpoint, context);
        Ok(())
    }

    fn on_source_add(
        &mut self,
        endpoint: &EndpointId,
        jingle: &Jingle,
        iq: &Element,
        context: &mut Context<'_>,
    ) -> Result<(), StanzaError> {
        self.check_accepted(endpoint)?;
        self.refuse_visitor(endpoint, "add-source not allowed for visitors")?;
        let added = of_contents(&jingle.contents);
        let is_empty = added.is_empty();
        self.check_sender_limits(&added)?;
        let before = self.add_sources(endpoint, added)?;
        context.answer(iq, Ok(()));
        if !is_empty {
            self.update_sources(endpoint, context);
            self.tell_others(endpoint, &before, context);
        }
        Ok(())
    }

    fn on_source_remove(
        &mut self,
        endpoint: &EndpointId,
        jingle: &Jingle,
        iq: &Element,
        context: &mut Context<'_>,
    ) -> Result<(), StanzaError> {
        self.check_accepted(endpoint)?;
        let before = self.sources.get(endpoint).cloned().unwrap_or_default();
        let removed = self.sources.try_to_remove(endpoint, &of_contents(&jingle.contents)).map_err(refuse)?;
        context.answer(iq, Ok(()));
        if !removed.is_empty() {
            self.update_sources(endpoint, context);
            self.tell_others(endpoint, &before, context);
        }
        Ok(())
    }

    fn on_transport_info(
        &mut self,
        endpoint: &EndpointId,
        jingle: &Jingle,
        iq: &Element,
        context: &mut Context<'_>,
    ) -> Result<(), StanzaError> {
        let transport = transport_of(jingle)?;
        context.answer(iq, Ok(()));
        self.update_transport(endpoint, transport, context);
        Ok(())
    }

    fn on_session_info(
        &mut self,
        endpoint: &EndpointId,
        jingle: &Jingle,
        iq: &Element,
        context: &mut Context<'_>,
    ) -> Result<(), StanzaError> {
        let bridge_session = BridgeSession::of_jingle(jingle).map_err(|error| error.to_stanza_error())?;
        let bridge_session = bridge_session.unwrap_or_default();
        let id = bridge_session.id.as_deref();
        if bridge_session.ice_restart {
            self.restart_ice(endpoint, id, context)?;
            context.answer(iq, Ok(()));
            self.request_ice_restart(endpoint, context);
        } else {
            context.answer(iq, Ok(()));
            if reports_ice_failure(jingle) && self.is_current_bridge_session(endpoint, id) {
                tracing::warn!(room = %self.room, %endpoint, "client reports that ICE failed, inviting again");
                context.metrics.participants_ice_failed.inc();
                self.report_restart(endpoint, context);
                self.reinvite(endpoint, context);
            }
        }
        Ok(())
    }

    fn on_session_terminate(
        &mut self,
        endpoint: &EndpointId,
        jingle: &Jingle,
        iq: &Element,
        context: &mut Context<'_>,
    ) -> Result<(), StanzaError> {
        let bridge_session = BridgeSession::of_jingle(jingle).map_err(|error| error.to_stanza_error())?;
        let restart = bridge_session.filter(|bridge_session| bridge_session.restart);
        if let Some(bridge_session) = &restart
            && let Err(error) = self.restart_session(endpoint, bridge_session.id.as_deref(), context)
        {
            if error.condition == Condition::ResourceConstraint {
                // The client's side of the session is gone all the same. It is invited again, but not at once.
                self.end_session(endpoint, Session::None, context);
                self.retry_later(context);
            }
            return Err(error);
        }
        context.answer(iq, Ok(()));
        let reason = jingle.reason.as_ref().map_or("-", |reason| reason.condition.as_str());
        tracing::info!(room = %self.room, %endpoint, reason, restart = restart.is_some(), "client ended its session");
        if restart.is_some() {
            self.end_session(endpoint, Session::None, context);
            if self.phase.is_active() {
                self.invite(endpoint, context);
            }
        } else {
            self.end_session(endpoint, Session::Ended, context);
        }
        Ok(())
    }

    fn check_accepted(&self, endpoint: &EndpointId) -> Result<(), StanzaError> {
        let session = self.participants.get(endpoint).map(|participant| &participant.session);
        if matches!(session, Some(Session::Active { .. })) {
            return Ok(());
        }
        Err(StanzaError::new(Condition::UnexpectedRequest).with_text("session is not accepted yet"))
    }

    fn refuse_visitor(&self, endpoint: &EndpointId, text: &'static str) -> Result<(), StanzaError> {
        let is_visitor = self.participants.get(endpoint).is_some_and(|participant| participant.is_visitor);
        if is_visitor { Err(StanzaError::new(Condition::Forbidden).with_text(text)) } else { Ok(()) }
    }

    /// Adds sources and answers what the endpoint had before.
    fn add_sources(
        &mut self,
        endpoint: &EndpointId,
        added: EndpointSourceSet,
    ) -> Result<EndpointSourceSet, StanzaError> {
        let before = self.sources.get(endpoint).cloned().unwrap_or_default();
        self.sources.try_to_add(endpoint, added).map_err(refuse)?;
        Ok(before)
    }

    /// Takes an endpoint's sources away from the others.
    pub(super) fn withdraw_sources(&mut self, endpoint: &EndpointId, context: &mut Context<'_>) {
        if let Some(before) = self.sources.remove_endpoint(endpoint) {
            self.tell_others(endpoint, &before, context);
        }
    }

    /// Tells the others that an endpoint's sources changed from `before`.
    fn tell_others(&mut self, owner: &EndpointId, before: &EndpointSourceSet, context: &mut Context<'_>) {
        let mut told = Vec::new();
        for other in self.participants.values_mut() {
            let by_bridge = rewrites_ssrcs(context.settings, other.features());
            if other.endpoint != *owner && other.session.is_told_sources() && !by_bridge {
                other.signaling.on_change(owner, before);
                told.push(other.endpoint.clone());
            }
        }
        let delay = context.settings.source_signaling_delay(self.participants.len());
        for endpoint in told {
            if delay.is_zero() {
                self.tell_sources(&endpoint, context);
            } else if !self.flushes.iter().any(|(_, waiting)| *waiting == endpoint) {
                self.flushes.insert((context.now + delay, endpoint));
            }
        }
    }

    /// Tells those of changed sources for whom changes were collected long enough.
    pub(super) fn flush_sources(&mut self, context: &mut Context<'_>) {
        while let Some((_, endpoint)) = self.flushes.first().filter(|(at, _)| *at <= context.now).cloned() {
            self.flushes.pop_first();
            self.tell_sources(&endpoint, context);
        }
    }

    /// Tells a participant what it does not know yet of the others' sources, once it accepted its session.
    fn tell_sources(&mut self, endpoint: &EndpointId, context: &mut Context<'_>) {
        let Some(participant) = self.participants.get_mut(endpoint) else { return };
        let Session::Active { sid, .. } = &participant.session else { return };
        let features = participant.features();
        let settings = context.settings;
        let visible = |set: &EndpointSourceSet| visible_to(features, settings.strip_simulcast, set);
        let SourceChange { removed, added } = participant.signaling.update(&self.sources, visible);
        let in_json = settings.use_json_encoded_sources && features.json_sources;
        let occupant = participant.member.occupant.clone();
        let sid = sid.clone();
        for (action, sets) in [(Action::SourceRemove, removed), (Action::SourceAdd, added)] {
            if sets.is_empty() {
                continue;
            }
            let mut jingle = context.jingle(action, &sid);
            if in_json {
                jingle.extensions.push(encode_json(sets.iter()).to_element());
            } else {
                encode_xml(sets.iter(), &mut jingle.contents);
            }
            let purpose = ConferencePurpose::Notify { endpoint: endpoint.clone(), news: action.as_str() };
            self.request(&occupant, "set", jingle.to_element(), purpose, context);
        }
    }
}

/// The client's transport: that of the first content, as all are bundled.
fn transport_of(jingle: &Jingle) -> Result<IceTransport, StanzaError> {
    let transport = jingle.contents.iter().find_map(|content| content.transport.clone());
    transport.ok_or_else(|| StanzaError::new(Condition::BadRequest).with_text("missing transport"))
}

fn refuse(error: ValidationFailed) -> StanzaError {
    StanzaError::new(Condition::BadRequest).with_text(error.to_string())
}
