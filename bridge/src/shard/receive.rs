//! What comes in from one endpoint: its streams, and the steps of a packet up to where it can be forwarded.
//!
//! Here: payload type, RTX decapsulation, duplicates, statistics, NACK, what a packet carries. Not here: decryption
//! (`srtp_session`), who gets the packet (`source`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bwe::ReceiveSideEstimator;
use model::{Bitrate, DataSize, ExtSeqNum, SeqNum, Ssrc, TwccSeq};
use rtp::rtcp::{ReportBlock, SenderInfo};
use rtp::{AbsSendTime, AudioLevel, ExtensionKind, RtpView, VideoLayersAllocation, rtx};
use srtp::UnprotectedRtp;
use streams::{Arrival, NackRegister, ReceptionRegister, TwccReceiver, Via};

use super::audio::{AudioForm, AudioStream};
use super::bitrates::{LayerBitrates, LayerReport, NeededBy};
use super::dependencies::Dependencies;
use super::describe::{Arrived, FrameReader};
use super::layers::{ActiveLayers, LayerActivity};
use super::packet::{Descriptor, ElementPlace, FrameLayer, Mark, StreamRole};
use crate::counters::DropReason;
use crate::keys::SourceId;
use crate::negotiated::{Codec, Negotiated, Sources};

/// Clocks of the codecs that the bridge forwards.
pub(crate) const AUDIO_CLOCK_HZ: u32 = 48_000;
pub(crate) const VIDEO_CLOCK_HZ: u32 = 90_000;
/// A key frame is asked for at most this often, however many receivers want one (JVB: 200 ms a source).
pub(crate) const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(200);

/// Bytes around the RTP packets that REMB counts: SRTP's tag, UDP, IPv4.
const REMB_OVERHEAD: u64 = 16 + 8 + 20;
/// The least that is told in REMB.
const MIN_REMB: Bitrate = Bitrate::from_kbps(30);

/// A packet as its encoder numbered it.
struct Original<'a> {
    view: RtpView<'a>,
    /// Where it starts in its slot.
    start: usize,
    /// Without wrap, as SRTP authenticated it; not known of what came as a retransmission.
    seq: Option<ExtSeqNum>,
    codec: Codec,
}

/// One incoming stream.
#[derive(Debug)]
pub(crate) struct ReceiveStream {
    role: StreamRole,
    register: ReceptionRegister,
    nacks: NackRegister,
    frames: FrameReader,
    audio: AudioStream,
    last_key_frame_request: Option<Instant>,
}

/// The layers of one video source.
#[derive(Debug, Default)]
struct SourceLayers {
    activity: LayerActivity,
    /// As they were with the last packet.
    last: ActiveLayers,
    bitrates: LayerBitrates,
    /// What control was told.
    told: LayerReport,
}

/// All incoming streams of one endpoint.
#[derive(Debug)]
pub(crate) struct ReceiveStreams {
    streams: BTreeMap<Ssrc, ReceiveStream>,
    /// SSRC of retransmissions to the stream that they repeat.
    rtx: BTreeMap<Ssrc, Ssrc>,
    /// Of each video source.
    layers: BTreeMap<SourceId, SourceLayers>,
    /// A video source has other layers than control was told.
    has_news: bool,
    /// The dependency structure that the last packet brought.
    structure: Option<Arc<Dependencies>>,
    /// When a missing packet may be asked for; perhaps too early, as what comes in meanwhile is not looked for here.
    next_nack: Option<Instant>,
    twcc: TwccReceiver,
    /// Of one who takes REMB.
    estimator: Option<Box<ReceiveSideEstimator>>,
}

