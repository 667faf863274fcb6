//! Colibri2 requests: a focus makes, changes and ends conferences and endpoints (bridge.md §1.3–1.5).
//!
//! Here: the rules and errors of a request. Not here: its XML (`jitsi-protocol`), who may send one (`brewery`).

mod relays;

use std::time::Instant;

use ice::IceRole;
use jitsi_protocol::colibri2::{
    ColibriError, ConferenceModified, ConferenceModify, EndpointModified, EndpointModify, MediaSource, MucRole, Reason,
    Sctp, Source, TransportModified, TransportRequest,
};
use model::{MediaType, SourceName, Ssrc};
use xmpp::Condition;

use crate::addresses::with_hosts_told;
use crate::conference::FeedbackSsrcs;
use crate::connection::MemberKey;
use crate::export::add_formats;
use crate::shard::message::{Route, ShardCommand};
use crate::ssrc_slots::{DemuxBy, SsrcSlots};
use crate::transport::{EndpointTransport, SctpMode};
use crate::videobridge::{EndpointKey, Videobridge, random_secret};

/// The port of both SCTP sides (bridge.md §2.5).
const SCTP_PORT: u16 = 5000;
/// The capability without which an endpoint is not taken: its sources have names.
const SOURCE_NAMES: &str = "source-names";
/// The capability of an endpoint that takes all sources under SSRCs of the bridge.
const SSRC_REWRITING: &str = "ssrc-rewriting";
/// The capability of such an endpoint that tells its streams apart by mids.
const RTP_MID_DEMUX: &str = "rtp-mid-demux";
/// The capability of an endpoint that reaches private addresses, so that it is told them in any case.
const PRIVATE_ADDRESSES: &str = "private-address-connectivity";

impl Videobridge {
    /// Does what a focus asks.
    ///
    /// # Errors
    /// [`ColibriError`] with the condition and reason that a focus knows; what the request did until then stays, but for
    /// an endpoint or a conference that it failed to create.
    pub(crate) fn handle_colibri(
        &mut self,
        request: ConferenceModify,
        now: Instant,
    ) -> Result<ConferenceModified, ColibriError> {
        let is_batch = request.endpoints.len() > 1;
        if is_batch && request.endpoints.iter().any(is_more_than_expiry) {
            let text = "several endpoints in one request may only be expired or muted";
            return Err(error(Condition::FeatureNotImplemented, Reason::FeatureNotImplemented, text));
        }
        self.check_relays(&request)?;
        let known = self.by_meeting.get(&request.meeting_id).copied();
        let connects = self.check_connects(known, request.connects.as_deref())?;
        let conference = match (known, request.create) {
            (Some(_), true) => {
                return Err(error(Condition::Conflict, Reason::ConferenceAlreadyExists, "conference already exists"));
            }
            (Some(conference), false) => conference,
            (None, false) => {
                return Err(error(Condition::ItemNotFound, Reason::ConferenceNotFound, "conference not found"));
            }
            (None, true) if self.readiness().is_ending() => {
                return Err(error(Condition::ServiceUnavailable, Reason::GracefulShutdown, "the bridge shuts down"));
            }
            (None, true) if self.conferences.len() >= self.settings.max_conferences => {
                return Err(error(Condition::ServiceUnavailable, Reason::GracefulShutdown, "too many conferences"));
            }
            (None, true) => {
                tracing::info!(meeting = %request.meeting_id, room = request.name, "conference created");
                let key = self.create_conference(request.meeting_id.clone(), now);
                if let Some(conference) = self.conferences.get_mut(key) {
                    conference.name.clone_from(&request.name);
                    conference.rtcstats_enabled = request.rtcstats_enabled;
                }
                key
            }
        };
        let mut modified = ConferenceModified::default();
        let mut creates_endpoint = false;
        for endpoint in &request.endpoints {
            creates_endpoint |= endpoint.create;
            match self.modify_endpoint(conference, endpoint, now) {
                Ok(answer) => modified.endpoints.push(answer),
                Err(error) => {
                    if request.create {
                        self.remove_conference(conference, now);
                    }
                    return Err(error);
                }
            }
        }
        self.change_connects(conference, connects);
        for relay in &request.relays {
            match self.modify_relay(conference, relay, now) {
                Ok(answer) => modified.relays.push(answer),
                Err(error) => {
                    if request.create {
                        self.remove_conference(conference, now);
                    }
                    return Err(error);
                }
            }
        }
        if let Some((state, mut context)) = self.conference(conference, now) {
            state.tap_exported(&mut context);
            if request.connects.is_some() {
                state.subscribe_relays(&mut context);
            }
        }
        if request.create || creates_endpoint {
            let ssrcs = self.conferences.get(conference).map(|conference| conference.feedback_ssrcs);
            modified.sources = ssrcs.map(feedback_sources);
        }
        let state = self.conferences.get(conference);
        let is_left_empty =
            !request.create && state.is_some_and(|state| state.endpoints.is_empty() && state.relays.is_empty());
        if request.expire || is_left_empty {
            tracing::info!(meeting = %request.meeting_id, "conference ended");
            self.remove_conference(conference, now);
        }
        Ok(modified)
    }

