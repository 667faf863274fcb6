//! What became of the requests that a conference sent: who acts on which answer, and what is said of those on which nobody does.

use xmpp::StanzaError;

use super::Conference;
use crate::context::{ConferencePurpose, Context};
use crate::iq::IqOutcome;

impl Conference {
    /// What became of an IQ that this conference sent.
    pub(crate) fn on_iq_outcome(&mut self, purpose: ConferencePurpose, outcome: IqOutcome, context: &mut Context<'_>) {
        match purpose {
            ConferencePurpose::ConfigVisitorRoom { node } => self.on_visitor_room_configured(&node, &outcome, context),
            ConferencePurpose::ConnectNodes => {
                if let Some(problem) = problem_of(&outcome) {
                    tracing::warn!(room = %self.room, problem, "the visitors component did not do its part");
                }
            }
            ConferencePurpose::ConfigForm => self.on_config_form(outcome, context),
            ConferencePurpose::ConfigSubmit { meeting_id, awaits_metadata } => {
                self.on_configured(meeting_id, awaits_metadata, &outcome, context);
            }
            ConferencePurpose::GrantOwner { endpoint } => self.on_granted(&endpoint, outcome, context),
            ConferencePurpose::Disco { endpoint } => self.on_features(&endpoint, outcome, context),
            ConferencePurpose::Allocate { endpoint, attempt } => {
                self.on_allocated(&endpoint, attempt, outcome, context);
            }
            ConferencePurpose::UpdateEndpoint { endpoint, attempt } => {
                self.on_updated(&endpoint, attempt, outcome, context);
            }
            ConferencePurpose::IceRestart { endpoint, attempt } => {
                self.on_ice_restarted(&endpoint, attempt, outcome, context);
            }
            ConferencePurpose::SessionInitiate { endpoint, sid } => {
                self.on_offer_answered(&endpoint, &sid, outcome, context);
            }
            ConferencePurpose::JibriStart { session, jibri } => {
                self.on_jibri_answer(&session, &jibri, outcome, context);
            }
            ConferencePurpose::JibriStop { jibri } => {
                if let Some(problem) = problem_of(&outcome) {
                    tracing::debug!(room = %self.room, %jibri, problem, "recorder did not confirm its end");
                }
            }
            ConferencePurpose::Dial(dial) => self.on_dialed(*dial, outcome, context),
            ConferencePurpose::CreateRelay { at, session, to, to_session } => {
                self.on_relay_created((&at, &session), (&to, &to_session), outcome, context);
            }
            ConferencePurpose::UpdateRelay { at, session } => {
                self.on_relay_updated(&at, &session, outcome, context);
            }
            ConferencePurpose::UpdateConnects { bridge, session } => {
                self.on_connects_updated(&bridge, &session, &outcome);
            }
            ConferencePurpose::ExpireConference { bridge } => {
                if let Some(problem) = problem_of(&outcome) {
                    tracing::debug!(room = %self.room, %bridge, problem, "bridge did not confirm the end of a conference");
                }
                self.on_expired(&bridge, context);
            }
            ConferencePurpose::Expire { bridge } => {
                if let Some(problem) = problem_of(&outcome) {
                    tracing::debug!(room = %self.room, %bridge, problem, "bridge did not confirm an expiry");
                }
            }
            ConferencePurpose::Notify { endpoint, news } => {
                if let Some(problem) = problem_of(&outcome) {
                    tracing::debug!(room = %self.room, %endpoint, news, problem, "client did not confirm");
                }
            }
        }
        self.publish(context);
    }
}

/// What is wrong with an answer, for a log.
pub(super) fn problem_of(outcome: &IqOutcome) -> Option<String> {
    match outcome {
        IqOutcome::Timeout => Some("no answer".to_owned()),
        IqOutcome::Answer(answer) if answer.attr("type") == Some("error") => {
            let error = StanzaError::of_stanza(answer);
            let text = error.text.unwrap_or_default();
            Some(format!("{} {text}", error.condition.as_str()).trim_end().to_owned())
        }
        IqOutcome::Answer(_) => None,
    }
}
