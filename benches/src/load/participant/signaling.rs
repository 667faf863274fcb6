//! The conversation over XMPP: login, conference request, room, Jingle (client.md §2, §4, §5, §7).
//!
//! Told each frame that comes and the time; gives frames to send and events. Not here: the WebSocket, what an offer means.

mod stanzas;
mod stream_acks;

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use jitsi_protocol::conference_request::ConferenceResponse;
use xmpp::jingle::{Action, Jingle};
use xmpp::muc::MucUser;
use xmpp::sasl::PlainCredentials;
use xmpp::sm::StreamManagement;
use xmpp::{Condition, Element, Jid, StanzaError, bind, framing, iq_error, iq_result, ns, ping};

use self::stream_acks::StreamAcks;
use super::{ANSWER_TIMEOUT, Failure, SignalingEvent};
use crate::load::measure::FailureCause;

/// Stock clients ask a server that was silent for a sign of life so often (client.md §2.6).
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Pings without an answer after which the connection counts as lost.
const MAX_UNANSWERED_PINGS: u8 = 2;
/// First pause before a conference request is repeated; it doubles.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// How long the focus may say that it is not ready.
const CONFERENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the focus may take to invite somebody who is not alone.
const OFFER_TIMEOUT: Duration = Duration::from_secs(20);
/// Occupants that are remembered, to know who is not alone.
const MAX_OCCUPANTS: usize = 10_000;

/// Who the participant is and where it goes.
#[derive(Clone, Debug)]
pub struct SignalingSettings {
    /// XMPP domain, or the domain of the account.
    pub domain: String,
    /// Address of the focus.
    pub focus: String,
    /// Bare JID of the room.
    pub room: Jid,
    /// Its account: name and password. Guests have none.
    pub account: Option<(String, String)>,
    /// JSON web token, told to the focus.
    pub token: Option<String>,
    /// Name that others see.
    pub display_name: String,
    /// The nick of an account, whose JID gives none: 8 hexadecimal digits.
    pub nick_of_account: String,
    /// What it wants in the room.
    pub purpose: Purpose,
    /// Tell the focus that SSRCs may be rewritten.
    pub ssrc_rewriting: bool,
    /// Region, by which the focus chooses a bridge.
    pub region: Option<String>,
    /// `SourceInfo` of later presences, once sources are negotiated; `{nick}` stands for the nick.
    pub source_info: String,
}

/// What a participant wants in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A session: it asks for the conference, joins, and is invited.
    Meet,
    /// To be there: it joins, and waits for nothing.
    Attend,
}

#[derive(Debug)]
enum State {
    AwaitOpen,
    AwaitFeatures,
    Authenticating,
    AwaitReopen,
    AwaitBindFeatures,
    Binding,
    AwaitAcks,
    Requesting {
        pause: Duration,
        since: Instant,
        retry_at: Option<Instant>,
    },
    Joining,
    /// In the room, without a session.
    AwaitOffer,
    /// The answer is on its way.
    Answering {
        id: String,
    },
    InSession,
    Left,
}

/// The conversation of one participant.
#[derive(Debug)]
pub struct Signaling {
    settings: SignalingSettings,
    state: State,
    /// When the current state has taken too long.
    deadline: Option<Instant>,
    last_heard: Instant,
    ping_due: Instant,
    unanswered_pings: u8,
    jid: Option<Jid>,
    nick: String,
    focus_occupant: Option<String>,
    others: BTreeSet<String>,
    was_not_alone: bool,
    offers_acks: bool,
    acks: Option<StreamAcks>,
    next_id: u64,
    outgoing: VecDeque<String>,
    events: VecDeque<SignalingEvent>,
}

impl Signaling {
    /// Starts the conversation: the first frame opens the stream.
    #[must_use]
    pub fn new(settings: SignalingSettings, now: Instant) -> Self {
        let mut signaling = Self {
            settings,
            state: State::AwaitOpen,
            deadline: Some(now + ANSWER_TIMEOUT),
            last_heard: now,
            ping_due: now + PING_INTERVAL,
            unanswered_pings: 0,
            jid: None,
            nick: String::new(),
            focus_occupant: None,
            others: BTreeSet::new(),
            was_not_alone: false,
            offers_acks: false,
            acks: None,
            next_id: 0,
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
        };
        signaling.open();
        signaling
    }

    /// The next frame to send.
    pub fn poll_frame(&mut self) -> Option<String> {
        self.outgoing.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<SignalingEvent> {
        self.events.pop_front()
    }

    /// Whether nobody else but the focus is in the room.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.others.is_empty()
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        let retry = if let State::Requesting { retry_at, .. } = &self.state { *retry_at } else { None };
        [self.deadline, retry].into_iter().flatten().fold(self.ping_due, Instant::min)
    }

