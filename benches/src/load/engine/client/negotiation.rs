//! How a participant and a server agree on media: what each event of signaling means for its sessions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::EndpointId;
use rand::Rng;
use xmpp::jingle::Jingle;

use super::media::{Media, bind, first_udp_candidate};
use super::settings::kinds_of;
use super::stages::{Expected, Gauge};
use super::{Client, MEDIA_TIMEOUT, Terminated};
use crate::load::engine::socket::MediaSocket;
use crate::load::measure::{FailureCause, MediaKind, Stage};
use crate::load::media::{Content, Height, Layering, SenderNumber, SourceKind, SourceSettings};
use crate::load::participant::{
    Conversation, Failure, Leg, LocalSource, MediaSession, Offer, OfferError, Playout, RemoteSource, SendingSettings,
    SessionDescription, SessionSettings, SignalingEvent, SourceChange, Wishes,
};

/// How long a focus that ended a session may take to offer another.
const REINVITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Stock clients announce three SSRCs for a camera, also where fewer are used (client.md §9.3).
const CAMERA_ENCODINGS: usize = 3;

/// Names of a camera's encodings, as LiveKit's own clients give them: the smallest picture first.
const RIDS: [&str; 3] = ["q", "h", "f"];

impl Client<'_> {
    pub(super) fn on_signaling(
        &mut self,
        event: SignalingEvent,
        now: Instant,
        gauge: &mut Gauge<'_>,
    ) -> Result<(), Failure> {
        match event {
            SignalingEvent::LoggedIn => self.end_stage(Stage::Login, now),
            SignalingEvent::ConferenceReady => self.end_stage(Stage::ConferenceRequest, now),
            SignalingEvent::Joined { nick } => {
                self.end_stage(Stage::Room, now);
                self.nick = nick;
                self.stages.joined = Some(now);
                let scenario = &self.berth.shared.scenario;
                if scenario.signaling_only || scenario.participants == 1 {
                    gauge.join();
                }
                if scenario.signaling_only {
                    self.stages.is_complete = true;
                    let took = now.saturating_duration_since(self.stages.started);
                    self.record(|measurements| measurements.record_stage(Stage::Join, took));
                }
            }
            SignalingEvent::Senders { audio, video } => {
                let wants_video = self.wants_video();
                self.expected = Expected { audio, video: video && wants_video, by: Some(now + MEDIA_TIMEOUT) };
                // Who neither sends nor hears anybody has all that there is.
                if !audio && !video && kinds_of(&self.berth.shared.scenario, self.place).is_empty() {
                    gauge.join();
                }
            }
            SignalingEvent::Publish => {
                let media = self.offer_media(now)?;
                *self.leg_mut(Leg::Own) = Some(media);
                self.speech_due = Some(now);
            }
            SignalingEvent::Published(answer) => {
                if let Some(media) = self.leg(Leg::Own) {
                    media.session.take_answer(&answer, now).map_err(invalid)?;
                    media.negotiated = Some(now);
                }
                self.note_negotiated(now);
            }
            SignalingEvent::Subscribe { offer, sources } => self.on_subscription(&offer, sources, now)?,
            SignalingEvent::Candidate(leg, candidate) => {
                if let Some(media) = self.leg(leg) {
                    media.session.add_candidate(*candidate, now);
                }
            }
            SignalingEvent::Speaker(speaker) => {
                if let Some(media) = self.leg(Leg::Offered) {
                    media.session.set_speaker(&speaker, now);
                }
            }
            SignalingEvent::NotAlone => self.stages.not_alone = Some(now),
            SignalingEvent::Offer(offer) => self.on_offer(*offer, now)?,
            SignalingEvent::Accepted => self.note_negotiated(now),
            SignalingEvent::Sources(jingle) => {
                if let [Some(media), _] = &mut self.media {
                    self.berth.with(|state| media.session.handle_sources(now, &jingle, &mut state.measurements));
                }
            }
            SignalingEvent::OccupantLeft { nick } => {
                let Ok(owner) = nick.parse() else { return Ok(()) };
                if let [Some(media), _] = &mut self.media {
                    self.berth.with(|state| media.session.handle_departure(now, &owner, &mut state.measurements));
                } else if let Some(playout) = &mut self.playout {
                    playout.handle_departure(&owner);
                }
            }
            SignalingEvent::Terminated { reason } => {
                self.end_sessions(now);
                self.channel = None;
                self.expected = Expected::default();
                self.terminated = Some(Terminated { reinvite_by: now + REINVITE_TIMEOUT, reason });
            }
        }
        Ok(())
    }

    fn on_offer(&mut self, offer: Jingle, now: Instant) -> Result<(), Failure> {
        self.record_since_invitable(Stage::Offer, now);
        let shared = &self.berth.shared;
        let offer = Offer::read(offer).map_err(invalid)?;
        if !offer.negotiated.video.contains_key(&shared.scenario.codec) && self.sends_video() {
            return Err(invalid(OfferError::NoCodec(shared.scenario.codec.as_str())));
        }
        let bridge = first_udp_candidate(&offer).ok_or_else(|| {
            invalid(OfferError::Transport(
                "it has no UDP candidate with an address that this host can reach".to_owned(),
            ))
        })?;
        let socket = bind(bridge)?;
        self.end_sessions(now);
        self.expected = self.expected_of(&offer);
        let settings = self.session_settings(&socket, Leg::Offered)?;
        let (session, accept) = MediaSession::new(settings, offer, now).map_err(invalid)?;
        self.signaling.accept(now, accept);
        self.media = [Some(self.media(socket, session, Some(now))), None];
        self.terminated = None;
        self.speech_due = Some(now);
        Ok(())
    }

    /// Offers what is sent to a server that has a connection for it.
    fn offer_media(&mut self, now: Instant) -> Result<Media, Failure> {
        let socket = bind(self.server_address()?)?;
        let settings = self.session_settings(&socket, Leg::Own)?;
        let (session, offer) =
            MediaSession::offering(settings, self.berth.shared.scenario.codec, now).map_err(invalid)?;
        self.signaling.publish(now, &offer);
        Ok(self.media(socket, session, None))
    }

    /// A server that has a connection for it offers what others send.
    fn on_subscription(
        &mut self,
        offer: &SessionDescription,
        sources: Vec<RemoteSource>,
        now: Instant,
    ) -> Result<(), Failure> {
        if self.leg(Leg::Offered).is_none() {
            let socket = bind(self.server_address()?)?;
            let settings = self.session_settings(&socket, Leg::Offered)?;
            let (session, _) = MediaSession::answering(settings, offer, now).map_err(invalid)?;
            let media = self.media(socket, session, Some(now));
            *self.leg_mut(Leg::Offered) = Some(media);
            if kinds_of(&self.berth.shared.scenario, self.place).is_empty() {
                self.note_negotiated(now);
            }
        }
        if let [Some(media), _] = &mut self.media {
            let answer =
                self.berth.with(|state| media.session.take_sources(offer, sources, now, &mut state.measurements));
            self.signaling.subscribe(now, &answer);
        }
        Ok(())
    }

    /// The server, by the address of its signaling: where its media is comes later.
    fn server_address(&self) -> Result<SocketAddr, Failure> {
        let of_media = self.server.filter(SocketAddr::is_ipv4);
        of_media.ok_or_else(|| Failure::new(FailureCause::Local, "media goes over IPv4 only with this --signaling"))
    }

    fn session_settings(&mut self, socket: &MediaSocket, leg: Leg) -> Result<SessionSettings, Failure> {
        let has_one_leg = matches!(self.signaling, Conversation::Jitsi(_));
        let endpoint: EndpointId = self
            .nick
            .parse()
            .map_err(|error: model::InvalidId| Failure::new(FailureCause::Local, error.to_string()))?;
        let sending = if has_one_leg || leg == Leg::Own { self.sources(&endpoint)? } else { Vec::new() };
        let shared = &self.berth.shared;
        let wishes = Wishes::new(&shared.scenario);
        Ok(SessionSettings {
            local: socket.local(),
            context: Arc::clone(&shared.context),
            clock: shared.clock,
            sending,
            playout: self.playout.take().unwrap_or_else(|| Playout::new(endpoint, &wishes, shared.clock)),
            wishes,
            is_decoder: shared.scenario.is_decoder(self.index),
            channel: shared.scenario.bridge_channel,
            seed: self.random.random(),
        })
    }

    /// Whoever is told sources with the offer has media to wait for.
    fn expected_of(&self, offer: &Offer) -> Expected {
        let sources = SourceChange::of_jingle(&offer.jingle).added;
        let has = |is_audio: bool| sources.iter().any(|source| (source.kind == MediaKind::Audio) == is_audio);
        Expected { audio: has(true), video: has(false) && self.wants_video(), by: None }
    }

    /// Whether it would notice video.
    fn wants_video(&self) -> bool {
        let scenario = &self.berth.shared.scenario;
        scenario.last_n != 0 && scenario.is_decoder(self.index)
    }

    fn sends_video(&self) -> bool {
        kinds_of(&self.berth.shared.scenario, self.place).iter().any(|kind| *kind != MediaKind::Audio)
    }

    fn sources(&mut self, endpoint: &EndpointId) -> Result<Vec<SendingSettings>, Failure> {
        let shared = &self.berth.shared;
        let scenario = &shared.scenario;
        let mut all = Vec::new();
        // LiveKit knows the encodings of simulcast by their names, and has to be told how many there are.
        let sizes = Height::ALL.into_iter().filter(|height| *height <= scenario.height).count();
        let (encodings, rids) = match &self.signaling {
            Conversation::LiveKit(_) if sizes == 1 => (1, &[][..]),
            Conversation::LiveKit(_) => (sizes, RIDS.get(..sizes).unwrap_or_default()),
            Conversation::Jitsi(_) | Conversation::Janus(_) => (CAMERA_ENCODINGS, &[][..]),
        };
        // SSRCs differ from run to run also with the same seed: a room may still remember those of the last one.
        for kind in kinds_of(scenario, self.place) {
            let layering = if scenario.svc { Layering::Svc } else { Layering::Simulcast };
            let (source, encodings) = match kind {
                MediaKind::Audio => (SourceKind::Microphone, 1),
                MediaKind::Camera => {
                    (SourceKind::Camera { codec: scenario.codec, height: scenario.height, layering }, encodings)
                }
                MediaKind::Screen => (SourceKind::Screen { codec: scenario.codec }, 1),
            };
            let mut local = LocalSource::new(kind, endpoint, encodings, &mut rand::rng())
                .map_err(|error| Failure::new(FailureCause::Local, error.to_string()))?;
            if kind == MediaKind::Camera {
                local.rids = rids;
            }
            let source = SourceSettings {
                kind: source,
                content: if scenario.synthetic { Content::Synthetic } else { Content::Clip },
                sender: SenderNumber(self.index as u32),
                seed: self.random.random(),
                clock: shared.clock,
                library: Arc::clone(&shared.library),
            };
            all.push(SendingSettings { local, source });
        }
        Ok(all)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it maps errors")]
fn invalid(error: OfferError) -> Failure {
    Failure::new(FailureCause::InvalidOffer, error.to_string())
}
