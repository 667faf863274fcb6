//! The rate that delays allow: it grows while queues do not, and falls below the throughput when they do
//! (draft-ietf-rmcat-gcc-02 §5.5; libwebrtc's `AimdRateControl`).

use model::{Bitrate, DataSize};

use crate::link_capacity::LinkCapacity;
use crate::time::{TimeDelta, Timestamp};
use crate::trendline::BandwidthUsage;

/// What is left of the throughput after an overuse.
const BACK_OFF: f64 = 0.85;

/// And so much less, to empty the queue at low rates, too.
const BACK_OFF_EXTRA: Bitrate = Bitrate::from_kbps(5);

/// What is left where the throughput is what the line is known to carry: such a queue was found early.
const KNOWN_BACK_OFF: f64 = 0.9;

/// How far below the capacity a throughput is by chance.
const THROUGHPUT_NOISE: f64 = 0.02;

/// For how long an overuse may be the one that was answered already: until the queue is empty and the detector sees it.
pub(crate) const OVERUSE_TIME: TimeDelta = TimeDelta::from_secs(2);

/// Growth a second where the capacity is not known.
const GROWTH: f64 = 1.08;

const MIN_GROWTH: Bitrate = Bitrate::from_kbps(1);

/// Growth a second near the capacity, at least.
const MIN_NEAR_MAX_GROWTH: f64 = 4000.0;

/// The rate grows to so much of the throughput: what is not used is not known either.
const MAX_OF_THROUGHPUT: f64 = 1.5;
const ABOVE_THROUGHPUT: Bitrate = Bitrate::from_kbps(10);

/// Until somebody measured it.
const DEFAULT_RTT: TimeDelta = TimeDelta::from_ms(200);

/// Between two reductions, at least and at most; a round trip in between.
const MIN_REDUCTION_INTERVAL: TimeDelta = TimeDelta::from_ms(10);
const MAX_REDUCTION_INTERVAL: TimeDelta = TimeDelta::from_ms(200);

/// How long the overuse detector takes.
const DETECTION_TIME: TimeDelta = TimeDelta::from_ms(100);

/// Without a start rate the first is the throughput after this.
const INITIALIZATION_TIME: TimeDelta = TimeDelta::from_secs(5);

/// Until the first rate is known.
const DEFAULT_RATE: Bitrate = Bitrate::from_kbps(30_000);

/// Rate control states of draft-ietf-rmcat-gcc-02 §5.5. "Decrease" is left in the moment in which it is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Hold,
    Increase,
}

/// Additive increase near the capacity, multiplicative increase far from it, multiplicative decrease.
#[derive(Clone, Debug)]
pub(crate) struct AimdRateControl {
    state: State,
    min: Bitrate,
    current: Bitrate,
    /// Whether `current` says something.
    is_initialized: bool,
    latest_throughput: Bitrate,
    first_throughput: Option<Timestamp>,
    last_change: Option<Timestamp>,
    capacity: LinkCapacity,
    /// When the last overuse was first answered, or answered again because it lasted, and when it was seen last.
    overuse_since: Timestamp,
    last_overuse: Timestamp,
    rtt: TimeDelta,
}

impl AimdRateControl {
    /// Never answers less than `min`.
    pub(crate) const fn new(min: Bitrate) -> Self {
        Self {
            state: State::Hold,
            min,
            current: DEFAULT_RATE,
            is_initialized: false,
            latest_throughput: DEFAULT_RATE,
            first_throughput: None,
            last_change: None,
            capacity: LinkCapacity::new(),
            overuse_since: Timestamp::MIN,
            last_overuse: Timestamp::MIN,
            rtt: DEFAULT_RTT,
        }
    }

    pub(crate) fn set_start_rate(&mut self, start: Bitrate) {
        self.current = start.max(self.min);
        self.latest_throughput = start;
        self.is_initialized = true;
    }

    pub(crate) const fn set_rtt(&mut self, rtt: TimeDelta) {
        self.rtt = rtt;
    }

    /// The rate, none before it is known.
    pub(crate) fn estimate(&self) -> Option<Bitrate> {
        self.is_initialized.then_some(self.current)
    }

    /// Whether overuse may reduce the rate again: after a round trip, or at once where half was too much.
    pub(crate) fn may_reduce_further(&self, throughput: Bitrate, now: Timestamp) -> bool {
        let interval = self.rtt.clamp(MIN_REDUCTION_INTERVAL, MAX_REDUCTION_INTERVAL);
        self.last_change.is_none_or(|last| now - last >= interval)
            || self.is_initialized && throughput < self.current.scaled(0.5)
    }

