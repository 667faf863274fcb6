//! From a member without a session to an offer: features, a bridge, an endpoint on it, `session-initiate`.

use jitsi_protocol::bridge_session::{BridgeSession, StartMuted};
use jitsi_protocol::colibri2::{
    ColibriError, ConferenceModified, ConferenceModify, EndpointModify, ForceMute, IceTransport, MucRole, Sctp,
    TransportRequest,
};
use jitsi_protocol::mute::MuteMedia;
use model::EndpointId;
use xmpp::jingle::{Action, Jingle, Reason};
use xmpp::{Element, Jid, StanzaError, ns};

use super::colibri::ColibriSession;
use super::participant::{Allocation, Participant, Session};
use super::{Conference, problem_of};
use crate::bridge::{Bridge, BridgeWanted};
use crate::context::{ConferencePurpose, Context};
use crate::features::Features;
use crate::iq::IqOutcome;
use crate::muc::Services;
use crate::offer::{self, HeaderExtensionKind};
use crate::settings::Settings;
use crate::source::{encode_json, encode_xml, visible_to};

/// A request for an endpoint, about to be sent.
pub(super) struct EndpointRequest {
    pub(super) attempt: u64,
    pub(super) with_data: bool,
    pub(super) force_mute: ForceMute,
    is_visitor: bool,
    modify: EndpointModify,
}

/// What a bridge gave for a new endpoint.
struct Allocated {
    transport: IceTransport,
    sctp_port: Option<u16>,
}

impl Conference {
    /// Invites everybody who waits for it.
    pub(super) fn invite_waiting(&mut self, context: &mut Context<'_>) {
        if !self.phase.is_active() {
            return;
        }
        self.is_bridge_missing = false;
        let waiting: Vec<EndpointId> = self
            .participants
            .values()
            .filter(|participant| participant.session == Session::None && participant.may_be_invited())
            .map(|participant| participant.endpoint.clone())
            .collect();
        for endpoint in waiting {
            self.invite(&endpoint, context);
        }
    }

    /// Invites one participant, who has no session.
    pub(super) fn invite(&mut self, endpoint: &EndpointId, context: &mut Context<'_>) {
        let Some(participant) = self.participants.get_mut(endpoint) else { return };
        if participant.features.is_none() {
            participant.features = participant.member.caps.as_ref().and_then(|caps| context.caps.get(caps));
        }
        if participant.features.is_some() {
            return self.allocate(endpoint, context);
        }
        participant.session = Session::Discovering;
        let occupant = participant.member.occupant.clone();
        let purpose = ConferencePurpose::Disco { endpoint: endpoint.clone() };
        self.request(&occupant, "get", Element::new("query", ns::DISCO_INFO), purpose, context);
    }

    pub(super) fn on_features(&mut self, endpoint: &EndpointId, outcome: IqOutcome, context: &mut Context<'_>) {
        let Some(participant) = self.participants.get_mut(endpoint) else { return };
        if participant.session != Session::Discovering {
            return;
        }
        participant.session = Session::None;
        let answer = match &outcome {
            IqOutcome::Answer(answer) => answer.child("query", ns::DISCO_INFO),
            IqOutcome::Timeout => None,
        };
        let features = answer.map(Features::from_disco).filter(|_| problem_of(&outcome).is_none());
        if let (Some(query), Some(caps)) = (answer.filter(|_| features.is_some()), &participant.member.caps) {
            context.caps.insert(caps, query);
        }
        if features.is_none() {
            tracing::warn!(room = %self.room, %endpoint, "features unknown, offering the least");
        }
        participant.features = Some(features.unwrap_or_default());
        // The number of participants may have fallen meanwhile.
        if self.phase.is_active() {
            self.allocate(endpoint, context);
        }
    }

    fn allocate(&mut self, endpoint: &EndpointId, context: &mut Context<'_>) {
        let Some(participant) = self.participants.get(endpoint) else { return };
        let Some(bridge) = self.select_bridge(participant, self.moved_from.as_ref(), context) else {
            tracing::warn!(room = %self.room, %endpoint, "no bridge available (is one in the brewery?)");
            self.is_bridge_missing = true;
            return;
        };
        if !self.waits_for_expiry(endpoint, &bridge) {
            self.allocate_at(endpoint, &bridge, context);
        }
    }

