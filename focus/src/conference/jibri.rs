//! Recordings, streams and calls over SIP: a moderator asks, a recorder is chosen and told, and the room hears how it goes
//! (focus.md §11.1; `jicofo: JibriSession.java`).
//!
//! asked → starting (the recorder has to answer "pending") → pending → on → off. A recorder that fails is replaced by
//! another while there are tries left.

use std::time::Instant;

use jitsi_protocol::jibri::{Action, FailureReason, Jibri, RecordingMode, Status, recording_status, sip_call_state};
use xmpp::{Condition, Element, Jid, StanzaError, iq_result, ns};

use super::{Conference, problem_of};
use crate::context::{ConferencePurpose, Context};
use crate::iq::IqOutcome;
use crate::jibri::{JibriDetector, NoJibri};
use crate::metrics::Metrics;
use crate::request::address_of;

/// Calls over SIP of one conference: more would be a conference of recorders.
const MAX_SIP_CALLS: usize = 32;
/// Calls over SIP that ended and are still shown as off.
const MAX_ENDED_CALLS: usize = 8;

/// What recorders do for a conference.
#[derive(Debug, Default)]
pub(super) struct JibriSessions {
    sessions: Vec<JibriSession>,
    /// What the room is told of its recording.
    recording: Option<Element>,
    /// What the room is told of its calls, by SIP address.
    calls: Vec<(String, Element)>,
}

/// One recording, stream or call.
#[derive(Debug)]
struct JibriSession {
    id: String,
    kind: Kind,
    /// What a recorder is asked.
    request: Jibri,
    initiator: Jid,
    jibri: Jid,
    state: State,
    retries: u32,
    /// When a recorder that is not on yet counts as failed.
    until: Option<Instant>,
}

/// What a session is about: of the first two a room has one together.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Recording,
    Stream,
    Call { sip_address: String },
}

#[derive(Debug)]
enum State {
    /// The recorder has not answered yet. Keeps how to answer the client, unless a first recorder answered already.
    Starting { client: Option<Element> },
    /// The recorder is about to begin.
    Pending,
    /// It records.
    On,
}

impl Kind {
    fn of(request: &Jibri) -> Result<Self, StanzaError> {
        let bad_request = |text| Err(StanzaError::new(Condition::BadRequest).with_text(text));
        if let Some(sip_address) = request.sip_address.clone() {
            return Ok(Self::Call { sip_address });
        }
        let is_file = request.recording_mode == Some(RecordingMode::File);
        match (request.stream_id.is_some(), is_file) {
            (false, false) => bad_request("Stream ID is empty or undefined"),
            (true, true) => bad_request("Stream ID is provided for a FILE recording."),
            (false, true) => Ok(Self::Recording),
            (true, false) => Ok(Self::Stream),
        }
    }

    /// The recorders that can do it.
    fn detector<'a>(&self, context: &'a mut Context<'_>) -> &'a mut JibriDetector {
        match self {
            Self::Recording | Self::Stream => context.jibris,
            Self::Call { .. } => context.sip_jibris,
        }
    }

    fn count_failure(&self, metrics: &Metrics) {
        match self {
            Self::Recording => &metrics.jibri_recording_failures,
            Self::Stream => &metrics.jibri_live_streaming_failures,
            Self::Call { .. } => &metrics.jibri_sip_failures,
        }
        .inc();
    }
}

impl JibriSessions {
    fn position(&self, id: &str) -> Option<usize> {
        self.sessions.iter().position(|session| session.id == id)
    }

    /// The session that a client means: the call to this address, or the room's recording or stream.
    fn meant(&self, request: &Jibri) -> Option<usize> {
        self.sessions.iter().position(|session| match (&session.kind, &request.sip_address) {
            (Kind::Call { sip_address }, Some(wanted)) => sip_address == wanted,
            (Kind::Recording | Kind::Stream, None) => true,
            (Kind::Call { .. }, None) | (Kind::Recording | Kind::Stream, Some(_)) => false,
        })
    }

    pub(super) fn uses(&self, jibri: &Jid) -> bool {
        self.sessions.iter().any(|session| session.jibri == *jibri)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.sessions.iter().filter_map(|session| session.until).min()
    }

    /// How many record, stream and call now.
    pub(super) fn active(&self) -> [usize; 3] {
        let count = |is_wanted: fn(&Kind) -> bool| {
            let on = self.sessions.iter().filter(|session| matches!(session.state, State::On));
            on.filter(|session| is_wanted(&session.kind)).count()
        };
        [
            count(|kind| *kind == Kind::Recording),
            count(|kind| *kind == Kind::Stream),
            count(|kind| matches!(kind, Kind::Call { .. })),
        ]
    }

