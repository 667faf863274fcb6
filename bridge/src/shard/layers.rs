//! Which layer of a source fulfils what a receiver wants.
//!
//! The layers of a source are its simulcast encodings while more than one of them is sent, else the spatial layers of the one
//! that is. Here: what is known of them from their packets, and the choice. Not here: when a switch takes place (`selection`,
//! `send`), how much bandwidth there is.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use crate::constraints::MaxHeight;
use crate::negotiated::MAX_LAYERS;

/// A layer without a packet for this long was switched off by its sender. A screen share of 1 frame a second is not.
const LAYER_TIMEOUT: Duration = Duration::from_secs(2);
/// So was one that is silent for this long, while the other layers had as many frames as a receiver should not miss.
const LAYER_PAUSE: Duration = Duration::from_millis(500);
const MAX_FRAMES_BEHIND: u32 = 15;
/// Whether layers fell silent is looked at this often.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Height of the lowest layer while its key frames have not told it; each layer has twice the lines of the one below.
const ASSUMED_LOWEST_HEIGHT: u16 = 180;
/// The highest spatial layer that is told apart: what lies above goes with it. Encoders of browsers have three.
pub(crate) const MAX_SPATIAL: u8 = MAX_LAYERS as u8 - 1;

/// The highest layers that a receiver may get, whatever it wants: what its bandwidth allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LayerCap {
    /// Simulcast encoding or spatial layer.
    pub(crate) layer: u8,
    pub(crate) temporal: u8,
}

impl LayerCap {
    pub(crate) const UNLIMITED: Self = Self { layer: u8::MAX, temporal: u8::MAX };
}

/// What a receiver gets of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) max_height: MaxHeight,
    pub(crate) cap: LayerCap,
}

impl Wanted {
    pub(crate) const NOTHING: Self = Self::up_to(MaxHeight::NOTHING);
    pub(crate) const EVERYTHING: Self = Self::up_to(MaxHeight::UNLIMITED);

    /// As tall as the receiver can use, of any rate.
    pub(crate) const fn up_to(max_height: MaxHeight) -> Self {
        Self { max_height, cap: LayerCap::UNLIMITED }
    }

    pub(crate) fn is_nothing(self) -> bool {
        self.max_height == MaxHeight::NOTHING
    }
}

/// The layers of one source, as its packets show them.
#[derive(Debug, Default)]
pub(crate) struct LayerActivity {
    encodings: [Encoding; MAX_LAYERS],
    active: ActiveLayers,
    /// When `active` may be out of date.
    check_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Encoding {
    packets: Activity,
    spatial: [SpatialLayer; MAX_LAYERS],
}

#[derive(Debug, Default)]
struct SpatialLayer {
    packets: Activity,
    height: Option<u16>,
}

/// When something was last sent.
#[derive(Debug, Default)]
struct Activity {
    last_packet: Option<Instant>,
    /// Frames of what stands beside it since then.
    frames_behind: u32,
}

impl LayerActivity {
    /// Notes a packet of an encoding and one of its spatial layers, perhaps the last of a picture.
    pub(crate) fn handle_packet(&mut self, encoding: u8, spatial: u8, is_last_of_picture: bool, now: Instant) {
        for (at, state) in self.encodings.iter_mut().enumerate() {
            if at == usize::from(encoding) {
                state.packets.handle_packet(now);
                let is_layered = state.spatial.get(1).is_some_and(|upper| upper.packets.last_packet.is_some());
                if spatial > 0
                    || is_layered
                    || state.spatial.first().is_some_and(|base| base.packets.last_packet.is_none())
                {
                    for (at, layer) in state.spatial.iter_mut().enumerate() {
                        if at == usize::from(spatial) {
                            if layer.packets.last_packet.is_none() {
                                self.check_at = None;
                            }
                            layer.packets.handle_packet(now);
                        } else if is_last_of_picture {
                            layer.packets.handle_other();
                        }
                    }
                }
            } else if is_last_of_picture {
                state.packets.handle_other();
            }
        }
        if !self.active.has(encoding, spatial) {
            self.check_at = None;
        }
    }

