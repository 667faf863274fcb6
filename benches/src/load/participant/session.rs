//! The media session of a participant: from an offer to packets, over one UDP path. With Jitsi it has both
//! directions, with servers that speak SDP one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dtls::DtlsContext;
use ice::{DatagramKind, IceRole};
use jitsi_protocol::bridge_channel::{BridgeMessage, ClientMessage, SourceVideoTypeMessage};
use model::{EndpointId, VideoType};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rtp::NtpTime;
use rtp::rtcp::{Compound, RtcpPacket, write_receiver_report, write_sdes_cname, write_sender_report};
use srtp::{MAX_RTCP_OVERHEAD, SrtpReceiver, SrtpSender};
use tests::peer::Peer;
use xmpp::jingle::{Candidate, IceTransport, Jingle};

use super::answer::answer;
use super::offer::OfferError;
use super::receiving::{Depth, Receiving};
use super::sending::{Outbox, Sending, SendingSettings};
use super::{Failure, Negotiated, Offer, Playout, RemoteSource, SessionDescription, SourceChange, Wishes};
use crate::load::measure::{FailureCause, Measurements, MediaKind};
use crate::load::media::{Activity, MediaClock, VideoCodec};
use crate::load::scenario::ChannelKind;

/// Reports, and what is done each second.
const TICK: Duration = Duration::from_secs(1);
/// How often feedback is looked after; libwebrtc's pace.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(20);
/// Whoever has something else to do looks after it too, if that is due so soon.
const FEEDBACK_EARLY: Duration = Duration::from_millis(8);
/// How long ICE may take, and then DTLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the channel may take behind DTLS.
const CHANNEL_TIMEOUT: Duration = Duration::from_secs(15);
/// Candidates of a server that are remembered for the report.
const MAX_CANDIDATES: usize = 32;
/// RTCP behind this length goes into another datagram.
const MAX_COMPOUND_LEN: usize = 1_100;

/// What a session needs to know.
pub struct SessionSettings {
    /// Address of the socket, as the bridge will see it without a NAT.
    pub local: SocketAddr,
    /// Certificate of all participants.
    pub context: Arc<DtlsContext>,
    /// Time of the trailers.
    pub clock: MediaClock,
    /// What is sent.
    pub sending: Vec<SendingSettings>,
    /// What is wanted.
    pub wishes: Wishes,
    /// What was played in the session before, if there was one.
    pub playout: Playout,
    /// Whether it decrypts and decodes what comes.
    pub is_decoder: bool,
    /// How the bridge channel is opened.
    pub channel: ChannelKind,
    /// For first numbers.
    pub seed: u64,
}

/// A turn of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionTurn {
    /// ICE has a pair.
    IceConnected,
    /// There are keys; media flows.
    DtlsConnected,
    /// The bridge channel is open.
    ChannelOpen,
    /// The first audio came.
    FirstAudio,
    /// The first frame of video could be decoded.
    FirstVideo,
}

#[derive(Debug)]
enum Channel {
    /// Over SCTP; told here what was seen of it.
    Data { was_open: bool },
    /// Over a WebSocket that the caller has.
    WebSocket { is_open: bool },
    /// The focus offers none.
    None,
}

/// Keys of both directions.
struct Media {
    sender: SrtpSender,
    receiver: SrtpReceiver,
}

/// A media session, sans-IO.
pub struct MediaSession {
    negotiated: Negotiated,
    local: SocketAddr,
    peer: Peer,
    media: Option<Media>,
    sending: Option<Sending>,
    /// What is sent once the other side has answered.
    offered: Vec<SendingSettings>,
    receiving: Receiving,
    wishes: Wishes,
    channel: Channel,
    web_socket: Option<String>,
    /// Of the server, for who has to find out why none works.
    candidates: Vec<Candidate>,
    video_types: Vec<SourceVideoTypeMessage>,
    /// By when the next step must be done.
    deadline: Option<Instant>,
    was_connected: bool,
    /// ICE, DTLS or SCTP may have something to send.
    has_transport_news: bool,
    told_audio: bool,
    told_video: bool,
    next_tick: Instant,
    next_feedback: Instant,
    cname: String,
    /// RTCP may go without a report in front (RFC 5506).
    takes_reduced_size: bool,
    random: SmallRng,
    turns: VecDeque<SessionTurn>,
    texts: VecDeque<String>,
}

