//! How busy the bridge is, and how it says so in its brewery.

use std::sync::Arc;
use std::time::Instant;

use jitsi_protocol::bridge_stats::BridgeStats;

use crate::Settings;
use crate::counters::Counters;
use crate::shutdown::Readiness;

/// Packets in and out a second that one core forwards with room to spare; at that rate the stress is 1. The figure is
/// deliberately low against what the packet path measures, so that a focus moves on before anyone hears it.
pub(crate) const PACKETS_PER_SECOND_AT_FULL_STRESS: f64 = 100_000.0;
/// Stress of one more endpoint until its packets show up in the rate (JVB's `average-participant-stress`).
pub(crate) const AVERAGE_PARTICIPANT_STRESS: f64 = 0.01;

/// What the bridge carries now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    /// Conferences.
    pub(crate) conferences: usize,
    /// Endpoints in all of them.
    pub(crate) endpoints: usize,
    /// How busy it is: 0 is idle, 1 full.
    pub(crate) stress: f64,
    /// Whether it can do its work.
    pub(crate) is_healthy: bool,
}

impl Load {
    /// Nothing to do.
    pub(crate) const IDLE: Self = Self { conferences: 0, endpoints: 0, stress: 0.0, is_healthy: true };
    /// The media thread does not answer: nobody should be sent there.
    pub(crate) const UNKNOWN: Self = Self { stress: 1.0, is_healthy: false, ..Self::IDLE };
}

/// How long each media thread has been busy, when that was last looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct MediaTime {
    last: Option<Instant>,
    busy_us: Vec<u64>,
}

impl MediaTime {
    /// The part of the time since the last call that the busiest thread was busy. `None` at the first call.
    pub(crate) fn load_since_last(&mut self, shards: &[Arc<Counters>], now: Instant) -> Option<f64> {
        let busy_us: Vec<u64> = shards.iter().map(|counters| counters.loop_time.sum_us()).collect();
        let before = std::mem::replace(&mut self.busy_us, busy_us);
        let passed = now.saturating_duration_since(self.last.replace(now)?).as_micros() as f64;
        let busiest = self.busy_us.iter().zip(before).map(|(now, before)| now.wrapping_sub(before)).max();
        busiest.filter(|_| passed > 0.0).map(|us| us as f64 / passed)
    }
}

/// The `stats` of a bridge's presence.
#[must_use]
pub(crate) fn announcement(settings: &Settings, load: &Load, readiness: Readiness) -> BridgeStats {
    BridgeStats {
        stress_level: Some(load.stress),
        average_participant_stress: Some(AVERAGE_PARTICIPANT_STRESS),
        drain: Some(readiness.drain),
        graceful_shutdown: Some(readiness.is_graceful()),
        shutting_down: Some(readiness.is_shutting_down()),
        healthy: Some(load.is_healthy),
        version: Some(settings.version.clone()),
        release: settings.release.clone(),
        region: settings.region.clone(),
        relay_id: settings.relay_id.clone(),
        others: vec![
            ("conferences".to_owned(), load.conferences.to_string()),
            ("endpoints".to_owned(), load.endpoints.to_string()),
        ],
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn load_is_that_of_the_busiest_thread() {
        #[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
        let now = Instant::now();
        let shards: [Arc<Counters>; 2] = Default::default();
        let mut time = MediaTime::default();
        shards[0].loop_time.observe(Duration::from_secs(100));
        assert_eq!(time.load_since_last(&shards, now), None);
        shards[0].loop_time.observe(Duration::from_secs(1));
        shards[1].loop_time.observe(Duration::from_secs(8));
        let load = time.load_since_last(&shards, now + Duration::from_secs(10)).unwrap();
        assert!((load - 0.8).abs() < 1e-9, "{load}");
        assert_eq!(time.load_since_last(&shards, now + Duration::from_secs(10)), None, "at once");
    }

    #[test]
    fn a_bridge_that_does_not_answer_is_unhealthy_and_full() {
        let settings = Settings::for_domain("meet.jitsi").unwrap();
        let stats = announcement(&settings, &Load::UNKNOWN, Readiness::default());
        assert_eq!((stats.healthy, stats.stress_level), (Some(false), Some(1.0)));
    }
}
