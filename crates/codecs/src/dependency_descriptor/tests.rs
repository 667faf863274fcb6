use super::*;
use DecodeTargetIndication::{Discardable, NotPresent, Required, Switch};

/// The structure of L1T3 as libwebrtc sends it for 1280x720, by hand: three temporal layers, one chain.
const L1T3: &str = "000101 00010 \
    00 01 01 00 11 \
    101010 101010 000110 000001 000001 \
    0 1 0011 0 1 0001 0 1 0000 0 1 0000 0 \
    01 \
    0000 0100 0010 0001 0011 \
    1 0000010011111111 0000001011001111";

fn bits(text: &str) -> Vec<u8> {
    let bits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').map(|byte| byte - b'0').collect();
    bits.chunks(8).map(|bits| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | bit << (7 - at))).collect()
}

/// Start and end of frame 0x1234 of template 5, and the structure.
fn key_frame() -> Vec<u8> {
    bits(&format!("1 1 000101 0001001000110100 1 0 0 0 0 {L1T3}"))
}

fn structure() -> FrameDependencyStructure {
    *DependencyDescriptor::parse(&key_frame(), None).unwrap().attached_structure.unwrap()
}

#[test]
fn reads_the_structure_of_a_key_frame() {
    let descriptor = DependencyDescriptor::parse(&key_frame(), None).unwrap();
    let fields =
        MandatoryFields { is_start_of_frame: true, is_end_of_frame: true, template_id: 5, frame_number: 0x1234 };
    assert_eq!(descriptor.fields, fields);
    assert!(descriptor.is_key_frame_start());
    assert_eq!(descriptor.active_decode_targets, Some(0b111));
    assert_eq!(descriptor.resolution, Some(Resolution { width: 1280, height: 720 }));

    let structure = descriptor.attached_structure.unwrap();
    assert_eq!((structure.decode_targets(), structure.chains(), structure.template_id_offset()), (3, 1, 5));
    let rows: Vec<_> = structure
        .templates()
        .iter()
        .map(|template| (template.temporal, template.frame_diffs.as_slice(), template.chain_diffs.as_slice()))
        .collect();
    let expected: [(u8, &[u16], &[u8]); 5] =
        [(0, &[], &[0]), (0, &[4], &[4]), (1, &[2], &[2]), (2, &[1], &[1]), (2, &[1], &[3])];
    assert_eq!(rows, expected);
    let middle: Vec<_> = structure.templates()[2].indications.iter().collect();
    assert_eq!(middle, [NotPresent, Discardable, Switch]);
    let temporal = |target| structure.decode_target_layer(target).map(|layer| layer.temporal);
    assert_eq!([temporal(0), temporal(1), temporal(2), temporal(3)], [Some(0), Some(1), Some(2), None]);
    assert_eq!((structure.protected_by(2), structure.protected_by(3)), (Some(0), None));
}

#[test]
fn what_a_frame_does_not_say_is_its_templates() {
    let structure = structure();
    // Template 7 is that of the middle layer.
    let descriptor = DependencyDescriptor::parse(&[0x47, 0x12, 0x36], Some(&structure)).unwrap();
    assert!(!descriptor.fields.is_start_of_frame && descriptor.fields.is_end_of_frame);
    assert_eq!((descriptor.spatial, descriptor.temporal, descriptor.active_decode_targets), (0, 1, None));
    assert_eq!(descriptor.frame_diffs.as_slice(), [2]);
    assert!(descriptor.is_switching_point(2) && !descriptor.is_switching_point(1));
    assert!(descriptor.is_present_in(1) && !descriptor.is_present_in(0) && !descriptor.is_present_in(3));
    assert!(!descriptor.is_key_frame_start());
}

