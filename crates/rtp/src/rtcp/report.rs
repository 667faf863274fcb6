//! Sender and receiver reports (RFC 3550 §6.4).

use std::time::Duration;

use model::{RtpTimestamp, Ssrc};

use crate::time::{CompactNtp, NtpTime};

use super::{packet_type, split_u32, write_packet};

/// Most report blocks in one packet: the count has five bits (RFC 3550 §6.4.1).
pub const MAX_REPORT_BLOCKS: usize = 31;

const BLOCK_LEN: usize = 24;

/// What a receiver says about one stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    /// The stream.
    pub ssrc: Ssrc,
    /// Part lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the start, duplicates taken off; 24 bits signed on the wire.
    pub cumulative_lost: i32,
    /// Highest sequence number, with the count of its cycles in the high 16 bits.
    pub highest_seq: u32,
    /// Interarrival jitter in units of the stream's clock.
    pub jitter: u32,
    /// LSR: middle of the NTP timestamp of the last sender report, none before the first.
    pub last_sr: Option<CompactNtp>,
    /// DLSR: time from the arrival of that report to this one.
    pub delay_since_last_sr: Duration,
}

impl ReportBlock {
    fn parse(bytes: &[u8; BLOCK_LEN]) -> Self {
        let word = |at: usize| bytes.get(at..).and_then(split_u32).map_or(0, |(word, _)| word);
        let last_sr = word(16);
        Self {
            ssrc: Ssrc(word(0)),
            fraction_lost: bytes[4],
            // Shifted up and back down, so that the sign of the 24 bits is kept.
            cumulative_lost: (word(4) << 8) as i32 >> 8,
            highest_seq: word(8),
            jitter: word(12),
            last_sr: (last_sr != 0).then_some(CompactNtp(last_sr)),
            delay_since_last_sr: CompactNtp::to_duration(word(20)),
        }
    }

    fn write_to(&self, out: &mut Vec<u8>) {
        let lost = self.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0x00ff_ffff;
        let words = [
            self.ssrc.0,
            u32::from(self.fraction_lost) << 24 | lost,
            self.highest_seq,
            self.jitter,
            self.last_sr.map_or(0, |lsr| lsr.0),
            CompactNtp::from_duration(self.delay_since_last_sr),
        ];
        for word in words {
            out.extend_from_slice(&word.to_be_bytes());
        }
    }
}

/// What a sender says about its own stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// The stream.
    pub ssrc: Ssrc,
    /// Wall time of the report.
    pub ntp: NtpTime,
    /// The same moment on the stream's clock.
    pub rtp_timestamp: RtpTimestamp,
    /// Packets sent since the start.
    pub packet_count: u32,
    /// Bytes of payload sent since the start, without headers and padding.
    pub octet_count: u32,
}

/// A sender report.
#[derive(Clone, Copy, Debug)]
pub struct SenderReport<'a> {
    /// About the sender's own stream.
    pub info: SenderInfo,
    blocks: &'a [[u8; BLOCK_LEN]],
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let (ssrc, rest) = split_u32(body)?;
        let (ntp_high, rest) = split_u32(rest)?;
        let (ntp_low, rest) = split_u32(rest)?;
        let (rtp_timestamp, rest) = split_u32(rest)?;
        let (packet_count, rest) = split_u32(rest)?;
        let (octet_count, rest) = split_u32(rest)?;
        let info = SenderInfo {
            ssrc: Ssrc(ssrc),
            ntp: NtpTime(u64::from(ntp_high) << 32 | u64::from(ntp_low)),
            rtp_timestamp: RtpTimestamp(rtp_timestamp),
            packet_count,
            octet_count,
        };
        Some(Self { info, blocks: split_blocks(count, rest)? })
    }

    /// What the sender says about the streams that it receives, at most 31.
    pub fn report_blocks(&self) -> impl Iterator<Item = ReportBlock> + 'a {
        self.blocks.iter().map(ReportBlock::parse)
    }
}

/// A receiver report.
#[derive(Clone, Copy, Debug)]
pub struct ReceiverReport<'a> {
    /// Who reports.
    pub sender_ssrc: Ssrc,
    blocks: &'a [[u8; BLOCK_LEN]],
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let (ssrc, rest) = split_u32(body)?;
        Some(Self { sender_ssrc: Ssrc(ssrc), blocks: split_blocks(count, rest)? })
    }

    /// What it says about each stream, at most 31.
    pub fn report_blocks(&self) -> impl Iterator<Item = ReportBlock> + 'a {
        self.blocks.iter().map(ReportBlock::parse)
    }
}

/// The blocks that the count announces. What follows them is an extension of a profile and is skipped (§6.4.3).
fn split_blocks(count: u8, body: &[u8]) -> Option<&[[u8; BLOCK_LEN]]> {
    body.as_chunks().0.get(..usize::from(count))
}

