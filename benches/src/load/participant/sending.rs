//! What a participant sends: sealed packets of its sources, their retransmissions, and sender reports.

use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

use model::{ExtSeqNum, PayloadType, RtpTimestamp, SeqNum, Ssrc, TwccSeq};
use rand::Rng;
use rand::rngs::SmallRng;
use rtp::rtcp::SenderInfo;
use rtp::rtx::osn_prefix;
use rtp::{
    AbsSendTime, ExtensionId, ExtensionKind, ExtensionMap, MAX_DEPENDENCY_DESCRIPTOR_ELEMENT_LEN,
    MAX_OUTGOING_HEADER_LEN, NtpTime, OutgoingExtensions, OutgoingHeader, RtpParts,
};
use srtp::{SrtpError, SrtpSender};
use streams::{RtxCache, SenderStats};
use tests::peer::Datagram;

use super::{LocalSource, Negotiated};
use crate::load::measure::{Measurements, MediaKind};
use crate::load::media::{
    Activity, Codec, Frame, MAX_PAYLOAD_LEN, MediaClock, MediaTime, Source, SourceKind, SourceSettings,
};

/// A datagram is never longer: payload, header with all extensions, tag.
const MAX_DATAGRAM_LEN: usize = 1500;

/// Datagrams that wait to be sent: media, in one piece of memory, and those of ICE and DTLS, each to its address.
#[derive(Debug, Default)]
pub struct Outbox {
    slab: Vec<u8>,
    datagrams: Vec<Range<usize>>,
    addressed: Vec<Datagram>,
}

impl Outbox {
    /// Datagrams that are sent before more are made: a key frame of a screen.
    const MAX_DATAGRAMS: usize = 512;

    /// Appends what `write` writes; answers whether there was room.
    pub(super) fn push_with<E>(&mut self, write: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<bool, E> {
        if self.datagrams.len() >= Self::MAX_DATAGRAMS {
            return Ok(false);
        }
        let start = self.datagrams.last().map_or(0, |last| last.end);
        if self.slab.len() < start + MAX_DATAGRAM_LEN {
            self.slab.resize((start + MAX_DATAGRAM_LEN).next_power_of_two(), 0);
        }
        let len = write(self.slab.get_mut(start..start + MAX_DATAGRAM_LEN).unwrap_or_default())?;
        self.datagrams.push(start..start + len);
        Ok(true)
    }

    /// Appends a datagram of ICE or DTLS.
    pub(super) fn push_to(&mut self, datagram: Datagram) {
        self.addressed.push(datagram);
    }

    /// Datagrams of ICE and DTLS.
    pub fn take_addressed(&mut self) -> std::vec::Drain<'_, Datagram> {
        self.addressed.drain(..)
    }

    /// Media, to where the session says that media goes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.datagrams.iter().map(|range| self.slab.get(range.clone()).unwrap_or_default())
    }

    /// Whether media waits.
    #[must_use]
    pub const fn has_media(&self) -> bool {
        !self.datagrams.is_empty()
    }

    /// Forgets the media, once it is sent.
    pub fn clear(&mut self) {
        self.datagrams.clear();
    }
}

/// A source to be sent.
#[derive(Debug)]
pub struct SendingSettings {
    /// As it is announced.
    pub local: LocalSource,
    /// What makes its media.
    pub source: SourceSettings,
}

/// All that one participant sends.
#[derive(Debug)]
pub(super) struct Sending {
    sources: Vec<SendingSource>,
    numbers: Numbers,
    clock: MediaClock,
}

/// What all packets of a transport share.
#[derive(Debug)]
struct Numbers {
    next_twcc: u16,
}

#[derive(Debug)]
struct SendingSource {
    local: LocalSource,
    source: Source,
    payload_type: PayloadType,
    rtx_payload_type: Option<PayloadType>,
    clock_rate_hz: u32,
    extensions: ExtensionMap,
    stream_ids: Option<(ExtensionId, ExtensionId)>,
    streams: Vec<SendingStream>,
}

