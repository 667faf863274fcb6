//! An encoder of any codec without pictures: frames in spatial and temporal layers under valid descriptors, each packet with the
//! truth of what its frame needs.
//!
//! The temporal layers are 0 2 1 2. A group of four in which the middle layer refers to nothing but the base layer comes now and
//! then only, so that who moves up at any other place gets what it cannot decode.

use std::collections::BTreeMap;

use codecs::{
    ChainDiffs, DecodeTargetIndication, DependencyDescriptor, FrameDependencyStructure, FrameDependencyTemplate,
    FrameDiffs, MandatoryFields, Resolution,
};

/// Temporal layers of a group of pictures.
const PATTERN: [u8; 4] = [0, 2, 1, 2];
/// Groups from one that begins upper temporal layers anew to the next.
const GROUPS_PER_SYNC: usize = 3;
/// Bytes of the truth at the end of each payload.
pub(crate) const TRUTH_LEN: usize = 24;
const MAX_NEEDS: usize = 3;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Vp8,
    /// Every picture has prediction between spatial layers.
    Vp9Svc,
    /// Only key pictures have.
    Vp9KSvc,
    /// As the first, with references named.
    Vp9Flexible,
    /// `L3T3` and `L3T3_KEY` with dependency descriptors.
    Av1Svc,
    Av1KSvc,
    H264,
}

impl Scheme {
    pub(crate) const fn payload_type(self) -> u8 {
        match self {
            Self::Vp8 => 100,
            Self::Vp9Svc | Self::Vp9KSvc | Self::Vp9Flexible => 101,
            Self::Av1Svc | Self::Av1KSvc => 102,
            Self::H264 => 103,
        }
    }

    const fn is_k_svc(self) -> bool {
        matches!(self, Self::Vp9KSvc | Self::Av1KSvc)
    }

    const fn is_av1(self) -> bool {
        matches!(self, Self::Av1Svc | Self::Av1KSvc)
    }
}

/// What a camera sends: a scheme, and the lines of the spatial layers of each encoding.
pub(crate) type Encodings = (Scheme, &'static [&'static [u16]]);

pub(crate) const SVC: &[&[u16]] = &[&[180, 360, 720]];
pub(crate) const SIMULCAST: &[&[u16]] = &[&[180], &[360], &[720]];

/// Each scheme with the ways it is sent.
pub(crate) const CAMERAS: [Encodings; 9] = [
    (Scheme::Vp8, SIMULCAST),
    (Scheme::Vp9Svc, SVC),
    (Scheme::Vp9KSvc, SVC),
    (Scheme::Vp9Flexible, SVC),
    (Scheme::Vp9Svc, SIMULCAST),
    (Scheme::Av1Svc, SVC),
    (Scheme::Av1KSvc, SVC),
    (Scheme::Av1Svc, SIMULCAST),
    (Scheme::H264, SIMULCAST),
];

/// What is true of a packet's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) encoding: u8,
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
    /// Names the frame among all of its encoding.
    pub(crate) frame: u32,
    /// Packets of the frame, and which of them this is.
    pub(crate) packets: u8,
    pub(crate) index: u8,
    pub(crate) is_key: bool,
    /// Frames that it needs.
    pub(crate) needs: [Option<u32>; MAX_NEEDS],
}

impl Truth {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![self.encoding, self.spatial, self.temporal, self.packets, self.index, self.is_key.into()];
        bytes.extend(self.frame.to_be_bytes());
        self.needs.iter().for_each(|need| bytes.extend(need.unwrap_or(u32::MAX).to_be_bytes()));
        bytes.resize(TRUTH_LEN, 0x5a);
        bytes
    }

    /// From the end of a payload.
    pub(crate) fn of(payload: &[u8]) -> Self {
        let bytes = &payload[payload.len() - TRUTH_LEN..];
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        Self {
            encoding: bytes[0],
            spatial: bytes[1],
            temporal: bytes[2],
            packets: bytes[3],
            index: bytes[4],
            is_key: bytes[5] != 0,
            frame: word(6),
            needs: [10, 14, 18].map(|at| Some(word(at)).filter(|need| *need != u32::MAX)),
        }
    }
}

