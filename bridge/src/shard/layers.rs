//! Which simulcast layer of a source fulfils a height.
//!
//! Here: what is known of a source's layers from their packets, and the choice. Not here: when a switch takes place
//! (`streams::SequenceRewriter`), how much bandwidth there is.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use crate::constraints::MaxHeight;
use crate::negotiated::MAX_LAYERS;

/// A layer without a packet for this long was switched off by its sender. A screen share of 1 frame a second is not.
const LAYER_TIMEOUT: Duration = Duration::from_secs(2);
/// So was one that is silent for this long, while the other layers had as many frames as a receiver should not miss.
const LAYER_PAUSE: Duration = Duration::from_millis(500);
const MAX_FRAMES_BEHIND: u32 = 15;
/// Height of the lowest layer while its key frames have not told it; each layer has twice the lines of the one below.
const ASSUMED_LOWEST_HEIGHT: u16 = 180;

/// The layers of one source, as its packets show them.
#[derive(Debug, Default)]
pub(crate) struct LayerActivity {
    layers: [Layer; MAX_LAYERS],
}

#[derive(Debug, Default)]
struct Layer {
    last_packet: Option<Instant>,
    /// Frames of the other layers since then.
    frames_behind: u32,
    height: Option<u16>,
}

impl LayerActivity {
    /// Notes a packet of a layer, perhaps the last of a frame.
    pub(crate) fn handle_packet(&mut self, layer: usize, is_last_of_frame: bool, now: Instant) {
        for (at, state) in self.layers.iter_mut().enumerate() {
            if at == layer {
                state.last_packet = Some(now);
                state.frames_behind = 0;
            } else if is_last_of_frame {
                state.frames_behind = state.frames_behind.saturating_add(1);
            }
        }
    }

    /// Notes the height that a key frame tells.
    pub(crate) fn set_height(&mut self, layer: usize, height: u16) {
        if let Some(layer) = self.layers.get_mut(layer) {
            layer.height = Some(height);
        }
    }

    /// The layers that are being sent.
    pub(crate) fn active(&self, now: Instant) -> ActiveLayers {
        let mut active = ActiveLayers::default();
        for (at, (layer, height)) in self.layers.iter().zip(&mut active.heights).enumerate() {
            if layer.is_active(now) {
                *height =
                    NonZeroU16::new(layer.height.unwrap_or(ASSUMED_LOWEST_HEIGHT << at)).or(Some(NonZeroU16::MIN));
            }
        }
        active
    }
}

impl Layer {
    fn is_active(&self, now: Instant) -> bool {
        let timeout = if self.frames_behind < MAX_FRAMES_BEHIND { LAYER_TIMEOUT } else { LAYER_PAUSE };
        self.last_packet.is_some_and(|at| now.saturating_duration_since(at) < timeout)
    }
}

/// The layers of one source that were being sent when one of its packets came, and how tall they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ActiveLayers {
    heights: [Option<NonZeroU16>; MAX_LAYERS],
}

impl ActiveLayers {
    /// The tallest active layer of at most `max_height`; where all are taller, the lowest active one. `None` while
    /// nothing is sent.
    pub(crate) fn best(self, max_height: MaxHeight) -> Option<usize> {
        let mut best = None;
        for (at, height) in self.heights.iter().enumerate() {
            if height.is_some_and(|height| best.is_none() || u32::from(height.get()) <= max_height.0) {
                best = Some(at);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn takes_the_tallest_layer_that_fits_and_is_sent() {
        let now = start();
        let mut layers = LayerActivity::default();
        assert_eq!(layers.active(now).best(MaxHeight::UNLIMITED), None);
        for layer in 0..3 {
            layers.handle_packet(layer, true, now);
        }
        assert_eq!(layers.active(now).best(MaxHeight::UNLIMITED), Some(2));
        assert_eq!(layers.active(now).best(MaxHeight(400)), Some(1));
        assert_eq!(layers.active(now).best(MaxHeight(90)), Some(0));
        let later = now + LAYER_TIMEOUT;
        layers.handle_packet(1, true, later);
        assert_eq!(layers.active(later).best(MaxHeight::UNLIMITED), Some(1));
    }

    #[test]
    fn a_layer_that_falls_behind_the_others_is_off_sooner() {
        let start = start();
        let mut layers = LayerActivity::default();
        layers.handle_packet(0, true, start);
        layers.handle_packet(2, true, start);
        for frame in 1..=14 {
            layers.handle_packet(0, true, start + Duration::from_millis(100) * frame);
        }
        let at = start + Duration::from_millis(1400);
        assert_eq!(layers.active(at).best(MaxHeight::UNLIMITED), Some(2), "a frame is late");
        layers.handle_packet(0, true, at);
        assert_eq!(layers.active(at).best(MaxHeight::UNLIMITED), Some(0));
        layers.handle_packet(2, false, at);
        assert_eq!(layers.active(at).best(MaxHeight::UNLIMITED), Some(2));
    }

    #[test]
    fn key_frames_tell_heights() {
        let now = start();
        let mut layers = LayerActivity::default();
        for (layer, height) in [(0, 270), (1, 540)] {
            layers.handle_packet(layer, true, now);
            layers.set_height(layer, height);
        }
        assert_eq!(layers.active(now).best(MaxHeight(360)), Some(0));
        assert_eq!(layers.active(now).best(MaxHeight(540)), Some(1));
    }
}
