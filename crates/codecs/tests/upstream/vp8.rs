//! VP8: payloads that libwebrtc's `VideoRtpDepacketizerVp8Test` makes (80859bc), by the names of its tests.

use codecs::{PictureId, TemporalLayer, Vp8Descriptor, Vp8DescriptorTruncated};

use super::hex;

fn parse(digits: &str) -> Vp8Descriptor {
    Vp8Descriptor::parse(&hex(digits)).unwrap()
}

#[test]
fn reads_what_libwebrtc_reads() {
    // BasicHeader.
    let basic = parse("14 01 00 00");
    assert_eq!((basic.len(), basic.partition, basic.is_non_reference), (1, 4, false));
    assert!(basic.is_start_of_partition && !basic.is_key_frame_start && !basic.is_frame_start());
    assert_eq!((basic.picture_id, basic.tl0_pic_idx, basic.temporal_layer, basic.key_idx), (None, None, None, None));
    // OneBytePictureID, TwoBytePictureID.
    let one = parse("a0 80 11 00");
    assert_eq!((one.picture_id, one.len()), (Some(PictureId::SevenBits(17)), 3));
    let two = parse("a0 80 92 34 00");
    assert_eq!((two.picture_id, two.len()), (Some(PictureId::FifteenBits(0x1234)), 4));
    // Tl0PicIdx, TIDAndLayerSync, KeyIdx.
    let tl0 = parse("80 40 11 00");
    assert_eq!((tl0.tl0_pic_idx, tl0.len()), (Some(17), 3));
    let layer = parse("80 20 80 00");
    assert_eq!(layer.temporal_layer, Some(TemporalLayer { id: 2, is_layer_sync: false }));
    let key = parse("80 10 11 00");
    assert_eq!((key.key_idx, key.len()), (Some(17), 3));
    // MultipleExtensions.
    let all = parse("a6 f0 92 34 2a 71 00");
    assert_eq!((all.is_non_reference, all.partition, all.len()), (true, 6, 6));
    assert_eq!((all.picture_id, all.tl0_pic_idx), (Some(PictureId::FifteenBits(0x1234)), Some(42)));
    assert_eq!((all.temporal_layer, all.key_idx), (Some(TemporalLayer { id: 1, is_layer_sync: true }), Some(17)));
    // WithPacketizer: what its packetizer writes of that header.
    let written = parse("b0 b0 81 2c 5f 00");
    assert_eq!((written.is_non_reference, written.picture_id), (true, Some(PictureId::FifteenBits(300))));
    assert_eq!(
        (written.temporal_layer, written.tl0_pic_idx, written.key_idx),
        (Some(TemporalLayer { id: 1, is_layer_sync: false }), None, Some(31))
    );
    // TooShortHeader, FailsOnEmptyPayload.
    for short in ["80 f0 91 11", ""] {
        assert_eq!(Vp8Descriptor::parse(&hex(short)), Err(Vp8DescriptorTruncated));
    }
}
