//! VP8 whose layers stand in dependency descriptors only, as Chromium sends it where those were negotiated.

use std::sync::Arc;

use codecs::{DependencyDescriptor, FrameDependencyStructure, MandatoryFields};
use rtp::{ExtensionId, OutgoingExtensions, OutgoingHeader, RtpView};

use super::*;
use crate::keys::KeyAllocator;
use crate::negotiated::Codec;
use crate::shard::describe::{Arrived, FrameReader};
use crate::shard::layers::{LayerActivity, LayerCap};

const SOURCE: Ssrc = Ssrc(0xa);
/// The key frame of Chrome 126 in jitsi-videobridge's `Av1DependencyDescriptorHeaderExtensionTest`: three temporal layers.
const CHROME: &[u8] =
    include_bytes!("../../../../../tests/fuzz/corpus/dependency_descriptor/jvb-vp8-without-chains").split_at(1).1;

/// How a sender tells layers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Dependencies,
    Payload,
}

struct Scene {
    structure: FrameDependencyStructure,
    reader: FrameReader,
    activity: LayerActivity,
    stream: SendStream,
    dependencies: Option<Arc<Dependencies>>,
    seq: u64,
    frame: u16,
    at: usize,
    now: Instant,
    /// Of what went out: number, temporal layer, frame number and how far back it refers.
    sent: Vec<(u64, u8, u16, Vec<u16>)>,
    needs_key_frame: bool,
    wanted: Wanted,
}

impl Scene {
    fn new() -> Self {
        let key = DependencyDescriptor::parse(CHROME, None).unwrap();
        let ssrcs = LayerSsrcs { primary: Ssrc(1), rtx: None };
        let (seq, rtx_seq, timestamp) = (SeqNum(1), SeqNum(9), RtpTimestamp(0));
        let first = FirstNumbers { earlier: None, earlier_rtx: None, seq, rtx_seq, timestamp };
        Self {
            structure: *key.attached_structure.unwrap(),
            reader: FrameReader::default(),
            activity: LayerActivity::default(),
            stream: SendStream::video(ssrcs, first),
            dependencies: None,
            seq: 100,
            frame: 0xfffe,
            at: 0,
            now: start(),
            sent: Vec::new(),
            needs_key_frame: false,
            wanted: Wanted::up_to(MaxHeight::UNLIMITED),
        }
    }

    fn cap(&mut self, temporal: u8) {
        self.wanted.cap = LayerCap { layer: 0, temporal };
    }

