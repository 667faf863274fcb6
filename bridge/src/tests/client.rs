//! A participant: sends its microphone and cameras, answers NACK and PLI, asks for what it misses, and reports.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use jitsi_protocol::bridge_channel::{BridgeMessage, ClientMessage, ReceiverVideoConstraints, VideoConstraints};
use jitsi_protocol::colibri2::{GroupSemantics, MediaSource, Source, SsrcGroup};
use model::{Bitrate, EndpointId, MediaType, PayloadType, RtpTimestamp, SeqNum, Ssrc, TwccSeq};
use rtp::rtcp::{
    Compound, ReportBlock, RtcpPacket, SenderInfo, write_nack, write_pli, write_receiver_report, write_sender_report,
};
use rtp::{
    AbsSendTime, AudioLevel, ExtensionId, MAX_DEPENDENCY_DESCRIPTOR_ELEMENT_LEN, MAX_OUTGOING_HEADER_LEN, NtpTime,
    OutgoingExtensions, OutgoingHeader, RtpView,
};

use streams::TwccReceiver;

use super::camera::{Camera, Microphone, OPUS, Plain, RTX_OFFSET, VIDEO};
use super::incoming::Incoming;
use super::simulation::{Journal, Player, Tap};
use crate::channel::WebSocketId;
use crate::transport::test_peer::TestPeer;

/// Identifiers of header extensions, as the focus offers them.
pub(super) const AUDIO_LEVEL_ID: u8 = 1;
pub(super) const ABS_SEND_TIME_ID: u8 = 3;
pub(super) const TWCC_ID: u8 = 5;
pub(super) const MID_ID: u8 = 10;
pub(super) const DEPENDENCY_DESCRIPTOR_ID: u8 = 11;
pub(super) const ALLOCATION_ID: u8 = 12;
/// SSRCs of client `n` begin at `n + 1` times this.
const SSRCS_PER_CLIENT: u32 = 1_000_000;
pub(super) const TICK: Duration = Duration::from_millis(20);
const TICKS_PER_FRAME: u64 = 2;
const TICKS_PER_REPORT: u64 = 50;

