//! The conversation with Janus's video room over WebSocket: a session, a handle for what is sent, one for what is received.
//!
//! Told each frame that comes and the time; gives frames to send and events. A participant joins as publisher, also if it sends
//! nothing: only those hear who comes. Rooms are made by the first who comes and destroyed by the first who goes when the run
//! is over. Not here: the WebSocket, what SDP means (`sdp`).

mod messages;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use model::EndpointId;
use serde_json::{Value, json};

use self::messages::{Jsep, JsepKind, Message, Occupant, PluginData, ROOM_EXISTS, Request, RoomEvent, Stream};
use super::sdp::{Section, SessionDescription, parse_candidate};
use super::sources::kind_of_video;
use super::{ANSWER_TIMEOUT, Failure, Farewell, Leg, RemoteSource, SignalingEvent, Wishes};
use crate::load::measure::{FailureCause, MediaKind};
use crate::load::media::{Height, VideoCodec};

/// Janus gives up a session that was silent for a minute.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(25);
/// Occupants that are remembered.
const MAX_OCCUPANTS: usize = 10_000;

/// Who the participant is and where it goes.
#[derive(Clone, Debug)]
pub struct JanusSettings {
    /// Number of the room.
    pub room: u64,
    /// Participants of the room, all of which may send.
    pub participants: usize,
    /// Name that others see, and endpoint id.
    pub nick: String,
    /// Whether it sends anything.
    pub sends: bool,
    /// Codec of video in the room.
    pub codec: VideoCodec,
    /// What it wants to see.
    pub wishes: Wishes,
}

#[derive(Debug)]
enum State {
    Creating,
    Attaching,
    MakingRoom,
    Joining,
    InRoom,
    Left,
}

/// The handle for what is received.
#[derive(Debug)]
enum Subscriber {
    /// Nobody sends yet.
    None,
    Attaching,
    /// It has not joined.
    Attached {
        handle: u64,
    },
    /// Waits for an offer that it asked for.
    Asking {
        handle: u64,
        until: Instant,
    },
    /// Up to date.
    Settled {
        handle: u64,
    },
}

/// The conversation of one participant.
#[derive(Debug)]
pub struct JanusSignaling {
    settings: JanusSettings,
    state: State,
    /// When the current state has taken too long.
    deadline: Option<Instant>,
    keepalive_due: Instant,
    /// Keepalives and everything else are acknowledged.
    heard_since_keepalive: bool,
    session: u64,
    publisher: u64,
    subscriber: Subscriber,
    /// Publishers that were not asked for yet.
    unasked: Vec<u64>,
    /// Everybody else in the room, by Janus's numbers.
    others: BTreeMap<u64, String>,
    /// Publishers that were seen.
    senders: BTreeSet<u64>,
    /// Mid and name of the videos that come.
    videos: Vec<(String, model::SourceName)>,
    next_transaction: u64,
    outgoing: VecDeque<String>,
    events: VecDeque<SignalingEvent>,
}

impl JanusSignaling {
    /// Starts the conversation: the first frame makes a session.
    #[must_use]
    pub fn new(settings: JanusSettings, now: Instant) -> Self {
        let mut signaling = Self {
            settings,
            state: State::Creating,
            deadline: Some(now + ANSWER_TIMEOUT),
            keepalive_due: now + KEEPALIVE_INTERVAL,
            heard_since_keepalive: true,
            session: 0,
            publisher: 0,
            subscriber: Subscriber::None,
            unasked: Vec::new(),
            others: BTreeMap::new(),
            senders: BTreeSet::new(),
            videos: Vec::new(),
            next_transaction: 0,
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
        };
        signaling.send(json!({ "janus": "create" }));
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

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        let asking = if let Subscriber::Asking { until, .. } = self.subscriber { Some(until) } else { None };
        [self.deadline, asking].into_iter().flatten().fold(self.keepalive_due, Instant::min)
    }

