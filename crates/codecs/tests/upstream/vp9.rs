//! VP9: packets captured of browsers, from jitsi-videobridge's `Vp9PacketTest` (a29d97d), and payloads that libwebrtc's
//! `VideoRtpDepacketizerVp9Test` makes (80859bc).

use codecs::{PictureId, Resolution, Vp9Descriptor, Vp9DescriptorError};

use super::hex;

/// What a packet is said to be: `S` starts and `E` ends a frame, `K` of a key picture, `P` refers to earlier pictures, `R` is
/// referred to by a higher spatial layer, `U` lets temporal layers above begin, `D` refers to the layer below.
struct Packet {
    what: &'static str,
    payload: &'static str,
    is: &'static str,
    picture_id: u16,
    /// Temporal and spatial.
    layer: Option<(u8, u8)>,
    tl0_pic_idx: Option<u8>,
    descriptor_len: usize,
}

/// `Vp9PacketTest.testPackets`, from their payload on, cut.
const CAPTURED: [Packet; 19] = [
    Packet {
        what: "Chrome: Start of keyframe (with SS) in K-SVC stream",
        payload: "aa9e6500fd58014000b402800168050002d0040404540134025401834983420013f00b3827f8167858e0907063a8000f",
        is: "SKR",
        picture_id: 7781,
        layer: Some((0, 0)),
        tl0_pic_idx: Some(253),
        descriptor_len: 27,
    },
    Packet {
        what: "Middle of keyframe (SID = 0)",
        payload: "a09e6500fd1989b602dbf8c9bf071d00b3e3ccf1135bd14a",
        is: "KR",
        picture_id: 7781,
        layer: Some((0, 0)),
        tl0_pic_idx: Some(253),
        descriptor_len: 5,
    },
    Packet {
        what: "End of keyframe (SID = 0)",
        payload: "a49e6500fd65019dea53fb1ec89768361a113523c6da88c9",
        is: "EKR",
        picture_id: 7781,
        layer: Some((0, 0)),
        tl0_pic_idx: Some(253),
        descriptor_len: 5,
    },
    Packet {
        what: "Beginning of SID=1 in keyframe picture",
        payload: "a89e6503fd8702020004fe02cf04ff02cf9121c120e0c81080",
        is: "SRD",
        picture_id: 7781,
        layer: Some((0, 1)),
        tl0_pic_idx: Some(253),
        descriptor_len: 5,
    },
    Packet {
        what: "Middle of SID=1 in keyframe picture",
        payload: "a09e6503fd08d6c732b4351ba6a440acb18ae6c444d02f89e2",
        is: "RD",
        picture_id: 7781,
        layer: Some((0, 1)),
        tl0_pic_idx: Some(253),
        descriptor_len: 5,
    },
    Packet {
        what: "End of SID=1 in keyframe picture",
        payload: "a49e6503fd2993d7ab77552b9ff92cb2f64cfd3dc9f81c8db7",
        is: "ERD",
        picture_id: 7781,
        layer: Some((0, 1)),
        tl0_pic_idx: Some(253),
        descriptor_len: 5,
    },
    Packet {
        what: "Beginning of SID=2 in keyframe picture",
        payload: "a99e6505fd8704242009fe059ec48704838320830089007fbc",
        is: "SD",
        picture_id: 7781,
        layer: Some((0, 2)),
        tl0_pic_idx: Some(253),
        descriptor_len: 5,
    },
    Packet {
        what: "End of SID=2 in keyframe picture -- end of picture",
        payload: "a59e6505fd646f37516a6889fea39038cbc29dcde9702e8495",
        is: "ED",
        picture_id: 7781,
        layer: Some((0, 2)),
        tl0_pic_idx: Some(253),
        descriptor_len: 5,
    },
    Packet {
        what: "Complete SID=0,TID=1 K-SVC frame",
        payload: "ed9e6650fd87080060027e016704ff02cfc487048383208000",
        is: "SEPU",
        picture_id: 7782,
        layer: Some((2, 0)),
        tl0_pic_idx: Some(253),
        descriptor_len: 5,
    },
    Packet {
        what: "Complete SID=1,TID=1 K-SVC frame",
        payload: "ed9e6652fd8710228004fe02cf04ff02cf9211c120e0cab080",
        is: "SEPU",
        picture_id: 7782,
        layer: Some((2, 1)),
        tl0_pic_idx: Some(253),
        descriptor_len: 5,
    },
    Packet {
        what: "Complete SID=2,TID=1 K-SVC frame",
        payload: "ed9e6654fd8700444009fe059ec8c70483832b83001c007e20",
        is: "SEPU",
        picture_id: 7782,
        layer: Some((2, 2)),
        tl0_pic_idx: Some(253),
        descriptor_len: 5,
    },
    Packet {
        what: "Beginning of window capture keyframe - contains SS, 1 layer",
        payload: "8ba55818062804860104018249834200627048547638241c19a01803105f85",
        is: "SK",
        picture_id: 9560,
        layer: None,
        tl0_pic_idx: None,
        descriptor_len: 11,
    },
    Packet {
        what: "Middle of window capture keyframe",
        payload: "81a5589089bebb979590638f183ac76bc650cde64144de",
        is: "K",
        picture_id: 9560,
        layer: None,
        tl0_pic_idx: None,
        descriptor_len: 3,
    },
    Packet {
        what: "End of window capture keyframe",
        payload: "85a5587da09c7d64214a918874bb6b9cde16ef67545921",
        is: "EK",
        picture_id: 9560,
        layer: None,
        tl0_pic_idx: None,
        descriptor_len: 3,
    },
    Packet {
        what: "Complete window capture non-keyframe",
        payload: "c9a55a8600409218fc5a0330101c060301f8c9e03049a2",
        is: "SP",
        picture_id: 9562,
        layer: None,
        tl0_pic_idx: None,
        descriptor_len: 3,
    },
    Packet {
        what: "Beginning of Firefox 75 keyframe - no scalability",
        payload: "8adbd818050002d001040183498342004ff02cf050e0907063486011805fcf",
        is: "SKR",
        picture_id: 23512,
        layer: None,
        tl0_pic_idx: None,
        descriptor_len: 11,
    },
    Packet {
        what: "Beginning of Firefox 77 keyframe - only temporal scalability",
        payload: "aae53e005b18050002d00404045401340248010283498342004ff02cf098e0907064a0600f005fcb",
        is: "SKR",
        picture_id: 25918,
        layer: Some((0, 0)),
        tl0_pic_idx: Some(91),
        descriptor_len: 20,
    },
    Packet {
        what: "Beginning of Chrome 91 tab capture non-key frame flexible mode with 1 reference",
        payload: "f8ec570002870100093f1c120e0cd0198080e030180f824f01",
        is: "SPR",
        picture_id: 27735,
        layer: Some((0, 0)),
        tl0_pic_idx: None,
        descriptor_len: 5,
    },
    Packet {
        what: "Temporally-scalable portrait mode",
        payload: "bed1d6101000b4014083498342000b3013f8167827",
        is: "SEKRU",
        picture_id: 20950,
        layer: Some((0, 0)),
        tl0_pic_idx: None,
        descriptor_len: 9,
    },
];