#[derive(Debug)]
struct SendingStream {
    ssrc: Ssrc,
    next: ExtSeqNum,
    rtx: Option<RtxStream>,
    stats: SenderStats,
    /// Media time and time of capture of the last frame.
    last: Option<(RtpTimestamp, MediaTime)>,
    sent: RtxCache<SentPacket>,
}

#[derive(Debug)]
struct RtxStream {
    ssrc: Ssrc,
    payload_type: PayloadType,
    next: ExtSeqNum,
}

/// What makes a packet again.
#[derive(Clone, Debug)]
struct SentPacket {
    frame: Rc<Frame>,
    at: usize,
}

/// Where a packet of a frame goes.
struct Envelope<'a> {
    payload_type: PayloadType,
    ssrc: Ssrc,
    seq: ExtSeqNum,
    /// In front of a retransmission: the number that it repeats.
    original: Option<SeqNum>,
    /// M-line and encoding, where they are told in packets.
    names: Option<(&'a str, ExtensionId, &'a str)>,
    extensions: &'a ExtensionMap,
    clock: &'a MediaClock,
    now: Instant,
    wall: NtpTime,
}

impl Sending {
    /// Nothing sent yet. Sources whose codec is not offered are left out by the caller.
    pub(super) fn new(
        settings: Vec<SendingSettings>,
        negotiated: &Negotiated,
        now: Instant,
        random: &mut SmallRng,
    ) -> Option<Self> {
        let clock = settings.first()?.source.clock;
        let sources =
            settings.into_iter().filter_map(|sending| SendingSource::new(sending, negotiated, now, random)).collect();
        Some(Self { sources, numbers: Numbers { next_twcc: random.random() }, clock })
    }

    /// When something is captured.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.sources.iter().filter_map(|source| source.source.poll_timeout()).min()
    }

    /// Sends what is captured.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        wall: NtpTime,
        srtp: &SrtpSender,
        out: &mut Outbox,
        measurements: &mut Measurements,
    ) -> Result<(), SrtpError> {
        let Self { sources, numbers, clock } = self;
        for source in sources {
            let skipped = source.source.skipped();
            source.source.handle_timeout(now);
            measurements.media(source.local.kind).skipped_captures += source.source.skipped() - skipped;
            while let Some(frame) = source.source.poll_frame() {
                source.send(frame, now, wall, clock, numbers, srtp, out, measurements)?;
            }
        }
        Ok(())
    }

    /// Answers a NACK: what is still at hand is sent again.
    #[expect(clippy::too_many_arguments, reason = "everything about a packet")]
    pub(super) fn repair(
        &mut self,
        ssrc: Ssrc,
        lost: impl Iterator<Item = SeqNum>,
        now: Instant,
        wall: NtpTime,
        srtp: &SrtpSender,
        out: &mut Outbox,
        measurements: &mut Measurements,
    ) -> Result<(), SrtpError> {
        let Self { sources, numbers, clock } = self;
        for source in sources {
            let Some(at) = source.streams.iter().position(|stream| stream.ssrc == ssrc) else { continue };
            let names = names_of(&source.local, source.stream_ids, at, true);
            let Some(stream) = source.streams.get_mut(at) else { continue };
            let counts = measurements.media(source.local.kind);
            counts.nacks_received += 1;
            for seq in lost {
                let original = ExtSeqNum::extend(seq, Some(stream.next));
                let (Some(rtx), Some(packet)) = (&mut stream.rtx, stream.sent.get(original, now)) else { continue };
                let envelope = Envelope {
                    payload_type: rtx.payload_type,
                    ssrc: rtx.ssrc,
                    seq: rtx.next,
                    original: Some(seq),
                    names,
                    extensions: &source.extensions,
                    clock,
                    now,
                    wall,
                };
                if envelope.seal(packet, numbers, srtp, out)?.is_some() {
                    rtx.next = ExtSeqNum(rtx.next.0 + 1);
                    counts.retransmitted_packets += 1;
                }
            }
            return Ok(());
        }
        Ok(())
    }

    /// The bridge wants a key frame of this stream.
    pub(super) fn request_key_frame(&mut self, ssrc: Ssrc, measurements: &mut Measurements) {
        for source in &mut self.sources {
            let encoding = source.streams.iter().position(|stream| stream.ssrc == ssrc);
            if let Some(encoding) = encoding.and_then(|encoding| u8::try_from(encoding).ok()) {
                source.source.request_key_frame(encoding);
                measurements.media(source.local.kind).key_frame_requests_received += 1;
            }
        }
    }

    /// The bridge says how large a picture of a source anybody wants.
    pub(super) fn set_max_height(&mut self, name: &model::SourceName, max_height: i32) {
        for source in self.sources.iter_mut().filter(|source| source.local.name == *name) {
            source.source.set_max_height(u16::try_from(max_height).ok());
        }
    }

    /// Speaks, or is silent.
    pub(super) fn set_activity(&mut self, activity: Activity) {
        for source in self.sources.iter_mut().filter(|source| source.local.kind == MediaKind::Audio) {
            source.source.set_activity(activity);
        }
    }

    /// One for each stream that sent something (RFC 3550 §6.4.1).
    pub(super) fn sender_infos(&self, now: Instant, wall: NtpTime) -> impl Iterator<Item = SenderInfo> {
        let media_now = self.clock.time(now);
        self.sources.iter().flat_map(move |source| {
            source.streams.iter().filter_map(move |stream| {
                let (timestamp, captured) = stream.last?;
                let passed = media_now.since(captured).unwrap_or_default();
                let ticks = (passed.as_secs_f64() * f64::from(source.clock_rate_hz)) as u32;
                stream.stats.sender_info(wall, RtpTimestamp(timestamp.0.wrapping_add(ticks)))
            })
        })
    }

    /// Any SSRC of ours, as the sender of feedback.
    pub(super) fn first_ssrc(&self) -> Option<Ssrc> {
        self.sources.first()?.streams.first().map(|stream| stream.ssrc)
    }
}