    /// Notes the height that a key frame tells.
    pub(crate) fn set_height(&mut self, encoding: u8, spatial: u8, height: u16) {
        let layer = self.encodings.get_mut(usize::from(encoding));
        if let Some(layer) = layer.and_then(|encoding| encoding.spatial.get_mut(usize::from(spatial)))
            && layer.height.replace(height) != Some(height)
        {
            self.check_at = None;
        }
    }

    /// The encoding has spatial layers below `count` only, as its newest structure says.
    pub(crate) fn set_spatial_layers(&mut self, encoding: u8, count: u8, now: Instant) {
        let Some(encoding) = self.encodings.get_mut(usize::from(encoding)) else { return };
        for (at, layer) in encoding.spatial.iter_mut().enumerate() {
            if at >= usize::from(count) {
                layer.packets = Activity::default();
            } else if count > 1 {
                // Its packets follow within the picture.
                layer.packets.handle_packet(now);
            }
        }
        self.check_at = None;
    }

    /// The encoding has other frames from now on, of another codec: what was known of the source is over.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// The layers that are being sent.
    pub(crate) fn active(&mut self, now: Instant) -> ActiveLayers {
        if self.check_at.is_none_or(|at| at <= now) {
            self.active = self.compute(now);
            self.check_at = Some(now + CHECK_INTERVAL);
        }
        self.active
    }

    fn compute(&self, now: Instant) -> ActiveLayers {
        let mut active = ActiveLayers::default();
        let sent = || (0..).zip(&self.encodings).filter(|(_, encoding)| encoding.packets.is_active(now));
        for (at, encoding) in sent() {
            active.set_top(at, encoding.top(now));
        }
        match (sent().next(), sent().nth(1)) {
            (Some((at, only)), None) => {
                active.only = Some(at);
                for spatial in (0..=only.top(now)).filter(|spatial| only.is_active(*spatial, now)) {
                    active
                        .set_height(at + spatial, only.height(spatial).unwrap_or_else(|| assumed_height(at + spatial)));
                }
            }
            (Some(_), Some(_)) => {
                for (at, encoding) in sent() {
                    let height = encoding.height(encoding.top(now));
                    active.set_height(at, height.unwrap_or_else(|| assumed_height(at)));
                }
            }
            (None, _) => {}
        }
        active
    }
}

impl Encoding {
    /// The highest spatial layer that is sent.
    fn top(&self, now: Instant) -> u8 {
        (0..=MAX_SPATIAL).rev().find(|spatial| self.is_active(*spatial, now)).unwrap_or(0)
    }

    fn is_active(&self, spatial: u8, now: Instant) -> bool {
        let has_one = self.spatial.iter().skip(1).all(|upper| upper.packets.last_packet.is_none());
        if has_one {
            return spatial == 0;
        }
        self.spatial.get(usize::from(spatial)).is_some_and(|layer| layer.packets.is_active(now))
    }

    fn height(&self, spatial: u8) -> Option<u16> {
        self.spatial.get(usize::from(spatial))?.height
    }
}

impl Activity {
    const fn handle_packet(&mut self, now: Instant) {
        self.last_packet = Some(now);
        self.frames_behind = 0;
    }

    const fn handle_other(&mut self) {
        self.frames_behind = self.frames_behind.saturating_add(1);
    }

    fn is_active(&self, now: Instant) -> bool {
        let timeout = if self.frames_behind < MAX_FRAMES_BEHIND { LAYER_TIMEOUT } else { LAYER_PAUSE };
        self.last_packet.is_some_and(|at| now.saturating_duration_since(at) < timeout)
    }
}

fn assumed_height(layer: u8) -> u16 {
    ASSUMED_LOWEST_HEIGHT << layer.min(MAX_SPATIAL)
}

/// The layers of one source that were being sent when one of its packets came, and how tall they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ActiveLayers {
    heights: [Option<NonZeroU16>; MAX_LAYERS],
    /// The only encoding that is sent: its spatial layers are those of the source, from its own place on.
    only: Option<u8>,
    /// The highest spatial layer of each encoding, two bits each.
    tops: u8,
}

