//! RTCP of an endpoint: what it reports of what it gets, and what it asks for (RFC 3550 §6, RFC 4585, RFC 5104).

use std::time::Instant;

use model::{SeqNum, Ssrc};
use rtp::rtcp::{Compound, ReportBlock, RtcpPacket, SenderInfo};

use super::Shard;
use super::message::ShardMessage;
use super::peer::{FULL_COMPOUND_LEN, ReportDue};
use super::send::Reported;
use crate::counters::DropReason;
use crate::keys::{PeerKey, SourceId};

impl Shard {
    /// A decrypted compound of an endpoint that has its home here.
    pub(super) fn handle_rtcp(&mut self, from: PeerKey, compound: &[u8], now: Instant) {
        for packet in Compound::new(compound) {
            match packet {
                Ok(RtcpPacket::SenderReport(report)) => {
                    self.handle_sender_report(from, &report.info, now);
                    self.handle_report_blocks(from, report.report_blocks(), now);
                }
                Ok(RtcpPacket::ReceiverReport(report)) => self.handle_report_blocks(from, report.report_blocks(), now),
                Ok(RtcpPacket::Nack(nack)) => self.retransmit(from, nack.media_ssrc, nack.lost(), now),
                Ok(RtcpPacket::PictureLossIndication(pli)) => self.pass_key_frame_request(from, pli.media_ssrc, now),
                Ok(RtcpPacket::FullIntraRequest(fir)) => {
                    for entry in fir.entries() {
                        self.pass_key_frame_request(from, entry.ssrc, now);
                    }
                }
                Ok(RtcpPacket::TransportFeedback(feedback)) => {
                    if let Some(bandwidth) = self.bandwidth_mut(from) {
                        bandwidth.handle_feedback(&feedback, now);
                    }
                }
                Ok(RtcpPacket::ReceiverEstimatedMaxBitrate(remb)) => {
                    if let Some(bandwidth) = self.bandwidth_mut(from) {
                        bandwidth.handle_remb(&remb, now);
                    }
                }
                Ok(RtcpPacket::SourceDescription | RtcpPacket::Goodbye(_) | RtcpPacket::Unknown { .. }) => {}
                Err(_) => self.counters.count(DropReason::Rtcp),
            }
        }
        self.handle_bandwidth_timeout(from, ReportDue::No, now);
    }

    fn handle_report_blocks(&mut self, from: PeerKey, blocks: impl Iterator<Item = ReportBlock>, now: Instant) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        let mut all = None::<Reported>;
        for block in blocks {
            let source = peer.sent.source_of(block.ssrc).and_then(|source| self.sources.get_mut(source));
            let Some(stream) = source.and_then(|source| source.stream_mut(from, Some(block.ssrc))) else { continue };
            if let Some(sample) = stream.reports.handle_report_block(&block, now) {
                peer.handle_rtt(sample);
            }
            let Some(Reported { lost, expected }) = stream.reported_since(&block) else { continue };
            let before = all.unwrap_or_default();
            all = Some(Reported { lost: before.lost + lost, expected: before.expected + expected });
        }
        let Some(Reported { lost, expected }) = all else { return };
        if let Some(bandwidth) = &mut peer.bandwidth {
            bandwidth.handle_reported_loss(lost, expected, now);
        }
        if let Some(link) = &mut peer.link {
            link.traffic.packets_lost += lost;
        }
    }

    /// A source's report goes on to its receivers, here and on other shards.
    fn handle_sender_report(&mut self, from: PeerKey, info: &SenderInfo, now: Instant) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        let Some(role) = peer.receive.handle_sender_report(*info, now) else { return };
        let source = role.source();
        if let Some(known) = self.sources.get(source) {
            for shard in known.reach.iter().filter(|shard| *shard != self.id) {
                self.messages.push((shard, ShardMessage::SenderReport { source, info: *info }));
            }
        }
        self.forward_sender_report(source, info, now);
    }

    pub(super) fn forward_sender_report(&mut self, source: SourceId, info: &SenderInfo, now: Instant) {
        if let Some(source) = self.sources.get_mut(source) {
            source.forward_sender_report(info, now, &mut self.peers, &mut self.out);
        }
    }

    /// Tells a receiver the reports of sources that waited for each other.
    pub(super) fn tell_reports(&mut self, to: PeerKey, now: Instant) {
        let Some(peer) = self.peers.get_mut(to) else { return };
        let mut sources = std::mem::take(&mut peer.reports_of);
        peer.rtcp.clear();
        for source in sources.drain(..) {
            if let Some(source) = self.sources.get_mut(source) {
                source.write_report(to, now, &mut peer.rtcp);
            }
            if peer.rtcp.len() > FULL_COMPOUND_LEN {
                peer.send_rtcp(now, &mut self.out);
                peer.rtcp.clear();
            }
        }
        if !peer.rtcp.is_empty() {
            peer.send_rtcp(now, &mut self.out);
        }
        peer.reports_of = sources;
    }

    /// Packets that a receiver lost are sent again from the cache of their source.
    fn retransmit(&mut self, to: PeerKey, ssrc: Ssrc, lost: impl Iterator<Item = SeqNum>, now: Instant) {
        let Some(peer) = self.peers.get_mut(to).filter(|peer| peer.is_connected()) else { return };
        let Some(source) = peer.sent.source_of(ssrc).and_then(|source| self.sources.get_mut(source)) else { return };
        for lost in lost {
            if !peer.repairs.is_allowed() {
                return self.counters.count(DropReason::RepairBudget);
            }
            let Some(retransmission) = source.retransmission(peer, ssrc, lost, now) else { continue };
            retransmission.put(peer, &mut self.held, &mut self.round);
            peer.repairs.spend();
            self.counters.retransmissions.add(1);
        }
    }

    /// A receiver that cannot decode asks for a key frame: the source is asked for one of the encoding that it gets.
    fn pass_key_frame_request(&mut self, from: PeerKey, ssrc: Ssrc, now: Instant) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        let Some(source) = peer.sent.source_of(ssrc).and_then(|source| self.sources.get_mut(source)) else { return };
        let stream = source.stream_mut(from, Some(ssrc));
        let Some(encoding) = stream.and_then(|stream| stream.encoding_in_use()) else { return };
        if !source.is_key_frame_request_due(encoding, now) {
            // Somebody's request is under way; its key frame serves this receiver too.
            return;
        }
        // Another bridge asks for many, and holds back those who ask too often.
        let is_admitted = peer.link.is_some()
            || source.stream_mut(from, Some(ssrc)).is_some_and(|stream| stream.key_frames.admit(now));
        if !is_admitted {
            return self.counters.count(DropReason::KeyFrameRequestRate);
        }
        source.note_key_frame_request(encoding, now);
        let owner = source.new.owner;
        self.request_key_frame(owner, encoding, now);
    }
}
