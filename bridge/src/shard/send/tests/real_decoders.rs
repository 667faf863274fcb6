//! Encoded pictures through layer switches into real decoders: ffmpeg takes them without a complaint.
//!
//! The clips are those of the load generator (`benches/clips/make`): two seconds each in three sizes, with one key frame at the
//! start; VP8 has three temporal layers. Needs ffmpeg, which `make setup-tests` installs.

use std::path::Path;
use std::process::Command;

use codecs::{
    Av1Payload, ChainDiffs, DecodeTargetIndication, DependencyDescriptor, FrameDependencyStructure,
    FrameDependencyTemplate, FrameDiffs, MandatoryFields, Vp9Descriptor,
};

use super::*;

const HEIGHTS: [u16; 3] = [180, 360, 720];
/// Bytes of a frame that go into one packet.
const PIECE_LEN: usize = 1100;

/// One size of a clip as an encoder sends it, again and again.
struct Clip {
    scheme: Scheme,
    frames: Vec<Vec<u8>>,
    at: usize,
    picture: u16,
    frame_number: u16,
    tl0_pic_idx: u8,
}

impl Clip {
    fn new(scheme: Scheme, height: u16) -> Self {
        let (name, suffix) = match scheme {
            Scheme::Vp8 => ("vp8", "ivf"),
            Scheme::Av1Svc => ("av1", "ivf"),
            Scheme::H264 => ("h264", "h264"),
            Scheme::Vp9Svc | Scheme::Vp9KSvc | Scheme::Vp9Flexible | Scheme::Av1KSvc => ("vp9", "ivf"),
        };
        let file = format!("../benches/clips/{name}-{height}.{suffix}");
        let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let frames = if suffix == "ivf" { ivf_frames(&bytes) } else { access_units(&bytes) };
        assert_eq!(frames.len(), 60);
        Self { scheme, frames, at: 0, picture: 0x7fe0 + height / 90, frame_number: 0xfff0, tl0_pic_idx: height as u8 }
    }

    fn next_picture(&mut self, is_key: bool) -> Vec<Made> {
        if is_key {
            self.at = 0;
        }
        let frame = self.frames[self.at % 60].clone();
        let at = self.at % 60;
        self.at += 1;
        self.picture = (self.picture + 1) & 0x7fff;
        self.frame_number = self.frame_number.wrapping_add(1);
        let pieces: Vec<&[u8]> = frame.chunks(PIECE_LEN).collect();
        let count = pieces.len();
        let made = |payload: Vec<u8>, index: usize, count: usize| Made {
            payload,
            marker: index + 1 == count,
            dependency_descriptor: None,
        };
        let [high, low] = (self.picture | 0x8000).to_be_bytes();
        match self.scheme {
            Scheme::Vp8 => {
                // Each frame refers to one other, and only the last of four to one above the base layer.
                let (temporal, is_sync) = [(0, false), (2, true), (1, true), (2, false)][at % 4];
                self.tl0_pic_idx = self.tl0_pic_idx.wrapping_add(u8::from(temporal == 0));
                let head = |index: usize| {
                    let layer = temporal << 6 | u8::from(is_sync) << 5;
                    vec![0x80 | u8::from(index == 0) << 4, 0xe0, high, low, self.tl0_pic_idx, layer]
                };
                let packets = pieces.iter().enumerate();
                packets.map(|(index, piece)| made([&head(index), *piece].concat(), index, count)).collect()
            }
            Scheme::Vp9Svc | Scheme::Vp9KSvc | Scheme::Vp9Flexible | Scheme::Av1KSvc => {
                self.tl0_pic_idx = self.tl0_pic_idx.wrapping_add(1);
                let head = |index: usize| {
                    let bits = u8::from(at > 0) << 6 | u8::from(index == 0) << 3 | u8::from(index + 1 == count) << 2;
                    vec![0xa1 | bits, high, low, 0, self.tl0_pic_idx]
                };
                let packets = pieces.iter().enumerate();
                packets.map(|(index, piece)| made([&head(index), *piece].concat(), index, count)).collect()
            }
            Scheme::Av1Svc => self.av1(&frame, at == 0),
            Scheme::H264 => {
                let mut payloads = Vec::new();
                for unit in nal_units(&frame) {
                    if unit.len() <= PIECE_LEN {
                        payloads.push(unit.to_vec());
                        continue;
                    }
                    let parts: Vec<&[u8]> = unit[1..].chunks(PIECE_LEN).collect();
                    for (index, part) in parts.iter().enumerate() {
                        let edges = u8::from(index == 0) << 7 | u8::from(index + 1 == parts.len()) << 6;
                        payloads.push([&[unit[0] & 0xe0 | 28, edges | unit[0] & 0x1f], *part].concat());
                    }
                }
                let count = payloads.len();
                payloads.into_iter().enumerate().map(|(index, payload)| made(payload, index, count)).collect()
            }
        }
    }

