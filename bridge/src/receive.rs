//! What comes in from one endpoint: its streams, and the steps of a packet up to where it can be forwarded.
//!
//! Here: payload type, RTX decapsulation, duplicates, statistics, NACK, what a packet carries. Not here: decryption
//! (`transport`), who gets the packet (`conference`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use codecs::Vp8Descriptor;
use model::{ExtSeqNum, PayloadType, RtpTimestamp, SeqNum, Ssrc, TwccSeq};
use rtp::rtcp::{ReportBlock, SenderInfo};
use rtp::{AudioLevel, ExtensionKind, RtpView, rtx};
use streams::{Arrival, NackRegister, ReceptionRegister, RtxCache, TwccReceiver, Via};

use crate::layers::LayerActivity;
use crate::metrics::DropReason;
use crate::negotiated::{Codec, Negotiated, SourceId, Sources};

/// Clocks of the codecs that the bridge forwards.
pub(crate) const AUDIO_CLOCK_HZ: u32 = 48_000;
pub(crate) const VIDEO_CLOCK_HZ: u32 = 90_000;
/// A key frame is asked for at most this often, however many receivers want one (JVB: 200 ms a source).
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(200);

/// What a stream is to its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamRole {
    /// An audio source.
    Audio { source: SourceId },
    /// A layer of a video source.
    Video { source: SourceId, layer: usize },
}

/// A packet that may be forwarded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceivedPacket<'a> {
    pub(crate) role: StreamRole,
    pub(crate) ssrc: Ssrc,
    pub(crate) seq: ExtSeqNum,
    pub(crate) timestamp: RtpTimestamp,
    pub(crate) payload_type: PayloadType,
    pub(crate) marker: bool,
    /// Nothing that was sent after it came before it.
    pub(crate) is_newest: bool,
    /// Without padding.
    pub(crate) payload: &'a [u8],
    pub(crate) audio_level: Option<AudioLevel>,
    pub(crate) video_orientation: Option<u8>,
    pub(crate) vp8: Option<Vp8Descriptor>,
}

impl ReceivedPacket<'_> {
    /// Whether a receiver can start with this packet.
    pub(crate) fn starts_key_frame(&self) -> bool {
        match self.role {
            StreamRole::Audio { .. } => true,
            // Not with one that comes late: what was sent behind it is already dropped, and cannot be repeated to the
            // receiver. Of a codec that is not looked into, with any: a receiver that cannot decode asks for a key frame.
            StreamRole::Video { .. } => self.is_newest && self.vp8.is_none_or(|vp8| vp8.is_key_frame_start),
        }
    }
}

/// One incoming stream.
#[derive(Debug)]
pub(crate) struct ReceiveStream {
    role: StreamRole,
    register: ReceptionRegister,
    nacks: NackRegister,
    /// Payloads of video, for retransmission to all receivers.
    pub(crate) cache: RtxCache<Vec<u8>>,
    last_key_frame_request: Option<Instant>,
}

/// All incoming streams of one endpoint.
#[derive(Debug)]
pub(crate) struct ReceiveStreams {
    streams: BTreeMap<Ssrc, ReceiveStream>,
    /// SSRC of retransmissions to the stream that they repeat.
    rtx: BTreeMap<Ssrc, Ssrc>,
    /// Of each video source.
    layers: BTreeMap<SourceId, LayerActivity>,
    /// When a missing packet may be asked for; perhaps too early, as what comes in meanwhile is not looked for here.
    next_nack: Option<Instant>,
    twcc: TwccReceiver,
}

impl ReceiveStreams {
    pub(crate) fn new(now: Instant) -> Self {
        let (streams, rtx, layers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { streams, rtx, layers, next_nack: None, twcc: TwccReceiver::new(now) }
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
            for (layer, ssrcs) in video.layers.iter().enumerate() {
                add(&mut self.streams, ssrcs.primary, StreamRole::Video { source: video.id, layer });
                self.rtx.extend(ssrcs.rtx.map(|rtx| (rtx, ssrcs.primary)));
            }
            self.layers.entry(video.id).or_default();
        }
        self.layers.retain(|id, _| sources.video.iter().any(|video| video.id == *id));
    }

