//! Counters of the bridge, registered under `teranga_bridge_`.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Why a packet went no further. One counter each, resolved at the start so that counting is one atomic addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DropReason {
    /// First byte of no protocol that is spoken here.
    UnknownProtocol,
    /// No endpoint is known at the sender's address, or by the ufrag.
    UnknownPeer,
    /// Not authentic, replayed, or malformed SRTP.
    Srtp,
    /// A payload type that was not negotiated.
    UnknownPayloadType,
    /// An SSRC that was not signaled.
    UnknownSsrc,
    /// Came before, or too late.
    Duplicate,
    /// Only padding: probes.
    Padding,
    /// The endpoint was muted by a moderator.
    ForceMuted,
    /// RTCP that does not parse.
    Rtcp,
    /// A bridge-channel message that does not parse.
    ChannelMessage,
    /// A bridge-channel message above the rate of its sender.
    ChannelMessageRate,
    /// A packet that a receiver asks for again, above what it may.
    RepairBudget,
    /// A key frame that a receiver asks for, above what it may.
    KeyFrameRequestRate,
}

impl DropReason {
    const ALL: [(Self, &'static str); 13] = [
        (Self::UnknownProtocol, "unknown_protocol"),
        (Self::UnknownPeer, "unknown_peer"),
        (Self::Srtp, "srtp"),
        (Self::UnknownPayloadType, "unknown_payload_type"),
        (Self::UnknownSsrc, "unknown_ssrc"),
        (Self::Duplicate, "duplicate"),
        (Self::Padding, "padding"),
        (Self::ForceMuted, "force_muted"),
        (Self::Rtcp, "rtcp"),
        (Self::ChannelMessage, "channel_message"),
        (Self::ChannelMessageRate, "channel_message_rate"),
        (Self::RepairBudget, "repair_budget"),
        (Self::KeyFrameRequestRate, "key_frame_request_rate"),
    ];
}

/// All counters of one bridge.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) packets_received: IntCounter,
    pub(crate) packets_sent: IntCounter,
    pub(crate) sends_refused: IntCounter,
    pub(crate) retransmissions: IntCounter,
    pub(crate) key_frames_requested: IntCounter,
    pub(crate) endpoints_failed: IntCounter,
    pub(crate) conferences: IntGauge,
    pub(crate) endpoints: IntGauge,
    dropped: [IntCounter; DropReason::ALL.len()],
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(format!("teranga_bridge_{name}"), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(format!("teranga_bridge_{name}"), help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let by_reason = IntCounterVec::new(
            Opts::new("teranga_bridge_dropped_total", "Packets and messages that went no further"),
            &["reason"],
        )?;
        registry.register(Box::new(by_reason.clone()))?;
        Ok(Self {
            packets_received: counter("packets_received_total", "Datagrams received on the media port")?,
            packets_sent: counter("packets_sent_total", "Datagrams sent from the media port")?,
            sends_refused: counter("sends_refused_total", "Datagrams that the kernel refused to send")?,
            retransmissions: counter("retransmissions_total", "RTP packets sent again on request")?,
            key_frames_requested: counter("key_frames_requested_total", "PLI sent to senders of video")?,
            endpoints_failed: counter("endpoints_failed_total", "Endpoints whose ICE or DTLS failed")?,
            conferences: gauge("conferences", "Conferences now")?,
            endpoints: gauge("endpoints", "Endpoints now")?,
            dropped: DropReason::ALL.map(|(_, reason)| by_reason.with_label_values(&[reason])),
        })
    }

    pub(crate) fn count(&self, reason: DropReason) {
        let at = DropReason::ALL.iter().position(|(known, _)| *known == reason);
        if let Some(counter) = at.and_then(|at| self.dropped.get(at)) {
            counter.inc();
        }
    }

    /// How often `reason` was counted.
    #[cfg(test)]
    pub(crate) fn dropped(&self, reason: DropReason) -> u64 {
        let at = DropReason::ALL.iter().position(|(known, _)| *known == reason);
        at.and_then(|at| self.dropped.get(at)).map_or(0, IntCounter::get)
    }
}
