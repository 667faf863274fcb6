//! A conference: one room, its participants, their sessions and the bridges that carry their media.
//!
//! Here: what a conference consists of and where its inputs go. The life cycle is in `phase`, entering the room in
//! `join`, who is there in `members`, offers in `invite`, what clients say in `jingle` and `mute`, how many may send in
//! `senders`, what components say in `av_moderation` and here, recorders in `jibri` and gateways in `dial`, who only watches and
//! where in `visitors`, what is said to bridges in `colibri`, what follows when they refuse in `refusal`, which of them are
//! linked in `topology` and what goes over links in `relays`, whom they give audio to in `connects`, endpoints that change from one to another in `moves`, new
//! sessions in place of old ones in `restart`, what became of requests in `outcomes`, and what operators see in `debug`.

mod av_moderation;
mod colibri;
mod connects;
mod debug;
mod dial;
mod invite;
mod jibri;
mod jingle;
mod join;
mod members;
mod moves;
mod mute;
mod outcomes;
mod participant;
mod participants;
mod phase;
mod refusal;
mod relays;
mod restart;
mod senders;
mod topology;
mod visitors;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use indexmap::{IndexMap, IndexSet};
use jitsi_protocol::bridge_session::StartMuted;
use jitsi_protocol::conference_request::{ConferenceRequest, ConferenceResponse};
use jitsi_protocol::focus_presence;
use jitsi_protocol::mute::MuteMedia;
use model::{ConferenceId, EndpointId};
use serde_json::Value;
use xmpp::{Condition, Element, Jid, StanzaError, ns};

use crate::context::{ConferencePurpose, Context, Purpose};
use crate::muc;
use crate::request::Requester;
use crate::settings::Settings;
use crate::source::{SourceLimits, ValidatingConferenceSourceMap};
use av_moderation::AvModeration;
use colibri::ColibriSession;
pub(crate) use colibri::Farewell;
use connects::Connects;
pub(crate) use dial::Dial;
use jibri::JibriSessions;
pub(crate) use moves::MoveReason;
use outcomes::problem_of;
use participants::Participants;
use phase::{Phase, PhaseEffect};
pub(crate) use visitors::Asking;
use visitors::Visitors;

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
    /// The room of which this is a breakout room.
    main_room: Option<Jid>,
    phase: Phase,
    waiting: Vec<(Requester, Asking)>,
    /// Who asked for it and has not come yet.
    expected: Expected,
    start_muted: StartMutedPolicy,
    /// Whether the room said what all agree on.
    has_metadata: bool,
    /// What newcomers mute by the metadata of the room.
    metadata_start_muted: StartMuted,
    /// Whether as many as may send do so.
    limits_reached: StartMuted,
    /// Of which limits the room knows.
    limits_told: StartMuted,
    av_moderation: AvModeration,
    rtcstats_enabled: bool,
    /// Everybody in the room but the focus, and visitors, in the order of joining.
    participants: Participants,
    visitors: Visitors,
    /// Who is being made owner.
    granting: Option<EndpointId>,
    /// Who is or was owner for having logged in; once, as others may take it away again.
    owners_by_login: BTreeSet<EndpointId>,
    sources: ValidatingConferenceSourceMap,
    /// By the bridge's occupant JID.
    colibri: IndexMap<Jid, ColibriSession>,
    /// Bridges that have not confirmed yet that they forgot the conference, with who waits to be invited there.
    expiring: IndexMap<Jid, IndexSet<EndpointId>>,
    /// Who else gets the audio.
    connects: Connects,
    /// What recorders do.
    jibri: JibriSessions,
    /// A bridge refused one more link.
    has_no_more_links: bool,
    /// Counts meshes of bridges, so that each has a name of its own.
    meshes: u32,
    /// The bridge that all of it left, where it has one only.
    moved_from: Option<Jid>,
    /// When it began.
    began_at: Instant,
    /// Counts allocations, so that a late answer is told from the current one.
    attempts: u64,
    /// A participant could not be invited, for want of a bridge.
    is_bridge_missing: bool,
    /// When who is told of sources that changed (`source-signaling-delays`).
    flushes: BTreeSet<(Instant, EndpointId)>,
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

/// Clients who were told that the conference is there, and are not in its room yet.
#[derive(Clone, Copy, Debug)]
struct Expected {
    clients: usize,
    /// When the last of them was told. One that does not come within the time that an empty room is kept never does.
    told_at: Instant,
}

