//! VP9 payload descriptors (`codecs`).

use codecs::{MAX_VP9_REFERENCES, MAX_VP9_SPATIAL_LAYERS, Vp9Descriptor};

/// An RTP payload: the descriptor lies inside, and rewriting it changes its numbers and nothing else.
pub fn vp9(data: &[u8]) {
    let Ok(descriptor) = Vp9Descriptor::parse(data) else { return };
    assert!(descriptor.len() < data.len());
    for offset in [descriptor.picture_id_offset(), descriptor.tl0_pic_idx_offset()].into_iter().flatten() {
        assert!(offset < descriptor.len());
    }
    assert!(descriptor.references.as_slice().len() <= MAX_VP9_REFERENCES);
    assert!(!descriptor.is_key_frame_start() || descriptor.is_picture_start() && descriptor.is_frame_start);
    if let Some(structure) = descriptor.structure {
        assert!((1..=MAX_VP9_SPATIAL_LAYERS).contains(&structure.spatial_layers()));
        assert!(structure.resolution(structure.spatial_layers()).is_none());
        assert_eq!(structure.group().count(), usize::from(structure.group_len()));
        assert!(structure.group().all(|picture| picture.references.len() <= MAX_VP9_REFERENCES));
    }

    let (picture_id, tl0_pic_idx) = (0x5a5a, 0xa5);
    let mut rewritten = data.to_vec();
    descriptor.rewrite(&mut rewritten, picture_id, tl0_pic_idx);
    assert_eq!(rewritten.get(descriptor.len()..), data.get(descriptor.len()..));
    let Ok(after) = Vp9Descriptor::parse(&rewritten) else { panic!("rewriting made the payload unreadable") };
    assert_eq!(after.tl0_pic_idx, descriptor.tl0_pic_idx.map(|_| tl0_pic_idx));
    let expected = descriptor.picture_id.map(|id| picture_id & ((1 << id.width_bits()) - 1));
    assert_eq!(after.picture_id.map(|id| id.get()), expected);
    assert_eq!(
        (after.len(), after.layer, after.references, after.structure),
        (descriptor.len(), descriptor.layer, descriptor.references, descriptor.structure)
    );
}
