//! What the bridge counted, as a scrape sees it: the sums of all threads, under JVB's names where JVB has one
//! (bridge.md §7.2) and under `teranga_bridge_` where it has none.

mod distribution;
mod exporters;
mod links;
mod threads;

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{Gauge, IntCounter, IntGauge, Registry};

use crate::connection::Reached;
use crate::counters::{Counters, DropReason};
use crate::figures::{Figures, Rates};
use crate::load::Load;
use distribution::{Distribution, Registered};
pub(crate) use exporters::ExporterMetrics;
use links::LinkMetrics;
use threads::ThreadsCollector;

/// All numbers of one bridge.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) conferences: IntGauge,
    pub(crate) endpoints: IntGauge,
    pub(crate) current_endpoints: IntGauge,
    pub(crate) current_visitors: IntGauge,
    pub(crate) active_endpoints: IntGauge,
    pub(crate) largest_conference: IntGauge,
    pub(crate) sending_audio: IntGauge,
    pub(crate) sending_video: IntGauge,
    pub(crate) receive_only: IntGauge,
    pub(crate) inactive_endpoints: IntGauge,
    pub(crate) suspended: IntGauge,
    pub(crate) inactive_conferences: IntGauge,
    pub(crate) p2p_conferences: IntGauge,
    pub(crate) incoming_bitrate: IntGauge,
    pub(crate) outgoing_bitrate: IntGauge,
    pub(crate) incoming_packet_rate: IntGauge,
    pub(crate) outgoing_packet_rate: IntGauge,
    pub(crate) conferences_with_relay: IntGauge,
    pub(crate) endpoints_relayed: IntGauge,
    pub(crate) relay_incoming_bitrate: IntGauge,
    pub(crate) relay_outgoing_bitrate: IntGauge,
    pub(crate) relay_incoming_packet_rate: IntGauge,
    pub(crate) relay_outgoing_packet_rate: IntGauge,
    pub(crate) drain_mode: IntGauge,
    pub(crate) graceful_shutdown: IntGauge,
    pub(crate) shutting_down: IntGauge,
    pub(crate) healthy: IntGauge,
    pub(crate) startup_time: IntGauge,
    pub(crate) stress: Gauge,
    pub(crate) average_rtt: Gauge,
    pub(crate) conferences_created: IntCounter,
    pub(crate) conferences_completed: IntCounter,
    pub(crate) conference_seconds: IntCounter,
    pub(crate) endpoints_created: IntCounter,
    pub(crate) visitors_created: IntCounter,
    pub(crate) endpoints_disconnected: IntCounter,
    pub(crate) endpoints_reconnected: IntCounter,
    pub(crate) endpoints_ice_failed: IntCounter,
    pub(crate) endpoints_dtls_failed: IntCounter,
    pub(crate) relays_created: IntCounter,
    pub(crate) relays_without_channel: IntCounter,
    pub(crate) relays_ice_failed: IntCounter,
    pub(crate) relays_dtls_failed: IntCounter,
    pub(crate) transports_failed: IntCounter,
    pub(crate) ice_succeeded: IntCounter,
    pub(crate) ice_restarts_started: IntCounter,
    pub(crate) ice_restarts_rejected: IntCounter,
    pub(crate) preemptive_key_frames: IntCounter,
    pub(crate) preemptive_key_frames_suppressed: IntCounter,
    pub(crate) dominant_speaker_changes: IntCounter,
    pub(crate) data_channel_received: IntCounter,
    pub(crate) data_channel_sent: IntCounter,
    pub(crate) web_socket_received: IntCounter,
    pub(crate) web_socket_sent: IntCounter,
    pub(crate) brewery: BreweryMetrics,
    pub(crate) exporters: ExporterMetrics,
    pub(crate) links: LinkMetrics,
    /// Of endpoints, those that send audio, and those that send video.
    by_size: [Registered; 3],
    /// Of control itself.
    pub(crate) control: Arc<Counters>,
    /// Of each shard.
    pub(crate) shards: Vec<Arc<Counters>>,
}

