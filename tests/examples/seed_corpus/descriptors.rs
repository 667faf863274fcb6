//! Seeds of payload descriptors, by hand after RFC 7741, RFC 9628, RFC 6184 and the AOM RTP payload format of AV1.

use crate::media::VP8_KEYFRAME;
use crate::{Seed, seed};

pub(crate) fn vp8() -> Vec<Seed> {
    vec![
        seed("keyframe", VP8_KEYFRAME),
        seed("delta-frame", [0x90, 0xe0, 0x81, 0x24, 8, 0x60, 0x31, 2, 0]),
        seed("second-packet-of-frame", [0x80, 0xe0, 0x81, 0x24, 8, 0x60, 0xaa, 0xbb]),
        seed("short-picture-id", [0x90, 0x80, 0x23, 0x10, 2, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xb4, 0]),
        seed("least-descriptor", [0x10, 0x10, 2, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xb4, 0]),
        seed("only-key-index", [0x90, 0x10, 0x1f, 0x31]),
        seed("partition-7", [0x07, 1]),
        seed("non-reference", [0xb0, 0x60, 9, 0xc0, 0x31, 0]),
        seed("keyframe-without-start-code", [0x10, 0x10, 2, 0, 1, 2, 3, 4, 5, 6, 7]),
        seed("keyframe-truncated", [0x10, 0x10, 2]),
        seed("descriptor-only", [0x90, 0xf0, 0x81, 0x23, 7, 0x20]),
        seed("extension-missing", [0x80]),
    ]
}

/// A key picture of three spatial layers with sizes and a pattern of four pictures.
const VP9_KEY_PICTURE: [u8; 32] = [
    0xaa, 0x92, 0x34, 0x10, 7, 0x58, 0x01, 0x40, 0x00, 0xb4, 0x02, 0x80, 0x01, 0x68, 0x05, 0x00, 0x02, 0xd0, 4, 0x14,
    4, 0x54, 1, 0x34, 2, 0x58, 1, 2, 0x14, 1, 2, 3,
];

pub(crate) fn vp9() -> Vec<Seed> {
    vec![
        seed("key-picture", VP9_KEY_PICTURE),
        seed("upper-layer-of-key-picture", [0xa8, 0x92, 0x34, 0x13, 7, 1, 2]),
        seed("delta-non-flexible", [0xec, 0x92, 0x35, 0x40, 7, 1, 2]),
        seed("delta-flexible", [0xfc, 0x92, 0x35, 0x44, 3, 9, 4, 1, 2]),
        seed("short-picture-id", [0xac, 0x12, 0x00, 7, 1]),
        seed("least-descriptor", [0x0c, 1]),
        seed("structure-without-sizes", [0x0a, 0x20, 1]),
        seed("structure-group-of-255", [&[0x0a, 0x08, 255][..], &[0x10; 256]].concat()),
        seed("four-references", [0x58, 3, 3, 3, 2, 9]),
        seed("structure-truncated", [0x0a, 0xf8, 1, 2, 3, 4]),
        seed("descriptor-only", [0xe8, 0x92, 0x34, 0x10, 7]),
    ]
}

/// Sequence header of 320x180 as libaom writes it, without size.
const AV1_SEQUENCE_HEADER: [u8; 12] = [0x08, 0x00, 0x00, 0x00, 0x04, 0x3c, 0xfe, 0xcc, 0xda, 0xf9, 0x00, 0x40];