/// A packet without header.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) payload: Vec<u8>,
    pub(crate) marker: bool,
    pub(crate) dependency_descriptor: Option<Vec<u8>>,
}

/// One encoding.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    scheme: Scheme,
    encoding: u8,
    /// Lines of each spatial layer.
    pub(crate) heights: Vec<u16>,
    picture_id: u16,
    tl0_pic_idx: u8,
    frame_number: u16,
    /// Pictures since the key frame.
    since_key: u32,
    frames: u32,
    /// Of each spatial and temporal layer, the newest frame with its number and picture.
    newest: BTreeMap<(u8, u8), Reference>,
    /// Number of the newest frame of each chain.
    chains: Vec<u16>,
    template_offset: u8,
}

#[derive(Clone, Copy, Debug)]
struct Reference {
    frame: u32,
    number: u16,
    picture: u16,
}

/// One frame to be written.
struct Frame {
    truth: Truth,
    is_key_picture: bool,
    is_sync_group: bool,
    phase: usize,
    references: Vec<Reference>,
    has_lower: bool,
    is_top: bool,
    number: u16,
    chain_diffs: Vec<u8>,
}

impl Encoder {
    /// `heights` has the lines of each spatial layer; for VP8 and H.264 one.
    pub(crate) fn new(scheme: Scheme, encoding: u8, heights: &[u16]) -> Self {
        Self {
            scheme,
            encoding,
            heights: heights.to_vec(),
            picture_id: (0x7ff0 + u16::from(encoding)) & 0x7fff,
            tl0_pic_idx: encoding.wrapping_add(250),
            frame_number: (u16::from(encoding) * 7).wrapping_add(0xffe0),
            since_key: 0,
            frames: 0,
            newest: BTreeMap::new(),
            chains: vec![0; heights.len()],
            template_offset: encoding.wrapping_mul(7) % 64,
        }
    }

    /// Goes on with the numbers of the encoder before, as libwebrtc does for one SSRC.
    pub(crate) fn following(self, before: &Self) -> Self {
        let Self { picture_id, tl0_pic_idx, frame_number, .. } = *before;
        let template_offset = (before.template_offset + before.templates()) % 64;
        Self { picture_id, tl0_pic_idx, frame_number, template_offset, ..self }
    }

    /// Four of each spatial layer.
    const fn templates(&self) -> u8 {
        4 * self.heights.len() as u8
    }

    pub(crate) const fn payload_type(&self) -> u8 {
        self.scheme.payload_type()
    }

    /// The packets of the next picture.
    pub(crate) fn next_picture(&mut self, is_key: bool) -> Vec<Made> {
        if is_key || self.frames == 0 {
            self.since_key = 0;
            self.newest.clear();
        } else {
            self.since_key += 1;
        }
        let is_key = self.since_key == 0;
        let phase = self.since_key as usize % PATTERN.len();
        let is_sync_group = (self.since_key as usize / PATTERN.len()).is_multiple_of(GROUPS_PER_SYNC);
        let temporal = PATTERN[phase];
        if temporal == 0 {
            self.tl0_pic_idx = self.tl0_pic_idx.wrapping_add(1);
        }
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        let layers = self.heights.len() as u8;
        let mut made = Vec::new();
        let mut lower = None;
        for spatial in 0..layers {
            let frame = self.next_frame(spatial, phase, is_sync_group, lower);
            lower = Some(Reference { frame: frame.truth.frame, number: frame.number, picture: self.picture_id });
            for index in 0..frame.truth.packets {
                let mut payload = match self.scheme {
                    Scheme::Vp8 => self.vp8(&frame, index),
                    Scheme::Vp9Svc | Scheme::Vp9KSvc | Scheme::Vp9Flexible => self.vp9(&frame, index),
                    Scheme::Av1Svc | Scheme::Av1KSvc => vec![0x10, 0x30],
                    Scheme::H264 => h264(&frame, self.heights[0], index),
                };
                // Room for whoever sends it to say where it comes from.
                payload.extend([0x5a; 36]);
                payload.extend(Truth { index, ..frame.truth }.to_bytes());
                let dependency_descriptor = self.scheme.is_av1().then(|| self.dependency_descriptor(&frame, index));
                let marker = frame.is_top && index + 1 == frame.truth.packets;
                made.push(Made { payload, marker, dependency_descriptor });
            }
        }
        assert!(!is_key || made.iter().any(|packet| Truth::of(&packet.payload).is_key));
        made
    }