impl SendingSource {
    fn new(settings: SendingSettings, negotiated: &Negotiated, now: Instant, random: &mut SmallRng) -> Option<Self> {
        let SendingSettings { local, source } = settings;
        let codec = match source.kind {
            SourceKind::Microphone => Codec::Opus,
            SourceKind::Camera { codec, .. } | SourceKind::Screen { codec } => Codec::Video(codec),
        };
        let (payload_type, rtx_payload_type, extensions) = match codec {
            Codec::Opus => (negotiated.opus?, None, &negotiated.audio_extensions),
            Codec::Video(codec) => {
                let (media, rtx) = negotiated.video.get(&codec)?;
                (*media, *rtx, &negotiated.video_extensions)
            }
        };
        // Below half of the numbers, as libwebrtc starts, so that the first packets can be lost without a doubt about the
        // roll-over (RFC 3711 §3.3.1).
        let mut first = || ExtSeqNum(u64::from(random.random::<u16>() & 0x7fff));
        let streams = local.ssrcs.iter().enumerate().map(|(at, ssrc)| SendingStream {
            ssrc: *ssrc,
            next: first(),
            rtx: rtx_payload_type.zip(local.rtx.get(at)).map(|(payload_type, ssrc)| RtxStream {
                ssrc: *ssrc,
                payload_type,
                next: first(),
            }),
            stats: SenderStats::new(*ssrc),
            last: None,
            sent: RtxCache::default(),
        });
        let streams = streams.collect();
        Some(Self {
            source: Source::new(now, &source),
            payload_type,
            rtx_payload_type,
            clock_rate_hz: codec.clock_rate_hz(),
            extensions: *extensions,
            stream_ids: negotiated.stream_ids,
            streams,
            local,
        })
    }

