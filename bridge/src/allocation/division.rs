//! How the bandwidth of one receiver is divided among the sources that it wants to see.
//!
//! In rounds, the most important source first, each takes the next of its layers that fits (JVB's `BandwidthAllocator`,
//! bridge.md §4.2 item 5). Not here: which layers come into question (`candidates`), what is important (`constraints`).

use model::Bitrate;

use super::candidates::{Candidates, Place};

/// A screen on stage may take this much beyond the bandwidth (JVB's `max-oversend-bitrate`): text that comes late is better
/// than text that cannot be read.
const MAX_OVERSEND: Bitrate = Bitrate::from_bps(500_000);

/// What a source can have.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) candidates: Candidates,
    pub(crate) place: Place,
}

/// What each gets, in the order of the claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Division {
    /// Places in the sources' lists of layers; `None`: nothing fits.
    pub(crate) layers: Vec<Option<usize>>,
    /// What all that takes.
    pub(crate) total: Bitrate,
    /// What the best of everybody would take.
    pub(crate) ideal: Bitrate,
    /// More is sent than there is bandwidth for.
    pub(crate) is_oversent: bool,
    /// Somebody gets nothing of what there is.
    pub(crate) is_starved: bool,
}

/// A claim while it is served.
struct Share<'a> {
    claim: &'a Claim,
    /// Place among its candidates.
    target: Option<usize>,
}

/// Divides `bandwidth` among the claims, the most important first.
pub(crate) fn divide(claims: &[Claim], bandwidth: Bitrate) -> Division {
    let mut shares: Vec<Share<'_>> = claims.iter().map(|claim| Share { claim, target: None }).collect();
    // Below zero where more is sent than there is bandwidth for.
    let mut left = i128::from(bandwidth.bps());
    loop {
        let before = left;
        for (at, share) in shares.iter_mut().enumerate() {
            left -= share.improve(left, at == 0);
            if share.holds_others_back() {
                break;
            }
        }
        if left == before {
            break;
        }
    }
    let sum = |bitrates: &mut dyn Iterator<Item = Bitrate>| Bitrate::from_bps(bitrates.map(Bitrate::bps).sum());
    Division {
        layers: shares.iter().map(Share::layer).collect(),
        total: sum(&mut shares.iter().map(Share::bitrate)),
        ideal: sum(&mut shares.iter().filter_map(|share| Some(share.claim.candidates.layers.last()?.bitrate))),
        is_oversent: left < 0,
        is_starved: shares.iter().any(|share| share.target.is_none() && !share.claim.candidates.layers.is_empty()),
    }
}

impl Share<'_> {
    fn layer(&self) -> Option<usize> {
        Some(self.claim.candidates.layers.get(self.target?)?.layer)
    }

    fn bitrate(&self) -> Bitrate {
        self.bitrate_of(self.target)
    }

    fn bitrate_of(&self, target: Option<usize>) -> Bitrate {
        let candidate = target.and_then(|target| self.claim.candidates.layers.get(target));
        candidate.map_or(Bitrate::ZERO, |candidate| candidate.bitrate)
    }

    /// A source on stage comes up to its preferred layer before others get anything; but where not even its first one fits,
    /// they are not left without for its sake.
    fn holds_others_back(&self) -> bool {
        self.claim.place == Place::OnStage && self.target.is_some() && self.target < self.claim.candidates.preferred
    }

    /// Takes a better layer, if one fits into what is `left` beyond its present one. Answers what more that takes.
    fn improve(&mut self, left: i128, is_first: bool) -> i128 {
        let Candidates { layers, preferred, oversend } = &self.claim.candidates;
        let held = i128::from(self.bitrate().bps());
        let most = left + held;
        let bitrate = |at: usize| layers.get(at).map(|candidate| i128::from(candidate.bitrate.bps()));
        match (self.target, *preferred) {
            (None, Some(preferred)) if self.claim.place == Place::OnStage => {
                let fitting = (0..=preferred).take_while(|at| bitrate(*at).is_some_and(|bitrate| bitrate <= most));
                self.target = fitting.last();
            }
            (target, _) => {
                let next = target.map_or(0, |target| target + 1);
                if bitrate(next).is_some_and(|bitrate| bitrate < most) {
                    self.target = Some(next);
                }
            }
        }
        // A better one that takes no more.
        if let Some(target) = self.target {
            let now = bitrate(target);
            self.target = (target..layers.len()).rfind(|at| bitrate(*at) <= now);
        }
        if let (true, Some(oversend)) = (is_first, *oversend) {
            let limit = most + i128::from(MAX_OVERSEND.bps());
            let from = self.target.map_or(0, |target| target + 1);
            let lowest = (from..=oversend).find(|at| bitrate(*at).is_some_and(|bitrate| bitrate <= limit));
            self.target = lowest.or(self.target);
        }
        i128::from(self.bitrate().bps()) - held
    }
}

