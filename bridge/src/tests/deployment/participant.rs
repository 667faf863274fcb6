//! A participant: a member of a room that answers the focus, and a client whose media goes through its bridge.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use jitsi_protocol::bridge_channel::{BridgeMessage, ClientMessage, ReceiverVideoConstraints, VideoConstraints};
use jitsi_protocol::bridge_session::BridgeSession;
use model::{EndpointId, MediaType, Ssrc};
use rtp::RtpView;
use rtp::rtcp::{Compound, RtcpPacket};
use xmpp::jingle::{Action, Content, Creator, GroupSemantics, Jingle, RtpDescription, RtpMedia, Source, SsrcGroup};
use xmpp::muc::{Affiliation, Role};
use xmpp::{Element, iq_result, ns};

use super::super::camera::{Camera, Microphone, RTX_OFFSET, origin};
use super::super::client::write_packet;
use super::network::participant_address;
use crate::transport::test_peer::TestPeer;

/// SSRCs of participant `n` begin at `n + 1` times this.
const SSRCS: u32 = 1000;
/// Packets are sent this often, of audio one and of video one frame.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// A client that hears nothing of its bridge for so long says that ICE failed.
const ICE_FAILED: Duration = Duration::from_secs(20);

const FEATURES: [&str; 6] = [
    "urn:xmpp:jingle:apps:rtp:audio",
    "urn:xmpp:jingle:apps:rtp:video",
    "urn:xmpp:jingle:transports:dtls-sctp:1",
    "urn:ietf:rfc:4588",
    "http://jitsi.org/json-encoded-sources",
    "http://jitsi.org/source-name",
];
const SSRC_REWRITING: &str = "http://jitsi.org/ssrc-rewriting-1";

/// Who sends what comes under an SSRC.
pub(super) const fn sender_of(ssrc: u32) -> usize {
    (ssrc / SSRCS) as usize - 1
}

/// What it wants to see.
#[derive(Clone, Debug)]
pub(super) struct Wishes {
    /// Negative for all.
    pub(super) last_n: i32,
    /// Lines of sources that are not named; -1 for no limit.
    pub(super) others: i32,
    pub(super) by_source: BTreeMap<String, i32>,
    pub(super) selected: Vec<String>,
}

impl Wishes {
    /// What a client gets that has not said anything.
    const SILENT: Self = Self { last_n: -1, others: -1, by_source: BTreeMap::new(), selected: Vec::new() };

    pub(super) fn height(&self, source: &str) -> u32 {
        u32::try_from(self.by_source.get(source).copied().unwrap_or(self.others)).unwrap_or(u32::MAX)
    }
}

/// A participant.
pub(super) struct Participant {
    pub(super) number: usize,
    pub(super) id: EndpointId,
    pub(super) room: String,
    region: &'static str,
    /// Takes all sources under SSRCs of its bridge.
    pub(super) is_rewriting: bool,
    /// Sends no layer that nobody wants.
    pub(super) is_obedient: bool,
    pub(super) microphone: Microphone,
    /// The camera, and maybe a screen.
    pub(super) cameras: Vec<Camera>,
    pub(super) wishes: Wishes,
    pub(super) session: Option<Session>,
    sessions: u16,
}

/// Its session, as the focus offered it.
pub(super) struct Session {
    sid: String,
    bridge_session: Option<String>,
    pub(super) peer: TestPeer,
    pub(super) is_accepted: bool,
    read_texts: usize,
    has_said_wishes: bool,
    heard_at: Instant,
    pub(super) next_tick: Option<Instant>,
    /// What its bridge says is forwarded to it.
    pub(super) forwarded: Option<BTreeSet<String>>,
    /// Since when.
    pub(super) chosen_at: Instant,
    /// What its bridge says is wanted of its sources.
    pub(super) allowed: BTreeMap<String, i32>,
    /// What came, by where it was sent first: stream and number.
    pub(super) received: BTreeSet<(u32, u64)>,
}

impl Participant {
    pub(super) fn new(number: usize, room: &str, region: &'static str, heights: &[u16]) -> Self {
        let base = (number as u32 + 1) * SSRCS;
        let id = format!("{:08x}", 0xa000_0000_u32 + number as u32);
        let mut camera = Camera::new(format!("{id}-v0"), base + 100, heights);
        camera.layers.iter_mut().for_each(|layer| layer.packets = 1);
        Self {
            number,
            id: id.parse().unwrap(),
            room: room.to_owned(),
            region,
            is_rewriting: false,
            is_obedient: false,
            microphone: Microphone { ssrc: base, is_on: true, level: 100, next_seq: u64::from(base / 7 % 60_000) },
            cameras: vec![camera],
            wishes: Wishes::SILENT,
            session: None,
            sessions: 0,
        }
    }