#[test]
fn a_frame_may_differ_from_its_template_in_everything() {
    let custom =
        bits("1 0 001001 0000000000000001 0 1 1 1 1 101 11 10 01 01 0011 10 00010000 11 111111111111 00 11111111");
    let descriptor = DependencyDescriptor::parse(&custom, Some(&structure())).unwrap();
    assert_eq!(descriptor.active_decode_targets, Some(0b101));
    assert_eq!(descriptor.indications.iter().collect::<Vec<_>>(), [Required, Switch, Discardable]);
    assert_eq!(descriptor.frame_diffs.as_slice(), [4, 17, 4096]);
    assert_eq!(descriptor.chain_diffs.as_slice(), [255]);
    let mut written = [0xff; 64];
    let len = descriptor.write_to(&structure(), &mut written).unwrap();
    assert_eq!(written[..len], custom);
}

#[test]
fn is_written_as_it_was_read() {
    let structure = structure();
    let mut written = [0xff; 64];
    let key = DependencyDescriptor::parse(&key_frame(), None).unwrap();
    let len = key.write_to(&structure, &mut written).unwrap();
    assert_eq!(written[..len], key_frame());
    assert_eq!(key.write_to(&structure, &mut []), Ok(len));

    let plain = [0x87, 0x12, 0x36];
    let descriptor = DependencyDescriptor::parse(&plain, Some(&structure)).unwrap();
    assert_eq!(descriptor.write_to(&structure, &mut written), Ok(3));
    assert_eq!(written[..3], plain);

    let mut targets_lowered = key;
    targets_lowered.active_decode_targets = Some(0b001);
    let len = targets_lowered.write_to(&structure, &mut written).unwrap();
    assert_eq!(DependencyDescriptor::parse(&written[..len], None), Ok(targets_lowered));
}

#[test]
fn refuses_what_it_cannot_know() {
    let structure = structure();
    assert_eq!(DependencyDescriptor::parse(&[0x87, 0, 0], None), Err(DependencyDescriptorError::NoStructure));
    let unknown = DependencyDescriptor::parse(&[0x8a, 0, 0], Some(&structure));
    assert_eq!(unknown, Err(DependencyDescriptorError::UnknownTemplate(10)));
    let wrapped = DependencyDescriptor::parse(&[0x84, 0, 0], Some(&structure));
    assert_eq!(wrapped, Err(DependencyDescriptorError::UnknownTemplate(4)));
    for len in 0..key_frame().len() {
        let error = DependencyDescriptor::parse(&key_frame()[..len], None).unwrap_err();
        let expected =
            if len == 3 { DependencyDescriptorError::NoStructure } else { DependencyDescriptorError::Truncated };
        assert_eq!(error, expected, "{len}");
    }
    let diffs = format!("1 1 000101 0000000000000000 0 0 0 1 0 {} 00", "01 0000".repeat(MAX_FRAME_DIFFS + 1));
    let too_many = DependencyDescriptor::parse(&bits(&diffs), Some(&structure));
    assert_eq!(too_many, Err(DependencyDescriptorError::TooManyFrameDiffs));
    let layers = format!("1 1 000000 0000000000000000 1 0 0 0 0 000000 00000 {}", "10".repeat(8));
    assert_eq!(DependencyDescriptor::parse(&bits(&layers), None), Err(DependencyDescriptorError::LayerOutOfRange));
    let templates = format!("1 1 000000 0000000000000000 1 0 0 0 0 000000 00000 {}", "00".repeat(80));
    assert_eq!(DependencyDescriptor::parse(&bits(&templates), None), Err(DependencyDescriptorError::TooManyTemplates));
}

#[test]
fn template_ids_count_on_modulo_64() {
    let template = structure().templates()[0];
    let structure = FrameDependencyStructure::new(62, vec![template; 4], vec![0, 0, 0], Vec::new()).unwrap();
    assert_eq!((0..4).map(|index| structure.template_id(index)).collect::<Vec<_>>(), [62, 63, 0, 1]);
    assert!(structure.template(1).is_some() && structure.template(2).is_none() && structure.template(61).is_none());
}

