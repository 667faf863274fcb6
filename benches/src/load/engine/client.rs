//! One visit of a participant: from the WebSocket to the last packet.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::{SinkExt, StreamExt};
use model::EndpointId;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite::{self, Message};
use xmpp::jingle::Jingle;

use super::connect::{Socket, failure_of, open_web_socket, peer_address};
use super::crew::{Berth, BerthState};
use super::socket::{Batches, MediaSocket, Moment};
use crate::load::measure::{FailureCause, Measurements, MediaKind, Phase, Stage};
use crate::load::media::{Activity, Content, Height, Layering, SenderNumber, SourceKind, SourceSettings};
use crate::load::participant::{
    Conversation, DelayLine, Failure, Farewell, Fate, Frame, JanusSettings, JanusSignaling, Leg, LiveKitSettings,
    LiveKitSignaling, LocalSource, MediaSession, Offer, OfferError, Outbox, Purpose, RemoteSource, SendingSettings,
    SessionDescription, SessionSettings, SessionTurn, Signaling, SignalingEvent, SignalingSettings, SourceChange,
    Wishes, livekit_token,
};
use crate::load::scenario::{Scenario, SignalingKind};

/// How long a frame may take to get into a WebSocket.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long media may take to come from somebody who is there.
const MEDIA_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a focus that ended a session may take to offer another.
const REINVITE_TIMEOUT: Duration = Duration::from_secs(30);
/// A participant looks so often into its socket once it has joined, as often as it looks after feedback: the system notes when
/// each packet arrived.
const RECEIVE_INTERVAL: Duration = Duration::from_millis(20);
/// Whoever has something else to do looks into its socket too, if that is due so soon.
const RECEIVE_EARLY: Duration = Duration::from_millis(8);
/// Batches of datagrams in a row, so that a flooded participant does not starve the others.
const MAX_BATCHES: usize = 4;

/// Why a visit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    /// The run is over.
    Over,
    /// It comes back.
    Away,
}

/// Joins, stays, leaves. `next_leave` is when churn has it leave next, by the steady part.
pub(super) async fn visit(
    berth: &Berth,
    index: usize,
    visit: u64,
    next_leave: &mut Option<Instant>,
) -> Result<Departure, Failure> {
    let mut gauge = Gauge { berth, state: GaugeState::Joining };
    let started = Instant::now();
    let (room, place) = berth.shared.timeline.place(index);
    let target = &berth.shared.target;
    let room_name = format!("{}-{room}", berth.shared.scenario.room_prefix);
    let url = match &target.api {
        Some((key, secret)) => {
            let wall = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
            let token = livekit_token(&nick_of(index), &room_name, key, secret, wall);
            format!("{}?protocol=16&auto_subscribe=1&access_token={token}", target.websocket)
        }
        None => target.websocket_of(&room_name),
    };
    let mut phase = berth.phase.clone();
    let opened = tokio::select! {
        opened = open_web_socket(&url, target.signaling.subprotocol(), Arc::clone(&berth.shared.tls)) => opened?,
        _ = phase.wait_for(|phase| *phase == Phase::Leaving) => return Ok(Departure::Over),
    };
    let now = Instant::now();
    let mut seed = SmallRng::seed_from_u64(berth.shared.scenario.seed ^ ((index as u64) << 20) ^ visit);
    let signaling = match target.signaling {
        SignalingKind::Jitsi => {
            let settings = signaling_settings(berth, &room_name, index, place)?;
            Conversation::Jitsi(Box::new(Signaling::new(settings, now)))
        }
        SignalingKind::Janus => {
            Conversation::Janus(Box::new(JanusSignaling::new(janus_settings(berth, room, index, place), now)))
        }
        SignalingKind::Livekit => {
            let scenario = &berth.shared.scenario;
            let settings = LiveKitSettings {
                nick: nick_of(index),
                sends: !kinds_of(scenario, place).is_empty(),
                height: scenario.height,
                wishes: Wishes::new(scenario),
            };
            Conversation::LiveKit(Box::new(LiveKitSignaling::new(settings, now)))
        }
    };
    let client = Client {
        berth,
        index,
        place,
        signaling,
        server: peer_address(&opened),
        socket: opened,
        nick: String::new(),
        media: [None, None],
        channel: None,
        stages: Stages::new(started, now),
        expected: Expected::default(),
        random: SmallRng::seed_from_u64(seed.random()),
        speech_due: None,
        terminated: None,
    };
    berth.with(|state| state.measurements.record_stage(Stage::WebSocket, now - started));
    client.stay(&mut gauge, next_leave).await
}