    fn next_frame(&mut self, spatial: u8, phase: usize, is_sync_group: bool, lower: Option<Reference>) -> Frame {
        let is_key_picture = self.since_key == 0;
        let temporal = PATTERN[phase];
        let newest = |layer: u8| self.newest.get(&(spatial, layer)).copied();
        let mut references = Vec::new();
        if !is_key_picture {
            match phase {
                0 => references.extend(newest(0)),
                1 => references.extend(newest(0)),
                2 if is_sync_group => references.extend(newest(0)),
                2 => references.extend([newest(0), newest(1)].into_iter().flatten()),
                _ => references.extend(newest(1)),
            }
            // Nothing refers to those of H.264.
            if self.scheme == Scheme::H264 {
                references = newest(0).into_iter().collect();
            }
        }
        let has_lower = spatial > 0 && (is_key_picture || !self.scheme.is_k_svc());
        let lower = lower.filter(|_| has_lower);
        self.frames += 1;
        self.frame_number = self.frame_number.wrapping_add(1);
        let number = self.frame_number;
        let begins = is_key_picture && spatial == 0;
        let diff = |last: &u16| if begins { 0 } else { number.wrapping_sub(*last) as u8 };
        let chain_diffs = self.chains.iter().map(diff).collect();
        for (chain, last) in (0_u8..).zip(&mut self.chains) {
            let is_of_chain = temporal == 0
                && if is_key_picture || !self.scheme.is_k_svc() { spatial <= chain } else { spatial == chain };
            if is_of_chain {
                *last = number;
            }
        }
        let temporal = if self.scheme == Scheme::H264 { u8::from(temporal == 2) } else { temporal };
        let mut needs = [None; MAX_NEEDS];
        for (place, need) in needs.iter_mut().zip(references.iter().chain(&lower)) {
            *place = Some(need.frame);
        }
        let truth = Truth {
            encoding: self.encoding,
            spatial,
            temporal,
            frame: self.frames,
            packets: 1 + spatial + u8::from(is_key_picture) * 2,
            index: 0,
            is_key: is_key_picture && spatial == 0,
            needs,
        };
        let reference = Reference { frame: self.frames, number, picture: self.picture_id };
        self.newest.insert((spatial, PATTERN[phase]), reference);
        if self.scheme == Scheme::H264 && temporal == 0 {
            self.newest.insert((spatial, 0), reference);
        }
        references.extend(lower);
        let is_top = usize::from(spatial) + 1 == self.heights.len();
        Frame {
            truth,
            is_key_picture,
            is_sync_group,
            phase,
            references,
            has_lower: lower.is_some(),
            is_top,
            number,
            chain_diffs,
        }
    }

    fn vp8(&self, frame: &Frame, index: u8) -> Vec<u8> {
        let [high, low] = (self.picture_id | 0x8000).to_be_bytes();
        let temporal = frame.truth.temporal;
        let is_sync = temporal > 0 && (frame.phase == 1 || frame.phase == 2 && frame.is_sync_group);
        let first = 0x80 | u8::from(index == 0) << 4;
        let mut payload = vec![first, 0xe0, high, low, self.tl0_pic_idx, temporal << 6 | u8::from(is_sync) << 5];
        if index == 0 && frame.is_key_picture {
            payload.extend([0x10, 0, 0, 0x9d, 0x01, 0x2a]);
            payload.extend((self.heights[0] / 9 * 16).to_le_bytes());
            payload.extend(self.heights[0].to_le_bytes());
        } else if index == 0 {
            payload.extend([0x11, 0, 0]);
        }
        payload
    }

