//! A conference: one room, its participants, their sessions and the bridge that carries their media.
//!
//! Here: what a conference consists of and where its inputs go. The life cycle is in `phase`, entering the room in
//! `join`, who is there in `members`, offers in `invite`, what clients say in `jingle` and `mute`, what components say
//! in `av_moderation` and here, what is said to a bridge in `colibri`, and new sessions in place of old ones in `restart`.

mod av_moderation;
mod colibri;
mod invite;
mod jingle;
mod join;
mod members;
mod mute;
mod participant;
mod phase;
mod restart;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use indexmap::IndexMap;
use jitsi_protocol::bridge_session::StartMuted;
use jitsi_protocol::conference_request::{ConferenceRequest, ConferenceResponse};
use jitsi_protocol::focus_presence;
use jitsi_protocol::mute::MuteMedia;
use model::{ConferenceId, EndpointId};
use serde_json::Value;
use xmpp::{Condition, Element, Jid, StanzaError, ns};

use crate::context::{ConferencePurpose, Context, Purpose};
use crate::iq::IqOutcome;
use crate::muc;
use crate::request::Requester;
use crate::settings::Settings;
use crate::source::{SourceLimits, ValidatingConferenceSourceMap};
use av_moderation::AvModeration;
use colibri::ColibriSession;
pub(crate) use colibri::Farewell;
use participant::Participant;
use phase::{Phase, PhaseEffect};

/// Requests that wait for one room to be joined: as many as may come within the time that joining may take.
const MAX_WAITING_REQUESTS: usize = 1024;

/// One conference.
#[derive(Debug)]
pub(crate) struct Conference {
    room: Jid,
    instance: u64,
    /// `room@muc/focus`.
    occupant: Jid,
    meeting_id: Option<ConferenceId>,
    phase: Phase,
    waiting: Vec<Requester>,
    start_muted: StartMutedPolicy,
    /// What newcomers mute by the metadata of the room.
    metadata_start_muted: StartMuted,
    av_moderation: AvModeration,
    rtcstats_enabled: bool,
    /// Everybody in the room but the focus, in the order of joining.
    participants: IndexMap<EndpointId, Participant>,
    /// Who is being made owner.
    granting: Option<EndpointId>,
    /// Who was made owner for having logged in; once, as others may take it away again.
    owners_by_login: BTreeSet<EndpointId>,
    sources: ValidatingConferenceSourceMap,
    /// By the bridge's occupant JID.
    colibri: IndexMap<Jid, ColibriSession>,
    /// Counts allocations, so that a late answer is told from the current one.
    attempts: u64,
    /// A participant could not be invited, for want of a bridge.
    is_bridge_missing: bool,
    /// When to try again for those that failed too often.
    retry_at: Option<Instant>,
    /// What the room was told last.
    published: Option<Element>,
}

/// `startAudioMuted` and `startVideoMuted`: beyond how many participants the next ones start muted.
#[derive(Clone, Copy, Debug, Default)]
struct StartMutedPolicy {
    audio: Option<usize>,
    video: Option<usize>,
}

impl Conference {
    /// A conference that a client asked for; joins the room at once.
    pub(crate) fn new(request: &ConferenceRequest, occupant: Jid, instance: u64, context: &mut Context<'_>) -> Self {
        let limits = context.settings.limits;
        let conference = Self {
            room: request.room.clone(),
            instance,
            occupant,
            meeting_id: None,
            phase: Phase::joining(context.now + context.settings.timers.reply),
            waiting: Vec::new(),
            start_muted: StartMutedPolicy::of_request(request),
            metadata_start_muted: StartMuted::default(),
            av_moderation: AvModeration::default(),
            rtcstats_enabled: request.property("rtcstatsEnabled") == Some("true"),
            participants: IndexMap::new(),
            granting: None,
            owners_by_login: BTreeSet::new(),
            sources: ValidatingConferenceSourceMap::new(SourceLimits {
                ssrcs: limits.ssrcs_per_user,
                groups: limits.ssrc_groups_per_user,
            }),
            colibri: IndexMap::new(),
            attempts: 0,
            is_bridge_missing: false,
            retry_at: None,
            published: None,
        };
        conference.enter_room(context);
        conference
    }

    pub(crate) fn room(&self) -> &Jid {
        &self.room
    }

    pub(crate) fn instance(&self) -> u64 {
        self.instance
    }

    pub(crate) fn meeting_id(&self) -> Option<&ConferenceId> {
        self.meeting_id.as_ref()
    }

