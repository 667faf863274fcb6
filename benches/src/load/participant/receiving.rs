//! What a participant receives: streams of others, what is missing of them, and what can be decoded.

use std::time::{Duration, Instant};

use ahash::RandomState;
use indexmap::IndexMap;
use model::{EndpointId, ExtSeqNum, SeqNum, SourceName, Ssrc, TwccSeq};
use rtp::rtcp::{ReportBlock, write_nack, write_pli, write_receiver_report, write_sdes_cname};
use rtp::rtx::split_payload;
use rtp::{ExtensionKind, ExtensionMap, NtpTime, RtpHeader, RtpView};
use srtp::{SrtpError, SrtpReceiver};
use streams::{Arrival, NackRegister, ReceptionRegister, TwccReceiver, Via};

use super::playout::freeze_after;
use super::repair::LossRegister;
use super::{Negotiated, Playout, RemoteSource, SourceChange, Wishes};
use crate::load::measure::{Measurements, MediaKind};
use crate::load::media::{
    Codec, DecodableFrame, Expected, FrameReader, MediaClock, ReaderEvent, ReaderSettings, ReceivedPacket,
    UndecodableCause,
};

/// A client asks no more often for a key frame (libwebrtc's retry).
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);
/// After something else was asked for, the old layer may still come for so long.
const SETTLING_TIME: Duration = Duration::from_secs(3);
/// Streams of one participant, so that a server cannot fill our memory.
const MAX_STREAMS: usize = 4_096;
/// Blocks of one report (RFC 3550 §6.4.1: five bits).
const MAX_REPORT_BLOCKS: usize = 31;

/// How much a participant looks into what it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// It decrypts and decodes.
    Decode,
    /// It counts by the numbers in the clear header; only retransmissions are decrypted.
    Count,
}

/// Media that came for the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FirstMedia {
    pub(super) audio: Option<Instant>,
    pub(super) video: Option<Instant>,
}

/// All that one participant receives.
#[derive(Debug)]
pub(super) struct Receiving {
    depth: Depth,
    clock: MediaClock,
    streams: IndexMap<Ssrc, Stream, RandomState>,
    /// Retransmission to the stream that it repeats.
    rtx: IndexMap<Ssrc, Ssrc, RandomState>,
    twcc: TwccReceiver,
    audio_extensions: ExtensionMap,
    video_extensions: ExtensionMap,
    next_block: usize,
    forwarded: Option<Vec<SourceName>>,
    pub(super) first: FirstMedia,
    pub(super) playout: Playout,
}

#[derive(Debug)]
struct Stream {
    source: RemoteSource,
    register: ReceptionRegister,
    losses: LossRegister,
    nack: NackRegister,
    reader: Option<(Codec, FrameReader)>,
    key_frame_asked: Option<Instant>,
    asked: u16,
    best: u16,
    /// From when on frames tell whether the right layer comes.
    settled_at: Instant,
}

impl Receiving {
    pub(super) fn new(
        depth: Depth,
        clock: MediaClock,
        negotiated: &Negotiated,
        playout: Playout,
        now: Instant,
    ) -> Self {
        Self {
            depth,
            clock,
            streams: IndexMap::default(),
            rtx: IndexMap::default(),
            twcc: TwccReceiver::new(now),
            audio_extensions: negotiated.audio_extensions,
            video_extensions: negotiated.video_extensions,
            next_block: 0,
            forwarded: None,
            first: FirstMedia::default(),
            playout,
        }
    }

    /// Takes sources that come and go.
    pub(super) fn change_sources(
        &mut self,
        change: SourceChange,
        wishes: &Wishes,
        now: Instant,
        measurements: &mut Measurements,
    ) {
        for ssrc in change.removed {
            if let Some(mut stream) = self.streams.shift_remove(&ssrc) {
                stream.losses.flush(measurements.media(stream.source.kind));
                if let Some(rtx) = stream.source.rtx {
                    self.rtx.shift_remove(&rtx);
                }
            }
        }
        for source in change.added {
            if let Some(known) = self.streams.get_mut(&source.ssrc) {
                // With rewritten SSRCs a stream gets another owner and goes on with its numbers.
                known.asked = wishes.asked(&source.name);
                known.best = wishes.best(&source.name, source.kind);
                known.settled_at = now + SETTLING_TIME;
                known.source = source;
                continue;
            }
            if self.streams.len() >= MAX_STREAMS {
                continue;
            }
            if let Some(rtx) = source.rtx {
                self.rtx.insert(rtx, source.ssrc);
            }
            self.streams.insert(source.ssrc, Stream::new(source, wishes, now));
        }
        self.tell_forwarded(now, measurements);
    }