    /// The same before there is a throughput.
    pub(crate) fn may_reduce_blindly(&self, now: Timestamp) -> bool {
        let just_below_half = self.current.scaled(0.5).saturating_sub(Bitrate::from_bps(1));
        self.is_initialized && self.may_reduce_further(just_below_half, now)
    }

    /// Whether the rate was reduced just now, for a queue of which others may still tell.
    pub(crate) fn has_just_reduced(&self, throughput: Bitrate, now: Timestamp) -> bool {
        now - self.last_overuse < MAX_REDUCTION_INTERVAL && throughput >= self.current.scaled(0.5)
    }

    /// What the line was found to carry.
    pub(crate) fn capacity(&self) -> Option<Bitrate> {
        self.capacity.estimate()
    }

    /// Whether as much gets through as the line was found to carry.
    pub(crate) fn is_at_capacity(&self, throughput: Bitrate) -> bool {
        self.capacity.estimate().is_some() && throughput >= self.capacity.lower_bound()
    }

    /// Takes a rate that was measured in another way.
    pub(crate) fn set_estimate(&mut self, rate: Bitrate, now: Timestamp) {
        self.is_initialized = true;
        self.current = rate.max(self.min);
        self.last_change = Some(now);
    }

    /// Takes the rate of the line as a probe found it: growth from here is that of near the capacity.
    pub(crate) fn on_saturating_probe(&mut self, capacity: Bitrate) {
        self.capacity.on_saturating_probe(capacity);
    }

    /// Takes an overuse that goes on although it was answered: more is sent than the rate says, by a layer that grew, and the
    /// throughput, which is that of the line, does not show it.
    pub(crate) fn on_lasting_overuse(&mut self, now: Timestamp) {
        self.current = self.current.scaled(BACK_OFF).max(self.min);
        (self.overuse_since, self.last_overuse, self.last_change) = (now, now, Some(now));
        self.state = State::Hold;
    }

    /// Takes what the detector sees, with the throughput if it is known. Answers whether the rate grows without the capacity
    /// of the line being known, or more gets through than it was thought to carry.
    pub(crate) fn update(&mut self, usage: BandwidthUsage, throughput: Option<Bitrate>, now: Timestamp) -> bool {
        if !self.is_initialized {
            self.initialize(throughput, now);
        }
        if let Some(throughput) = throughput {
            self.latest_throughput = throughput;
        }
        match usage {
            // Overuse is heeded even before the first rate is known: it makes one.
            BandwidthUsage::Overusing => self.decrease(now),
            BandwidthUsage::Underusing if self.is_initialized => self.state = State::Hold,
            BandwidthUsage::Normal if self.is_initialized => {
                if self.state == State::Hold {
                    self.state = State::Increase;
                    // Growth counts from here.
                    self.last_change = Some(now);
                }
                return self.increase(now);
            }
            BandwidthUsage::Underusing | BandwidthUsage::Normal => {}
        }
        false
    }

    fn initialize(&mut self, throughput: Option<Bitrate>, now: Timestamp) {
        let Some(throughput) = throughput else { return };
        let first = *self.first_throughput.get_or_insert(now);
        if now - first > INITIALIZATION_TIME {
            self.current = throughput;
            self.is_initialized = true;
        }
    }

    fn increase(&mut self, now: Timestamp) -> bool {
        let throughput = self.latest_throughput;
        if throughput > self.capacity.upper_bound() {
            self.capacity.forget();
        }
        let limit = throughput.scaled(MAX_OF_THROUGHPUT).saturating_add(ABOVE_THROUGHPUT);
        if self.current < limit {
            let grown = self.current.saturating_add(self.growth(now));
            self.current = grown.min(limit).max(self.min);
        }
        self.last_change = Some(now);
        self.capacity.estimate().is_none()
    }

    fn growth(&self, now: Timestamp) -> Bitrate {
        let seconds = self.last_change.map_or(1.0, |last| (now - last).as_secs_f64().max(0.0));
        if self.capacity.estimate().is_some() {
            return Bitrate::from_bps((self.near_max_growth_bps_per_second() * seconds) as u64);
        }
        self.current.scaled(GROWTH.powf(seconds.min(1.0)) - 1.0).max(MIN_GROWTH)
    }

