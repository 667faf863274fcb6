//! A bridge that answers Colibri2.

use std::collections::BTreeMap;

use jitsi_protocol::bridge_stats::BridgeStats;
use jitsi_protocol::colibri2::{
    Candidate, ColibriError, ConferenceModified, ConferenceModify, DtlsSetup, EndpointModified, EndpointModify,
    Fingerprint, IceTransport, MediaSource, Reason, RelayModified, RelayModify, Sctp, Source, TransportModified,
};
use model::{MediaType, Ssrc};
use xmpp::{Condition, Element, StanzaError, iq_error, iq_result, ns};

use super::books::Meeting;
use super::presence_of;

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
    /// Does all but relay.
    RefusingRelays(ColibriError),
    /// Does all but connect.
    RefusingConnects(ColibriError),
    /// Does not answer what is about relays.
    SilentRelays,
    /// Forgets the transport of a new relay.
    WithoutRelayTransport,
}

pub(crate) struct FakeBridge {
    pub(crate) stats: BridgeStats,
    pub(crate) manner: Manner,
    /// What it was asked, without what it did not get.
    pub(crate) requests: Vec<ConferenceModify>,
    /// What an ICE restart is answered with; `None` for a refusal.
    pub(crate) ice_restart: Option<IceTransport>,
    /// By id, as a bridge keeps them that was never told to refuse something.
    pub(crate) meetings: BTreeMap<String, Meeting>,
    pub(crate) was_refusing: bool,
    /// Whether it looks at the next request while it still ends a conference, as JVB does.
    pub(crate) expires_slowly: bool,
    /// Ends of conferences that it has not got to yet.
    expiring: Vec<(String, Element)>,
    /// What it was asked that is against the rules.
    pub(crate) violations: Vec<String>,
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
            expires_slowly: false,
            expiring: Vec::new(),
            violations: Vec::new(),
            health_checks: 0,
            health: None,
        }
    }

    pub(crate) fn presence(&self, brewery: &str, nick: &str) -> Element {
        presence_of(&format!("{brewery}/{nick}"), "member", "participant", "jvb@auth.meet.jitsi/x")
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
        if request.expire && self.expires_slowly {
            self.expiring.push((request.meeting_id.to_string(), iq.clone()));
            return None;
        }
        if let Err(error) = self.keep_books(&request) {
            self.violations.push(format!("{error:?} for {}", request.to_element()));
            return Some(iq_error(iq, &error.to_stanza_error()));
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
            Manner::RefusingRelays(error) if !request.relays.is_empty() => Some(iq_error(iq, &error.to_stanza_error())),
            Manner::RefusingConnects(error) if request.connects.is_some() => {
                Some(iq_error(iq, &error.to_stanza_error()))
            }
            Manner::SilentRelays if !request.relays.is_empty() => None,
            Manner::Babbling => Some(iq_result(iq).with_child(Element::new("weather", "urn:sunny"))),
            Manner::Fine
            | Manner::RefusingUpdates(_)
            | Manner::WithoutTransport
            | Manner::WithoutSctp
            | Manner::RefusingRelays(_)
            | Manner::RefusingConnects(_)
            | Manner::SilentRelays
            | Manner::WithoutRelayTransport
            | Manner::RefusingSctp => Some(iq_result(iq).with_child(self.modified(&request).to_element())),
        }
    }

    /// Ends the conferences that it was told to end, and answers.
    pub(crate) fn expire_now(&mut self) -> Vec<Element> {
        let expiring = std::mem::take(&mut self.expiring);
        let expire = |(id, iq): (String, Element)| {
            self.meetings.remove(&id);
            iq_result(&iq).with_child(ConferenceModified::default().to_element())
        };
        expiring.into_iter().map(expire).collect()
    }

    /// Does what was asked, as strictly as a bridge does.
    fn keep_books(&mut self, request: &ConferenceModify) -> Result<(), ColibriError> {
        self.was_refusing |= matches!(
            self.manner,
            Manner::Refusing(_)
                | Manner::RefusingUpdates(_)
                | Manner::RefusingRelays(_)
                | Manner::RefusingConnects(_)
                | Manner::SilentRelays
        );
        if self.was_refusing {
            return Ok(());
        }
        let id = request.meeting_id.to_string();
        if request.create && self.meetings.contains_key(&id) {
            let reason = Some(Reason::ConferenceAlreadyExists);
            return Err(ColibriError::new(Condition::Conflict, reason, "exists"));
        }
        if request.create {
            self.meetings.insert(id.clone(), Meeting::default());
        }
        let Some(meeting) = self.meetings.get_mut(&id) else {
            return Err(ColibriError::new(Condition::ItemNotFound, Some(Reason::ConferenceNotFound), "unknown"));
        };
        let done = meeting.modify(request, self.stats.relay_id.as_deref());
        if request.expire || meeting.is_empty() {
            self.meetings.remove(&id);
        }
        done
    }

    fn modified(&self, request: &ConferenceModify) -> ConferenceModified {
        let is_creation = request.endpoints.iter().any(|endpoint| endpoint.create);
        ConferenceModified {
            endpoints: request.endpoints.iter().map(|endpoint| self.modified_endpoint(endpoint)).collect(),
            relays: request.relays.iter().map(|relay| self.modified_relay(relay)).collect(),
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

    fn modified_relay(&self, relay: &RelayModify) -> RelayModified {
        let own = self.stats.relay_id.as_deref().unwrap_or_default();
        let has_transport = relay.create && !matches!(self.manner, Manner::WithoutRelayTransport);
        let sctp = relay.transport.as_ref().and_then(|transport| transport.sctp.as_ref());
        let transport = has_transport.then(|| TransportModified {
            ice: Some(transport(&format!("{own}-{}", relay.id))),
            sctp: sctp.map(|_| Sctp { role: None, port: Some(5000) }),
        });
        RelayModified { id: relay.id.clone(), expire: relay.expire, transport }
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

    /// The same of relays, with the endpoints behind them after a colon, and `~` for a transport that it is told.
    pub(crate) fn relay_story(&self) -> Vec<String> {
        let sign = |create, expire| {
            if create {
                "+"
            } else if expire {
                "-"
            } else {
                ""
            }
        };
        let of_relay = |relay: &RelayModify| {
            let behind: Vec<String> = relay
                .endpoints
                .iter()
                .map(|endpoint| format!("{}{}", sign(endpoint.create, endpoint.expire), endpoint.id))
                .collect();
            let told = relay.transport.as_ref().is_some_and(|transport| transport.ice.is_some());
            let rest = if behind.is_empty() { String::new() } else { format!(":{}", behind.join(",")) };
            format!("{}{}{}{rest}", sign(relay.create, relay.expire), relay.id, if told { "~" } else { "" })
        };
        self.requests.iter().flat_map(|request| request.relays.iter().map(of_relay)).collect()
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
        synthetic: false,
        sources: vec![Source { name: Some(id.parse().unwrap()), ..Source::new(Ssrc(ssrc)) }],
        groups: Vec::new(),
    };
    vec![source(MediaType::Audio, "jvb-a0", 3141592653), source(MediaType::Video, "jvb-v0", 2718281828)]
}