    /// What the presence of the focus says of them.
    pub(super) fn presence(&self) -> impl Iterator<Item = Element> {
        self.recording.iter().chain(self.calls.iter().map(|(_, call)| call)).cloned()
    }

    /// The room is to know how a session stands; `by` is who began or ended it.
    fn tell(&mut self, session: &JibriSession, status: Status, reason: Option<FailureReason>, by: Option<&Jid>) {
        let mode = match &session.kind {
            Kind::Recording => RecordingMode::File,
            Kind::Stream => RecordingMode::Stream,
            Kind::Call { sip_address } => {
                self.calls.retain(|(known, _)| known != sip_address);
                let ended = |(_, call): &(String, Element)| call.attr("state") == Some(Status::Off.as_str());
                if self.calls.iter().filter(|call| ended(call)).count() >= MAX_ENDED_CALLS
                    && let Some(oldest) = self.calls.iter().position(ended)
                {
                    self.calls.remove(oldest);
                }
                self.calls.push((sip_address.clone(), sip_call_state(&session.id, status, reason, sip_address)));
                return;
            }
        };
        self.recording = Some(recording_status(&session.id, status, reason, mode, by));
    }
}

impl Conference {
    /// A client wants a recording, a stream or a call to begin or end.
    pub(super) fn on_jibri(&mut self, from: &Jid, iq: &Element, payload: &Element, context: &mut Context<'_>) {
        let request = Jibri::from_element(payload);
        let refusal = match self.check_moderator(from, context) {
            Err(error) => error,
            Ok(()) => match (request.action, self.jibri.meant(&request)) {
                (Some(Action::Start), None) => match self.start_jibri(from, iq, request, context) {
                    Ok(()) => return,
                    Err(error) => error,
                },
                (Some(Action::Start), Some(_)) => StanzaError::new(Condition::UnexpectedRequest)
                    .with_text("Recording or live streaming is already enabled"),
                (Some(Action::Stop), Some(at)) => {
                    context.answer(iq, Ok(()));
                    return self.stop_jibri(at, Some(from), context);
                }
                (Some(Action::Stop), None) => StanzaError::new(Condition::ItemNotFound).with_text("Unknown session"),
                (None, _) => StanzaError::new(Condition::BadRequest).with_text("undefined action"),
            },
        };
        tracing::info!(room = %self.room, %from, condition = refusal.condition.as_str(), "recorder request refused");
        context.answer(iq, Err(refusal));
    }

    /// Whether an occupant may have recorders and telephones called (`enable-moderator-checks`).
    pub(super) fn check_moderator(&self, from: &Jid, context: &Context<'_>) -> Result<(), StanzaError> {
        if !context.settings.enable_moderator_checks {
            return Ok(());
        }
        match self.participant_at(from) {
            None => Err(StanzaError::new(Condition::Forbidden)),
            Some(participant) if !participant.member.has_moderator_rights() => {
                Err(StanzaError::new(Condition::NotAllowed))
            }
            Some(_) => Ok(()),
        }
    }

    fn start_jibri(
        &mut self,
        from: &Jid,
        iq: &Element,
        request: Jibri,
        context: &mut Context<'_>,
    ) -> Result<(), StanzaError> {
        let kind = Kind::of(&request)?;
        let calls = self.jibri.sessions.iter().filter(|session| matches!(session.kind, Kind::Call { .. })).count();
        if calls >= MAX_SIP_CALLS {
            return Err(StanzaError::new(Condition::ResourceConstraint).with_text("too many calls"));
        }
        let now = context.now;
        let jibri = kind.detector(context).select(now).map_err(|error| {
            kind.count_failure(context.metrics);
            if error == NoJibri::NotAvailable {
                context.metrics.jibri_no_instance_failures.inc();
            }
            tracing::warn!(room = %self.room, ?error, "no recorder can be had");
            no_jibri(error)
        })?;
        let id = context.random_uuid();
        let request = Jibri {
            action: Some(Action::Start),
            session_id: Some(id.clone()),
            room: Some(self.room.clone()),
            rtcstats_enabled: Some(self.rtcstats_enabled),
            recording_mode: Some(if kind == Kind::Stream { RecordingMode::Stream } else { RecordingMode::File }),
            status: None,
            failure_reason: None,
            should_retry: None,
            ..request
        };
        self.jibri.sessions.push(JibriSession {
            id: id.clone(),
            kind,
            request,
            initiator: from.clone(),
            jibri: jibri.clone(),
            state: State::Starting { client: Some(address_of(iq)) },
            retries: 0,
            until: None,
        });
        self.send_jibri_start(&id, jibri, context);
        Ok(())
    }

