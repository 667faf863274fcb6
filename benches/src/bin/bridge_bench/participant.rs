//! One participant at its socket: keeps its connection alive, takes what the server sends, reports as a receiver does.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use dtls::DtlsContext;
use ice::DatagramKind;
use model::{ExtSeqNum, RtpTimestamp, SeqNum, Ssrc};
use rtp::rtcp::{
    Compound, ReportBlock, RtcpPacket, SenderInfo, write_receiver_report, write_sdes_cname, write_sender_report,
};
use rtp::{CompactNtp, NtpTime};
use srtp::{SessionKeys, SrtpReceiver, SrtpSender};
use tests::peer::Peer;

use crate::packets::{IDEAL_SSRC_BIT, read_time, ssrc_of, stream_of};
use crate::sender::Outgoing;
use crate::traffic::{Kind, Scenario};
use benches::batch::{BATCH, Datagram, ReceiveBatch, Wait, prepare, stamp_arrivals};

/// Receivers and senders report this often (RFC 3550 §6.2; libwebrtc's interval of video).
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// libwebrtc reports its audio this often: one report in five.
const REPORTS_PER_AUDIO_REPORT: u64 = 5;
/// One packet in so many is decrypted.
const SAMPLE: u64 = 16;
/// This participant looks at everything, so that no number comes twice and none is broken. It receives in all scenarios.
const THOROUGH: usize = 1;
/// Streams that one report is about; the next report is about the next ones.
const MAX_BLOCKS: usize = 31;

/// What all receivers together saw since it was emptied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Of the packets that were decrypted, in nanoseconds.
    pub(crate) latencies: Vec<u32>,
    /// Packets that were decrypted and were not what they should be.
    pub(crate) broken: u64,
    /// Packets of no stream of the room.
    pub(crate) strangers: u64,
    /// Packets that the bridge asked for again: it missed them, so they were lost on the way to it.
    pub(crate) nacks: u64,
    /// Requests for key frames.
    pub(crate) key_frame_requests: u64,
}

/// One stream as it arrives.
#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    packets: u64,
    highest: Option<ExtSeqNum>,
    /// The last sender report, and when it came.
    last_report: Option<(CompactNtp, Instant)>,
}

struct Media {
    receiver: SrtpReceiver,
    /// For RTCP only, which it numbers; the generator has another for RTP.
    rtcp: SrtpSender,
}

pub(crate) struct Participant {
    /// Unique in the process; it says id and SSRCs.
    pub(crate) index: usize,
    /// The first participant of its room.
    room_start: usize,
    pub(crate) socket: Arc<UdpSocket>,
    pub(crate) peer: Peer,
    media: Option<Media>,
    /// By place in the room, audio and video of each.
    streams: Vec<Stream>,
    /// Packets of media, ever.
    pub(crate) received: u64,
    next_report: Instant,
    reports: u64,
    next_block: usize,
    /// What the generator sent of this participant.
    pub(crate) outgoing: Arc<Outgoing>,
}