    #[expect(clippy::too_many_arguments, reason = "everything about a packet")]
    fn send(
        &mut self,
        frame: Frame,
        now: Instant,
        wall: NtpTime,
        clock: &MediaClock,
        numbers: &mut Numbers,
        srtp: &SrtpSender,
        out: &mut Outbox,
        measurements: &mut Measurements,
    ) -> Result<(), SrtpError> {
        let encoding = usize::from(frame.layer.encoding);
        let names = names_of(&self.local, self.stream_ids, encoding, false);
        let Some(stream) = self.streams.get_mut(encoding) else { return Ok(()) };
        stream.last = Some((frame.timestamp, frame.captured));
        let counts = measurements.media(self.local.kind);
        let frame = Rc::new(frame);
        for at in 0..frame.packets() {
            let packet = SentPacket { frame: Rc::clone(&frame), at };
            let seq = stream.next;
            let envelope = Envelope {
                payload_type: self.payload_type,
                ssrc: stream.ssrc,
                seq,
                original: None,
                names,
                extensions: &self.extensions,
                clock,
                now,
                wall,
            };
            // What does not fit the burst is lost on the way out, with its number.
            stream.next = ExtSeqNum(seq.0 + 1);
            let Some(sealed) = envelope.seal(&packet, numbers, srtp, out)? else { continue };
            counts.sent_packets += 1;
            counts.sent_bytes += sealed.bytes as u64;
            stream.stats.handle_sent(1, sealed.payload as u64);
            if self.rtx_payload_type.is_some() {
                stream.sent.insert(seq, packet, now);
            }
        }
        Ok(())
    }
}

/// What packets of an encoding say of it.
fn names_of(
    local: &LocalSource,
    ids: Option<(ExtensionId, ExtensionId)>,
    encoding: usize,
    is_repair: bool,
) -> Option<(&str, ExtensionId, &str)> {
    let (media, repair) = ids?;
    Some((&local.mid, if is_repair { repair } else { media }, local.rids.get(encoding)?))
}

/// How long a packet became.
struct Sealed {
    payload: usize,
    bytes: usize,
}

impl Envelope<'_> {
    /// Puts the packet into the outbox; `None` if that is full.
    fn seal(
        &self,
        packet: &SentPacket,
        numbers: &mut Numbers,
        srtp: &SrtpSender,
        out: &mut Outbox,
    ) -> Result<Option<Sealed>, SrtpError> {
        let Some(content) = packet.frame.packet(packet.at) else { return Ok(None) };
        let mut payload = [0; MAX_PAYLOAD_LEN];
        let Ok(payload_len) = content.write_to(self.clock.time(self.now), &mut payload) else { return Ok(None) };
        let id = |kind| self.extensions.id(kind);
        let descriptor = content.dependency_descriptor();
        let twcc = id(ExtensionKind::TransportWideCc).map(|id| (id, TwccSeq(numbers.next_twcc)));
        let header = OutgoingHeader {
            marker: content.marker(),
            payload_type: self.payload_type,
            seq: self.seq.wire(),
            timestamp: packet.frame.timestamp,
            ssrc: self.ssrc,
            extensions: OutgoingExtensions {
                audio_level: id(ExtensionKind::AudioLevel).zip(packet.frame.audio_level),
                abs_send_time: id(ExtensionKind::AbsSendTime).map(|id| (id, AbsSendTime::from_ntp(self.wall))),
                transport_seq: twcc,
                mid: id(ExtensionKind::Mid).zip(self.names.map(|(mid, _, _)| mid)),
                // No session has both: the one element of any length takes either.
                dependency_descriptor: self.names.map(|(_, id, rid)| (id, rid.as_bytes())).or_else(|| {
                    let descriptor = descriptor.as_ref().map(|descriptor| descriptor.as_slice());
                    id(ExtensionKind::DependencyDescriptor).zip(descriptor)
                }),
                ..OutgoingExtensions::default()
            },
        };
        let mut head = [0; MAX_OUTGOING_HEADER_LEN + MAX_DEPENDENCY_DESCRIPTOR_ELEMENT_LEN];
        let Ok(written) = header.write_to(&mut head) else { return Ok(None) };
        let osn = self.original.map(osn_prefix);
        let parts = RtpParts {
            header: head.get(..written.len).unwrap_or_default(),
            prefix: osn.as_ref().map_or(&[], |osn| osn.as_slice()),
            payload: payload.get(..payload_len).unwrap_or_default(),
        };
        let bytes = parts.len();
        let has_room = out.push_with(|dest| srtp.protect_rtp(&parts, self.seq, dest))?;
        if has_room && twcc.is_some() {
            numbers.next_twcc = numbers.next_twcc.wrapping_add(1);
        }
        Ok(has_room.then_some(Sealed { payload: payload_len, bytes }))
    }
}