impl MediaSession {
    /// Takes an offer. Answers the session and the `session-accept`.
    ///
    /// # Errors
    /// [`OfferError`] when something is missing that the scenario needs.
    pub fn new(mut settings: SessionSettings, offer: Offer, now: Instant) -> Result<(Self, Jingle), OfferError> {
        let mut peer = Peer::new(settings.local, Arc::clone(&settings.context), now).map_err(unusable)?;
        let channel = match (settings.channel, offer.has_data_channel, offer.web_socket.is_some()) {
            (ChannelKind::Auto | ChannelKind::Sctp, true, _) => Channel::Data { was_open: false },
            (ChannelKind::Auto | ChannelKind::Websocket, _, true) => Channel::WebSocket { is_open: false },
            (ChannelKind::Auto, false, false) => Channel::None,
            (ChannelKind::Sctp, false, _) => return Err(OfferError::NoChannel("data channel")),
            (ChannelKind::Websocket, _, false) => return Err(OfferError::NoChannel("bridge channel over WebSocket")),
        };
        let sending = std::mem::take(&mut settings.sending);
        let locals: Vec<_> = sending.iter().map(|sending| sending.local.clone()).collect();
        let accept = answer(&offer, &peer.description(), &locals);
        peer.take_description(&offer.transport, now).map_err(unusable)?;
        let video_types = locals.iter().filter_map(|local| {
            let video_type = match local.kind {
                MediaKind::Audio => return None,
                MediaKind::Camera => VideoType::Camera,
                MediaKind::Screen => VideoType::Desktop,
            };
            Some(SourceVideoTypeMessage { video_type, source_name: local.name.clone(), endpoint_id: None })
        });
        let mut session = Self::with(settings, offer.negotiated, peer, now);
        session.channel = channel;
        session.web_socket = offer.web_socket;
        session.candidates = offer.transport.candidates;
        session.video_types = video_types.collect();
        session.begin_to_send(sending, now);
        let mut measurements = Measurements::default();
        session.receiving.change_sources(
            SourceChange::of_jingle(&offer.jingle),
            &session.wishes,
            now,
            &mut measurements,
        );
        Ok((session, accept))
    }

    /// Offers what is sent. Answers the session, which waits for [`Self::take_answer`], and the offer.
    ///
    /// # Errors
    /// [`OfferError`] when this host cannot take part.
    pub fn offering(
        mut settings: SessionSettings,
        codec: VideoCodec,
        now: Instant,
    ) -> Result<(Self, SessionDescription), OfferError> {
        let (local, context) = (settings.local, Arc::clone(&settings.context));
        let peer = Peer::for_media(local, IceRole::Controlling, context, now).map_err(unusable)?;
        let mut offered = std::mem::take(&mut settings.sending);
        for (mid, sending) in offered.iter_mut().enumerate() {
            sending.local.mid = mid.to_string();
        }
        let sources: Vec<_> = offered.iter().map(|sending| sending.local.clone()).collect();
        let offer = SessionDescription::offer(transport_of(&peer, local), &sources, codec);
        let session = Self { offered, ..Self::with(settings, Negotiated::default(), peer, now) };
        Ok((session, offer))
    }

    /// Takes the answer to [`Self::offering`].
    ///
    /// # Errors
    /// [`OfferError`] when it lacks what ICE or DTLS needs.
    pub fn take_answer(&mut self, answer: &SessionDescription, now: Instant) -> Result<(), OfferError> {
        self.peer.take_parameters(&answer.transport, now).map_err(unusable)?;
        self.has_transport_news = true;
        self.candidates.extend_from_slice(&answer.transport.candidates);
        self.negotiated = Negotiated::of(answer.descriptions());
        let offered = std::mem::take(&mut self.offered);
        self.begin_to_send(offered, now);
        Ok(())
    }

