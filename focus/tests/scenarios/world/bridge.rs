//! A bridge that answers Colibri2.

use std::collections::{BTreeMap, BTreeSet};

use jitsi_protocol::bridge_stats::BridgeStats;
use jitsi_protocol::colibri2::{
    Candidate, ColibriError, ConferenceModified, ConferenceModify, DtlsSetup, EndpointModified, EndpointModify,
    Fingerprint, IceTransport, MediaSource, Reason, Sctp, Source, TransportModified,
};
use model::{MediaType, Ssrc};
use xmpp::{Condition, Element, StanzaError, iq_error, iq_result, ns};

use super::{BREWERY, presence_of};

/// How a bridge answers.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    Fine,
    Silent,
    Refusing(ColibriError),
    /// Refuses only what is not a creation.
    RefusingUpdates(ColibriError),
    /// Forgets the transport of a new endpoint.
    WithoutTransport,
    /// Forgets the port of a data channel.
    WithoutSctp,
    /// Refuses data channels, as a JVB without SCTP does, after it created the conference.
    RefusingSctp,
    /// Answers with something else.
    Babbling,
}

pub(crate) struct FakeBridge {
    pub(crate) stats: BridgeStats,
    pub(crate) manner: Manner,
    /// What it was asked, without what it did not get.
    pub(crate) requests: Vec<ConferenceModify>,
    /// What an ICE restart is answered with; `None` for a refusal.
    pub(crate) ice_restart: Option<IceTransport>,
    /// Endpoints by meeting, as a bridge keeps them that was never told to refuse something.
    pub(crate) meetings: BTreeMap<String, BTreeSet<String>>,
    pub(crate) was_refusing: bool,
    pub(crate) conflicts: usize,
    pub(crate) health_checks: usize,
    pub(crate) health: Option<StanzaError>,
}

impl FakeBridge {
    pub(crate) fn new(stats: BridgeStats) -> Self {
        Self {
            stats,
            manner: Manner::Fine,
            requests: Vec::new(),
            ice_restart: None,
            meetings: BTreeMap::new(),
            was_refusing: false,
            conflicts: 0,
            health_checks: 0,
            health: None,
        }
    }

    pub(crate) fn presence(&self, nick: &str) -> Element {
        presence_of(&format!("{BREWERY}/{nick}"), "member", "participant", "jvb@auth.meet.jitsi/x")
            .with_child(self.stats.to_element())
    }

    pub(crate) fn on_iq(&mut self, iq: &Element) -> Option<Element> {
        let payload = iq.children().next().unwrap();
        if payload.is("healthcheck", ns::HEALTHCHECK) {
            self.health_checks += 1;
            if matches!(self.manner, Manner::Silent) {
                return None;
            }
            return Some(self.health.as_ref().map_or_else(|| iq_result(iq), |error| iq_error(iq, error)));
        }
        let request = ConferenceModify::from_element(payload).unwrap();
        self.requests.push(request.clone());
        if !self.keep_books(&request) {
            self.conflicts += 1;
            let reason = request.create.then_some(Reason::ConferenceAlreadyExists);
            return Some(iq_error(iq, &ColibriError::new(Condition::Conflict, reason, "").to_stanza_error()));
        }
        let wants_sctp =
            |endpoint: &EndpointModify| endpoint.transport.as_ref().is_some_and(|known| known.sctp.is_some());
        let asks_for_sctp = request.endpoints.iter().any(wants_sctp);
        let is_creation = request.create || request.endpoints.iter().any(|endpoint| endpoint.create);
        match &self.manner {
            Manner::Silent => None,
            Manner::Refusing(error) => Some(iq_error(iq, &error.to_stanza_error())),
            Manner::RefusingUpdates(error) if !is_creation => Some(iq_error(iq, &error.to_stanza_error())),
            Manner::RefusingSctp if asks_for_sctp => {
                let reason = Some(Reason::FeatureNotImplemented);
                let error =
                    ColibriError::new(Condition::FeatureNotImplemented, reason, "SCTP support is not configured");
                Some(iq_error(iq, &error.to_stanza_error()))
            }
            Manner::Babbling => Some(iq_result(iq).with_child(Element::new("weather", "urn:sunny"))),
            Manner::Fine
            | Manner::RefusingUpdates(_)
            | Manner::WithoutTransport
            | Manner::WithoutSctp
            | Manner::RefusingSctp => Some(iq_result(iq).with_child(self.modified(&request).to_element())),
        }
    }