impl ReceiveStreams {
    pub(crate) fn new(now: Instant) -> Self {
        let (streams, rtx, layers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (has_news, structure, next_nack, twcc) = (false, None, None, TwccReceiver::new(now));
        Self { streams, rtx, layers, has_news, structure, next_nack, twcc, estimator: None }
    }

    /// Payload types and extensions are known, or others than before.
    pub(crate) fn set_negotiated(&mut self, negotiated: &Negotiated, now: Instant) {
        if !negotiated.takes_remb() {
            self.estimator = None;
        } else if self.estimator.is_none() {
            self.estimator = Some(Box::new(ReceiveSideEstimator::new(now, MIN_REMB)));
        }
    }

    /// What the path from one who takes REMB carries, once that is known.
    pub(crate) fn remb(&mut self, rtt: Option<Duration>) -> Option<Bitrate> {
        let estimator = self.estimator.as_mut()?;
        if let Some(rtt) = rtt {
            estimator.handle_rtt(rtt);
        }
        estimator.estimate()
    }

    /// All streams.
    pub(crate) fn ssrcs(&self) -> impl Iterator<Item = Ssrc> {
        self.streams.keys().copied()
    }

    /// Takes the full list of the endpoint's sources. Streams that stay keep what they remember.
    pub(crate) fn set_sources(&mut self, sources: &Sources) {
        let mut old = std::mem::take(&mut self.streams);
        self.rtx.clear();
        let mut add = |streams: &mut BTreeMap<Ssrc, ReceiveStream>, ssrc, role| {
            let kept = old.remove(&ssrc).filter(|stream: &ReceiveStream| stream.role == role);
            streams.insert(ssrc, kept.unwrap_or_else(|| ReceiveStream::new(ssrc, role)));
        };
        for audio in &sources.audio {
            add(&mut self.streams, audio.ssrc, StreamRole::Audio { source: audio.id });
        }
        for video in &sources.video {
            for (encoding, ssrcs) in (0..).zip(&video.encodings) {
                add(&mut self.streams, ssrcs.primary, StreamRole::Video { source: video.id, encoding });
                self.rtx.extend(ssrcs.rtx.map(|rtx| (rtx, ssrcs.primary)));
            }
            self.layers.entry(video.id).or_default();
        }
        self.layers.retain(|id, _| sources.video.iter().any(|video| video.id == *id));
    }

    /// The steps of a decrypted packet, `packet` with the header and the number that SRTP authenticated. The answer
    /// describes what lies in `packet` then.
    pub(crate) fn handle_rtp(
        &mut self,
        packet: &mut [u8],
        plain: &UnprotectedRtp,
        negotiated: &Negotiated,
        now: Instant,
    ) -> Result<Descriptor, DropReason> {
        // 1. What is it?
        let view = RtpView::with_header(plain.header, packet).map_err(|_| DropReason::Malformed)?;
        if let Some(element) =
            negotiated.extensions.id(ExtensionKind::TransportWideCc).and_then(|id| view.extension(id))
            && let Some(seq) = element.data.first_chunk()
        {
            self.twcc.handle_packet(TwccSeq(u16::from_be_bytes(*seq)), now);
        } else if let Some(estimator) = &mut self.estimator
            && let Some(element) =
                negotiated.extensions.id(ExtensionKind::AbsSendTime).and_then(|id| view.extension(id))
            && let Some(sent) = element.data.first_chunk()
        {
            let size = DataSize::from_bytes(view.as_bytes().len() as u64 + REMB_OVERHEAD);
            estimator.handle_packet(now, AbsSendTime::from_bytes(*sent), size);
        }
        let codec = negotiated.codec(view.payload_type()).ok_or(DropReason::UnknownPayloadType)?;
        // 2. A retransmission becomes the packet that it repeats.
        let original = match codec {
            Codec::Rtx(payload_type) => {
                let primary = *self.rtx.get(&view.ssrc()).ok_or(DropReason::UnknownSsrc)?;
                let start = rtx::decapsulate_in_place(packet, primary, payload_type);
                let start = start.map_err(|_| DropReason::Malformed)?.ok_or(DropReason::Padding)?;
                let view = RtpView::parse(packet.get(start..).unwrap_or_default());
                let view = view.map_err(|_| DropReason::Malformed)?;
                let codec = negotiated.codec(payload_type).ok_or(DropReason::UnknownPayloadType)?;
                Original { view, start, seq: None, codec }
            }
            Codec::Opus | Codec::Red | Codec::Vp8 | Codec::Vp9 | Codec::Av1 | Codec::H264 | Codec::Other(_) => {
                Original { view, start: 0, seq: Some(plain.seq), codec }
            }
        };
        self.handle_original(&original, negotiated, now)
    }

    /// The steps of a packet as its encoder numbered it.
    fn handle_original(
        &mut self,
        original: &Original<'_>,
        negotiated: &Negotiated,
        now: Instant,
    ) -> Result<Descriptor, DropReason> {
        let view = &original.view;
        // 3. Only streams that signaling announced are forwarded.
        let stream = self.streams.get_mut(&view.ssrc()).ok_or(DropReason::UnknownSsrc)?;
        let role = stream.role;
        let (seq, via) = match original.seq {
            Some(seq) => (seq, Via::Direct),
            // Nothing can be repeated of a stream that nothing came of, and its roll-over is not known yet.
            None if stream.register.highest().is_none() => return Err(DropReason::UnknownSsrc),
            None => (stream.register.extend(view.seq()), Via::Retransmission),
        };
        let is_newest = stream.register.highest().is_none_or(|highest| seq > highest);
        // 4. Once each; and what is missing before it is asked for.
        match stream.register.handle_packet(seq, view.timestamp(), via, now) {
            Arrival::New => {}
            Arrival::Duplicate | Arrival::TooOld => return Err(DropReason::Duplicate),
        }
        if let StreamRole::Video { .. } = role {
            let missing = stream.nacks.missing();
            stream.nacks.handle_packet(seq, now);
            if stream.nacks.missing() > missing {
                self.next_nack = Some(now);
            }
        }
        // 5. What a receiver needs of it.
        let payload = view.payload_range();
        let mut descriptor = Descriptor {
            marker: view.marker(),
            is_newest,
            payload_start: u16::try_from(original.start + payload.start).map_err(|_| DropReason::Malformed)?,
            payload_len: u16::try_from(payload.len()).map_err(|_| DropReason::Malformed)?,
            ..Descriptor::plain(role, view.ssrc(), seq, view.timestamp(), view.payload_type())
        };
        let first_byte = |kind| {
            let element = negotiated.extensions.id(kind).and_then(|id| view.extension(id));
            element.and_then(|element| element.data.first().copied())
        };
        match role {
            StreamRole::Audio { .. } => {
                descriptor.audio_level = first_byte(ExtensionKind::AudioLevel).map(AudioLevel::from_byte);
                if original.codec == Codec::Red {
                    let is_known = |payload_type| negotiated.codec(payload_type) == Some(Codec::Opus);
                    descriptor.audio = AudioForm::of_red(view.payload(), is_known);
                }
            }
            StreamRole::Video { source, encoding } => {
                descriptor.video_orientation = first_byte(ExtensionKind::VideoOrientation);
                let mut layers = self.layers.get_mut(&source);
                if !payload.is_empty() {
                    let dependency_descriptor = negotiated.extensions.id(ExtensionKind::DependencyDescriptor);
                    let arrived = Arrived {
                        view,
                        start: original.start,
                        codec: original.codec,
                        is_newest,
                        dependency_descriptor: dependency_descriptor.and_then(|id| view.extension(id)),
                        now,
                    };
                    let activity = layers.as_deref_mut().map(|layers| &mut layers.activity);
                    let described = stream.frames.read(&arrived, encoding, activity)?;
                    descriptor.frame = described.frame;
                    descriptor.numbers = described.numbers;
                    self.structure = described.structure;
                }
                if let Some(id) = negotiated.extensions.id(ExtensionKind::VideoLayersAllocation)
                    && let Some(element) = view.extension(id)
                {
                    // An element of the two-byte form has 255 bytes at most, a slot 1500.
                    let start = u16::try_from(original.start + element.offset).unwrap_or(u16::MAX);
                    descriptor.allocation = ElementPlace { start, len: element.data.len() as u8 };
                    if let (true, Some(layers)) = (is_newest, &mut layers)
                        && let Some(allocation) = VideoLayersAllocation::parse(element.data)
                    {
                        layers.handle_allocation(allocation);
                    }
                }
                if let Some(layers) = &mut layers {
                    descriptor.layers = layers.handle_packet(&descriptor, encoding, view.as_bytes().len(), now);
                    self.has_news |= layers.has_news();
                }
            }
        }
        Ok(descriptor)
    }

    /// The stream of a packet of audio.
    pub(crate) fn audio_mut(&mut self, ssrc: Ssrc) -> Option<&mut AudioStream> {
        self.streams.get_mut(&ssrc).map(|stream| &mut stream.audio)
    }

    /// The dependency structure that the last packet brought.
    pub(crate) const fn take_structure(&mut self) -> Option<Arc<Dependencies>> {
        self.structure.take()
    }

    /// Looks at all sources, also those of which nothing comes. To be called once a second.
    pub(crate) fn measure_layers(&mut self, now: Instant) {
        for layers in self.layers.values_mut() {
            layers.last = layers.activity.active(now);
            self.has_news |= layers.bitrates.handle_timeout(now) || layers.has_news();
        }
    }

    /// The next source of which control does not know all.
    pub(crate) fn poll_layers(&mut self, now: Instant) -> Option<(SourceId, Box<LayerReport>)> {
        if !self.has_news {
            return None;
        }
        for (source, layers) in &mut self.layers {
            layers.last = layers.activity.active(now);
            let report = layers.bitrates.report(layers.last);
            if layers.told != report {
                layers.told = report;
                return Some((*source, Box::new(report)));
            }
        }
        self.has_news = false;
        None
    }

    /// Notes a sender report of one of the streams.
    pub(crate) fn handle_sender_report(&mut self, info: SenderInfo, now: Instant) -> Option<StreamRole> {
        let stream = self.streams.get_mut(&info.ssrc)?;
        stream.register.handle_sender_report(info.ntp, now);
        Some(stream.role)
    }

    /// Report blocks of all streams that something came of.
    pub(crate) fn report_blocks(&mut self, now: Instant, blocks: &mut Vec<ReportBlock>) {
        blocks.extend(self.streams.values_mut().filter_map(|stream| stream.register.next_report_block(now)));
    }

    /// Packets to ask for now, by stream.
    pub(crate) fn poll_nacks(&mut self, now: Instant, rtt: Option<Duration>, mut ask: impl FnMut(Ssrc, &[SeqNum])) {
        if self.next_nack.is_none_or(|at| at > now) {
            return;
        }
        self.next_nack = None;
        let mut due = Vec::new();
        for (ssrc, stream) in &mut self.streams {
            if stream.nacks.missing() > 0 {
                stream.nacks.poll_due(now, rtt, &mut due);
                if !due.is_empty() {
                    ask(*ssrc, &due);
                    due.clear();
                }
                self.next_nack = self.next_nack.into_iter().chain(stream.nacks.next_timeout()).min();
            }
        }
    }

    /// Appends one transport-wide feedback if one is due; to be called until it answers false.
    pub(crate) fn poll_twcc(&mut self, sender_ssrc: Ssrc, now: Instant, out: &mut Vec<u8>) -> bool {
        let media_ssrc = self.streams.keys().next().copied().unwrap_or(sender_ssrc);
        self.twcc.poll_feedback(sender_ssrc, media_ssrc, now, out)
    }

    /// When a missing packet may be asked for.
    pub(crate) const fn next_nack(&self) -> Option<Instant> {
        self.next_nack
    }

    /// When transport-wide feedback is due.
    pub(crate) fn next_feedback(&self) -> Option<Instant> {
        self.twcc.next_timeout()
    }

    /// Whether a key frame of this layer may be asked for now.
    pub(crate) fn is_key_frame_request_due(&self, ssrc: Ssrc, now: Instant) -> bool {
        self.streams.get(&ssrc).is_some_and(|stream| {
            let last = stream.last_key_frame_request;
            last.is_none_or(|at| now.saturating_duration_since(at) >= KEY_FRAME_INTERVAL)
        })
    }

    /// Notes that one is.
    pub(crate) fn note_key_frame_request(&mut self, ssrc: Ssrc, now: Instant) {
        if let Some(stream) = self.streams.get_mut(&ssrc) {
            stream.last_key_frame_request = Some(now);
        }
    }
}

impl ReceiveStream {
    fn new(ssrc: Ssrc, role: StreamRole) -> Self {
        let clock_rate_hz = match role {
            StreamRole::Audio { .. } => AUDIO_CLOCK_HZ,
            StreamRole::Video { .. } => VIDEO_CLOCK_HZ,
        };
        Self {
            role,
            register: ReceptionRegister::new(ssrc, clock_rate_hz),
            nacks: NackRegister::default(),
            frames: FrameReader::default(),
            audio: AudioStream::default(),
            last_key_frame_request: None,
        }
    }
}

impl SourceLayers {
    /// Notes a packet; answers the layers that are sent.
    fn handle_packet(&mut self, packet: &Descriptor, encoding: u8, len: usize, now: Instant) -> ActiveLayers {
        let FrameLayer { spatial, temporal, .. } = packet.frame;
        self.activity.handle_packet(encoding, spatial, packet.marker, now);
        self.last = self.activity.active(now);
        let is_for_upper = self.last.are_spatial() && !packet.frame.is(Mark::NotForUpperSpatial);
        let needed_by = if is_for_upper { NeededBy::HigherLayersToo } else { NeededBy::ItsLayer };
        self.bitrates.handle_packet(self.last.layer_of(encoding, spatial), temporal, needed_by, len, now);
        self.last
    }

    /// Takes what the sender says of all its layers.
    fn handle_allocation(&mut self, allocation: VideoLayersAllocation<'_>) {
        for layer in allocation.layers() {
            if let Some(size) = layer.resolution {
                // Whoever holds a phone upright sends pictures that are taller than wide (JVB's `VlaReaderNode`).
                self.activity.set_height(layer.stream, layer.spatial, size.height.min(size.width));
            }
        }
        self.bitrates.handle_allocation(allocation);
    }

    /// Whether other layers are sent than control was told; not whether their rates changed.
    fn has_news(&self) -> bool {
        let told = self.told.layers.iter().map(|layer| layer.map(|layer| layer.height));
        !told.eq(self.last.heights())
    }
}
