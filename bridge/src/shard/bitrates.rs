//! Measured rates of a source's layers, for the allocation of bandwidth.
//!
//! Here: bytes counted packet by packet, and rates made of them once a second. Not here: which layers there are (`layers`).

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use model::Bitrate;

use super::layers::ActiveLayers;
use crate::negotiated::MAX_LAYERS;

/// Temporal layers that are told apart: what lies above counts as the highest.
pub(crate) const MAX_TEMPORAL_LAYERS: usize = 4;
/// What was counted becomes a rate after so long.
const WINDOW: Duration = Duration::from_secs(1);
/// A window that is looked at later than this holds a pause too, and is of no use.
const MAX_WINDOW: Duration = Duration::from_secs(3);

/// What is known of the layers of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LayerReport {
    /// By simulcast encoding or spatial layer, the lowest first; `None` where it is not sent.
    pub(crate) layers: [Option<MeasuredLayer>; MAX_LAYERS],
}

impl LayerReport {
    /// Whether the layers are those of `other`, as tall, and measured or not.
    pub(crate) fn has_same_layers(&self, other: &Self) -> bool {
        let known = |layer: &Option<MeasuredLayer>| layer.map(|layer| (layer.height, layer.is_measured()));
        self.layers.iter().map(known).eq(other.layers.iter().map(known))
    }
}

/// One layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MeasuredLayer {
    /// Lines; at least 1.
    pub(crate) height: NonZeroU16,
    /// What a receiver gets who gets this layer and the temporal ones up to each, with everything that they need. Payloads and
    /// headers of RTP as they came. Nothing before it was measured.
    pub(crate) bitrates: [Bitrate; MAX_TEMPORAL_LAYERS],
}

impl MeasuredLayer {
    /// Whether anything was measured of it.
    pub(crate) fn is_measured(&self) -> bool {
        self.bitrates.iter().any(|bitrate| *bitrate > Bitrate::default())
    }
}

/// Bytes of one layer, by temporal layer.
type Bytes = [u32; MAX_TEMPORAL_LAYERS];

/// Counts bytes of the layers of one source.
#[derive(Debug, Default)]
pub(crate) struct LayerBitrates {
    since: Option<Instant>,
    /// Of frames that higher layers need too, and of those that they do not.
    shared: [Bytes; MAX_LAYERS],
    own: [Bytes; MAX_LAYERS],
    rates: [[Bitrate; MAX_TEMPORAL_LAYERS]; MAX_LAYERS],
}

/// Who needs a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NeededBy {
    ItsLayer,
    HigherLayersToo,
}

impl LayerBitrates {
    /// Notes a packet.
    pub(crate) fn handle_packet(&mut self, layer: usize, temporal: u8, needed_by: NeededBy, len: usize, now: Instant) {
        self.since.get_or_insert(now);
        let bytes = match needed_by {
            NeededBy::ItsLayer => &mut self.own,
            NeededBy::HigherLayersToo => &mut self.shared,
        };
        let temporal = usize::from(temporal).min(MAX_TEMPORAL_LAYERS - 1);
        if let Some(bytes) = bytes.get_mut(layer).and_then(|bytes| bytes.get_mut(temporal)) {
            *bytes = bytes.saturating_add(len as u32);
        }
    }

    /// Makes rates of what was counted, once a window is over. Answers whether it was.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        let Some(passed) = self.since.map(|since| now.saturating_duration_since(since)) else { return false };
        if passed < WINDOW {
            return false;
        }
        if passed <= MAX_WINDOW {
            let mut below = Bytes::default();
            for ((own, shared), rates) in self.own.iter().zip(&self.shared).zip(&mut self.rates) {
                let mut total = 0_u64;
                for (((own, shared), below), rate) in own.iter().zip(shared).zip(&mut below).zip(rates) {
                    total += u64::from(*own) + u64::from(*shared) + u64::from(*below);
                    *below = below.saturating_add(*shared);
                    *rate = Bitrate::from_bps((u128::from(total) * 8_000_000 / passed.as_micros().max(1)) as u64);
                }
            }
        }
        (self.own, self.shared) = Default::default();
        self.since = Some(now);
        true
    }

    /// What is known of the layers that are sent.
    pub(crate) fn report(&self, active: ActiveLayers) -> LayerReport {
        let mut report = LayerReport::default();
        for ((place, height), rates) in report.layers.iter_mut().zip(active.heights()).zip(self.rates) {
            *place = height.map(|height| MeasuredLayer { height, bitrates: rates });
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::layers::LayerActivity;

    #[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
    fn start() -> Instant {
        Instant::now()
    }

    fn kbps(rates: [Bitrate; MAX_TEMPORAL_LAYERS]) -> [u64; MAX_TEMPORAL_LAYERS] {
        rates.map(|rate| rate.bps() / 1000)
    }

    #[test]
    fn a_layer_has_the_rate_of_all_that_it_needs() {
        let start = start();
        let mut rates = LayerBitrates::default();
        let mut layers = LayerActivity::default();
        layers.set_spatial_layers(0, 3, start);
        layers.handle_packet(0, 0, true, start);
        for frame in 0..100 {
            let now = start + Duration::from_millis(10) * frame;
            let temporal = (frame % 2) as u8;
            // In key pictures only do higher layers need lower ones.
            let needed_by = if frame < 10 { NeededBy::HigherLayersToo } else { NeededBy::ItsLayer };
            rates.handle_packet(0, temporal, needed_by, 125, now);
            rates.handle_packet(1, temporal, needed_by, 250, now);
            rates.handle_packet(2, temporal, NeededBy::ItsLayer, 1250, now);
        }
        let end = start + Duration::from_secs(1);
        assert!(!rates.handle_timeout(end - Duration::from_millis(1)));
        assert!(rates.handle_timeout(end));
        let report = rates.report(layers.active(end));
        let measured: Vec<_> = report.layers.iter().flatten().map(|layer| kbps(layer.bitrates)).collect();
        assert_eq!(measured, [[50, 100, 100, 100], [105, 210, 210, 210], [515, 1030, 1030, 1030]]);
    }

    #[test]
    fn a_pause_is_no_rate() {
        let start = start();
        let mut rates = LayerBitrates::default();
        rates.handle_packet(0, 0, NeededBy::ItsLayer, 1000, start);
        assert!(rates.handle_timeout(start + Duration::from_secs(1)));
        let before = rates.rates;
        rates.handle_packet(0, 0, NeededBy::ItsLayer, 1000, start + Duration::from_secs(1));
        assert!(rates.handle_timeout(start + Duration::from_secs(60)));
        assert_eq!(rates.rates, before);
    }
}