    /// OBUs in packets of their own, longer ones in pieces.
    fn av1(&self, temporal_unit: &[u8], is_key: bool) -> Vec<Made> {
        let mut payloads: Vec<Vec<u8>> = Vec::new();
        for obu in obus(temporal_unit) {
            let parts: Vec<&[u8]> = obu.chunks(PIECE_LEN).collect();
            for (index, part) in parts.iter().enumerate() {
                let starts_sequence = is_key && payloads.is_empty();
                let head = u8::from(index > 0) << 7
                    | u8::from(index + 1 < parts.len()) << 6
                    | 0x10
                    | u8::from(starts_sequence) << 3;
                payloads.push([&[head], *part].concat());
            }
        }
        let count = payloads.len();
        let template = |diffs: &[u16]| FrameDependencyTemplate {
            spatial: 0,
            temporal: 0,
            indications: [DecodeTargetIndication::Switch].into_iter().collect(),
            frame_diffs: FrameDiffs::new(diffs).unwrap(),
            chain_diffs: ChainDiffs::new(&[diffs.len() as u8]),
        };
        let structure =
            FrameDependencyStructure::new(3, vec![template(&[]), template(&[1])], vec![0], Vec::new()).unwrap();
        let packets = payloads.into_iter().enumerate();
        packets
            .map(|(index, payload)| {
                let template = structure.templates()[usize::from(!is_key)];
                let descriptor = DependencyDescriptor {
                    fields: MandatoryFields {
                        is_start_of_frame: index == 0,
                        is_end_of_frame: index + 1 == count,
                        template_id: structure.template_id(u8::from(!is_key)),
                        frame_number: self.frame_number,
                    },
                    attached_structure: (is_key && index == 0).then(|| Box::new(structure.clone())),
                    active_decode_targets: None,
                    spatial: 0,
                    temporal: 0,
                    indications: template.indications,
                    frame_diffs: template.frame_diffs,
                    chain_diffs: template.chain_diffs,
                    resolution: None,
                };
                let mut bytes = [0; 255];
                let len = descriptor.write_to(&structure, &mut bytes).unwrap();
                Made { payload, marker: index + 1 == count, dependency_descriptor: Some(bytes[..len].to_vec()) }
            })
            .collect()
    }
}

fn ivf_frames(file: &[u8]) -> Vec<Vec<u8>> {
    let mut left = &file[32..];
    let mut frames = Vec::new();
    while let Some(len) = left.first_chunk() {
        let len = u32::from_le_bytes(*len) as usize;
        frames.push(left[12..12 + len].to_vec());
        left = &left[12 + len..];
    }
    frames
}

/// What stands between start codes.
fn nal_units(stream: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> =
        (0..stream.len().saturating_sub(3)).filter(|at| stream[*at..*at + 3] == [0, 0, 1]).collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    let units = starts.iter().zip(ends).map(|(start, end)| {
        let unit = &stream[start + 3..end];
        &unit[..unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)]
    });
    units.collect()
}

/// Of a stream of one slice a picture, each with start codes.
fn access_units(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut units = vec![Vec::new()];
    for unit in nal_units(stream) {
        let is_slice = matches!(unit[0] & 0x1f, 1 | 5);
        let last = units.last_mut().unwrap();
        last.extend([0, 0, 1]);
        last.extend_from_slice(unit);
        if is_slice {
            units.push(Vec::new());
        }
    }
    units.pop();
    units
}