    /// Takes all sources that there are from now on.
    pub(super) fn set_sources(
        &mut self,
        sources: Vec<RemoteSource>,
        wishes: &Wishes,
        now: Instant,
        measurements: &mut Measurements,
    ) {
        let is_gone = |ssrc: &&Ssrc| !sources.iter().any(|source| source.ssrc == **ssrc);
        let removed = self.streams.keys().filter(is_gone).copied().collect();
        let is_new = |source: &RemoteSource| self.streams.get(&source.ssrc).is_none_or(|known| known.source != *source);
        let added = sources.into_iter().filter(is_new).collect();
        self.change_sources(SourceChange { added, removed }, wishes, now, measurements);
    }

    /// Takes other header extensions.
    pub(super) const fn set_extensions(&mut self, negotiated: &Negotiated) {
        self.audio_extensions = negotiated.audio_extensions;
        self.video_extensions = negotiated.video_extensions;
    }

    /// Where media of `owner` come.
    pub(super) fn ssrcs_of(&self, owner: &EndpointId) -> Vec<Ssrc> {
        self.streams.iter().filter(|(_, stream)| stream.source.owner == *owner).map(|(ssrc, _)| *ssrc).collect()
    }

    /// Takes that something else is wanted.
    pub(super) fn change_wishes(&mut self, wishes: &Wishes, now: Instant) {
        for stream in self.streams.values_mut() {
            let (asked, best) =
                (wishes.asked(&stream.source.name), wishes.best(&stream.source.name, stream.source.kind));
            if (asked, best) != (stream.asked, stream.best) {
                (stream.asked, stream.best) = (asked, best);
                stream.settled_at = now + SETTLING_TIME;
            }
        }
    }

    /// Takes which videos the bridge sends now.
    pub(super) fn set_forwarded(&mut self, forwarded: Vec<SourceName>, now: Instant, measurements: &mut Measurements) {
        self.forwarded = Some(forwarded);
        self.tell_forwarded(now, measurements);
    }

    fn tell_forwarded(&mut self, now: Instant, measurements: &mut Measurements) {
        let Some(forwarded) = &self.forwarded else { return };
        for stream in self.streams.values_mut().filter(|stream| stream.source.kind != MediaKind::Audio) {
            let is_forwarded = forwarded.contains(&stream.source.name);
            let expected = if is_forwarded { Expected::Flowing } else { Expected::Paused };
            if let Some((_, reader)) = &mut stream.reader {
                reader.set_expected(now, expected);
            }
            stream.drain_reader(now, measurements, &mut self.first, &mut self.playout);
        }
    }