    /// A screen beside the camera.
    pub(super) fn share_screen(&mut self) {
        let mut screen = Camera::new(format!("{}-v1", self.id), self.microphone.ssrc + 200, &[1080]);
        screen.layers.iter_mut().for_each(|layer| layer.packets = 1);
        self.cameras.push(screen);
    }

    pub(super) fn occupant(&self) -> String {
        format!("{}/{}", self.room, self.id)
    }

    // What it says in its room.

    pub(super) fn presence(&self) -> Element {
        let features = if self.is_rewriting { "rewriting" } else { "plain" };
        let caps =
            Element::new("c", ns::CAPS).with_attr("hash", "sha-1").with_attr("node", "n").with_attr("ver", features);
        super::rooms::presence_of(
            &self.occupant(),
            Affiliation::None,
            Role::Participant,
            &format!("{}@meet.jitsi/r", self.id),
        )
        .with_child(caps)
        .with_child(Element::new("jitsi_participant_region", ns::CLIENT).with_text(self.region))
    }

    /// Takes a request of the focus; answers its answer, and whether that was an offer.
    pub(super) fn handle_iq(&mut self, iq: &Element, now: Instant) -> (Element, Option<String>) {
        let payload = iq.children().next().unwrap();
        match payload.ns() {
            ns::DISCO_INFO => {
                let all = FEATURES.into_iter().chain(self.is_rewriting.then_some(SSRC_REWRITING));
                let feature = |var| Element::new("feature", ns::DISCO_INFO).with_attr("var", var);
                (iq_result(iq).with_child(Element::new("query", ns::DISCO_INFO).with_children(all.map(feature))), None)
            }
            ns::JINGLE => {
                let jingle = Jingle::from_element(payload).unwrap();
                match jingle.action {
                    Action::SessionInitiate => self.begin(&jingle, now),
                    Action::SessionTerminate => {
                        // One may cross with an offer that replaces it.
                        self.session.take_if(|session| session.sid == jingle.sid);
                    }
                    Action::SourceAdd | Action::SourceRemove => {}
                    Action::TransportInfo
                    | Action::ContentModify
                    | Action::SessionAccept
                    | Action::SessionInfo
                    | Action::TransportAccept
                    | Action::TransportReject
                    | Action::TransportReplace => panic!("a focus does not say {}", jingle.action.as_str()),
                }
                (iq_result(iq), (jingle.action == Action::SessionInitiate).then_some(jingle.sid))
            }
            other => panic!("the focus asks {other}"),
        }
    }

    fn begin(&mut self, offer: &Jingle, now: Instant) {
        let ice = offer.contents.iter().find_map(|content| content.transport.clone()).unwrap();
        self.sessions += 1;
        let mut peer = TestPeer::new(participant_address(self.number, self.sessions), self.number as u8, now);
        let candidate = ice.candidates.iter().find(|candidate| candidate.protocol == "udp").unwrap();
        peer.bridge = SocketAddr::new(candidate.ip.parse().unwrap(), candidate.port);
        peer.take_description(&ice, now);
        self.session = Some(Session {
            sid: offer.sid.clone(),
            bridge_session: BridgeSession::of_jingle(offer).unwrap().and_then(|session| session.id),
            peer,
            is_accepted: false,
            read_texts: 0,
            has_said_wishes: false,
            heard_at: now,
            next_tick: None,
            forwarded: None,
            chosen_at: now,
            allowed: BTreeMap::new(),
            received: BTreeSet::new(),
        });
    }

    /// Accepts the offer of this name, unless it is over by now.
    pub(super) fn accept(&mut self, sid: &str, now: Instant) -> Option<Jingle> {
        let mut contents = self.contents(0..self.cameras.len(), true);
        let session = self.session.as_mut().filter(|session| session.sid == sid && !session.is_accepted)?;
        session.is_accepted = true;
        session.heard_at = now;
        let mut accept = Jingle::new(Action::SessionAccept, sid);
        let description = session.peer.description();
        for content in &mut contents {
            content.transport = Some(description.clone());
        }
        accept.contents = contents;
        Some(accept)
    }