pub(crate) fn av1() -> Vec<Seed> {
    let key = |first: u8| [&[first, 12][..], &AV1_SEQUENCE_HEADER, &[0x30, 0x10, 0, 1, 2]].concat();
    vec![
        seed("key-frame", key(0x28)),
        seed("key-frame-goes-on", key(0x68)),
        seed("sequence-header-repeated", key(0x20)),
        seed("one-element", [0x10, 0x30, 1, 2, 3]),
        seed("continued", [0x90, 7, 8, 9]),
        seed("four-elements", [0x00, 1, 0x10, 2, 0x30, 7, 0x81, 0x00, 0x40, 0]),
        seed("extension-header", [0x10, 0x34, 0x48, 1, 2]),
        seed("padding-behind", [0x20, 3, 0x30, 1, 2, 0x78, 0x80]),
        seed("length-beyond-payload", [0x20, 9, 0x30, 1]),
        seed("length-without-end", [0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        seed("sequence-header-truncated", [0x18, 0x08, 0x00, 0x00]),
        seed("aggregation-header-only", [0x10]),
    ]
}

pub(crate) fn h264() -> Vec<Seed> {
    let sps = [0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41, 0x9f, 0x9f, 0x01, 0x10, 0, 0, 3, 0];
    let sps_with_scaling = [0x67, 0x64, 0x00, 0x28, 0xad, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let aggregate = [&[0x78, 0, 15][..], &sps, &[0, 4, 0x68, 0xcb, 0x83, 0xcb, 0, 3, 0x65, 0x88, 0x84]].concat();
    vec![
        seed("parameter-sets-and-idr", aggregate.clone()),
        seed("aggregate-truncated", aggregate.get(..20).unwrap_or_default()),
        seed("sps", sps),
        seed("sps-with-scaling-lists", sps_with_scaling),
        seed("sps-truncated", [0x67, 0x42, 0xc0]),
        seed("slice", [0x41, 0x9a, 0x24, 0x6c]),
        seed("later-slice", [0x41, 0x42, 0x24]),
        seed("slice-nothing-refers-to", [0x01, 0x9a, 0x24]),
        seed("first-fragment-of-idr", [0x7c, 0x85, 0x88, 0x84, 1]),
        seed("middle-fragment", [0x7c, 0x05, 1, 2]),
        seed("last-fragment", [0x7c, 0x45, 1, 2]),
        seed("fragment-first-and-last", [0x7c, 0xc5, 1]),
        seed("interleaved", [0x79, 0, 1, 0, 1, 0x41]),
        seed("empty-units", [0x78, 0, 0, 0, 0, 0, 0]),
    ]
}

/// A key frame with the structure of L1T3: three temporal layers, one chain, 1280x720.
const L1T3_KEY_FRAME: [u8; 20] = [
    0xc5, 0x12, 0x34, 0x80, 0xa2, 0x14, 0xea, 0xa8, 0x60, 0x41, 0x4d, 0x14, 0x10, 0x20, 0x84, 0x27, 0x04, 0xff, 0x02,
    0xcf,
];

/// Descriptors, each behind its length.
fn stream(descriptors: &[&[u8]]) -> Vec<u8> {
    descriptors.iter().flat_map(|bytes| [&[bytes.len() as u8], *bytes].concat()).collect()
}

pub(crate) fn dependency_descriptor() -> Vec<Seed> {
    let key = L1T3_KEY_FRAME.as_slice();
    // Template 9 with own indications, references and chains.
    let custom = [0x89, 0x00, 0x01, 0x7d, 0xe5, 0x38, 0x43, 0xff, 0xf3, 0xfc];
    vec![
        seed("key-frame", stream(&[key])),
        seed("key-and-delta-frames", stream(&[key, &[0xc8, 0x12, 0x35], &[0xc7, 0x12, 0x36], &[0xc9, 0x12, 0x37]])),
        seed("custom-everything", stream(&[key, &custom])),
        seed("active-targets-only", stream(&[key, &[0xc6, 0x12, 0x38, 0x48]])),
        seed("without-structure", stream(&[&[0xc6, 0x12, 0x38]])),
        seed("unknown-template", stream(&[key, &[0xff, 0x12, 0x38]])),
        seed("structure-truncated", stream(&[key.get(..12).unwrap_or_default()])),
        seed("too-many-templates", stream(&[&[[0xc0, 0, 0, 0x80, 0].as_slice(), &[0; 30]].concat()])),
        seed("too-short", stream(&[&[0xc0, 0]])),
    ]
}