    /// The steps of a decrypted packet. `seq` is the extended number of its own stream, as SRTP authenticated it.
    pub(crate) fn handle_rtp<'a>(
        &mut self,
        packet: &'a mut [u8],
        seq: ExtSeqNum,
        negotiated: &Negotiated,
        now: Instant,
    ) -> Result<ReceivedPacket<'a>, DropReason> {
        // 1. What is it?
        let view = RtpView::parse(packet).map_err(|_| DropReason::Srtp)?;
        if let Some(element) =
            negotiated.extensions.id(ExtensionKind::TransportWideCc).and_then(|id| view.extension(id))
            && let Some(seq) = element.data.first_chunk()
        {
            self.twcc.handle_packet(TwccSeq(u16::from_be_bytes(*seq)), now);
        }
        let codec = negotiated.codec(view.payload_type()).ok_or(DropReason::UnknownPayloadType)?;
        // 2. A retransmission becomes the packet that it repeats.
        let (packet, via, codec) = match codec {
            Codec::Rtx(original) => {
                let primary = *self.rtx.get(&view.ssrc()).ok_or(DropReason::UnknownSsrc)?;
                let start = rtx::decapsulate_in_place(packet, primary, original).map_err(|_| DropReason::Srtp)?;
                let packet = start.and_then(|start| packet.get(start..)).ok_or(DropReason::Padding)?;
                let codec = negotiated.codec(original).ok_or(DropReason::UnknownPayloadType)?;
                (packet, Via::Retransmission, codec)
            }
            Codec::Opus | Codec::Vp8 | Codec::Other(_) => (&*packet, Via::Direct, codec),
        };
        let view = RtpView::parse(packet).map_err(|_| DropReason::Srtp)?;
        // 3. Only streams that signaling announced are forwarded.
        let stream = self.streams.get_mut(&view.ssrc()).ok_or(DropReason::UnknownSsrc)?;
        let role = stream.role;
        let seq = match via {
            Via::Direct => seq,
            // Nothing can be repeated of a stream that nothing came of, and its roll-over is not known yet.
            Via::Retransmission if stream.register.highest().is_none() => return Err(DropReason::UnknownSsrc),
            Via::Retransmission => stream.register.extend(view.seq()),
        };
        let is_newest = stream.register.highest().is_none_or(|highest| seq > highest);
        // 4. Once each; and what is missing before it is asked for.
        match stream.register.handle_packet(seq, view.timestamp(), via, now) {
            Arrival::New => {}
            Arrival::Duplicate | Arrival::TooOld => return Err(DropReason::Duplicate),
        }
        if let StreamRole::Video { source, layer } = role {
            let missing = stream.nacks.missing();
            stream.nacks.handle_packet(seq, now);
            if stream.nacks.missing() > missing {
                self.next_nack = Some(now);
            }
            if let Some(layers) = self.layers.get_mut(&source) {
                layers.handle_packet(layer, view.marker(), now);
            }
        }
        // 5. What a receiver needs of it.
        let mut received = ReceivedPacket {
            role,
            ssrc: view.ssrc(),
            seq,
            timestamp: view.timestamp(),
            payload_type: view.payload_type(),
            marker: view.marker(),
            is_newest,
            payload: view.payload(),
            audio_level: None,
            video_orientation: None,
            vp8: None,
        };
        match role {
            StreamRole::Audio { .. } => {
                let element = negotiated.extensions.id(ExtensionKind::AudioLevel).and_then(|id| view.extension(id));
                received.audio_level =
                    element.and_then(|element| element.data.first().copied()).map(AudioLevel::from_byte);
            }
            StreamRole::Video { source, layer } => {
                let element =
                    negotiated.extensions.id(ExtensionKind::VideoOrientation).and_then(|id| view.extension(id));
                received.video_orientation = element.and_then(|element| element.data.first().copied());
                if codec == Codec::Vp8 && !received.payload.is_empty() {
                    let vp8 = Vp8Descriptor::parse(received.payload).map_err(|_| DropReason::UnknownPayloadType)?;
                    if let (Some(resolution), Some(layers)) = (vp8.resolution, self.layers.get_mut(&source)) {
                        layers.set_height(layer, resolution.height);
                    }
                    received.vp8 = Some(vp8);
                }
                // The payload is kept once for all receivers; each receiver's log knows how to number it again.
                stream.cache.insert(seq, received.payload.to_vec(), now);
            }
        }
        Ok(received)
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

    /// When a missing packet may be asked for, or feedback is due.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.next_nack.into_iter().chain(self.twcc.next_timeout()).min()
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

    /// The stream with this SSRC.
    pub(crate) fn stream(&self, ssrc: Ssrc) -> Option<&ReceiveStream> {
        self.streams.get(&ssrc)
    }

    /// The layers of a video source.
    pub(crate) fn layers(&self, source: SourceId) -> Option<&LayerActivity> {
        self.layers.get(&source)
    }

    /// Frees packets that are too old to be asked for.
    pub(crate) fn free_expired(&mut self, now: Instant) {
        for stream in self.streams.values_mut() {
            while stream.cache.pop_expired(now).is_some() {}
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
            cache: RtxCache::default(),
            last_key_frame_request: None,
        }
    }
}
