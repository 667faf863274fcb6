//! The delay-based controller: groups of packets, trend of their delays, rate (draft-ietf-rmcat-gcc-02 §5).

use model::{Bitrate, DataSize};

use crate::aimd::{AimdRateControl, OVERUSE_TIME};
use crate::inter_arrival::InterArrival;
use crate::probe::ProbeClusterId;
use crate::probe_rate::ProbeResult;
use crate::time::{TimeDelta, Timestamp};
use crate::trendline::{BandwidthUsage, TrendlineEstimator};

/// After a pause in feedback what came before it is no measure.
const STREAM_TIMEOUT: TimeDelta = TimeDelta::from_secs(2);

/// Packets that take so much longer than others which left after an overuse was answered: the answer did not stop the queue.
const LASTING_GROWTH: TimeDelta = TimeDelta::from_ms(30);

/// A packet that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReceivedPacket {
    pub(crate) sent: Timestamp,
    /// On the reporter's clock.
    pub(crate) arrived: Timestamp,
    pub(crate) size: DataSize,
    pub(crate) probe: Option<ProbeClusterId>,
}

/// What gets through, none with too little feedback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Throughput {
    pub(crate) average: Option<Bitrate>,
    /// The same where queues fill: not less than the line carries.
    pub(crate) at_overuse: Option<Bitrate>,
}

/// What a feedback changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct DelayBasedUpdate {
    /// The rate that delays allow, where there is one to tell.
    pub(crate) rate: Option<Bitrate>,
    /// Whether a probe gave it.
    pub(crate) by_probe: bool,
    /// Queues that were emptying are as they were before.
    pub(crate) has_recovered: bool,
    /// More gets through than the line was thought to carry.
    pub(crate) is_capacity_unknown: bool,
}

/// What delays allow (libwebrtc's `DelayBasedBwe`).
#[derive(Clone, Debug)]
pub(crate) struct DelayBasedBwe {
    groups: InterArrival,
    trendline: TrendlineEstimator,
    rate_control: AimdRateControl,
    last_feedback: Option<Timestamp>,
    last_rate: Bitrate,
    answered: Option<AnsweredOveruse>,
}

/// An overuse for which the rate was reduced.
#[derive(Clone, Copy, Debug)]
struct AnsweredOveruse {
    at: Timestamp,
    /// The shortest time that packets took which left after it.
    delay: Option<TimeDelta>,
}

impl DelayBasedBwe {
    pub(crate) fn new(min: Bitrate) -> Self {
        Self {
            groups: InterArrival::default(),
            trendline: TrendlineEstimator::new(),
            rate_control: AimdRateControl::new(min),
            last_feedback: None,
            last_rate: Bitrate::ZERO,
            answered: None,
        }
    }

    /// The same, with a rate that is known.
    pub(crate) fn starting_at(start: Bitrate, min: Bitrate) -> Self {
        let mut bwe = Self::new(min);
        bwe.set_start_rate(start);
        bwe
    }

    pub(crate) fn set_start_rate(&mut self, start: Bitrate) {
        self.rate_control.set_start_rate(start);
    }

    pub(crate) const fn set_rtt(&mut self, rtt: TimeDelta) {
        self.rate_control.set_rtt(rtt);
    }

    pub(crate) const fn usage(&self) -> BandwidthUsage {
        self.trendline.usage()
    }

    /// Whether what delays said is no measure any more, or they never said anything.
    pub(crate) fn is_outdated(&self, now: Timestamp) -> bool {
        self.last_feedback.is_none_or(|last| now - last > STREAM_TIMEOUT)
    }

    /// The rate last told; zero before the first.
    pub(crate) const fn last_rate(&self) -> Bitrate {
        self.last_rate
    }