/// How the bridge stands with its focus; the one who sees it counts.
#[derive(Clone, Debug)]
pub(crate) struct BreweryMetrics {
    pub(crate) muc_clients_configured: IntGauge,
    pub(crate) muc_clients_connected: IntGauge,
    pub(crate) mucs_configured: IntGauge,
    pub(crate) mucs_joined: IntGauge,
    pub(crate) xmpp_disconnects: IntCounter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, shards: usize) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| register(registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| register(registry, IntGauge::new(name, help));
        let float = |name: &str, help: &str| register(registry, Gauge::new(name, help));
        let by_size =
            |name, help| register(registry, Distribution::new(name, help).map(|sizes| Registered(Arc::new(sizes))));
        let control = Arc::new(Counters::default());
        let shards: Vec<_> = std::iter::repeat_with(Arc::default).take(shards).collect();
        let threads = std::iter::once(&control).chain(&shards).cloned().collect();
        registry.register(Box::new(ThreadsCollector::new(threads)?))?;
        Ok(Self {
            links: LinkMetrics::new(registry)?,
            exporters: ExporterMetrics::new(registry)?,
            conferences: gauge("jitsi_jvb_conferences", "Conferences now")?,
            endpoints: gauge("jitsi_jvb_local_endpoints", "Endpoints now")?,
            current_endpoints: gauge("jitsi_jvb_current_endpoints", "Endpoints when it was last measured")?,
            current_visitors: gauge("jitsi_jvb_current_visitors", "Visitors among them")?,
            active_endpoints: gauge("jitsi_jvb_active_endpoints", "Endpoints of conferences in which somebody sends")?,
            largest_conference: gauge("jitsi_jvb_largest_conference", "Endpoints of the largest conference")?,
            sending_audio: gauge("jitsi_jvb_endpoints_sending_audio", "Endpoints that send audio")?,
            sending_video: gauge("jitsi_jvb_endpoints_sending_video", "Endpoints that send video")?,
            receive_only: gauge("jitsi_jvb_endpoints_recvonly", "Endpoints that send nothing where others do")?,
            inactive_endpoints: gauge(
                "jitsi_jvb_endpoints_inactive",
                "Endpoints of conferences in which nobody sends",
            )?,
            suspended: gauge(
                "jitsi_jvb_endpoints_with_suspended_sources",
                "Endpoints that do not get all videos for want of bandwidth",
            )?,
            inactive_conferences: gauge("jitsi_jvb_conferences_inactive", "Conferences in which nobody sends")?,
            p2p_conferences: gauge("jitsi_jvb_conferences_p2p", "Those of two among them, who are connected directly")?,
            incoming_bitrate: gauge("jitsi_jvb_incoming_bitrate", "Bits a second received on the media port")?,
            outgoing_bitrate: gauge("jitsi_jvb_outgoing_bitrate", "Bits a second sent from the media port")?,
            incoming_packet_rate: gauge(
                "jitsi_jvb_incoming_packet_rate",
                "Datagrams a second received on the media port",
            )?,
            outgoing_packet_rate: gauge(
                "jitsi_jvb_outgoing_packet_rate",
                "Datagrams a second sent from the media port",
            )?,
            conferences_with_relay: gauge(
                "jitsi_jvb_conferences_with_relay",
                "Conferences that are shared with other bridges",
            )?,
            endpoints_relayed: gauge("jitsi_jvb_endpoints_relayed", "Endpoints of other bridges in conferences here")?,
            relay_incoming_bitrate: gauge(
                "jitsi_jvb_relay_incoming_bitrate",
                "Bits a second of RTP received from other bridges",
            )?,
            relay_outgoing_bitrate: gauge(
                "jitsi_jvb_relay_outgoing_bitrate",
                "Bits a second of RTP sent to other bridges",
            )?,
            relay_incoming_packet_rate: gauge(
                "jitsi_jvb_relay_incoming_packet_rate",
                "Packets of RTP a second received from other bridges",
            )?,
            relay_outgoing_packet_rate: gauge(
                "jitsi_jvb_relay_outgoing_packet_rate",
                "Packets of RTP a second sent to other bridges",
            )?,
            drain_mode: gauge("jitsi_jvb_drain_mode", "1: the focus is asked to avoid the bridge")?,
            graceful_shutdown: gauge(
                "jitsi_jvb_graceful_shutdown",
                "1: no new conferences, the bridge ends when the others have",
            )?,
            shutting_down: gauge("jitsi_jvb_shutting_down", "1: the bridge ends now")?,
            healthy: gauge("jitsi_jvb_healthy", "1: the bridge can do its work")?,
            startup_time: gauge("jitsi_jvb_startup_time", "When the bridge started, in milliseconds since 1970")?,
            stress: float("jitsi_jvb_stress", "How busy the bridge is, from 0 to 1")?,
            average_rtt: float("jitsi_jvb_average_rtt", "Mean round trip to endpoints in milliseconds")?,
            conferences_created: counter("jitsi_jvb_conferences_created_total", "Conferences since the start")?,
            conferences_completed: counter("jitsi_jvb_conferences_completed_total", "Conferences that ended")?,
            conference_seconds: counter(
                "jitsi_jvb_conference_seconds_total",
                "Time that the conferences took that ended",
            )?,
            endpoints_created: counter("jitsi_jvb_endpoints_total", "Endpoints since the start")?,
            visitors_created: counter("jitsi_jvb_visitors_total", "Visitors among them")?,
            endpoints_disconnected: counter(
                "jitsi_jvb_endpoints_disconnected_total",
                "Times that nothing came from an endpoint any more",
            )?,
            endpoints_reconnected: counter(
                "jitsi_jvb_endpoints_reconnected_total",
                "Times that something came again from an endpoint that was gone",
            )?,
            endpoints_ice_failed: counter(
                "jitsi_jvb_endpoints_ice_failed_total",
                "Endpoints that ended without ever being reached",
            )?,
            endpoints_dtls_failed: counter(
                "jitsi_jvb_endpoints_dtls_failed_total",
                "Endpoints that ended reached, but without keys",
            )?,
            relays_created: counter("jitsi_jvb_relays_total", "Relays to other bridges since the start")?,
            relays_without_channel: counter(
                "jitsi_jvb_relays_no_message_transport_after_delay_total",
                "Relays whose channel did not open soon after media was connected",
            )?,
            relays_ice_failed: counter(
                "jitsi_jvb_relays_ice_failed_total",
                "Relays that ended without ever being reached",
            )?,
            relays_dtls_failed: counter(
                "jitsi_jvb_relays_dtls_failed_total",
                "Relays that ended reached, but without keys",
            )?,
            transports_failed: counter(
                "teranga_bridge_transports_failed_total",
                "Endpoints whose DTLS, SCTP or keys failed",
            )?,
            ice_succeeded: counter("jitsi_jvb_ice_succeeded_total", "Endpoints that were reached")?,
            ice_restarts_started: counter(
                "jitsi_jvb_ice_restarts_started_total",
                "ICE restarts that a focus asked for",
            )?,
            ice_restarts_rejected: counter("jitsi_jvb_ice_restarts_rejected_total", "ICE restarts that could not be")?,
            preemptive_key_frames: counter(
                "jitsi_jvb_preemptive_keyframe_requests_sent_total",
                "New speakers that were asked for key frames before receivers asked",
            )?,
            preemptive_key_frames_suppressed: counter(
                "jitsi_jvb_preemptive_keyframe_requests_suppressed_total",
                "New speakers that were not, as nobody shows a camera large",
            )?,
            dominant_speaker_changes: counter(
                "jitsi_jvb_dominant_speaker_changes_total",
                "Times that another one spoke",
            )?,
            data_channel_received: counter(
                "jitsi_jvb_data_channel_messages_received_total",
                "Messages of clients over data channels",
            )?,
            data_channel_sent: counter(
                "jitsi_jvb_data_channel_messages_sent_total",
                "Messages to clients over data channels",
            )?,
            web_socket_received: counter(
                "jitsi_jvb_colibri_web_socket_messages_received_total",
                "Messages of clients over WebSockets",
            )?,
            web_socket_sent: counter(
                "jitsi_jvb_colibri_web_socket_messages_sent_total",
                "Messages to clients over WebSockets",
            )?,
            brewery: BreweryMetrics {
                muc_clients_configured: gauge(
                    "jitsi_jvb_muc_clients_configured",
                    "XMPP connections that there should be",
                )?,
                muc_clients_connected: gauge("jitsi_jvb_muc_clients_connected", "XMPP connections that there are")?,
                mucs_configured: gauge("jitsi_jvb_mucs_connected", "Breweries to stand in")?,
                mucs_joined: gauge("jitsi_jvb_mucs_joined", "Breweries that the bridge stands in")?,
                xmpp_disconnects: counter("jitsi_jvb_xmpp_disconnects_total", "Times that the XMPP connection broke")?,
            },
            by_size: [
                by_size("jitsi_jvb_conferences_by_size", "Conferences now by endpoints")?,
                by_size("jitsi_jvb_conferences_by_audio_sender", "Conferences now by endpoints that send audio")?,
                by_size("jitsi_jvb_conferences_by_video_sender", "Conferences now by endpoints that send video")?,
            ],
            control,
            shards,
        })
    }

    /// Counts on behalf of control.
    pub(crate) fn count(&self, reason: DropReason) {
        self.control.count(reason);
    }

    /// An endpoint ended that had come so far.
    pub(crate) fn count_end(&self, reached: Reached) {
        match reached {
            Reached::Nothing => self.endpoints_ice_failed.inc(),
            Reached::Ice => self.endpoints_dtls_failed.inc(),
            Reached::Dtls => {}
        }
    }

    /// A relay ended that had come so far.
    pub(crate) fn count_relay_end(&self, reached: Reached) {
        match reached {
            Reached::Nothing => self.relays_ice_failed.inc(),
            Reached::Ice => self.relays_dtls_failed.inc(),
            Reached::Dtls => {}
        }
    }

    /// Takes what was measured.
    pub(crate) fn note(&self, figures: &Figures, rates: Rates, load: &Load) {
        let set = |gauge: &IntGauge, count: usize| gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        set(&self.current_endpoints, figures.endpoints);
        set(&self.current_visitors, figures.visitors);
        set(&self.active_endpoints, figures.endpoints - figures.inactive_endpoints);
        set(&self.largest_conference, figures.largest_conference);
        set(&self.sending_audio, figures.sending_audio);
        set(&self.sending_video, figures.sending_video);
        set(&self.receive_only, figures.receive_only);
        set(&self.inactive_endpoints, figures.inactive_endpoints);
        set(&self.suspended, figures.with_suspended_sources);
        set(&self.inactive_conferences, figures.inactive_conferences);
        set(&self.p2p_conferences, figures.p2p_conferences);
        self.incoming_bitrate.set(rates.bits_in as i64);
        self.outgoing_bitrate.set(rates.bits_out as i64);
        self.incoming_packet_rate.set(rates.packets_in as i64);
        self.outgoing_packet_rate.set(rates.packets_out as i64);
        set(&self.conferences_with_relay, figures.conferences_with_relay);
        set(&self.endpoints_relayed, figures.relayed);
        self.relay_incoming_bitrate.set(rates.relay_bits_in as i64);
        self.relay_outgoing_bitrate.set(rates.relay_bits_out as i64);
        self.relay_incoming_packet_rate.set(rates.relay_packets_in as i64);
        self.relay_outgoing_packet_rate.set(rates.relay_packets_out as i64);
        self.average_rtt.set(figures.average_rtt().as_secs_f64() * 1000.0);
        self.stress.set(load.stress);
        self.healthy.set(i64::from(load.is_healthy));
        for (at, distribution) in self.by_size.iter().enumerate() {
            distribution.0.set(figures.sizes.iter().filter_map(|sizes| sizes.get(at).copied()));
        }
    }

    /// The sum of a number over all threads.
    pub(crate) fn sum(&self, number: impl Fn(&Counters) -> u64) -> u64 {
        self.shards.iter().chain([&self.control]).map(|counters| number(counters)).sum()
    }
}