    pub(crate) fn participant_count(&self) -> usize {
        self.participants.len()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Stopped)
    }

    /// Whether somebody waits for a bridge.
    pub(crate) fn is_bridge_missing(&self) -> bool {
        self.is_bridge_missing
    }

    pub(crate) fn uses_bridge(&self, bridge: &Jid) -> bool {
        self.colibri.contains_key(bridge)
    }

    /// One more client asks for the conference: answered now, or once the room is joined.
    pub(crate) fn on_request(&mut self, requester: Requester, context: &mut Context<'_>) {
        self.phase.on_request(context.now, &context.settings.timers);
        if !self.phase.is_joining() {
            requester.respond(Ok(self.response(context)), context);
        } else if self.waiting.len() < MAX_WAITING_REQUESTS {
            self.waiting.push(requester);
        } else {
            let error = StanzaError::new(Condition::ResourceConstraint).with_text("too many requests for this room");
            requester.respond(Err(error), context);
        }
    }

    fn response(&self, context: &Context<'_>) -> ConferenceResponse {
        let mut response = ConferenceResponse::new(self.room.clone());
        response.ready = !self.is_stopped();
        response.focus_jid = Some(context.focus_jid.to_bare());
        response.properties.insert("authentication".to_owned(), context.authority.is_on().to_string());
        if context.authority.is_on() {
            response.properties.insert("externalAuth".to_owned(), "false".to_owned());
        }
        response
    }

    fn answer_waiting(&mut self, context: &mut Context<'_>) {
        for requester in std::mem::take(&mut self.waiting) {
            requester.respond(Ok(self.response(context)), context);
        }
    }

    /// A presence of this room.
    pub(crate) fn on_presence(&mut self, from: &Jid, presence: &Element, context: &mut Context<'_>) {
        if *from == self.occupant {
            self.on_own_presence(presence, context);
        } else if from.resource().is_some() {
            self.on_member_presence(from, presence, context);
        }
        self.publish(context);
    }

    /// An IQ request of an occupant.
    pub(crate) fn on_iq_request(&mut self, from: &Jid, iq: &Element, context: &mut Context<'_>) {
        match iq.children().next() {
            Some(payload) if payload.is("jingle", ns::JINGLE) => self.on_jingle(from, iq, payload, context),
            Some(payload) if payload.name() == "mute" && MuteMedia::from_ns(payload.ns()).is_some() => {
                self.on_mute(from, iq, payload, context);
            }
            Some(_) | None => context.answer(iq, Err(StanzaError::new(Condition::ServiceUnavailable))),
        }
        self.publish(context);
    }

    /// What became of an IQ that this conference sent.
    pub(crate) fn on_iq_outcome(&mut self, purpose: ConferencePurpose, outcome: IqOutcome, context: &mut Context<'_>) {
        match purpose {
            ConferencePurpose::ConfigForm => self.on_config_form(outcome, context),
            ConferencePurpose::ConfigSubmit { meeting_id } => self.on_configured(meeting_id, outcome, context),
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

    /// Takes what all in the room agree on (focus.md §9).
    pub(crate) fn on_room_metadata(&mut self, metadata: &Value) {
        let policy = &metadata["startMuted"];
        self.metadata_start_muted = StartMuted { audio: policy["audio"] == true, video: policy["video"] == true };
    }

    /// When [`Conference::on_timeout`] has to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.phase.deadline().into_iter().chain(self.retry_at).min()
    }

    pub(crate) fn on_timeout(&mut self, context: &mut Context<'_>) {
        match self.phase.on_timeout(context.now) {
            PhaseEffect::None => {}
            PhaseEffect::Invite => self.invite_waiting(context),
            PhaseEffect::Drain => self.drain(context),
            PhaseEffect::Stop(reason) => self.stop(reason, context),
        }
        if self.retry_at.is_some_and(|at| at <= context.now) {
            self.retry_at = None;
            self.invite_waiting(context);
        }
        self.publish(context);
    }

    /// A bridge may be chosen now that could not before.
    pub(crate) fn on_bridge_available(&mut self, context: &mut Context<'_>) {
        if self.is_bridge_missing {
            self.invite_waiting(context);
            self.publish(context);
        }
    }

    /// A bridge is gone, or going: its participants get another one.
    pub(crate) fn on_bridge_lost(&mut self, bridge: &Jid, farewell: Farewell, context: &mut Context<'_>) {
        self.remove_bridge(bridge, farewell, context);
        self.publish(context);
    }

    /// The stream is gone: nothing can be sent any more.
    pub(crate) fn on_link_down(&mut self, context: &mut Context<'_>) {
        self.phase = Phase::Stopped;
        self.answer_waiting(context);
    }

    /// Ends the conference: bridges forget it, waiting clients ask again, the focus leaves.
    fn stop(&mut self, reason: &'static str, context: &mut Context<'_>) {
        tracing::info!(room = %self.room, reason, "conference stopped");
        self.expire_all_bridges(context);
        context.send(muc::leave_presence(&self.occupant));
        self.phase = Phase::Stopped;
        self.answer_waiting(context);
    }

    /// Tells the room what changed of the conference's properties.
    fn publish(&mut self, context: &mut Context<'_>) {
        if self.is_stopped() || self.phase.is_joining() {
            return;
        }
        let presence = self.presence();
        if self.published.as_ref() != Some(&presence) {
            self.published = Some(presence.clone());
            context.send(presence);
        }
    }

    /// The focus's presence without what only a join has.
    fn presence(&self) -> Element {
        let mut properties = BTreeMap::from([("support-terminate-restart".to_owned(), "true".to_owned())]);
        properties.insert("bridge-count".to_owned(), self.colibri.len().to_string());
        let presence = muc::presence(&self.occupant)
            .with_child(focus_presence::versions(env!("CARGO_PKG_VERSION")))
            .with_child(focus_presence::conference_properties(&properties));
        if self.is_bridge_missing { presence.with_child(focus_presence::bridge_not_available()) } else { presence }
    }

    /// Sends an IQ of this conference.
    fn request(
        &self,
        to: &Jid,
        iq_type: &'static str,
        payload: Element,
        purpose: ConferencePurpose,
        context: &mut Context<'_>,
    ) {
        let purpose = Purpose::Conference { room: self.room.clone(), instance: self.instance, purpose };
        context.request(to, iq_type, payload, purpose);
    }
}

impl StartMutedPolicy {
    fn of_request(request: &ConferenceRequest) -> Self {
        let number = |name| request.property(name).and_then(|value| value.parse().ok());
        Self { audio: number("startAudioMuted"), video: number("startVideoMuted") }
    }
}

/// The XMPP address of the focus in a room.
pub(crate) fn occupant_of(room: &Jid, settings: &Settings) -> Option<Jid> {
    room.with_resource(&settings.nick).ok()
}

/// What is wrong with an answer, for a log.
fn problem_of(outcome: &IqOutcome) -> Option<String> {
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