    /// Repeats, asks for a sign of life, or gives up.
    ///
    /// # Errors
    /// An answer did not come in time.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Failure> {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(self.too_late());
        }
        if let State::Requesting { retry_at, .. } = &mut self.state
            && retry_at.is_some_and(|at| at <= now)
        {
            *retry_at = None;
            self.request_conference();
        }
        if self.ping_due <= now {
            self.ping_due = now + PING_INTERVAL;
            if self.jid.is_some() && now.saturating_duration_since(self.last_heard) >= PING_INTERVAL {
                self.ping()?;
            }
        }
        Ok(())
    }

    /// Takes a text frame.
    ///
    /// # Errors
    /// The server refuses something, or does not speak XMPP as it should.
    pub fn handle_frame(&mut self, now: Instant, text: &str) -> Result<(), Failure> {
        self.last_heard = now;
        self.unanswered_pings = 0;
        let frame = Element::parse(text).map_err(|error| not_xmpp(&format!("{error} in {}", shorten(text))))?;
        if framing::is_close(&frame) {
            return Err(Failure::new(FailureCause::ConnectionLost, "the server closed the stream"));
        }
        if frame.is("error", ns::STREAMS) {
            return Err(Failure::new(FailureCause::ConnectionLost, format!("stream error: {}", reason_of(&frame))));
        }
        if let Some(management) = StreamManagement::parse(&frame) {
            return self.on_stream_management(now, &management);
        }
        if frame.ns() == ns::CLIENT
            && let Some(acks) = &mut self.acks
        {
            acks.handle_stanza();
        }
        match (frame.name(), frame.ns()) {
            ("open", ns::FRAMING) => self.on_open(),
            ("features", ns::STREAMS) => self.on_features(&frame),
            ("success", ns::SASL) => self.on_success(),
            ("failure", ns::SASL) => {
                let detail = format!("the server refuses the login: {}", reason_of(&frame));
                Err(Failure::new(FailureCause::Authentication, detail))
            }
            ("iq", _) => self.on_iq(now, &frame),
            ("presence", _) => self.on_presence(now, &frame),
            ("message", _) => Ok(()),
            (_, _) => Err(not_xmpp(&format!("unexpected {}", shorten(text)))),
        }
    }

    /// Answers the offer; without one it does nothing.
    pub fn accept(&mut self, now: Instant, mut answer: Jingle) {
        let (State::AwaitOffer, Some(focus)) = (&self.state, self.focus_occupant.clone()) else { return };
        answer.responder = self.jid.as_ref().map(Jid::to_string);
        let id = self.send_iq("set", &focus, answer.to_element());
        self.state = State::Answering { id };
        self.deadline = Some(now + ANSWER_TIMEOUT);
    }

    /// Leaves the room and closes the stream.
    pub fn leave(&mut self) {
        if !self.nick.is_empty() {
            let presence = Element::new("presence", ns::CLIENT)
                .with_attr("to", format!("{}/{}", self.settings.room, self.nick))
                .with_attr("type", "unavailable");
            self.send(&presence);
        }
        self.outgoing.push_back(framing::CLOSE.to_owned());
        self.state = State::Left;
        self.deadline = None;
    }

    fn on_open(&mut self) -> Result<(), Failure> {
        match self.state {
            State::AwaitOpen => self.state = State::AwaitFeatures,
            State::AwaitReopen => self.state = State::AwaitBindFeatures,
            State::AwaitFeatures
            | State::Authenticating
            | State::AwaitBindFeatures
            | State::Binding
            | State::AwaitAcks
            | State::Requesting { .. }
            | State::Joining
            | State::AwaitOffer
            | State::Answering { .. }
            | State::InSession
            | State::Left => return Err(not_xmpp("a second <open>")),
        }
        Ok(())
    }

    fn on_features(&mut self, features: &Element) -> Result<(), Failure> {
        if matches!(self.state, State::AwaitFeatures) {
            return self.authenticate(features);
        }
        if !matches!(self.state, State::AwaitBindFeatures) {
            return Err(not_xmpp("features out of turn"));
        }
        if features.child("bind", ns::BIND).is_none() {
            return Err(Failure::new(FailureCause::Authentication, "the server offers no resource to bind"));
        }
        self.offers_acks = features.child("sm", ns::SM).is_some();
        self.state = State::Binding;
        self.send(&bind::request(BIND_ID, None));
        Ok(())
    }

    fn authenticate(&mut self, features: &Element) -> Result<(), Failure> {
        let offered: Vec<String> = features
            .child("mechanisms", ns::SASL)
            .map(|list| list.children().map(Element::text).collect())
            .unwrap_or_default();
        let offers = |name: &str| offered.iter().any(|offered| offered == name);
        let domain = &self.settings.domain;
        let refuse = |what: &str| {
            Err(Failure::new(
                FailureCause::Authentication,
                format!("{domain} takes {what}, only {}", offered.join(", ")),
            ))
        };
        let auth = match &self.settings.account {
            None if offers("ANONYMOUS") => Element::new("auth", ns::SASL).with_attr("mechanism", "ANONYMOUS"),
            None => return refuse("no guests"),
            Some((username, password)) if offers("PLAIN") => {
                let (authcid, password) = (username.clone(), password.clone());
                PlainCredentials { authzid: None, authcid, password }.to_auth()
            }
            Some(_) => return refuse("no passwords by PLAIN"),
        };
        self.state = State::Authenticating;
        self.send(&auth);
        Ok(())
    }

    fn on_success(&mut self) -> Result<(), Failure> {
        if !matches!(self.state, State::Authenticating) {
            return Err(not_xmpp("a success without a login"));
        }
        self.state = State::AwaitReopen;
        self.open();
        Ok(())
    }

    fn on_stream_management(&mut self, now: Instant, management: &StreamManagement) -> Result<(), Failure> {
        match management {
            StreamManagement::Enabled { .. } if matches!(self.state, State::AwaitAcks) => {
                self.acks = Some(StreamAcks::default());
                self.start_request(now);
            }
            StreamManagement::Failed { .. } if matches!(self.state, State::AwaitAcks) => self.start_request(now),
            StreamManagement::Request => {
                if let Some(acks) = &self.acks {
                    self.outgoing.push_back(acks.acknowledgement().to_element().to_string());
                }
            }
            StreamManagement::Ack { h } if self.acks.as_ref().is_some_and(|acks| !acks.is_possible(*h)) => {
                return Err(not_xmpp(&format!("the server acknowledges {h} stanzas, more than were sent")));
            }
            StreamManagement::Enable { .. }
            | StreamManagement::Enabled { .. }
            | StreamManagement::Ack { .. }
            | StreamManagement::Resume { .. }
            | StreamManagement::Resumed { .. }
            | StreamManagement::Failed { .. } => {}
        }
        Ok(())
    }

    fn on_iq(&mut self, now: Instant, iq: &Element) -> Result<(), Failure> {
        match iq.attr("type") {
            Some("result" | "error") => self.on_answer(now, iq),
            Some("get" | "set") => {
                self.on_request(now, iq);
                Ok(())
            }
            _ => Err(not_xmpp("an iq without a type")),
        }
    }

    fn on_answer(&mut self, now: Instant, iq: &Element) -> Result<(), Failure> {
        let id = iq.attr("id").unwrap_or_default();
        if matches!(self.state, State::Binding) && id == BIND_ID {
            return self.on_bound(now, iq);
        }
        if matches!(self.state, State::Requesting { .. }) && id == stanzas::CONFERENCE_ID {
            return self.on_conference(now, iq);
        }
        if let State::Answering { id: ours } = &self.state
            && ours == id
        {
            if iq.attr("type") == Some("error") {
                let detail = format!("the focus refuses the answer: {}", reason_of(iq));
                return Err(Failure::new(FailureCause::InvalidOffer, detail));
            }
            self.state = State::InSession;
            self.deadline = None;
            self.events.push_back(SignalingEvent::Accepted);
            let presence = stanzas::presence(&self.settings, &self.nick, false);
            self.send(&presence);
        }
        Ok(())
    }

    fn on_bound(&mut self, now: Instant, iq: &Element) -> Result<(), Failure> {
        let Some(Ok(jid)) = bind::bound_jid(iq) else {
            return Err(Failure::new(FailureCause::Authentication, format!("no resource is bound: {}", reason_of(iq))));
        };
        self.nick = nick_of(&jid).unwrap_or_else(|| self.settings.nick_of_account.clone());
        self.jid = Some(jid);
        self.events.push_back(SignalingEvent::LoggedIn);
        if self.offers_acks {
            // Nothing else may be sent before the answer, as the stock client does not (client.md §2.8).
            self.state = State::AwaitAcks;
            self.deadline = Some(now + ANSWER_TIMEOUT);
            self.outgoing.push_back(StreamManagement::Enable { resume: true }.to_element().to_string());
        } else {
            self.start_request(now);
        }
        Ok(())
    }

    fn on_conference(&mut self, now: Instant, iq: &Element) -> Result<(), Failure> {
        let refused = |detail: String| Failure::new(FailureCause::ConferenceRequest, detail);
        if iq.attr("type") == Some("error") {
            return Err(refused(format!("the focus refuses: {}", reason_of(iq))));
        }
        let Some(Ok(response)) = iq.child("conference", ns::FOCUS).map(ConferenceResponse::from_element) else {
            return Err(refused(format!("no answer of a focus: {}", shorten(&iq.to_string()))));
        };
        if let Some(node) = response.vnode {
            return Err(refused(format!("the focus sends participants to the visitor node {node}")));
        }
        if let (false, State::Requesting { pause, since, retry_at }) = (response.ready, &mut self.state) {
            if now.saturating_duration_since(*since) >= CONFERENCE_TIMEOUT {
                return Err(refused("the focus does not get ready".to_owned()));
            }
            *retry_at = Some(now + *pause);
            *pause *= 2;
            self.deadline = Some(now + CONFERENCE_TIMEOUT);
            return Ok(());
        }
        self.events.push_back(SignalingEvent::ConferenceReady);
        self.join(now);
        Ok(())
    }

    fn join(&mut self, now: Instant) {
        self.state = State::Joining;
        self.deadline = Some(now + ANSWER_TIMEOUT);
        let presence = stanzas::presence(&self.settings, &self.nick, true);
        self.send(&presence);
    }

    fn on_request(&mut self, now: Instant, iq: &Element) {
        let Some(payload) = iq.children().next() else { return };
        if ping::is_ping(iq) {
            self.send(&iq_result(iq));
        } else if payload.is("query", ns::DISCO_INFO) {
            let features = stanzas::features(self.settings.ssrc_rewriting);
            self.send(&iq_result(iq).with_child(features));
        } else if payload.ns() != ns::JINGLE {
            self.send(&iq_error(iq, &StanzaError::new(Condition::ServiceUnavailable)));
        } else {
            match Jingle::from_element(payload) {
                Ok(jingle) => {
                    self.send(&iq_result(iq));
                    self.on_jingle(now, iq.attr("from").unwrap_or_default(), jingle);
                }
                Err(error) => self.send(&iq_error(iq, &error.to_stanza_error())),
            }
        }
    }

    fn on_jingle(&mut self, now: Instant, from: &str, jingle: Jingle) {
        match jingle.action {
            Action::SessionInitiate => {
                self.focus_occupant = Some(from.to_owned());
                self.state = State::AwaitOffer;
                self.deadline = Some(now + ANSWER_TIMEOUT);
                self.events.push_back(SignalingEvent::Offer(Box::new(jingle)));
            }
            Action::SourceAdd | Action::SourceRemove => {
                self.events.push_back(SignalingEvent::Sources(Box::new(jingle)));
            }
            Action::SessionTerminate => {
                let reason = jingle.reason.map_or_else(String::new, |reason| {
                    format!("{} {}", reason.condition, reason.text.unwrap_or_default()).trim().to_owned()
                });
                self.state = State::AwaitOffer;
                self.deadline = None;
                self.events.push_back(SignalingEvent::Terminated { reason });
            }
            Action::ContentModify
            | Action::SessionAccept
            | Action::SessionInfo
            | Action::TransportAccept
            | Action::TransportInfo
            | Action::TransportReject
            | Action::TransportReplace => {}
        }
    }

    fn on_presence(&mut self, now: Instant, presence: &Element) -> Result<(), Failure> {
        let from = presence.attr("from").unwrap_or_default();
        let Some(nick) = from.strip_prefix(self.settings.room.as_str()).and_then(|rest| rest.strip_prefix('/')) else {
            return Ok(());
        };
        let is_self = nick == self.nick;
        match presence.attr("type") {
            Some("error") if is_self => {
                Err(Failure::new(FailureCause::RoomRefused, format!("the room refuses: {}", reason_of(presence))))
            }
            Some("unavailable") if is_self && !matches!(self.state, State::Left) => {
                let was_kicked = MucUser::of_presence(presence).is_some_and(|user| user.has_status(307));
                let detail = if was_kicked { "it was thrown out of the room" } else { "the room is gone" };
                Err(Failure::new(FailureCause::SessionTerminated, detail))
            }
            Some("unavailable") if nick == "focus" => {
                Err(Failure::new(FailureCause::SessionTerminated, "the focus left the room"))
            }
            Some("unavailable") => {
                self.others.remove(nick);
                self.events.push_back(SignalingEvent::OccupantLeft { nick: nick.to_owned() });
                Ok(())
            }
            None if is_self => {
                if matches!(self.state, State::Joining) {
                    self.state = State::AwaitOffer;
                    self.deadline = None;
                    self.events.push_back(SignalingEvent::Joined { nick: self.nick.clone() });
                    self.notice_company(now);
                }
                Ok(())
            }
            None if nick != "focus" => {
                if self.others.len() < MAX_OCCUPANTS {
                    self.others.insert(nick.to_owned());
                }
                self.notice_company(now);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// From the moment that somebody else is in the room the focus is to invite.
    fn notice_company(&mut self, now: Instant) {
        let may_be_invited = self.settings.purpose == Purpose::Meet && matches!(self.state, State::AwaitOffer);
        if may_be_invited && !self.others.is_empty() && !self.was_not_alone {
            self.was_not_alone = true;
            if self.focus_occupant.is_none() {
                self.deadline = Some(now + OFFER_TIMEOUT);
            }
            self.events.push_back(SignalingEvent::NotAlone);
        }
    }

    fn too_late(&self) -> Failure {
        let (cause, what) = match &self.state {
            State::AwaitOpen | State::AwaitFeatures => (FailureCause::NotXmpp, "the stream was not opened"),
            State::Authenticating
            | State::AwaitReopen
            | State::AwaitBindFeatures
            | State::Binding
            | State::AwaitAcks => (FailureCause::Authentication, "the login was not answered"),
            State::Requesting { .. } => (FailureCause::ConferenceRequest, "the focus did not answer"),
            State::Joining => (FailureCause::RoomRefused, "the room did not answer"),
            State::AwaitOffer => (FailureCause::NoOffer, "the focus did not invite"),
            State::Answering { .. } => (FailureCause::InvalidOffer, "the focus did not acknowledge the answer"),
            State::InSession | State::Left => (FailureCause::ConnectionLost, "the server did not answer"),
        };
        Failure::new(cause, format!("{what} in time"))
    }

    fn open(&mut self) {
        self.outgoing.push_back(framing::client_open(&self.settings.domain).to_string());
    }

    /// Goes on after the login.
    fn start_request(&mut self, now: Instant) {
        if self.settings.purpose == Purpose::Attend {
            self.join(now);
            return;
        }
        self.state = State::Requesting { pause: FIRST_RETRY, since: now, retry_at: None };
        self.deadline = Some(now + CONFERENCE_TIMEOUT);
        self.request_conference();
    }

    fn request_conference(&mut self) {
        let iq = stanzas::conference_request(&self.settings);
        self.send(&iq);
    }

    fn ping(&mut self) -> Result<(), Failure> {
        if self.unanswered_pings >= MAX_UNANSWERED_PINGS {
            return Err(Failure::new(FailureCause::ConnectionLost, "the XMPP server answers no pings"));
        }
        self.unanswered_pings += 1;
        let to = self.settings.domain.clone();
        self.send_iq("get", &to, ping::ping());
        Ok(())
    }

    /// Answers the id.
    fn send_iq(&mut self, kind: &str, to: &str, payload: Element) -> String {
        self.next_id += 1;
        let id = format!("load-{}", self.next_id);
        let iq = Element::new("iq", ns::CLIENT)
            .with_attr("type", kind)
            .with_attr("id", id.as_str())
            .with_attr("to", to)
            .with_child(payload);
        self.send(&iq);
        id
    }

    fn send(&mut self, stanza: &Element) {
        self.outgoing.push_back(stanza.to_string());
        if let Some(request) = self.acks.as_mut().and_then(StreamAcks::handle_sent) {
            self.outgoing.push_back(request.to_element().to_string());
        }
    }
}

const BIND_ID: &str = "bind";

/// Guests are called by the first 8 digits of their node (client.md §5.1).
fn nick_of(jid: &Jid) -> Option<String> {
    let nick: String = jid.local()?.chars().take(8).collect();
    (nick.len() == 8 && nick.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))).then_some(nick)
}

/// Condition and text of a refusal.
fn reason_of(stanza: &Element) -> String {
    let holder = stanza.child_named("error").unwrap_or(stanza);
    let text = holder.child_named("text").map(Element::text).unwrap_or_default();
    let conditions: Vec<&str> = holder.children().map(Element::name).filter(|name| *name != "text").collect();
    shorten(format!("{} {text}", conditions.join(" ")).trim()).to_owned()
}

fn not_xmpp(detail: &str) -> Failure {
    Failure::new(FailureCause::NotXmpp, detail)
}

/// The start of what a server said.
fn shorten(text: &str) -> &str {
    text.char_indices().nth(200).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

#[cfg(test)]
mod tests;