#[test]
fn reads_what_browsers_send() {
    for packet in CAPTURED {
        let payload = hex(packet.payload);
        let descriptor = Vp9Descriptor::parse(&payload).unwrap_or_else(|error| panic!("{}: {error}", packet.what));
        let layer = descriptor.layer;
        let marks = [
            ('S', descriptor.is_frame_start),
            ('E', descriptor.is_frame_end),
            // Upstream takes a packet in the middle of a key frame for one of a key picture too.
            ('K', descriptor.is_key_frame_start() || !descriptor.is_frame_start && packet.is.contains('K')),
            ('P', descriptor.is_inter_picture_predicted),
            ('R', !descriptor.is_not_reference_for_upper_spatial),
            ('U', layer.is_some_and(|layer| layer.is_switching_up_point)),
            ('D', layer.is_some_and(|layer| layer.depends_on_lower_spatial)),
        ];
        let is: String = marks.iter().filter(|(_, holds)| *holds).map(|(mark, _)| *mark).collect();
        assert_eq!(is, packet.is, "{}", packet.what);
        assert_eq!(descriptor.picture_id.map(PictureId::get), Some(packet.picture_id), "{}", packet.what);
        assert_eq!(layer.map(|layer| (layer.temporal, layer.spatial)), packet.layer, "{}", packet.what);
        assert_eq!(descriptor.tl0_pic_idx, packet.tl0_pic_idx, "{}", packet.what);
        assert_eq!(descriptor.len(), packet.descriptor_len, "{}", packet.what);
    }
}

#[test]
fn reads_the_sizes_that_browsers_tell() {
    let sizes = |what: &str| -> Vec<(u16, u16)> {
        let packet = CAPTURED.iter().find(|packet| packet.what.starts_with(what)).unwrap();
        let payload = hex(packet.payload);
        let structure = Vp9Descriptor::parse(&payload).unwrap().structure.unwrap();
        let sizes = (0..structure.spatial_layers()).filter_map(|spatial| structure.resolution(spatial));
        sizes.map(|Resolution { width, height }| (width, height)).collect()
    };
    assert_eq!(sizes("Chrome: Start of keyframe"), [(320, 180), (640, 360), (1280, 720)]);
    assert_eq!(sizes("Beginning of Firefox 75"), [(1280, 720)]);
    assert_eq!(sizes("Beginning of Firefox 77"), [(1280, 720)]);
    assert_eq!(sizes("Temporally-scalable portrait"), [(180, 320)]);
}