    /// The bridge for one more endpoint, or for one that leaves `avoid`.
    pub(super) fn select_bridge(
        &self,
        participant: &Participant,
        avoid: Option<&Jid>,
        context: &Context<'_>,
    ) -> Option<Jid> {
        let used = self.used_bridges(context);
        let limit = context.settings.bridge.max_participants_per_interval;
        if limit.is_some_and(|limit| used.iter().any(|bridge| bridge.recent >= limit)) {
            context.metrics.bridge_selection_rate_limited.inc();
        }
        let wanted = BridgeWanted {
            used: &used,
            region: participant.member.region.as_deref(),
            is_visitor: participant.is_visitor,
            version: context.pins.version_of(&self.room, context.now),
            avoid,
            no_more: self.has_no_more_links,
        };
        context.selector.select(&wanted, context.now)
    }

    /// Asks a bridge for an endpoint, for a participant without a session. Answers whether it takes any media.
    pub(super) fn allocate_at(&mut self, endpoint: &EndpointId, bridge: &Jid, context: &mut Context<'_>) -> bool {
        let Some(request) = self.prepare_request(endpoint, bridge, context) else {
            tracing::info!(room = %self.room, %endpoint, "not invited, the client takes no media");
            self.set_session(endpoint, Session::Ended);
            return false;
        };
        if let Some(participant) = self.participants.get_mut(endpoint) {
            let (attempt, with_data) = (request.attempt, request.with_data);
            participant.session = Session::Allocating { attempt, bridge: bridge.clone(), with_data };
            participant.force_mute = request.force_mute;
        }
        self.send_request(endpoint, bridge, request, context);
        true
    }

    /// The request for an endpoint; `None` when the client takes no media.
    pub(super) fn prepare_request(
        &mut self,
        endpoint: &EndpointId,
        bridge: &Jid,
        context: &Context<'_>,
    ) -> Option<EndpointRequest> {
        let participant = self.participants.get(endpoint)?;
        let features = participant.features();
        let has_sctp = context.selector.get(bridge).is_some_and(Bridge::has_sctp);
        let with_data = context.settings.sctp && features.sctp && has_sctp;
        let contents = offer::contents(&context.settings.codecs, features, with_data);
        if contents.is_empty() {
            return None;
        }
        let force_mute = self.av_moderation.force_mute(participant, context.settings);
        let is_visitor = participant.is_visitor;
        let mut modify = EndpointModify::new(endpoint.clone());
        modify.create = true;
        modify.force_mute = Some(force_mute).filter(|force_mute| *force_mute != ForceMute::default());
        modify.stats_id.clone_from(&participant.member.stats_id);
        modify.diarize = participant.member.diarize;
        modify.muc_role = is_visitor.then_some(MucRole::Visitor);
        modify.capabilities = capabilities(context.settings, features).map(str::to_owned).collect();
        if reaches_private_addresses(context.settings, participant.services(context.settings)) {
            modify.capabilities.push("private-address-connectivity".to_owned());
        }
        modify.media = offer::colibri_media(&contents);
        modify.transport = Some(TransportRequest {
            ice_controlling: true,
            sctp: with_data.then(Sctp::default),
            ..TransportRequest::default()
        });
        self.attempts += 1;
        Some(EndpointRequest { attempt: self.attempts, with_data, force_mute, is_visitor, modify })
    }

    /// Sends a request for an endpoint. A bridge that is new to the conference is linked with the others.
    pub(super) fn send_request(
        &mut self,
        endpoint: &EndpointId,
        bridge: &Jid,
        request: EndpointRequest,
        context: &mut Context<'_>,
    ) {
        let Some(meeting_id) = self.meeting_id.clone() else { return };
        if !self.colibri.contains_key(bridge) {
            let id = context.random_uuid();
            let Some(chosen) = context.selector.get(bridge) else { return };
            self.colibri.insert(bridge.clone(), ColibriSession::new(id, chosen, request.is_visitor));
        }
        if let Some(chosen) = context.selector.get_mut(bridge) {
            chosen.endpoint_added(context.now);
        }
        let Some(session) = self.colibri.get_mut(bridge) else { return };
        let create = session.add(endpoint, &context.settings.bridge, context.now);
        // One id is one endpoint: who moves here is no longer told of as one of another bridge.
        let home = self.participants.get(endpoint).and_then(|known| known.session.bridge().cloned());
        if let Some(home) = home.filter(|home| home != bridge) {
            self.relay_presence(endpoint, &home, context);
        }
        let modify = ConferenceModify {
            create,
            connects: create.then(|| self.first_connects(bridge, context.settings)).flatten(),
            name: create.then(|| self.room.to_string()),
            rtcstats_enabled: self.rtcstats_enabled,
            endpoints: vec![request.modify],
            ..ConferenceModify::new(meeting_id)
        };
        let purpose = ConferencePurpose::Allocate { endpoint: endpoint.clone(), attempt: request.attempt };
        self.request(bridge, "get", modify.to_element(), purpose, context);
        if create {
            self.connect_relays(bridge, context);
        }
    }