    /// The next frame, in one packet: layers 0, 2, 1, 2, each of which refers to what its template says.
    fn frame(&mut self, told: Told, is_key: bool) {
        if is_key {
            self.at = 0;
        }
        let temporal = [0, 2, 1, 2][self.at % 4];
        // The first of a layer refers to the base layer only.
        let in_layer = |(_, template): &(usize, &codecs::FrameDependencyTemplate)| {
            template.temporal == temporal && template.frame_diffs.as_slice().is_empty() == is_key
        };
        let templates: Vec<_> = self.structure.templates().iter().enumerate().filter(in_layer).collect();
        let (index, template) = if self.at % 4 == 3 { *templates.last().unwrap() } else { templates[0] };
        let descriptor = DependencyDescriptor {
            fields: MandatoryFields {
                is_start_of_frame: true,
                is_end_of_frame: true,
                template_id: self.structure.template_id(index as u8),
                frame_number: self.frame,
            },
            attached_structure: is_key.then(|| Box::new(self.structure.clone())),
            active_decode_targets: None,
            spatial: 0,
            temporal,
            indications: template.indications,
            frame_diffs: template.frame_diffs,
            chain_diffs: template.chain_diffs,
            resolution: None,
        };
        let mut bytes = [0; 255];
        let len = descriptor.write_to(&self.structure, &mut bytes).unwrap();
        let id = ExtensionId::try_from(DESCRIPTOR_ID).unwrap();
        let key_bit = u8::from(!is_key);
        let (payload, extension) = match told {
            // S, and the payload header.
            Told::Dependencies => (vec![0x10, key_bit, 0, 0], Some((id, &bytes[..len]))),
            Told::Payload => {
                (vec![0x90, 0xe0, 0x80 | (self.frame >> 8) as u8, self.frame as u8, 0, temporal << 6, key_bit], None)
            }
        };
        let header = OutgoingHeader {
            marker: true,
            payload_type: PayloadType::try_from(100).unwrap(),
            seq: SeqNum(self.seq as u16),
            timestamp: RtpTimestamp(self.seq as u32 * 3000),
            ssrc: SOURCE,
            extensions: OutgoingExtensions { dependency_descriptor: extension, ..OutgoingExtensions::default() },
        };
        let mut packet = vec![0; 300];
        let len = header.write_to(&mut packet).unwrap().len;
        packet.truncate(len);
        packet.extend(payload);
        let view = RtpView::parse(&packet).unwrap();
        let dependency_descriptor = view.extension(id);
        let (codec, now) = (Codec::Vp8, self.now);
        let arrived = Arrived { view: &view, start: 0, codec, is_newest: true, dependency_descriptor, now };
        let described = self.reader.read(&arrived, 0, Some(&mut self.activity)).unwrap();
        self.dependencies = described.structure.or(self.dependencies.take());
        self.activity.handle_packet(0, described.frame.spatial, true, self.now);
        let mut keys = KeyAllocator::default();
        let role = StreamRole::Video { source: crate::keys::SourceId(keys.allocate()), encoding: 0 };
        let packet = Descriptor {
            marker: true,
            frame: described.frame,
            payload_start: view.header_len() as u16,
            payload_len: view.payload().len() as u16,
            layers: self.activity.active(self.now),
            numbers: described.numbers,
            ..Descriptor::plain(role, SOURCE, ExtSeqNum(self.seq), view.timestamp(), view.payload_type())
        };
        let dependencies = packet.dependency().and(self.dependencies.as_deref());
        let of_source = OfSource { encodings: &[SOURCE], dependencies };
        match self.stream.handle_packet(&packet, of_source, self.wanted, self.now) {
            Decision::Drop => {}
            Decision::NeedKeyFrame => self.needs_key_frame = true,
            Decision::Forward { numbers, key_frame, .. } => {
                self.needs_key_frame |= key_frame == KeyFrame::Needed;
                let references = template.frame_diffs.as_slice().iter().map(|diff| self.frame.wrapping_sub(*diff));
                self.sent.push((numbers.seq.0, temporal, self.frame, references.collect()));
            }
        }
        self.seq += 1;
        self.frame = self.frame.wrapping_add(1);
        self.at += 1;
        self.now += Duration::from_millis(33);
    }

    fn frames(&mut self, count: usize) -> Vec<u8> {
        let before = self.sent.len();
        for _ in 0..count {
            self.frame(Told::Dependencies, false);
        }
        self.sent[before..].iter().map(|(_, temporal, ..)| *temporal).collect()
    }

    /// Numbers without a gap, and each frame behind those that it refers to.
    fn check(&self) {
        let first = self.sent[0].0;
        let seqs: Vec<_> = self.sent.iter().map(|(seq, ..)| *seq).collect();
        assert_eq!(seqs, (first..first + seqs.len() as u64).collect::<Vec<_>>());
        for (at, (_, _, frame, references)) in self.sent.iter().enumerate() {
            for reference in references {
                assert!(self.sent[..at].iter().any(|(_, _, earlier, _)| earlier == reference), "{frame}: {reference}");
            }
        }
    }
}

#[test]
fn temporal_layers_are_left_out_and_come_back_where_a_dependency_descriptor_tells_them() {
    let mut scene = Scene::new();
    scene.frame(Told::Dependencies, true);
    assert_eq!(scene.frames(7), [2, 1, 2, 0, 2, 1, 2]);
    scene.cap(1);
    assert_eq!(scene.frames(8), [0, 1, 0, 1]);
    scene.cap(0);
    assert_eq!(scene.frames(8), [0, 0]);
    scene.cap(u8::MAX);
    let back = scene.frames(12);
    assert!(back.ends_with(&[0, 2, 1, 2]), "{back:?}");
    assert!(!scene.needs_key_frame);
    scene.check();
}

/// As when a client takes the extension out while it sends.
#[test]
fn layers_told_in_another_way_begin_with_a_key_frame() {
    let mut scene = Scene::new();
    scene.frame(Told::Dependencies, true);
    scene.frames(5);
    for (now, before) in [(Told::Payload, 6), (Told::Dependencies, 10)] {
        scene.needs_key_frame = false;
        scene.frame(now, false);
        assert!(scene.needs_key_frame && scene.sent.len() == before, "what it follows on is not known");
        scene.frame(now, true);
        for _ in 0..3 {
            scene.frame(now, false);
        }
        assert_eq!(scene.sent.len(), before + 4);
    }
}
