//! Which encodings a source has, as stock clients choose them.

use std::sync::Arc;

use super::encoding::{EncodingPlan, SpatialLayer};
use super::rhythm::{Beat, CLIP_VP8, L1T1, L1T3, L1T3_VP8, temporal_layers};
use super::{Content, Height, Layering, SourceKind, SourceSettings};
use crate::load::media::{Codec, VideoCodec};

/// The encodings of a source, the smallest first.
pub(super) fn encodings_of(settings: &SourceSettings) -> Vec<EncodingPlan> {
    match settings.kind {
        SourceKind::Microphone => vec![EncodingPlan {
            codec: Codec::Opus,
            layers: Vec::new(),
            rhythm: &L1T1,
            clip: clip_of(settings, Codec::Opus, 0),
        }],
        SourceKind::Camera { codec: codec @ (VideoCodec::Vp9 | VideoCodec::Av1), height, layering: Layering::Svc } => {
            let layers =
                heights_to(height).map(|height| SpatialLayer::camera(height, temporal_layers(&L1T3))).collect();
            vec![EncodingPlan { codec: Codec::Video(codec), layers, rhythm: &L1T3, clip: None }]
        }
        SourceKind::Camera { codec, height, layering: Layering::Svc | Layering::Simulcast } => {
            heights_to(height).map(|height| simulcast(settings, codec, height)).collect()
        }
        SourceKind::Screen { codec } => {
            let rhythm = match codec {
                VideoCodec::Vp9 | VideoCodec::Av1 => L1T3.as_slice(),
                VideoCodec::Vp8 | VideoCodec::H264 => &L1T1,
            };
            let layers = vec![SpatialLayer::screen(temporal_layers(rhythm))];
            vec![EncodingPlan { codec: Codec::Video(codec), layers, rhythm, clip: None }]
        }
    }
}

fn heights_to(height: Height) -> impl Iterator<Item = Height> {
    Height::ALL.into_iter().filter(move |smaller| *smaller <= height)
}

fn simulcast(settings: &SourceSettings, codec: VideoCodec, height: Height) -> EncodingPlan {
    let clip = clip_of(settings, Codec::Video(codec), height.lines());
    let rhythm: &[Beat] = match (codec, clip.is_some()) {
        (VideoCodec::Vp8, true) => &CLIP_VP8,
        (VideoCodec::Vp8, false) => &L1T3_VP8,
        (VideoCodec::Vp9 | VideoCodec::Av1, false) => &L1T3,
        (VideoCodec::Vp9 | VideoCodec::Av1, true) | (VideoCodec::H264, _) => &L1T1,
    };
    let layers = vec![SpatialLayer::camera(height, temporal_layers(rhythm))];
    EncodingPlan { codec: Codec::Video(codec), layers, rhythm, clip }
}

fn clip_of(settings: &SourceSettings, codec: Codec, lines: u16) -> Option<Arc<crate::load::media::clip::Clip>> {
    match settings.content {
        Content::Clip => settings.library.clip(codec, lines).map(Arc::clone),
        Content::Synthetic => None,
    }
}