/// Without sizes and temporal delimiters.
fn obus(temporal_unit: &[u8]) -> Vec<Vec<u8>> {
    let mut left = temporal_unit;
    let mut obus = Vec::new();
    while let Some(head) = left.first() {
        let (mut size, mut at) = (0, 1);
        loop {
            size |= usize::from(left[at] & 0x7f) << (7 * (at - 1));
            at += 1;
            if left[at - 1] & 0x80 == 0 {
                break;
            }
        }
        if head >> 3 & 0x0f != 2 {
            obus.push([&[head & !0x02], &left[at..at + size]].concat());
        }
        left = &left[at + size..];
    }
    obus
}

/// The frames of what was received, as a file holds them.
fn frames(scheme: Scheme, packets: &[Received]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut frame = Vec::new();
    let mut unit: Vec<u8> = Vec::new();
    for packet in packets {
        let payload = &packet.payload;
        match scheme {
            Scheme::Vp8 => frame.extend_from_slice(&payload[Vp8Descriptor::parse(payload).unwrap().len()..]),
            Scheme::Vp9Svc | Scheme::Vp9KSvc | Scheme::Vp9Flexible | Scheme::Av1KSvc => {
                frame.extend_from_slice(&payload[Vp9Descriptor::parse(payload).unwrap().len()..]);
            }
            Scheme::Av1Svc => {
                if frame.is_empty() {
                    frame.extend([0x12, 0]);
                }
                for element in Av1Payload::parse(payload).unwrap().elements().map(Result::unwrap) {
                    unit.extend_from_slice(element.bytes);
                    if !element.goes_on {
                        let obu = std::mem::take(&mut unit);
                        frame.push(obu[0] | 0x02);
                        let mut size = obu.len() - 1;
                        while size >= 0x80 {
                            frame.push(0x80 | size as u8);
                            size >>= 7;
                        }
                        frame.push(size as u8);
                        frame.extend_from_slice(&obu[1..]);
                    }
                }
            }
            Scheme::H264 => match payload[0] & 0x1f {
                28 => {
                    if payload[1] & 0x80 != 0 {
                        frame.extend([0, 0, 0, 1, payload[0] & 0xe0 | payload[1] & 0x1f]);
                    }
                    frame.extend_from_slice(&payload[2..]);
                }
                _ => {
                    frame.extend([0, 0, 0, 1]);
                    frame.extend_from_slice(payload);
                }
            },
        }
        if packet.marker {
            frames.push(std::mem::take(&mut frame));
        }
    }
    frames
}

/// Pictures that a decoder makes of frames, each with its size; fails on any complaint.
fn decode(scheme: Scheme, decoder: &str, frames: &[Vec<u8>]) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forwarded");
    let mut file = Vec::new();
    let fourcc = match scheme {
        Scheme::Vp8 => Some(b"VP80"),
        Scheme::Av1Svc => Some(b"AV01"),
        Scheme::H264 => None,
        Scheme::Vp9Svc | Scheme::Vp9KSvc | Scheme::Vp9Flexible | Scheme::Av1KSvc => Some(b"VP90"),
    };
    if let Some(fourcc) = fourcc {
        file.extend(b"DKIF\0\0\x20\0");
        file.extend(fourcc);
        file.extend([0x40, 1, 180, 0, 30, 0, 0, 0, 1, 0, 0, 0]);
        file.extend((frames.len() as u64).to_le_bytes());
    }
    for (time, frame) in (0_u64..).zip(frames) {
        if fourcc.is_some() {
            file.extend((frame.len() as u32).to_le_bytes());
            file.extend(time.to_le_bytes());
        }
        file.extend_from_slice(frame);
    }
    std::fs::write(&path, &file).unwrap();
    let format = if fourcc.is_some() { "ivf" } else { "h264" };
    let output = Command::new("ffmpeg")
        .args(["-v", "warning", "-xerror", "-threads", "1", "-f", format, "-c:v", decoder, "-i"])
        .arg(&path)
        // Sizes change on the way: pictures come as they are.
        .args(["-autoscale", "0", "-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-"])
        .output()
        .expect("ffmpeg is there after `make setup-tests`");
    let complaints = String::from_utf8_lossy(&output.stderr);
    let complaints: Vec<_> =
        complaints.lines().filter(|line| !line.contains("Changing video frame properties")).collect();
    assert!(output.status.success() && complaints.is_empty(), "{scheme:?} {decoder}: {complaints:?}");
    String::from_utf8(output.stdout).unwrap().lines().filter(|line| !line.starts_with('#')).count()
}

