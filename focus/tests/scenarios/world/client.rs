//! A client that acknowledges what it is told and remembers it.

use std::collections::BTreeSet;

use jitsi_protocol::source_json::CompactSources;
use model::{MediaType, Ssrc};
use xmpp::jingle::{
    Action, Content, Creator, DtlsSetup, Fingerprint, GroupSemantics, IceTransport, Jingle, RtpDescription, RtpMedia,
    Source, SsrcGroup,
};
use xmpp::{Element, StanzaError, iq_error, iq_result, ns};

use super::{ROOM, presence_of};

/// What a client lists that takes sources from the focus.
pub(crate) const ALL_FEATURES: [&str; 8] = [
    "urn:xmpp:jingle:apps:rtp:audio",
    "urn:xmpp:jingle:apps:rtp:video",
    "urn:xmpp:jingle:transports:dtls-sctp:1",
    "urn:ietf:rfc:4588",
    "http://jitsi.org/tcc",
    "http://jitsi.org/remb",
    "http://jitsi.org/json-encoded-sources",
    "http://jitsi.org/source-name",
];

/// What the stock web client lists besides.
pub(crate) const SSRC_REWRITING: &str = "http://jitsi.org/ssrc-rewriting-1";

pub(crate) struct FakeClient {
    pub(crate) nick: String,
    pub(crate) room: String,
    pub(crate) real_jid: String,
    pub(crate) affiliation: &'static str,
    pub(crate) role: &'static str,
    /// `None` for a client that does not answer disco.
    pub(crate) features: Option<Vec<&'static str>>,
    pub(crate) caps: Option<(String, String)>,
    pub(crate) refuses_offers: Option<StanzaError>,
    pub(crate) is_silent: bool,
    /// What it was told in its sessions, oldest first.
    pub(crate) told: Vec<Jingle>,
    /// Sources of others that it knows from its current session, as `owner:ssrc`.
    pub(crate) known: BTreeSet<String>,
    /// The SSRCs that it signaled in its current session.
    pub(crate) sent: BTreeSet<u32>,
    pub(crate) mutes: Vec<Element>,
    pub(crate) disco_requests: usize,
    /// What it says that it is, as a service.
    pub(crate) services: Vec<&'static str>,
    /// Where it says that it is.
    pub(crate) region: Option<String>,
    /// What it says that it sends.
    pub(crate) source_info: Option<String>,
    /// The codecs that it says it can do with.
    pub(crate) codecs: Option<&'static str>,
    /// The first SSRC of its microphone; the rest follows.
    pub(crate) first_ssrc: u32,
}