    /// Keeps the session, or gives up.
    ///
    /// # Errors
    /// An answer did not come in time.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Failure> {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(self.too_late());
        }
        if matches!(self.subscriber, Subscriber::Asking { until, .. } if until <= now) {
            return Err(Failure::new(FailureCause::NoOffer, "Janus did not offer what others send in time"));
        }
        if self.keepalive_due <= now {
            if !std::mem::take(&mut self.heard_since_keepalive) {
                return Err(Failure::new(FailureCause::ConnectionLost, "Janus acknowledges nothing any more"));
            }
            self.keepalive_due = now + KEEPALIVE_INTERVAL;
            self.send(json!({ "janus": "keepalive", "session_id": self.session }));
        }
        Ok(())
    }

    /// Takes a text frame.
    ///
    /// # Errors
    /// Janus refuses something, or does not speak as it should.
    pub fn handle_frame(&mut self, now: Instant, text: &str) -> Result<(), Failure> {
        self.heard_since_keepalive = true;
        let message: Message = serde_json::from_str(text).map_err(|error| not_janus(&error.to_string()))?;
        match message.janus.as_str() {
            "success" => self.on_success(now, &message),
            "error" => {
                let error =
                    message.error.map_or_else(String::new, |error| format!("{} ({})", error.reason, error.code));
                Err(self.refused(&error))
            }
            "event" => self.on_event(now, message),
            "trickle" => {
                self.on_trickle(&message);
                Ok(())
            }
            "hangup" if !matches!(self.state, State::Left) => {
                let reason = message.reason.unwrap_or_default();
                Err(Failure::new(FailureCause::SessionTerminated, format!("Janus hangs up: {reason}")))
            }
            "timeout" => Err(Failure::new(FailureCause::ConnectionLost, "Janus gave up the session")),
            // Acknowledgements, and how media does.
            _ => Ok(()),
        }
    }

    /// Offers what is sent.
    pub(super) fn publish(&mut self, now: Instant, offer: &SessionDescription) {
        let name = |section: &Section| Some((section.mid.clone(), section.name.as_ref()?.to_string()));
        let names: Vec<_> = offer.sections.iter().filter_map(name).collect();
        let display = self.settings.nick.clone();
        self.deadline = Some(now + ANSWER_TIMEOUT);
        let jsep = Jsep { kind: JsepKind::Offer, sdp: offer.to_string(), trickle: Some(false) };
        self.request(self.publisher, &Request::Publish { display: &display, names: &names }, Some(&jsep));
    }

    /// Takes what is offered.
    pub(super) fn subscribe(&mut self, now: Instant, answer: &SessionDescription) {
        let (Subscriber::Asking { handle, .. } | Subscriber::Settled { handle }) = self.subscriber else { return };
        let jsep = Jsep { kind: JsepKind::Answer, sdp: answer.to_string(), trickle: Some(false) };
        self.request(handle, &Request::Start, Some(&jsep));
        self.subscriber = Subscriber::Settled { handle };
        self.ask_for_layers();
        self.ask_for_senders(now);
    }

    /// Whether nobody else is in the room.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.others.is_empty()
    }

    /// Leaves the room. The session ends with the WebSocket.
    pub fn leave(&mut self, farewell: Farewell) {
        if self.publisher != 0 {
            let room = self.settings.room;
            self.request(self.publisher, &Request::Leave, None);
            if farewell == Farewell::ForGood {
                self.request(self.publisher, &Request::Destroy { room }, None);
            }
        }
        self.state = State::Left;
        self.deadline = None;
    }

    /// An answer to what has no event: of the API, or of a request that the room answers at once.
    fn on_success(&mut self, now: Instant, message: &Message) -> Result<(), Failure> {
        let id = message.data.as_ref().map(|data| data.id);
        match (&self.state, id) {
            (State::Creating, Some(session)) => {
                self.session = session;
                self.enter(State::Attaching, now);
                self.attach();
            }
            (State::Attaching, Some(handle)) => {
                self.publisher = handle;
                self.events.push_back(SignalingEvent::LoggedIn);
                self.enter(State::MakingRoom, now);
                let JanusSettings { room, participants, codec, .. } = self.settings;
                let tells_speakers = self.settings.wishes.follows_speaker();
                let create = Request::Create { room, publishers: participants, codec: codec.as_str(), tells_speakers };
                self.request(handle, &create, None);
            }
            (State::MakingRoom, _) => {
                if let Some(PluginData { data }) = &message.plugindata
                    && data.error_code.is_some_and(|code| code != ROOM_EXISTS)
                {
                    return Err(self.refused(&reason_of(data)));
                }
                self.events.push_back(SignalingEvent::ConferenceReady);
                self.enter(State::Joining, now);
                let display = self.settings.nick.clone();
                let room = self.settings.room;
                self.request(self.publisher, &Request::JoinAsPublisher { room, display: &display }, None);
            }
            (State::InRoom, Some(handle)) if matches!(self.subscriber, Subscriber::Attaching) => {
                self.subscriber = Subscriber::Attached { handle };
                self.ask_for_senders(now);
            }
            (State::Creating | State::Attaching | State::Joining | State::InRoom | State::Left, _) => {}
        }
        Ok(())
    }

    fn on_event(&mut self, now: Instant, message: Message) -> Result<(), Failure> {
        let Message { plugindata: Some(PluginData { data: event }), jsep, sender, .. } = message else { return Ok(()) };
        if event.error_code.is_some() {
            // Of farewells: somebody else destroyed the room.
            return if matches!(self.state, State::Left) { Ok(()) } else { Err(self.refused(&reason_of(&event))) };
        }
        let is_us = sender == Some(self.publisher);
        match event.videoroom.as_str() {
            "joined" if is_us => self.on_joined(now, &event),
            "attached" | "updated" if !is_us => self.on_offered(now, &event, jsep)?,
            "talking" => {
                let speaker = event.id.and_then(|id| self.others.get(&id)).and_then(|nick| nick.parse().ok());
                if let Some(speaker) = speaker {
                    self.on_speaker(speaker);
                }
            }
            "destroyed" => {
                self.events.push_back(SignalingEvent::Terminated { reason: "the room was destroyed".to_owned() });
            }
            "event" if is_us => self.on_room_event(now, &event, jsep)?,
            _ => {}
        }
        Ok(())
    }

    fn on_joined(&mut self, now: Instant, event: &RoomEvent) {
        self.state = State::InRoom;
        self.deadline = None;
        self.events.push_back(SignalingEvent::Joined { nick: self.settings.nick.clone() });
        for occupant in event.publishers.iter().chain(&event.attendees) {
            self.note_occupant(occupant);
        }
        let sent = event.publishers.iter().flat_map(|publisher| &publisher.streams);
        let (audio, video) = sent.fold((false, false), |(audio, video), stream| {
            (audio || stream.kind == "audio", video || stream.kind == "video")
        });
        self.events.push_back(SignalingEvent::Senders { audio, video });
        if self.settings.sends {
            self.events.push_back(SignalingEvent::Publish);
        }
        self.note_senders(now, &event.publishers);
    }

    fn on_room_event(&mut self, now: Instant, event: &RoomEvent, jsep: Option<Jsep>) -> Result<(), Failure> {
        if let Some(Jsep { kind: JsepKind::Answer, sdp, .. }) = jsep {
            self.deadline = None;
            self.events.push_back(SignalingEvent::Published(Box::new(parse(&sdp)?)));
        }
        self.note_senders(now, &event.publishers);
        if let Some(occupant) = &event.joining {
            self.note_occupant(occupant);
        }
        if let Some(id) = event.leaving.as_ref().and_then(Value::as_u64) {
            self.senders.remove(&id);
            self.unasked.retain(|unasked| *unasked != id);
            if let Some(nick) = self.others.remove(&id) {
                self.events.push_back(SignalingEvent::OccupantLeft { nick });
            }
        }
        if event.kicked.is_some() && event.leaving.is_none() {
            return Err(Failure::new(FailureCause::SessionTerminated, "it was thrown out of the room"));
        }
        Ok(())
    }

    fn note_occupant(&mut self, occupant: &Occupant) {
        if self.others.len() < MAX_OCCUPANTS {
            let nick = occupant.display.clone().unwrap_or_else(|| occupant.id.to_string());
            self.others.insert(occupant.id, nick);
        }
    }

    fn note_senders(&mut self, now: Instant, publishers: &[Occupant]) {
        for publisher in publishers {
            self.note_occupant(publisher);
            if self.senders.len() < MAX_OCCUPANTS && self.senders.insert(publisher.id) {
                self.unasked.push(publisher.id);
            }
        }
        self.ask_for_senders(now);
    }

    /// Asks for those who were not asked for; one request after the other, as each has an offer and an answer.
    fn ask_for_senders(&mut self, now: Instant) {
        if self.unasked.is_empty() {
            return;
        }
        match self.subscriber {
            Subscriber::None => {
                self.subscriber = Subscriber::Attaching;
                self.attach();
            }
            Subscriber::Attaching | Subscriber::Asking { .. } => {}
            Subscriber::Attached { handle } | Subscriber::Settled { handle } => {
                let feeds = std::mem::take(&mut self.unasked);
                let request = if matches!(self.subscriber, Subscriber::Attached { .. }) {
                    Request::JoinAsSubscriber { room: self.settings.room, feeds: &feeds }
                } else {
                    Request::Subscribe { feeds: &feeds }
                };
                self.request(handle, &request, None);
                self.subscriber = Subscriber::Asking { handle, until: now + ANSWER_TIMEOUT };
            }
        }
    }

    /// An offer that was asked for, or one because somebody left.
    fn on_offered(&mut self, now: Instant, event: &RoomEvent, jsep: Option<Jsep>) -> Result<(), Failure> {
        let Some(Jsep { kind: JsepKind::Offer, sdp, .. }) = jsep else {
            // Nothing changed for the media, such as of somebody who left at once.
            if let Subscriber::Asking { handle, .. } = self.subscriber {
                self.subscriber = Subscriber::Settled { handle };
                self.ask_for_senders(now);
            }
            return Ok(());
        };
        let offer = parse(&sdp)?;
        let sources: Vec<_> = offer.sending().filter_map(|section| source_of(section, &event.streams)).collect();
        let of_video = |section: &&Section| section.description.media.media_type() == Some(model::MediaType::Video);
        self.videos = offer
            .sending()
            .filter(of_video)
            .filter_map(|section| Some((section.mid.clone(), source_of(section, &event.streams)?.name)))
            .collect();
        self.events.push_back(SignalingEvent::Subscribe { offer: Box::new(offer), sources });
        Ok(())
    }

    fn on_speaker(&mut self, speaker: EndpointId) {
        if self.settings.wishes.set_speaker(&speaker) {
            self.ask_for_layers();
            self.events.push_back(SignalingEvent::Speaker(speaker));
        }
    }

    /// Tells the best layer that is wanted of each video.
    fn ask_for_layers(&mut self) {
        let Subscriber::Settled { handle } = self.subscriber else { return };
        let substream = |(mid, name): &(String, model::SourceName)| {
            let best = self.settings.wishes.best(name, kind_of_video(None, name));
            (mid.clone(), Height::ALL.iter().filter(|height| height.lines() < best).count().min(2))
        };
        let substreams: Vec<_> = self.videos.iter().map(substream).collect();
        if !substreams.is_empty() {
            self.request(handle, &Request::Configure { substreams: &substreams }, None);
        }
    }

    fn on_trickle(&mut self, message: &Message) {
        let leg = if message.sender == Some(self.publisher) { Leg::Own } else { Leg::Offered };
        let text = message.candidate.as_ref().and_then(|trickled| trickled.candidate.as_deref());
        if let Some(candidate) = text.and_then(parse_candidate) {
            self.events.push_back(SignalingEvent::Candidate(leg, Box::new(candidate)));
        }
    }

    fn enter(&mut self, state: State, now: Instant) {
        self.state = state;
        self.deadline = Some(now + ANSWER_TIMEOUT);
    }

    fn too_late(&self) -> Failure {
        self.refused("no answer in time")
    }

    fn refused(&self, detail: &str) -> Failure {
        let (cause, what) = match self.state {
            State::Creating => (FailureCause::NotXmpp, "no session of Janus"),
            State::Attaching => (FailureCause::Authentication, "no handle of the video room"),
            State::MakingRoom => (FailureCause::ConferenceRequest, "the room was not made"),
            State::Joining => (FailureCause::RoomRefused, "the room refuses"),
            State::InRoom => (FailureCause::InvalidOffer, "Janus refuses"),
            State::Left => (FailureCause::ConnectionLost, "Janus did not answer"),
        };
        Failure::new(cause, format!("{what}: {detail}"))
    }

    fn attach(&mut self) {
        let session = self.session;
        self.send(json!({ "janus": "attach", "session_id": session, "plugin": "janus.plugin.videoroom" }));
    }

    fn request(&mut self, handle: u64, request: &Request<'_>, jsep: Option<&Jsep>) {
        let session = self.session;
        let mut message =
            json!({ "janus": "message", "session_id": session, "handle_id": handle, "body": request.to_json() });
        if let (Some(jsep), Some(fields)) = (jsep, message.as_object_mut()) {
            fields.insert("jsep".to_owned(), json!(jsep));
        }
        self.send(message);
    }

    fn send(&mut self, mut message: Value) {
        self.next_transaction += 1;
        if let Some(fields) = message.as_object_mut() {
            fields.insert("transaction".to_owned(), self.next_transaction.to_string().into());
        }
        self.outgoing.push_back(message.to_string());
    }
}