    /// Near the capacity, a packet more in each response time of sender and path.
    fn near_max_growth_bps_per_second(&self) -> f64 {
        const FRAMES_PER_SECOND: f64 = 30.0;
        const PACKET: DataSize = DataSize::from_bytes(1200);
        let frame_bytes = (self.current.bps() as f64 / 8.0 / FRAMES_PER_SECOND).floor();
        let packets = (frame_bytes / PACKET.bytes() as f64).ceil().max(1.0);
        let packet_bytes = (frame_bytes / packets).floor();
        let response = (self.rtt + DETECTION_TIME).as_secs_f64() * 2.0;
        (packet_bytes * 8.0 / response).floor().max(MIN_NEAR_MAX_GROWTH)
    }

    fn decrease(&mut self, now: Timestamp) {
        let throughput = self.latest_throughput;
        let is_first = now - self.overuse_since >= OVERUSE_TIME;
        if is_first {
            self.overuse_since = now;
        }
        self.last_overuse = now;
        // Overuse never raises the rate.
        self.current = self.current.min(self.backed_off(throughput, is_first)).max(self.min);
        if throughput < self.capacity.lower_bound() {
            self.capacity.forget();
        }
        self.capacity.on_overuse(throughput);
        self.is_initialized = true;
        // Until the queues are empty.
        self.state = State::Hold;
        self.last_change = Some(now);
    }

    /// What an overuse leaves, if that is less than the rate; `is_first` where it is not one that was answered already.
    fn backed_off(&self, throughput: Bitrate, is_first: bool) -> Bitrate {
        let decreased = below(throughput.scaled(BACK_OFF));
        let Some(capacity) = self.capacity.estimate() else { return decreased };
        if !is_first && throughput >= capacity.scaled(KNOWN_BACK_OFF) {
            // The line is as wide as it was: the queue empties.
            return self.current;
        }
        let decreased = if self.is_at_capacity(throughput) {
            let carried = capacity.min(throughput.scaled(1.0 + THROUGHPUT_NOISE)).max(throughput);
            carried.scaled(KNOWN_BACK_OFF)
        } else {
            decreased
        };
        if decreased > self.current { capacity.scaled(BACK_OFF) } else { decreased }
    }
}

