//! What the https port counts, named as it appears in `/metrics`.

use prometheus::{IntCounterVec, Opts, Registry};

/// Counters of the https port. Clones share their values.
#[derive(Clone, Debug)]
pub struct PortMetrics {
    /// Connections by what they carry.
    pub connections: IntCounterVec,
    /// Connections that were closed before that, by reason.
    pub refused: IntCounterVec,
}

impl PortMetrics {
    /// Makes a registry show these metrics.
    ///
    /// # Errors
    /// When the registry has metrics of these names already.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.connections.clone()))?;
        registry.register(Box::new(self.refused.clone()))
    }

    pub(crate) fn count_connection(&self, kind: &'static str) {
        self.connections.with_label_values(&[kind]).inc();
    }

    pub(crate) fn count_refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }
}

impl Default for PortMetrics {
    fn default() -> Self {
        Self {
            connections: counters("https_connections_total", "Connections to the https port", "kind"),
            refused: counters("https_refused_total", "Connections to the https port that were closed", "reason"),
        }
    }
}

#[expect(clippy::unwrap_used, reason = "the names are literals that Prometheus accepts, as the test shows")]
fn counters(name: &str, help: &str, label: &str) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help).namespace("teranga").subsystem("web"), &[label]).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_shows_every_metric_under_its_name() {
        let (metrics, registry) = (PortMetrics::default(), Registry::new());
        metrics.register(&registry).unwrap();
        metrics.count_connection("http");
        metrics.count_refused("test");
        let names: Vec<_> = registry.gather().iter().map(|family| family.name().to_owned()).collect();
        assert_eq!(names, ["teranga_web_https_connections_total", "teranga_web_https_refused_total"]);
    }
}
