//! A world around the focus made of stanzas: a MUC service, bridges and clients that behave, until a test says
//! otherwise. Time is virtual.

mod books;
mod bridge;
mod client;
mod service;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant, SystemTime};

pub(crate) use bridge::{FakeBridge, Manner, transport as bridge_transport};
pub(crate) use client::{ALL_FEATURES, FakeClient, SSRC_REWRITING};

pub(crate) use service::{FakeService, ServiceManner};

use focus::{AdminError, AdminRequest, Focus, HttpRequestId, Input, Output, Settings};
use jitsi_protocol::bridge_stats::BridgeStats;
use jitsi_protocol::conference_request::{ConferenceRequest, ConferenceResponse};
use serde_json::Value;
use xmpp::jingle::Jingle;
use xmpp::{Element, Jid, StanzaError, iq_error, iq_result, ns};

pub(crate) const ROOM: &str = "demo@muc.meet.jitsi";
/// Where the visitors of [`ROOM`] are on the node `v1`.
pub(crate) const ROOM_V1: &str = "demo@muc.v1.meet.jitsi";
/// A second brewery, where settings have it.
pub(crate) const BREWERY_2: &str = "jvbbrewery2@internal-muc.meet.jitsi";
pub(crate) const BREWERY: &str = "jvbbrewery@internal-muc.meet.jitsi";
const FOCUS_JID: &str = "focus@auth.meet.jitsi/focus";
const REQUESTER: &str = "focus.meet.jitsi/u1@meet.jitsi/r1";

/// How the MUC service treats the focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoomManner {
    Welcoming,
    /// Answers the join with an error.
    Refusing,
    /// Lets the focus in without making it owner.
    WithoutRights,
    /// Says nothing.
    Silent,
    /// Lets the focus in but answers no IQ.
    WithoutConfiguration,
    /// Lets the focus in and refuses all IQs.
    RefusingConfiguration,
}

pub(crate) struct World {
    pub(crate) focus: Focus,
    pub(crate) now: Instant,
    pub(crate) room_manner: RoomManner,
    pub(crate) meeting_id: Option<String>,
    /// Whose breakout room every room is that is configured from now on.
    pub(crate) main_room: Option<String>,
    /// Whether the room says something before anybody is let in.
    pub(crate) presets: bool,
    pub(crate) clients: BTreeMap<String, FakeClient>,
    pub(crate) bridges: BTreeMap<String, FakeBridge>,
    /// Recorders and gateways by occupant JID.
    pub(crate) services: BTreeMap<String, FakeService>,
    /// How rooms treat the focus that do otherwise than all the others.
    pub(crate) manners: BTreeMap<String, RoomManner>,
    /// Nodes with links of their own that are up.
    pub(crate) node_links: BTreeSet<String>,
    /// Everything that the focus sent, oldest first.
    pub(crate) log: Vec<Element>,
    pub(crate) http: Vec<(HttpRequestId, Result<ConferenceResponse, StanzaError>)>,
    /// Who was made owner, by bare real JID.
    pub(crate) owners: Vec<String>,
    /// Whether a grant shows in the presence of the member.
    pub(crate) grants_show: bool,
    /// Whether so much happens that stanzas are passed on as they are, and only answers are kept.
    pub(crate) is_large: bool,
    to_focus: VecDeque<Element>,
    last_id: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_settings(|_| {})
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
    pub(crate) fn with_settings(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::new("meet.jitsi").unwrap();
        // Checks of bridges would fill the log; their tests turn them on.
        settings.timers.health_check = None;
        change(&mut settings);
        let mut world = Self {
            focus: Focus::new(settings, [7; 32]).unwrap(),
            now: Instant::now(),
            room_manner: RoomManner::Welcoming,
            meeting_id: None,
            main_room: None,
            presets: false,
            clients: BTreeMap::new(),
            bridges: BTreeMap::new(),
            services: BTreeMap::new(),
            manners: BTreeMap::new(),
            node_links: BTreeSet::new(),
            log: Vec::new(),
            http: Vec::new(),
            owners: Vec::new(),
            grants_show: true,
            is_large: false,
            to_focus: VecDeque::new(),
            last_id: 0,
        };
        world.link_up();
        world
    }