    /// Takes a server's offer of sources of others. Answers the session and the answer.
    ///
    /// # Errors
    /// [`OfferError`] when it lacks what ICE or DTLS needs.
    pub fn answering(
        settings: SessionSettings,
        offer: &SessionDescription,
        now: Instant,
    ) -> Result<(Self, SessionDescription), OfferError> {
        // Who only answers checks does not nominate (RFC 8445 §6.1.1).
        let role = if offer.is_ice_lite { IceRole::Controlling } else { IceRole::Controlled };
        let (local, context) = (settings.local, Arc::clone(&settings.context));
        let mut peer = Peer::for_media(local, role, context, now).map_err(unusable)?;
        peer.take_parameters(&offer.transport, now).map_err(unusable)?;
        let answer = offer.answer(transport_of(&peer, local));
        let mut session = Self::with(settings, Negotiated::default(), peer, now);
        session.candidates.extend_from_slice(&offer.transport.candidates);
        Ok((session, answer))
    }

    /// Takes what a server sends from now on: that of its first offer, or another for the same connection. Answers the answer.
    pub fn take_sources(
        &mut self,
        offer: &SessionDescription,
        sources: Vec<RemoteSource>,
        now: Instant,
        measurements: &mut Measurements,
    ) -> SessionDescription {
        self.negotiated = Negotiated::of(offer.descriptions());
        self.receiving.set_extensions(&self.negotiated);
        self.takes_reduced_size = offer.takes_reduced_size;
        self.receiving.set_sources(sources, &self.wishes, now, measurements);
        offer.answer(transport_of(&self.peer, self.local))
    }

    /// Takes a candidate of the server.
    pub fn add_candidate(&mut self, candidate: Candidate, now: Instant) {
        self.has_transport_news = true;
        // One that cannot be used is not tried; that none works is told with all of them.
        drop(self.peer.add_candidate(&candidate, now));
        if self.candidates.len() < MAX_CANDIDATES {
            self.candidates.push(candidate);
        }
    }

    fn with(settings: SessionSettings, negotiated: Negotiated, peer: Peer, now: Instant) -> Self {
        let depth = if settings.is_decoder { Depth::Decode } else { Depth::Count };
        Self {
            receiving: Receiving::new(depth, settings.clock, &negotiated, settings.playout, now),
            negotiated,
            local: settings.local,
            peer,
            media: None,
            sending: None,
            offered: Vec::new(),
            wishes: settings.wishes,
            channel: Channel::None,
            web_socket: None,
            candidates: Vec::new(),
            video_types: Vec::new(),
            deadline: Some(now + CONNECT_TIMEOUT),
            was_connected: false,
            has_transport_news: true,
            told_audio: false,
            told_video: false,
            next_tick: now + TICK,
            next_feedback: now + FEEDBACK_INTERVAL,
            cname: "load".to_owned(),
            takes_reduced_size: true,
            random: SmallRng::seed_from_u64(settings.seed),
            turns: VecDeque::new(),
            texts: VecDeque::new(),
        }
    }

    fn begin_to_send(&mut self, sending: Vec<SendingSettings>, now: Instant) {
        if let Some(first) = sending.first() {
            self.cname = first.local.name.to_string();
        }
        self.sending = Sending::new(sending, &self.negotiated, now, &mut self.random);
    }

    /// Where the bridge channel over WebSocket is, if it is used.
    #[must_use]
    pub fn web_socket(&self) -> Option<&str> {
        matches!(self.channel, Channel::WebSocket { .. }).then_some(self.web_socket.as_deref()).flatten()
    }

    /// Where media goes.
    #[must_use]
    pub const fn bridge(&self) -> SocketAddr {
        self.peer.bridge()
    }

    /// The next turn.
    pub fn poll_turn(&mut self) -> Option<SessionTurn> {
        self.turns.pop_front()
    }

    /// The next text for the WebSocket of the bridge channel.
    pub fn poll_text(&mut self) -> Option<String> {
        self.texts.pop_front()
    }

