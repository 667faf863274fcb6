//! What is said to bridges: which endpoints a conference has there, and when it ends there.
//!
//! Not here: what one bridge is told of the others (`relays`), what follows from refusals (`refusal`), and endpoints that
//! change their bridge (`moves`).

use std::collections::VecDeque;
use std::time::Instant;

use indexmap::{IndexMap, IndexSet};
use jitsi_protocol::colibri2::{ColibriError, ConferenceModify, EndpointModify, MediaSource, Reason, TransportRequest};
use model::EndpointId;
use xmpp::jingle::{IceTransport, Source};
use xmpp::{Jid, StanzaError};

use super::members::BRIDGE_OWNER;
use super::participant::Session;
use super::relays::Relay;
use super::restart::MOVING;
use super::{Conference, problem_of};
use crate::bridge::{Bridge, ConferenceBridge};
use crate::context::{ConferencePurpose, Context};
use crate::iq::IqOutcome;
use crate::settings::BridgeSettings;
use crate::source::{EndpointSource, EndpointSourceSet, media_sources};

/// The part of a conference on one bridge.
#[derive(Debug)]
pub(super) struct ColibriSession {
    /// Told to clients, who repeat it when they want another session; tells sessions on one bridge apart.
    pub(super) id: String,
    pub(super) region: Option<String>,
    /// The bridge's name among bridges, as it was when the session began.
    pub(super) relay_id: Option<String>,
    /// Of the bridge.
    pub(super) version: Option<String>,
    /// What the bridge was told of the other bridges, by their occupant JIDs.
    pub(super) relays: IndexMap<Jid, Relay>,
    pub(super) endpoints: IndexSet<EndpointId>,
    /// Whether it was begun for somebody who only watches.
    pub(super) for_visitors: bool,
    was_created: bool,
    /// When the latest endpoints came, where that is limited.
    recent: VecDeque<Instant>,
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

impl ColibriSession {
    pub(super) fn new(id: String, bridge: &Bridge, for_visitors: bool) -> Self {
        Self {
            id,
            region: bridge.region().map(str::to_owned),
            relay_id: bridge.relay_id().map(str::to_owned),
            version: bridge.full_version(),
            relays: IndexMap::new(),
            endpoints: IndexSet::new(),
            for_visitors,
            was_created: false,
            recent: VecDeque::new(),
            feedback_owner: BRIDGE_OWNER.parse().ok(),
            feedback: EndpointSourceSet::default(),
        }
    }

    /// One more endpoint; answers whether the request for it has to create the conference.
    pub(super) fn add(&mut self, endpoint: &EndpointId, settings: &BridgeSettings, now: Instant) -> bool {
        self.endpoints.insert(endpoint.clone());
        if let Some(most) = settings.max_participants_per_interval {
            self.recent.push_back(now);
            // More than the limit make no difference.
            while self.recent.len() > most {
                self.recent.pop_front();
            }
        }
        !std::mem::replace(&mut self.was_created, true)
    }

    /// Endpoints that came of late, as far as that is limited.
    fn recent(&self, settings: &BridgeSettings, now: Instant) -> usize {
        let is_recent = |at: &&Instant| now.saturating_duration_since(**at) < settings.participants_interval;
        self.recent.iter().filter(is_recent).count()
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
    /// The bridges that the conference has, for the choice of one for the next endpoint.
    pub(super) fn used_bridges(&self, context: &Context<'_>) -> Vec<ConferenceBridge> {
        let describe = |(jid, session): (&Jid, &ColibriSession)| ConferenceBridge {
            jid: jid.clone(),
            relay_id: session.relay_id.clone(),
            participants: session.endpoints.len(),
            recent: session.recent(&context.settings.bridge, context.now),
            for_visitors: session.for_visitors,
        };
        self.colibri.iter().map(describe).collect()
    }

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

    /// Sends all bridges all sources of an endpoint.
    pub(super) fn update_sources(&mut self, endpoint: &EndpointId, context: &mut Context<'_>) {
        let sources = self.media_sources_of(endpoint);
        self.update_endpoint(endpoint, |modify| modify.sources = Some(sources), context);
        self.relay_sources(endpoint, context);
    }

    pub(super) fn media_sources_of(&self, endpoint: &EndpointId) -> Vec<MediaSource> {
        let own = self.sources.get(endpoint).map(|set| media_sources(endpoint, set)).unwrap_or_default();
        own.into_iter().chain(self.synthetic_sources_of(endpoint)).collect()
    }

    /// The outcome of an update of an endpoint.
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
        self.on_bridge_updated(&bridge, Some(endpoint), outcome, context);
    }

    /// The outcome of an update: an endpoint that the bridge lost is invited again, another failure concerns everybody there,
    /// and a lost answer nobody.
    pub(super) fn on_bridge_updated(
        &mut self,
        bridge: &Jid,
        endpoint: Option<&EndpointId>,
        outcome: IqOutcome,
        context: &mut Context<'_>,
    ) {
        let Some(problem) = problem_of(&outcome) else { return };
        let about = endpoint.map_or("a relay", EndpointId::as_str);
        tracing::warn!(room = %self.room, about, %bridge, problem, "bridge did not take an update");
        let IqOutcome::Answer(answer) = outcome else { return };
        let error = ColibriError::from_stanza_error(&StanzaError::of_stanza(&answer));
        let lost =
            error.endpoint.or_else(|| endpoint.cloned()).filter(|_| error.reason == Some(Reason::UnknownEndpoint));
        match lost {
            Some(lost) => self.reinvite(&lost, context),
            None => self.remove_bridge(bridge, Farewell::Expire, context),
        }
    }