    /// Takes what a feedback says arrived, in order of arrival and at least one.
    pub(crate) fn update(
        &mut self,
        received: &[ReceivedPacket],
        throughput: Throughput,
        probe: Option<ProbeResult>,
        now: Timestamp,
    ) -> DelayBasedUpdate {
        if self.last_feedback.is_some() && self.is_outdated(now) {
            self.groups = InterArrival::default();
            self.trendline = TrendlineEstimator::new();
        }
        self.last_feedback = Some(now);
        let mut has_recovered = false;
        for packet in received {
            if let Some(deltas) = self.groups.handle_packet(packet.sent, packet.arrived, now) {
                let before = self.trendline.usage();
                self.trendline.update(deltas, packet.arrived);
                let after = self.trendline.usage();
                has_recovered |= before == BandwidthUsage::Underusing && after == BandwidthUsage::Normal;
            }
        }
        let is_lasting = self.is_growing_still(received, now) && throughput.at_overuse > self.rate_control.estimate();
        let update = match self.trendline.usage() {
            BandwidthUsage::Overusing if is_lasting => self.on_lasting_overuse(now),
            BandwidthUsage::Overusing => self.on_overuse(throughput.at_overuse, now),
            BandwidthUsage::Normal | BandwidthUsage::Underusing => {
                let is_capacity_unknown = match probe {
                    Some(probe) => {
                        self.rate_control.set_estimate(probe.rate, now);
                        if let Some(capacity) = probe.capacity {
                            self.rate_control.on_saturating_probe(capacity);
                        }
                        false
                    }
                    None => self.rate_control.update(self.trendline.usage(), throughput.average, now),
                };
                DelayBasedUpdate {
                    rate: self.rate_control.estimate(),
                    by_probe: probe.is_some(),
                    has_recovered: has_recovered && probe.is_none(),
                    is_capacity_unknown,
                }
            }
        };
        self.last_rate = update.rate.unwrap_or(self.last_rate);
        update
    }

    /// What the line was found to carry.
    pub(crate) fn capacity(&self) -> Option<Bitrate> {
        self.rate_control.capacity()
    }

    /// Whether as much gets through as the line was found to carry.
    pub(crate) fn is_at_capacity(&self, throughput: Bitrate) -> bool {
        self.rate_control.is_at_capacity(throughput)
    }

    /// Takes an overuse that loss shows while so much got through. Answers the rate that is left, none where delays were
    /// answered just before.
    pub(crate) fn on_excess_loss(&mut self, throughput: Bitrate, now: Timestamp) -> Option<Bitrate> {
        if self.rate_control.has_just_reduced(throughput, now) { None } else { self.trigger_overuse(throughput, now) }
    }

    /// Takes an overuse that the trend of delays does not show. Answers the rate that is left.
    pub(crate) fn trigger_overuse(&mut self, throughput: Bitrate, now: Timestamp) -> Option<Bitrate> {
        self.reduce(throughput, now);
        self.last_rate = self.rate_control.estimate().unwrap_or(self.last_rate);
        self.rate_control.estimate()
    }

    fn reduce(&mut self, throughput: Bitrate, now: Timestamp) {
        let before = self.rate_control.estimate();
        self.rate_control.update(BandwidthUsage::Overusing, Some(throughput), now);
        if self.rate_control.estimate() < before {
            self.answered = Some(AnsweredOveruse { at: now, delay: None });
        }
    }

    /// Whether packets that left after an overuse was answered take longer and longer.
    fn is_growing_still(&mut self, received: &[ReceivedPacket], now: Timestamp) -> bool {
        let answered = self.answered.as_mut().filter(|answered| now - answered.at < OVERUSE_TIME);
        let Some(answered) = answered else { return false };
        let delays =
            received.iter().filter(|packet| packet.sent > answered.at).map(|packet| packet.arrived - packet.sent);
        let Some(delay) = delays.min() else { return false };
        let least = answered.delay.map_or(delay, |least| least.min(delay));
        answered.delay = Some(least);
        delay - least > LASTING_GROWTH
    }

    fn on_lasting_overuse(&mut self, now: Timestamp) -> DelayBasedUpdate {
        self.rate_control.on_lasting_overuse(now);
        self.answered = Some(AnsweredOveruse { at: now, delay: None });
        DelayBasedUpdate { rate: self.rate_control.estimate(), ..DelayBasedUpdate::default() }
    }

    fn on_overuse(&mut self, throughput: Option<Bitrate>, now: Timestamp) -> DelayBasedUpdate {
        match throughput {
            Some(throughput) if self.rate_control.may_reduce_further(throughput, now) => {
                self.reduce(throughput, now);
            }
            None if self.rate_control.may_reduce_blindly(now) => {
                let half = self.rate_control.estimate().unwrap_or_default().scaled(0.5);
                self.rate_control.set_estimate(half, now);
            }
            Some(_) | None => return DelayBasedUpdate::default(),
        }
        DelayBasedUpdate { rate: self.rate_control.estimate(), ..DelayBasedUpdate::default() }
    }
}

#[cfg(test)]
#[path = "delay_based/tests.rs"]
mod tests;
