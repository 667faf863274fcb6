//! What the TURN server counts, named as it appears in `/metrics`.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Counters and gauges of TURN. Clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Allocations now.
    pub allocations: IntGauge,
    /// Streams of clients now.
    pub streams: IntGauge,
    /// Allocations that were made.
    pub allocations_made: IntCounter,
    /// Requests that were answered with success, by method.
    pub requests: IntCounterVec,
    /// Requests that were answered with an error, by its code.
    pub errors: IntCounterVec,
    /// Input that was dropped or refused, by reason.
    pub dropped: IntCounterVec,
    /// Datagrams from clients to peers.
    pub packets_to_peers: IntCounter,
    /// Datagrams from peers to clients.
    pub packets_to_clients: IntCounter,
    /// Their payload.
    pub bytes_to_peers: IntCounter,
    /// Their payload.
    pub bytes_to_clients: IntCounter,
}

impl Metrics {
    /// Metrics that nobody reads yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            allocations: gauge("allocations", "Allocations now"),
            streams: gauge("streams", "Streams of clients now, over TCP and TLS"),
            allocations_made: counter("allocations_made_total", "Allocations that were made"),
            requests: counters("requests_total", "Requests that succeeded", "method"),
            errors: counters("errors_total", "Requests that were answered with an error", "code"),
            dropped: counters("dropped_total", "Input that was dropped or refused", "reason"),
            packets_to_peers: counter("packets_to_peers_total", "Datagrams relayed from clients to peers"),
            packets_to_clients: counter("packets_to_clients_total", "Datagrams relayed from peers to clients"),
            bytes_to_peers: counter("bytes_to_peers_total", "Payload relayed from clients to peers"),
            bytes_to_clients: counter("bytes_to_clients_total", "Payload relayed from peers to clients"),
        }
    }

    /// Makes a registry show these metrics.
    ///
    /// # Errors
    /// When the registry has metrics of these names already.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.allocations.clone()))?;
        registry.register(Box::new(self.streams.clone()))?;
        registry.register(Box::new(self.allocations_made.clone()))?;
        registry.register(Box::new(self.requests.clone()))?;
        registry.register(Box::new(self.errors.clone()))?;
        registry.register(Box::new(self.dropped.clone()))?;
        registry.register(Box::new(self.packets_to_peers.clone()))?;
        registry.register(Box::new(self.packets_to_clients.clone()))?;
        registry.register(Box::new(self.bytes_to_peers.clone()))?;
        registry.register(Box::new(self.bytes_to_clients.clone()))
    }

    pub(crate) fn count_dropped(&self, reason: &str) {
        self.dropped.with_label_values(&[reason]).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("teranga").subsystem("turn")
}

#[expect(clippy::unwrap_used, reason = "the names are literals that Prometheus accepts, as the test shows")]
fn gauge(name: &str, help: &str) -> IntGauge {
    IntGauge::with_opts(options(name, help)).unwrap()
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
        for name in ["teranga_turn_allocations", "teranga_turn_dropped_total", "teranga_turn_bytes_to_peers_total"] {
            assert!(names.iter().any(|known| known == name), "{names:?}");
        }
        assert!(metrics.register(&registry).is_err(), "twice is an error, not a panic");
    }
}
