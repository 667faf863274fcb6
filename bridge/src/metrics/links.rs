//! What passed between this bridge and each other one, over all conferences.

use std::collections::BTreeSet;

use prometheus::{IntCounterVec, Opts, Registry};

use super::register;
use crate::shard::message::LinkTraffic;

/// Bridges that have lines of their own; what passes of more, which a deployment has hardly, is counted as of [`OTHERS`].
const MAX_BRIDGES: usize = 128;
const OTHERS: &str = "others";

/// Counters by the name of the other bridge.
#[derive(Debug)]
pub(crate) struct LinkMetrics {
    packets_received: IntCounterVec,
    bytes_received: IntCounterVec,
    packets_sent: IntCounterVec,
    bytes_sent: IntCounterVec,
    packets_lost: IntCounterVec,
    bridges: BTreeSet<String>,
}

impl LinkMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            let options = Opts::new(format!("teranga_bridge_link_{name}_total"), help);
            register(registry, IntCounterVec::new(options, &["bridge"]))
        };
        Ok(Self {
            packets_received: counter("packets_received", "Packets of RTP received from another bridge")?,
            bytes_received: counter("bytes_received", "Bytes of these")?,
            packets_sent: counter("packets_sent", "Packets of RTP sent to another bridge")?,
            bytes_sent: counter("bytes_sent", "Bytes of these")?,
            packets_lost: counter("packets_lost", "Packets sent to another bridge that it reports as lost")?,
            bridges: BTreeSet::new(),
        })
    }

    /// Counts what passed over a link to a bridge.
    pub(crate) fn count(&mut self, bridge: &str, traffic: LinkTraffic) {
        if self.bridges.len() < MAX_BRIDGES && !self.bridges.contains(bridge) {
            self.bridges.insert(bridge.to_owned());
        }
        let label = [if self.bridges.contains(bridge) { bridge } else { OTHERS }];
        self.packets_received.with_label_values(&label).inc_by(traffic.packets_received);
        self.bytes_received.with_label_values(&label).inc_by(traffic.bytes_received);
        self.packets_sent.with_label_values(&label).inc_by(traffic.packets_sent);
        self.bytes_sent.with_label_values(&label).inc_by(traffic.bytes_sent);
        self.packets_lost.with_label_values(&label).inc_by(traffic.packets_lost);
    }

    /// What was counted of a bridge: packets received, sent and lost.
    #[cfg(test)]
    pub(crate) fn counted(&self, bridge: &str) -> [u64; 3] {
        [&self.packets_received, &self.packets_sent, &self.packets_lost]
            .map(|counter| counter.with_label_values(&[bridge]).get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridges_beyond_the_limit_are_counted_together() {
        let registry = Registry::new();
        let mut links = LinkMetrics::new(&registry).unwrap();
        let traffic = LinkTraffic { packets_sent: 1, bytes_sent: 100, ..LinkTraffic::default() };
        for round in 0..2 {
            for bridge in 0..MAX_BRIDGES + 3 {
                links.count(&format!("bridge-{bridge}"), traffic);
            }
            assert_eq!((links.counted("bridge-0")[1], links.counted(OTHERS)[1]), (round + 1, 3 * (round + 1)));
        }
        let families = registry.gather();
        let sent = families.iter().find(|family| family.name() == "teranga_bridge_link_bytes_sent_total").unwrap();
        assert_eq!(sent.get_metric().len(), MAX_BRIDGES + 1);
    }
}
