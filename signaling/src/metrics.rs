//! What signaling counts, named as it appears in `/metrics`.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Counters and gauges of signaling. Clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Connections now.
    pub connections: IntGauge,
    /// Bound sessions now, lost ones that wait for their client among them.
    pub sessions: IntGauge,
    /// Lost sessions now that wait for their client.
    pub hibernating_sessions: IntGauge,
    /// Rooms now, by service (`conference`, `internal`).
    pub rooms: IntGaugeVec,
    /// Occupants now, by service.
    pub occupants: IntGaugeVec,
    /// Stanzas from clients and services, by kind.
    pub stanzas_received: IntCounterVec,
    /// Stanzas to clients and services.
    pub stanzas_sent: IntCounter,
    /// Sessions that ended, by reason.
    pub sessions_ended: IntCounterVec,
    /// Attempts to resume a session, by result.
    pub resumptions: IntCounterVec,
    /// Refused logins, by SASL condition.
    pub auth_failures: IntCounterVec,
    /// Refused joins, by error condition.
    pub joins_refused: IntCounterVec,
    /// Input that was dropped, by reason.
    pub dropped: IntCounterVec,
}

impl Metrics {
    /// Metrics that nobody reads yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            connections: gauge("connections", "WebSocket connections and service links now"),
            sessions: gauge("sessions", "Bound sessions now"),
            hibernating_sessions: gauge("hibernating_sessions", "Lost sessions that wait for their client"),
            rooms: gauges("rooms", "Rooms now", "service"),
            occupants: gauges("occupants", "Occupants of rooms now", "service"),
            stanzas_received: counters("stanzas_received_total", "Stanzas received", "kind"),
            stanzas_sent: counter("stanzas_sent_total", "Stanzas sent"),
            sessions_ended: counters("sessions_ended_total", "Sessions that ended", "reason"),
            resumptions: counters("resumptions_total", "Attempts to resume a session", "result"),
            auth_failures: counters("auth_failures_total", "Refused logins", "condition"),
            joins_refused: counters("joins_refused_total", "Refused joins", "condition"),
            dropped: counters("dropped_total", "Input that was dropped", "reason"),
        }
    }

    /// Makes a registry show these metrics.
    ///
    /// # Errors
    /// When the registry has metrics of these names already.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.connections.clone()))?;
        registry.register(Box::new(self.sessions.clone()))?;
        registry.register(Box::new(self.hibernating_sessions.clone()))?;
        registry.register(Box::new(self.rooms.clone()))?;
        registry.register(Box::new(self.occupants.clone()))?;
        registry.register(Box::new(self.stanzas_received.clone()))?;
        registry.register(Box::new(self.stanzas_sent.clone()))?;
        registry.register(Box::new(self.sessions_ended.clone()))?;
        registry.register(Box::new(self.resumptions.clone()))?;
        registry.register(Box::new(self.auth_failures.clone()))?;
        registry.register(Box::new(self.joins_refused.clone()))?;
        registry.register(Box::new(self.dropped.clone()))
    }

    pub(crate) fn count_dropped(&self, reason: &'static str) {
        self.dropped.with_label_values(&[reason]).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("teranga").subsystem("signaling")
}

#[expect(clippy::unwrap_used, reason = "the names are literals that Prometheus accepts, as the test shows")]
fn gauge(name: &str, help: &str) -> IntGauge {
    IntGauge::with_opts(options(name, help)).unwrap()
}

#[expect(clippy::unwrap_used, reason = "the names are literals that Prometheus accepts, as the test shows")]
fn gauges(name: &str, help: &str, label: &str) -> IntGaugeVec {
    IntGaugeVec::new(options(name, help), &[label]).unwrap()
}

#[expect(clippy::unwrap_used, reason = "the names are literals that Prometheus accepts, as the test shows")]
fn counter(name: &str, help: &str) -> IntCounter {
    IntCounter::with_opts(options(name, help)).unwrap()
}

#[expect(clippy::unwrap_used, reason = "the names are literals that Prometheus accepts, as the test shows")]
fn counters(name: &str, help: &str, label: &str) -> IntCounterVec {
    IntCounterVec::new(options(name, help), &[label]).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_shows_every_metric_under_its_name() {
        let (metrics, registry) = (Metrics::new(), Registry::new());
        metrics.register(&registry).unwrap();
        metrics.count_dropped("test");
        let names: Vec<_> = registry.gather().iter().map(|family| family.name().to_owned()).collect();
        assert!(names.contains(&"teranga_signaling_dropped_total".to_owned()), "{names:?}");
        assert!(names.contains(&"teranga_signaling_connections".to_owned()), "{names:?}");
        assert!(metrics.register(&registry).is_err(), "twice is an error, not a panic");
    }
}