    fn modify_endpoint(
        &mut self,
        conference: usize,
        request: &EndpointModify,
        now: Instant,
    ) -> Result<EndpointModified, ColibriError> {
        let known = self.conferences.get(conference).and_then(|conference| conference.by_id.get(&request.id)).copied();
        let known = known.map(|endpoint| EndpointKey { conference, endpoint });
        let mut answer = EndpointModified { id: request.id.clone(), expire: false, transport: None };
        if request.expire {
            if let Some(key) = known {
                self.remove_endpoint(key, now);
                self.settle(now);
            }
            answer.expire = true;
            return Ok(answer);
        }
        let key = match (known, request.create) {
            (Some(_), true) => return Err(ColibriError::new(Condition::Conflict, None, "endpoint already exists")),
            (Some(key), false) => key,
            (None, true) => {
                let (key, transport) = self.create_endpoint(conference, request, now)?;
                answer.transport = Some(transport);
                key
            }
            (None, false) if is_more_than_expiry(request) => {
                let mut unknown = error(Condition::ItemNotFound, Reason::UnknownEndpoint, "unknown endpoint");
                unknown.endpoint = Some(request.id.clone());
                return Err(unknown);
            }
            (None, false) => return Ok(answer),
        };
        if let (true, Some(sources)) = (self.is_visitor(key), &request.sources)
            && !sources.is_empty()
        {
            if request.create {
                self.remove_endpoint(key, now);
            }
            return Err(ColibriError::new(Condition::BadRequest, None, "a visitor has no sources"));
        }
        if let Some(endpoint) = self.endpoint_mut(key) {
            for media in &request.media {
                endpoint.negotiated.add(media);
            }
            add_formats(&mut endpoint.audio_formats, &request.media);
            let Route { peer, home } = endpoint.connection.route;
            let negotiated = (!request.media.is_empty()).then(|| Box::new(endpoint.negotiated.clone()));
            if let Some(last_n) = request.initial_last_n {
                endpoint.constraints.set_last_n(last_n);
            }
            if let Some(negotiated) = negotiated {
                self.data_plane.send(home, ShardCommand::Negotiate { peer, negotiated });
            }
        }
        if let (Some(transport), false) = (&request.transport, request.create) {
            answer.transport = self.modify_transport(key.into(), transport, now)?;
        }
        if let Some((conference, mut context)) = self.conference(key.conference, now) {
            if let Some(force_mute) = request.force_mute {
                conference.set_force_mute(key.endpoint, force_mute, &mut context);
            }
            match &request.sources {
                Some(sources) => conference.set_sources(key.endpoint, sources, &mut context),
                None if request.create || request.initial_last_n.is_some() => {
                    conference.reallocate_receiver(key.endpoint, &mut context);
                }
                None => {}
            }
        }
        self.touch(key.into());
        self.settle(now);
        Ok(answer)
    }

    fn create_endpoint(
        &mut self,
        conference: usize,
        request: &EndpointModify,
        now: Instant,
    ) -> Result<(EndpointKey, TransportModified), ColibriError> {
        let bad_request = |text: &str| ColibriError::new(Condition::BadRequest, None, text);
        let Some(transport_request) = &request.transport else {
            return Err(bad_request("an endpoint needs a transport"));
        };
        if !request.capabilities.iter().any(|capability| capability == SOURCE_NAMES) {
            return Err(bad_request("an endpoint needs the capability source-names"));
        }
        let sctp_mode = sctp_mode(transport_request)?;
        let Some(state) = self.conferences.get(conference) else {
            return Err(error(Condition::ItemNotFound, Reason::ConferenceNotFound, "conference not found"));
        };
        if state.endpoints.len() >= self.settings.max_endpoints_per_conference {
            return Err(ColibriError::new(Condition::ResourceConstraint, None, "too many endpoints in the conference"));
        }
        let channel_name = state.channel_name.clone();
        let ice_role = if transport_request.ice_controlling { IceRole::Controlling } else { IceRole::Controlled };
        let addresses = if request.capabilities.iter().any(|capability| capability == PRIVATE_ADDRESSES) {
            &with_hosts_told(self.addresses.told())
        } else {
            self.addresses.told()
        };
        let mut transport = EndpointTransport::new(addresses, self.dtls.clone(), ice_role, sctp_mode, now)
            .map_err(|error| ColibriError::new(Condition::InternalServerError, None, error.to_string()))?;
        let pwd = random_secret();
        let mut ice = transport.local_transport();
        if let Some(base) = &self.settings.web_socket_base {
            let server = &self.settings.server_id;
            ice.web_sockets = vec![format!("{base}/colibri-ws/{server}/{channel_name}/{}?pwd={pwd}", request.id)];
        }
        if let Some(remote) = &transport_request.ice {
            transport.set_remote(remote, now).map_err(|error| bad_request(&error.to_string()))?;
        }
        let key = self.insert_endpoint(conference, request.id.clone(), transport, pwd, now);
        let key =
            key.ok_or_else(|| error(Condition::ItemNotFound, Reason::ConferenceNotFound, "conference not found"))?;
        if request.capabilities.iter().any(|capability| capability == SSRC_REWRITING)
            && let Some(endpoint) = self.endpoint_mut(key)
        {
            let has_mids = request.capabilities.iter().any(|capability| capability == RTP_MID_DEMUX);
            let demux_by = if has_mids { DemuxBy::Mid } else { DemuxBy::Ssrc };
            endpoint.slots = Some(Box::new(SsrcSlots::new(demux_by)));
        }
        let is_visitor = request.muc_role == Some(MucRole::Visitor);
        if let Some(endpoint) = self.endpoint_mut(key) {
            endpoint.stats_id.clone_from(&request.stats_id);
            endpoint.is_visitor = is_visitor;
            endpoint.diarize = request.diarize;
        }
        if is_visitor {
            self.metrics.visitors_created.inc();
        }
        tracing::info!(endpoint = %request.id, "endpoint created");
        Ok((key, TransportModified { ice: Some(ice), sctp: sctp_answer(transport_request) }))
    }

