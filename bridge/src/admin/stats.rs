//! `/colibri/stats`: the figures under the names that they have in JVB's JSON (`VideobridgeStatisticsShim`).
//!
//! Figures that this bridge does not have are left out rather than told as 0.

use std::time::SystemTime;

use prometheus::{IntCounter, IntGauge};
use serde_json::{Map, Value, json};
use xmpp::datetime;

use crate::load::AVERAGE_PARTICIPANT_STRESS;
use crate::videobridge::Videobridge;

impl Videobridge {
    pub(super) fn stats(&self, wall_clock: SystemTime) -> Value {
        let metrics = &self.metrics;
        let mut stats = Map::new();
        let mut put = |name: &str, value: Value| {
            stats.insert(name.to_owned(), value);
        };
        let gauges: [(&str, &IntGauge); 24] = [
            ("conferences", &metrics.conferences),
            ("inactive_conferences", &metrics.inactive_conferences),
            ("p2p_conferences", &metrics.p2p_conferences),
            ("largest_conference", &metrics.largest_conference),
            ("participants", &metrics.current_endpoints),
            ("endpoints", &metrics.current_endpoints),
            ("local_endpoints", &metrics.endpoints),
            ("local_active_endpoints", &metrics.active_endpoints),
            ("receive_only_endpoints", &metrics.receive_only),
            ("inactive_endpoints", &metrics.inactive_endpoints),
            ("visitors", &metrics.current_visitors),
            ("endpoints_sending_audio", &metrics.sending_audio),
            ("endpoints_sending_video", &metrics.sending_video),
            ("endpoints_with_suspended_sources", &metrics.suspended),
            ("packet_rate_download", &metrics.incoming_packet_rate),
            ("packet_rate_upload", &metrics.outgoing_packet_rate),
            ("octo_conferences", &metrics.conferences_with_relay),
            ("octo_endpoints", &metrics.endpoints_relayed),
            ("octo_receive_packet_rate", &metrics.relay_incoming_packet_rate),
            ("octo_send_packet_rate", &metrics.relay_outgoing_packet_rate),
            ("muc_clients_configured", &metrics.brewery.muc_clients_configured),
            ("muc_clients_connected", &metrics.brewery.muc_clients_connected),
            ("mucs_configured", &metrics.brewery.mucs_configured),
            ("mucs_joined", &metrics.brewery.mucs_joined),
        ];
        for (name, gauge) in gauges {
            put(name, json!(gauge.get()));
        }
        let counters: [(&str, &IntCounter); 22] = [
            ("total_conferences_created", &metrics.conferences_created),
            ("total_conferences_completed", &metrics.conferences_completed),
            ("total_conference_seconds", &metrics.conference_seconds),
            ("total_participants", &metrics.endpoints_created),
            ("total_visitors", &metrics.visitors_created),
            ("endpoints_disconnected", &metrics.endpoints_disconnected),
            ("endpoints_reconnected", &metrics.endpoints_reconnected),
            ("endpoints_ice_failed", &metrics.endpoints_ice_failed),
            ("dtls_failed_endpoints", &metrics.endpoints_dtls_failed),
            ("total_relays", &metrics.relays_created),
            ("num_relays_no_msg_transport_after_delay", &metrics.relays_without_channel),
            ("relays_ice_failed", &metrics.relays_ice_failed),
            ("dtls_failed_relays", &metrics.relays_dtls_failed),
            ("total_ice_failed", &metrics.endpoints_ice_failed),
            ("total_ice_succeeded", &metrics.ice_succeeded),
            ("total_dominant_speaker_changes", &metrics.dominant_speaker_changes),
            ("preemptive_kfr_sent", &metrics.preemptive_key_frames),
            ("preemptive_kfr_suppressed", &metrics.preemptive_key_frames_suppressed),
            ("total_data_channel_messages_received", &metrics.data_channel_received),
            ("total_data_channel_messages_sent", &metrics.data_channel_sent),
            ("total_colibri_web_socket_messages_received", &metrics.web_socket_received),
            ("total_colibri_web_socket_messages_sent", &metrics.web_socket_sent),
        ];
        for (name, counter) in counters {
            put(name, json!(counter.get()));
        }
        put("total_bytes_received", json!(metrics.sum(|counters| counters.bytes_received.get())));
        put("total_bytes_sent", json!(metrics.sum(|counters| counters.bytes_sent.get())));
        put("total_packets_received", json!(metrics.sum(|counters| counters.packets_received.get())));
        put("total_packets_sent", json!(metrics.sum(|counters| counters.packets_sent.get())));
        put("total_bytes_received_octo", json!(metrics.sum(|counters| counters.relay_bytes_received.get())));
        put("total_bytes_sent_octo", json!(metrics.sum(|counters| counters.relay_bytes_sent.get())));
        put("total_packets_received_octo", json!(metrics.sum(|counters| counters.relay_packets_received.get())));
        put("total_packets_sent_octo", json!(metrics.sum(|counters| counters.relay_packets_sent.get())));
        put("octo_receive_bitrate", json!(metrics.relay_incoming_bitrate.get() / 1000));
        put("octo_send_bitrate", json!(metrics.relay_outgoing_bitrate.get() / 1000));
        put("bit_rate_download", json!(metrics.incoming_bitrate.get() / 1000));
        put("bit_rate_upload", json!(metrics.outgoing_bitrate.get() / 1000));
        put("rtt_aggregate", json!(metrics.average_rtt.get()));
        put("stress_level", json!(metrics.stress.get()));
        put("average_participant_stress", json!(AVERAGE_PARTICIPANT_STRESS));
        let readiness = self.readiness();
        put("drain", json!(readiness.drain));
        put("graceful_shutdown", json!(readiness.is_graceful()));
        put("shutting_down", json!(readiness.is_shutting_down()));
        put("healthy", json!(self.health().is_ok()));
        put("threads", json!(metrics.shards.len() + 1));
        put("current_timestamp", json!(timestamp(wall_clock)));
        put("version", json!(self.settings.version));
        let names = [
            ("release", &self.settings.release),
            ("region", &self.settings.region),
            ("relay_id", &self.settings.relay_id),
        ];
        for (name, value) in names {
            if let Some(value) = value {
                put(name, json!(value));
            }
        }
        Value::Object(stats)
    }
}

/// `yyyy-MM-dd HH:mm:ss.SSS`, UTC.
fn timestamp(wall_clock: SystemTime) -> String {
    let since = wall_clock.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let unix_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    datetime::format_utc(unix_ms).trim_end_matches('Z').replace('T', " ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_written_as_jvb_does() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00.000"),
            (951_782_399, "2000-02-28 23:59:59.000"),
            (951_782_400, "2000-02-29 00:00:00.000"),
            (1_798_761_599, "2026-12-31 23:59:59.000"),
            (4_107_542_400, "2100-03-01 00:00:00.000"),
        ] {
            assert_eq!(timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
        assert_eq!(timestamp(SystemTime::UNIX_EPOCH + Duration::from_millis(1007)), "1970-01-01 00:00:01.007");
    }
}
