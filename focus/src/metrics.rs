//! What the focus counts. Names that Jicofo has too are the same, so that dashboards go on working.

use std::collections::BTreeMap;

use prometheus::core::Collector;
use prometheus::{Counter, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Counters and gauges of the focus. Clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Conferences now.
    pub conferences: IntGauge,
    /// Conferences so far.
    pub conferences_created: IntCounter,
    /// Requests for a conference, by IQ and HTTP.
    pub conference_requests: IntCounter,
    /// Those that began a conference.
    pub conference_requests_new: IntCounter,
    /// Seconds of conferences that are over.
    pub conferences_seconds: Counter,
    /// Seconds of participants who are gone.
    pub endpoint_seconds: Counter,
    /// Participants of the largest conference now.
    pub largest_conference: IntGauge,
    /// Pairs of participants now: the sum of squares of conference sizes.
    pub participants_pairs: IntGauge,
    /// Participants now.
    pub participants_current: IntGauge,
    /// Those of them who only watch.
    pub visitors_current: IntGauge,
    /// Conferences with somebody who only watches.
    pub conferences_with_visitors: IntGauge,
    /// Visitor nodes, or rooms on them, that conferences lost.
    pub visitor_nodes_lost: IntCounter,
    /// Participants so far.
    pub participants: IntCounter,
    /// Those of them whose clients do not read from the metadata of the room that they start muted.
    pub participants_no_start_muted_rmd: IntCounter,
    /// Participants that got a new session because their bridge was lost.
    pub participants_moved: IntCounter,
    /// Reports of clients that ICE failed.
    pub participants_ice_failed: IntCounter,
    /// New sessions that clients asked for.
    pub participants_restart_requested: IntCounter,
    /// ICE restarts that clients asked for.
    pub ice_restarts_requested: IntCounter,
    /// ICE restarts whose new credentials went to the client.
    pub ice_restarts_relayed: IntCounter,
    /// ICE restarts that the bridge found unnecessary.
    pub ice_restarts_not_needed: IntCounter,
    /// ICE restarts that were refused.
    pub ice_restarts_failed: IntCounter,
    /// Bridges that work now.
    pub bridges_operational: IntGauge,
    /// Bridges that take no more conferences now.
    pub bridges_in_shutdown: IntGauge,
    /// Bridges that left without saying so.
    pub bridges_lost: IntCounter,
    /// Versions of bridges now.
    pub bridge_versions: IntGauge,
    /// Endpoints by bridge now.
    pub bridge_endpoints: IntGaugeVec,
    /// Whether ICE fails, by bridge.
    pub bridge_failing_ice: IntGaugeVec,
    /// Reports of failing ICE and wishes for another session, by bridge.
    pub bridge_restart_requests: IntCounterVec,
    /// Streams to the XMPP server that broke.
    pub xmpp_disconnects: IntCounter,
    /// Whether the focus can do its job.
    pub healthy: IntGauge,
    /// Jingle messages to clients, by action.
    pub jingle_sent: IntCounterVec,
    /// Jingle messages of clients, by action.
    pub jingle_received: IntCounterVec,
    /// Bridges now.
    pub bridges: IntGauge,
    /// Endpoints that moved off a bridge to spread load, by bridge.
    pub bridge_endpoints_moved: IntCounterVec,
    /// The same of all bridges.
    pub load_redistributor_endpoints_moved: IntCounter,
    /// Choices in which a bridge was left out that the conference had sent too many endpoints of late.
    pub bridge_selection_rate_limited: IntCounter,
    /// Bridges that were taken out of a conference.
    pub bridges_removed: IntCounter,
    /// Recordings that failed.
    pub jibri_recording_failures: IntCounter,
    /// Streams that failed.
    pub jibri_live_streaming_failures: IntCounter,
    /// Calls over SIP that failed.
    pub jibri_sip_failures: IntCounter,
    /// Sessions for which there was no recorder at all.
    pub jibri_no_instance_failures: IntCounter,
    /// Recordings now.
    pub jibri_recording_active: IntGauge,
    /// Streams now.
    pub jibri_live_streaming_active: IntGauge,
    /// Calls over SIP now.
    pub jibri_sip_active: IntGauge,
    /// Recorders now.
    pub jibri_count: IntGauge,
    /// Recorders that are well and idle now.
    pub jibri_available: IntGauge,
    /// Recorders for calls over SIP now.
    pub sip_jibri_count: IntGauge,
    /// Those that are well and idle now.
    pub sip_jibri_available: IntGauge,
    /// Gateways that can call telephones now.
    pub jigasi_sip_count: IntGauge,
    /// Those about to end.
    pub jigasi_sip_in_graceful_shutdown_count: IntGauge,
    /// Transcribers now.
    pub jigasi_transcriber_count: IntGauge,
    /// Calls that were asked for and not permitted.
    pub jigasi_rejected_requests: IntCounter,
    /// Calls that were asked for.
    pub jigasi_accepted_requests: IntCounter,
    /// Refusals of gateways.
    pub jigasi_instance_errors: IntCounter,
    /// Gateways that did not answer.
    pub jigasi_instance_timeouts: IntCounter,
    /// The version of this program, as a label.
    pub version: IntGaugeVec,
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
            conference_requests_new: counter("conference_requests_new_total", "Requests that began a conference"),
            conferences_seconds: seconds("conferences_seconds", "Seconds of conferences that are over"),
            endpoint_seconds: seconds("endpoint_seconds", "Seconds of participants who are gone"),
            largest_conference: gauge("largest_conference", "Participants of the largest conference now"),
            participants_pairs: gauge("participants_pairs", "Sum of squares of conference sizes"),
            participants_current: gauge("participants_current", "Participants now"),
            visitors_current: gauge("visitors_current", "Visitors now"),
            conferences_with_visitors: gauge("conferences_with_visitors", "Conferences that have visitors now"),
            visitor_nodes_lost: counter("visitor_nodes_lost_total", "Visitor nodes that conferences lost"),
            participants: counter("participants_total", "Participants so far"),
            participants_no_start_muted_rmd: counter(
                "participants_no_start_muted_rmd_total",
                "Participants that do not read the metadata of rooms for whether they start muted",
            ),
            participants_moved: counter("participants_moved_total", "Participants moved off a lost bridge"),
            participants_ice_failed: counter("participants_ice_failed_total", "Reports that ICE failed"),
            participants_restart_requested: counter(
                "participants_restart_requested_total",
                "Sessions restarted at the client's request",
            ),
            ice_restarts_requested: counter("ice_restarts_requested_total", "ICE restarts that clients asked for"),
            ice_restarts_relayed: counter("ice_restarts_relayed_total", "ICE restarts passed on to clients"),
            ice_restarts_not_needed: counter("ice_restarts_not_needed_total", "ICE restarts that bridges did not need"),
            ice_restarts_failed: counter("ice_restarts_failed_total", "ICE restarts that were refused"),
            bridges_operational: gauge("bridge_selector_bridge_count_operational", "Bridges that work now"),
            bridges_in_shutdown: gauge("bridge_selector_bridge_count_in_shutdown", "Bridges about to end"),
            bridges_lost: counter("bridge_selector_lost_bridges_total", "Bridges that left without saying so"),
            bridge_versions: gauge("bridge_selector_bridge_version_count", "Versions of bridges now"),
            bridge_endpoints: gauges("bridge_endpoints", "Endpoints now", "jvb"),
            bridge_failing_ice: gauges("bridge_failing_ice", "Whether ICE fails", "jvb"),
            bridge_restart_requests: counters(
                "bridge_restart_requests_total",
                "Failures that endpoints reported",
                "jvb",
            ),
            xmpp_disconnects: counter("xmpp_disconnects_total", "Streams that broke"),
            healthy: gauge("healthy", "Whether the focus can do its job"),
            jingle_sent: counters("jingle_sent_total", "Jingle messages to clients", "action"),
            jingle_received: counters("jingle_received_total", "Jingle messages of clients", "action"),
            bridges: gauge("bridge_selector_bridge_count", "Bridges now"),
            bridge_endpoints_moved: counters("bridge_endpoints_moved_total", "Endpoints moved to spread load", "jvb"),
            load_redistributor_endpoints_moved: counter(
                "load_redistributor_endpoints_moved_total",
                "Endpoints moved to spread load",
            ),
            bridge_selection_rate_limited: counter(
                "bridge_selection_rate_limited_total",
                "Choices without a bridge that got too many endpoints of a conference of late",
            ),
            bridges_removed: counter("bridges_removed_total", "Bridges taken out of a conference"),
            jibri_recording_failures: counter("jibri_recording_failures_total", "Recordings that failed"),
            jibri_live_streaming_failures: counter("jibri_live_streaming_failures_total", "Streams that failed"),
            jibri_sip_failures: counter("jibri_sip_failures_total", "Calls over SIP that failed"),
            jibri_no_instance_failures: counter("jibri_no_instance_failures_total", "Sessions without any recorder"),
            jibri_recording_active: gauge("jibri_recording_active", "Recordings now"),
            jibri_live_streaming_active: gauge("jibri_live_streaming_active", "Streams now"),
            jibri_sip_active: gauge("jibri_sip_active", "Calls over SIP now"),
            jibri_count: gauge("jibri_instances", "Recorders now"),
            jibri_available: gauge("jibri_instances_available", "Recorders that are well and idle now"),
            sip_jibri_count: gauge("sip_jibri_instances", "Recorders for calls over SIP now"),
            sip_jibri_available: gauge("sip_jibri_instances_available", "Those that are well and idle now"),
            jigasi_sip_count: gauge("jigasi_sip_count", "Gateways that can call telephones now"),
            jigasi_sip_in_graceful_shutdown_count: gauge(
                "jigasi_sip_in_graceful_shutdown_count",
                "Gateways that can call telephones and are about to end",
            ),
            jigasi_transcriber_count: gauge("jigasi_transcriber_count", "Transcribers now"),
            jigasi_rejected_requests: counter("jigasi_iq_handler_rejected_requests_total", "Calls not permitted"),
            jigasi_accepted_requests: counter("jigasi_iq_handler_accepted_requests_total", "Calls asked for"),
            jigasi_instance_errors: counter("jigasi_iq_handler_instance_errors_total", "Refusals of gateways"),
            jigasi_instance_timeouts: counter("jigasi_iq_handler_instance_timeouts_total", "Silent gateways"),
            version: gauges("version_info", "The version of this program", "version"),
            refused: counters("refused_total", "What clients were refused", "condition"),
            dropped: counters("dropped_total", "Input dropped without an answer", "reason"),
        }
    }

    /// Makes a registry show these metrics.
    ///
    /// # Errors
    /// When the registry has metrics of these names already.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        for gauge in [
            &self.conferences,
            &self.participants_current,
            &self.visitors_current,
            &self.conferences_with_visitors,
            &self.bridges,
            &self.largest_conference,
            &self.participants_pairs,
            &self.bridges_operational,
            &self.bridges_in_shutdown,
            &self.bridge_versions,
            &self.healthy,
            &self.jibri_recording_active,
            &self.jibri_live_streaming_active,
            &self.jibri_sip_active,
            &self.jibri_count,
            &self.jibri_available,
            &self.sip_jibri_count,
            &self.sip_jibri_available,
            &self.jigasi_sip_count,
            &self.jigasi_sip_in_graceful_shutdown_count,
            &self.jigasi_transcriber_count,
        ] {
            registry.register(Box::new(gauge.clone()))?;
        }
        for counter in [
            &self.conferences_created,
            &self.conference_requests,
            &self.conference_requests_new,
            &self.ice_restarts_relayed,
            &self.ice_restarts_not_needed,
            &self.ice_restarts_failed,
            &self.bridges_lost,
            &self.xmpp_disconnects,
            &self.participants,
            &self.participants_no_start_muted_rmd,
            &self.visitor_nodes_lost,
            &self.participants_moved,
            &self.participants_ice_failed,
            &self.participants_restart_requested,
            &self.ice_restarts_requested,
            &self.bridges_removed,
            &self.load_redistributor_endpoints_moved,
            &self.bridge_selection_rate_limited,
            &self.jibri_recording_failures,
            &self.jibri_live_streaming_failures,
            &self.jibri_sip_failures,
            &self.jibri_no_instance_failures,
            &self.jigasi_rejected_requests,
            &self.jigasi_accepted_requests,
            &self.jigasi_instance_errors,
            &self.jigasi_instance_timeouts,
        ] {
            registry.register(Box::new(counter.clone()))?;
        }
        for seconds in [&self.conferences_seconds, &self.endpoint_seconds] {
            registry.register(Box::new(seconds.clone()))?;
        }
        self.version.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        for gauges in [&self.bridge_endpoints, &self.bridge_failing_ice, &self.version] {
            registry.register(Box::new(gauges.clone()))?;
        }
        for counters in [
            &self.refused,
            &self.dropped,
            &self.jingle_sent,
            &self.jingle_received,
            &self.bridge_restart_requests,
            &self.bridge_endpoints_moved,
        ] {
            registry.register(Box::new(counters.clone()))?;
        }
        Ok(())
    }

    /// Jingle messages so far, by action.
    pub(crate) fn jingle_counts(counters: &IntCounterVec) -> BTreeMap<String, u64> {
        let families = counters.collect();
        let counted = families.iter().flat_map(|family| family.get_metric()).filter_map(|counter| {
            let action = counter.get_label().first()?.value().to_owned();
            // Prometheus has all numbers as this type; these are whole.
            Some((action, counter.get_counter().get_value() as u64))
        });
        counted.collect()
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
fn seconds(name: &str, help: &str) -> Counter {
    Counter::with_opts(options(name, help)).unwrap()
}

#[expect(clippy::unwrap_used, reason = "the names are constants; the test below makes all of them")]
fn gauges(name: &str, help: &str, label: &str) -> IntGaugeVec {
    IntGaugeVec::new(options(name, help), &[label]).unwrap()
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
