//! Which layers of a source come into question for a receiver, worst first.
//!
//! Here: the rules for cameras and for screens (JVB's `SingleSourceAllocation`, bridge.md §4.2 item 4). Not here: how the
//! bandwidth is divided among sources (`division`), when a stream switches (`shard`).

use model::{Bitrate, VideoType};

use crate::constraints::MaxHeight;

/// Up to this height a receiver wants whatever moves; above it fluency comes before lines (JVB's
/// `onstage-preferred-height-px` and `onstage-preferred-framerate`).
const PREFERRED_HEIGHT: u32 = 360;
const PREFERRED_FRAME_RATE: f32 = 30.0;
/// Who asks for no more than this shows a thumbnail, for which nothing is preferred.
const THUMBNAIL_HEIGHT: u32 = 180;

/// A layer that a source offers: with all that it depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct OfferedLayer {
    pub(crate) height: u32,
    /// Frames a second; `None`: not known.
    pub(crate) frame_rate: Option<f32>,
    /// What it takes, as measured; zero while it is not sent.
    pub(crate) bitrate: Bitrate,
}

/// Whether the receiver shows the source large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    OnStage,
    Elsewhere,
}

/// The layers in question, by their places in the source's list.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Candidates {
    pub(crate) layers: Vec<Candidate>,
    /// Up to which of `layers` a source on stage is served before all others are.
    pub(crate) preferred: Option<usize>,
    /// Up to which of `layers` more may be sent than there is bandwidth for.
    pub(crate) oversend: Option<usize>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// Place in the source's list.
    pub(crate) layer: usize,
    pub(crate) bitrate: Bitrate,
}

impl Candidates {
    /// Those of a source of this type, of which at most `max_height` lines are wanted. `offered` are its layers, lowest
    /// first.
    pub(crate) fn of(video_type: VideoType, offered: &[OfferedLayer], max_height: MaxHeight, place: Place) -> Self {
        if max_height == MaxHeight::NOTHING {
            return Self::default();
        }
        match video_type {
            VideoType::Camera => Self::of_camera(offered, max_height),
            VideoType::Desktop | VideoType::DesktopHighFps => Self::of_screen(offered, max_height, place),
            VideoType::Disabled | VideoType::None => Self::default(),
        }
    }

    /// All heights up to the preferred one, then only those with the full frame rate.
    fn of_camera(offered: &[OfferedLayer], max_height: MaxHeight) -> Self {
        let Some(lowest) = offered.iter().map(|layer| layer.height).min() else { return Self::default() };
        let (preferred_height, preferred_rate) = match max_height.0 {
            ..=THUMBNAIL_HEIGHT => (0, 0.0),
            _ => (PREFERRED_HEIGHT, PREFERRED_FRAME_RATE),
        };
        let best_rate = offered.iter().filter_map(|layer| layer.frame_rate).fold(0.0, f32::max);
        let enough = if best_rate > 0.0 { preferred_rate.min(best_rate) } else { preferred_rate };
        let comes_into_question = |layer: &OfferedLayer| {
            let is_fluent = layer.frame_rate.is_none_or(|rate| rate >= enough);
            layer.height <= max_height.0 && (layer.height < preferred_height || is_fluent) || layer.height == lowest
        };
        let layers = sent_or_all(offered, comes_into_question);
        let served_first = preferred_height.max(lowest);
        let height = |candidate: &Candidate| offered.get(candidate.layer).map_or(u32::MAX, |layer| layer.height);
        let preferred = layers.iter().rposition(|candidate| height(candidate) <= served_first);
        Self { layers, preferred, oversend: None }
    }

    /// Lines come before fluency. On stage the highest comes before all other sources, if need be at its lowest rate and
    /// beyond the bandwidth.
    fn of_screen(offered: &[OfferedLayer], max_height: MaxHeight, place: Place) -> Self {
        let height = |candidate: &Candidate| offered.get(candidate.layer).map_or(0, |layer| layer.height);
        let mut layers = sent_or_all(offered, |_| true);
        if layers.iter().any(|candidate| height(candidate) <= max_height.0) {
            layers.retain(|candidate| height(candidate) <= max_height.0);
        } else {
            let lowest = layers.iter().map(height).min();
            layers.retain(|candidate| Some(height(candidate)) == lowest);
            // As screens come in VP9: some encodings of one height whose rate nobody tells. A thumbnail needs the first.
            let rate = layers.first().and_then(|candidate| offered.get(candidate.layer)?.frame_rate);
            if place == Place::Elsewhere && rate.is_none() {
                layers.truncate(1);
            }
        }
        let tallest = layers.iter().map(height).max();
        let oversend = match place {
            Place::OnStage => {
                let tallest = layers.iter().enumerate().filter(|(_, candidate)| Some(height(candidate)) == tallest);
                tallest.min_by_key(|(_, candidate)| candidate.bitrate).map(|(at, _)| at)
            }
            Place::Elsewhere => None,
        };
        Self { preferred: layers.len().checked_sub(1), layers, oversend }
    }
}