impl FakeClient {
    pub(crate) fn new(nick: &str) -> Self {
        // Different for different nicks, equal for equal ones.
        let first_ssrc = nick.bytes().fold(1000, |hash: u32, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
        Self {
            nick: nick.to_owned(),
            room: ROOM.to_owned(),
            real_jid: format!("{nick}-real@meet.jitsi/r"),
            affiliation: "none",
            role: "participant",
            features: Some(ALL_FEATURES.to_vec()),
            caps: None,
            refuses_offers: None,
            is_silent: false,
            told: Vec::new(),
            known: BTreeSet::new(),
            sent: BTreeSet::new(),
            mutes: Vec::new(),
            disco_requests: 0,
            services: Vec::new(),
            region: None,
            source_info: None,
            codecs: None,
            first_ssrc: first_ssrc.max(1) % 1_000_000_000 * 4 + 1,
        }
    }

    pub(crate) fn with_features(nick: &str, features: &[&'static str]) -> Self {
        Self { features: Some(features.to_vec()), ..Self::new(nick) }
    }

    /// A client in the room of a node.
    pub(crate) fn visitor(nick: &str, room: &str) -> Self {
        Self { room: room.to_owned(), role: "visitor", ..Self::new(nick) }
    }

    /// A client that takes sources from its bridge.
    pub(crate) fn rewriting(nick: &str) -> Self {
        let features = ALL_FEATURES.into_iter().chain([SSRC_REWRITING]).collect();
        Self { features: Some(features), ..Self::new(nick) }
    }

    pub(crate) fn occupant(&self) -> String {
        format!("{}/{}", self.room, self.nick)
    }

    pub(crate) fn presence(&self) -> Element {
        let caps = self.caps.as_ref().map(|(hash, ver)| {
            Element::new("c", ns::CAPS)
                .with_attr("hash", hash.as_str())
                .with_attr("node", "n")
                .with_attr("ver", ver.as_str())
        });
        let feature = |var: &&str| Element::new("feature", ns::CLIENT).with_attr("var", *var);
        let features = (!self.services.is_empty())
            .then(|| Element::new("features", ns::CLIENT).with_children(self.services.iter().map(feature)));
        presence_of(&self.occupant(), self.affiliation, self.role, &self.real_jid)
            .with_child(Element::new("stats-id", ns::CLIENT).with_text(format!("{}-stats", self.nick)))
            .with_children(caps)
            .with_children(
                self.region
                    .as_ref()
                    .map(|region| Element::new("jitsi_participant_region", ns::CLIENT).with_text(region)),
            )
            .with_children(self.source_info.as_ref().map(|info| Element::new("SourceInfo", ns::CLIENT).with_text(info)))
            .with_children(features)
            .with_children(
                self.codecs.map(|codecs| Element::new("jitsi_participant_codecList", ns::CLIENT).with_text(codecs)),
            )
    }

    pub(crate) fn on_iq(&mut self, iq: &Element) -> Option<Element> {
        let payload = iq.children().next().unwrap();
        match payload.ns() {
            ns::DISCO_INFO => {
                self.disco_requests += 1;
                let features = self.features.as_ref()?;
                let feature = |var: &&str| Element::new("feature", ns::DISCO_INFO).with_attr("var", *var);
                let query = Element::new("query", ns::DISCO_INFO).with_children(features.iter().map(feature));
                Some(iq_result(iq).with_child(query))
            }
            ns::JINGLE => {
                let jingle = Jingle::from_element(payload).unwrap();
                let refusal = self.refuses_offers.as_ref().filter(|_| jingle.action == Action::SessionInitiate);
                let answer = refusal.map_or_else(|| iq_result(iq), |error| iq_error(iq, error));
                self.learn(&jingle);
                self.told.push(jingle);
                (!self.is_silent).then_some(answer)
            }
            // Clients never answer a mute.
            _ => {
                self.mutes.push(payload.clone());
                None
            }
        }
    }

    /// Keeps the books of sources, as strictly as a browser does.
    fn learn(&mut self, jingle: &Jingle) {
        let sources = Self::sources_in(jingle);
        match jingle.action {
            Action::SessionInitiate => {
                self.sent.clear();
                self.known = sources.into_iter().filter(|source| !source.starts_with("jvb:")).collect();
            }
            Action::SourceAdd => {
                for source in sources {
                    assert!(self.known.insert(source.clone()), "{}: {source} is added twice", self.nick);
                }
            }
            Action::SourceRemove => {
                for source in sources {
                    assert!(self.known.remove(&source), "{}: {source} is removed but not known", self.nick);
                }
            }
            Action::SessionTerminate => {
                self.known.clear();
                self.sent.clear();
            }
            Action::TransportInfo => {}
            Action::ContentModify
            | Action::SessionAccept
            | Action::SessionInfo
            | Action::TransportAccept
            | Action::TransportReject
            | Action::TransportReplace => panic!("a focus does not say {}", jingle.action.as_str()),
        }
        assert!(!self.known.iter().any(|source| source.starts_with(&self.nick)), "told of its own sources");
    }

    /// Another client left the room.
    pub(crate) fn on_left(&mut self, nick: &str) {
        self.known.retain(|source| !source.starts_with(nick));
    }

    /// The actions of what it was told since the last call.
    pub(crate) fn take_actions(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.told).iter().map(|jingle| jingle.action.as_str()).collect()
    }

    pub(crate) fn offer(&self) -> &Jingle {
        let offer = self.told.iter().rev().find(|jingle| jingle.action == Action::SessionInitiate);
        offer.unwrap_or_else(|| panic!("{} has no offer", self.nick))
    }

    pub(crate) fn has_offer(&self) -> bool {
        self.told.iter().any(|jingle| jingle.action == Action::SessionInitiate)
    }

    pub(crate) fn bridge_session(&self) -> String {
        self.offer().extension("bridge-session", ns::FOCUS).unwrap().attr("id").unwrap().to_owned()
    }

    pub(crate) fn audio_ssrc(&self) -> u32 {
        self.first_ssrc
    }

    pub(crate) fn video_ssrcs(&self) -> [u32; 2] {
        [self.first_ssrc + 1, self.first_ssrc + 2]
    }

    pub(crate) fn session_accept(&self) -> Jingle {
        let mut accept = Jingle::new(Action::SessionAccept, self.offer().sid.clone());
        accept.contents = self.contents();
        for content in &mut accept.contents {
            content.transport = Some(IceTransport {
                ufrag: Some("cufrag".to_owned()),
                pwd: Some("cpwd".to_owned()),
                fingerprints: vec![Fingerprint {
                    hash: "sha-256".to_owned(),
                    value: "11:22".to_owned(),
                    setup: Some(DtlsSetup::Active),
                }],
                ..IceTransport::default()
            });
        }
        accept
    }

    /// A microphone, and a camera with retransmissions.
    pub(crate) fn contents(&self) -> Vec<Content> {
        let [video, rtx] = self.video_ssrcs();
        let fid = SsrcGroup { semantics: GroupSemantics::Fid, ssrcs: vec![Ssrc(video), Ssrc(rtx)] };
        vec![
            self.content(MediaType::Audio, "a0", &[self.audio_ssrc()], vec![]),
            self.content(MediaType::Video, "v0", &[video, rtx], vec![fid]),
        ]
    }

    pub(crate) fn content(&self, media_type: MediaType, name: &str, ssrcs: &[u32], groups: Vec<SsrcGroup>) -> Content {
        let name = format!("{}-{name}", self.nick);
        let mut description = RtpDescription::new(RtpMedia::Rtp(media_type));
        description.sources = ssrcs
            .iter()
            .map(|&ssrc| Source {
                name: Some(name.parse().unwrap()),
                msid: Some(format!("{name} track")),
                ..Source::new(Ssrc(ssrc))
            })
            .collect();
        description.groups = groups;
        Content { creator: Creator::Responder, description: Some(description), ..Content::new(media_type.as_str()) }
    }

    pub(crate) fn message(&self, action: Action) -> Jingle {
        Jingle::new(action, self.offer().sid.clone())
    }

    /// SSRCs by owner that a message lists, in whichever form, as `owner:ssrc`.
    pub(crate) fn sources_in(jingle: &Jingle) -> BTreeSet<String> {
        let mut sources = BTreeSet::new();
        for description in jingle.contents.iter().filter_map(|content| content.description.as_ref()) {
            for source in &description.sources {
                sources.insert(format!("{}:{}", source.owner.as_deref().unwrap_or("?"), source.ssrc));
            }
        }
        if let Some(message) = jingle.extension("json-message", ns::JITMEET) {
            for (owner, lists) in CompactSources::from_json(&message.text()).unwrap().0 {
                for source in lists.audio.iter().chain(&lists.video) {
                    sources.insert(format!("{owner}:{}", source.ssrc));
                }
            }
        }
        sources
    }
}