/// Whose source an m-line carries, by what Janus says of its streams.
fn source_of(section: &Section, streams: &[Stream]) -> Option<RemoteSource> {
    let stream = streams.iter().find(|stream| stream.mid == section.mid)?;
    let owner: EndpointId = stream.feed_display.as_ref()?.parse().ok()?;
    let is_audio = section.description.media.media_type()? == model::MediaType::Audio;
    // What other clients send has no name of ours.
    let usual = || format!("{owner}-{}", if is_audio { "a0" } else { "v0" }).parse().ok();
    let name = stream.feed_description.as_ref().and_then(|name| name.parse().ok()).or_else(usual)?;
    let kind = if is_audio { MediaKind::Audio } else { kind_of_video(None, &name) };
    let (ssrc, rtx) = section.stream()?;
    Some(RemoteSource { ssrc, rtx, kind, name, owner })
}

fn parse(sdp: &str) -> Result<SessionDescription, Failure> {
    sdp.parse().map_err(|error: super::SdpError| Failure::new(FailureCause::InvalidOffer, error.to_string()))
}

fn reason_of(event: &RoomEvent) -> String {
    format!("{} ({})", event.error.as_deref().unwrap_or_default(), event.error_code.unwrap_or_default())
}

fn not_janus(detail: &str) -> Failure {
    Failure::new(FailureCause::NotXmpp, format!("not what Janus says: {detail}"))
}

#[cfg(test)]
mod tests;