#[test]
fn a_structure_that_cannot_be_sent_is_not_made() {
    let good = structure();
    let template = good.templates()[0];
    let new = |templates: Vec<FrameDependencyTemplate>, protected_by: Vec<u8>| {
        FrameDependencyStructure::new(0, templates, protected_by, Vec::new())
    };
    assert!(new(vec![template], vec![0, 0, 0]).is_ok());
    assert!(new(Vec::new(), Vec::new()).is_err());
    assert!(new(vec![template; 65], vec![0, 0, 0]).is_err());
    assert!(new(vec![template], Vec::new()).is_err());
    assert!(new(vec![template], vec![0, 1, 0]).is_err());
    assert!(new(vec![FrameDependencyTemplate { temporal: 1, ..template }], vec![0, 0, 0]).is_err());
    assert!(new(vec![template, FrameDependencyTemplate { spatial: 2, ..template }], vec![0, 0, 0]).is_err());
    let far = FrameDependencyTemplate { frame_diffs: FrameDiffs::new(&[17]).unwrap(), ..template };
    assert!(new(vec![far], vec![0, 0, 0]).is_err());
    assert!(
        FrameDependencyStructure::new(0, vec![template], vec![0, 0, 0], vec![Resolution { width: 0, height: 1 }])
            .is_err()
    );
}

#[test]
fn a_forwarder_counts_frames_anew_in_place() {
    let mut bytes = key_frame();
    let fields = MandatoryFields::parse(&bytes).unwrap();
    MandatoryFields { frame_number: 7, ..fields }.write_over(&mut bytes);
    let descriptor = DependencyDescriptor::parse(&bytes, None).unwrap();
    assert_eq!((descriptor.fields.frame_number, descriptor.fields.template_id), (7, 5));
    MandatoryFields { frame_number: 8, ..fields }.write_over(&mut bytes[..2]);
    assert_eq!(MandatoryFields::parse(&bytes).unwrap().frame_number, 7);
}

#[test]
fn a_forwarder_moves_ids_and_tells_fewer_targets_without_another_change() {
    let known = structure();
    let custom = bits("1 0 001001 0000000000000001 0 1 1 1 1 101 11 10 01 01 0011 10 00010000 00 11111111");
    let plain = vec![0x87, 0x12, 0x36];
    for bytes in [key_frame(), custom, plain] {
        let (before, active_at) = DependencyDescriptor::parse_for_rewrite(&bytes, Some(&known)).unwrap();
        for mask in [None, Some(0b001), Some(0b011)] {
            let rewrite = DescriptorRewrite {
                frame_number: 0xfff0,
                template_id: 62,
                active: mask.map(|mask| ActiveDecodeTargets { mask }),
                decode_targets: 3,
                active_at,
            };
            let mut dest = [0xff; 255];
            let len = rewrite.write_to(&bytes, &mut dest).unwrap();
            let moved = FrameDependencyStructure {
                template_id_offset: (known.template_id_offset + 62) & 0x3f,
                ..known.clone()
            };
            let after = DependencyDescriptor::parse(&dest[..len], Some(&moved)).unwrap();
            let fields = MandatoryFields {
                frame_number: before.fields.frame_number.wrapping_add(0xfff0),
                template_id: (before.fields.template_id + 62) & 0x3f,
                ..before.fields
            };
            let attached_structure = before.attached_structure.as_ref().map(|_| Box::new(moved));
            let active_decode_targets = mask.or(before.active_decode_targets);
            assert_eq!(
                after,
                DependencyDescriptor { fields, attached_structure, active_decode_targets, ..before.clone() }
            );
            assert_eq!(rewrite.write_to(&bytes, &mut dest[..len - 1]), None);
        }
    }
}

#[test]
fn masks_say_which_targets_have_a_frame_and_may_be_moved_up_to() {
    let all: DecodeTargetIndications = [NotPresent, Discardable, Switch, Required, Switch].into_iter().collect();
    assert_eq!((all.present(), all.switching()), (0b11110, 0b10100));
    let most: DecodeTargetIndications = std::iter::repeat_n(Switch, 32).collect();
    assert_eq!((most.present(), most.switching()), (u32::MAX, u32::MAX));
}