/// A participant.
pub(super) struct Client {
    pub(super) id: EndpointId,
    pub(super) peer: TestPeer,
    /// The address that the bridge sees it at.
    pub(super) external: SocketAddr,
    /// The conference that it is in.
    pub(super) meeting: &'static str,
    pub(super) microphone: Microphone,
    pub(super) cameras: Vec<Camera>,
    /// Languages in which the focus has it heard, and the SSRCs of these.
    pub(super) translations: Vec<(&'static str, u32)>,
    pub(super) incoming: BTreeMap<u32, Incoming>,
    pub(super) sends_nacks: bool,
    /// Its packets say when they were sent.
    pub(super) sends_times: bool,
    /// What it says of the layers of its cameras, in each packet of them.
    pub(super) allocation: Option<Vec<u8>>,
    /// Tells the bridge what of its packets arrived.
    pub(super) twcc: Option<TwccReceiver>,
    /// Its datagrams go over TCP.
    pub(super) is_over_tcp: bool,
    /// Sends its media and reports.
    pub(super) is_live: bool,
    pub(super) next_tick: Instant,
    ticks: u64,
    /// Its clock.
    ntp: NtpTime,
    next_twcc: u16,
    /// SSRCs of the bridge, as it told of them: the stream that each belongs to, and whether that is video.
    mapped: BTreeMap<u32, (u32, bool)>,
    /// Texts of the data channel and of WebSockets that were looked at for that.
    read_texts: (usize, usize),
    /// What became of what it sent.
    pub(super) journal: Option<Journal>,
    /// What the bridge sent to it.
    pub(super) tap: Option<Tap>,
    // What the bridge said.
    pub(super) web_socket_url: Option<String>,
    pub(super) web_socket: Option<WebSocketId>,
    pub(super) web_socket_texts: Vec<String>,
    pub(super) closes: Vec<(u16, &'static str)>,
    pub(super) key_frame_requests: Vec<(Instant, u32)>,
    pub(super) nacked: usize,
    /// Transport-wide numbers that the bridge reported as arrived.
    pub(super) twcc_arrived: Vec<u16>,
    pub(super) reports: Vec<ReportBlock>,
    pub(super) sender_reports: Vec<SenderInfo>,
    pub(super) rembs: Vec<Bitrate>,
    pub(super) compounds: Vec<Vec<u8>>,
    pub(super) transport_seqs: Vec<u16>,
}

impl Client {
    /// The `index`th client, with a camera of three layers.
    pub(super) fn new(index: usize, now: Instant) -> Self {
        let address = SocketAddr::from(([198, 51, 100, 10 + index as u8], 40_000));
        let base = (index as u32 + 1) * SSRCS_PER_CLIENT;
        let id = format!("{:08x}", 0xa000 + index);
        let camera = Camera::new(format!("{id}-v0"), base + 100, &[180, 360, 720]);
        Self {
            id: id.parse().unwrap(),
            peer: TestPeer::new(address, index as u8 + 1, now),
            external: address,
            meeting: super::world::MEETING,
            microphone: Microphone { ssrc: base, is_on: true, level: 127, next_seq: u64::from(base / 7 % 60_000) },
            cameras: vec![camera],
            translations: Vec::new(),
            incoming: BTreeMap::new(),
            sends_nacks: true,
            sends_times: false,
            allocation: None,
            twcc: None,
            is_over_tcp: false,
            is_live: true,
            next_tick: now,
            ticks: 0,
            ntp: NtpTime(0),
            next_twcc: 65_000,
            mapped: BTreeMap::new(),
            read_texts: (0, 0),
            journal: None,
            tap: None,
            web_socket_url: None,
            web_socket: None,
            web_socket_texts: Vec::new(),
            closes: Vec::new(),
            key_frame_requests: Vec::new(),
            nacked: 0,
            twcc_arrived: Vec::new(),
            reports: Vec::new(),
            sender_reports: Vec::new(),
            rembs: Vec::new(),
            compounds: Vec::new(),
            transport_seqs: Vec::new(),
        }
    }

    /// What it announces.
    pub(super) fn sources(&self) -> Vec<MediaSource> {
        let audio = MediaSource {
            media_type: MediaType::Audio,
            id: format!("{}-a0", self.id).parse().unwrap(),
            synthetic: false,
            sources: vec![Source::new(Ssrc(self.microphone.ssrc))],
            groups: Vec::new(),
        };
        let videos = self.cameras.iter().map(|camera| {
            let primaries: Vec<Ssrc> = camera.layers.iter().map(|layer| Ssrc(layer.ssrc)).collect();
            let repairs = primaries.iter().map(|ssrc| Ssrc(ssrc.0 + RTX_OFFSET));
            let mut groups: Vec<SsrcGroup> = primaries
                .iter()
                .zip(repairs.clone())
                .map(|(primary, repair)| SsrcGroup { semantics: GroupSemantics::Fid, ssrcs: vec![*primary, repair] })
                .collect();
            if primaries.len() > 1 {
                groups.insert(0, SsrcGroup { semantics: GroupSemantics::Sim, ssrcs: primaries.clone() });
            }
            MediaSource {
                media_type: MediaType::Video,
                id: camera.name.parse().unwrap(),
                synthetic: false,
                sources: primaries.iter().copied().chain(repairs).map(Source::new).collect(),
                groups,
            }
        });
        let translations = self.translations.iter().map(|(language, ssrc)| MediaSource {
            id: format!("{}-a0.{language}", self.id).parse().unwrap(),
            synthetic: true,
            sources: vec![Source::new(Ssrc(*ssrc))],
            ..audio.clone()
        });
        std::iter::once(audio.clone()).chain(translations).chain(videos).collect()
    }

    /// The SSRC under which others receive its first camera.
    pub(super) fn video_ssrc(&self) -> u32 {
        self.cameras[0].layers[0].ssrc
    }

    /// A stream of another client as it arrives here.
    pub(super) fn stream(&self, ssrc: u32) -> &Incoming {
        self.incoming.get(&ssrc).unwrap_or_else(|| panic!("{} gets nothing of {ssrc}", self.id))
    }

    pub(super) fn send_text(&mut self, message: &ClientMessage) {
        self.peer.channel_mut().send_text(&message.to_json()).unwrap();
    }

    /// Texts of the data channel, as messages.
    pub(super) fn messages(&self) -> Vec<BridgeMessage> {
        self.peer.texts.iter().map(|text| BridgeMessage::parse(text).unwrap()).collect()
    }

    /// Texts of WebSockets, as messages.
    pub(super) fn web_socket_messages(&self) -> Vec<BridgeMessage> {
        self.web_socket_texts.iter().map(|text| BridgeMessage::parse(text).unwrap()).collect()
    }

    /// Protects and queues a packet.
    pub(super) fn send_packet(&mut self, packet: &Plain) {
        if !self.peer.has_keys() {
            return;
        }
        let allocation = self.allocation.clone().filter(|_| packet.payload_type != OPUS);
        let packet = &Plain { allocation, ..packet.clone() };
        let bytes = write_packet(packet, Some(self.next_twcc), self.sends_times.then_some(self.ntp));
        self.next_twcc = self.next_twcc.wrapping_add(1);
        let protected = self.peer.protect_rtp(&bytes, packet.seq);
        if let Some(journal) = &mut self.journal {
            journal.handle_sent(packet, &protected);
        }
        self.peer.outgoing.push(protected);
    }

    pub(super) fn send_rtcp(&mut self, compound: &[u8]) {
        let protected = self.peer.protect_rtcp(compound);
        self.peer.outgoing.push(protected);
    }

    /// Asks for a key frame of a stream.
    pub(super) fn send_pli(&mut self, ssrc: u32) {
        let mut compound = Vec::new();
        write_receiver_report(&mut compound, Ssrc(self.microphone.ssrc), &[]);
        write_pli(&mut compound, Ssrc(self.microphone.ssrc), Ssrc(ssrc));
        self.send_rtcp(&compound);
    }

    /// Asks for packets again.
    pub(super) fn send_nack(&mut self, ssrc: u32, lost: &[SeqNum]) {
        let mut compound = Vec::new();
        write_receiver_report(&mut compound, Ssrc(self.microphone.ssrc), &[]);
        write_nack(&mut compound, Ssrc(self.microphone.ssrc), Ssrc(ssrc), lost.iter().copied());
        self.send_rtcp(&compound);
    }

    /// Sends what is due; takes what came.
    pub(super) fn handle_tick(&mut self, ms: u64, now: Instant) {
        self.next_tick += TICK;
        self.ticks += 1;
        self.ntp = NtpTime((ms << 32) / 1000);
        if !self.is_live || !self.peer.has_keys() {
            return;
        }
        if let Some(journal) = &mut self.journal {
            journal.now = now;
        }
        let audio = self.microphone.next_packet(ms);
        let mut packets: Vec<Plain> = audio.into_iter().collect();
        if self.ticks.is_multiple_of(TICKS_PER_FRAME) {
            packets.extend(self.cameras.iter_mut().flat_map(|camera| camera.next_frame(ms)));
        }
        for packet in packets {
            self.send_packet(&packet);
        }
        if self.sends_nacks {
            self.ask_for_missing(now);
        }
        self.ask_for_key_frames(now);
        if let Some(twcc) = &mut self.twcc {
            let mut feedback = Vec::new();
            if twcc.poll_feedback(Ssrc(self.microphone.ssrc), Ssrc(0), now, &mut feedback) {
                self.send_rtcp(&feedback);
            }
        }
        if self.ticks.is_multiple_of(TICKS_PER_REPORT) {
            self.send_reports(ms, now);
        }
    }

    fn ask_for_missing(&mut self, now: Instant) {
        let mut asks = Vec::new();
        for (ssrc, incoming) in self.incoming.iter_mut().filter(|(ssrc, _)| is_video(**ssrc)) {
            let mut due = Vec::new();
            incoming.nacks.poll_due(now, None, &mut due);
            if !due.is_empty() {
                asks.push((*ssrc, due));
            }
        }
        for (ssrc, due) in asks {
            self.send_nack(ssrc, &due);
        }
    }

    /// As a decoder does that shows nothing although packets come.
    fn ask_for_key_frames(&mut self, now: Instant) {
        let asks = self.incoming.iter_mut().filter_map(|(ssrc, incoming)| {
            incoming.player.as_mut()?.asks_for_key_frame(incoming.last_at, now).then_some(*ssrc)
        });
        for ssrc in asks.collect::<Vec<_>>() {
            self.send_pli(ssrc);
        }
    }

    fn send_reports(&mut self, ms: u64, now: Instant) {
        let ntp = self.ntp;
        let layers = self.cameras.iter().flat_map(|camera| &camera.layers);
        let mut clocks: Vec<(u32, u32)> = layers.map(|layer| (layer.ssrc, layer.timestamp(ms))).collect();
        clocks.push((self.microphone.ssrc, self.microphone.timestamp(ms)));
        for (ssrc, timestamp) in clocks {
            let info = SenderInfo {
                ssrc: Ssrc(ssrc),
                ntp,
                rtp_timestamp: RtpTimestamp(timestamp),
                packet_count: 1,
                octet_count: 1,
            };
            let mut compound = Vec::new();
            write_sender_report(&mut compound, &info, &[]);
            self.send_rtcp(&compound);
        }
        let blocks = self.incoming.values_mut().filter_map(|incoming| incoming.register.next_report_block(now));
        let blocks: Vec<_> = blocks.collect();
        for blocks in blocks.chunks(rtp::rtcp::MAX_REPORT_BLOCKS) {
            let mut compound = Vec::new();
            write_receiver_report(&mut compound, Ssrc(self.microphone.ssrc), blocks);
            self.send_rtcp(&compound);
        }
    }

    /// The bridge sends a datagram to it, which may be lost.
    pub(super) fn handle_sent_by_bridge(&mut self, datagram: &[u8], now: Instant) {
        if let Some(tap) = &mut self.tap {
            tap.take(datagram, self.peer.inbound.as_ref(), now);
        }
    }

    /// Takes note of the SSRCs that the bridge told.
    fn read_maps(&mut self) {
        let (texts, web_socket_texts) = self.read_texts;
        let texts = self.peer.texts[texts..].iter().chain(&self.web_socket_texts[web_socket_texts..]);
        for message in texts.map(|text| BridgeMessage::parse(text).unwrap()) {
            if let BridgeMessage::VideoSourcesMap(map) = &message {
                for source in &map.mapped_sources {
                    let ssrcs = std::iter::once(source.ssrc).chain(source.rtx);
                    self.mapped.extend(ssrcs.map(|ssrc| (ssrc.0, (source.ssrc.0, true))));
                }
            } else if let BridgeMessage::AudioSourcesMap(map) = &message {
                self.mapped.extend(map.mapped_sources.iter().map(|source| (source.ssrc.0, (source.ssrc.0, false))));
            }
        }
        self.read_texts = (self.peer.texts.len(), self.web_socket_texts.len());
    }

    /// Takes what its transport received.
    pub(super) fn take_received(&mut self, now: Instant) {
        self.read_maps();
        for (seq, packet) in std::mem::take(&mut self.peer.rtp) {
            self.take_rtp(seq, &packet, now);
        }
        for compound in std::mem::take(&mut self.peer.rtcp) {
            self.take_rtcp(&compound, now);
            self.compounds.push(compound);
        }
    }

    fn take_rtp(&mut self, seq: u64, packet: &[u8], now: Instant) {
        let view = RtpView::parse(packet).unwrap();
        let extension = |id: u8| view.extension(ExtensionId::try_from(id).unwrap());
        assert!(extension(MID_ID).is_none(), "a sender's MID is nothing to a receiver");
        assert!(extension(ALLOCATION_ID).is_none(), "what a sender says of its layers is for bridges");
        let transport_seq = extension(TWCC_ID).and_then(|element| element.data.first_chunk().copied());
        let transport_seq = transport_seq.map(u16::from_be_bytes);
        self.transport_seqs.extend(transport_seq);
        if let Some((twcc, seq)) = self.twcc.as_mut().zip(transport_seq) {
            twcc.handle_packet(TwccSeq(seq), now);
        }
        let ssrc = view.ssrc().0;
        // A repair that overtakes what it is told to be.
        let Some((primary, is_video)) = self.meaning_of(ssrc, view.payload_type().get()) else { return };
        if ssrc != primary {
            // Padding, with which the bridge probes, or a repair of what is not known yet.
            let (Some((original, payload)), Some(incoming)) =
                (rtp::rtx::split_payload(view.payload()), self.incoming.get_mut(&primary))
            else {
                return;
            };
            return incoming.take_repair(original, &view, payload, now);
        }
        let level = extension(AUDIO_LEVEL_ID).and_then(|element| element.data.first().copied());
        let clock_rate_hz = if is_video { 90_000 } else { 48_000 };
        let incoming = self.incoming.entry(ssrc).or_insert_with(|| Incoming::new(ssrc, clock_rate_hz, now));
        if self.tap.is_some() && is_video {
            incoming.player.get_or_insert_with(|| Player::new(now));
        }
        incoming.take(seq, &view, level.map(AudioLevel::from_byte), now);
    }

    /// The SSRC of the stream that one of it or of its retransmissions stands for, and whether that is video: as the bridge
    /// told of its own SSRCs, or by our numbering.
    fn meaning_of(&self, ssrc: u32, payload_type: u8) -> Option<(u32, bool)> {
        if ssrc < 1_000_000_000 {
            return Some((if ssrc % 100 >= RTX_OFFSET { ssrc - RTX_OFFSET } else { ssrc }, is_video(ssrc)));
        }
        let is_repair = VIDEO.iter().any(|(_, rtx, _)| *rtx == payload_type);
        let mapped = self.mapped.get(&ssrc).copied();
        mapped.or((!is_repair).then_some((ssrc, payload_type != OPUS)))
    }

    fn take_rtcp(&mut self, compound: &[u8], now: Instant) {
        let mut repeats = Vec::new();
        for packet in Compound::new(compound) {
            match packet.unwrap() {
                RtcpPacket::SenderReport(report) => {
                    if let Some(incoming) = self.incoming.get_mut(&report.info.ssrc.0) {
                        incoming.register.handle_sender_report(report.info.ntp, now);
                    }
                    self.sender_reports.push(report.info);
                }
                RtcpPacket::ReceiverReport(report) => self.reports.extend(report.report_blocks()),
                RtcpPacket::Nack(nack) => {
                    for lost in nack.lost() {
                        self.nacked += 1;
                        let layer = self.cameras.iter_mut().find_map(|camera| camera.layer_mut(nack.media_ssrc.0));
                        repeats.extend(layer.and_then(|layer| layer.repeat(lost.0)));
                    }
                }
                RtcpPacket::PictureLossIndication(pli) => {
                    self.key_frame_requests.push((now, pli.media_ssrc.0));
                    let layer = self.cameras.iter_mut().find_map(|camera| camera.layer_mut(pli.media_ssrc.0));
                    layer.unwrap_or_else(|| panic!("PLI for {:?}", pli.media_ssrc)).wants_key_frame = true;
                }
                RtcpPacket::TransportFeedback(feedback) => {
                    let arrived = feedback.statuses().filter(|(_, delta)| delta.is_some());
                    self.twcc_arrived.extend(arrived.map(|(seq, _)| seq.0));
                }
                RtcpPacket::ReceiverEstimatedMaxBitrate(remb) => {
                    assert!(remb.sources().any(|ssrc| ssrc.0 == self.cameras[0].layers[0].ssrc));
                    self.rembs.push(remb.bitrate);
                }
                RtcpPacket::SourceDescription => {}
                other @ (RtcpPacket::FullIntraRequest(_) | RtcpPacket::Goodbye(_) | RtcpPacket::Unknown { .. }) => {
                    panic!("the bridge sent {other:?}")
                }
            }
        }
        for packet in repeats {
            self.send_packet(&packet);
        }
    }
}

/// A packet with its header: transport-wide number and send time are in it where they are given.
pub(super) fn write_packet(packet: &Plain, transport_seq: Option<u16>, sent_at: Option<NtpTime>) -> Vec<u8> {
    let id = |id: u8| ExtensionId::try_from(id).unwrap();
    let header = OutgoingHeader {
        marker: packet.marker,
        payload_type: PayloadType::try_from(packet.payload_type).unwrap(),
        seq: SeqNum(packet.seq as u16),
        timestamp: RtpTimestamp(packet.timestamp),
        ssrc: Ssrc(packet.ssrc),
        extensions: OutgoingExtensions {
            audio_level: packet.level.map(|level| (id(AUDIO_LEVEL_ID), level)),
            abs_send_time: sent_at.map(|at| (id(ABS_SEND_TIME_ID), AbsSendTime::from_ntp(at))),
            transport_seq: transport_seq.map(|seq| (id(TWCC_ID), TwccSeq(seq))),
            mid: Some((id(MID_ID), if packet.payload_type == OPUS { "0" } else { "1" })),
            dependency_descriptor: packet
                .dependency_descriptor
                .as_deref()
                .map(|bytes| (id(DEPENDENCY_DESCRIPTOR_ID), bytes)),
            layers_allocation: packet.allocation.as_deref().map(|bytes| (id(ALLOCATION_ID), bytes)),
            ..OutgoingExtensions::default()
        },
    };
    let mut bytes = vec![0; MAX_OUTGOING_HEADER_LEN + 2 * MAX_DEPENDENCY_DESCRIPTOR_ELEMENT_LEN];
    let len = header.write_to(&mut bytes).unwrap().len;
    bytes.truncate(len);
    if packet.payload.is_empty() {
        bytes[0] |= 0x20;
        bytes.extend([0; 99]);
        bytes.push(100);
    }
    bytes.extend(&packet.payload);
    bytes
}

fn is_video(ssrc: u32) -> bool {
    ssrc % SSRCS_PER_CLIENT >= 100
}

/// `ReceiverVideoConstraints` for some sources; others at 180 lines.
pub(super) fn constraints(heights: &[(&str, i32)]) -> ClientMessage {
    let height = |max_height| VideoConstraints { max_height, max_frame_rate: None };
    ClientMessage::ReceiverVideoConstraints(ReceiverVideoConstraints {
        last_n: Some(-1),
        default_constraints: Some(height(180)),
        constraints: Some(heights.iter().map(|(name, max)| (name.parse().unwrap(), height(*max))).collect()),
        ..ReceiverVideoConstraints::default()
    })
}
