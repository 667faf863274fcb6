//! Measured rates of a source's layers, for the allocation of bandwidth.
//!
//! Here: bytes counted packet by packet, and rates made of them once a second. Not here: which layers there are (`layers`).

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use model::Bitrate;
use rtp::{MAX_ALLOCATED_TEMPORAL_LAYERS, VideoLayersAllocation};

use super::layers::ActiveLayers;
use crate::negotiated::MAX_LAYERS;
use crate::settings::LayerRates;

/// Temporal layers that are told apart: what lies above counts as the highest.
pub(crate) const MAX_TEMPORAL_LAYERS: usize = MAX_ALLOCATED_TEMPORAL_LAYERS;
/// What was counted becomes a rate after so long.
const WINDOW: Duration = Duration::from_secs(1);
/// A window that is looked at later than this holds a pause too, and is of no use.
const MAX_WINDOW: Duration = Duration::from_secs(3);

/// What is known of the layers of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LayerReport {
    /// By simulcast encoding or spatial layer, the lowest first; `None` where it is not sent.
    pub(crate) layers: [Option<MeasuredLayer>; MAX_LAYERS],
    /// What their sender says that each is to take, in the same terms; nothing where it does not say.
    pub(crate) targets: [Rates; MAX_LAYERS],
}

impl LayerReport {
    /// With what senders say in the place of what was measured: where nothing was yet, or wherever they do.
    pub(crate) fn with_targets(mut self, rates: LayerRates) -> Self {
        for (layer, targets) in self.layers.iter_mut().zip(self.targets) {
            if let Some(layer) = layer
                && targets != Rates::default()
                && (rates == LayerRates::Targets || !layer.is_measured())
            {
                layer.bitrates = targets;
            }
        }
        self
    }

    /// Whether it may take the place of `other` without anything being decided anew: its layers are the same, as tall, and take
    /// about as much.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.layers.iter().zip(&other.layers).all(|layers| match layers {
            (Some(layer), Some(other)) => {
                layer.height == other.height && is_like(layer.full_bitrate(), other.full_bitrate())
            }
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        })
    }
}

/// One layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MeasuredLayer {
    /// Lines; at least 1.
    pub(crate) height: NonZeroU16,
    /// What a receiver gets who gets this layer and the temporal ones up to each, with everything that they need. Payloads and
    /// headers of RTP as they came. Nothing before it was measured.
    pub(crate) bitrates: Rates,
}

/// Whether neither is more than twice the other: what moves in a picture changes its rate less than another codec does.
fn is_like(rate: Bitrate, other: Bitrate) -> bool {
    rate <= other.scaled(2.0) && other <= rate.scaled(2.0)
}

impl MeasuredLayer {
    /// What all of it takes; nothing before anything was measured.
    fn full_bitrate(&self) -> Bitrate {
        self.bitrates.iter().copied().max().unwrap_or_default()
    }

    /// Whether anything was measured of it.
    pub(crate) fn is_measured(&self) -> bool {
        self.bitrates.iter().any(|bitrate| *bitrate > Bitrate::default())
    }
}

/// Of one layer, by temporal layer: each with those below it.
type Rates = [Bitrate; MAX_TEMPORAL_LAYERS];

/// Bytes of one layer, by temporal layer.
type Bytes = [u32; MAX_TEMPORAL_LAYERS];

/// Counts bytes of the layers of one source.
#[derive(Debug, Default)]
pub(crate) struct LayerBitrates {
    since: Option<Instant>,
    /// Of frames that higher layers need too, and of those that they do not.
    shared: [Bytes; MAX_LAYERS],
    own: [Bytes; MAX_LAYERS],
    rates: [Rates; MAX_LAYERS],
    /// What each is to take without what it needs of others.
    targets: [Rates; MAX_LAYERS],
    /// Layers whose frames the ones above needed for the most part.
    is_shared: [bool; MAX_LAYERS],
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

    /// Takes what the sender says that each of its layers is to take: of its only stream by spatial layers, else by streams.
    pub(crate) fn handle_allocation(&mut self, allocation: VideoLayersAllocation<'_>) {
        self.targets = Default::default();
        let first = allocation.layers().next().map(|layer| layer.stream);
        let are_spatial = allocation.layers().all(|layer| Some(layer.stream) == first);
        for layer in allocation.layers() {
            let place = layer.stream + if are_spatial { layer.spatial } else { 0 };
            let Some(targets) = self.targets.get_mut(usize::from(place)) else { continue };
            for (sum, target) in targets.iter_mut().zip(layer.targets) {
                *sum = sum.saturating_add(target);
            }
        }
    }

