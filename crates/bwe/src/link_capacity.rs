//! What the line carried when it was found full.

use model::Bitrate;

/// Weight of a new sample, by how it was found.
const OVERUSE_WEIGHT: f64 = 0.05;
const PROBE_WEIGHT: f64 = 0.5;

/// Bounds of the normalised variance, which are about 14 and 35 kbit/s of deviation at 500 kbit/s.
const MIN_DEVIATION: f64 = 0.4;
const MAX_DEVIATION: f64 = 2.5;

/// Mean and deviation of the throughput at overuse, and of what probes found to be all (libwebrtc's
/// `LinkCapacityEstimator`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkCapacity {
    mean_kbps: Option<f64>,
    deviation: f64,
}

impl LinkCapacity {
    pub(crate) const fn new() -> Self {
        Self { mean_kbps: None, deviation: MIN_DEVIATION }
    }

    /// The mean, none before the first overuse and after [`Self::forget`].
    pub(crate) fn estimate(&self) -> Option<Bitrate> {
        self.mean_kbps.map(from_kbps)
    }

    /// What lies above is another line.
    pub(crate) fn upper_bound(&self) -> Bitrate {
        self.mean_kbps.map_or(Bitrate::MAX, |mean| from_kbps(mean + self.three_deviations(mean)))
    }

    /// What lies below is another line.
    pub(crate) fn lower_bound(&self) -> Bitrate {
        self.mean_kbps.map_or(Bitrate::ZERO, |mean| from_kbps(mean - self.three_deviations(mean)))
    }

    pub(crate) const fn forget(&mut self) {
        self.mean_kbps = None;
    }

    /// Queues fill while so much gets through.
    pub(crate) fn on_overuse(&mut self, throughput: Bitrate) {
        self.update(throughput, OVERUSE_WEIGHT);
    }

    /// A probe tried more, and so much got through.
    pub(crate) fn on_saturating_probe(&mut self, received: Bitrate) {
        self.update(received, PROBE_WEIGHT);
    }

    fn update(&mut self, sample: Bitrate, weight: f64) {
        let sample = (sample.bps() / 1000) as f64;
        let mean = self.mean_kbps.map_or(sample, |mean| (1.0 - weight) * mean + weight * sample);
        let error = mean - sample;
        let deviation = (1.0 - weight) * self.deviation + weight * error * error / mean.max(1.0);
        self.deviation = deviation.clamp(MIN_DEVIATION, MAX_DEVIATION);
        self.mean_kbps = Some(mean);
    }

    fn three_deviations(&self, mean: f64) -> f64 {
        3.0 * (self.deviation * mean).sqrt()
    }
}

fn from_kbps(kbps: f64) -> Bitrate {
    Bitrate::from_kbps(1).scaled(kbps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviation_is_as_wide_as_upstream_says() {
        let mut capacity = LinkCapacity::new();
        assert_eq!((capacity.lower_bound(), capacity.upper_bound()), (Bitrate::ZERO, Bitrate::MAX));
        capacity.on_overuse(Bitrate::from_kbps(500));
        assert_eq!(capacity.estimate(), Some(Bitrate::from_kbps(500)));
        // Three times 14 kbit/s.
        assert_eq!(capacity.upper_bound().bps() / 1000, 542);
        assert_eq!(capacity.lower_bound().bps() / 1000, 457);
        capacity.forget();
        assert_eq!(capacity.estimate(), None);
    }
}