/// Appends a sender report; blocks beyond 31 go into receiver reports behind it (RFC 3550 §6.1).
pub fn write_sender_report(out: &mut Vec<u8>, info: &SenderInfo, blocks: &[ReportBlock]) {
    let (first, more) = blocks.split_at(blocks.len().min(MAX_REPORT_BLOCKS));
    write_packet(out, first.len() as u8, packet_type::SENDER_REPORT, |out| {
        out.extend_from_slice(&info.ssrc.0.to_be_bytes());
        out.extend_from_slice(&info.ntp.0.to_be_bytes());
        out.extend_from_slice(&info.rtp_timestamp.0.to_be_bytes());
        out.extend_from_slice(&info.packet_count.to_be_bytes());
        out.extend_from_slice(&info.octet_count.to_be_bytes());
        for block in first {
            block.write_to(out);
        }
    });
    if !more.is_empty() {
        write_receiver_report(out, info.ssrc, more);
    }
}

/// Appends a receiver report, or as many as the blocks need; one without blocks where there are none.
pub fn write_receiver_report(out: &mut Vec<u8>, sender_ssrc: Ssrc, blocks: &[ReportBlock]) {
    let mut rest = blocks;
    loop {
        let (now, more) = rest.split_at(rest.len().min(MAX_REPORT_BLOCKS));
        write_packet(out, now.len() as u8, packet_type::RECEIVER_REPORT, |out| {
            out.extend_from_slice(&sender_ssrc.0.to_be_bytes());
            for block in now {
                block.write_to(out);
            }
        });
        if more.is_empty() {
            return;
        }
        rest = more;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, RtcpPacket};
    use super::*;

    fn block(ssrc: u32) -> ReportBlock {
        ReportBlock {
            ssrc: Ssrc(ssrc),
            fraction_lost: 64,
            cumulative_lost: -3,
            highest_seq: 0x0001_fffe,
            jitter: 77,
            last_sr: Some(CompactNtp(0x1234_5678)),
            delay_since_last_sr: CompactNtp::to_duration(0x8000),
        }
    }

    fn info() -> SenderInfo {
        SenderInfo {
            ssrc: Ssrc(1),
            ntp: NtpTime(0x0102_0304_0506_0708),
            rtp_timestamp: RtpTimestamp(9),
            packet_count: 10,
            octet_count: 11,
        }
    }

    #[test]
    fn sender_report_is_read_back() {
        let mut out = Vec::new();
        write_sender_report(&mut out, &info(), &[block(2), block(3)]);
        assert_eq!(out.len(), 28 + 48);
        let Some(Ok(RtcpPacket::SenderReport(report))) = Compound::new(&out).next() else { panic!("no SR") };
        assert_eq!(report.info, info());
        assert_eq!(report.report_blocks().collect::<Vec<_>>(), [block(2), block(3)]);
    }

    #[test]
    fn more_than_31_blocks_continue_in_receiver_reports() {
        let blocks: Vec<_> = (0..70).map(block).collect();
        let mut out = Vec::new();
        write_sender_report(&mut out, &info(), &blocks);
        let mut seen = Vec::new();
        for packet in Compound::new(&out) {
            if let Ok(RtcpPacket::SenderReport(report)) = packet {
                seen.extend(report.report_blocks());
            } else if let Ok(RtcpPacket::ReceiverReport(report)) = packet {
                assert_eq!(report.sender_ssrc, Ssrc(1));
                seen.extend(report.report_blocks());
            } else {
                panic!("{packet:?}");
            }
        }
        assert_eq!(seen, blocks);
    }

    #[test]
    fn cumulative_loss_is_clamped_to_24_bits_signed() {
        for (lost, wire) in [(i32::MAX, 0x7f_ffff), (i32::MIN, -0x80_0000), (0, 0), (-1, -1)] {
            let mut out = Vec::new();
            write_receiver_report(&mut out, Ssrc(1), &[ReportBlock { cumulative_lost: lost, ..block(2) }]);
            let Some(Ok(RtcpPacket::ReceiverReport(report))) = Compound::new(&out).next() else { panic!("no RR") };
            assert_eq!(report.report_blocks().next().unwrap().cumulative_lost, wire);
        }
    }

    #[test]
    fn a_count_beyond_the_body_is_malformed_and_an_extension_is_skipped() {
        let mut out = Vec::new();
        write_receiver_report(&mut out, Ssrc(1), &[block(2)]);
        out[0] = 0x82;
        assert!(Compound::new(&out).next().unwrap().is_err());
        out[0] = 0x80;
        let Some(Ok(RtcpPacket::ReceiverReport(report))) = Compound::new(&out).next() else { panic!("no RR") };
        assert_eq!(report.report_blocks().count(), 0);
    }

    #[test]
    fn no_block_makes_an_empty_receiver_report() {
        let mut out = Vec::new();
        write_receiver_report(&mut out, Ssrc(7), &[]);
        assert_eq!(out, [0x80, 201, 0, 1, 0, 0, 0, 7]);
    }
}
