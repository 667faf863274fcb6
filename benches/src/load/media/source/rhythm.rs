//! Temporal layers in the order in which stock clients send them.

/// One frame of a pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Beat {
    pub(super) temporal: u8,
    /// The frame refers to the base layer only. Only VP8 tells it.
    pub(super) is_layer_sync: bool,
}

const fn beat(temporal: u8, is_layer_sync: bool) -> Beat {
    Beat { temporal, is_layer_sync }
}

/// Three temporal layers as libwebrtc's VP8 encoder sends them: eight frames, of which the second and third may be moved up
/// at.
pub(super) const L1T3_VP8: [Beat; 8] = [
    beat(0, false),
    beat(2, true),
    beat(1, true),
    beat(2, false),
    beat(0, false),
    beat(2, false),
    beat(1, false),
    beat(2, false),
];

/// Three temporal layers of a VP8 clip: each frame refers to one other (ffmpeg, `ts_layering_mode=3`), and only the last to
/// one above the base layer.
pub(super) const CLIP_VP8: [Beat; 4] = [beat(0, false), beat(2, true), beat(1, true), beat(2, false)];

/// Three temporal layers of VP9 and AV1.
pub(super) const L1T3: [Beat; 4] = [beat(0, false), beat(2, false), beat(1, false), beat(2, false)];

/// One temporal layer.
pub(super) const L1T1: [Beat; 1] = [beat(0, false)];

/// How many temporal layers a pattern has.
pub(super) fn temporal_layers(pattern: &[Beat]) -> usize {
    pattern.iter().map(|beat| usize::from(beat.temporal) + 1).max().unwrap_or(1)
}

/// Size of a frame of a temporal layer by the mean of all, in percent: what lies further from its reference is larger.
pub(super) const fn size_percent(temporal: u8, layers: usize) -> usize {
    match (layers, temporal) {
        (1, _) => 100,
        (_, 0) => 160,
        (_, 1) => 100,
        (_, _) => 70,
    }
}