    fn send_jibri_start(&mut self, id: &str, jibri: Jid, context: &mut Context<'_>) {
        let Some(session) = self.jibri.position(id).and_then(|at| self.jibri.sessions.get_mut(at)) else { return };
        tracing::info!(room = %self.room, session = id, %jibri, "recorder asked");
        session.jibri = jibri.clone();
        session.until = Some(context.now + context.settings.jibri.pending_timeout);
        let element = session.request.to_element();
        let purpose = ConferencePurpose::JibriStart { session: id.to_owned(), jibri: jibri.clone() };
        self.request(&jibri, "set", element, purpose, context);
    }

    /// What a recorder answered to the request to start.
    pub(super) fn on_jibri_answer(&mut self, id: &str, jibri: &Jid, outcome: IqOutcome, context: &mut Context<'_>) {
        let Some(session) = self.jibri.position(id).and_then(|at| self.jibri.sessions.get_mut(at)) else { return };
        let State::Starting { .. } = &session.state else { return };
        if session.jibri != *jibri {
            return;
        }
        let problem = problem_of(&outcome);
        let answer = match outcome {
            IqOutcome::Answer(answer) => answer.child("jibri", ns::JIBRI).map(Jibri::from_element),
            IqOutcome::Timeout => {
                // It may only be slow, and would record a room that another records too.
                self.send_jibri_stop(id, jibri, context);
                None
            }
        };
        let is_pending = problem.is_none() && answer.as_ref().and_then(|answer| answer.status) == Some(Status::Pending);
        if !is_pending {
            tracing::warn!(room = %self.room, session = id, %jibri, problem, ?answer, "recorder cannot start");
            return self.on_jibri_failed(id, FailureReason::Error, context);
        }
        let Some(session) = self.jibri.position(id).and_then(|at| self.jibri.sessions.get_mut(at)) else { return };
        let State::Starting { client } = std::mem::replace(&mut session.state, State::Pending) else { return };
        if let Some(client) = client {
            let result = Jibri { session_id: Some(id.to_owned()), ..Jibri::default() };
            context.send(iq_result(&client).with_child(result.to_element()));
        }
        self.tell_jibri(id, Status::Pending, None, None);
    }

    /// A recorder tells how it goes.
    pub(crate) fn on_jibri_news(&mut self, from: &Jid, iq: &Element, payload: &Element, context: &mut Context<'_>) {
        context.answer(iq, Ok(()));
        let news = Jibri::from_element(payload);
        let is_meant = |session: &&JibriSession| {
            session.jibri == *from && news.session_id.as_ref().is_none_or(|id| *id == session.id)
        };
        let Some(session) = self.jibri.sessions.iter().find(is_meant) else { return };
        let id = session.id.clone();
        tracing::info!(room = %self.room, session = id, jibri = %from, ?news, "recorder speaks");
        match (news.status, news.failure_reason) {
            (None, _) => context.metrics.dropped("recorder without a status"),
            (Some(_), Some(reason)) if news.should_retry == Some(true) => self.on_jibri_failed(&id, reason, context),
            (Some(_), Some(reason)) => self.end_jibri(&id, Some(reason), context),
            (Some(Status::Off), None) => self.end_jibri(&id, None, context),
            (Some(Status::Pending), None) => {}
            (Some(Status::On), None) => {
                if let Some(session) = self.jibri.position(&id).and_then(|at| self.jibri.sessions.get_mut(at)) {
                    session.state = State::On;
                    session.until = None;
                    let initiator = session.initiator.clone();
                    self.tell_jibri(&id, Status::On, None, Some(&initiator));
                }
            }
        }
        self.publish(context);
    }

    /// A recorder is gone.
    pub(crate) fn on_jibri_lost(&mut self, jibri: &Jid, context: &mut Context<'_>) {
        let lost = self.jibri.sessions.iter().filter(|session| session.jibri == *jibri);
        let lost: Vec<String> = lost.map(|session| session.id.clone()).collect();
        for id in lost {
            tracing::warn!(room = %self.room, session = id, %jibri, "recorder is gone");
            self.on_jibri_failed(&id, FailureReason::Error, context);
        }
        self.publish(context);
    }