/// Bytes behind the descriptor stand for a frame.
fn parse(bytes: &[u8]) -> Result<Vp9Descriptor<'_>, Vp9DescriptorError> {
    Vp9Descriptor::parse(bytes)
}

/// `VideoRtpDepacketizerVp9Test`, by the names of its tests. `ParseRefIdxFailsWithNoPictureId` is not among them: what refers to
/// pictures without a number is left to decoders.
#[test]
fn reads_what_libwebrtc_reads() {
    // ParseBasicHeader, ParseFirstPacketInKeyFrame, ParseLastPacketInDeltaFrame.
    let basic = parse(&[0x0c, 0, 0, 0]).unwrap();
    assert!(basic.is_frame_start && basic.is_frame_end && basic.len() == 1 && basic.layer.is_none());
    let first = parse(&[0x08, 0]).unwrap();
    assert!(first.is_key_frame_start() && first.is_frame_start && !first.is_frame_end);
    let last = parse(&[0x44, 0]).unwrap();
    assert!(last.is_inter_picture_predicted && !last.is_frame_start && last.is_frame_end);
    // ParseOneBytePictureId, ParseTwoBytePictureId.
    let one = parse(&[0x80, 0x7f, 0]).unwrap();
    assert_eq!((one.picture_id, one.len()), (Some(PictureId::SevenBits(0x7f)), 2));
    let two = parse(&[0x80, 0xff, 0xff, 0]).unwrap();
    assert_eq!((two.picture_id, two.len()), (Some(PictureId::FifteenBits(0x7fff)), 3));
    // ParseLayerInfoWithNonFlexibleMode, ParseLayerInfoWithFlexibleMode.
    let layered = parse(&[0x20, 2 << 5 | 1 << 4 | 1 << 1 | 1, 17, 0]).unwrap();
    let layer = layered.layer.unwrap();
    assert_eq!((layer.temporal, layer.spatial, layered.tl0_pic_idx, layered.len()), (2, 1, Some(17), 3));
    assert!(layer.is_switching_up_point && layer.depends_on_lower_spatial);
    let flexible = parse(&[0x38, 2 << 5 | 1 << 4, 0]).unwrap();
    let layer = flexible.layer.unwrap();
    assert_eq!((layer.temporal, layer.spatial, flexible.tl0_pic_idx, flexible.len()), (2, 0, None, 2));
    assert!(flexible.is_flexible && layer.is_switching_up_point && !layer.depends_on_lower_spatial);
    // ParseRefIdx, ParseRefIdxFailsWithTooManyRefPics.
    let references = parse(&[0xd8, 0x80, 17, 17 << 1 | 1, 18 << 1 | 1, 127 << 1, 0]).unwrap();
    assert_eq!((references.references.as_slice(), references.len()), (&[17, 18, 127][..], 6));
    let many = parse(&[0xd8, 0x7f, 3 << 1 | 1, 3 << 1 | 1, 3 << 1 | 1, 3 << 1, 0]);
    assert_eq!(many, Err(Vp9DescriptorError::TooManyReferences));
    // ParseSsData, ParseResolution.
    let structured = parse(&[0x0a, 1 << 5 | 1 << 3, 2, 1 << 4, 2 << 5 | 1 << 2, 33, 0]).unwrap();
    let structure = structured.structure.unwrap();
    assert_eq!((structure.spatial_layers(), structured.len(), structure.resolution(0)), (2, 6, None));
    let group: Vec<_> = structure
        .group()
        .map(|picture| (picture.temporal, picture.is_switching_up_point, picture.references.to_vec()))
        .collect();
    assert_eq!(group, [(0, true, vec![]), (2, false, vec![33])]);
    let sizes = hex("0a30028001680500 02d0 00");
    let structure = parse(&sizes).unwrap().structure.unwrap();
    let heights = [0, 1].map(|spatial| structure.resolution(spatial).map(|size| (size.width, size.height)));
    assert_eq!(heights, [Some((640, 360)), Some((1280, 720))]);
    // ParseFailsForNoPayloadLength, ParseFailsForTooShortBufferToFitPayload.
    for short in [&[][..], &[0]] {
        assert_eq!(parse(short), Err(Vp9DescriptorError::Truncated));
    }
    // ParseNonRefForInterLayerPred.
    assert!(!parse(&[0x08, 0]).unwrap().is_not_reference_for_upper_spatial);
    assert!(parse(&[0x05, 0]).unwrap().is_not_reference_for_upper_spatial);
    // InterLayerPredOnlyFrameMerkedAsDelta.
    let delta = parse(&[0x20, 1, 0, 0]).unwrap();
    assert!(!delta.is_key_frame_start() && !delta.is_picture_start());
}