#[cfg(test)]
mod tests {
    use model::VideoType;

    use super::super::candidates::OfferedLayer;
    use super::*;
    use crate::constraints::MaxHeight;

    /// A camera in three sizes with three frame rates each, as in jitsi-videobridge's `BitrateControllerTest`.
    const NAMES: [&str; 9] = ["ld7", "ld15", "ld30", "sd7", "sd15", "sd30", "hd7", "hd15", "hd30"];

    fn offered() -> Vec<OfferedLayer> {
        let sizes = [(180, 150_000), (360, 500_000), (720, 2_000_000)];
        let rates = [(7.5, 33), (15.0, 66), (30.0, 100)];
        sizes
            .iter()
            .flat_map(|(height, bps)| {
                rates.map(|(rate, percent)| OfferedLayer {
                    height: *height,
                    frame_rate: Some(rate),
                    bitrate: Bitrate::from_bps(bps * percent / 100),
                })
            })
            .collect()
    }

    fn claim(video_type: VideoType, max_height: u32, place: Place) -> Claim {
        Claim { candidates: Candidates::of(video_type, &offered(), MaxHeight(max_height), place), place }
    }

    /// Lets the bandwidth rise from 0 to 5 Mbit/s, and answers from which on, in kbit/s, who gets what: `!` where more is
    /// sent than there is bandwidth for.
    fn rise(claims: &[Claim]) -> Vec<(u64, String)> {
        let mut changes: Vec<(u64, String)> = Vec::new();
        for kbps in (0..5000).step_by(10) {
            let division = divide(claims, Bitrate::from_bps(kbps * 1000));
            let names: Vec<_> = division.layers.iter().map(|layer| layer.map_or("-", |layer| NAMES[layer])).collect();
            let all = names.join(" ") + if division.is_oversent { "!" } else { "" };
            if changes.last().is_none_or(|(_, last)| *last != all) {
                changes.push((kbps, all));
            }
        }
        changes
    }

    fn assert_rise(claims: &[Claim], expected: &str) {
        let lines = expected.lines().map(str::trim).filter(|line| !line.is_empty());
        let expected: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
        let expected: Vec<_> = expected.iter().map(|(kbps, all)| (kbps.parse().unwrap(), (*all).to_owned())).collect();
        assert_eq!(rise(claims), expected);
    }

    fn with_stage(video_type: VideoType) -> Vec<Claim> {
        let thumbnail = || claim(VideoType::Camera, 180, Place::Elsewhere);
        vec![claim(video_type, 720, Place::OnStage), thumbnail(), thumbnail(), thumbnail()]
    }

    fn tiles(max_height: u32) -> Vec<Claim> {
        vec![claim(VideoType::Camera, max_height, Place::Elsewhere); 4]
    }

    /// `BitrateControllerTest.verifyStageViewCamera`.
    #[test]
    fn a_camera_on_stage_is_served_first_up_to_360_lines() {
        assert_rise(
            &with_stage(VideoType::Camera),
            "0: - - - -
            50: ld7 - - -
            100: ld15 - - -
            150: ld30 - - -
            500: sd30 - - -
            550: sd30 ld7 - -
            600: sd30 ld7 ld7 -
            650: sd30 ld7 ld7 ld7
            700: sd30 ld15 ld7 ld7
            750: sd30 ld15 ld15 ld7
            800: sd30 ld15 ld15 ld15
            850: sd30 ld30 ld15 ld15
            900: sd30 ld30 ld30 ld15
            960: sd30 ld30 ld30 ld30
            2150: hd30 ld7 ld7 ld7
            2200: hd30 ld15 ld7 ld7
            2250: hd30 ld15 ld15 ld7
            2300: hd30 ld15 ld15 ld15
            2350: hd30 ld30 ld15 ld15
            2400: hd30 ld30 ld30 ld15
            2460: hd30 ld30 ld30 ld30",
        );
    }

