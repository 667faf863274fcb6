//! Sizes of synthetic frames: those of a real call.

use model::Bitrate;
use rand::Rng;
use rand::rngs::SmallRng;

use super::Height;
use super::rhythm::size_percent;

/// Bytes of an Opus packet at 24 to 50 kbit/s.
const SPEECH_BYTES: std::ops::RangeInclusive<usize> = 60..=130;
/// Without DTX, which Jitsi's clients leave off, silence is sent too.
const SILENCE_BYTES: std::ops::RangeInclusive<usize> = 24..=40;
/// A key frame is several times as large as the frames between.
const KEY_FRAME_FACTOR: usize = 5;
/// How far a frame's size lies from the mean, in percent of it.
const SPREAD_PERCENT: std::ops::RangeInclusive<usize> = 60..=140;

/// Bytes of the next Opus packet.
pub(super) fn audio_bytes(is_speech: bool, random: &mut SmallRng) -> usize {
    random.random_range(if is_speech { SPEECH_BYTES } else { SILENCE_BYTES })
}

/// What a stock client gives an encoding of a camera.
pub(super) const fn bitrate_of(height: Height) -> Bitrate {
    Bitrate::from_bps(match height {
        Height::H180 => 200_000,
        Height::H360 => 500_000,
        Height::H720 => 1_500_000,
    })
}

/// How large the frames of an encoding are.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameSizes {
    pub(super) mean_bytes: usize,
    pub(super) temporal_layers: usize,
}

impl FrameSizes {
    /// Bytes of the next frame.
    pub(super) fn next(&self, temporal: u8, is_key: bool, random: &mut SmallRng) -> usize {
        let percent = if is_key { KEY_FRAME_FACTOR * 100 } else { size_percent(temporal, self.temporal_layers) };
        (self.mean_bytes * percent / 100 * random.random_range(SPREAD_PERCENT) / 100).max(1)
    }
}
