//! VP8 payload descriptors (`codecs`).

use codecs::{MAX_VP8_DESCRIPTOR_LEN, Vp8Descriptor};

/// An RTP payload: the descriptor lies inside, and rewriting it changes its numbers and nothing else.
pub fn vp8(data: &[u8]) {
    let Ok(descriptor) = Vp8Descriptor::parse(data) else { return };
    assert!(descriptor.len() <= MAX_VP8_DESCRIPTOR_LEN && descriptor.len() < data.len());
    for offset in [descriptor.picture_id_offset(), descriptor.tl0_pic_idx_offset()].into_iter().flatten() {
        assert!(offset < descriptor.len());
    }
    assert!(descriptor.resolution.is_none() || descriptor.is_key_frame_start);

    let (picture_id, tl0_pic_idx) = (0x5a5a, 0xa5);
    let mut rewritten = data.to_vec();
    descriptor.rewrite(&mut rewritten, picture_id, tl0_pic_idx);
    assert_eq!(rewritten.get(descriptor.len()..), data.get(descriptor.len()..));
    let prefix = descriptor.picture().rewritten(data, picture_id, tl0_pic_idx);
    let prefix = prefix.as_bytes();
    assert!(prefix.len() <= descriptor.len());
    assert_eq!(rewritten.get(..prefix.len()), Some(prefix));
    assert_eq!(rewritten.get(prefix.len()..), data.get(prefix.len()..));
    let Ok(after) = Vp8Descriptor::parse(&rewritten) else { panic!("rewriting made the payload unreadable") };
    assert_eq!(after.len(), descriptor.len());
    assert_eq!(after.tl0_pic_idx, descriptor.tl0_pic_idx.map(|_| tl0_pic_idx));
    assert_eq!(
        after.picture_id.map(|id| id.get()),
        descriptor.picture_id.map(|id| picture_id & ((1 << id.width_bits()) - 1))
    );
    assert_eq!(
        (after.is_key_frame_start, after.resolution, after.temporal_layer),
        (descriptor.is_key_frame_start, descriptor.resolution, descriptor.temporal_layer)
    );
}