    /// Takes a packet that arrived at `arrived`.
    pub(super) fn handle_rtp(
        &mut self,
        now: Instant,
        arrived: Instant,
        datagram: &mut [u8],
        srtp: &mut SrtpReceiver,
        negotiated: &Negotiated,
        measurements: &mut Measurements,
    ) {
        let Ok(header) = RtpHeader::parse(datagram) else { return };
        self.note_transport_seq(&header, datagram, negotiated, arrived);
        if let Some(original) = self.rtx.get(&header.ssrc).copied() {
            self.handle_rtx(original, now, arrived, datagram, srtp, negotiated, measurements);
            return;
        }
        let Some(kind) = self.streams.get(&header.ssrc).map(|stream| stream.source.kind) else { return };
        let plain = match self.depth {
            Depth::Decode => {
                match srtp.unprotect_rtp(datagram) {
                    Ok(plain) => Some(plain),
                    Err(SrtpError::Replayed | SrtpError::TooOld) => {
                        measurements.media(kind).duplicated_packets += 1;
                        return;
                    }
                    // What is not from the bridge did not arrive.
                    Err(_) => return,
                }
            }
            Depth::Count => None,
        };
        let Some(stream) = self.streams.get_mut(&header.ssrc) else { return };
        let seq = plain.map_or_else(|| stream.register.extend(header.seq), |plain| plain.seq);
        let counts = measurements.media(kind);
        match stream.register.handle_packet(seq, header.timestamp, Via::Direct, arrived) {
            Arrival::New => {}
            Arrival::Duplicate | Arrival::TooOld => {
                counts.duplicated_packets += 1;
                return;
            }
        }
        counts.received_packets += 1;
        let plain_len =
            plain.map_or_else(|| datagram.len().saturating_sub(srtp.profile().tag_len()), |plain| plain.len);
        counts.received_bytes += plain_len as u64;
        stream.losses.handle_packet(seq, now, counts);
        if kind != MediaKind::Audio {
            stream.nack.handle_packet(seq, now);
        }
        let Some(plain) = plain else {
            self.first.note(kind, arrived);
            self.playout.handle_media(&stream.source, arrived, measurements);
            return;
        };
        let Some(codec) = negotiated.codec_of(header.payload_type) else { return };
        let Some(packet) = datagram.get(..plain.len) else { return };
        let packet = read_packet(&plain.header, packet, seq, &self.video_extensions);
        if let Some(packet) = packet {
            stream.read(codec, self.clock, now, arrived, &packet, Via::Direct, measurements);
            stream.drain_reader(arrived, measurements, &mut self.first, &mut self.playout);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "as of a packet on the stream itself")]
    fn handle_rtx(
        &mut self,
        original: Ssrc,
        now: Instant,
        arrived: Instant,
        datagram: &mut [u8],
        srtp: &mut SrtpReceiver,
        negotiated: &Negotiated,
        measurements: &mut Measurements,
    ) {
        let Ok(plain) = srtp.unprotect_rtp(datagram) else { return };
        let Some(packet) = datagram.get(..plain.len) else { return };
        let Ok(view) = RtpView::with_header(plain.header, packet) else { return };
        // Padding, as bridges probe bandwidth with, has no number in front.
        let Some((osn, payload)) = split_payload(view.payload()) else { return };
        let Some(stream) = self.streams.get_mut(&original) else { return };
        let counts = measurements.media(stream.source.kind);
        counts.received_packets += 1;
        counts.received_bytes += plain.len as u64;
        let seq = stream.register.extend(osn);
        match stream.register.handle_packet(seq, view.timestamp(), Via::Retransmission, arrived) {
            Arrival::New => {}
            Arrival::Duplicate | Arrival::TooOld => return,
        }
        stream.losses.handle_repair(seq);
        stream.nack.handle_packet(seq, now);
        let codec = negotiated.codec_of_rtx(plain.header.payload_type);
        if let (Depth::Decode, Some(codec)) = (self.depth, codec) {
            let packet = ReceivedPacket { payload, ..received(&view, seq, &self.video_extensions) };
            stream.read(codec, self.clock, now, arrived, &packet, Via::Retransmission, measurements);
            stream.drain_reader(arrived, measurements, &mut self.first, &mut self.playout);
        }
    }

    /// The transport-wide number stands in the clear header. It counts whatever the packet is: a videobridge probes for
    /// bandwidth with padding on an SSRC of its own, and what nobody acknowledges is lost to it.
    fn note_transport_seq(&mut self, header: &RtpHeader, datagram: &[u8], negotiated: &Negotiated, arrived: Instant) {
        let is_audio = negotiated.codec_of(header.payload_type) == Some(Codec::Opus);
        let extensions = if is_audio { &self.audio_extensions } else { &self.video_extensions };
        let Some(id) = extensions.id(ExtensionKind::TransportWideCc) else { return };
        // Padding is encrypted, so that it cannot be looked at here.
        let mut header = *header;
        header.has_padding = false;
        let Ok(view) = RtpView::with_header(header, datagram) else { return };
        if let Some(bytes) = view.extension(id).and_then(|element| element.data.first_chunk()) {
            self.twcc.handle_packet(TwccSeq(u16::from_be_bytes(*bytes)), arrived);
        }
    }

    /// Takes the times of a sender report.
    pub(super) fn handle_sender_report(&mut self, ssrc: Ssrc, ntp: NtpTime, now: Instant) {
        if let Some(stream) = self.streams.get_mut(&ssrc) {
            stream.register.handle_sender_report(ntp, now);
        }
    }