/// An encoding, and the highest spatial layer of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BestLayer {
    pub(crate) encoding: u8,
    pub(crate) spatial: u8,
}

impl ActiveLayers {
    /// The tallest active layer within what is wanted; where none is, the lowest active one. `None` while nothing is sent.
    pub(crate) fn best(self, wanted: Wanted) -> Option<BestLayer> {
        let mut best = None;
        for (at, height) in (0..).zip(self.heights) {
            let fits = |height: NonZeroU16| u32::from(height.get()) <= wanted.max_height.0 && at <= wanted.cap.layer;
            if height.is_some_and(|height| best.is_none() || fits(height)) {
                best = Some(at);
            }
        }
        let layer = best?;
        Some(match self.only {
            Some(encoding) => BestLayer { encoding, spatial: layer.saturating_sub(encoding) },
            None => BestLayer { encoding: layer, spatial: self.top(layer) },
        })
    }

    /// Lines of each layer that is sent, the lowest first.
    pub(crate) const fn heights(self) -> [Option<NonZeroU16>; MAX_LAYERS] {
        self.heights
    }

    /// The place of a frame among the layers of the source.
    pub(crate) fn layer_of(self, encoding: u8, spatial: u8) -> usize {
        usize::from(if self.only.is_some() { encoding.saturating_add(spatial).min(MAX_SPATIAL) } else { encoding })
    }

    /// Whether the layers are spatial ones of one encoding, so that higher ones need lower ones.
    pub(crate) const fn are_spatial(self) -> bool {
        self.only.is_some()
    }

    fn has(self, encoding: u8, spatial: u8) -> bool {
        match self.only {
            Some(only) => {
                only == encoding && self.heights.get(self.layer_of(encoding, spatial)).is_some_and(Option::is_some)
            }
            None => {
                self.heights.get(usize::from(encoding)).is_some_and(Option::is_some) && spatial <= self.top(encoding)
            }
        }
    }

    fn set_height(&mut self, layer: u8, height: u16) {
        // Spatial layers of an encoding that is not the lowest may go beyond the last place: the tallest counts.
        if let Some(place) = self.heights.get_mut(usize::from(layer.min(MAX_SPATIAL))) {
            *place = NonZeroU16::new(height).or(Some(NonZeroU16::MIN));
        }
    }

    const fn set_top(&mut self, encoding: u8, spatial: u8) {
        self.tops |= (spatial & 3) << (2 * (encoding & 3));
    }

