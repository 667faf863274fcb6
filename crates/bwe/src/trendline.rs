//! Whether the delay of a path grows: a line through the last delays, against a threshold that adapts
//! (draft-ietf-rmcat-gcc-02 §5.4, §5.5, with libwebrtc's least squares in the place of the Kalman filter).

use crate::inter_arrival::GroupDeltas;
use crate::time::Timestamp;

/// Groups that the line goes through.
const WINDOW: usize = 20;

/// Weight of the past in the smoothed delay.
const SMOOTHING: f64 = 0.9;

/// Slope to threshold.
const GAIN: f64 = 4.0;

/// Before so many deltas the slope counts less, as it has been seen on less.
const FULL_WEIGHT_DELTAS: u16 = 60;

/// How fast the threshold rises towards a trend above it and sinks to one below, a millisecond.
const ADAPT_UP: f64 = 0.0087;
const ADAPT_DOWN: f64 = 0.039;

/// A trend so far above the threshold is a spike that it does not adapt to.
const MAX_ADAPT_OFFSET: f64 = 15.0;

const MIN_THRESHOLD: f64 = 6.0;
const MAX_THRESHOLD: f64 = 600.0;
const INITIAL_THRESHOLD: f64 = 12.5;

/// Longest step of the adaption, in milliseconds.
const MAX_ADAPT_STEP_MS: i64 = 100;

/// How long the trend is above the threshold before it means overuse, in milliseconds of what was sent.
const OVERUSE_TIME_MS: f64 = 10.0;

/// What the delays say about the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BandwidthUsage {
    /// Queues stay as they are.
    #[default]
    Normal,
    /// Queues empty.
    Underusing,
    /// Queues fill.
    Overusing,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    arrived_ms: f64,
    smoothed_delay_ms: f64,
}

/// Fits the line and compares its slope.
#[derive(Clone, Debug)]
pub(crate) struct TrendlineEstimator {
    /// The last deltas, the oldest at `next` once all places are taken.
    window: [Sample; WINDOW],
    next: usize,
    deltas: u16,
    first_arrived_ms: i64,
    accumulated_delay_ms: f64,
    smoothed_delay_ms: f64,
    threshold: f64,
    last_adapted_ms: Option<i64>,
    previous_slope: f64,
    /// Sent time above the threshold, and how often in a row.
    overusing_ms: Option<f64>,
    overuses: u8,
    usage: BandwidthUsage,
}

impl TrendlineEstimator {
    pub(crate) const fn new() -> Self {
        Self {
            window: [Sample { arrived_ms: 0.0, smoothed_delay_ms: 0.0 }; WINDOW],
            next: 0,
            deltas: 0,
            first_arrived_ms: 0,
            accumulated_delay_ms: 0.0,
            smoothed_delay_ms: 0.0,
            threshold: INITIAL_THRESHOLD,
            last_adapted_ms: None,
            previous_slope: 0.0,
            overusing_ms: None,
            overuses: 0,
            usage: BandwidthUsage::Normal,
        }
    }

    pub(crate) const fn usage(&self) -> BandwidthUsage {
        self.usage
    }

    /// Takes the deltas of two groups, the later of which arrived at `arrived`.
    pub(crate) fn update(&mut self, deltas: GroupDeltas, arrived: Timestamp) {
        let arrived_ms = arrived.rounded_ms();
        if self.deltas == 0 {
            self.first_arrived_ms = arrived_ms;
        }
        self.deltas = self.deltas.saturating_add(1);
        self.accumulated_delay_ms += (deltas.arrived - deltas.sent).as_ms_f64();
        self.smoothed_delay_ms = SMOOTHING * self.smoothed_delay_ms + (1.0 - SMOOTHING) * self.accumulated_delay_ms;
        let sample = Sample {
            // Small numbers keep the squares exact.
            arrived_ms: arrived_ms.saturating_sub(self.first_arrived_ms) as f64,
            smoothed_delay_ms: self.smoothed_delay_ms,
        };
        if let Some(place) = self.window.get_mut(self.next) {
            *place = sample;
        }
        self.next = (self.next + 1) % WINDOW;
        let slope =
            if usize::from(self.deltas) < WINDOW { None } else { slope(&self.window) }.unwrap_or(self.previous_slope);
        self.detect(slope, deltas.sent.as_ms_f64(), arrived_ms);
    }