fn signaling_settings(berth: &Berth, room: &str, index: usize, place: usize) -> Result<SignalingSettings, Failure> {
    let (target, scenario) = (&berth.shared.target, &berth.shared.scenario);
    let address = format!("{room}@{}", target.muc);
    let room = address.parse().map_err(|_| Failure::new(FailureCause::Local, format!("{address} is no room")))?;
    let kinds = kinds_of(scenario, place);
    let source_info = kinds.iter().map(|kind| match kind {
        MediaKind::Audio => r#""{nick}-a0":{"muted":false}"#,
        MediaKind::Camera => r#""{nick}-v0":{"muted":false}"#,
        MediaKind::Screen => r#""{nick}-v1":{"muted":false,"videoType":"desktop"}"#,
    });
    let source_info = format!("{{{}}}", source_info.collect::<Vec<_>>().join(","));
    Ok(SignalingSettings {
        domain: target.login.as_ref().map_or_else(|| target.domain.clone(), |login| login.domain.clone()),
        focus: target.focus.clone(),
        room,
        account: target.login.as_ref().map(|login| (login.username.clone(), login.password.clone())),
        token: target.token.clone(),
        display_name: format!("Load {index}"),
        nick_of_account: nick_of(index),
        purpose: if scenario.signaling_only { Purpose::Attend } else { Purpose::Meet },
        ssrc_rewriting: scenario.ssrc_rewriting,
        source_info,
    })
}

fn janus_settings(berth: &Berth, room: usize, index: usize, place: usize) -> JanusSettings {
    let scenario = &berth.shared.scenario;
    JanusSettings {
        // Rooms of another run may have another codec.
        room: berth.shared.run + room as u64,
        participants: scenario.participants,
        nick: nick_of(index),
        sends: !kinds_of(scenario, place).is_empty(),
        codec: scenario.codec,
        wishes: Wishes::new(scenario),
    }
}

/// Of who gets no name from the server.
fn nick_of(index: usize) -> String {
    format!("{index:08x}")
}

/// What the participant of that place sends.
fn kinds_of(scenario: &Scenario, place: usize) -> Vec<MediaKind> {
    let kinds = [
        (scenario.has_microphone(place), MediaKind::Audio),
        (scenario.has_camera(place), MediaKind::Camera),
        (scenario.has_screen(place), MediaKind::Screen),
    ];
    kinds.into_iter().filter_map(|(has, kind)| has.then_some(kind)).collect()
}

/// Where a participant stands in the gauges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GaugeState {
    Joining,
    Joined,
}

struct Gauge<'a> {
    berth: &'a Berth,
    state: GaugeState,
}

impl Gauge<'_> {
    fn join(&mut self) {
        if self.state == GaugeState::Joining {
            self.state = GaugeState::Joined;
            self.berth.with(|state| {
                state.gauges.joining -= 1;
                state.gauges.joined += 1;
                state.measurements.record_joined();
            });
        }
    }
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        let was = self.state;
        self.berth.with(|state| match was {
            GaugeState::Joining => state.gauges.joining -= 1,
            GaugeState::Joined => {
                state.gauges.joined -= 1;
                state.measurements.record_left();
            }
        });
    }
}

/// Times of a join.
struct Stages {
    started: Instant,
    /// End of the stage before.
    last: Instant,
    joined: Option<Instant>,
    not_alone: Option<Instant>,
    is_complete: bool,
}

impl Stages {
    const fn new(started: Instant, now: Instant) -> Self {
        Self { started, last: now, joined: None, not_alone: None, is_complete: false }
    }

    /// From when on the focus could invite.
    fn could_be_invited(&self, now: Instant) -> Instant {
        let joined = self.joined.unwrap_or(now);
        self.not_alone.map_or(joined, |not_alone| joined.max(not_alone))
    }
}

/// Media that is to come, by what the offer says.
#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    audio: bool,
    video: bool,
    by: Option<Instant>,
}

/// Both directions of the participant's line.
struct Lines {
    send: DelayLine<(SocketAddr, Vec<u8>)>,
    receive: DelayLine<(SocketAddr, Vec<u8>)>,
}