    /// Takes a bridge out of the conference; its participants are invited again, elsewhere if need be. The links between the
    /// others stay as they are.
    pub(super) fn remove_bridge(&mut self, bridge: &Jid, farewell: Farewell, context: &mut Context<'_>) {
        if self.colibri.shift_remove(bridge).is_none() {
            return;
        }
        if farewell == Farewell::Expire {
            self.expire_conference(bridge, context);
        }
        self.expire_relays_to(bridge, context);
        self.repair_topology(context);
        let lost: Vec<EndpointId> = self
            .participants
            .values()
            .filter(|participant| participant.session.bridge() == Some(bridge))
            .map(|participant| participant.endpoint.clone())
            .collect();
        tracing::warn!(room = %self.room, %bridge, participants = lost.len(), "bridge removed from the conference");
        context.metrics.bridges_removed.inc();
        context.metrics.participants_moved.inc_by(lost.len() as u64);
        self.forget_moves_to(bridge);
        // All sessions end before the first new one begins: nobody is told of sources that are about to go, or of those
        // of others who move too.
        for endpoint in &lost {
            self.terminate(endpoint, MOVING, Session::None, context);
        }
        for endpoint in &lost {
            self.withdraw_sources(endpoint, context);
        }
        for endpoint in &lost {
            // Who was about to leave the bridge waits for the answer of the other one.
            if !self.continue_move(endpoint) {
                self.invite_after_failure(endpoint, context);
            }
        }
    }

    pub(crate) fn endpoints_on(&self, bridge: &Jid) -> usize {
        self.colibri.get(bridge).map_or(0, |session| session.endpoints.len())
    }

    /// Removes an endpoint from its bridge, and the conference with the last one; other bridges hear of it. Call it when the
    /// participant's session is over.
    pub(super) fn expire_endpoint(&mut self, bridge: &Jid, endpoint: &EndpointId, context: &mut Context<'_>) {
        if self.forget_endpoint(bridge, endpoint).is_none() {
            return;
        }
        if !self.colibri.contains_key(bridge) {
            self.expire_conference(bridge, context);
            self.expire_relays_to(bridge, context);
            return self.repair_topology(context);
        }
        let Some(meeting_id) = self.meeting_id.clone() else { return };
        let mut modify = EndpointModify::new(endpoint.clone());
        modify.expire = true;
        let modify = ConferenceModify { endpoints: vec![modify], ..ConferenceModify::new(meeting_id) };
        self.request(bridge, "get", modify.to_element(), ConferencePurpose::Expire { bridge: bridge.clone() }, context);
        self.relay_presence(endpoint, bridge, context);
    }

    /// Takes an endpoint off the books of a bridge that did not take it.
    pub(super) fn forget_refused(&mut self, bridge: &Jid, endpoint: &EndpointId, context: &mut Context<'_>) {
        if let Some(session) = self.forget_endpoint(bridge, endpoint).flatten() {
            // Relays keep a conference alive.
            if !session.relays.is_empty() {
                self.expire_conference(bridge, context);
            }
            self.expire_relays_to(bridge, context);
            self.repair_topology(context);
        }
    }

    /// Takes an endpoint off the books of its bridge, and the bridge with the last one. Answers whether it was there, and the
    /// session if it is over.
    fn forget_endpoint(&mut self, bridge: &Jid, endpoint: &EndpointId) -> Option<Option<ColibriSession>> {
        let session = self.colibri.get_mut(bridge)?;
        let was_there = session.endpoints.shift_remove(endpoint);
        let is_over = session.endpoints.is_empty();
        let over = is_over.then(|| self.colibri.shift_remove(bridge)).flatten();
        was_there.then_some(over)
    }

    /// Ends the conference on all its bridges.
    pub(super) fn expire_all_bridges(&mut self, context: &mut Context<'_>) {
        for (bridge, _) in std::mem::take(&mut self.colibri) {
            self.expire_conference(&bridge, context);
        }
    }

    fn expire_conference(&mut self, bridge: &Jid, context: &mut Context<'_>) {
        let Some(meeting_id) = self.meeting_id.clone() else { return };
        let modify = ConferenceModify { expire: true, ..ConferenceModify::new(meeting_id) };
        let purpose = ConferencePurpose::ExpireConference { bridge: bridge.clone() };
        self.request(bridge, "get", modify.to_element(), purpose, context);
        self.expiring.entry(bridge.clone()).or_default();
    }

    /// A bridge may not take the conference again yet: JVB ends one while it looks at the next request already, and answers
    /// that it exists. Who is to be invited there is when it is gone.
    pub(super) fn waits_for_expiry(&mut self, endpoint: &EndpointId, bridge: &Jid) -> bool {
        let waiting = self.expiring.get_mut(bridge).filter(|_| !self.colibri.contains_key(bridge));
        waiting.map(|waiting| waiting.insert(endpoint.clone())).is_some()
    }

    /// A bridge forgot the conference, or will not say.
    pub(super) fn on_expired(&mut self, bridge: &Jid, context: &mut Context<'_>) {
        for endpoint in self.expiring.shift_remove(bridge).unwrap_or_default() {
            let waits = self.participants.get(&endpoint).is_some_and(|known| known.session == Session::None);
            if waits && self.phase.is_active() {
                self.invite(&endpoint, context);
            }
        }
    }
}
