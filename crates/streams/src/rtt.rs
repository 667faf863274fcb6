//! Round trip time out of report blocks (RFC 3550 §6.4.1, figure 2).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rtp::rtcp::ReportBlock;
use rtp::{CompactNtp, NtpTime};

/// Sender reports that a report block may still refer to. Receivers answer the last one or two, and there is one of
/// these lists for every stream to every receiver.
const MAX_SENT_REPORTS: usize = 4;

/// A round trip above this is a report block that lies, or one of an old connection.
const MAX_RTT: Duration = Duration::from_secs(10);

/// Weight of a new sample in the smoothed value: 1/8, as in RFC 6298 §2.3.
const SMOOTHING: u32 = 8;

/// Estimates the round trip to one receiver. The NTP time of a forwarded report is its source's and not ours, so that
/// our own time of sending is kept beside it.
#[derive(Clone, Debug, Default)]
pub struct RttEstimator {
    sent: VecDeque<(CompactNtp, Instant)>,
    smoothed: Option<Duration>,
    latest: Option<Duration>,
}

impl RttEstimator {
    /// Notes a sender report that leaves now.
    pub fn handle_report_sent(&mut self, ntp: NtpTime, now: Instant) {
        if self.sent.len() >= MAX_SENT_REPORTS {
            self.sent.pop_front();
        }
        self.sent.push_back((ntp.compact(), now));
    }

    /// Takes a sample from a report block of the receiver. None where it refers to no report of ours, or cannot be.
    pub fn handle_report_block(&mut self, block: &ReportBlock, now: Instant) -> Option<Duration> {
        let last_sr = block.last_sr?;
        let (_, sent_at) = self.sent.iter().rev().find(|(ntp, _)| *ntp == last_sr)?;
        let sample = now.saturating_duration_since(*sent_at).checked_sub(block.delay_since_last_sr)?;
        if sample > MAX_RTT {
            return None;
        }
        self.latest = Some(sample);
        self.smoothed = Some(match self.smoothed {
            Some(smoothed) => (smoothed * (SMOOTHING - 1) + sample) / SMOOTHING,
            None => sample,
        });
        Some(sample)
    }

    /// Whether a sender report has left.
    #[must_use]
    pub fn has_sent(&self) -> bool {
        !self.sent.is_empty()
    }

    /// The smoothed round trip, none before the first sample.
    #[must_use]
    pub const fn rtt(&self) -> Option<Duration> {
        self.smoothed
    }

    /// The last sample.
    #[must_use]
    pub const fn latest(&self) -> Option<Duration> {
        self.latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_time::{ms, start};
    use model::Ssrc;

    fn block(last_sr: Option<CompactNtp>, delay: Duration) -> ReportBlock {
        ReportBlock {
            ssrc: Ssrc(1),
            fraction_lost: 0,
            cumulative_lost: 0,
            highest_seq: 0,
            jitter: 0,
            last_sr,
            delay_since_last_sr: delay,
        }
    }

    #[test]
    fn subtracts_the_time_that_the_receiver_held_the_report() {
        let (mut rtt, now) = (RttEstimator::default(), start());
        let ntp = NtpTime(0x1111_2222_3333_4444);
        rtt.handle_report_sent(ntp, now);
        assert_eq!(rtt.handle_report_block(&block(Some(ntp.compact()), ms(500)), now + ms(560)), Some(ms(60)));
        assert_eq!(rtt.rtt(), Some(ms(60)));
        rtt.handle_report_block(&block(Some(ntp.compact()), ms(500)), now + ms(640));
        assert_eq!((rtt.rtt(), rtt.latest()), (Some(ms(70)), Some(ms(140))));
    }

    #[test]
    fn ignores_blocks_that_refer_to_nothing_or_claim_the_impossible() {
        let (mut rtt, now) = (RttEstimator::default(), start());
        let ntp = NtpTime(0x1111_2222_3333_4444);
        rtt.handle_report_sent(ntp, now);
        assert_eq!(rtt.handle_report_block(&block(None, ms(0)), now), None);
        assert_eq!(rtt.handle_report_block(&block(Some(CompactNtp(7)), ms(0)), now), None);
        assert_eq!(rtt.handle_report_block(&block(Some(ntp.compact()), ms(100)), now + ms(99)), None);
        assert_eq!(rtt.handle_report_block(&block(Some(ntp.compact()), ms(0)), now + ms(10_001)), None);
        assert_eq!(rtt.rtt(), None);
    }

    #[test]
    fn remembers_a_bounded_number_of_reports() {
        let (mut rtt, now) = (RttEstimator::default(), start());
        for second in 0..100_u64 {
            rtt.handle_report_sent(NtpTime(second << 32), now);
        }
        assert_eq!(rtt.sent.len(), MAX_SENT_REPORTS);
        assert!(rtt.handle_report_block(&block(Some(NtpTime(50 << 32).compact()), ms(0)), now).is_none());
        assert!(rtt.handle_report_block(&block(Some(NtpTime(99 << 32).compact()), ms(0)), now).is_some());
    }
}
