//! [`ReceiveSideEstimator`]: what the path from one sender carries, by when its packets were sent and arrived, for senders that
//! take REMB instead of transport-wide feedback (libwebrtc's `RemoteBitrateEstimatorAbsSendTime`, draft-alvestrand-rmcat-remb-03).
//!
//! Here: the estimate. Not here: where packets carry their times, and REMB itself (`rtp`).

use std::time::{Duration, Instant};

use model::{Bitrate, DataSize};
use rtp::AbsSendTime;

use crate::delay_based::{DelayBasedBwe, ReceivedPacket, Throughput};
use crate::throughput::ThroughputEstimator;
use crate::time::{TimeDelta, Timestamp};

/// Packets are gone through together that come within this time.
const BATCH_TIME: TimeDelta = TimeDelta::from_ms(20);
/// And no more of them.
const MAX_BATCH: usize = 256;

/// Estimates what the path from one sender carries, all its streams together.
///
/// Told what arrives; asked for the estimate at any time. Some kilobytes; nothing is allocated once warm.
#[derive(Clone, Debug)]
pub struct ReceiveSideEstimator {
    epoch: Instant,
    min: Bitrate,
    delay_based: DelayBasedBwe,
    throughput: ThroughputEstimator,
    /// When the newest packet was sent, on the sender's clock and without its wrap.
    newest: Option<(AbsSendTime, Timestamp)>,
    batch: Vec<ReceivedPacket>,
}

impl ReceiveSideEstimator {
    /// Of a sender that sent nothing yet. The estimate never falls below `min`.
    #[must_use]
    pub fn new(now: Instant, min: Bitrate) -> Self {
        Self {
            epoch: now,
            min,
            delay_based: DelayBasedBwe::new(min),
            throughput: ThroughputEstimator::new(),
            newest: None,
            batch: Vec::with_capacity(MAX_BATCH),
        }
    }

    /// A packet arrives now that was sent at `sent`; `size` with all headers that the path carries.
    pub fn handle_packet(&mut self, now: Instant, sent: AbsSendTime, size: DataSize) {
        let arrived = Timestamp::ZERO + TimeDelta::from(now.saturating_duration_since(self.epoch));
        let sent = self.extend(sent, arrived);
        if let Some(first) = self.batch.first()
            && (arrived - first.arrived >= BATCH_TIME || self.batch.len() >= MAX_BATCH)
        {
            self.go_through(arrived);
        }
        self.batch.push(ReceivedPacket { sent, arrived, size, probe: None });
    }

    /// Takes a round trip to the sender.
    pub fn handle_rtt(&mut self, rtt: Duration) {
        self.delay_based.set_rtt(rtt.into());
    }

    /// The rate at which the sender may send, all packets with their headers. `None` before enough came to know.
    #[must_use]
    pub fn estimate(&self) -> Option<Bitrate> {
        let rate = self.delay_based.last_rate();
        (rate > Bitrate::ZERO).then_some(rate.max(self.min))
    }

    fn extend(&mut self, sent: AbsSendTime, arrived: Timestamp) -> Timestamp {
        let Some((newest, at)) = self.newest else {
            self.newest = Some((sent, arrived));
            return arrived;
        };
        let ahead = TimeDelta::from_micros(sent.micros_since(newest));
        if ahead > TimeDelta::ZERO {
            self.newest = Some((sent, at + ahead));
        }
        at + ahead
    }

    fn go_through(&mut self, now: Timestamp) {
        self.throughput.update(&self.batch);
        let average = self.throughput.throughput();
        let rates = Throughput { average, at_overuse: average };
        self.delay_based.update(&self.batch, rates, None, now);
        self.batch.clear();
    }
}

#[cfg(test)]
mod tests {
    use rtp::NtpTime;

    use super::*;

    const START_SECS: u64 = 60;

    /// Sends packets of 1200 bytes through a line of some rate; `rates` are those at which it sends, each for five seconds, in
    /// kbit/s. Answers the estimate behind each.
    fn run(line_kbps: u64, rates: &[u64]) -> Vec<Option<u64>> {
        let start = sim::start();
        let mut estimator = ReceiveSideEstimator::new(start, Bitrate::from_kbps(30));
        estimator.handle_rtt(Duration::from_millis(50));
        let (mut at, mut line_free) = (Duration::ZERO, Duration::ZERO);
        let packet = |kbps: u64| Duration::from_micros(1200 * 8 * 1000 / kbps);
        let mut estimates = Vec::new();
        for (step, rate) in (1..).zip(rates) {
            while at < Duration::from_secs(5 * step) {
                // The clock of the sender goes round after 64 s.
                let sent = AbsSendTime::from_ntp(NtpTime::from_unix(Duration::from_secs(START_SECS) + at));
                line_free = line_free.max(at) + packet(line_kbps);
                let arrived = start + line_free + Duration::from_millis(25);
                estimator.handle_packet(arrived, sent, DataSize::from_bytes(1200));
                at += packet(*rate);
            }
            estimates.push(estimator.estimate().map(|rate| rate.bps() / 1000));
        }
        estimates
    }

    #[test]
    fn nothing_is_known_at_first_and_growth_follows_what_arrives() {
        assert_eq!(ReceiveSideEstimator::new(sim::start(), Bitrate::ZERO).estimate(), None);
        let estimates = run(10_000, &[1000, 1000, 1000, 1000]);
        assert!(estimates[1].is_some_and(|kbps| kbps >= 950), "{estimates:?}");
        assert!(estimates[3].is_some_and(|kbps| (1100..=1520).contains(&kbps)), "{estimates:?}");
    }

    #[test]
    fn a_queue_in_front_of_the_line_lowers_the_estimate_below_it() {
        let estimates = run(500, &[400, 700]);
        assert!(estimates[1].is_some_and(|kbps| (300..500).contains(&kbps)), "{estimates:?}");
    }
}
