//! The conversation with a LiveKit server over WebSocket: two connections for media, of which the server offers one.
//!
//! Told each frame that comes and the time; gives frames to send and events. The token in the URL has said who comes into
//! which room, and the server answers with who else is there. Not here: the WebSocket, what SDP means (`sdp`).

mod messages;
mod token;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use model::{EndpointId, MediaType, SourceName};
use prost::Message;

use self::messages::{
    AddTrack, Description, Join, Layer, Leave, Participant, Ping, RequestResponse, SignalRequest, SignalResponse,
    Speakers, TrackSettings,
};
pub use self::token::livekit_token;
use super::sdp::{Section, SessionDescription, parse_candidate};
use super::sources::kind_of_video;
use super::{ANSWER_TIMEOUT, Failure, Leg, RemoteSource, SignalingEvent, Wishes};
use crate::load::measure::{FailureCause, MediaKind};
use crate::load::media::Height;

/// Participants and tracks that are remembered.
const MAX_OCCUPANTS: usize = 10_000;
/// Lines of a shared screen (`media`).
const SCREEN_LINES: u16 = 1080;

/// Who the participant is.
#[derive(Clone, Debug)]
pub struct LiveKitSettings {
    /// Name that others see, and endpoint id; that of the token.
    pub nick: String,
    /// Whether it sends anything.
    pub sends: bool,
    /// Largest picture of its camera.
    pub height: Height,
    /// What it wants to see.
    pub wishes: Wishes,
}

#[derive(Debug)]
enum State {
    Joining,
    InRoom,
    Left,
}

/// A track of somebody else.
#[derive(Debug)]
struct RemoteTrack {
    owner: EndpointId,
    name: SourceName,
}

/// The conversation of one participant.
#[derive(Debug)]
pub struct LiveKitSignaling {
    settings: LiveKitSettings,
    state: State,
    /// When the current state has taken too long.
    deadline: Option<Instant>,
    ping_interval: Duration,
    ping_due: Instant,
    heard_since_ping: bool,
    /// Identities by `sid`.
    others: BTreeMap<String, String>,
    /// By `sid`.
    tracks: BTreeMap<String, RemoteTrack>,
    /// What is offered once the server knows all its tracks, and how many it does not know.
    offer: Option<(String, usize)>,
    /// The offer that is to be answered.
    offered: u32,
    /// Track and name of the videos that come.
    videos: Vec<(String, SourceName)>,
    outgoing: VecDeque<Vec<u8>>,
    events: VecDeque<SignalingEvent>,
}

