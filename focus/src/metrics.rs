//! What the focus counts. Names that Jicofo has too are the same, so that dashboards go on working.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Counters and gauges of the focus. Clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Conferences now.
    pub conferences: IntGauge,
    /// Conferences so far.
    pub conferences_created: IntCounter,
    /// Requests for a conference, by IQ and HTTP.
    pub conference_requests: IntCounter,
    /// Participants now.
    pub participants_current: IntGauge,
    /// Participants so far.
    pub participants: IntCounter,
    /// Participants that got a new session because their bridge was lost.
    pub participants_moved: IntCounter,
    /// Reports of clients that ICE failed.
    pub participants_ice_failed: IntCounter,
    /// New sessions that clients asked for.
    pub participants_restart_requested: IntCounter,
    /// ICE restarts that clients asked for.
    pub ice_restarts_requested: IntCounter,
    /// Bridges now.
    pub bridges: IntGauge,
    /// Bridges that were taken out of a conference.
    pub bridges_removed: IntCounter,
    /// What clients were refused, by error condition.
    pub refused: IntCounterVec,
    /// Input that was dropped without an answer, by reason.
    pub dropped: IntCounterVec,
}

impl Metrics {
    /// Metrics that nobody reads yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            conferences: gauge("conferences", "Conferences now"),
            conferences_created: counter("conferences_created_total", "Conferences so far"),
            conference_requests: counter("conference_requests_total", "Requests for a conference"),
            participants_current: gauge("participants_current", "Participants now"),
            participants: counter("participants_total", "Participants so far"),
            participants_moved: counter("participants_moved_total", "Participants moved off a lost bridge"),
            participants_ice_failed: counter("participants_ice_failed_total", "Reports that ICE failed"),
            participants_restart_requested: counter(
                "participants_restart_requested_total",
                "Sessions restarted at the client's request",
            ),
            ice_restarts_requested: counter("ice_restarts_requested_total", "ICE restarts that clients asked for"),
            bridges: gauge("bridge_selector_bridge_count", "Bridges now"),
            bridges_removed: counter("bridges_removed_total", "Bridges taken out of a conference"),
            refused: counters("refused_total", "What clients were refused", "condition"),
            dropped: counters("dropped_total", "Input dropped without an answer", "reason"),
        }
    }

    /// Makes a registry show these metrics.
    ///
    /// # Errors
    /// When the registry has metrics of these names already.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        for gauge in [&self.conferences, &self.participants_current, &self.bridges] {
            registry.register(Box::new(gauge.clone()))?;
        }
        for counter in [
            &self.conferences_created,
            &self.conference_requests,
            &self.participants,
            &self.participants_moved,
            &self.participants_ice_failed,
            &self.participants_restart_requested,
            &self.ice_restarts_requested,
            &self.bridges_removed,
        ] {
            registry.register(Box::new(counter.clone()))?;
        }
        for counters in [&self.refused, &self.dropped] {
            registry.register(Box::new(counters.clone()))?;
        }
        Ok(())
    }

    pub(crate) fn dropped(&self, reason: &'static str) {
        self.dropped.with_label_values(&[reason]).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Jicofo's prefix.
const NAMESPACE: &str = "jitsi_jicofo";

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

#[expect(clippy::unwrap_used, reason = "the names are constants; the test below makes all of them")]
fn gauge(name: &str, help: &str) -> IntGauge {
    IntGauge::with_opts(options(name, help)).unwrap()
}

#[expect(clippy::unwrap_used, reason = "the names are constants; the test below makes all of them")]
fn counter(name: &str, help: &str) -> IntCounter {
    IntCounter::with_opts(options(name, help)).unwrap()
}

#[expect(clippy::unwrap_used, reason = "the names are constants; the test below makes all of them")]
fn counters(name: &str, help: &str, label: &str) -> IntCounterVec {
    IntCounterVec::new(options(name, help), &[label]).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_are_valid_and_different() {
        let registry = Registry::new();
        let metrics = Metrics::new();
        metrics.register(&registry).unwrap();
        assert!(metrics.register(&registry).is_err());
        assert!(registry.gather().iter().any(|family| family.name() == "jitsi_jicofo_conferences"));
    }
}
