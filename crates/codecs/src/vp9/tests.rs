use super::*;

/// A key picture of three spatial layers as libwebrtc sends it in non-flexible mode: sizes and a pattern of four pictures.
const KEY_PICTURE: [u8; 34] = [
    0xaa, 0x92, 0x34, 0x10, 7, // I, L, B, V; picture id; TID 0, U, SID 0; TL0PICIDX
    0x58, 0x01, 0x40, 0x00, 0xb4, 0x02, 0x80, 0x01, 0x68, 0x05, 0x00, 0x02, 0xd0, // N_S 2, Y, G; 320x180 and up
    4, 0x14, 4, 0x54, 1, 0x34, 2, 0x58, 1, 2, // N_G 4
    0x14, 1, 2, 3, 4, 5, // what stands behind
];

#[test]
fn reads_a_key_picture_with_scalability_structure() {
    let descriptor = Vp9Descriptor::parse(&KEY_PICTURE).unwrap();
    assert_eq!(descriptor.len(), 28);
    assert_eq!(descriptor.picture_id, Some(PictureId::FifteenBits(0x1234)));
    assert_eq!((descriptor.picture_id_offset(), descriptor.tl0_pic_idx_offset()), (Some(1), Some(4)));
    assert_eq!(descriptor.tl0_pic_idx, Some(7));
    let layer =
        Vp9LayerIndices { temporal: 0, is_switching_up_point: true, spatial: 0, depends_on_lower_spatial: false };
    assert_eq!(descriptor.layer, Some(layer));
    assert!(descriptor.is_frame_start && !descriptor.is_frame_end && !descriptor.is_flexible);
    assert!(descriptor.is_picture_start() && descriptor.is_key_frame_start());
    assert_eq!(descriptor.resolution(), Some(Resolution { width: 1280, height: 720 }));

    let structure = descriptor.structure.unwrap();
    assert_eq!((structure.spatial_layers(), structure.group_len()), (3, 4));
    let heights: Vec<_> = (0..4).map(|spatial| structure.resolution(spatial).map(|size| size.height)).collect();
    assert_eq!(heights, [Some(180), Some(360), Some(720), None]);
    let group: Vec<_> = structure
        .group()
        .map(|picture| (picture.temporal, picture.is_switching_up_point, picture.references))
        .collect();
    assert_eq!(group, [(0, true, &[4][..]), (2, true, &[1]), (1, true, &[2]), (2, true, &[1, 2])]);
}

#[test]
fn upper_layers_of_a_key_picture_start_no_picture() {
    // I, L, B; SID 1 with inter-layer prediction, no inter-picture prediction.
    let upper = Vp9Descriptor::parse(&[0xa8, 0x05, 0x13, 7, 1]).unwrap();
    assert_eq!((upper.picture_id, upper.spatial()), (Some(PictureId::SevenBits(5)), 1));
    assert!(upper.is_frame_start && !upper.is_picture_start() && !upper.is_key_frame_start());
    assert!(upper.is_spatial_switching_point());
    // The same layer of the next picture, K-SVC: P set, D clear.
    let next = Vp9Descriptor::parse(&[0xe8, 0x06, 0x12, 8, 1]).unwrap();
    assert!(!next.is_picture_start() && !next.is_spatial_switching_point());
}

#[test]
fn reads_references_of_flexible_mode() {
    let parse = |bytes: &[u8]| Vp9Descriptor::parse(bytes).map(|descriptor| descriptor.references.as_slice().to_vec());
    assert_eq!(parse(&[0x58, 1 << 1, 9]), Ok(vec![1]));
    assert_eq!(parse(&[0x58, 1 << 1 | 1, 127 << 1 | 1, 3 << 1, 9]), Ok(vec![1, 127, 3]));
    assert_eq!(parse(&[0x58, 3, 3, 3, 2, 9]), Err(Vp9DescriptorError::TooManyReferences));
    assert_eq!(parse(&[0x58, 3, 3]), Err(Vp9DescriptorError::Truncated));
    // Without P there is no list.
    assert_eq!(parse(&[0x18, 9]), Ok(vec![]));
    // No TL0PICIDX in flexible mode.
    let flexible = Vp9Descriptor::parse(&[0x3c, 0x34, 9]).unwrap();
    assert_eq!((flexible.tl0_pic_idx, flexible.layer.unwrap().temporal, flexible.spatial()), (None, 1, 2));
}

#[test]
fn refuses_what_ends_inside_the_descriptor_or_right_behind_it() {
    for len in 0..=28 {
        assert_eq!(Vp9Descriptor::parse(&KEY_PICTURE[..len]), Err(Vp9DescriptorError::Truncated), "{len}");
    }
    assert!(Vp9Descriptor::parse(&KEY_PICTURE[..29]).is_ok());
}

#[test]
fn a_structure_without_sizes_or_pattern_is_one_byte() {
    let descriptor = Vp9Descriptor::parse(&[0x0a, 0x20, 9]).unwrap();
    let structure = descriptor.structure.unwrap();
    assert_eq!((structure.spatial_layers(), structure.group_len(), structure.resolution(0)), (2, 0, None));
    assert_eq!((descriptor.len(), descriptor.resolution()), (2, None));
}

#[test]
fn rewriting_keeps_width_and_everything_else() {
    let descriptor = Vp9Descriptor::parse(&KEY_PICTURE).unwrap();
    let mut payload = KEY_PICTURE;
    descriptor.rewrite(&mut payload, 0xffff, 9);
    assert_eq!(payload[..5], [0xaa, 0xff, 0xff, 0x10, 9]);
    assert_eq!(payload[5..], KEY_PICTURE[5..]);
    let mut seven = [0xa8, 0x05, 0x13, 7, 1];
    let original = seven;
    Vp9Descriptor::parse(&original).unwrap().rewrite(&mut seven, 0x1ff, 8);
    assert_eq!(seven, [0xa8, 0x7f, 0x13, 8, 1]);
}

#[test]
fn any_three_first_bytes_are_an_answer() {
    for first in 0..=u16::MAX {
        let [a, b] = first.to_be_bytes();
        for c in [0, 0x7f, 0x80, 0xff] {
            let payload = [a, b, c, 0x01, 0x02, 0x03, 0x04, 0x05];
            for len in 0..payload.len() {
                if let Ok(descriptor) = Vp9Descriptor::parse(&payload[..len]) {
                    assert!(descriptor.len() < len);
                    assert!(
                        descriptor
                            .structure
                            .is_none_or(|structure| structure.group().count() == usize::from(structure.group_len()))
                    );
                }
            }
        }
    }
}