/// The layers that `comes_into_question` and that are sent; all such where none of the source's is, so that a new source can
/// begin.
fn sent_or_all(offered: &[OfferedLayer], comes_into_question: impl Fn(&OfferedLayer) -> bool) -> Vec<Candidate> {
    let is_sent = |layer: &OfferedLayer| layer.bitrate > Bitrate::ZERO;
    let is_any_sent = offered.iter().any(is_sent);
    let layers = offered.iter().enumerate().filter(|(_, layer)| !is_any_sent || is_sent(layer));
    layers
        .filter(|(_, layer)| comes_into_question(layer))
        .map(|(at, layer)| Candidate { layer: at, bitrate: layer.bitrate })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: MaxHeight = MaxHeight::UNLIMITED;

    /// Three sizes with three frame rates each, as in jitsi-videobridge's `SingleSourceAllocationTest`; `sent` tells which.
    fn offered(sent: impl Fn(usize) -> bool) -> Vec<OfferedLayer> {
        let layer = |at: usize| OfferedLayer {
            height: 180 << (at / 3),
            frame_rate: Some([7.5, 15.0, 30.0][at % 3]),
            bitrate: Bitrate::from_bps(if sent(at) { 50_000 * (at as u64 + 1) } else { 0 }),
        };
        (0..9).map(layer).collect()
    }

    /// The places of candidates, of the preferred one, and of that up to which more is sent.
    fn of(
        video_type: VideoType,
        offered: &[OfferedLayer],
        max_height: MaxHeight,
        place: Place,
    ) -> (Vec<usize>, Option<usize>, Option<usize>) {
        let candidates = Candidates::of(video_type, offered, max_height, place);
        let layers: Vec<_> = candidates.layers.iter().map(|candidate| candidate.layer).collect();
        let named = |at: Option<usize>| at.map(|at| layers[at]);
        let (preferred, oversend) = (named(candidates.preferred), named(candidates.oversend));
        (layers, preferred, oversend)
    }

    /// `SingleSourceAllocationTest`, "Camera".
    #[test]
    fn cameras_are_fluent_above_360_lines() {
        let camera = |offered: &[OfferedLayer], height| of(VideoType::Camera, offered, height, Place::Elsewhere);
        let all = offered(|_| true);
        assert_eq!(camera(&all, MaxHeight(720)), (vec![0, 1, 2, 5, 8], Some(5), None));
        assert_eq!(camera(&all, ANY), (vec![0, 1, 2, 5, 8], Some(5), None));
        assert_eq!(camera(&all, MaxHeight(360)), (vec![0, 1, 2, 5], Some(5), None));
        assert_eq!(camera(&all, MaxHeight(180)), (vec![0, 1, 2], Some(2), None));
        assert_eq!(camera(&all, MaxHeight(0)), (vec![], None, None));
        // Without simulcast more comes than was asked for.
        assert_eq!(camera(&all[6..], MaxHeight(360)), (vec![0, 1, 2], Some(2), None));
        // Only up to 360 lines at 15 frames is sent.
        assert_eq!(camera(&offered(|at| at < 5), MaxHeight(720)), (vec![0, 1, 2], Some(2), None));
        // Nothing is sent yet.
        assert_eq!(camera(&offered(|_| false), MaxHeight(720)), (vec![0, 1, 2, 5, 8], Some(5), None));
        // A source of fewer frames has its own best for fluent, and one that nobody knows the rate of is.
        let slow: Vec<_> = all.iter().map(|layer| OfferedLayer { frame_rate: Some(5.0), ..*layer }).collect();
        assert_eq!(camera(&slow, MaxHeight(720)).0.len(), 9);
        let unknown: Vec<_> = all.iter().map(|layer| OfferedLayer { frame_rate: None, ..*layer }).collect();
        assert_eq!(camera(&unknown, MaxHeight(720)).0.len(), 9);
        assert_eq!(camera(&[], ANY), (vec![], None, None));
    }

    /// `SingleSourceAllocationTest`, "Screensharing".
    #[test]
    fn screens_are_sharp() {
        let screen = |offered: &[OfferedLayer], height| of(VideoType::Desktop, offered, height, Place::OnStage);
        assert_eq!(screen(&offered(|_| true), MaxHeight(720)), ((0..9).collect(), Some(8), Some(6)));
        assert_eq!(screen(&offered(|_| true), MaxHeight(360)), ((0..6).collect(), Some(5), Some(3)));
        assert_eq!(screen(&offered(|at| at < 6), MaxHeight(720)), ((0..6).collect(), Some(5), Some(3)));
        assert_eq!(screen(&offered(|at| at > 5), MaxHeight(720)), ((6..9).collect(), Some(8), Some(6)));
        assert_eq!(screen(&offered(|at| at > 5), MaxHeight(180)), ((6..9).collect(), Some(8), Some(6)));
    }

    /// `SingleSourceAllocationTest`, "VP9": three qualities of one height.
    #[test]
    fn a_thumbnail_of_a_screen_in_vp9_is_its_first_quality() {
        let layer = |kbps: u64| OfferedLayer { height: 720, frame_rate: None, bitrate: Bitrate::from_bps(kbps * 1000) };
        let layers = [layer(150), layer(370), layer(750)];
        let screen = |height, place| of(VideoType::Desktop, &layers, MaxHeight(height), place);
        assert_eq!(screen(720, Place::OnStage), (vec![0, 1, 2], Some(2), Some(0)));
        assert_eq!(screen(180, Place::OnStage), (vec![0, 1, 2], Some(2), Some(0)));
        assert_eq!(screen(180, Place::Elsewhere), (vec![0], Some(0), None));
    }
}