    /// Appends what is due of NACK, PLI and transport-wide feedback.
    pub(super) fn write_feedback(
        &mut self,
        own: Ssrc,
        now: Instant,
        out: &mut Vec<u8>,
        measurements: &mut Measurements,
    ) {
        let mut due = Vec::new();
        for stream in self.streams.values_mut() {
            stream.write_feedback(own, now, &mut due, out, measurements);
        }
        if let Some(media) = self.streams.first().map(|(ssrc, _)| *ssrc) {
            while self.twcc.poll_feedback(own, media, now, out) {}
        }
    }

    /// The same for who takes no packets of reduced size (RFC 5506): each stream's behind a report on it, as a datagram of
    /// its own.
    pub(super) fn write_compounds(
        &mut self,
        own: Ssrc,
        cname: &str,
        now: Instant,
        measurements: &mut Measurements,
    ) -> Vec<Vec<u8>> {
        let (mut due, mut compounds) = (Vec::new(), Vec::new());
        for stream in self.streams.values_mut() {
            let mut feedback = Vec::new();
            stream.write_feedback(own, now, &mut due, &mut feedback, measurements);
            if !feedback.is_empty() {
                let mut compound = Vec::new();
                write_receiver_report(&mut compound, own, stream.register.next_report_block(now).as_slice());
                write_sdes_cname(&mut compound, own, cname);
                compound.extend(feedback);
                compounds.push(compound);
            }
        }
        compounds
    }

    /// Blocks of the next report: those of all streams in turn.
    pub(super) fn report_blocks(&mut self, now: Instant) -> Vec<ReportBlock> {
        let streams = self.streams.len();
        let mut blocks = Vec::with_capacity(streams.min(MAX_REPORT_BLOCKS));
        for step in 0..streams {
            if blocks.len() >= MAX_REPORT_BLOCKS {
                self.next_block = (self.next_block + step) % streams;
                break;
            }
            let at = (self.next_block + step) % streams;
            blocks
                .extend(self.streams.get_index_mut(at).and_then(|(_, stream)| stream.register.next_report_block(now)));
        }
        blocks
    }

    /// Gives up on what is missing, notices freezes, and measures jitter; to be called each second.
    pub(super) fn handle_tick(&mut self, now: Instant, measurements: &mut Measurements) {
        for stream in self.streams.values_mut() {
            stream.losses.handle_timeout(now, measurements.media(stream.source.kind));
            if let Some((_, reader)) = &mut stream.reader {
                reader.handle_timeout(now);
                measurements.record_jitter(stream.source.kind, reader.jitter());
            }
            stream.drain_reader(now, measurements, &mut self.first, &mut self.playout);
        }
    }

    /// The session is over.
    pub(super) fn finish(&mut self, now: Instant, measurements: &mut Measurements) {
        for stream in self.streams.values_mut() {
            stream.losses.handle_timeout(now, measurements.media(stream.source.kind));
            // A freeze that is under way ends here.
            if let Some((_, reader)) = &mut stream.reader {
                reader.set_expected(now, Expected::Paused);
            }
            stream.drain_reader(now, measurements, &mut self.first, &mut self.playout);
        }
    }
}

impl FirstMedia {
    fn note(&mut self, kind: MediaKind, at: Instant) {
        let first = match kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Camera | MediaKind::Screen => &mut self.video,
        };
        first.get_or_insert(at);
    }
}

impl Stream {
    fn new(source: RemoteSource, wishes: &Wishes, now: Instant) -> Self {
        let clock_rate_hz = match source.kind {
            MediaKind::Audio => 48_000,
            MediaKind::Camera | MediaKind::Screen => 90_000,
        };
        Self {
            register: ReceptionRegister::new(source.ssrc, clock_rate_hz),
            losses: LossRegister::default(),
            nack: NackRegister::default(),
            reader: None,
            key_frame_asked: None,
            asked: wishes.asked(&source.name),
            best: wishes.best(&source.name, source.kind),
            settled_at: now + SETTLING_TIME,
            source,
        }
    }