    fn vp9(&self, frame: &Frame, index: u8) -> Vec<u8> {
        let Truth { spatial, temporal, packets, .. } = frame.truth;
        let is_flexible = self.scheme == Scheme::Vp9Flexible;
        let has_structure = frame.is_key_picture && spatial == 0 && index == 0;
        let is_for_upper = !frame.is_top && (frame.is_key_picture || !self.scheme.is_k_svc());
        let first = 0xa0
            | u8::from(!frame.is_key_picture) << 6
            | u8::from(is_flexible) << 4
            | u8::from(index == 0) << 3
            | u8::from(index + 1 == packets) << 2
            | u8::from(has_structure) << 1
            | u8::from(!is_for_upper);
        let [high, low] = (self.picture_id | 0x8000).to_be_bytes();
        let is_switching_up = temporal == 0 && frame.is_sync_group || temporal == 1;
        let layer = temporal << 5 | u8::from(is_switching_up) << 4 | spatial << 1 | u8::from(frame.has_lower);
        let mut payload = vec![first, high, low, layer];
        if is_flexible {
            let earlier: Vec<_> = frame.references.iter().filter(|other| other.picture != self.picture_id).collect();
            for (at, reference) in earlier.iter().enumerate() {
                let diff = self.picture_id.wrapping_sub(reference.picture) & 0x7fff;
                payload.push((diff as u8) << 1 | u8::from(at + 1 < earlier.len()));
            }
        } else {
            payload.push(self.tl0_pic_idx);
        }
        if has_structure {
            payload.push((self.heights.len() as u8 - 1) << 5 | 0x10);
            for height in &self.heights {
                payload.extend((height / 9 * 16).to_be_bytes());
                payload.extend(height.to_be_bytes());
            }
        }
        payload
    }

    fn dependency_descriptor(&self, frame: &Frame, index: u8) -> Vec<u8> {
        let structure = self.structure();
        let Truth { spatial, temporal, packets, .. } = frame.truth;
        let diffs: Vec<u16> =
            frame.references.iter().map(|reference| frame.number.wrapping_sub(reference.number)).collect();
        let has_structure = frame.is_key_picture && spatial == 0 && index == 0;
        // In order of layers: three temporal ones for each spatial one, that of a key picture first.
        let at = spatial * 4 + if frame.is_key_picture { 0 } else { 1 + temporal };
        let descriptor = DependencyDescriptor {
            fields: MandatoryFields {
                is_start_of_frame: index == 0,
                is_end_of_frame: index + 1 == packets,
                template_id: structure.template_id(at),
                frame_number: frame.number,
            },
            attached_structure: has_structure.then(|| Box::new(structure.clone())),
            active_decode_targets: None,
            spatial,
            temporal,
            indications: self.indications(spatial, frame.phase, frame.is_key_picture, frame.is_sync_group),
            frame_diffs: FrameDiffs::new(&diffs).unwrap(),
            chain_diffs: ChainDiffs::new(&frame.chain_diffs),
            resolution: None,
        };
        let mut bytes = [0; 255];
        let len = descriptor.write_to(&structure, &mut bytes).unwrap();
        bytes[..len].to_vec()
    }

