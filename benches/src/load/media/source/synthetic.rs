//! Sizes of synthetic frames: those of a real call.

use rand::Rng;
use rand::rngs::SmallRng;

use super::Height;
use super::rhythm::size_percent;

/// Bytes of an Opus packet at 24 to 50 kbit/s.
const SPEECH_BYTES: std::ops::RangeInclusive<usize> = 60..=130;
/// Without DTX, which Jitsi's clients leave off, silence is sent too.
const SILENCE_BYTES: std::ops::RangeInclusive<usize> = 30..=40;
/// How far a frame's size lies from the mean, in percent of it.
const SPREAD_PERCENT: std::ops::RangeInclusive<usize> = 60..=140;
/// Of a hundred frames of a screen so many show something new, as if a page was turned.
const PAGES_OF_100: u32 = 4;

/// Bytes of the next Opus packet.
pub(super) fn audio_bytes(is_speech: bool, random: &mut SmallRng) -> usize {
    random.random_range(if is_speech { SPEECH_BYTES } else { SILENCE_BYTES })
}

/// How large the frames of a layer are.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameSizes {
    mean_bytes: usize,
    temporal_layers: usize,
    key_frame_bytes: usize,
    pages_of_100: u32,
}

impl FrameSizes {
    /// At the bit rate that stock clients give such a picture. A key frame is five times as large as others.
    pub(super) const fn camera(height: Height, temporal_layers: usize) -> Self {
        let bps = match height {
            Height::H180 => 200_000,
            Height::H360 => 500_000,
            Height::H720 => 1_500_000,
        };
        let mean_bytes = bps / 8 / 30;
        Self { mean_bytes, temporal_layers, key_frame_bytes: 5 * mean_bytes, pages_of_100: 0 }
    }

    /// Text that mostly stands: small frames, and large ones where a page is turned.
    pub(super) const fn screen(temporal_layers: usize) -> Self {
        Self { mean_bytes: 8_000, temporal_layers, key_frame_bytes: 110_000, pages_of_100: PAGES_OF_100 }
    }

    /// Bytes of the next frame.
    pub(super) fn next(&self, temporal: u8, is_key: bool, random: &mut SmallRng) -> usize {
        let is_page = self.pages_of_100 > 0 && random.random_range(0..100) < self.pages_of_100;
        let bytes = match is_key || is_page {
            true => self.key_frame_bytes,
            false => self.mean_bytes * size_percent(temporal, self.temporal_layers) / 100,
        };
        (bytes * random.random_range(SPREAD_PERCENT) / 100).max(1)
    }
}