impl Expected {
    fn on_told(&mut self, now: Instant, patience: Duration) {
        let before = if self.is_any(now, patience) { self.clients } else { 0 };
        *self = Self { clients: before.saturating_add(1), told_at: now };
    }

    const fn on_joined(&mut self) {
        self.clients = self.clients.saturating_sub(1);
    }

    fn is_any(&self, now: Instant, patience: Duration) -> bool {
        self.clients > 0 && now.saturating_duration_since(self.told_at) < patience
    }
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
            main_room: None,
            phase: Phase::joining(context.now + context.settings.timers.reply),
            waiting: Vec::new(),
            expected: Expected { clients: 0, told_at: context.now },
            start_muted: StartMutedPolicy::of_request(request),
            has_metadata: false,
            metadata_start_muted: StartMuted::default(),
            limits_reached: StartMuted::default(),
            limits_told: StartMuted::default(),
            av_moderation: AvModeration::default(),
            rtcstats_enabled: request.property("rtcstatsEnabled") == Some("true"),
            participants: Participants::default(),
            visitors: Visitors::default(),
            granting: None,
            owners_by_login: BTreeSet::new(),
            sources: ValidatingConferenceSourceMap::new(SourceLimits {
                ssrcs: limits.ssrcs_per_user,
                groups: limits.ssrc_groups_per_user,
            }),
            colibri: IndexMap::new(),
            expiring: IndexMap::new(),
            connects: Connects::default(),
            jibri: JibriSessions::default(),
            has_no_more_links: false,
            meshes: 0,
            moved_from: None,
            began_at: context.now,
            attempts: 0,
            is_bridge_missing: false,
            flushes: BTreeSet::new(),
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

    pub(crate) fn main_room(&self) -> Option<&Jid> {
        self.main_room.as_ref()
    }

