//! What the path to a receiver carries, turned into the highest layers that it gets.
//!
//! Here: layers as they were measured made into claims, and what the division gives made into caps. Not here: the division
//! (`division`), the estimate (`shard::bandwidth`).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bwe::Demand;
use model::{Bitrate, VideoType};

use super::Selected;
use super::candidates::{Candidates, OfferedLayer, Place};
use super::division::{Claim, divide};
use crate::conference::Context;
use crate::endpoint::Endpoint;
use crate::keys::SourceId;
use crate::relay::Relay;
use crate::shard::bandwidth::is_other_bandwidth;
use crate::shard::bitrates::MeasuredLayer;
use crate::shard::layers::{LayerCap, MAX_SPATIAL};

/// Headers below RTP, and packets that are sent again, on top of what was measured.
const ON_THE_WIRE: f64 = 1.05;
/// Rates and estimates move all the time, and a switch takes a key frame: a layer above the one that the receiver has is
/// taken only where that much more is there than it needs, and the one that it has is kept down to this part of its need.
/// An estimate dips below what the path carries each time that it finds the end.
const UPGRADE_MARGIN: f64 = 1.1;
const HELD_MARGIN: f64 = 0.9;
/// For how long more may be held over a link than it carries.
const MAX_SHORT: Duration = Duration::from_secs(2);
/// What a layer is taken for before it was measured, in bits a second and square line: 110 kbit/s at 180 lines, 1.8 Mbit/s at
/// 720.
const ASSUMED_BPS_PER_SQUARE_LINE: f64 = 3.5;
/// Frames a second of all temporal layers together; each layer below has half.
const ASSUMED_FRAME_RATE: f32 = 30.0;

/// A source of which nothing is known yet begins with its lowest layer, as soon as it comes.
const LOWEST: LayerCap = LayerCap { layer: 0, temporal: u8::MAX };

/// A layer, and the cap that gives it to a receiver.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Offer {
    layer: OfferedLayer,
    cap: LayerCap,
}

impl Endpoint {
    /// Whether the path carries so much more or less than when its bandwidth was divided that it matters.
    pub(crate) fn is_division_outdated(&self) -> bool {
        self.bandwidth.is_some_and(|bandwidth| is_other_bandwidth(self.divided, bandwidth))
    }

    /// Divides what the path carries among the selected videos, the most important first. Audio is not part of
    /// what is estimated, and is always sent. Those who do not tell what reaches them get everything.
    pub(super) fn divide_bandwidth(&mut self, selected: &[Selected<'_>], context: &mut Context<'_>) {
        let Some(bandwidth) = self.bandwidth else { return };
        let Shared { demand, .. } = share(selected, offers, HELD_MARGIN, bandwidth, &mut self.caps);
        self.divided = bandwidth;
        if self.demand.replace(demand) != Some(demand) {
            context.data_plane.set_demand(self.connection.route, demand);
        }
    }
}

impl Relay {
    /// When what the link carries is to be divided again because more is held over it.
    pub(crate) fn short_until(&self) -> Option<Instant> {
        self.short_since.map(|since| since + MAX_SHORT)
    }

