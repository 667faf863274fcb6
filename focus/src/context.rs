//! What a conference needs of its surroundings while it handles an input.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use jitsi_protocol::conference_request::ConferenceResponse;
use model::{ConferenceId, EndpointId, Ssrc};
use rand::Rng;
use rand::rngs::StdRng;
use xmpp::jingle::Jingle;
use xmpp::{Element, Jid, StanzaError, iq_error, iq_result};

use crate::authentication::Authority;
use crate::bridge::BridgeSelector;
use crate::conference::Dial;
use crate::features::CapsCache;
use crate::focus::Output;
use crate::iq::PendingIqs;
use crate::jibri::JibriDetector;
use crate::jigasi::JigasiDetector;
use crate::metrics::Metrics;
use crate::pins::Pins;
use crate::settings::{Settings, VisitorNode};

/// What an IQ of the focus is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Something in a conference.
    Conference {
        room: Jid,
        /// Tells conferences apart that had the same room one after the other.
        instance: u64,
        purpose: ConferencePurpose,
    },
    /// Whether a bridge is well.
    HealthCheck { bridge: Jid },
}

/// What an IQ in a conference is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConferencePurpose {
    /// The configuration of a room for visitors.
    ConfigVisitorRoom { node: String },
    /// The component connects or disconnects nodes: nothing follows from the answer.
    ConnectNodes,
    /// The room's configuration form.
    ConfigForm,
    /// The room's configuration.
    ConfigSubmit { meeting_id: Option<String>, awaits_metadata: bool },
    /// A participant becomes owner.
    GrantOwner { endpoint: EndpointId },
    /// The features of a participant.
    Disco { endpoint: EndpointId },
    /// A new endpoint on a bridge. `attempt` tells the allocations of a participant apart.
    Allocate { endpoint: EndpointId, attempt: u64 },
    /// A change of an endpoint on a bridge.
    UpdateEndpoint { endpoint: EndpointId, attempt: u64 },
    /// New ICE credentials for an endpoint.
    IceRestart { endpoint: EndpointId, attempt: u64 },
    /// A link from a bridge to another one, in sessions of these ids.
    CreateRelay { at: Jid, session: String, to: Jid, to_session: String },
    /// A change of a link at a bridge, in a session of this id.
    UpdateRelay { at: Jid, session: String },
    /// What a bridge gives to transcribers and translators, in a session of this id.
    UpdateConnects { bridge: Jid, session: String },
    /// The end of an endpoint on a bridge: nothing follows from the answer.
    Expire { bridge: Jid },
    /// The end of the conference on a bridge: from then on it may begin there again.
    ExpireConference { bridge: Jid },
    /// The offer.
    SessionInitiate { endpoint: EndpointId, sid: String },
    /// A recorder is to begin.
    JibriStart { session: String, jibri: Jid },
    /// A recorder is to end: nothing follows from the answer.
    JibriStop { jibri: Jid },
    /// A gateway is to call somebody.
    Dial(Box<Dial>),
    /// News for a client, from whose answer nothing follows.
    Notify { endpoint: EndpointId, news: &'static str },
}

/// The parts of the focus that its conferences share.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) settings: &'a Settings,
    pub(crate) metrics: &'a Metrics,
    /// The focus's own full JID.
    pub(crate) focus_jid: &'a Jid,
    /// The same on visitor nodes with links of their own that are up.
    pub(crate) node_links: &'a BTreeMap<String, Jid>,
    pub(crate) selector: &'a mut BridgeSelector,
    pub(crate) jibris: &'a mut JibriDetector,
    pub(crate) sip_jibris: &'a mut JibriDetector,
    pub(crate) jigasis: &'a mut JigasiDetector,
    pub(crate) pins: &'a Pins,
    /// Conferences in breakout rooms, by main room.
    pub(crate) breakouts: &'a BTreeMap<Jid, BTreeSet<Jid>>,
    /// Bridges of whose endpoints one reported failing ICE, or wants another session.
    pub(crate) restart_reports: &'a mut Vec<Jid>,
    pub(crate) authority: &'a Authority,
    pub(crate) iqs: &'a mut PendingIqs<Purpose>,
    pub(crate) caps: &'a mut CapsCache,
    /// Meeting ids of all conferences.
    pub(crate) meetings: &'a mut BTreeSet<ConferenceId>,
    pub(crate) random: &'a mut StdRng,
    pub(crate) output: &'a mut VecDeque<Output>,
}

impl Context<'_> {
    pub(crate) fn send(&mut self, stanza: Element) {
        self.output.push_back(Output::Send(stanza));
    }

    /// Sends an IQ and waits for its answer.
    pub(crate) fn request(&mut self, to: &Jid, iq_type: &'static str, payload: Element, purpose: Purpose) {
        let stanza = self.iqs.request(to, iq_type, payload, purpose, self.now);
        self.send(stanza);
    }

    pub(crate) fn answer(&mut self, request: &Element, answer: Result<(), StanzaError>) {
        let answer = match answer {
            Ok(()) => iq_result(request),
            Err(error) => {
                self.metrics.refused.with_label_values(&[error.condition.as_str()]).inc();
                iq_error(request, &error)
            }
        };
        self.send(answer);
    }

    /// The focus's own address as clients of a node see it; `None` while it is out of reach.
    pub(crate) fn focus_at(&self, node: &VisitorNode) -> Option<&Jid> {
        node.focus_jid(Some(self.focus_jid), self.node_links)
    }

    /// What every client is told that asks for a conference. It is not ready yet.
    pub(crate) fn response(&self, room: &Jid) -> ConferenceResponse {
        let mut response = ConferenceResponse::new(room.clone());
        response.focus_jid = Some(self.focus_jid.to_bare());
        let mut say = |name: &str, value: bool| response.properties.insert(name.to_owned(), value.to_string());
        if self.settings.jigasi_brewery.is_some() {
            say("sipGatewayEnabled", true);
        }
        say("authentication", self.authority.is_on());
        if self.authority.is_on() {
            say("externalAuth", self.authority.is_external());
        }
        response
    }

    /// A random UUID (RFC 9562 §5.4).
    pub(crate) fn random_uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.random.random()).into_uuid().to_string()
    }

    pub(crate) fn random_meeting_id(&mut self) -> Option<ConferenceId> {
        self.random_uuid().parse().ok()
    }

    pub(crate) fn random_ssrc(&mut self) -> Ssrc {
        Ssrc(self.random.random())
    }

    /// A session id that no client has seen.
    pub(crate) fn random_sid(&mut self) -> String {
        format!("{:016x}", self.random.random::<u64>())
    }

    /// A message of the session with a client, from its initiator.
    pub(crate) fn jingle(&self, action: xmpp::jingle::Action, sid: &str) -> Jingle {
        self.metrics.jingle_sent.with_label_values(&[action.as_str()]).inc();
        let mut jingle = Jingle::new(action, sid);
        jingle.initiator = Some(self.focus_jid.to_string());
        jingle
    }
}