/// Makes a registry show a metric.
fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    metric: Result<C, prometheus::Error>,
) -> Result<C, prometheus::Error> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_scrape_sees_the_sums_of_all_threads() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry, 2).unwrap();
        metrics.control.count(DropReason::ChannelMessage);
        for shard in &metrics.shards {
            shard.packets_sent.add(20);
            shard.count(DropReason::SrtpReplay);
        }
        let sizes = vec![[2, 1, 0], [30, 2, 1]];
        metrics.note(&Figures { sizes, ..Figures::default() }, Rates::default(), &Load::IDLE);
        metrics.shards[1].loop_time.observe(Duration::from_micros(150));
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "jitsi_jvb_packets_sent_total 40",
            "teranga_bridge_dropped_total{reason=\"srtp_replay\"} 2",
            "teranga_bridge_dropped_total{reason=\"channel_message\"} 1",
            "teranga_bridge_loop_seconds_bucket{shard=\"1\",le=\"0.0002\"} 1",
            "teranga_bridge_loop_seconds_count{shard=\"0\"} 0",
            "jitsi_jvb_conferences 0",
            "jitsi_jvb_healthy 1",
            "jitsi_jvb_conferences_by_size_bucket{le=\"1\"} 0",
            "jitsi_jvb_conferences_by_size_bucket{le=\"20\"} 1",
            "jitsi_jvb_conferences_by_size_count 2",
            "jitsi_jvb_conferences_by_size_sum 32",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert_eq!(metrics.sum(|counters| counters.packets_sent.get()), 40);
    }
}