    /// `BitrateControllerTest.verifyStageViewScreensharing`.
    #[test]
    fn a_screen_on_stage_is_served_first_up_to_its_best_and_beyond_the_bandwidth() {
        assert_rise(
            &with_stage(VideoType::Desktop),
            "0: sd30 - - -!
            160: hd7 - - -!
            660: hd7 - - -
            1320: hd15 - - -
            2000: hd30 - - -
            2050: hd30 ld7 - -
            2100: hd30 ld7 ld7 -
            2150: hd30 ld7 ld7 ld7
            2200: hd30 ld15 ld7 ld7
            2250: hd30 ld15 ld15 ld7
            2300: hd30 ld15 ld15 ld15
            2350: hd30 ld30 ld15 ld15
            2400: hd30 ld30 ld30 ld15
            2460: hd30 ld30 ld30 ld30",
        );
    }

    /// `BitrateControllerTest.verifyStageViewLastN1`, `verifyTileViewLastN1`.
    #[test]
    fn one_source_takes_what_fits() {
        let claims = |max_height, place| [claim(VideoType::Camera, max_height, place)];
        assert_rise(&claims(720, Place::OnStage), "0: -\n50: ld7\n100: ld15\n150: ld30\n500: sd30\n2010: hd30");
        assert_rise(&claims(180, Place::Elsewhere), "0: -\n50: ld7\n100: ld15\n160: ld30");
        assert_rise(&claims(360, Place::Elsewhere), "0: -\n50: ld7\n100: ld15\n160: ld30\n510: sd30");
    }

    /// `BitrateControllerTest.verifyTileView`.
    #[test]
    fn tiles_rise_together() {
        let thumbnails = "0: - - - -
            50: ld7 - - -
            100: ld7 ld7 - -
            150: ld7 ld7 ld7 -
            200: ld7 ld7 ld7 ld7
            250: ld15 ld7 ld7 ld7
            300: ld15 ld15 ld7 ld7
            350: ld15 ld15 ld15 ld7
            400: ld15 ld15 ld15 ld15
            450: ld30 ld15 ld15 ld15
            500: ld30 ld30 ld15 ld15
            550: ld30 ld30 ld30 ld15
            610: ld30 ld30 ld30 ld30";
        assert_rise(&tiles(180), thumbnails);
        // `verifyTileView360p`.
        let larger = "
            960: sd30 ld30 ld30 ld30
            1310: sd30 sd30 ld30 ld30
            1660: sd30 sd30 sd30 ld30
            2010: sd30 sd30 sd30 sd30";
        assert_rise(&tiles(360), &(thumbnails.to_owned() + larger));
    }

    #[test]
    fn a_source_that_does_not_fit_leaves_room_to_those_behind_it() {
        let mut claims = with_stage(VideoType::Camera);
        claims[0].candidates.layers.drain(..3);
        claims[0].candidates.preferred = Some(0);
        let division = divide(&claims, Bitrate::from_bps(400_000));
        assert_eq!(division.layers, [None, Some(2), Some(2), Some(1)]);
        assert_eq!((division.total, division.is_oversent), (Bitrate::from_bps(399_000), false));
        assert!(division.is_starved);
        assert_eq!(division.ideal, Bitrate::from_bps(2_450_000));
    }

    #[test]
    fn a_better_layer_that_takes_no_more_is_taken() {
        let mut claims = [claim(VideoType::Camera, 720, Place::Elsewhere)];
        for candidate in &mut claims[0].candidates.layers {
            candidate.bitrate = Bitrate::from_bps(40_000);
        }
        let best = claims[0].candidates.layers.last().map(|candidate| candidate.layer);
        assert_eq!(divide(&claims, Bitrate::from_bps(50_000)).layers, [best]);
    }

    #[test]
    fn nothing_is_divided_among_nobody() {
        assert_eq!(divide(&[], Bitrate::from_bps(1)), Division::default());
        let none = [claim(VideoType::None, 720, Place::OnStage), claim(VideoType::Camera, 0, Place::Elsewhere)];
        let division = divide(&none, Bitrate::from_bps(u64::MAX));
        assert_eq!((division.layers, division.is_starved), (vec![None, None], false), "nobody wants anything");
    }
}