    /// Takes what the peer answered; on an ICE restart, answers the bridge's new credentials.
    fn modify_transport(
        &mut self,
        key: MemberKey,
        request: &TransportRequest,
        now: Instant,
    ) -> Result<Option<TransportModified>, ColibriError> {
        let Some(connection) = self.connection_mut(key) else { return Ok(None) };
        if let Some(remote) = &request.ice {
            let taken = connection.transport.set_remote(remote, now);
            taken.map_err(|error| ColibriError::new(Condition::BadRequest, None, error.to_string()))?;
            // Peers check before their answer is here. Checks that waited are answered now, and checks of ours follow at
            // once, whose answers have to find the way back.
            for remote in connection.transport.known() {
                self.remember_remote(key, remote);
            }
        }
        let Some(connection) = self.connection_mut(key) else { return Ok(None) };
        if !request.ice_restart {
            return Ok(None);
        }
        let restarted = match connection.transport.restart_ice(now) {
            Ok(restarted) => restarted,
            Err(error) => {
                // An answer without transport says that there is no restart; an error would say that the bridge is broken.
                tracing::warn!(?key, %error, "ICE is not restarted");
                self.metrics.ice_restarts_rejected.inc();
                return Ok(None);
            }
        };
        self.metrics.ice_restarts_started.inc();
        if let Some(ufrag) = restarted.ufrag.clone() {
            self.add_ufrag(key, ufrag);
        }
        Ok(Some(TransportModified { ice: Some(restarted), sctp: sctp_answer(request) }))
    }

    fn is_visitor(&self, key: EndpointKey) -> bool {
        let endpoint = self.conferences.get(key.conference).and_then(|state| state.endpoints.get(key.endpoint));
        endpoint.is_some_and(|endpoint| endpoint.is_visitor)
    }
}

/// The bridge's side of the data channel, for who asks for one.
fn sctp_answer(request: &TransportRequest) -> Option<Sctp> {
    request.sctp.is_some().then(|| Sctp { role: Some("server".to_owned()), port: Some(SCTP_PORT) })
}

/// The bridge is always the SCTP server, on the one port (bridge.md §1.4 item 9).
fn sctp_mode(request: &TransportRequest) -> Result<SctpMode, ColibriError> {
    let Some(sctp) = &request.sctp else { return Ok(SctpMode::None) };
    if sctp.role.as_deref().is_some_and(|role| role != "server") {
        return Err(error(
            Condition::FeatureNotImplemented,
            Reason::FeatureNotImplemented,
            "the bridge is SCTP server only",
        ));
    }
    check_port(sctp)?;
    Ok(SctpMode::Server)
}

fn check_port(sctp: &Sctp) -> Result<(), ColibriError> {
    if sctp.port.is_some_and(|port| port != SCTP_PORT) {
        return Err(ColibriError::new(Condition::BadRequest, None, format!("the SCTP port is {SCTP_PORT}")));
    }
    Ok(())
}

/// Whether a request needs its endpoint to be there.
fn is_more_than_expiry(request: &EndpointModify) -> bool {
    !request.expire
        && (request.create || !request.media.is_empty() || request.transport.is_some() || request.sources.is_some())
}

fn feedback_sources(ssrcs: FeedbackSsrcs) -> Vec<MediaSource> {
    let source = |media_type, name: &str, ssrc: Ssrc| -> Option<MediaSource> {
        let id: SourceName = name.parse().ok()?;
        let source = Source { name: Some(id.clone()), ..Source::new(ssrc) };
        Some(MediaSource { media_type, id, synthetic: false, sources: vec![source], groups: Vec::new() })
    };
    let audio = source(MediaType::Audio, "jvb-a0", ssrcs.audio);
    audio.into_iter().chain(source(MediaType::Video, "jvb-v0", ssrcs.video)).collect()
}

fn error(condition: Condition, reason: Reason, text: &str) -> ColibriError {
    ColibriError::new(condition, Some(reason), text)
}
