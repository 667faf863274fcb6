//! Calls to telephones, and transcribers: a request of a client goes to a gateway, and its answer back (focus.md §11.2;
//! Rayo, XEP-0327; `jicofo: JigasiIqHandler.kt`).

use std::collections::BTreeSet;

use xmpp::{Condition, Element, Jid, StanzaError, iq_result, ns};

use super::{Conference, problem_of};
use crate::context::{ConferencePurpose, Context};
use crate::iq::IqOutcome;
use crate::jigasi::JigasiTask;
use crate::request::address_of;

/// Whom a call for a transcriber goes to.
const TRANSCRIBER: &str = "jitsi_meet_transcribe";
/// Gateways that are tried for one call.
const MAX_TRIES: usize = 3;

/// A call that a gateway was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dial {
    /// How to answer the client.
    client: Element,
    /// What it asks.
    payload: Element,
    /// The gateways asked so far.
    tried: Vec<Jid>,
}

impl Conference {
    /// A client wants somebody called, or a transcriber.
    pub(super) fn on_dial(&mut self, from: &Jid, iq: &Element, payload: &Element, context: &mut Context<'_>) {
        if let Err(error) = self.check_dial(from, payload, context) {
            tracing::info!(room = %self.room, %from, condition = error.condition.as_str(), "call refused");
            context.metrics.jigasi_rejected_requests.inc();
            return context.answer(iq, Err(error));
        }
        context.metrics.jigasi_accepted_requests.inc();
        let dial = Dial { client: address_of(iq), payload: payload.clone(), tried: Vec::new() };
        self.send_dial(dial, StanzaError::new(Condition::ServiceUnavailable), context);
    }

    fn check_dial(&self, from: &Jid, payload: &Element, context: &Context<'_>) -> Result<(), StanzaError> {
        self.check_moderator(from, context).map_err(|_| StanzaError::new(Condition::Forbidden))?;
        let header =
            payload.children_named("header", ns::RAYO).find(|header| header.attr("name") == Some("JvbRoomName"));
        let room = header.and_then(|header| header.attr("value"));
        if room.is_some_and(|room| room.parse::<Jid>().ok().as_ref() != Some(&self.room)) {
            return Err(StanzaError::new(Condition::Forbidden));
        }
        let has_transcriber =
            || self.participants.values().any(|participant| participant.services(context.settings).transcriber);
        if task_of(payload) == JigasiTask::Transcription && has_transcriber() {
            return Err(StanzaError::new(Condition::Conflict));
        }
        Ok(())
    }

    /// Asks the next gateway; without one the client gets `error`.
    fn send_dial(&mut self, mut dial: Dial, error: StanzaError, context: &mut Context<'_>) {
        let near: BTreeSet<String> = self.colibri.values().filter_map(|session| session.region.clone()).collect();
        let selection = &context.settings.selection;
        let task = task_of(&dial.payload);
        let local = selection.local_region.as_deref();
        let jigasi = context.jigasis.select(task, &dial.tried, &near, &selection.region_groups, local);
        let Some(jigasi) = jigasi.filter(|_| dial.tried.len() < MAX_TRIES) else {
            tracing::warn!(room = %self.room, tried = dial.tried.len(), ?task, "no gateway can be had");
            return context.answer(&dial.client, Err(error));
        };
        tracing::info!(room = %self.room, %jigasi, ?task, "gateway asked");
        let payload = dial.payload.clone();
        dial.tried.push(jigasi.clone());
        self.request(&jigasi, "set", payload, ConferencePurpose::Dial(Box::new(dial)), context);
    }

    /// What a gateway answered.
    pub(super) fn on_dialed(&mut self, dial: Dial, outcome: IqOutcome, context: &mut Context<'_>) {
        let problem = problem_of(&outcome);
        match outcome {
            IqOutcome::Answer(answer) if problem.is_none() => {
                context.send(iq_result(&dial.client).with_children(answer.into_children()));
            }
            IqOutcome::Answer(_) => {
                tracing::warn!(room = %self.room, problem, "gateway refused");
                context.metrics.jigasi_instance_errors.inc();
                self.send_dial(dial, StanzaError::new(Condition::UndefinedCondition), context);
            }
            IqOutcome::Timeout => {
                tracing::warn!(room = %self.room, "gateway does not answer");
                context.metrics.jigasi_instance_timeouts.inc();
                self.send_dial(dial, StanzaError::new(Condition::RemoteServerTimeout), context);
            }
        }
    }
}

fn task_of(payload: &Element) -> JigasiTask {
    if payload.attr("to") == Some(TRANSCRIBER) { JigasiTask::Transcription } else { JigasiTask::Sip }
}