    /// A world with one bridge in which `nicks` are in a requested room, and have accepted their sessions.
    pub(crate) fn in_call(nicks: &[&str]) -> Self {
        let mut world = Self::new();
        world.add_bridge("jvb-1");
        world.request();
        for nick in nicks {
            world.join(nick);
        }
        for nick in nicks {
            world.accept(nick).unwrap();
        }
        world.log.clear();
        world
    }

    pub(crate) fn link_up(&mut self) {
        self.input(Input::LinkUp { jid: FOCUS_JID.parse().unwrap() });
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.focus.handle_input(input, self.now);
        self.pump();
    }

    /// An operator asks something.
    pub(crate) fn admin(&mut self, request: &AdminRequest) -> Result<Value, AdminError> {
        let answer = self.focus.handle_admin(request, self.now, SystemTime::UNIX_EPOCH);
        self.pump();
        answer
    }

    /// Delivers stanzas until everybody is content.
    fn pump(&mut self) {
        loop {
            match self.focus.poll_output() {
                Output::Send(stanza) if self.is_large => {
                    self.on_sent(&stanza);
                    if matches!(stanza.attr("type"), Some("result" | "error")) {
                        self.log.push(stanza);
                    }
                }
                Output::Send(stanza) => {
                    assert_eq!(self.node_of(stanza.attr("to")), None, "{stanza} belongs to a node");
                    self.log(&stanza);
                }
                Output::SendToNode { node, stanza } => {
                    assert!(self.node_links.contains(&node), "{stanza} for {node}, which is down");
                    let to = self.node_of(stanza.attr("to"));
                    assert!(to.is_none_or(|to| to == node), "{stanza} for {node}");
                    self.log(&stanza);
                }
                Output::HttpResponse { id, response } => self.http.push((id, response)),
                Output::Timeout(_) => match self.to_focus.pop_front() {
                    Some(stanza) => {
                        let node = self.node_of(stanza.attr("from"));
                        let input = match node {
                            Some(node) => Input::NodeStanza { node, stanza },
                            None => Input::Stanza(stanza),
                        };
                        self.focus.handle_input(input, self.now);
                    }
                    None => return,
                },
            }
        }
    }

    fn log(&mut self, stanza: &Element) {
        // What cannot be read again would never reach anybody.
        let stanza: Element = stanza.to_string().parse().unwrap();
        self.log.push(stanza.clone());
        self.on_sent(&stanza);
    }

    /// The node with a link of its own to which an address belongs.
    fn node_of(&self, address: Option<&str>) -> Option<String> {
        let domain = address?.parse::<Jid>().ok()?.domain().to_owned();
        let is_below = |node: &&String| domain.ends_with(&format!("{node}.meet.jitsi"));
        self.node_links.iter().find(is_below).cloned()
    }

    /// The next time that the focus wants to be woken.
    pub(crate) fn deadline(&mut self) -> Option<Instant> {
        match self.focus.poll_output() {
            Output::Timeout(at) => at,
            Output::Send(_) | Output::SendToNode { .. } | Output::HttpResponse { .. } => panic!("outputs left behind"),
        }
    }