    /// Hands a packet to the reader of its codec.
    #[expect(clippy::too_many_arguments, reason = "everything about a packet")]
    fn read(
        &mut self,
        codec: Codec,
        clock: MediaClock,
        now: Instant,
        arrived: Instant,
        packet: &ReceivedPacket<'_>,
        via: Via,
        measurements: &mut Measurements,
    ) {
        let kind = self.source.kind;
        if self.reader.as_ref().is_none_or(|(known, _)| *known != codec) {
            let freeze_after = freeze_after(kind);
            self.reader = Some((codec, FrameReader::new(ReaderSettings { codec, clock, freeze_after })));
            self.settled_at = now + SETTLING_TIME;
        }
        let Some((_, reader)) = &mut self.reader else { return };
        let trailer = reader.handle_packet(arrived, packet);
        // A retransmission says how long a repair takes, not what the server adds.
        if let (Via::Direct, Some(trailer)) = (via, trailer)
            && let Some(transit) = clock.time(arrived).since(trailer.sent)
        {
            measurements.record_latency(kind, transit);
        }
    }

    /// Appends what is due of NACK and PLI.
    fn write_feedback(
        &mut self,
        own: Ssrc,
        now: Instant,
        due: &mut Vec<SeqNum>,
        out: &mut Vec<u8>,
        measurements: &mut Measurements,
    ) {
        if self.nack.next_timeout().is_some_and(|at| at <= now) {
            self.nack.poll_due(now, None, due);
            if !due.is_empty() {
                measurements.media(self.source.kind).nacks_sent += 1;
                write_nack(out, own, self.source.ssrc, due.drain(..));
            }
        }
        if self.wants_key_frame(now) {
            self.key_frame_asked = Some(now);
            measurements.media(self.source.kind).key_frame_requests_sent += 1;
            write_pli(out, own, self.source.ssrc);
        }
    }

    fn drain_reader(
        &mut self,
        now: Instant,
        measurements: &mut Measurements,
        first: &mut FirstMedia,
        playout: &mut Playout,
    ) {
        let kind = self.source.kind;
        while let Some(event) = self.reader.as_mut().and_then(|(_, reader)| reader.poll_event()) {
            let counts = measurements.media(kind);
            match event {
                ReaderEvent::Frame(frame) => {
                    counts.frames += 1;
                    first.note(kind, now);
                    playout.handle_media(&self.source, now, measurements);
                    self.note_layer(&frame, now, measurements);
                }
                ReaderEvent::Undecodable(UndecodableCause::Incomplete) => counts.undecodable_incomplete += 1,
                ReaderEvent::Undecodable(UndecodableCause::MissingReference) => counts.undecodable_reference += 1,
                ReaderEvent::Undecodable(UndecodableCause::Late) => counts.undecodable_late += 1,
                ReaderEvent::FreezeBegan { .. } => {}
                ReaderEvent::FreezeEnded(freeze) => measurements.record_freeze(kind, freeze.lasted),
            }
        }
    }

    fn note_layer(&self, frame: &DecodableFrame, now: Instant, measurements: &mut Measurements) {
        if let (MediaKind::Camera | MediaKind::Screen, Some(height)) = (self.source.kind, frame.height)
            && now >= self.settled_at
        {
            measurements.record_layer(self.asked, self.best, height);
        }
    }

    fn wants_key_frame(&self, now: Instant) -> bool {
        let may_ask = self.key_frame_asked.is_none_or(|at| now.saturating_duration_since(at) >= KEY_FRAME_INTERVAL);
        may_ask && self.reader.as_ref().is_some_and(|(_, reader)| reader.wants_key_frame(now))
    }
}

/// A decrypted packet, as readers take it.
fn read_packet<'a>(
    header: &RtpHeader,
    packet: &'a [u8],
    seq: ExtSeqNum,
    extensions: &ExtensionMap,
) -> Option<ReceivedPacket<'a>> {
    let view = RtpView::with_header(*header, packet).ok()?;
    Some(received(&view, seq, extensions))
}

fn received<'a>(view: &RtpView<'a>, seq: ExtSeqNum, extensions: &ExtensionMap) -> ReceivedPacket<'a> {
    let descriptor = extensions.id(ExtensionKind::DependencyDescriptor).and_then(|id| view.extension(id));
    ReceivedPacket {
        seq,
        timestamp: view.timestamp(),
        marker: view.marker(),
        payload: view.payload(),
        dependency_descriptor: descriptor.map(|element| element.data),
    }
}