    fn structure(&self) -> FrameDependencyStructure {
        let layers = self.heights.len() as u8;
        let templates = (0..layers)
            .flat_map(|spatial| {
                let phases = [(0, 0, true), (0, 0, false), (2, 1, false), (1, 2, false)];
                phases.map(|(phase, temporal, is_key)| FrameDependencyTemplate {
                    spatial,
                    temporal,
                    indications: self.indications(spatial, phase, is_key, true),
                    frame_diffs: FrameDiffs::default(),
                    chain_diffs: ChainDiffs::new(&vec![0; usize::from(layers)]),
                })
            })
            .collect();
        let protected_by = (0..layers * 3).map(|target| target / 3).collect();
        let resolutions = self.heights.iter().map(|height| Resolution { width: height / 9 * 16, height: *height });
        FrameDependencyStructure::new(self.template_offset, templates, protected_by, resolutions.collect()).unwrap()
    }

    /// Target `3 * spatial + temporal` has all up to both.
    fn indications(
        &self,
        spatial: u8,
        phase: usize,
        is_key: bool,
        is_sync_group: bool,
    ) -> codecs::DecodeTargetIndications {
        use DecodeTargetIndication::{Discardable, NotPresent, Required, Switch};
        let temporal = if is_key { 0 } else { PATTERN[phase] };
        let targets = (0..self.heights.len() as u8 * 3).map(|target| {
            let (top, highest) = (target / 3, target % 3);
            let is_part =
                temporal <= highest && if is_key || !self.scheme.is_k_svc() { spatial <= top } else { spatial == top };
            match (is_part, temporal) {
                (false, _) => NotPresent,
                (true, 0) if is_key || highest == 0 || is_sync_group => Switch,
                (true, 0) => Required,
                (true, 1) if highest == 2 => Switch,
                (true, 2) if spatial == top => Discardable,
                (true, _) => Required,
            }
        });
        targets.collect()
    }
}

/// Parameter sets, then slices.
fn h264(frame: &Frame, height: u16, index: u8) -> Vec<u8> {
    match (frame.is_key_picture, index) {
        (true, 0) => {
            let parameters = sequence_parameter_set(height);
            [&[0x78, 0, parameters.len() as u8][..], &parameters, &[0, 4, 0x68, 0xcb, 0x83, 0xcb]].concat()
        }
        (true, 1) => vec![0x65, 0x88],
        (true, _) => vec![0x65, 0x42],
        (false, _) => vec![u8::from(frame.truth.temporal == 0) << 6 | 1, if index == 0 { 0x9a } else { 0x42 }],
    }
}

/// Of a picture of 16 to 9 in the baseline profile (H.264 §7.3.2.1.1).
fn sequence_parameter_set(height: u16) -> Vec<u8> {
    let (mbs, rows) = (height / 9, height.div_ceil(16));
    let crop_bottom = (rows * 16 - height) / 2;
    let mut bits = BitString::default();
    // seq_parameter_set_id, log2_max_frame_num_minus4, pic_order_cnt_type, max_num_ref_frames
    for value in [0, 0, 2, 1] {
        bits.put_exp_golomb(value);
    }
    // gaps_in_frame_num_value_allowed_flag
    bits.put(0, 1);
    bits.put_exp_golomb(mbs - 1);
    bits.put_exp_golomb(rows - 1);
    // frame_mbs_only_flag, direct_8x8_inference_flag, frame_cropping_flag
    bits.put(0b111, 3);
    for value in [0, 0, 0, crop_bottom] {
        bits.put_exp_golomb(value);
    }
    // vui_parameters_present_flag, rbsp_stop_one_bit
    bits.put(0b01, 2);
    [&[0x67, 0x42, 0xc0, 0x1f], &*bits.to_bytes()].concat()
}

/// Bits, the highest of each byte first.
#[derive(Default)]
struct BitString(Vec<bool>);

impl BitString {
    fn put(&mut self, value: u16, count: u32) {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 != 0));
    }

    fn put_exp_golomb(&mut self, value: u16) {
        let len = (value + 1).ilog2();
        self.put(0, len);
        self.put(value + 1, len + 1);
    }

    fn to_bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| (0..8).zip(bits).fold(0, |byte, (at, bit)| byte | u8::from(*bit) << (7 - at));
        self.0.chunks(8).map(byte).collect()
    }
}
