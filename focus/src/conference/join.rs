//! Entering a room: presence, then the room's configuration, so that addresses behind nicks are seen.

use std::time::Duration;

use jitsi_protocol::focus_presence;
use model::ConferenceId;
use xmpp::Element;

use super::phase::{JoinStep, Phase};
use super::{Conference, problem_of};
use crate::context::{ConferencePurpose, Context};
use crate::iq::IqOutcome;
use crate::muc::{self, Member};

/// How long the first metadata of a room may take that is to come before anybody is let in.
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);

impl Conference {
    pub(super) fn enter_room(&self, context: &mut Context<'_>) {
        tracing::info!(room = %self.room, "conference requested");
        let versions = focus_presence::versions(env!("CARGO_PKG_VERSION"));
        context.send(muc::join_presence(&self.occupant).with_child(versions));
    }

    /// The room speaks of the focus itself.
    pub(super) fn on_own_presence(&mut self, presence: &Element, context: &mut Context<'_>) {
        if self.is_stopped() {
            return;
        }
        match presence.attr("type") {
            None => {}
            Some("unavailable") => return self.on_removed(context),
            Some("error") if self.phase.is_joining() => return self.stop("the room refused the focus", context),
            // An error that answers a later presence: the room is still there.
            Some(_) => return,
        }
        // Jicofo's rule: without the right to configure and to grant, a focus is of no use.
        if !Member::of_presence(&self.occupant, presence).is_some_and(|own| own.is_owner()) {
            return self.stop("the focus is not an owner of the room", context);
        }
        if let Phase::Joining { step: step @ JoinStep::Presence, .. } = &mut self.phase {
            *step = JoinStep::ConfigForm;
            self.request(&self.room, "get", muc::config_query(), ConferencePurpose::ConfigForm, context);
        }
    }

    /// The room was destroyed, or the focus removed from it.
    fn on_removed(&mut self, context: &mut Context<'_>) {
        tracing::info!(room = %self.room, "conference stopped, the room is gone");
        self.stop_all_jibris(context);
        self.expire_all_bridges(context);
        self.leave_nodes(context);
        self.phase = Phase::Stopped;
        self.answer_waiting(context);
    }

    pub(super) fn on_config_form(&mut self, outcome: IqOutcome, context: &mut Context<'_>) {
        let Phase::Joining { step: step @ JoinStep::ConfigForm, .. } = &mut self.phase else { return };
        let form = match (problem_of(&outcome), outcome) {
            (None, IqOutcome::Answer(form)) => form,
            (problem, _) => {
                tracing::warn!(room = %self.room, problem, "the room gave no configuration form");
                return self.stop("the room cannot be configured", context);
            }
        };
        *step = JoinStep::ConfigSubmit;
        let is_breakout = muc::config_value(&form, "muc#roominfo_isbreakout");
        if is_breakout.is_some_and(|value| matches!(value.as_str(), "1" | "true")) {
            let main = muc::config_value(&form, "muc#roominfo_breakout_main_room");
            // A room that is its own main room would never end.
            self.main_room = main.and_then(|main| main.parse().ok()).filter(|main| *main != self.room);
        }
        let meeting_id = muc::config_value(&form, "muc#roominfo_meetingId");
        let awaits_metadata = muc::config_value(&form, "muc#roominfo_conference_presets_service_enabled");
        let awaits_metadata = awaits_metadata.is_some_and(|value| matches!(value.as_str(), "1" | "true"));
        let purpose = ConferencePurpose::ConfigSubmit { meeting_id, awaits_metadata };
        self.request(&self.room, "set", muc::config_submit(), purpose, context);
    }

    pub(super) fn on_configured(
        &mut self,
        meeting_id: Option<String>,
        awaits_metadata: bool,
        outcome: &IqOutcome,
        context: &mut Context<'_>,
    ) {
        if !matches!(self.phase, Phase::Joining { step: JoinStep::ConfigSubmit, .. }) {
            return;
        }
        if let Some(problem) = problem_of(outcome) {
            tracing::warn!(room = %self.room, problem, "the room refused its configuration");
            return self.stop("the room cannot be configured", context);
        }
        let meeting_id: Option<ConferenceId> = meeting_id.and_then(|id| id.parse().ok());
        let Some(meeting_id) = meeting_id.or_else(|| context.random_meeting_id()) else { return };
        // The id stands for one conference on all bridges.
        if !context.meetings.insert(meeting_id.clone()) {
            return self.stop("another conference has the room's meeting id", context);
        }
        tracing::info!(room = %self.room, %meeting_id, "conference configured");
        self.meeting_id = Some(meeting_id);
        if awaits_metadata && !self.has_metadata {
            let until = context.now + METADATA_TIMEOUT;
            self.phase = Phase::Joining { step: JoinStep::Metadata, until };
            return;
        }
        self.open(context);
    }

    /// The room said what all agree on, for which the conference may wait.
    pub(super) fn on_awaited_metadata(&mut self, context: &mut Context<'_>) {
        self.has_metadata = true;
        if matches!(self.phase, Phase::Joining { step: JoinStep::Metadata, .. }) {
            self.open(context);
        }
    }

    /// All is known that has to be: clients may come.
    pub(super) fn open(&mut self, context: &mut Context<'_>) {
        tracing::info!(room = %self.room, has_metadata = self.has_metadata, "conference ready");
        self.phase.on_joined(context.now, &context.settings.timers);
        self.answer_waiting(context);
        self.elect_owner(context);
        self.on_member_count(super::phase::Leaving::ForGood, context);
    }
}