/// The packets that one receiver gets of a clip in three sizes, while it wants one after the other.
fn forward_clip(scheme: Scheme, steps: &[(u8, u8)]) -> Vec<Received> {
    let origin = start();
    let source = SourceId(KeyAllocator::default().allocate());
    let mut activity = LayerActivity::default();
    let mut stream = stream();
    let mut clips = HEIGHTS.map(|height| Clip::new(scheme, height));
    let mut senders = [0, 1, 2].map(|encoding| Sender::new(scheme, encoding, &[180]));
    let mut key_frames = [None; 3];
    let mut received: Vec<Received> = Vec::new();
    let mut ms = 0;
    for (layer, temporal) in steps {
        let cap = LayerCap { layer: *layer, temporal: *temporal };
        let wanted = Wanted { max_height: MaxHeight::UNLIMITED, cap };
        for _ in 0..50 {
            ms += 33;
            let now = origin + Duration::from_millis(ms);
            for at in 0..3 {
                let is_key = key_frames[at].take_if(|asked| *asked + 100 <= ms).is_some();
                let made = clips[at].next_picture(is_key);
                let sender = &mut senders[at];
                for made in made {
                    let sent = Sent { seq: sender.next_seq, timestamp: (ms * 90) as u32, made };
                    sender.next_seq += 1;
                    let packet = sender.describe(&sent, &mut activity, source, now);
                    let id = packet.dependency().map_or(0, |fields| fields.structure);
                    let dependencies = sender.structures.iter().find(|known| known.id == id);
                    let of_source =
                        OfSource { encodings: &ENCODINGS, dependencies: dependencies.map(|known| &**known) };
                    match stream.handle_packet(&packet, of_source, wanted, now) {
                        Decision::Drop => {}
                        Decision::NeedKeyFrame => drop(key_frames[at].get_or_insert(ms)),
                        Decision::Forward { numbers, rewrite, .. } => {
                            assert_eq!(numbers.seq.0, received.last().map_or(0x7ff0, |last| last.seq + 1));
                            received.push(receive(&packet, &sent, numbers, rewrite));
                        }
                    }
                }
            }
        }
    }
    received
}

fn judge(scheme: Scheme, decoders: &[&str], steps: &[(u8, u8)], expected: std::ops::RangeInclusive<usize>) {
    let frames = frames(scheme, &forward_clip(scheme, steps));
    assert!(expected.contains(&frames.len()), "{scheme:?}: {} frames", frames.len());
    for decoder in decoders {
        assert_eq!(decode(scheme, decoder, &frames), frames.len(), "{scheme:?} {decoder}");
    }
}

/// Up and down through all sizes.
const SWITCHES: [(u8, u8); 6] = [(2, 9), (0, 9), (1, 9), (2, 9), (1, 9), (0, 9)];

#[test]
fn vp8_with_switches_of_size_and_rate() {
    let steps = [SWITCHES.as_slice(), &[(2, 0), (2, 1), (2, 2), (0, 1), (1, 0)]].concat();
    judge(Scheme::Vp8, &["libvpx", "vp8"], &steps, 400..=480);
}

#[test]
fn vp9_with_switches_of_size() {
    judge(Scheme::Vp9Svc, &["libvpx-vp9", "vp9"], &SWITCHES, 290..=305);
}

#[test]
fn av1_with_switches_of_size() {
    judge(Scheme::Av1Svc, &["libdav1d"], &SWITCHES, 290..=305);
}

#[test]
fn h264_with_switches_of_size() {
    judge(Scheme::H264, &["h264"], &SWITCHES, 290..=305);
}
