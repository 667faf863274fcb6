//! What we say of a stream that we send (RFC 3550 §6.4.1).

use model::{RtpTimestamp, Ssrc};
use rtp::NtpTime;
use rtp::rtcp::SenderInfo;

/// Counts of one outgoing stream.
#[derive(Clone, Debug)]
pub struct SenderStats {
    ssrc: Ssrc,
    packets: u64,
    octets: u64,
}

impl SenderStats {
    /// A stream that nothing was sent on yet.
    #[must_use]
    pub const fn new(ssrc: Ssrc) -> Self {
        Self { ssrc, packets: 0, octets: 0 }
    }

    /// Notes packets that leave, with the bytes of their payloads without padding.
    pub const fn handle_sent(&mut self, packets: u64, octets: u64) {
        self.packets += packets;
        self.octets += octets;
    }

    /// What a sender report says now, for a moment given in wall time and on the clock of the outgoing stream (see
    /// [`crate::SequenceRewriter::map_timestamp`]). None where nothing was sent: a receiver must not learn of a stream by a
    /// report.
    #[must_use]
    pub const fn sender_info(&self, ntp: NtpTime, rtp_timestamp: RtpTimestamp) -> Option<SenderInfo> {
        if self.packets == 0 {
            return None;
        }
        Some(SenderInfo {
            ssrc: self.ssrc,
            ntp,
            rtp_timestamp,
            // RFC 3550 §6.4.1: both counts wrap.
            packet_count: self.packets as u32,
            octet_count: self.octets as u32,
        })
    }

    /// Packets sent.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Bytes of payload sent.
    #[must_use]
    pub const fn octets(&self) -> u64 {
        self.octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_only_after_the_first_packet_and_lets_counts_wrap() {
        let mut stats = SenderStats::new(Ssrc(7));
        assert_eq!(stats.sender_info(NtpTime(1), RtpTimestamp(2)), None);
        stats.handle_sent(1, u64::from(u32::MAX));
        stats.handle_sent(1, 3);
        let info = stats.sender_info(NtpTime(1), RtpTimestamp(2)).unwrap();
        assert_eq!((info.ssrc, info.packet_count, info.octet_count), (Ssrc(7), 2, 2));
        assert_eq!((stats.packets(), stats.octets()), (2, u64::from(u32::MAX) + 3));
    }
}