    /// Does what was asked, as strictly as a bridge does (bridge.md §1.4). Answers whether there was no conflict.
    fn keep_books(&mut self, request: &ConferenceModify) -> bool {
        self.was_refusing |= matches!(self.manner, Manner::Refusing(_) | Manner::RefusingUpdates(_));
        if self.was_refusing {
            return true;
        }
        let meeting = request.meeting_id.to_string();
        let known = self.meetings.get(&meeting);
        let is_known = |endpoint: &EndpointModify| known.is_some_and(|known| known.contains(endpoint.id.as_str()));
        if (request.create && known.is_some())
            || request.endpoints.iter().any(|endpoint| endpoint.create && is_known(endpoint))
        {
            return false;
        }
        assert!(request.create || self.meetings.contains_key(&meeting), "created before anything else");
        let endpoints = self.meetings.entry(meeting.clone()).or_default();
        for endpoint in &request.endpoints {
            let id = endpoint.id.to_string();
            if endpoint.create {
                endpoints.insert(id);
            } else if endpoint.expire {
                assert!(endpoints.remove(&id), "{} does not exist", endpoint.id);
            } else {
                assert!(endpoints.contains(&id), "{} does not exist", endpoint.id);
            }
        }
        if request.expire || endpoints.is_empty() {
            self.meetings.remove(&meeting);
        }
        true
    }

    fn modified(&self, request: &ConferenceModify) -> ConferenceModified {
        let is_creation = request.endpoints.iter().any(|endpoint| endpoint.create);
        ConferenceModified {
            endpoints: request.endpoints.iter().map(|endpoint| self.modified_endpoint(endpoint)).collect(),
            relays: Vec::new(),
            sources: is_creation.then(feedback_sources),
        }
    }

    fn modified_endpoint(&self, endpoint: &EndpointModify) -> EndpointModified {
        let mut modified = EndpointModified { id: endpoint.id.clone(), expire: endpoint.expire, transport: None };
        let wanted = endpoint.transport.as_ref();
        if endpoint.create && !matches!(self.manner, Manner::WithoutTransport) {
            let with_sctp = wanted.is_some_and(|wanted| wanted.sctp.is_some());
            modified.transport = Some(TransportModified {
                ice: Some(transport(endpoint.id.as_str())),
                sctp: (with_sctp && !matches!(self.manner, Manner::WithoutSctp))
                    .then(|| Sctp { role: Some("server".to_owned()), port: Some(5000) }),
            });
        } else if wanted.is_some_and(|wanted| wanted.ice_restart) {
            modified.transport = self.ice_restart.clone().map(|ice| TransportModified { ice: Some(ice), sctp: None });
        }
        modified
    }

    /// Endpoint requests so far, in order, as `+id`, `id` and `-id` for creation, change and expiry.
    pub(crate) fn story(&self) -> Vec<String> {
        let mut story = Vec::new();
        for request in &self.requests {
            if request.create {
                story.push("create".to_owned());
            }
            for endpoint in &request.endpoints {
                let sign = if endpoint.create {
                    "+"
                } else if endpoint.expire {
                    "-"
                } else {
                    ""
                };
                story.push(format!("{sign}{}", endpoint.id));
            }
            if request.expire {
                story.push("expire".to_owned());
            }
        }
        story
    }

    /// The latest request about an endpoint.
    pub(crate) fn last_of(&self, endpoint: &str) -> &EndpointModify {
        let all = self.requests.iter().rev().flat_map(|request| &request.endpoints);
        all.into_iter().find(|known| known.id.as_str() == endpoint).expect("a request about the endpoint")
    }
}

pub(crate) fn transport(endpoint: &str) -> IceTransport {
    IceTransport {
        ufrag: Some(format!("ufrag-{endpoint}")),
        pwd: Some("pwd5v0q4k8e1p2m7t6r3s9d".to_owned()),
        fingerprints: vec![Fingerprint {
            hash: "sha-256".to_owned(),
            value: "AA:BB:CC".to_owned(),
            setup: Some(DtlsSetup::ActPass),
        }],
        candidates: vec![Candidate {
            id: "c1".to_owned(),
            component: 1,
            foundation: "1".to_owned(),
            generation: 0,
            ip: "192.0.2.7".to_owned(),
            port: 10000,
            protocol: "udp".to_owned(),
            tcp_type: None,
            priority: 2130706431,
            candidate_type: "host".to_owned(),
            network: 0,
            related: None,
        }],
        web_sockets: vec![format!("wss://meet.jitsi/colibri-ws/default-id/4f5e/{endpoint}?pwd=k3J")],
        rtcp_mux: true,
        ..IceTransport::default()
    }
}

fn feedback_sources() -> Vec<MediaSource> {
    let source = |media_type, id: &str, ssrc| MediaSource {
        media_type,
        id: id.parse().unwrap(),
        sources: vec![Source { name: Some(id.parse().unwrap()), ..Source::new(Ssrc(ssrc)) }],
        groups: Vec::new(),
    };
    vec![source(MediaType::Audio, "jvb-a0", 3141592653), source(MediaType::Video, "jvb-v0", 2718281828)]
}
