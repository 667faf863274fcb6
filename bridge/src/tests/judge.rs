//! Whether a decoder could play what a receiver was sent, by the truth in the packets of an [`Encoder`](super::encoder).

use std::collections::{BTreeMap, BTreeSet};

use codecs::{DependencyDescriptor, FrameDependencyStructure, Vp8Descriptor, Vp9Descriptor};

use super::encoder::{Scheme, Truth};

/// A packet as a receiver has it.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Without wrap.
    pub(crate) seq: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Vec<u8>,
    pub(crate) dependency_descriptor: Option<Vec<u8>>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Encoding, spatial and temporal layer of each picture, with its timestamp.
    pub(crate) pictures: Vec<(u32, (u8, u8, u8))>,
    /// Numbers that no packet had.
    pub(crate) missing: usize,
}

/// Checks packets in the order of their numbers. `lost` are frames, by encoding and number, of which packets were lost on the
/// way to the bridge: the receiver may miss those, and nothing else. `scheme` names the format of an encoding's payloads.
pub(crate) fn check(packets: &[Received], lost: &BTreeSet<(u8, u32)>, scheme: impl Fn(u8) -> Scheme) -> Findings {
    check_by(Changes::BetweenPictures, packets, lost, scheme)
}

/// How one encoding follows another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changes {
    /// With the next picture: behind a whole one, under the next number.
    BetweenPictures,
    /// The network may have mixed their packets, so that a picture is given up for a key frame; and what another encoder sends under
    /// the same SSRC, maybe behind lost pictures, is no change to the bridge.
    Anyhow,
}

/// As [`check`], where encodings may change in that way.
pub(crate) fn check_by(
    changes: Changes,
    packets: &[Received],
    lost: &BTreeSet<(u8, u32)>,
    scheme: impl Fn(u8) -> Scheme,
) -> Findings {
    let mut findings = Findings::default();
    let mut frames: BTreeMap<(u8, u32), BTreeSet<u8>> = BTreeMap::new();
    let mut numbers = Numbers::new(changes);
    let mut given_up = BTreeSet::new();
    let mut last: Option<&Received> = None;
    let mut last_seq = packets.first().map_or(0, |packet| packet.seq);
    for packet in packets {
        findings.missing += (packet.seq - last_seq).saturating_sub(1) as usize;
        last_seq = packet.seq;
        // It only fills its place.
        if packet.payload.is_empty() {
            continue;
        }
        let truth = Truth::of(&packet.payload);
        let key = (truth.encoding, truth.frame);
        if let Some(last) = last {
            let ahead = packet.timestamp.wrapping_sub(last.timestamp);
            assert!(ahead < 1 << 31, "{}: time goes back", packet.seq);
            let before = Truth::of(&last.payload);
            // The frame before, or those above it in its picture.
            let mut earlier = (before.frame..=before.frame + 2).map(|frame| (before.encoding, frame));
            let is_lost = lost.contains(&key) || earlier.any(|frame| lost.contains(&frame));
            let is_whole = packet.seq == last.seq + 1 && !is_lost;
            if changes == Changes::Anyhow && before.encoding != truth.encoding && !last.marker {
                assert!(truth.is_key && truth.index == 0, "{}: cut short by {truth:?}", packet.seq);
                given_up.insert((before.encoding, before.frame));
            } else if is_whole {
                assert_eq!(ahead > 0, last.marker, "{}: a marker ends each picture: {truth:?}", packet.seq);
            }
        } else {
            assert!(truth.is_key && truth.index == 0, "begins with a key frame: {truth:?}");
        }
        let is_new_frame = !frames.contains_key(&key);
        frames.entry(key).or_default().insert(truth.index);
        if is_new_frame {
            for need in truth.needs.into_iter().flatten() {
                let need = (truth.encoding, need);
                let is_there = frames.contains_key(&need) || lost.contains(&need);
                assert!(is_there, "{}: {truth:?} needs {need:?}", packet.seq);
            }
            let layers = (truth.encoding, truth.spatial, truth.temporal);
            match findings.pictures.last_mut() {
                Some((timestamp, highest)) if *timestamp == packet.timestamp => *highest = layers,
                Some(_) | None => findings.pictures.push((packet.timestamp, layers)),
            }
        }
        numbers.check(packet, &truth, scheme(truth.encoding));
        last = Some(packet);
    }
    // Each frame is whole, but for the last, which may be under way.
    let packets: Vec<_> = packets.iter().filter(|packet| !packet.payload.is_empty()).collect();
    let newest = packets.last().map(|packet| Truth::of(&packet.payload)).map(|truth| (truth.encoding, truth.frame));
    let mut whole = BTreeMap::new();
    for packet in &packets {
        let truth = Truth::of(&packet.payload);
        whole.insert((truth.encoding, truth.frame), truth.packets);
    }
    for (frame, packets) in &frames {
        let is_excused = lost.contains(frame) || given_up.contains(frame) || Some(*frame) == newest;
        assert!(is_excused || packets.len() == usize::from(whole[frame]), "{frame:?} has {packets:?} only");
    }
    findings
}

