//! What goes to recorders, transcribers and translators, and comes back; each exporter counts for itself.

use prometheus::{IntCounter, Registry};

use super::register;

/// The numbers of all exporters.
#[derive(Clone, Debug)]
pub(crate) struct ExporterMetrics {
    pub(crate) starts: IntCounter,
    pub(crate) web_socket_failures: IntCounter,
    pub(crate) web_socket_internal_errors: IntCounter,
    pub(crate) packets_sent: IntCounter,
    pub(crate) packets_lost: IntCounter,
    pub(crate) transcripts_received: IntCounter,
    pub(crate) media_events_received: IntCounter,
    pub(crate) sending_changes_received: IntCounter,
    pub(crate) info_received: IntCounter,
    pub(crate) other_messages_received: IntCounter,
    pub(crate) parse_failures: IntCounter,
    pub(crate) messages_dropped: IntCounter,
}

impl ExporterMetrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| register(registry, IntCounter::new(name, help));
        Ok(Self {
            starts: counter("jitsi_jvb_exporter_starts_total", "Exporters that began")?,
            web_socket_failures: counter(
                "jitsi_jvb_exporter_websocket_failures_total",
                "WebSockets of exporters that did not open or broke",
            )?,
            web_socket_internal_errors: counter(
                "jitsi_jvb_exporter_websocket_internal_errors_total",
                "WebSockets of exporters that the other end closed with code 1011",
            )?,
            packets_sent: counter("jitsi_jvb_exporter_packets_sent_total", "Packets of audio that exporters sent")?,
            packets_lost: counter(
                "teranga_bridge_exporter_packets_lost_total",
                "Packets of audio for which an exporter had no place, as the other end is slow",
            )?,
            transcripts_received: counter("jitsi_jvb_exporter_transcripts_received_total", "Results of transcribers")?,
            media_events_received: counter(
                "jitsi_jvb_exporter_media_events_received_total",
                "Packets of audio that translators sent",
            )?,
            sending_changes_received: counter(
                "jitsi_jvb_exporter_sending_changes_received_total",
                "Times that translators began or ended to speak",
            )?,
            info_received: counter(
                "jitsi_jvb_exporter_info_received_total",
                "Times that the other end said what it is",
            )?,
            other_messages_received: counter(
                "jitsi_jvb_exporter_other_messages_received_total",
                "Messages to exporters that mean nothing to them",
            )?,
            parse_failures: counter(
                "jitsi_jvb_exporter_parse_failures_total",
                "Messages to exporters that do not parse",
            )?,
            messages_dropped: counter(
                "teranga_bridge_exporter_messages_dropped_total",
                "Messages to exporters above the rate of one, or that the bridge had no place for",
            )?,
        })
    }
}