    /// Lets time pass, waking the focus when it wants to be.
    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        let mut wakes = 0;
        while let Some(at) = self.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Timeout);
            wakes += 1;
            assert!(wakes < 10_000, "the focus spins");
        }
        self.now = end;
    }

    pub(crate) fn seconds(&mut self, seconds: u64) {
        self.advance(Duration::from_secs(seconds));
    }

    fn on_sent(&mut self, stanza: &Element) {
        let Some(to) = stanza.attr("to").map(|to| to.parse::<Jid>().unwrap()) else { return };
        let is_request = matches!(stanza.attr("type"), Some("get" | "set"));
        match (stanza.name(), to.bare_str()) {
            ("presence", BREWERY | BREWERY_2) => self.on_brewery_presence(&to, stanza),
            ("presence", _) => self.on_room_presence(&to, stanza),
            ("iq", BREWERY | BREWERY_2) if is_request => {
                let nick = to.resource().unwrap().to_owned();
                if let Some(bridge) = self.bridges.get_mut(&nick) {
                    self.to_focus.extend(bridge.on_iq(stanza));
                }
            }
            ("iq", _) if is_request && self.services.contains_key(to.as_str()) => {
                let service = self.services.get_mut(to.as_str());
                self.to_focus.extend(service.and_then(|service| service.on_iq(stanza)));
            }
            ("iq", _) if is_request && to.is_bare() => self.on_room_iq(stanza),
            ("iq", _) if is_request => {
                let nick = to.resource().unwrap().to_owned();
                match self.clients.get_mut(&nick) {
                    Some(client) => self.to_focus.extend(client.on_iq(stanza)),
                    None => self.to_focus.push_back(iq_error(stanza, &StanzaError::new(xmpp::Condition::ItemNotFound))),
                }
            }
            _ => {}
        }
    }

    fn on_brewery_presence(&mut self, to: &Jid, presence: &Element) {
        if presence.attr("type").is_none() {
            self.to_focus.push_back(presence_of(to.as_str(), "member", "participant", FOCUS_JID));
            if to.bare_str() == BREWERY {
                let bridges: Vec<_> =
                    self.bridges.iter().map(|(nick, bridge)| bridge.presence(BREWERY, nick)).collect();
                self.to_focus.extend(bridges);
            }
        }
    }

    fn on_room_presence(&mut self, to: &Jid, presence: &Element) {
        let is_join = presence.child("x", ns::MUC).is_some();
        match self.manner_of(to) {
            _ if presence.attr("type") == Some("unavailable") => {}
            RoomManner::Silent => {}
            RoomManner::Refusing => {
                let error = iq_error(presence, &StanzaError::new(xmpp::Condition::NotAllowed));
                self.to_focus.push_back(error);
            }
            RoomManner::WithoutRights => {
                self.to_focus.push_back(presence_of(to.as_str(), "none", "participant", FOCUS_JID));
            }
            RoomManner::Welcoming | RoomManner::WithoutConfiguration | RoomManner::RefusingConfiguration => {
                if is_join {
                    let here = self.clients.values().filter(|client| client.room == to.bare_str());
                    let members: Vec<_> = here.map(FakeClient::presence).collect();
                    self.to_focus.extend(members);
                }
                self.to_focus.push_back(presence_of(to.as_str(), "owner", "moderator", FOCUS_JID));
            }
        }
    }

    fn manner_of(&self, room: &Jid) -> RoomManner {
        self.manners.get(room.bare_str()).copied().unwrap_or(self.room_manner)
    }

    fn on_room_iq(&mut self, iq: &Element) {
        match self.manner_of(&iq.attr("to").unwrap().parse().unwrap()) {
            RoomManner::WithoutConfiguration => return,
            RoomManner::RefusingConfiguration => {
                return self.to_focus.push_back(iq_error(iq, &StanzaError::new(xmpp::Condition::NotAcceptable)));
            }
            RoomManner::Welcoming | RoomManner::Refusing | RoomManner::WithoutRights | RoomManner::Silent => {}
        }
        let query = iq.children().next().unwrap();
        match (query.ns(), iq.attr("type")) {
            (ns::MUC_OWNER, Some("get")) => {
                let field = |var: &str, value: &str| {
                    let value = Element::new("value", ns::DATA_FORMS).with_text(value);
                    Element::new("field", ns::DATA_FORMS).with_attr("var", var).with_child(value)
                };
                let mut form = Element::new("x", ns::DATA_FORMS).with_attr("type", "form");
                form.push(field("muc#roomconfig_whois", "moderators"));
                if let Some(main) = &self.main_room {
                    form.push(field("muc#roominfo_isbreakout", "1"));
                    form.push(field("muc#roominfo_breakout_main_room", main));
                }
                if self.presets {
                    form.push(field("muc#roominfo_conference_presets_service_enabled", "true"));
                }
                if let Some(id) = &self.meeting_id {
                    form.push(field("muc#roominfo_meetingId", id));
                }
                self.to_focus
                    .push_back(iq_result(iq).with_child(Element::new("query", ns::MUC_OWNER).with_child(form)));
            }
            (ns::MUC_ADMIN, Some("set")) => {
                let item = query.child("item", ns::MUC_ADMIN).unwrap();
                assert_eq!(item.attr("affiliation"), Some("owner"));
                let real_jid = item.attr("jid").unwrap().to_owned();
                for client in self.clients.values_mut().filter(|client| client.real_jid.starts_with(&real_jid)) {
                    if self.grants_show {
                        client.affiliation = "owner";
                        self.to_focus.push_back(client.presence());
                    }
                }
                self.owners.push(real_jid);
                self.to_focus.push_back(iq_result(iq));
            }
            _ => self.to_focus.push_back(iq_result(iq)),
        }
    }

    // What happens in the world.

    pub(crate) fn add_bridge(&mut self, nick: &str) {
        self.add_bridge_with(
            nick,
            BridgeStats {
                drain: Some(false),
                stress_level: Some(0.1),
                region: Some("eu".to_owned()),
                ..BridgeStats::default()
            },
        );
    }

    /// A bridge that relays to others.
    pub(crate) fn add_relay_bridge(&mut self, nick: &str, region: &str) {
        self.add_bridge_with(nick, relay_stats(nick, region));
    }

    pub(crate) fn add_bridge_with(&mut self, nick: &str, stats: BridgeStats) {
        self.add_bridge_at(BREWERY, nick, stats);
    }

    pub(crate) fn add_bridge_at(&mut self, brewery: &str, nick: &str, stats: BridgeStats) {
        let bridge = FakeBridge::new(stats);
        let presence = bridge.presence(brewery, nick);
        self.bridges.insert(nick.to_owned(), bridge);
        self.stanza(presence);
    }

    pub(crate) fn bridge(&mut self, nick: &str) -> &mut FakeBridge {
        self.bridges.get_mut(nick).unwrap()
    }

    /// A bridge gets to the conferences that it was told to end.
    pub(crate) fn expire_now(&mut self, nick: &str) {
        let answers = self.bridge(nick).expire_now();
        self.to_focus.extend(answers);
        self.pump();
    }

    pub(crate) fn bridge_says(&mut self, nick: &str, stats: BridgeStats) {
        self.bridge(nick).stats = stats;
        let presence = self.bridges.get(nick).unwrap().presence(BREWERY, nick);
        self.stanza(presence);
    }

    /// A bridge leaves the brewery.
    pub(crate) fn remove_bridge(&mut self, nick: &str) {
        self.bridges.remove(nick);
        let mut presence = presence_of(&format!("{BREWERY}/{nick}"), "none", "none", "jvb@auth.meet.jitsi/x");
        presence.set_attr("type", "unavailable");
        self.stanza(presence);
    }

    /// A client asks for the room; answers what it was told, if it was told something.
    pub(crate) fn request(&mut self) -> Option<Result<ConferenceResponse, StanzaError>> {
        self.request_with(ConferenceRequest::new(ROOM.parse().unwrap()))
    }

    pub(crate) fn request_with(
        &mut self,
        request: ConferenceRequest,
    ) -> Option<Result<ConferenceResponse, StanzaError>> {
        let answer = self.ask(REQUESTER, request.to_element())?;
        if answer.attr("type") == Some("error") {
            return Some(Err(StanzaError::of_stanza(&answer)));
        }
        Some(Ok(ConferenceResponse::from_element(answer.child("conference", ns::FOCUS).unwrap()).unwrap()))
    }

    /// Sends an IQ to the focus and answers its answer, if there is one yet.
    pub(crate) fn ask(&mut self, from: &str, payload: Element) -> Option<Element> {
        self.last_id += 1;
        let id = format!("q{}", self.last_id);
        if self.is_large {
            self.log.clear();
        }
        let iq = Element::new("iq", ns::CLIENT)
            .with_attr("type", "set")
            .with_attr("id", id.as_str())
            .with_attr("from", from)
            .with_attr("to", FOCUS_JID)
            .with_child(payload);
        self.stanza(iq);
        self.answer_to(&id)
    }

    pub(crate) fn answer_to(&self, id: &str) -> Option<Element> {
        let is_answer = |stanza: &&Element| {
            stanza.attr("id") == Some(id) && matches!(stanza.attr("type"), Some("result" | "error"))
        };
        self.log.iter().find(is_answer).cloned()
    }

    /// The same with an answer that has to come at once.
    pub(crate) fn ask_at_once(&mut self, from: &str, payload: Element) -> Result<Element, StanzaError> {
        let answer = self.ask(from, payload).expect("an answer at once");
        if answer.attr("type") == Some("error") { Err(StanzaError::of_stanza(&answer)) } else { Ok(answer) }
    }

    pub(crate) fn stanza(&mut self, stanza: Element) {
        self.to_focus.push_back(stanza);
        self.pump();
    }

    /// A client that can do everything enters the room.
    pub(crate) fn join(&mut self, nick: &str) {
        self.join_as(FakeClient::new(nick));
    }

    /// The same from somewhere.
    pub(crate) fn join_from(&mut self, nick: &str, region: &str) {
        self.join_as(FakeClient { region: Some(region.to_owned()), ..FakeClient::new(nick) });
    }

    pub(crate) fn join_as(&mut self, client: FakeClient) {
        let presence = client.presence();
        self.clients.insert(client.nick.clone(), client);
        self.stanza(presence);
    }

    pub(crate) fn leave(&mut self, nick: &str) {
        self.leave_saying(nick, None);
    }

    pub(crate) fn leave_saying(&mut self, nick: &str, status: Option<&str>) {
        let client = self.clients.remove(nick).unwrap();
        self.clients.values_mut().for_each(|other| other.on_left(nick));
        let mut presence = presence_of(&client.occupant(), "none", "none", &client.real_jid);
        presence.set_attr("type", "unavailable");
        let status = status.map(|status| Element::new("status", ns::CLIENT).with_text(status));
        self.stanza(presence.with_children(status));
    }

    pub(crate) fn client(&mut self, nick: &str) -> &mut FakeClient {
        self.clients.get_mut(nick).unwrap()
    }

    /// A client sends a message of its session.
    pub(crate) fn jingle(&mut self, nick: &str, jingle: &Jingle) -> Result<(), StanzaError> {
        let occupant = self.client(nick).occupant();
        self.ask_at_once(&occupant, jingle.to_element()).map(|_| ())
    }

    /// A client accepts the newest offer, with a microphone and a camera.
    pub(crate) fn accept(&mut self, nick: &str) -> Result<(), StanzaError> {
        let accept = self.client(nick).session_accept();
        // What follows the answer may end the session again: the books are kept before.
        let client = self.client(nick);
        let before = client.sent.clone();
        client.sent = client.video_ssrcs().into_iter().chain([client.audio_ssrc()]).collect();
        let answer = self.jingle(nick, &accept);
        if answer.is_err() {
            self.client(nick).sent = before;
        }
        answer
    }

    /// A visitor accepts the newest offer, and sends nothing.
    pub(crate) fn watch(&mut self, nick: &str) -> Result<(), StanzaError> {
        let mut accept = self.client(nick).session_accept();
        for description in accept.contents.iter_mut().filter_map(|content| content.description.as_mut()) {
            description.sources.clear();
            description.groups.clear();
        }
        self.jingle(nick, &accept)
    }

    /// The focus's latest presence in the room.
    pub(crate) fn room_presence(&self) -> &Element {
        self.presence_in(ROOM)
    }

    pub(crate) fn presence_in(&self, room: &str) -> &Element {
        let to = format!("{room}/focus");
        let is_presence = |stanza: &&Element| stanza.name() == "presence" && stanza.attr("to") == Some(&to);
        self.log.iter().rev().find(is_presence).expect("a presence in the room")
    }

    pub(crate) fn has_left_room(&self) -> bool {
        self.has_left(ROOM)
    }

    pub(crate) fn has_left(&self, room: &str) -> bool {
        let to = format!("{room}/focus");
        self.log.iter().any(|stanza| {
            stanza.name() == "presence" && stanza.attr("to") == Some(&to) && stanza.attr("type") == Some("unavailable")
        })
    }
}

/// What a bridge says of itself that relays to others.
pub(crate) fn relay_stats(nick: &str, region: &str) -> BridgeStats {
    BridgeStats {
        drain: Some(false),
        stress_level: Some(0.1),
        region: Some(region.to_owned()),
        relay_id: Some(format!("relay-{nick}")),
        version: Some("1".to_owned()),
        ..BridgeStats::default()
    }
}

/// A presence as a MUC service sends it.
pub(crate) fn presence_of(from: &str, affiliation: &str, role: &str, real_jid: &str) -> Element {
    let item = Element::new("item", ns::MUC_USER)
        .with_attr("affiliation", affiliation)
        .with_attr("role", role)
        .with_attr("jid", real_jid);
    Element::new("presence", ns::CLIENT)
        .with_attr("from", from)
        .with_child(Element::new("x", ns::MUC_USER).with_child(item))
}