    /// Divides what the link carries among the videos that go over it, those of recent speakers first. Audio is always sent. An
    /// original bridge does not tell what reaches it, and gets everything.
    pub(super) fn divide_bandwidth(&mut self, selected: &[Selected<'_>], context: &mut Context<'_>) {
        let Some(bandwidth) = self.bandwidth else { return self.caps.clear() };
        // Many sources that each are held down to a part of their need fill a queue that nobody empties.
        let is_patient = self.short_until().is_none_or(|until| context.now < until);
        let held_margin = if is_patient { HELD_MARGIN } else { 1.0 };
        let Shared { demand, needed } = share(selected, offers_with_all_below, held_margin, bandwidth, &mut self.caps);
        let since = self.short_since.filter(|_| is_patient).unwrap_or(context.now);
        self.short_since = Some(since).filter(|_| needed > bandwidth);
        self.divided = bandwidth;
        if self.demand.replace(demand) != Some(demand) {
            context.data_plane.set_demand(self.connection.route, demand);
        }
    }
}

/// Divides `bandwidth` among the selected videos, the most important first, whose layers cost what `offers` says: makes new caps
/// out of those that they had, and answers what all takes.
fn share(
    selected: &[Selected<'_>],
    offers: impl Fn(&Selected<'_>) -> Vec<Offer>,
    held_margin: f64,
    bandwidth: Bitrate,
    caps: &mut BTreeMap<SourceId, Option<LayerCap>>,
) -> Shared {
    let needs: Vec<Vec<Offer>> = selected.iter().map(offers).collect();
    let held = |selected: &Selected<'_>| caps.get(&selected.video.id).copied();
    let offers: Vec<Vec<Offer>> = needs
        .iter()
        .zip(selected)
        .map(|(needs, selected)| with_margin(needs.clone(), held(selected), held_margin))
        .collect();
    let claims: Vec<Claim> = selected
        .iter()
        .zip(&offers)
        .map(|(Selected { video, max_height, is_on_stage, .. }, offers)| {
            let place = if *is_on_stage { Place::OnStage } else { Place::Elsewhere };
            let layers: Vec<_> = offers.iter().map(|offer| offer.layer).collect();
            Claim { candidates: Candidates::of(video.video_type, &layers, *max_height, place), place }
        })
        .collect();
    let division = divide(&claims, bandwidth);
    let mut left = bandwidth.bps().saturating_sub(division.total.bps());
    *caps = selected
        .iter()
        .zip(&offers)
        .zip(&division.layers)
        .map(|((selected, offers), layer)| {
            let given = given(offers, *layer).map(|cap| with_promise(cap, selected, offers, &mut left));
            (selected.video.id, given.or_else(|| offers.is_empty().then_some(LOWEST)))
        })
        .collect();
    let taken = needs.iter().zip(&division.layers).filter_map(|(needs, layer)| needs.get((*layer)?));
    Shared {
        demand: Demand { sent: division.total, ideal: division.ideal, is_starved: division.is_starved },
        needed: Bitrate::from_bps(taken.map(|offer| offer.layer.bitrate.bps()).sum()),
    }
}

/// What a division gave.
struct Shared {
    /// With margins.
    demand: Demand,
    /// What all that is given takes, without any.
    needed: Bitrate,
}

/// The layers of a source, lowest first.
fn offers(selected: &Selected<'_>) -> Vec<Offer> {
    let mut offers = Vec::new();
    for (place, layer) in (0..).zip(&selected.layers.layers) {
        let Some(layer) = layer else { continue };
        let height = u32::from(layer.height.get());
        if !layer.is_measured() {
            let bitrate = assumed(height);
            let cap = LayerCap { layer: place, temporal: u8::MAX };
            offers.push(Offer { layer: OfferedLayer { height, frame_rate: None, bitrate }, cap });
            continue;
        }
        let temporal = temporal_layers(layer);
        let top = temporal.len().saturating_sub(1);
        for (at, (temporal, bitrate)) in temporal.into_iter().enumerate() {
            let frame_rate = Some(ASSUMED_FRAME_RATE / (1_u32 << (top - at)) as f32);
            let bitrate = bitrate.scaled(ON_THE_WIRE);
            // The highest one stands for all that may still come.
            let temporal = if at == top { u8::MAX } else { temporal };
            let cap = LayerCap { layer: place, temporal };
            offers.push(Offer { layer: OfferedLayer { height, frame_rate, bitrate }, cap });
        }
    }
    offers
}

/// The same where all encodings below go too, as over a link: somebody behind it may want a small picture. Of spatial layers
/// those below are part of each in any case.
fn offers_with_all_below(selected: &Selected<'_>) -> Vec<Offer> {
    let mut offers = offers(selected);
    if selected.video.encodings.len() > 1 {
        let (mut below, mut encoding, mut highest) = (Bitrate::ZERO, None, Bitrate::ZERO);
        for Offer { layer, cap } in &mut offers {
            if encoding.replace(cap.layer) != Some(cap.layer) {
                below = Bitrate::from_bps(below.bps().saturating_add(highest.bps()));
            }
            highest = layer.bitrate;
            layer.bitrate = Bitrate::from_bps(below.bps().saturating_add(highest.bps()));
        }
    }
    offers
}

/// What a layer takes that was not measured.
fn assumed(height: u32) -> Bitrate {
    Bitrate::from_bps(1).scaled(ASSUMED_BPS_PER_SQUARE_LINE * f64::from(height) * f64::from(height))
}

/// The temporal layers that something came of, with what they take.
fn temporal_layers(layer: &MeasuredLayer) -> Vec<(u8, Bitrate)> {
    let mut temporal: Vec<(u8, Bitrate)> = Vec::new();
    for (at, bitrate) in (0..).zip(layer.bitrates) {
        if temporal.last().map_or(Bitrate::ZERO, |(_, below)| *below) < bitrate {
            temporal.push((at, bitrate));
        }
    }
    temporal
}

/// The cap that gives a receiver the layer at a place among the offers.
fn given(offers: &[Offer], layer: Option<usize>) -> Option<LayerCap> {
    layer.and_then(|layer| offers.get(layer)).map(|offer| offer.cap)
}

/// Layers above all those that are sent may begin any time, as when somebody is put on stage, and do so with a key frame. Whoever
/// may have them by then goes up with it, and asks for none of its own: what is `left` when all have theirs is promised for that.
fn with_promise(cap: LayerCap, selected: &Selected<'_>, offers: &[Offer], left: &mut u64) -> LayerCap {
    let Some(top) = offers.last().filter(|top| top.cap == cap && selected.video.video_type == VideoType::Camera) else {
        return cap;
    };
    let (mut promised, mut height, mut held) = (cap, top.layer.height, top.layer.bitrate.bps());
    while promised.layer < MAX_SPATIAL && height <= selected.max_height.0 / 2 {
        height *= 2;
        let needed = assumed(height).scaled(UPGRADE_MARGIN).bps();
        let Some(rest) = left.checked_sub(needed.saturating_sub(held)) else { break };
        (*left, held) = (rest, needed);
        promised.layer += 1;
    }
    promised
}

/// Has layers above the one that the receiver has cost more, and that one less. `held`: none where it is new to the receiver.
fn with_margin(mut offers: Vec<Offer>, held: Option<Option<LayerCap>>, held_margin: f64) -> Vec<Offer> {
    let Some(held) = held else { return offers };
    let rank = |cap: LayerCap| (cap.layer, cap.temporal);
    // What was promised beyond all that is sent is not held yet.
    let top = offers.last().map(|top| top.cap);
    let held = held.map(|held| top.filter(|top| rank(*top) < rank(held)).unwrap_or(held));
    for Offer { layer, cap } in &mut offers {
        let order = held.map_or(Ordering::Greater, |held| rank(*cap).cmp(&rank(held)));
        let margin = match order {
            Ordering::Less => 1.0,
            Ordering::Equal => held_margin,
            Ordering::Greater => UPGRADE_MARGIN,
        };
        layer.bitrate = layer.bitrate.scaled(margin);
    }
    offers
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::constraints::MaxHeight;
    use crate::keys::KeyAllocator;
    use crate::negotiated::VideoSource;
    use crate::shard::bitrates::LayerReport;

    /// Estimates of a receiver's bandwidth that starts low, beside the rates of six thumbnails at 7.5 and at 30 frames: from
    /// `bwe-events.csv` of jitsi-videobridge.
    const EVENTS: &str = include_str!("fixtures/bwe-events.csv");

    /// What is promised of the encodings above the one that is sent, and what is left then, in kbit/s.
    fn promised(sent: u16, max_height: u32, left_kbps: u64) -> (u8, u64) {
        let video = VideoSource {
            id: SourceId(KeyAllocator::default().allocate()),
            name: "a-v0".parse().unwrap(),
            video_type: VideoType::Camera,
            encodings: Vec::new(),
        };
        let mut layers = LayerReport::default();
        let place = usize::from(sent / 360);
        let height = NonZeroU16::new(sent).unwrap();
        layers.layers[place] = Some(MeasuredLayer { height, bitrates: Default::default() });
        let (max_height, is_on_stage) = (MaxHeight(max_height), false);
        let selected = Selected { video: &video, max_height, is_on_stage, layers };
        let offers = offers(&selected);
        let mut left = left_kbps * 1000;
        let cap = with_promise(offers[0].cap, &selected, &offers, &mut left);
        (cap.layer, left / 1000)
    }

    /// 113 kbit/s are held; 454 and 1814 are needed, and a tenth more.
    #[test]
    fn what_is_left_is_promised_for_layers_that_may_come() {
        assert_eq!(promised(180, 720, 385), (0, 385));
        assert_eq!(promised(180, 720, 386), (1, 0));
        assert_eq!(promised(180, 720, 5000), (2, 3117));
        assert_eq!(promised(180, 360, 5000), (1, 4614), "no more than is wanted");
        assert_eq!(promised(180, 180, 5000), (0, 5000));
        assert_eq!(promised(180, u32::MAX, 50_000).0, 3);
    }

    /// One line of it.
    fn event(line: &str) -> (Bitrate, Vec<Vec<Offer>>) {
        let mut numbers = line.split(',').skip(1).map(|number| Bitrate::from_bps(number.parse().unwrap()));
        let bandwidth = numbers.next().unwrap();
        let bitrates: Vec<_> = numbers.collect();
        let offer = |temporal, frame_rate, bitrate| Offer {
            layer: OfferedLayer { height: 180, frame_rate: Some(frame_rate), bitrate },
            cap: LayerCap { layer: 0, temporal },
        };
        let offers = bitrates.chunks(2).map(|rates| vec![offer(0, 7.5, rates[0]), offer(u8::MAX, 30.0, rates[1])]);
        (bandwidth, offers.collect())
    }

    /// `BitrateControllerTraceTest`: fewer than 20 changes of what is sent.
    #[test]
    fn receivers_are_not_switched_to_and_fro_while_the_estimate_rises() {
        let mut divided = Bitrate::ZERO;
        let mut caps: Vec<Option<LayerCap>> = vec![None; 6];
        let mut changes = 0;
        let mut last = Bitrate::ZERO;
        for line in EVENTS.lines().skip(1) {
            let (bandwidth, offers) = event(line);
            last = bandwidth;
            if !is_other_bandwidth(divided, bandwidth) {
                continue;
            }
            divided = bandwidth;
            let offers: Vec<_> = offers
                .into_iter()
                .zip(&caps)
                .map(|(offers, held)| with_margin(offers, Some(*held), HELD_MARGIN))
                .collect();
            let claims: Vec<_> = offers
                .iter()
                .map(|offers| {
                    let layers: Vec<_> = offers.iter().map(|offer| offer.layer).collect();
                    let (height, place) = (MaxHeight(180), Place::Elsewhere);
                    Claim { candidates: Candidates::of(VideoType::Camera, &layers, height, place), place }
                })
                .collect();
            let division = divide(&claims, bandwidth);
            let next: Vec<_> =
                offers.iter().zip(&division.layers).map(|(offers, layer)| given(offers, *layer)).collect();
            changes += usize::from(next != caps);
            caps = next;
        }
        assert!(changes > 5 && changes < 20, "{changes} changes up to {last:?}");
        assert!(caps.iter().all(Option::is_some), "there is room for all in the end: {caps:?}");
    }
}