    /// When [`Self::drive`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        let capture = match &self.media {
            Some(_) => self.sending.as_ref().and_then(Sending::poll_timeout),
            None => None,
        };
        let feedback = self.media.as_ref().map(|_| self.next_feedback);
        [capture, feedback, self.deadline, Some(self.peer.deadline)]
            .into_iter()
            .flatten()
            .fold(self.next_tick, Instant::min)
    }

    /// Takes a datagram of the bridge. `arrived` is when the system got it, before `now`.
    ///
    /// # Errors
    /// A handshake that is refused, or a connection that the bridge closes.
    #[expect(clippy::too_many_arguments, reason = "a datagram, the time, and where the outcome goes")]
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        wall: NtpTime,
        arrived: Instant,
        from: SocketAddr,
        datagram: &mut [u8],
        out: &mut Outbox,
        measurements: &mut Measurements,
    ) -> Result<(), Failure> {
        match DatagramKind::of(datagram) {
            DatagramKind::Stun => {
                self.has_transport_news = true;
                self.peer.handle_stun(now, from, datagram);
            }
            DatagramKind::Dtls => {
                self.has_transport_news = true;
                let handled = self.peer.handle_dtls(now, datagram);
                handled.map_err(|error| self.failure_of_transport(&error))?;
            }
            DatagramKind::Media => {
                let Self { media: Some(media), receiving, negotiated, .. } = self else { return Ok(()) };
                if rtp::is_rtcp(datagram) {
                    let Ok(len) = media.receiver.unprotect_rtcp(datagram) else { return Ok(()) };
                    return self.handle_rtcp(now, wall, datagram.get(..len).unwrap_or_default(), out, measurements);
                }
                receiving.handle_rtp(now, arrived, datagram, &mut media.receiver, negotiated, measurements);
                self.tell_first_media();
            }
            DatagramKind::Unknown => {}
        }
        Ok(())
    }

    /// Does what is due and puts what is to be sent into `out`. Call after each batch of datagrams too.
    ///
    /// # Errors
    /// The transport does not come up, or fails.
    pub fn drive(
        &mut self,
        now: Instant,
        wall: NtpTime,
        out: &mut Outbox,
        measurements: &mut Measurements,
    ) -> Result<(), Failure> {
        self.drive_transport(now, out, measurements)?;
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(self.too_late());
        }
        let is_tick = self.next_tick <= now;
        if is_tick {
            self.next_tick += TICK * ((now - self.next_tick).as_secs() as u32 + 1);
            self.receiving.handle_tick(now, measurements);
        }
        if let (Some(media), Some(sending)) = (&self.media, &mut self.sending) {
            sending.handle_timeout(now, wall, &media.sender, out, measurements).map_err(|error| unsealed(&error))?;
        }
        self.drive_receiver(now, wall, is_tick, out, measurements)
    }

    /// Takes a message of the focus about sources.
    pub fn handle_sources(&mut self, now: Instant, jingle: &Jingle, measurements: &mut Measurements) {
        let change = SourceChange::of_jingle(jingle);
        self.receiving.change_sources(change, &self.wishes, now, measurements);
    }

    /// Somebody left the room: nothing comes from there any more. A bridge that rewrites SSRCs tells only when it has
    /// another use for theirs.
    pub fn handle_departure(&mut self, now: Instant, owner: &EndpointId, measurements: &mut Measurements) {
        let removed = self.receiving.ssrcs_of(owner);
        self.receiving.change_sources(SourceChange { added: Vec::new(), removed }, &self.wishes, now, measurements);
        self.receiving.playout.handle_departure(owner);
    }

    /// Somebody else speaks.
    pub fn set_speaker(&mut self, speaker: &EndpointId, now: Instant) {
        if self.wishes.set_speaker(speaker) {
            self.receiving.change_wishes(&self.wishes, now);
            self.say(&ClientMessage::ReceiverVideoConstraints(self.wishes.message()));
        }
    }

    /// The WebSocket of the bridge channel is open.
    pub fn handle_web_socket_open(&mut self) {
        if let Channel::WebSocket { is_open } = &mut self.channel {
            *is_open = true;
            self.greet();
        }
    }

    /// Takes a text of the bridge channel.
    pub fn handle_text(&mut self, now: Instant, text: &str, measurements: &mut Measurements) {
        // What is not known is passed over, as clients do.
        let Ok(message) = BridgeMessage::parse(text) else { return };
        match message {
            BridgeMessage::SenderSourceConstraints(constraints) => {
                if let Some(sending) = &mut self.sending {
                    sending.set_max_height(&constraints.source_name, constraints.max_height);
                }
            }
            BridgeMessage::ForwardedSources(forwarded) => {
                self.receiving.set_forwarded(forwarded.forwarded_sources, now, measurements);
            }
            BridgeMessage::DominantSpeakerEndpointChangeEvent(event) => {
                self.set_speaker(&event.dominant_speaker_endpoint, now);
            }
            BridgeMessage::VideoSourcesMap(map) => {
                self.receiving.change_sources(SourceChange::of_video_map(&map), &self.wishes, now, measurements);
            }
            BridgeMessage::AudioSourcesMap(map) => {
                self.receiving.change_sources(SourceChange::of_audio_map(&map), &self.wishes, now, measurements);
            }
            BridgeMessage::ServerHello(_)
            | BridgeMessage::ConnectionStats(_)
            | BridgeMessage::EndpointMessage(_)
            | BridgeMessage::EndpointStats(_)
            | BridgeMessage::EndpointConnectivityStatusChangeEvent(_)
            | BridgeMessage::SyntheticSourceSendingChangeEvent(_) => {}
        }
    }

    /// Speaks, or is silent.
    pub fn set_activity(&mut self, activity: Activity) {
        if let Some(sending) = &mut self.sending {
            sending.set_activity(activity);
        }
    }

    /// The session is over: what is missing is counted. Answers what was played, for the next session.
    pub fn finish(mut self, now: Instant, measurements: &mut Measurements) -> Playout {
        self.receiving.finish(now, measurements);
        self.receiving.playout
    }

    fn handle_rtcp(
        &mut self,
        now: Instant,
        wall: NtpTime,
        compound: &[u8],
        out: &mut Outbox,
        measurements: &mut Measurements,
    ) -> Result<(), Failure> {
        for packet in Compound::new(compound) {
            match packet {
                Ok(RtcpPacket::SenderReport(report)) => {
                    self.receiving.handle_sender_report(report.info.ssrc, report.info.ntp, now);
                }
                Ok(RtcpPacket::Nack(nack)) => {
                    let (Some(media), Some(sending)) = (&self.media, &mut self.sending) else { continue };
                    let lost = nack.lost();
                    sending
                        .repair(nack.media_ssrc, lost, now, wall, &media.sender, out, measurements)
                        .map_err(|error| unsealed(&error))?;
                }
                Ok(RtcpPacket::PictureLossIndication(request)) => {
                    self.request_key_frame(request.media_ssrc, measurements)
                }
                Ok(RtcpPacket::FullIntraRequest(request)) => {
                    for entry in request.entries() {
                        self.request_key_frame(entry.ssrc, measurements);
                    }
                }
                Ok(
                    RtcpPacket::ReceiverReport(_)
                    | RtcpPacket::SourceDescription
                    | RtcpPacket::Goodbye(_)
                    | RtcpPacket::ReceiverEstimatedMaxBitrate(_)
                    | RtcpPacket::TransportFeedback(_)
                    | RtcpPacket::Unknown { .. },
                )
                | Err(_) => {}
            }
        }
        Ok(())
    }

    fn request_key_frame(&mut self, ssrc: model::Ssrc, measurements: &mut Measurements) {
        if let Some(sending) = &mut self.sending {
            sending.request_key_frame(ssrc, measurements);
        }
    }

    fn drive_transport(
        &mut self,
        now: Instant,
        out: &mut Outbox,
        measurements: &mut Measurements,
    ) -> Result<(), Failure> {
        if self.peer.deadline <= now {
            self.has_transport_news = true;
            if let Err(error) = self.peer.handle_timeout(now) {
                return Err(self.failure_of_transport(&error));
            }
        }
        if !std::mem::take(&mut self.has_transport_news) {
            return Ok(());
        }
        if let Err(error) = self.send_transport(now, out) {
            return Err(self.failure_of_transport(&error));
        }
        if !self.was_connected && self.peer.is_connected() {
            self.was_connected = true;
            self.deadline = Some(now + CONNECT_TIMEOUT);
            self.turns.push_back(SessionTurn::IceConnected);
        }
        if self.media.is_none()
            && let Some(keys) = self.peer.session_keys()
        {
            let keys = keys.and_then(|keys| {
                Ok(Media { sender: SrtpSender::new(&keys.outbound)?, receiver: SrtpReceiver::new(&keys.inbound)? })
            });
            let media = keys.map_err(|error| Failure::new(FailureCause::Dtls, format!("{error:#}")))?;
            self.media = Some(media);
            self.turns.push_back(SessionTurn::DtlsConnected);
            self.deadline = match self.channel {
                Channel::Data { .. } => Some(now + CHANNEL_TIMEOUT),
                Channel::WebSocket { .. } | Channel::None => None,
            };
        }
        if let Channel::Data { was_open } = &mut self.channel
            && !*was_open
            && self.peer.is_channel_open()
        {
            *was_open = true;
            self.deadline = None;
            self.greet();
            if let Err(error) = self.send_transport(now, out) {
                return Err(self.failure_of_transport(&error));
            }
        }
        while let Some(text) = self.peer.poll_text() {
            self.handle_text(now, &text, measurements);
        }
        Ok(())
    }

    fn send_transport(&mut self, now: Instant, out: &mut Outbox) -> anyhow::Result<()> {
        for datagram in self.peer.drain(now)? {
            out.push_to(datagram);
        }
        Ok(())
    }

    fn drive_receiver(
        &mut self,
        now: Instant,
        wall: NtpTime,
        is_tick: bool,
        out: &mut Outbox,
        measurements: &mut Measurements,
    ) -> Result<(), Failure> {
        let Some(media) = &mut self.media else { return Ok(()) };
        let own = self.sending.as_ref().and_then(Sending::first_ssrc).unwrap_or(model::Ssrc(1));
        let mut compound = Vec::new();
        if self.next_feedback <= now + FEEDBACK_EARLY {
            self.next_feedback = now + FEEDBACK_INTERVAL;
            if self.takes_reduced_size {
                self.receiving.write_feedback(own, now, &mut compound, measurements);
            } else {
                for compound in self.receiving.write_compounds(own, &self.cname, now, measurements) {
                    seal_rtcp(&compound, media, out)?;
                }
            }
        }
        if is_tick {
            let blocks = self.receiving.report_blocks(now);
            let mut reports = Vec::new();
            let mut infos = self.sending.iter().flat_map(|sending| sending.sender_infos(now, wall)).peekable();
            if infos.peek().is_none() {
                write_receiver_report(&mut reports, own, &blocks);
            }
            for (at, info) in infos.enumerate() {
                write_sender_report(&mut reports, &info, if at == 0 { &blocks } else { &[] });
            }
            write_sdes_cname(&mut reports, own, &self.cname);
            seal_rtcp(&reports, media, out)?;
        }
        // Feedback of reduced size goes alone (RFC 5506).
        seal_rtcp(&compound, media, out)
    }

    fn greet(&mut self) {
        self.turns.push_back(SessionTurn::ChannelOpen);
        self.say(&ClientMessage::ReceiverVideoConstraints(self.wishes.message()));
        for video_type in std::mem::take(&mut self.video_types) {
            self.say(&ClientMessage::SourceVideoTypeMessage(video_type));
        }
    }

    fn say(&mut self, message: &ClientMessage) {
        match self.channel {
            // A channel that takes no more is noticed by what does not come.
            Channel::Data { .. } => {
                self.has_transport_news = true;
                drop(self.peer.send_text(&message.to_json()));
            }
            Channel::WebSocket { is_open: true } => self.texts.push_back(message.to_json()),
            Channel::WebSocket { is_open: false } | Channel::None => {}
        }
    }

    fn tell_first_media(&mut self) {
        let first = self.receiving.first;
        if first.audio.is_some() && !std::mem::replace(&mut self.told_audio, first.audio.is_some()) {
            self.turns.push_back(SessionTurn::FirstAudio);
        }
        if first.video.is_some() && !std::mem::replace(&mut self.told_video, first.video.is_some()) {
            self.turns.push_back(SessionTurn::FirstVideo);
        }
    }

    fn failure_of_transport(&self, error: &anyhow::Error) -> Failure {
        let cause = match (self.was_connected, self.media.is_some()) {
            (false, _) => FailureCause::Ice,
            (true, false) => FailureCause::Dtls,
            (true, true) => FailureCause::ConnectionLost,
        };
        Failure::new(cause, format!("{error:#}"))
    }

    fn too_late(&self) -> Failure {
        match (self.was_connected, self.media.is_some()) {
            (false, _) => {
                let candidates = self.candidates.iter();
                let tried: Vec<String> =
                    candidates.map(|one| format!("{} {}:{}", one.protocol, one.ip, one.port)).collect();
                let detail = format!("no answer of the server in {CONNECT_TIMEOUT:?} at {}", tried.join(", "));
                Failure::new(FailureCause::Ice, detail)
            }
            (true, false) => Failure::new(FailureCause::Dtls, format!("no handshake in {CONNECT_TIMEOUT:?}")),
            (true, true) => Failure::new(
                FailureCause::ConnectionLost,
                format!("the data channel does not open in {CHANNEL_TIMEOUT:?}"),
            ),
        }
    }
}