    /// Recorders that took too long to begin count as failed.
    pub(super) fn on_jibri_timeout(&mut self, context: &mut Context<'_>) {
        let late = self.jibri.sessions.iter().filter(|session| session.until.is_some_and(|until| until <= context.now));
        let late: Vec<(String, Jid)> = late.map(|session| (session.id.clone(), session.jibri.clone())).collect();
        for (id, jibri) in late {
            tracing::warn!(room = %self.room, session = id, %jibri, "recorder does not begin");
            self.send_jibri_stop(&id, &jibri, context);
            self.on_jibri_failed(&id, FailureReason::Error, context);
        }
    }

    /// A recorder failed: another one gets the session, while there are tries and recorders left.
    fn on_jibri_failed(&mut self, id: &str, reason: FailureReason, context: &mut Context<'_>) {
        let Some(session) = self.jibri.position(id).and_then(|at| self.jibri.sessions.get_mut(at)) else { return };
        let now = context.now;
        session.kind.detector(context).failed(&session.jibri, now);
        let has_tries = context.settings.jibri.retries.is_none_or(|most| session.retries < most);
        let next = if has_tries { session.kind.detector(context).select(now).map_err(Some) } else { Err(None) };
        match next {
            Ok(jibri) => {
                session.retries += 1;
                let client = match &mut session.state {
                    State::Starting { client } => client.take(),
                    State::Pending | State::On => None,
                };
                session.state = State::Starting { client };
                self.send_jibri_start(id, jibri, context);
            }
            Err(error) => {
                if error == Some(NoJibri::NotAvailable) {
                    context.metrics.jibri_no_instance_failures.inc();
                }
                if let State::Starting { client: Some(client) } = &mut session.state {
                    let internal =
                        || StanzaError::new(Condition::InternalServerError).with_text("Internal server error");
                    let answer = error.map_or_else(internal, no_jibri);
                    let client = std::mem::replace(client, Element::new("iq", ns::CLIENT));
                    context.answer(&client, Err(answer));
                    session.kind.count_failure(context.metrics);
                    self.jibri.sessions.retain(|session| session.id != id);
                } else {
                    self.end_jibri(id, Some(reason), context);
                }
            }
        }
    }

    /// A session is over, and its recorder knows.
    fn end_jibri(&mut self, id: &str, reason: Option<FailureReason>, context: &mut Context<'_>) {
        let Some(at) = self.jibri.position(id) else { return };
        let session = self.jibri.sessions.remove(at);
        tracing::info!(room = %self.room, session = id, ?reason, "recorder session ended");
        if reason.is_some() {
            session.kind.count_failure(context.metrics);
        }
        if let State::Starting { client: Some(client) } = &session.state {
            context.answer(
                client,
                Err(StanzaError::new(Condition::InternalServerError).with_text("Internal server error")),
            );
        }
        self.jibri.tell(&session, Status::Off, reason, None);
    }

    /// Ends a session at somebody's wish, or with the conference.
    fn stop_jibri(&mut self, at: usize, by: Option<&Jid>, context: &mut Context<'_>) {
        let session = self.jibri.sessions.remove(at);
        tracing::info!(room = %self.room, session = session.id, "recorder session stopped");
        if let State::Starting { client: Some(client) } = &session.state {
            let error = StanzaError::new(Condition::InternalServerError).with_text("stopped before it began");
            context.answer(client, Err(error));
        }
        self.send_jibri_stop(&session.id, &session.jibri, context);
        self.jibri.tell(&session, Status::Off, None, by);
    }

    /// Ends all sessions with the conference.
    pub(super) fn stop_all_jibris(&mut self, context: &mut Context<'_>) {
        while let Some(last) = self.jibri.sessions.len().checked_sub(1) {
            self.stop_jibri(last, None, context);
        }
    }

    fn send_jibri_stop(&self, id: &str, jibri: &Jid, context: &mut Context<'_>) {
        let stop = Jibri { action: Some(Action::Stop), session_id: Some(id.to_owned()), ..Jibri::default() };
        self.request(jibri, "set", stop.to_element(), ConferencePurpose::JibriStop { jibri: jibri.clone() }, context);
    }

    fn tell_jibri(&mut self, id: &str, status: Status, reason: Option<FailureReason>, by: Option<&Jid>) {
        let Some(at) = self.jibri.position(id) else { return };
        let session = self.jibri.sessions.remove(at);
        self.jibri.tell(&session, status, reason, by);
        self.jibri.sessions.insert(at, session);
    }
}

fn no_jibri(error: NoJibri) -> StanzaError {
    match error {
        NoJibri::AllBusy => StanzaError::new(Condition::ResourceConstraint).with_text("all Jibris are busy"),
        NoJibri::NotAvailable => StanzaError::new(Condition::ServiceUnavailable).with_text("no Jibris available"),
    }
}