/// Numbers in payloads and descriptors.
struct Numbers {
    changes: Changes,
    picture: Option<(u16, u32)>,
    tl0_pic_idx: Option<u8>,
    structure: Option<FrameDependencyStructure>,
    /// Our frame numbers to frames.
    frames: BTreeMap<u16, (u8, u32)>,
    by_frame: BTreeMap<(u8, u32), u16>,
    last_encoding: Option<u8>,
    last_scheme: Option<Scheme>,
}

impl Numbers {
    const fn new(changes: Changes) -> Self {
        Self {
            changes,
            picture: None,
            tl0_pic_idx: None,
            structure: None,
            frames: BTreeMap::new(),
            by_frame: BTreeMap::new(),
            last_encoding: None,
            last_scheme: None,
        }
    }

    fn check(&mut self, packet: &Received, truth: &Truth, scheme: Scheme) {
        let is_other_codec = self.last_scheme.is_some_and(|last| last.payload_type() != scheme.payload_type());
        if is_other_codec {
            // What was under the codec before means nothing to the decoder of this one.
            (self.picture, self.tl0_pic_idx) = (None, None);
        }
        match scheme {
            Scheme::Vp8 => {
                let vp8 = Vp8Descriptor::parse(&packet.payload).unwrap();
                self.check_picture(vp8.picture_id.unwrap().get(), vp8.tl0_pic_idx, packet, truth, scheme);
            }
            Scheme::Vp9Svc | Scheme::Vp9KSvc | Scheme::Vp9Flexible => {
                let vp9 = Vp9Descriptor::parse(&packet.payload).unwrap();
                self.check_picture(vp9.picture_id.unwrap().get(), vp9.tl0_pic_idx, packet, truth, scheme);
            }
            Scheme::Av1Svc | Scheme::Av1KSvc => self.check_descriptor(packet, truth),
            Scheme::H264 => {}
        }
        self.last_encoding = Some(truth.encoding);
        self.last_scheme = Some(scheme);
    }

    fn check_picture(&mut self, id: u16, tl0_pic_idx: Option<u8>, packet: &Received, truth: &Truth, scheme: Scheme) {
        let is_switch = self.last_encoding.is_some_and(|last| last != truth.encoding);
        let is_in_order = self.changes == Changes::BetweenPictures;
        if let Some((last, timestamp)) = self.picture {
            let ahead = id.wrapping_sub(last) & 0x7fff;
            let is_same = timestamp == packet.timestamp;
            // Distances within an encoding mean something in VP9.
            let is_right = if is_same {
                ahead == 0
            } else if is_switch && is_in_order {
                ahead == 1
            } else {
                (1..200).contains(&ahead)
            };
            assert!(is_right, "{}: picture id {id} behind {last}: {truth:?}", packet.seq);
            if let (Some(before), Some(tl0)) = (self.tl0_pic_idx, tl0_pic_idx) {
                let ahead = tl0.wrapping_sub(before);
                let is_right = if is_same {
                    ahead == 0
                } else if is_switch && (is_in_order || scheme == Scheme::Vp8) {
                    ahead == 1
                } else {
                    ahead < 100
                };
                assert!(is_right, "{}: TL0PICIDX {tl0} behind {before}", packet.seq);
            }
        }
        (self.picture, self.tl0_pic_idx) = (Some((id, packet.timestamp)), tl0_pic_idx.or(self.tl0_pic_idx));
    }

    fn check_descriptor(&mut self, packet: &Received, truth: &Truth) {
        let bytes = packet.dependency_descriptor.as_deref().expect("a dependency descriptor");
        let descriptor = DependencyDescriptor::parse(bytes, self.structure.as_ref());
        let descriptor = descriptor.unwrap_or_else(|error| panic!("{}: {error}", packet.seq));
        if let Some(structure) = descriptor.attached_structure {
            assert!(truth.is_key && truth.index == 0);
            assert!(
                self.structure.as_ref().is_none_or(|before| before.template(structure.template_id_offset()).is_none())
                    || self.last_encoding == Some(truth.encoding),
                "{}: ids of templates are those of the structure before",
                packet.seq
            );
            self.structure = Some(*structure);
        }
        assert_eq!((descriptor.spatial, descriptor.temporal), (truth.spatial, truth.temporal));
        assert_eq!(descriptor.fields.is_start_of_frame, truth.index == 0);
        let (number, frame) = (descriptor.fields.frame_number, (truth.encoding, truth.frame));
        assert_eq!(*self.by_frame.entry(frame).or_insert(number), number, "one number for one frame");
        self.frames.insert(number, frame);
        for (diff, need) in descriptor.frame_diffs.as_slice().iter().zip(truth.needs.into_iter().flatten()) {
            if let Some(named) = self.frames.get(&number.wrapping_sub(*diff)) {
                assert_eq!(*named, (truth.encoding, need), "{}: refers to what it needs", packet.seq);
            }
        }
        if let Some(active) = descriptor.active_decode_targets {
            assert!(active != 0, "{}: some target is left", packet.seq);
        }
    }
}