fn unusable(error: anyhow::Error) -> OfferError {
    OfferError::Transport(format!("{error:#}"))
}

/// Our side of the transport, with the candidate of our socket: a server that cannot be reached may reach us.
fn transport_of(peer: &Peer, local: SocketAddr) -> IceTransport {
    let candidate = Candidate {
        id: String::new(),
        component: 1,
        foundation: "1".to_owned(),
        generation: 0,
        ip: local.ip().to_string(),
        port: local.port(),
        protocol: "udp".to_owned(),
        tcp_type: None,
        // A host candidate of the highest local preference (RFC 8445 §5.1.2).
        priority: 2_130_706_431,
        candidate_type: "host".to_owned(),
        network: 0,
        related: None,
    };
    IceTransport { candidates: vec![candidate], ..peer.description() }
}

fn unsealed(error: &srtp::SrtpError) -> Failure {
    Failure::new(FailureCause::Local, format!("cannot seal a packet: {error}"))
}

/// Seals packets of RTCP, as many in a datagram as fit.
fn seal_rtcp(packets: &[u8], media: &mut Media, out: &mut Outbox) -> Result<(), Failure> {
    let mut rest = packets;
    while !rest.is_empty() {
        let len = compound_len(rest).min(rest.len());
        let (compound, next) = rest.split_at(len);
        let sealed = out.push_with(|dest| match dest.get_mut(..len + MAX_RTCP_OVERHEAD) {
            Some(dest) => media.sender.protect_rtcp(compound, dest),
            None => Ok(0),
        });
        sealed.map_err(|error| unsealed(&error))?;
        rest = next;
    }
    Ok(())
}

/// Bytes of the packets at the start of `packets` that fit a datagram; at least one.
fn compound_len(packets: &[u8]) -> usize {
    let mut len = 0;
    loop {
        let words = packets.get(len + 2..len + 4).and_then(|words| words.first_chunk().copied());
        let Some(words) = words.map(u16::from_be_bytes) else { return packets.len() };
        let next = len + 4 * (usize::from(words) + 1);
        if len > 0 && next > MAX_COMPOUND_LEN {
            return len;
        }
        if next >= packets.len() {
            return packets.len();
        }
        len = next;
    }
}