impl Participant {
    pub(crate) fn new(
        scenario: &Scenario,
        index: usize,
        context: Arc<DtlsContext>,
        now: Instant,
    ) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        prepare(&socket)?;
        stamp_arrivals(&socket)?;
        let peer = Peer::new(socket.local_addr()?, context, now)?;
        Ok(Self {
            index,
            room_start: index - index % scenario.participants,
            socket: Arc::new(socket),
            peer,
            media: None,
            streams: vec![Stream::default(); scenario.participants * 2],
            received: 0,
            // Reports of different participants do not coincide.
            next_report: now + REPORT_INTERVAL.mul_f64(rand::random()),
            reports: 0,
            next_block: 0,
            outgoing: Arc::new(Outgoing::new(now)),
        })
    }

    /// Where media goes, once the handshake is done.
    pub(crate) fn bridge(&self) -> anyhow::Result<SocketAddrV4> {
        match self.peer.bridge() {
            SocketAddr::V4(address) => Ok(address),
            SocketAddr::V6(address) => bail!("{address} is not IPv4"),
        }
    }

    /// The keys of both directions, from this side.
    pub(crate) fn session_keys(&self) -> anyhow::Result<SessionKeys> {
        self.peer.session_keys().context("not connected")?
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.media.is_some() && self.peer.is_channel_open()
    }

    /// Takes everything that waits at the socket and does what is due.
    pub(crate) fn poll(&mut self, batch: &mut ReceiveBatch, now: Instant, seen: &mut Seen) -> anyhow::Result<()> {
        let socket = Arc::clone(&self.socket);
        let mut has_news = false;
        loop {
            let mut failure = Ok(());
            let count = batch.receive(&socket, Wait::Never, |datagram| match DatagramKind::of(datagram.data) {
                DatagramKind::Media if rtp::is_rtcp(datagram.data) => self.handle_rtcp(datagram.data, now, seen),
                DatagramKind::Media => self.handle_rtp(datagram, seen),
                DatagramKind::Stun => {
                    has_news = true;
                    self.peer.handle_stun(now, datagram.from.into(), datagram.data);
                }
                DatagramKind::Dtls => {
                    has_news = true;
                    if let Err(error) = self.peer.handle_dtls(now, datagram.data) {
                        failure = Err(error);
                    }
                }
                DatagramKind::Unknown => seen.strangers += 1,
            })?;
            failure?;
            if count < BATCH {
                break;
            }
        }
        if self.peer.deadline <= now {
            self.peer.handle_timeout(now)?;
            has_news = true;
        }
        if has_news {
            self.flush(now)?;
        }
        Ok(())
    }

    /// Sends what ICE, DTLS and SCTP have to say.
    pub(crate) fn flush(&mut self, now: Instant) -> anyhow::Result<()> {
        for datagram in self.peer.drain(now)? {
            self.socket.send_to(&datagram.bytes, datagram.to)?;
        }
        if self.media.is_none() && self.peer.keys().is_some() {
            let keys = self.session_keys()?;
            self.media =
                Some(Media { receiver: SrtpReceiver::new(&keys.inbound)?, rtcp: SrtpSender::new(&keys.outbound)? });
        }
        Ok(())
    }

    fn handle_rtp(&mut self, datagram: Datagram<'_>, seen: &mut Seen) {
        let Some(&[_, _, s0, s1, _, _, _, _, r0, r1, r2, r3]) = datagram.data.first_chunk() else {
            seen.strangers += 1;
            return;
        };
        let ssrc = Ssrc(u32::from_be_bytes([r0, r1, r2, r3]));
        let Some(stream) = self.place_of(ssrc).and_then(|place| self.streams.get_mut(place)) else {
            seen.strangers += 1;
            return;
        };
        stream.packets += 1;
        if ssrc.0 & IDEAL_SSRC_BIT == 0 {
            let seq = ExtSeqNum::extend(SeqNum(u16::from_be_bytes([s0, s1])), stream.highest);
            stream.highest = stream.highest.max(Some(seq));
        }
        self.received += 1;
        if self.index != THOROUGH && !self.received.is_multiple_of(SAMPLE) {
            return;
        }
        let Some(media) = &mut self.media else { return };
        match media.receiver.unprotect_rtp(datagram.data) {
            Ok(plain) => {
                let left = datagram.data.get(..plain.len).and_then(read_time).unwrap_or(0);
                let arrived = u64::try_from(datagram.arrival.as_nanos()).unwrap_or(u64::MAX);
                match arrived.checked_sub(left).and_then(|latency| u32::try_from(latency).ok()) {
                    Some(latency) => seen.latencies.push(latency),
                    None => seen.broken += 1,
                }
            }
            Err(_) => seen.broken += 1,
        }
    }

    fn handle_rtcp(&mut self, data: &mut [u8], now: Instant, seen: &mut Seen) {
        let Some(media) = &mut self.media else { return };
        let Ok(len) = media.receiver.unprotect_rtcp(data) else {
            seen.broken += 1;
            return;
        };
        for packet in Compound::new(data.get(..len).unwrap_or_default()) {
            match packet {
                Ok(RtcpPacket::SenderReport(report)) => {
                    let place = self.place_of(report.info.ssrc);
                    if let Some(stream) = place.and_then(|place| self.streams.get_mut(place)) {
                        stream.last_report = Some((report.info.ntp.compact(), now));
                    }
                }
                Ok(RtcpPacket::Nack(nack)) => seen.nacks += nack.lost().count() as u64,
                Ok(RtcpPacket::PictureLossIndication(_) | RtcpPacket::FullIntraRequest(_)) => {
                    seen.key_frame_requests += 1;
                    self.outgoing.ask_for_key_frame();
                }
                Ok(
                    RtcpPacket::ReceiverReport(_)
                    | RtcpPacket::SourceDescription
                    | RtcpPacket::Goodbye(_)
                    | RtcpPacket::ReceiverEstimatedMaxBitrate(_)
                    | RtcpPacket::TransportFeedback(_)
                    | RtcpPacket::Unknown { .. },
                ) => {}
                Err(_) => seen.broken += 1,
            }
        }
    }

    /// Sends a report if one is due: of what is sent, and of what is received (RFC 3550 §6.4).
    pub(crate) fn report_if_due(&mut self, now: Instant) -> anyhow::Result<()> {
        if now < self.next_report {
            return Ok(());
        }
        self.next_report = now + REPORT_INTERVAL;
        self.reports += 1;
        let heard = self.report_blocks(now).count();
        let skipped = if heard > MAX_BLOCKS { self.next_block % heard } else { 0 };
        let blocks: Vec<ReportBlock> = self.report_blocks(now).skip(skipped).take(MAX_BLOCKS).collect();
        self.next_block = skipped + blocks.len();
        let ssrc = ssrc_of(self.index, Kind::Audio);
        let mut compound = Vec::new();
        match self.sender_info(Kind::Video, now) {
            Some(info) => write_sender_report(&mut compound, &info, &blocks),
            None => write_receiver_report(&mut compound, ssrc, &blocks),
        }
        write_sdes_cname(&mut compound, ssrc, &format!("{:08x}", self.index));
        if self.reports.is_multiple_of(REPORTS_PER_AUDIO_REPORT)
            && let Some(info) = self.sender_info(Kind::Audio, now)
        {
            write_sender_report(&mut compound, &info, &[]);
        }
        let Some(media) = &mut self.media else { return Ok(()) };
        let mut sealed = vec![0; compound.len() + srtp::MAX_RTCP_OVERHEAD];
        let len = media.rtcp.protect_rtcp(&compound, &mut sealed)?;
        self.socket.send_to(sealed.get(..len).unwrap_or_default(), self.peer.bridge())?;
        Ok(())
    }

    fn report_blocks(&self, now: Instant) -> impl Iterator<Item = ReportBlock> {
        self.streams.iter().enumerate().filter_map(move |(place, stream)| {
            let kind = if place % 2 == 0 { Kind::Audio } else { Kind::Video };
            Some(ReportBlock {
                ssrc: ssrc_of(self.room_start + place / 2, kind),
                fraction_lost: 0,
                cumulative_lost: 0,
                highest_seq: stream.highest?.0 as u32,
                jitter: 90,
                last_sr: stream.last_report.map(|(report, _)| report),
                delay_since_last_sr: stream
                    .last_report
                    .map_or(Duration::ZERO, |(_, at)| now.saturating_duration_since(at)),
            })
        })
    }

    fn sender_info(&self, kind: Kind, now: Instant) -> Option<SenderInfo> {
        let (packets, octets) = self.outgoing.counts(kind);
        (packets > 0).then(|| SenderInfo {
            ssrc: ssrc_of(self.index, kind),
            ntp: NtpTime::from_system_time(SystemTime::now()),
            rtp_timestamp: RtpTimestamp(self.outgoing.timestamp(kind, now)),
            packet_count: packets as u32,
            octet_count: octets as u32,
        })
    }

    /// Where the stream stands in [`Self::streams`].
    fn place_of(&self, ssrc: Ssrc) -> Option<usize> {
        let (sender, kind) = stream_of(ssrc)?;
        Some(sender.checked_sub(self.room_start)? * 2 + usize::from(kind == Kind::Video))
    }

    /// Packets by stream since the last call.
    pub(crate) fn take_packets(&mut self) -> Vec<u64> {
        self.streams.iter_mut().map(|stream| std::mem::take(&mut stream.packets)).collect()
    }
}