    pub(super) fn on_allocated(
        &mut self,
        endpoint: &EndpointId,
        attempt: u64,
        outcome: IqOutcome,
        context: &mut Context<'_>,
    ) {
        let pending = self.participants.get(endpoint).and_then(|participant| participant.pending(attempt));
        let Some(pending) = pending else { return };
        let answer = match &outcome {
            IqOutcome::Answer(answer) if answer.attr("type") == Some("result") => answer,
            IqOutcome::Answer(answer) => {
                let error = ColibriError::from_stanza_error(&StanzaError::of_stanza(answer));
                return self.on_allocation_refused(endpoint, &pending, &error, context);
            }
            IqOutcome::Timeout => return self.on_bridge_silent(&pending.bridge, context),
        };
        let bridge = pending.bridge.clone();
        let Some(allocated) = self.read_allocation(endpoint, &bridge, pending.with_data, answer) else {
            tracing::warn!(room = %self.room, %endpoint, %bridge, "bridge gave no transport");
            self.expire_endpoint(&bridge, endpoint, context);
            return self.on_allocation_failed(endpoint, &pending, context);
        };
        if pending.is_move {
            self.complete_move(endpoint, context);
        }
        self.offer(endpoint, Allocation { bridge, attempt, ice_generation: None }, &allocated, context);
        // Moderation may have begun or ended since the bridge was asked.
        self.update_force_mutes(context);
    }

    /// Reads the answer of a bridge; `None` when it lacks what the endpoint needs.
    fn read_allocation(
        &mut self,
        endpoint: &EndpointId,
        bridge: &Jid,
        with_data: bool,
        answer: &Element,
    ) -> Option<Allocated> {
        let modified = answer.child("conference-modified", ns::COLIBRI2)?;
        let modified = ConferenceModified::from_element(modified)
            .inspect_err(
                |error| tracing::warn!(room = %self.room, %bridge, %error, "answer of a bridge not understood"),
            )
            .ok()?;
        if let (Some(sources), Some(session)) = (modified.sources, self.colibri.get_mut(bridge)) {
            session.set_feedback(&sources);
        }
        let mut endpoints = modified.endpoints.into_iter();
        let transport = endpoints.find(|modified| modified.id == *endpoint)?.transport?;
        let sctp_port = transport.sctp.and_then(|sctp| sctp.port);
        if with_data && sctp_port.is_none() {
            return None;
        }
        Some(Allocated { transport: transport.ice?, sctp_port: sctp_port.filter(|_| with_data) })
    }

    fn offer(
        &mut self,
        endpoint: &EndpointId,
        allocation: Allocation,
        allocated: &Allocated,
        context: &mut Context<'_>,
    ) {
        let start_muted = self.start_muted(endpoint, context.settings);
        let Some(participant) = self.participants.get_mut(endpoint) else { return };
        let Some(colibri) = self.colibri.get(&allocation.bridge) else { return };
        let features = participant.features();
        let settings = context.settings;
        let mut contents = offer::contents(&settings.codecs, features, allocated.sctp_port.is_some());
        offer::set_transport(&mut contents, &allocated.transport, allocated.sctp_port);

        let sid = context.random_sid();
        let mut jingle = context.jingle(Action::SessionInitiate, &sid);
        jingle.bundle = contents.iter().map(|content| content.name.clone()).collect();
        let bridge_session =
            BridgeSession { id: Some(colibri.id.clone()), region: colibri.region.clone(), ..BridgeSession::default() };
        jingle.extensions.push(bridge_session.to_element());
        if start_muted != StartMuted::default() {
            jingle.extensions.push(start_muted.to_element());
        }

        // COMPAT: lib-jitsi-meet puts its own tracks into the m-line of the first source of a kind, so that has to be one
        // which is never removed: the bridge's. It stands in XML even for clients that read JSON, as their JSON objects
        // have keys that look like numbers (endpoint ids can) before all others.
        if let Some((owner, feedback)) = colibri.feedback() {
            encode_xml(std::iter::once((owner, &visible_to(features, false, feedback))), &mut contents);
        }
        let visible: Vec<_> = self
            .sources
            .iter()
            .filter(|(owner, _)| *owner != endpoint && !rewrites_ssrcs(settings, features))
            .map(|(owner, set)| (owner, visible_to(features, settings.strip_simulcast, set)))
            .filter(|(_, set)| !set.is_empty())
            .collect();
        let sets = visible.iter().map(|(owner, set)| (*owner, set));
        if !settings.use_json_encoded_sources || !features.json_sources {
            encode_xml(sets, &mut contents);
        } else if !visible.is_empty() {
            jingle.extensions.push(encode_json(sets).to_element());
        }
        jingle.contents = contents;

        if !participant.was_invited && !features.start_muted_metadata {
            context.metrics.participants_no_start_muted_rmd.inc();
        }
        participant.signaling.reset();
        participant.was_invited = true;
        participant.session = Session::Offered { sid: sid.clone(), allocation };
        let occupant = participant.member.occupant.clone();
        let purpose = ConferencePurpose::SessionInitiate { endpoint: endpoint.clone(), sid };
        self.request(&occupant, "set", jingle.to_element(), purpose, context);
    }