impl LiveKitSignaling {
    /// Waits for the server, which speaks first.
    #[must_use]
    pub fn new(settings: LiveKitSettings, now: Instant) -> Self {
        Self {
            settings,
            state: State::Joining,
            deadline: Some(now + ANSWER_TIMEOUT),
            ping_interval: ANSWER_TIMEOUT,
            ping_due: now + ANSWER_TIMEOUT,
            heard_since_ping: true,
            others: BTreeMap::new(),
            tracks: BTreeMap::new(),
            offer: None,
            offered: 0,
            videos: Vec::new(),
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The next frame to send.
    pub fn poll_frame(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<SignalingEvent> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.deadline.map_or(self.ping_due, |deadline| deadline.min(self.ping_due))
    }

    /// Asks for a sign of life, or gives up.
    ///
    /// # Errors
    /// An answer did not come in time.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Failure> {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            let (cause, what) = match self.state {
                State::Joining => (FailureCause::RoomRefused, "LiveKit did not let it into the room"),
                State::InRoom => (FailureCause::InvalidOffer, "LiveKit did not take what is sent"),
                State::Left => (FailureCause::ConnectionLost, "LiveKit did not answer"),
            };
            return Err(Failure::new(cause, format!("{what} in time")));
        }
        if self.ping_due <= now {
            if !std::mem::take(&mut self.heard_since_ping) {
                return Err(Failure::new(FailureCause::ConnectionLost, "LiveKit answers no pings"));
            }
            self.ping_due = now + self.ping_interval;
            self.send(&SignalRequest { ping: Some(Ping { timestamp: 1 }), ..SignalRequest::default() });
        }
        Ok(())
    }

    /// Takes a binary frame.
    ///
    /// # Errors
    /// The server refuses something, or does not speak as it should.
    pub fn handle_frame(&mut self, now: Instant, bytes: &[u8]) -> Result<(), Failure> {
        self.heard_since_ping = true;
        let response = SignalResponse::decode(bytes)
            .map_err(|error| Failure::new(FailureCause::NotXmpp, format!("not what LiveKit says: {error}")))?;
        if let Some(join) = response.join {
            self.on_join(now, join);
        }
        if let Some(update) = response.update {
            update.participants.iter().for_each(|participant| self.note_participant(participant));
        }
        if response.track_published.is_some()
            && let Some((_, unknown)) = &mut self.offer
        {
            *unknown = unknown.saturating_sub(1);
            self.send_offer();
        }
        if let Some(answer) = response.answer {
            self.deadline = None;
            self.events.push_back(SignalingEvent::Published(Box::new(parse(&answer.sdp)?)));
        }
        if let Some(offer) = response.offer {
            self.on_offer(&offer)?;
        }
        if let Some(trickle) = response.trickle {
            let leg = if trickle.target == 0 { Leg::Own } else { Leg::Offered };
            let init: Option<CandidateInit> = serde_json::from_str(&trickle.candidate).ok();
            if let Some(candidate) = init.and_then(|init| parse_candidate(&init.candidate)) {
                self.events.push_back(SignalingEvent::Candidate(leg, Box::new(candidate)));
            }
        }
        if let Some(speakers) = response.speakers {
            self.on_speakers(&speakers);
        }
        if let Some(RequestResponse { reason, message }) = response.request_response
            && !RequestResponse::FINE.contains(&reason)
        {
            return Err(Failure::new(FailureCause::InvalidOffer, format!("LiveKit refuses: {message} ({reason})")));
        }
        match response.leave {
            Some(leave) if !matches!(self.state, State::Left) => {
                let detail = format!("LiveKit ended the session (reason {})", leave.reason);
                Err(Failure::new(FailureCause::SessionTerminated, detail))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Offers what is sent, once the server was told of all tracks.
    pub(super) fn publish(&mut self, now: Instant, offer: &SessionDescription) {
        let tracks: Vec<_> = offer.sections.iter().filter_map(|section| self.add_track(section)).collect();
        self.offer = Some((offer.to_string(), tracks.len()));
        self.deadline = Some(now + ANSWER_TIMEOUT);
        for track in tracks {
            self.send(&SignalRequest { add_track: Some(track), ..SignalRequest::default() });
        }
        self.send_offer();
    }

    /// Takes what is offered.
    pub(super) fn subscribe(&mut self, answer: &SessionDescription) {
        let answer = Description {
            kind: "answer".to_owned(),
            sdp: answer.to_string(),
            id: self.offered,
            ..Description::default()
        };
        self.send(&SignalRequest { answer: Some(answer), ..SignalRequest::default() });
        self.ask_for_sizes();
    }

    /// Whether nobody else is in the room.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.others.is_empty()
    }

    /// Leaves the room.
    pub fn leave(&mut self) {
        self.send(&SignalRequest { leave: Some(Leave { reason: 1 }), ..SignalRequest::default() });
        self.state = State::Left;
        self.deadline = None;
    }

    fn on_join(&mut self, now: Instant, join: Join) {
        self.state = State::InRoom;
        self.deadline = None;
        self.ping_interval = Duration::from_secs(u64::try_from(join.ping_interval).unwrap_or(0).clamp(1, 60));
        self.ping_due = now + self.ping_interval;
        self.events.push_back(SignalingEvent::LoggedIn);
        self.events.push_back(SignalingEvent::Joined { nick: self.settings.nick.clone() });
        join.others.iter().for_each(|other| self.note_participant(other));
        let has = |kind| join.others.iter().flat_map(|other| &other.tracks).any(|track| track.kind == kind);
        self.events.push_back(SignalingEvent::Senders { audio: has(0), video: has(1) });
        if self.settings.sends {
            self.events.push_back(SignalingEvent::Publish);
        }
    }

    fn note_participant(&mut self, participant: &Participant) {
        let Participant { sid, identity, state, tracks } = participant;
        let Ok(owner) = identity.parse::<EndpointId>() else { return };
        if *identity == self.settings.nick {
            return;
        }
        if *state == Participant::GONE {
            self.tracks.retain(|_, track| track.owner != owner);
            if let Some(nick) = self.others.remove(sid) {
                self.events.push_back(SignalingEvent::OccupantLeft { nick });
            }
            return;
        }
        if self.others.len() < MAX_OCCUPANTS {
            self.others.insert(sid.clone(), identity.clone());
        }
        for track in tracks {
            // What other clients send has no name of ours.
            let usual = || format!("{owner}-{}", if track.kind == 0 { "a0" } else { "v0" }).parse();
            if let (Ok(name), true) = (track.name.parse().or_else(|_| usual()), self.tracks.len() < MAX_OCCUPANTS) {
                self.tracks.insert(track.sid.clone(), RemoteTrack { owner: owner.clone(), name });
            }
        }
    }

    fn add_track(&self, section: &Section) -> Option<AddTrack> {
        let name = section.name.as_ref()?;
        let cid = section.msid.as_ref()?.split_once(' ')?.1.to_owned();
        let is_audio = section.description.media.media_type()? == MediaType::Audio;
        let (source, lines) = match kind_of_video(None, name) {
            _ if is_audio => (2, 0),
            MediaKind::Screen => (3, SCREEN_LINES),
            MediaKind::Audio | MediaKind::Camera => (1, self.settings.height.lines()),
        };
        let heights = Height::ALL.into_iter().map(Height::lines).zip(0..);
        let layers = section.rids.iter().zip(heights).map(|(rid, (lines, quality))| Layer {
            quality,
            width: width_of(lines),
            height: lines.into(),
            rid: (*rid).to_owned(),
        });
        Some(AddTrack {
            cid,
            name: name.to_string(),
            kind: i32::from(!is_audio),
            width: width_of(lines),
            height: lines.into(),
            source,
            layers: layers.collect(),
            disable_red: true,
        })
    }

    fn send_offer(&mut self) {
        if let Some((sdp, _)) = self.offer.take_if(|(_, unknown)| *unknown == 0) {
            let offer = Description { kind: "offer".to_owned(), sdp, id: 1, ..Description::default() };
            self.send(&SignalRequest { offer: Some(offer), ..SignalRequest::default() });
        }
    }

    fn on_offer(&mut self, offer: &Description) -> Result<(), Failure> {
        self.offered = offer.id;
        let description = parse(&offer.sdp)?;
        let (mut sources, mut videos) = (Vec::new(), Vec::new());
        for section in description.sending() {
            let of_msid =
                || section.msid.as_ref().and_then(|msid| msid.split_once(' ')).map(|(_, track)| track.to_owned());
            let sid = offer.tracks.get(&section.mid).cloned().or_else(of_msid);
            let (Some(sid), Some((ssrc, rtx))) = (sid, section.stream()) else { continue };
            let Some(RemoteTrack { owner, name }) = self.tracks.get(&sid) else { continue };
            let kind = if section.description.media.media_type() == Some(MediaType::Audio) {
                MediaKind::Audio
            } else {
                videos.push((sid, name.clone()));
                kind_of_video(None, name)
            };
            sources.push(RemoteSource { ssrc, rtx, kind, name: name.clone(), owner: owner.clone() });
        }
        self.videos = videos;
        self.events.push_back(SignalingEvent::Subscribe { offer: Box::new(description), sources });
        Ok(())
    }

    fn on_speakers(&mut self, speakers: &Speakers) {
        let active = speakers.speakers.iter().filter(|speaker| speaker.active);
        let speaker = active.filter_map(|speaker| self.others.get(&speaker.sid)?.parse::<EndpointId>().ok()).next();
        if let Some(speaker) = speaker
            && self.settings.wishes.set_speaker(&speaker)
        {
            self.ask_for_sizes();
            self.events.push_back(SignalingEvent::Speaker(speaker));
        }
    }

    /// Tells the size that is wanted of each video.
    fn ask_for_sizes(&mut self) {
        let size = |(track, name): &(String, SourceName)| {
            let lines = self.settings.wishes.best(name, kind_of_video(None, name));
            TrackSettings { tracks: vec![track.clone()], width: width_of(lines), height: lines.into() }
        };
        for settings in self.videos.iter().map(size).collect::<Vec<_>>() {
            self.send(&SignalRequest { track_setting: Some(settings), ..SignalRequest::default() });
        }
    }

    fn send(&mut self, request: &SignalRequest) {
        self.outgoing.push_back(request.encode_to_vec());
    }
}

/// `RTCIceCandidateInit`.
#[derive(Debug, serde::Deserialize)]
struct CandidateInit {
    candidate: String,
}

/// Of a picture of 16:9.
fn width_of(lines: u16) -> u32 {
    u32::from(lines) * 16 / 9
}

fn parse(sdp: &str) -> Result<SessionDescription, Failure> {
    sdp.parse().map_err(|error: super::SdpError| Failure::new(FailureCause::InvalidOffer, error.to_string()))
}

#[cfg(test)]
mod tests;