    /// Makes rates of what was counted, once a window is over. Answers whether it was.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        let Some(passed) = self.since.map(|since| now.saturating_duration_since(since)) else { return false };
        if passed < WINDOW {
            return false;
        }
        if passed <= MAX_WINDOW {
            for ((own, shared), is_shared) in self.own.iter().zip(&self.shared).zip(&mut self.is_shared) {
                let sum = |bytes: &Bytes| bytes.iter().map(|bytes| u64::from(*bytes)).sum::<u64>();
                *is_shared = sum(shared) > sum(own);
            }
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
        let mut below = Rates::default();
        for ((place, targets), is_shared) in report.targets.iter_mut().zip(self.targets).zip(self.is_shared) {
            for ((with_all, target), below) in place.iter_mut().zip(targets).zip(&mut below) {
                if target > Bitrate::ZERO {
                    *with_all = target.saturating_add(*below);
                }
                if active.are_spatial() && is_shared {
                    *below = below.saturating_add(target);
                }
            }
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
    fn a_report_is_like_another_while_no_layer_takes_more_than_twice_as_much() {
        let of = |height, rates: [u64; MAX_TEMPORAL_LAYERS]| {
            let height = NonZeroU16::new(height).unwrap();
            Some(MeasuredLayer { height, bitrates: rates.map(Bitrate::from_kbps) })
        };
        let report = |layers: &[Option<MeasuredLayer>]| {
            let mut report = LayerReport::default();
            report.layers[..layers.len()].copy_from_slice(layers);
            report
        };
        let before = report(&[of(180, [60, 100, 200, 0]), of(360, [0; 4])]);
        let is_like = |layers: &[Option<MeasuredLayer>]| report(layers).is_like(&before);
        assert!(is_like(&[of(180, [30, 50, 100, 0]), of(360, [0; 4])]));
        assert!(is_like(&[of(180, [400, 0, 0, 0]), of(360, [0; 4])]));
        assert!(!is_like(&[of(180, [60, 100, 401, 0]), of(360, [0; 4])]), "takes more");
        assert!(!is_like(&[of(180, [60, 99, 0, 0]), of(360, [0; 4])]), "takes less");
        assert!(!is_like(&[of(180, [60, 100, 200, 0]), of(360, [1; 4])]), "was measured");
        assert!(!is_like(&[of(180, [60, 100, 200, 0]), None]), "is gone");
        assert!(!is_like(&[of(240, [60, 100, 200, 0]), of(360, [0; 4])]), "is taller");
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

    /// Two spatial layers of one stream, of 100 and 300 kbit/s; then three streams, of which the second is off.
    const SPATIAL: [u8; 5] = [0x03, 0, 100, 0xac, 2];
    const STREAMS: [u8; 7] = [0x20, 0x10, 0x10, 0, 100, 0xac, 2];

    fn targets(rates: &LayerBitrates, active: ActiveLayers) -> [u64; MAX_LAYERS] {
        rates.report(active).targets.map(|targets| kbps(targets)[0])
    }

    fn allocation(bytes: &[u8]) -> VideoLayersAllocation<'_> {
        VideoLayersAllocation::parse(bytes).unwrap()
    }

    #[test]
    fn a_sender_says_what_its_layers_are_to_take() {
        let start = start();
        let mut rates = LayerBitrates::default();
        let mut layers = LayerActivity::default();
        layers.set_spatial_layers(0, 2, start);
        layers.handle_packet(0, 0, true, start);
        rates.handle_allocation(allocation(&SPATIAL));
        assert_eq!(targets(&rates, layers.active(start)), [100, 300, 0, 0]);
        // Those who get the upper layer get the lower one, too.
        rates.handle_packet(0, 0, NeededBy::HigherLayersToo, 1000, start);
        let end = start + Duration::from_secs(1);
        assert!(rates.handle_timeout(end));
        assert_eq!(targets(&rates, layers.active(end)), [100, 400, 0, 0]);
        rates.handle_allocation(allocation(&STREAMS));
        layers.handle_packet(2, 0, true, end);
        assert_eq!(targets(&rates, layers.active(end)), [100, 0, 300, 0]);
    }

    #[test]
    fn what_a_sender_says_counts_until_it_is_measured_or_always() {
        let start = start();
        let mut rates = LayerBitrates::default();
        let mut layers = LayerActivity::default();
        layers.handle_packet(0, 0, true, start);
        layers.handle_packet(2, 0, true, start);
        rates.handle_allocation(allocation(&STREAMS));
        rates.handle_packet(0, 0, NeededBy::ItsLayer, 5000, start);
        let end = start + Duration::from_secs(1);
        assert!(rates.handle_timeout(end));
        let active = layers.active(end);
        let counted = |settings| {
            let report = rates.report(active).with_targets(settings);
            report.layers.map(|layer| layer.map(|layer| kbps(layer.bitrates)[0]))
        };
        assert_eq!(counted(LayerRates::Measured), [Some(40), None, Some(300), None]);
        assert_eq!(counted(LayerRates::Targets), [Some(100), None, Some(300), None]);
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