struct Media {
    socket: MediaSocket,
    session: MediaSession,
    lines: Lines,
    /// When the other side's description came, and where ICE and DTLS have got to since.
    negotiated: Option<Instant>,
    connected: Option<Instant>,
    dtls: Option<Instant>,
    /// When the socket is looked into next, once nobody watches it.
    next_receive: Option<Instant>,
}

struct Client<'a> {
    berth: &'a Berth,
    index: usize,
    place: usize,
    socket: Socket,
    /// Where that goes, to find the address of ours that the server sees.
    server: Option<SocketAddr>,
    signaling: Conversation,
    nick: String,
    /// By [`Leg`].
    media: [Option<Media>; Leg::ALL.len()],
    channel: Option<Socket>,
    stages: Stages,
    expected: Expected,
    random: SmallRng,
    speech_due: Option<Instant>,
    terminated: Option<Terminated>,
}

/// A session that the focus ended.
struct Terminated {
    reinvite_by: Instant,
    /// As the focus gave it.
    reason: String,
}

impl Client<'_> {
    async fn stay(mut self, gauge: &mut Gauge<'_>, next_leave: &mut Option<Instant>) -> Result<Departure, Failure> {
        let stayed = self.take_part(gauge, next_leave).await;
        let now = Instant::now();
        self.berth.with(|state| {
            for media in self.media.iter_mut().flatten() {
                media.session.finish(now, &mut state.measurements);
            }
        });
        if let Ok(departure) = stayed {
            self.signaling.leave(match departure {
                Departure::Over => Farewell::ForGood,
                Departure::Away => Farewell::ForNow,
            });
            // A server that does not take the farewell is of no interest any more.
            drop(timeout(Duration::from_secs(2), self.say_farewell()).await);
        }
        stayed
    }

    async fn take_part(
        &mut self,
        gauge: &mut Gauge<'_>,
        next_leave: &mut Option<Instant>,
    ) -> Result<Departure, Failure> {
        let mut phase = self.berth.phase.clone();
        let sleep = sleep_until(Instant::now().into());
        tokio::pin!(sleep);
        loop {
            let moment = Moment::new();
            self.drive(moment, gauge)?;
            self.flush_signaling().await?;
            self.flush_channel().await?;
            self.plan_leave(*phase.borrow_and_update(), next_leave, moment.now);
            if *phase.borrow() == Phase::Leaving {
                return Ok(Departure::Over);
            }
            let deadline = self.poll_timeout(*next_leave);
            if sleep.deadline() != deadline.into() {
                sleep.as_mut().reset(deadline.into());
            }
            let [offered, own] = &self.media;
            let media_ready = async {
                tokio::select! {
                    ready = readable(offered.as_ref()) => (Leg::Offered, ready),
                    ready = readable(own.as_ref()) => (Leg::Own, ready),
                }
            };
            let channel_next = async {
                match &mut self.channel {
                    Some(channel) => channel.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                (leg, ready) = media_ready => {
                    ready.map_err(|error| Failure::new(FailureCause::Local, format!("media socket: {error}")))?;
                    self.receive_media(leg)?;
                }
                message = self.socket.next() => self.handle_message(message)?,
                message = channel_next => self.handle_channel(message),
                () = &mut sleep => {
                    if next_leave.is_some_and(|at| at <= Instant::now()) {
                        *next_leave = None;
                        return Ok(Departure::Away);
                    }
                }
                _ = phase.changed() => {}
            }
        }
    }

    /// With churn, plans when to leave once the steady part has begun.
    fn plan_leave(&self, phase: Phase, next_leave: &mut Option<Instant>, now: Instant) {
        let Some((first, round)) = self.berth.shared.timeline.churn(self.index) else { return };
        if phase == Phase::Steady && next_leave.is_none() {
            let is_back = self.stages.started > self.berth.steady_since(now);
            *next_leave =
                Some(if is_back { self.stages.started + round } else { self.berth.steady_since(now) + first });
        }
    }

    fn poll_timeout(&self, next_leave: Option<Instant>) -> Instant {
        let media = self.media.iter().flatten().flat_map(|media| {
            let lines = [media.lines.send.poll_timeout(), media.lines.receive.poll_timeout()];
            lines.into_iter().chain([Some(media.session.poll_timeout()), media.next_receive]).flatten()
        });
        let expected = self.expected.by.filter(|_| self.expected.audio || self.expected.video);
        let timers =
            [expected, next_leave, self.speech_due, self.terminated.as_ref().map(|terminated| terminated.reinvite_by)];
        timers.into_iter().flatten().chain(media).fold(self.signaling.poll_timeout(), Instant::min)
    }

    /// Does what is due, and turns events of one part into input of another.
    fn drive(&mut self, moment: Moment, gauge: &mut Gauge<'_>) -> Result<(), Failure> {
        let now = moment.now;
        if self.signaling.poll_timeout() <= now {
            self.signaling.handle_timeout(now)?;
        }
        while let Some(event) = self.signaling.poll_event() {
            self.on_signaling(event, now, gauge)?;
        }
        // Whoever is alone is not invited, and that is as it should be.
        if let Some(terminated) = self.terminated.take_if(|terminated| terminated.reinvite_by <= now)
            && !self.signaling.is_alone()
        {
            let detail = format!("the focus ended the session ({}) and offers no other", terminated.reason);
            return Err(Failure::new(FailureCause::SessionTerminated, detail));
        }
        self.follow_speech(now);
        for leg in Leg::ALL {
            if self.leg(leg).is_some_and(|media| media.next_receive.is_some_and(|at| at <= now + RECEIVE_EARLY)) {
                self.receive_media(leg)?;
            }
            self.drive_media(leg, moment)?;
            while let Some(turn) = self.leg(leg).and_then(|media| media.session.poll_turn()) {
                self.on_turn(leg, turn, now, gauge);
            }
        }
        self.check_expected(now);
        if self.stages.is_complete {
            self.stop_watching(now)?;
        }
        Ok(())
    }

    /// Who has joined is in no hurry to see a packet, as the times of its join are taken.
    fn stop_watching(&mut self, now: Instant) -> Result<(), Failure> {
        for slot in &mut self.media {
            let has_joined = |media: &mut Media| media.dtls.is_some() && media.next_receive.is_none();
            let Some(media) = slot.take_if(has_joined) else { continue };
            let socket = media.socket.stop_watching();
            let socket = socket.map_err(|error| Failure::new(FailureCause::Local, format!("media socket: {error}")))?;
            *slot = Some(Media { socket, next_receive: Some(now), ..media });
        }
        Ok(())
    }

    fn on_signaling(&mut self, event: SignalingEvent, now: Instant, gauge: &mut Gauge<'_>) -> Result<(), Failure> {
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
                if let ([Some(media), _], Ok(owner)) = (&mut self.media, nick.parse()) {
                    self.berth.with(|state| media.session.handle_departure(now, &owner, &mut state.measurements));
                }
            }
            SignalingEvent::Terminated { reason } => {
                for mut media in self.media.iter_mut().filter_map(Option::take) {
                    self.berth.with(|state| media.session.finish(now, &mut state.measurements));
                }
                self.channel = None;
                self.expected = Expected::default();
                self.terminated = Some(Terminated { reinvite_by: now + REINVITE_TIMEOUT, reason });
            }
        }
        Ok(())
    }

    fn leg(&mut self, leg: Leg) -> Option<&mut Media> {
        self.leg_mut(leg).as_mut()
    }

    const fn leg_mut(&mut self, leg: Leg) -> &mut Option<Media> {
        let [offered, own] = &mut self.media;
        match leg {
            Leg::Offered => offered,
            Leg::Own => own,
        }
    }

    /// The session is agreed on.
    fn note_negotiated(&self, now: Instant) {
        self.record_since_invitable(Stage::Jingle, now);
    }

    fn record_since_invitable(&self, stage: Stage, now: Instant) {
        let took = now.saturating_duration_since(self.stages.could_be_invited(now));
        self.record(|measurements| measurements.record_stage(stage, took));
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
        Ok(SessionSettings {
            local: socket.local(),
            context: Arc::clone(&shared.context),
            clock: shared.clock,
            sending,
            wishes: Wishes::new(&shared.scenario),
            is_decoder: shared.scenario.is_decoder(self.index),
            channel: shared.scenario.bridge_channel,
            seed: self.random.random(),
        })
    }

    fn media(&mut self, socket: MediaSocket, session: MediaSession, negotiated: Option<Instant>) -> Media {
        let scenario = &self.berth.shared.scenario;
        let lines = Lines {
            send: DelayLine::new(scenario.send, SmallRng::seed_from_u64(self.random.random())),
            receive: DelayLine::new(scenario.receive, SmallRng::seed_from_u64(self.random.random())),
        };
        Media { socket, session, lines, negotiated, connected: None, dtls: None, next_receive: None }
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

    fn on_turn(&mut self, leg: Leg, turn: SessionTurn, now: Instant, gauge: &mut Gauge<'_>) {
        let Some(media) = self.leg(leg) else { return };
        let since = |at: Option<Instant>| at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let (stage, took) = match turn {
            SessionTurn::IceConnected => {
                media.connected = Some(now);
                (Stage::Ice, since(media.negotiated))
            }
            SessionTurn::DtlsConnected => {
                media.dtls = Some(now);
                (Stage::Dtls, since(media.connected))
            }
            SessionTurn::ChannelOpen => (Stage::BridgeChannel, since(media.dtls)),
            SessionTurn::FirstAudio => (Stage::FirstAudio, since(media.dtls)),
            SessionTurn::FirstVideo => (Stage::FirstVideo, since(media.dtls)),
        };
        let is_of_join = match turn {
            SessionTurn::DtlsConnected => {
                self.expected.by.get_or_insert(now + MEDIA_TIMEOUT);
                gauge.join();
                true
            }
            SessionTurn::FirstAudio => std::mem::take(&mut self.expected.audio),
            SessionTurn::FirstVideo => std::mem::take(&mut self.expected.video),
            SessionTurn::IceConnected | SessionTurn::ChannelOpen => true,
        };
        if is_of_join {
            self.record(|measurements| measurements.record_stage(stage, took));
        }
    }

    /// Ends the join when all media that was to come has come, or gives up on it.
    fn check_expected(&mut self, now: Instant) {
        if self.media.iter().flatten().all(|media| media.dtls.is_none()) {
            return;
        }
        if !self.expected.audio && !self.expected.video {
            if !std::mem::replace(&mut self.stages.is_complete, true) {
                // Waiting alone in a room is nobody's fault.
                let alone = self.stages.joined.map_or(Duration::ZERO, |joined| {
                    self.stages.could_be_invited(now).saturating_duration_since(joined)
                });
                let took = now.saturating_duration_since(self.stages.started).saturating_sub(alone);
                self.record(|measurements| measurements.record_stage(Stage::Join, took));
            }
        } else if self.expected.by.is_some_and(|by| by <= now) {
            let what = match (self.expected.audio, self.expected.video) {
                (true, true) => "neither audio nor video",
                (true, false) => "no audio",
                (false, _) => "no video that can be decoded",
            };
            let detail = format!("{what} came in {MEDIA_TIMEOUT:?} from those who were there");
            self.record(|measurements| measurements.record_failure(FailureCause::NoMedia, &detail));
            self.expected = Expected::default();
            self.stages.is_complete = true;
        }
    }

    fn end_stage(&mut self, stage: Stage, now: Instant) {
        let took = now.saturating_duration_since(self.stages.last);
        self.stages.last = now;
        self.record(|measurements| measurements.record_stage(stage, took));
    }

    fn record(&self, work: impl FnOnce(&mut Measurements)) {
        self.berth.with(|state| work(&mut state.measurements));
    }

    fn follow_speech(&mut self, now: Instant) {
        if self.speech_due.is_none_or(|due| due > now) {
            return;
        }
        let shared = &self.berth.shared;
        let (speaks, next) = shared.timeline.speaks(self.place, now.saturating_duration_since(shared.start));
        for media in self.media.iter_mut().flatten() {
            media.session.set_activity(if speaks { Activity::Speaking } else { Activity::Silent });
        }
        self.speech_due = next.map(|next| shared.start + next);
    }

    fn drive_media(&mut self, leg: Leg, moment: Moment) -> Result<(), Failure> {
        let berth = self.berth;
        let Some(media) = self.leg(leg) else { return Ok(()) };
        berth.with(|state| {
            while let Some((due, (from, mut datagram))) = media.lines.receive.pop_due(moment.now) {
                let BerthState { measurements, outbox, .. } = state;
                let wall = moment.ntp();
                media.session.handle_datagram(moment.now, wall, due, from, &mut datagram, outbox, measurements)?;
            }
            let BerthState { measurements, batches, outbox, .. } = state;
            if media.session.poll_timeout() <= moment.now {
                media.session.drive(moment.now, moment.ntp(), outbox, measurements)?;
            }
            media.flush(outbox, batches, moment.now)
        })
    }

    fn receive_media(&mut self, leg: Leg) -> Result<(), Failure> {
        let berth = self.berth;
        let Some(media) = self.leg(leg) else { return Ok(()) };
        if let Some(next_receive) = &mut media.next_receive {
            *next_receive = Instant::now() + RECEIVE_INTERVAL;
        }
        berth.with(|state| {
            let BerthState { measurements, batches, outbox, .. } = state;
            for _ in 0..MAX_BATCHES {
                let moment = Moment::new();
                let mut outcome = Ok(());
                let Media { socket, session, lines, .. } = media;
                let more = socket.receive(batches, moment, |from, arrived, datagram| {
                    if outcome.is_err() {
                        return;
                    }
                    outcome = match lines.receive.decide(arrived) {
                        Fate::Now => {
                            let wall = moment.ntp();
                            session.handle_datagram(moment.now, wall, arrived, from, datagram, outbox, measurements)
                        }
                        Fate::At(due) => {
                            lines.receive.push(due, (from, datagram.to_vec()));
                            Ok(())
                        }
                        Fate::Lost => Ok(()),
                    };
                });
                outcome?;
                session.drive(moment.now, moment.ntp(), outbox, measurements)?;
                media.flush(outbox, batches, moment.now)?;
                match more {
                    Ok(true) => {}
                    Ok(false) => return Ok(()),
                    Err(error) => return Err(Failure::new(FailureCause::Local, format!("media socket: {error}"))),
                }
            }
            // There is more, after the others had their turn.
            media.next_receive = media.next_receive.map(|_| Instant::now());
            Ok(())
        })
    }

    fn handle_message(&mut self, message: Option<tungstenite::Result<Message>>) -> Result<(), Failure> {
        let place = &self.berth.shared.target.websocket;
        match message {
            Some(Ok(Message::Text(text))) => self.signaling.handle_text(Instant::now(), text.as_str()),
            Some(Ok(Message::Binary(bytes))) => self.signaling.handle_binary(Instant::now(), &bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(()),
            Some(Ok(Message::Close(_))) | None => {
                Err(Failure::new(FailureCause::ConnectionLost, format!("{place}: the server closed the connection")))
            }
            Some(Err(error)) => {
                let Failure { detail, .. } = failure_of(&error, place);
                Err(Failure::new(FailureCause::ConnectionLost, detail))
            }
        }
    }

    /// The bridge channel. One that breaks is opened again by the next flush, as stock clients do.
    fn handle_channel(&mut self, message: Option<tungstenite::Result<Message>>) {
        match message {
            Some(Ok(Message::Text(text))) => {
                if let [Some(media), _] = &mut self.media {
                    let now = Instant::now();
                    self.berth.with(|state| media.session.handle_text(now, text.as_str(), &mut state.measurements));
                }
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_) | Message::Binary(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => self.channel = None,
        }
    }

    async fn flush_signaling(&mut self) -> Result<(), Failure> {
        let mut has_fed = false;
        while let Some(frame) = self.signaling.poll_frame() {
            has_fed = true;
            let message = match frame {
                Frame::Text(text) => Message::text(text),
                Frame::Binary(bytes) => Message::binary(bytes),
            };
            write(&mut self.socket, message, Flush::Later, &self.berth.shared.target.websocket).await?;
        }
        if has_fed {
            let flushed = timeout(WRITE_TIMEOUT, self.socket.flush()).await;
            written(flushed, &self.berth.shared.target.websocket)?;
        }
        Ok(())
    }

    async fn flush_channel(&mut self) -> Result<(), Failure> {
        let [Some(media), _] = &mut self.media else { return Ok(()) };
        let Some(url) = media.session.web_socket().map(str::to_owned) else { return Ok(()) };
        if self.channel.is_none() && media.dtls.is_some() {
            let opened = open_web_socket(&url, None, Arc::clone(&self.berth.shared.tls)).await;
            self.channel = Some(
                opened.map_err(|failure| Failure::new(failure.cause, format!("bridge channel: {}", failure.detail)))?,
            );
            media.session.handle_web_socket_open();
        }
        let Some(channel) = &mut self.channel else { return Ok(()) };
        while let Some(text) = media.session.poll_text() {
            if write(channel, Message::text(text), Flush::Now, "bridge channel").await.is_err() {
                self.channel = None;
                break;
            }
        }
        Ok(())
    }

    async fn say_farewell(&mut self) -> Result<(), Failure> {
        self.flush_signaling().await?;
        // A socket with unread data resets the connection when it is dropped, and the server may lose the farewell by that.
        drop(self.socket.close(None).await);
        while let Some(Ok(_)) = self.socket.next().await {}
        Ok(())
    }
}

/// Stock clients announce three SSRCs for a camera, also where fewer are used (client.md §9.3).
const CAMERA_ENCODINGS: usize = 3;
/// Names of a camera's encodings, as LiveKit's own clients give them: the smallest picture first.
const RIDS: [&str; 3] = ["q", "h", "f"];

impl Media {
    /// Sends what waits in the outbox and what is due on the line.
    fn flush(&mut self, outbox: &mut Outbox, batches: &mut Batches, now: Instant) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::new(FailureCause::Local, format!("media socket: {error}"));
        let bridge = self.session.bridge();
        if self.lines.send.is_transparent() {
            for datagram in outbox.take_addressed() {
                self.socket.send_to(datagram.to, &datagram.bytes);
            }
            if outbox.has_media() {
                self.socket.send(batches, bridge, outbox.iter()).map_err(failed)?;
                outbox.clear();
            }
            return Ok(());
        }
        let addressed: Vec<_> = outbox.take_addressed().map(|datagram| (datagram.to, datagram.bytes)).collect();
        let media_datagrams = outbox.iter().map(|datagram| (bridge, datagram.to_vec()));
        for (to, datagram) in addressed.into_iter().chain(media_datagrams) {
            match self.lines.send.decide(now) {
                Fate::Now => self.lines.send.push(now, (to, datagram)),
                Fate::At(due) => self.lines.send.push(due, (to, datagram)),
                Fate::Lost => {}
            }
        }
        outbox.clear();
        while let Some((_, (to, datagram))) = self.lines.send.pop_due(now) {
            self.socket.send_to(to, &datagram);
        }
        Ok(())
    }
}

/// Waits for datagrams.
async fn readable(media: Option<&Media>) -> std::io::Result<()> {
    match media {
        Some(media) => media.socket.readable().await,
        None => std::future::pending().await,
    }
}

fn bind(server: SocketAddr) -> Result<MediaSocket, Failure> {
    MediaSocket::bind(server)
        .map_err(|error| Failure::new(FailureCause::Local, format!("cannot reach {server}: {error:#}")))
}

#[expect(clippy::needless_pass_by_value, reason = "it maps errors")]
fn invalid(error: OfferError) -> Failure {
    Failure::new(FailureCause::InvalidOffer, error.to_string())
}

/// The candidate that decides on the family of addresses.
fn first_udp_candidate(offer: &Offer) -> Option<SocketAddr> {
    let candidates = || {
        let udp = offer.transport.candidates.iter().filter(|candidate| candidate.protocol.eq_ignore_ascii_case("udp"));
        udp.filter_map(|candidate| Some(SocketAddr::new(candidate.ip.parse().ok()?, candidate.port)))
    };
    let is_reachable = |address: &SocketAddr| MediaSocket::bind(*address).is_ok();
    candidates().find(|address| address.is_ipv4() && is_reachable(address)).or_else(|| candidates().find(is_reachable))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flush {
    Now,
    Later,
}

async fn write(socket: &mut Socket, message: Message, flush: Flush, place: &str) -> Result<(), Failure> {
    let writing = async {
        match flush {
            Flush::Now => socket.send(message).await,
            Flush::Later => socket.feed(message).await,
        }
    };
    written(timeout(WRITE_TIMEOUT, writing).await, place)
}

fn written(outcome: Result<tungstenite::Result<()>, tokio::time::error::Elapsed>, place: &str) -> Result<(), Failure> {
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::new(FailureCause::ConnectionLost, format!("{place}: {error}"))),
        Err(_) => {
            Err(Failure::new(FailureCause::ConnectionLost, format!("{place}: takes no data for {WRITE_TIMEOUT:?}")))
        }
    }
}