fn below(rate: Bitrate) -> Bitrate {
    if rate > BACK_OFF_EXTRA { rate.saturating_sub(BACK_OFF_EXTRA) } else { rate }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// libwebrtc's `kCongestionControllerMinBitrate`, which the upstream tests run with.
    const MIN: Bitrate = Bitrate::from_kbps(5);
    const START: Timestamp = Timestamp::from_micros(123_456_000);

    fn after(ms: i64) -> Timestamp {
        START + TimeDelta::from_ms(ms)
    }

    fn with_estimate(bps: u64) -> AimdRateControl {
        let mut control = AimdRateControl::new(MIN);
        control.set_estimate(Bitrate::from_bps(bps), START);
        control
    }

    /// `AimdRateControlTest`: "MinNearMaxIncreaseRateOnLowBandwith", "NearMaxIncreaseRateIs5kbpsOn90kbpsAnd200msRtt",
    /// "NearMaxIncreaseRateIs5kbpsOn60kbpsAnd100msRtt", "GetIncreaseRateAndBandwidthPeriod" (jitsi-videobridge,
    /// libwebrtc).
    #[test]
    fn growth_near_the_capacity() {
        assert_eq!(with_estimate(30_000).near_max_growth_bps_per_second(), 4000.0);
        assert_eq!(with_estimate(90_000).near_max_growth_bps_per_second(), 5000.0);
        let mut control = with_estimate(60_000);
        control.set_rtt(TimeDelta::from_ms(100));
        assert_eq!(control.near_max_growth_bps_per_second(), 5000.0);
        let mut control = with_estimate(300_000);
        control.update(BandwidthUsage::Overusing, Some(Bitrate::from_bps(300_000)), START);
        assert!((13_000.0..=15_000.0).contains(&control.near_max_growth_bps_per_second()));
    }

    /// `AimdRateControlTest`: "BweLimitedByAckedBitrate", "BweLimitedByDecreasingAckedBitrate".
    #[test]
    fn growth_is_limited_by_the_throughput() {
        let acked = Bitrate::from_bps(10_000);
        let mut control = with_estimate(acked.bps());
        for i in 0..200 {
            control.update(BandwidthUsage::Normal, Some(acked), after(i * 100));
        }
        assert_eq!(control.estimate(), Some(Bitrate::from_bps(25_000)));
        control.update(BandwidthUsage::Normal, Some(Bitrate::from_bps(5000)), after(20_000));
        assert_eq!(control.estimate(), Some(Bitrate::from_bps(25_000)));
    }

    /// `AimdRateControlTest`, "ExpectedPeriodAfterTypicalDrop": 85 % of the throughput less 5 kbit/s.
    #[test]
    fn overuse_backs_off_below_the_throughput() {
        let mut control = with_estimate(264_000);
        let acked = Bitrate::from_bps((221_000.0_f64 / 0.85).round() as u64);
        control.update(BandwidthUsage::Overusing, Some(acked), after(100));
        assert_eq!(control.estimate(), Some(Bitrate::from_bps(216_000)));
        assert_eq!(control.near_max_growth_bps_per_second(), 12_000.0);
    }

    /// `AimdRateControlTest`, "SendingRateBoundedWhenThroughputNotEstimated".
    #[test]
    fn without_a_start_rate_the_throughput_is_taken_and_growth_stays_bounded() {
        let acked = Bitrate::from_bps(123_000);
        let mut control = AimdRateControl::new(MIN);
        control.update(BandwidthUsage::Normal, Some(acked), START);
        assert_eq!(control.estimate(), None);
        control.update(BandwidthUsage::Normal, Some(acked), after(5001));
        for i in 0..100 {
            control.update(BandwidthUsage::Normal, None, after(5001 + i * 100));
        }
        assert!(control.estimate().unwrap() <= Bitrate::from_bps(123_000 * 3 / 2 + 10_000));
    }

    #[test]
    fn overuse_never_raises_the_rate_nor_undercuts_the_least() {
        let mut control = with_estimate(300_000);
        control.update(BandwidthUsage::Overusing, Some(Bitrate::from_kbps(900)), after(100));
        assert_eq!(control.estimate(), Some(Bitrate::from_kbps(300)));
        control.update(BandwidthUsage::Overusing, Some(Bitrate::ZERO), after(200));
        assert_eq!(control.estimate(), Some(MIN));
    }

    #[test]
    fn reductions_are_a_round_trip_apart() {
        let mut control = with_estimate(300_000);
        control.set_rtt(TimeDelta::from_ms(50));
        assert!(!control.may_reduce_further(Bitrate::from_kbps(290), after(49)));
        assert!(control.may_reduce_further(Bitrate::from_kbps(290), after(50)));
        assert!(control.may_reduce_further(Bitrate::from_kbps(149), after(1)));
        assert!(control.may_reduce_blindly(after(1)));
    }

    /// A queue that was found early takes a tenth to empty, and what the detector tells of it meanwhile is no news.
    #[test]
    fn overuse_at_the_known_capacity_backs_off_less_and_once() {
        let mut control = with_estimate(2_050_000);
        control.on_saturating_probe(Bitrate::from_kbps(2000));
        control.update(BandwidthUsage::Overusing, Some(Bitrate::from_kbps(1980)), after(100));
        assert_eq!(control.estimate(), Some(Bitrate::from_kbps(1800)));
        for ms in [300, 1000, 2099] {
            control.update(BandwidthUsage::Overusing, Some(Bitrate::from_kbps(1850)), after(ms));
            assert_eq!(control.estimate(), Some(Bitrate::from_kbps(1800)), "{ms}");
        }
        control.update(BandwidthUsage::Overusing, Some(Bitrate::from_kbps(1000)), after(2099));
        assert_eq!(control.estimate(), Some(Bitrate::from_kbps(845)));
    }

    /// Without it the rate would grow by 8 % a second past the capacity that the probe just found.
    #[test]
    fn a_probe_that_filled_the_line_slows_growth_until_it_is_outgrown() {
        let mut control = with_estimate(1_900_000);
        control.set_rtt(TimeDelta::from_ms(50));
        control.on_saturating_probe(Bitrate::from_kbps(2000));
        for ms in [0, 1000] {
            assert!(!control.update(BandwidthUsage::Normal, Some(Bitrate::from_kbps(1900)), after(ms)));
        }
        let grown = control.estimate().unwrap().bps() - 1_900_000;
        assert!((20_000..40_000).contains(&grown), "{grown}");
        // Beyond three deviations it is another line.
        assert!(control.update(BandwidthUsage::Normal, Some(Bitrate::from_kbps(2100)), after(2000)));
        assert!(control.capacity.estimate().is_none());
    }
}