    /// What the next participant shall mute.
    fn start_muted(&self, endpoint: &EndpointId, settings: &Settings) -> StartMuted {
        let count = self.participants.len();
        let is_beyond = |limit: Option<usize>, most: usize| count > limit.map_or(most, |limit| limit.min(most));
        // Who may not speak is told so at once rather than by a request to mute.
        let participant = self.participants.get(endpoint);
        let is_forced = |media| {
            participant.is_some_and(|participant| {
                !participant.cannot_be_muted(settings) && !self.av_moderation.permits(participant, media)
            })
        };
        // What a room agrees on is for who comes, not for who gets another session.
        let is_new = self.participants.get(endpoint).is_some_and(|participant| !participant.was_invited);
        let agreed = if is_new { self.metadata_start_muted } else { StartMuted::default() };
        StartMuted {
            audio: agreed.audio
                || is_beyond(self.start_muted.audio, settings.limits.audio_senders)
                || is_forced(MuteMedia::Audio),
            video: agreed.video
                || is_beyond(self.start_muted.video, settings.limits.video_senders)
                || is_forced(MuteMedia::Video),
        }
    }

    /// The client took note of the offer, or refused it. No answer counts as note taken.
    pub(super) fn on_offer_answered(
        &mut self,
        endpoint: &EndpointId,
        sid: &str,
        outcome: IqOutcome,
        context: &mut Context<'_>,
    ) {
        let IqOutcome::Answer(_) = &outcome else { return };
        let Some(problem) = problem_of(&outcome) else { return };
        let is_current =
            self.participants.get(endpoint).is_some_and(|participant| participant.session.sid() == Some(sid));
        if is_current {
            tracing::warn!(room = %self.room, %endpoint, problem, "jingle session failed");
            self.end_session(endpoint, Session::Ended, context);
        }
    }

    /// Tells a client that its session ends, if it has one. Its endpoint and sources are not touched.
    pub(super) fn terminate(
        &mut self,
        endpoint: &EndpointId,
        (condition, text): (&'static str, &'static str),
        next: Session,
        context: &mut Context<'_>,
    ) {
        let Some(participant) = self.participants.get_mut(endpoint) else { return };
        let ended = participant.end_session(next);
        let Some(sid) = ended.sid() else { return };
        let mut jingle: Jingle = context.jingle(Action::SessionTerminate, sid);
        jingle.reason = Some(Reason::new(condition, text));
        let occupant = participant.member.occupant.clone();
        let purpose = ConferencePurpose::Notify { endpoint: endpoint.clone(), news: "session-terminate" };
        self.request(&occupant, "set", jingle.to_element(), purpose, context);
    }

    pub(super) fn set_session(&mut self, endpoint: &EndpointId, session: Session) {
        if let Some(participant) = self.participants.get_mut(endpoint) {
            participant.session = session;
        }
    }
}

/// Whether a client learns of the others' sources from its bridge (`AudioSourcesMap`, `VideoSourcesMap`): the focus then
/// tells it only those of the bridge itself.
pub(super) const fn rewrites_ssrcs(settings: &Settings, features: Features) -> bool {
    settings.use_ssrc_rewriting && features.ssrc_rewriting
}

/// Services may be in one network with the bridge; browsers would check addresses in vain.
const fn reaches_private_addresses(settings: &Settings, services: Services) -> bool {
    services.jibri && settings.jibri.private_addresses || services.jigasi && settings.jigasi_private_addresses
}

/// What the bridge is to know of a client with these features.
fn capabilities(settings: &Settings, features: Features) -> impl Iterator<Item = &'static str> {
    let rewrites = rewrites_ssrcs(settings, features);
    // A mid can only be stamped where its extension is negotiated.
    let with_mids = rewrites
        && settings.use_rtp_mid_demux
        && features.rtp_mid_demux
        && settings.codecs.offers(HeaderExtensionKind::Mid);
    let known = [("source-names", true), ("ssrc-rewriting", rewrites), ("rtp-mid-demux", with_mids)];
    known.into_iter().filter_map(|(name, has)| has.then_some(name))
}