    /// The highest spatial layer of an encoding.
    pub(crate) const fn top(self, encoding: u8) -> u8 {
        self.tops >> (2 * (encoding & 3)) & 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
    fn start() -> Instant {
        Instant::now()
    }

    fn best(layers: &mut LayerActivity, now: Instant, max_height: u32) -> Option<u8> {
        layers.active(now).best(Wanted::up_to(MaxHeight(max_height))).map(|best| best.encoding)
    }

    #[test]
    fn takes_the_tallest_layer_that_fits_and_is_sent() {
        let now = start();
        let mut layers = LayerActivity::default();
        assert_eq!(best(&mut layers, now, u32::MAX), None);
        for layer in 0..3 {
            layers.handle_packet(layer, 0, true, now);
        }
        assert_eq!(best(&mut layers, now, u32::MAX), Some(2));
        assert_eq!(best(&mut layers, now, 400), Some(1));
        assert_eq!(best(&mut layers, now, 90), Some(0));
        let later = now + LAYER_TIMEOUT;
        layers.handle_packet(1, 0, true, later);
        assert_eq!(best(&mut layers, later, u32::MAX), Some(1));
    }

    #[test]
    fn takes_no_layer_above_the_cap() {
        let now = start();
        let mut layers = LayerActivity::default();
        (0..3).for_each(|layer| layers.handle_packet(layer, 0, true, now));
        let capped = |layers: &mut LayerActivity, layer| {
            let cap = LayerCap { layer, ..LayerCap::UNLIMITED };
            layers.active(now).best(Wanted { max_height: MaxHeight::UNLIMITED, cap }).map(|best| best.encoding)
        };
        let chosen: Vec<_> = (0..4).map(|layer| capped(&mut layers, layer)).collect();
        assert_eq!(chosen, [Some(0), Some(1), Some(2), Some(2)]);
    }

    #[test]
    fn a_layer_that_falls_behind_the_others_is_off_sooner() {
        let start = start();
        let mut layers = LayerActivity::default();
        layers.handle_packet(0, 0, true, start);
        layers.handle_packet(2, 0, true, start);
        for frame in 1..=14 {
            layers.handle_packet(0, 0, true, start + Duration::from_millis(100) * frame);
        }
        let at = start + Duration::from_millis(1400);
        assert_eq!(best(&mut layers, at, u32::MAX), Some(2), "a frame is late");
        layers.handle_packet(0, 0, true, at);
        let at = at + CHECK_INTERVAL;
        assert_eq!(best(&mut layers, at, u32::MAX), Some(0));
        layers.handle_packet(2, 0, false, at);
        assert_eq!(best(&mut layers, at, u32::MAX), Some(2));
    }

    #[test]
    fn key_frames_tell_heights() {
        let now = start();
        let mut layers = LayerActivity::default();
        for (layer, height) in [(0, 270), (1, 540)] {
            layers.handle_packet(layer, 0, true, now);
            layers.set_height(layer, 0, height);
        }
        assert_eq!(best(&mut layers, now, 360), Some(0));
        assert_eq!(best(&mut layers, now, 540), Some(1));
    }

    #[test]
    fn spatial_layers_of_the_only_encoding_are_those_of_the_source() {
        let now = start();
        let mut layers = LayerActivity::default();
        layers.set_spatial_layers(0, 3, now);
        for (spatial, height) in [(0, 180), (1, 360), (2, 720)] {
            layers.set_height(0, spatial, height);
        }
        layers.handle_packet(0, 0, false, now);
        let best = |layers: &mut LayerActivity, now, height| {
            layers.active(now).best(Wanted::up_to(MaxHeight(height))).map(|best| (best.encoding, best.spatial))
        };
        let heights = [100, 180, 500, 720];
        assert_eq!(heights.map(|height| best(&mut layers, now, height).unwrap()), [(0, 0), (0, 0), (0, 1), (0, 2)]);
        layers.set_spatial_layers(0, 2, now);
        assert_eq!(best(&mut layers, now, 720), Some((0, 1)), "the structure has fewer");
        // Another encoding comes: the first goes out whole.
        layers.handle_packet(1, 0, false, now);
        layers.set_height(1, 0, 720);
        assert_eq!(best(&mut layers, now, 500), Some((0, 1)));
        assert_eq!(best(&mut layers, now, 720), Some((1, 0)));
    }

    #[test]
    fn a_spatial_layer_that_stops_is_no_choice() {
        let start = start();
        let mut layers = LayerActivity::default();
        let tick = Duration::from_millis(40);
        for frame in 0..40 {
            let now = start + tick * frame;
            layers.handle_packet(0, 0, false, now);
            layers.handle_packet(0, 1, frame >= 10, now);
            if frame < 10 {
                layers.handle_packet(0, 2, true, now);
            }
        }
        let at = start + tick * 40;
        assert_eq!(layers.active(at).best(Wanted::up_to(MaxHeight::UNLIMITED)).map(|best| best.spatial), Some(1));
    }
}