    fn detect(&mut self, slope: f64, sent_ms: f64, now_ms: i64) {
        if self.deltas < 2 {
            return;
        }
        let trend = f64::from(self.deltas.min(FULL_WEIGHT_DELTAS)) * slope * GAIN;
        if trend > self.threshold {
            // The first time, the trend is taken to have crossed half way between the two groups.
            let overusing_ms = self.overusing_ms.map_or(sent_ms / 2.0, |before| before + sent_ms);
            self.overusing_ms = Some(overusing_ms);
            self.overuses = self.overuses.saturating_add(1);
            if overusing_ms > OVERUSE_TIME_MS && self.overuses > 1 && slope >= self.previous_slope {
                self.overusing_ms = Some(0.0);
                self.overuses = 0;
                self.usage = BandwidthUsage::Overusing;
            }
        } else {
            self.overusing_ms = None;
            self.overuses = 0;
            self.usage = if trend < -self.threshold { BandwidthUsage::Underusing } else { BandwidthUsage::Normal };
        }
        self.previous_slope = slope;
        self.adapt_threshold(trend.abs(), now_ms);
    }

    fn adapt_threshold(&mut self, trend: f64, now_ms: i64) {
        let step_ms = now_ms.saturating_sub(self.last_adapted_ms.unwrap_or(now_ms)).clamp(0, MAX_ADAPT_STEP_MS);
        self.last_adapted_ms = Some(now_ms);
        if trend > self.threshold + MAX_ADAPT_OFFSET {
            return;
        }
        let rate = if trend < self.threshold { ADAPT_DOWN } else { ADAPT_UP };
        self.threshold += rate * (trend - self.threshold) * step_ms as f64;
        self.threshold = self.threshold.clamp(MIN_THRESHOLD, MAX_THRESHOLD);
    }
}

/// Least squares. None where all arrived at once.
fn slope(samples: &[Sample; WINDOW]) -> Option<f64> {
    let count = WINDOW as f64;
    let mean_x = samples.iter().map(|sample| sample.arrived_ms).sum::<f64>() / count;
    let mean_y = samples.iter().map(|sample| sample.smoothed_delay_ms).sum::<f64>() / count;
    let (numerator, denominator) = samples.iter().fold((0.0, 0.0), |(numerator, denominator), sample| {
        let x = sample.arrived_ms - mean_x;
        (numerator + x * (sample.smoothed_delay_ms - mean_y), denominator + x * x)
    });
    (denominator != 0.0).then(|| numerator / denominator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::TimeDelta;

    /// Feeds 25 packets, sent 20 ms apart and arriving `arrival_gap_ms` apart, twice until the state changes, as the
    /// upstream fixture does. Answers the states after each run, and whether all packets were taken.
    fn run(arrival_gap_ms: f64) -> ([BandwidthUsage; 2], bool) {
        let arrived = |i: i64| Timestamp::from_micros((987_654_321.0 + arrival_gap_ms * i as f64) as i64 * 1000);
        let mut estimator = TrendlineEstimator::new();
        assert_eq!(estimator.usage(), BandwidthUsage::Normal);
        let mut next = 1;
        let states = [(); 2].map(|()| {
            let before = estimator.usage();
            while next < 25 {
                let deltas = GroupDeltas { sent: TimeDelta::from_ms(20), arrived: arrived(next) - arrived(next - 1) };
                estimator.update(deltas, arrived(next));
                if estimator.usage() != before {
                    break;
                }
                next += 1;
            }
            estimator.usage()
        });
        (states, next == 25)
    }

    /// `TrendlineEstimatorTest`, "Normal usage" (jitsi-videobridge, libwebrtc).
    #[test]
    fn same_pace_is_normal() {
        assert_eq!(run(20.0), ([BandwidthUsage::Normal; 2], true));
    }

    /// `TrendlineEstimatorTest`, "Overusing": 10 % slower delivery.
    #[test]
    fn slower_delivery_is_overuse() {
        assert_eq!(run(1.1 * 20.0), ([BandwidthUsage::Overusing; 2], true));
    }

    /// `TrendlineEstimatorTest`, "Underusing": 15 % faster delivery.
    #[test]
    fn faster_delivery_is_underuse() {
        assert_eq!(run(0.85 * 20.0), ([BandwidthUsage::Underusing; 2], true));
    }
}
