//! Dependency descriptors that browsers sent, from jitsi-videobridge's `Av1DependencyDescriptorHeaderExtensionTest` (a29d97d),
//! and limits of libwebrtc's `RtpDependencyDescriptorExtensionTest`. The bytes lie in the corpus of the fuzz target.

use codecs::{ChainDiffs, DependencyDescriptor, DependencyDescriptorError, FrameDependencyStructure, FrameDiffs};

macro_rules! corpus {
    ($name:literal) => {
        include_bytes!(concat!("../../../../tests/fuzz/corpus/dependency_descriptor/", $name))
    };
}

/// What a key frame's descriptor is said to tell.
struct Key {
    what: &'static str,
    /// Its descriptor, and perhaps one that follows.
    file: &'static [u8],
    ends_frame: bool,
    frame_number: u16,
    decode_targets: u8,
    /// The highest.
    spatial: u8,
    temporal: u8,
}

const KEYS: [Key; 8] = [
    key("L1T1", corpus!("jvb-l1t1"), false, 0x0001, 1, (0, 0)),
    key("L1T3", corpus!("jvb-l1t3"), false, 0x0001, 3, (0, 2)),
    key("L3T3 of Chrome 112", corpus!("jvb-l3t3"), true, 0x0134, 9, (2, 2)),
    key("L3T3_KEY", corpus!("jvb-l3t3-key"), false, 0x0085, 9, (2, 2)),
    key("another L3T3_KEY", corpus!("jvb-l3t3-key-2"), false, 0x03ca, 9, (2, 2)),
    key("L2T2_KEY_SHIFT of Chrome 111", corpus!("jvb-l2t2-key-shift"), false, 0x00ed, 4, (1, 1)),
    key("S3T3", corpus!("jvb-s3t3"), true, 0x0001, 9, (2, 2)),
    key("VP8 of Chrome 126, without chains", corpus!("jvb-vp8-without-chains"), false, 0x0013, 3, (0, 2)),
];

const fn key(
    what: &'static str,
    file: &'static [u8],
    ends_frame: bool,
    frame_number: u16,
    decode_targets: u8,
    (spatial, temporal): (u8, u8),
) -> Key {
    Key { what, file, ends_frame, frame_number, decode_targets, spatial, temporal }
}

/// The extensions of a file, each behind its length.
fn extensions(file: &[u8]) -> Vec<&[u8]> {
    let (mut extensions, mut left) = (Vec::new(), file);
    while let Some((len, rest)) = left.split_first() {
        let (extension, rest) = rest.split_at(usize::from(*len));
        extensions.push(extension);
        left = rest;
    }
    extensions
}

fn structure(bytes: &[u8]) -> Box<FrameDependencyStructure> {
    DependencyDescriptor::parse(bytes, None).unwrap().attached_structure.unwrap()
}

#[test]
fn reads_what_browsers_send_with_key_frames() {
    for Key { what, file, ends_frame, frame_number, decode_targets, spatial, temporal } in KEYS {
        let bytes = extensions(file)[0];
        let descriptor = DependencyDescriptor::parse(bytes, None).unwrap_or_else(|error| panic!("{what}: {error}"));
        let fields = descriptor.fields;
        assert!(fields.is_start_of_frame && fields.is_end_of_frame == ends_frame, "{what}");
        assert_eq!(fields.frame_number, frame_number, "{what}");
        assert_eq!((descriptor.spatial, descriptor.temporal), (0, 0), "{what}");
        let structure = descriptor.attached_structure.as_ref().unwrap();
        assert_eq!(structure.decode_targets(), decode_targets, "{what}");
        assert_eq!(descriptor.active_decode_targets, Some((1 << decode_targets) - 1), "{what}");
        let highest = |layer: fn(&codecs::FrameDependencyTemplate) -> u8| structure.templates().iter().map(layer).max();
        assert_eq!(highest(|template| template.spatial), Some(spatial), "{what}");
        assert_eq!(highest(|template| template.temporal), Some(temporal), "{what}");
    }
}

#[test]
fn writes_them_again_to_the_byte() {
    for Key { what, file, .. } in KEYS {
        let bytes = extensions(file)[0];
        let structure = structure(bytes);
        let mut written = [0xff; 255];
        let len = DependencyDescriptor::parse(bytes, None).unwrap().write_to(&structure, &mut written).unwrap();
        assert_eq!(&written[..len], bytes, "{what}");
    }
}

#[test]
fn reads_what_follows_by_the_structure_before() {
    let follow = |file: &[u8]| {
        let [key, next] = extensions(file)[..] else { panic!("one alone") };
        assert_eq!(DependencyDescriptor::parse(next, None), Err(DependencyDescriptorError::NoStructure));
        let structure = structure(key);
        let descriptor = DependencyDescriptor::parse(next, Some(&structure)).unwrap();
        assert_eq!(descriptor.attached_structure, None);
        let mut written = [0xff; 255];
        let len = descriptor.write_to(&structure, &mut written).unwrap();
        assert_eq!(&written[..len], next);
        let fields = descriptor.fields;
        let layer = (descriptor.spatial, descriptor.temporal);
        let packet = (fields.is_start_of_frame, fields.is_end_of_frame, fields.frame_number);
        (packet, layer, descriptor.active_decode_targets)
    };
    let next = follow(corpus!("jvb-l3t3"));
    assert_eq!(next, ((true, true, 0x0146), (0, 1), Some(0b111)));
    let next = follow(corpus!("jvb-l3t3-key-2"));
    assert_eq!(next, ((true, true, 0x03ce), (0, 1), Some(0b111)));
    let next = follow(corpus!("jvb-l1t1"));
    assert_eq!(next, ((false, true, 0x0001), (0, 0), None));
}

/// `RoundTripsFrameDiffsUpToLimit`, `RoundTripsChainDiffUpToLimit`.
#[test]
fn distances_reach_as_far_as_libwebrtc_s() {
    let file = extensions(corpus!("jvb-l1t3"));
    let structure = structure(file[0]);
    let plain = DependencyDescriptor::parse(file[0], None).unwrap();
    let again = |descriptor: &DependencyDescriptor| {
        let mut written = [0xff; 64];
        let len = descriptor.write_to(&structure, &mut written).unwrap();
        DependencyDescriptor::parse(&written[..len], Some(&structure)).unwrap()
    };
    for diff in [1, 16, 17, 256, 257, 4096] {
        let mut descriptor = DependencyDescriptor { attached_structure: None, ..plain.clone() };
        descriptor.frame_diffs = FrameDiffs::new(&[diff]).unwrap();
        assert_eq!(again(&descriptor).frame_diffs.as_slice(), [diff]);
    }
    let mut descriptor = DependencyDescriptor { attached_structure: None, ..plain.clone() };
    descriptor.chain_diffs = ChainDiffs::new(&[255]);
    assert_eq!(again(&descriptor).chain_diffs.as_slice(), [255]);
}