    /// A message of its session, if it has one that it accepted.
    pub(super) fn message(&self, action: Action) -> Option<Jingle> {
        let session = self.session.as_ref().filter(|session| session.is_accepted)?;
        Some(Jingle::new(action, session.sid.clone()))
    }

    /// It wants another session: this one is over.
    pub(super) fn restart(&mut self) -> Option<Jingle> {
        let mut message = self.message(Action::SessionTerminate)?;
        let id = self.session.take()?.bridge_session;
        message.extensions.push(BridgeSession { id, restart: true, ..BridgeSession::default() }.to_element());
        Some(message)
    }

    /// What it sends of some of its cameras, with or without its microphone.
    pub(super) fn contents(&self, cameras: std::ops::Range<usize>, with_audio: bool) -> Vec<Content> {
        let content = |media_type: MediaType, sources, groups| {
            let mut description = RtpDescription::new(RtpMedia::Rtp(media_type));
            (description.sources, description.groups) = (sources, groups);
            let creator = Creator::Responder;
            Content { creator, description: Some(description), ..Content::new(media_type.as_str()) }
        };
        let source = |name: &str, ssrc| Source {
            name: Some(name.parse().unwrap()),
            msid: Some(format!("{name} track")),
            ..Source::new(Ssrc(ssrc))
        };
        let mut contents = Vec::new();
        if with_audio {
            let audio = source(&format!("{}-a0", self.id), self.microphone.ssrc);
            contents.push(content(MediaType::Audio, vec![audio], Vec::new()));
        }
        let (mut sources, mut groups) = (Vec::new(), Vec::new());
        for camera in self.cameras.get(cameras).unwrap_or_default() {
            let primaries: Vec<Ssrc> = camera.layers.iter().map(|layer| Ssrc(layer.ssrc)).collect();
            for ssrc in &primaries {
                let repair = Ssrc(ssrc.0 + RTX_OFFSET);
                sources.extend([source(&camera.name, ssrc.0), source(&camera.name, repair.0)]);
                groups.push(SsrcGroup { semantics: GroupSemantics::Fid, ssrcs: vec![*ssrc, repair] });
            }
            if primaries.len() > 1 {
                groups.insert(0, SsrcGroup { semantics: GroupSemantics::Sim, ssrcs: primaries });
            }
        }
        contents.push(content(MediaType::Video, sources, groups));
        contents
    }

    // Its media.

    /// Tells its bridge what it wants, as soon as it can.
    pub(super) fn say_wishes(&mut self) {
        if let Some(session) = &mut self.session {
            session.has_said_wishes = false;
        }
    }

    /// Takes what came; answers what to send, when to be woken, and what to say to the focus if the bridge is silent.
    /// `room_of` says where everybody is.
    pub(super) fn drain(&mut self, room_of: &[String], now: Instant) -> (Vec<Vec<u8>>, Instant, Option<Jingle>) {
        let Self { session: Some(session), wishes, cameras, number, room, .. } = self else {
            return (Vec::new(), now + Duration::from_secs(3600), None);
        };
        let mut deadline = session.peer.drain(now);
        if !session.has_said_wishes && session.peer.is_channel_open() {
            session.has_said_wishes = true;
            let text = wishes.message().to_json();
            session.peer.channel_mut().send_text(&text).unwrap();
            deadline = session.peer.drain(now);
        }
        session.read_texts(now);
        for compound in std::mem::take(&mut session.peer.rtcp) {
            for packet in Compound::new(&compound) {
                if let RtcpPacket::PictureLossIndication(pli) = packet.unwrap() {
                    let layer = cameras.iter_mut().find_map(|camera| camera.layer_mut(pli.media_ssrc.0));
                    // Of a screen that is shown no longer.
                    let Some(layer) = layer else { continue };
                    layer.wants_key_frame = true;
                }
            }
        }
        for (_, packet) in std::mem::take(&mut session.peer.rtp) {
            let view = RtpView::parse(&packet).unwrap();
            let origin = origin(view.payload());
            let sender = sender_of(origin.0);
            assert_ne!(sender, *number, "{number} gets what it sent itself: {origin:?}");
            assert_eq!(room_of[sender], *room, "{number} gets something of {sender}, who is elsewhere: {origin:?}");
            assert!(session.received.insert(origin), "{number} gets {origin:?} twice");
        }
        let mut failure = None;
        if session.is_accepted {
            let fails_at = session.heard_at + ICE_FAILED;
            if fails_at <= now {
                session.heard_at = now;
                let mut message = Jingle::new(Action::SessionInfo, session.sid.clone());
                message.extensions.push(Element::new("ice-state", ns::FOCUS).with_text("failed"));
                let id = session.bridge_session.clone();
                message.extensions.push(BridgeSession { id, ..BridgeSession::default() }.to_element());
                failure = Some(message);
            }
            deadline = deadline.min(session.heard_at + ICE_FAILED);
        }
        let outgoing = std::mem::take(&mut session.peer.outgoing);
        (outgoing, deadline.min(session.next_tick.unwrap_or(deadline)), failure)
    }