    /// The last of its breakout rooms is over.
    pub(crate) fn on_breakouts_ended(&mut self, context: &mut Context<'_>) {
        if self.members() == 0 && self.phase.waits_without_end() {
            self.stop("the last breakout room ended", context);
        }
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

    pub(crate) fn uses_jibri(&self, jibri: &Jid) -> bool {
        self.jibri.uses(jibri)
    }

    /// How many recorders record, stream and call for it now.
    pub(crate) fn active_jibris(&self) -> [usize; 3] {
        self.jibri.active()
    }

    /// Whether the end of the conference on a bridge is not confirmed yet.
    pub(crate) fn is_expiring_at(&self, bridge: &Jid) -> bool {
        self.expiring.contains_key(bridge)
    }

    pub(crate) fn uses_bridge(&self, bridge: &Jid) -> bool {
        self.colibri.contains_key(bridge)
    }

    /// One more client asks for the conference: answered now, or once the room is joined.
    pub(crate) fn on_request(&mut self, requester: Requester, asking: Asking, context: &mut Context<'_>) {
        self.phase.on_request(context.now, &context.settings.timers);
        if !self.phase.is_joining() {
            self.place(requester, asking, context);
        } else if self.waiting.len() < MAX_WAITING_REQUESTS {
            self.waiting.push((requester, asking));
        } else {
            let error = StanzaError::new(Condition::ResourceConstraint).with_text("too many requests for this room");
            requester.respond(Err(error), context);
        }
    }

    fn response(&self, context: &Context<'_>) -> ConferenceResponse {
        let mut response = context.response(&self.room);
        response.ready = !self.is_stopped();
        response
    }

    fn answer_waiting(&mut self, context: &mut Context<'_>) {
        for (requester, asking) in std::mem::take(&mut self.waiting) {
            self.place(requester, asking, context);
        }
    }

    /// A presence of this room.
    pub(crate) fn on_presence(&mut self, from: &Jid, presence: &Element, context: &mut Context<'_>) {
        if *from == self.occupant {
            self.on_own_presence(presence, context);
        } else if from.bare_str() != self.room.as_str() {
            self.on_visitor_room_presence(from, presence, context);
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
            Some(payload) if payload.is("jibri", ns::JIBRI) => {
                if from.bare_str() == self.room.as_str() {
                    self.on_jibri(from, iq, payload, context);
                } else {
                    // No recorder serves a room of visitors.
                    context.answer(iq, Err(StanzaError::new(Condition::ItemNotFound)));
                }
            }
            Some(payload) if payload.is("dial", ns::RAYO) => self.on_dial(from, iq, payload, context),
            Some(_) | None => context.answer(iq, Err(StanzaError::new(Condition::ServiceUnavailable))),
        }
        self.publish(context);
    }

    /// Takes what all in the room agree on (focus.md §9).
    pub(crate) fn on_room_metadata(&mut self, metadata: &Value, context: &mut Context<'_>) {
        self.visitors.on_metadata(metadata);
        let policy = &metadata["startMuted"];
        self.metadata_start_muted = StartMuted { audio: policy["audio"] == true, video: policy["video"] == true };
        self.on_awaited_metadata(context);
        self.on_connects_metadata(metadata, context);
        self.publish(context);
    }

    /// When [`Conference::on_timeout`] has to be called.
    pub(crate) fn deadline(&self, settings: &Settings) -> Option<Instant> {
        let flush = self.flushes.first().map(|&(at, _)| at);
        let visitors = self.visitors.deadline(settings.visitors.as_ref());
        [self.phase.deadline(), self.retry_at, self.jibri.deadline(), flush, visitors].into_iter().flatten().min()
    }

    pub(crate) fn on_timeout(&mut self, context: &mut Context<'_>) {
        if context.breakouts.contains_key(&self.room) {
            self.phase.wait_without_end();
        }
        match self.phase.on_timeout(context.now) {
            PhaseEffect::None => {}
            PhaseEffect::Open => self.open(context),
            PhaseEffect::Invite => self.invite_waiting(context),
            PhaseEffect::Drain => self.drain(context),
            PhaseEffect::Stop(reason) => self.stop(reason, context),
        }
        self.on_jibri_timeout(context);
        self.on_visitor_timeout(context);
        self.flush_sources(context);
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
        if farewell == Farewell::None {
            // It will confirm nothing any more.
            self.on_expired(bridge, context);
        }
        self.publish(context);
    }

    /// A node for visitors is out of reach.
    pub(crate) fn on_node_down(&mut self, node: &str, context: &mut Context<'_>) {
        self.on_node_lost(node, "its link is down", context);
        self.publish(context);
    }

    /// The stream is gone: nothing can be sent any more but to visitor nodes with links of their own.
    pub(crate) fn on_link_down(&mut self, context: &mut Context<'_>) {
        self.phase = Phase::Stopped;
        self.leave_nodes(context);
        self.answer_waiting(context);
    }

    /// Ends the conference: bridges forget it, waiting clients ask again, the focus leaves.
    fn stop(&mut self, reason: &'static str, context: &mut Context<'_>) {
        tracing::info!(room = %self.room, reason, "conference stopped");
        self.stop_all_jibris(context);
        self.expire_all_bridges(context);
        self.leave_nodes(context);
        context.send(muc::leave_presence(&self.occupant));
        self.phase = Phase::Stopped;
        self.answer_waiting(context);
    }

    /// Tells bridges to whom else they give the audio, and the room what changed of the conference's properties.
    fn publish(&mut self, context: &mut Context<'_>) {
        if self.is_stopped() || self.phase.is_joining() {
            return;
        }
        self.update_connects(context);
        let presence = self.presence(context.settings);
        if self.published.as_ref() != Some(&presence) {
            self.published = Some(presence.clone());
            context.send(presence);
            self.publish_to_nodes(context);
        }
    }

    /// The focus's presence without what only a join has.
    fn presence(&mut self, settings: &Settings) -> Element {
        let presence = muc::presence(&self.occupant)
            .with_children(self.shared_presence(settings))
            .with_child(focus_presence::etherpad(self.room.local().unwrap_or_default()));
        if self.is_bridge_missing { presence.with_child(focus_presence::bridge_not_available()) } else { presence }
    }

    /// What of it rooms of visitors see as well.
    fn shared_presence(&mut self, settings: &Settings) -> Vec<Element> {
        let mut properties = BTreeMap::from([("support-terminate-restart".to_owned(), "true".to_owned())]);
        properties.insert("bridge-count".to_owned(), self.colibri.len().to_string());
        let recorded =
            self.connects.transcribing.map(|is_on| ("audio-recording-enabled".to_owned(), is_on.to_string()));
        properties.extend(recorded);
        properties.extend(self.sender_limits());
        properties.extend(self.visitors.properties(settings.visitors.as_ref()));
        let versions = focus_presence::versions(env!("CARGO_PKG_VERSION"));
        let children = [versions, focus_presence::conference_properties(&properties)];
        children.into_iter().chain(self.jibri.presence()).collect()
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
