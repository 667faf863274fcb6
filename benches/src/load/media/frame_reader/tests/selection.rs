//! Servers that forward some layers only, as bridges do.

use codecs::{DependencyDescriptor, Vp8Descriptor, Vp9Descriptor};

use super::*;

/// The packets of a source that `keep` keeps, numbered anew without gap, and how many of its pictures have any.
fn selected(
    kind: SourceKind,
    now: Instant,
    mut keep: impl FnMut(&Frame, &mut Sent) -> bool,
) -> (Vec<(Instant, Sent)>, usize) {
    let settings = settings(now, kind);
    let mut source = Source::new(now, &settings);
    let sent = frames(&mut source, 0, now + ms(4_000));
    let mut all = packets(&sent, settings.clock, 0).into_iter();
    let (mut kept, mut pictures) = (Vec::new(), std::collections::BTreeSet::new());
    for (_, frame) in &sent {
        for (at, mut packet) in all.by_ref().take(frame.packets()) {
            if keep(frame, &mut packet) {
                packet.seq = ExtSeqNum(kept.len() as u64 + 9);
                pictures.insert(packet.timestamp.0);
                kept.push((at, packet));
            }
        }
    }
    (kept, pictures.len())
}

fn heights(codec: VideoCodec, now: Instant, sent: &[(Instant, Sent)]) -> Vec<u16> {
    let mut reader = reader(now, Codec::Video(codec));
    let events: Vec<_> = sent.iter().flat_map(|(at, sent)| receive(&mut reader, *at, sent)).collect();
    events.iter().map(|event| frame_of(event, "selection").height.unwrap()).collect()
}

fn svc(codec: VideoCodec) -> SourceKind {
    SourceKind::Camera { codec, height: Height::H720, layering: Layering::Svc }
}

#[test]
fn lower_spatial_and_temporal_layers_of_vp9_stand_alone() {
    let start = start();
    for (spatial, height) in (0..).zip([180, 360, 720]) {
        for temporal in 0..3 {
            let (sent, pictures) = selected(svc(VideoCodec::Vp9), start, |frame, packet| {
                let descriptor = Vp9Descriptor::parse(&packet.payload).unwrap();
                let layer = descriptor.layer.unwrap();
                // The marker is of the last layer that is forwarded.
                packet.marker = layer.spatial == spatial && descriptor.is_frame_end;
                assert_eq!((layer.spatial, layer.temporal), (frame.layer.spatial, frame.layer.temporal));
                layer.spatial <= spatial && layer.temporal <= temporal
            });
            assert_eq!(heights(VideoCodec::Vp9, start, &sent), vec![height; pictures], "{spatial} {temporal}");
        }
    }
}

#[test]
fn each_decode_target_of_av1_stands_alone() {
    let start = start();
    for target in 0..9 {
        let mut structure = None;
        let (sent, pictures) = selected(svc(VideoCodec::Av1), start, |frame, packet| {
            let bytes = packet.dependency_descriptor.as_deref().unwrap();
            let descriptor = DependencyDescriptor::parse(bytes, structure.as_deref()).unwrap();
            assert_eq!((descriptor.spatial, descriptor.temporal), (frame.layer.spatial, frame.layer.temporal));
            if let Some(attached) = &descriptor.attached_structure {
                structure = Some(attached.clone());
            }
            packet.marker = descriptor.spatial == target / 3 && descriptor.fields.is_end_of_frame;
            // Key frames are part of the targets above; else only the layer itself is: K-SVC.
            descriptor.is_present_in(target)
        });
        let expected = vec![[180, 360, 720][usize::from(target / 3)]; pictures];
        // Frames of a target that is not the lowest do not begin with the lowest layer but in key pictures, so that only
        // what came before them tells where they begin.
        assert_eq!(heights(VideoCodec::Av1, start, &sent), expected, "{target}");
    }
}

#[test]
fn lower_temporal_layers_of_vp8_stand_alone_with_numbers_as_they_came_or_anew() {
    let start = start();
    for temporal in 0..3 {
        for is_anew in [false, true] {
            let mut dropped = 0;
            let (sent, pictures) = selected(camera(VideoCodec::Vp8), start, |frame, packet| {
                let descriptor = Vp8Descriptor::parse(&packet.payload).unwrap();
                let id = descriptor.picture_id.unwrap().get();
                if is_anew {
                    let tl0_pic_idx = descriptor.tl0_pic_idx.unwrap();
                    descriptor.rewrite(&mut packet.payload, id.wrapping_sub(dropped), tl0_pic_idx);
                }
                let is_kept = frame.layer.temporal <= temporal;
                dropped += u16::from(!is_kept && packet.marker);
                is_kept
            });
            assert_eq!(heights(VideoCodec::Vp8, start, &sent), vec![180; pictures], "{temporal} {is_anew}");
        }
    }
}

#[test]
fn a_spatial_layer_that_appears_without_its_key_frame_is_not_decodable() {
    let start = start();
    let mut pictures = 0;
    let (sent, _) = selected(svc(VideoCodec::Vp9), start, |frame, packet| {
        pictures += usize::from(frame.ends_picture && packet.marker);
        let top = if pictures < 30 { 0 } else { 1 };
        packet.marker = frame.layer.spatial == top && Vp9Descriptor::parse(&packet.payload).unwrap().is_frame_end;
        frame.layer.spatial <= top
    });
    let mut reader = reader(start, Codec::Video(VideoCodec::Vp9));
    let events: Vec<_> = sent.iter().flat_map(|(at, sent)| receive(&mut reader, *at, sent)).collect();
    let decodable = events.iter().filter(|event| matches!(event, ReaderEvent::Frame(_))).count();
    assert_eq!(decodable, 30);
    assert!(reader.wants_key_frame(sent[sent.len() - 1].0));
}

#[test]
fn constraints_of_the_bridge_switch_layers_off_and_on() {
    let start = start();
    let heights_with = |kind, max_height| {
        let mut source = Source::new(start, &settings(start, kind));
        source.set_max_height(max_height);
        let mut heights = std::collections::BTreeSet::new();
        let mut first_is_key = None;
        while let Some(at) = source.poll_timeout().filter(|at| *at < start + ms(500)) {
            source.handle_timeout(at);
            while let Some(frame) = source.poll_frame() {
                first_is_key.get_or_insert(frame.is_key);
                heights.insert(frame.height);
            }
        }
        assert!(first_is_key.unwrap_or(true));
        heights.into_iter().collect::<Vec<_>>()
    };
    for kind in [camera(VideoCodec::Vp8), svc(VideoCodec::Av1)] {
        assert_eq!(heights_with(kind, None), [180, 360, 720]);
        assert_eq!(heights_with(kind, Some(719)), [180, 360]);
        assert_eq!(heights_with(kind, Some(180)), [180]);
        assert_eq!(heights_with(kind, Some(0)), [0; 0]);
    }
}

#[test]
fn a_layer_that_comes_back_begins_with_a_key_frame_and_a_new_structure() {
    let start = start();
    let settings = settings(start, svc(VideoCodec::Av1));
    let mut source = Source::new(start, &settings);
    let mut sent = frames(&mut source, 0, start + ms(1_000));
    source.set_max_height(Some(360));
    sent.extend(frames(&mut source, 0, start + ms(2_000)));
    source.set_max_height(None);
    sent.extend(frames(&mut source, 0, start + ms(3_000)));
    let sent = packets(&sent, settings.clock, 77);
    let heights = heights(VideoCodec::Av1, start, &sent);
    assert_eq!(heights.len(), 90);
    assert_eq!((heights[0], heights[45], heights[89]), (720, 360, 720));
}