    pub(super) fn handle_datagram(&mut self, to: SocketAddr, datagram: Vec<u8>, now: Instant) {
        // What was under way to an earlier session finds its port closed.
        if let Some(session) = self.session.as_mut().filter(|session| session.peer.address == to) {
            session.heard_at = now;
            session.peer.handle_datagram(now, datagram);
        }
    }

    /// Does what is due. Answers the packets that were sent, as stream and number.
    pub(super) fn handle_timeout(&mut self, ms: u64, now: Instant) -> Vec<(u32, u64)> {
        let Some(session) = &mut self.session else { return Vec::new() };
        session.peer.handle_timeout(now);
        let Some(tick) = session.next_tick.filter(|at| *at <= now) else { return Vec::new() };
        session.next_tick = Some(tick + TICK);
        if !session.peer.has_keys() {
            return Vec::new();
        }
        if self.is_obedient {
            for camera in &mut self.cameras {
                // Before it was told anything it sends everything.
                let allowed = session.allowed.get(&camera.name).copied().unwrap_or(-1);
                let most = u32::try_from(allowed).unwrap_or(u32::MAX);
                for (at, layer) in camera.layers.iter_mut().enumerate() {
                    layer.is_on = most > 0 && (at == 0 || u32::from(layer.height) <= most);
                }
            }
        }
        let mut packets: Vec<_> = self.microphone.next_packet(ms).into_iter().collect();
        packets.extend(self.cameras.iter_mut().flat_map(|camera| camera.next_frame(ms)));
        for packet in &packets {
            let protected = session.peer.protect_rtp(&write_packet(packet, None, None), packet.seq);
            session.peer.outgoing.push(protected);
        }
        packets.iter().map(|packet| (packet.ssrc, packet.seq)).collect()
    }
}

impl Session {
    pub(super) fn sid(&self) -> &str {
        &self.sid
    }

    fn read_texts(&mut self, now: Instant) {
        for text in &self.peer.texts[self.read_texts..] {
            match BridgeMessage::parse(text).unwrap() {
                BridgeMessage::ForwardedSources(message) => {
                    let names = message.forwarded_sources.iter().map(|name| name.as_str().to_owned());
                    let names = names.collect();
                    if self.forwarded.as_ref() != Some(&names) {
                        (self.forwarded, self.chosen_at) = (Some(names), now);
                    }
                }
                BridgeMessage::SenderSourceConstraints(message) => {
                    self.allowed.insert(message.source_name.as_str().to_owned(), message.max_height);
                }
                BridgeMessage::ServerHello(_)
                | BridgeMessage::ConnectionStats(_)
                | BridgeMessage::DominantSpeakerEndpointChangeEvent(_)
                | BridgeMessage::VideoSourcesMap(_)
                | BridgeMessage::AudioSourcesMap(_)
                | BridgeMessage::EndpointMessage(_)
                | BridgeMessage::EndpointStats(_)
                | BridgeMessage::EndpointConnectivityStatusChangeEvent(_)
                | BridgeMessage::SyntheticSourceSendingChangeEvent(_) => {}
            }
        }
        self.read_texts = self.peer.texts.len();
    }
}

impl Wishes {
    fn message(&self) -> ClientMessage {
        let height = |max_height: i32| VideoConstraints { max_height, max_frame_rate: None };
        ClientMessage::ReceiverVideoConstraints(ReceiverVideoConstraints {
            last_n: Some(self.last_n),
            selected_sources: Some(self.selected.iter().map(|name| name.parse().unwrap()).collect()),
            default_constraints: Some(height(self.others)),
            constraints: Some(
                self.by_source.iter().map(|(name, most)| (name.parse().unwrap(), height(*most))).collect(),
            ),
            ..ReceiverVideoConstraints::default()
        })
    }
}
