//! Seeds of RTP and SRTP, by hand after RFC 3550 §5.1, RFC 8285, RFC 4588.

use crate::{Seed, seed};

/// The fixed header: `first` is version, padding, extension and CSRC count; `second` is marker and payload type.
fn header(first: u8, second: u8) -> Vec<u8> {
    vec![first, second, 0x12, 0x34, 0, 1, 0x51, 0x80, 0xde, 0xad, 0xbe, 0xef]
}

/// A packet of that header, what follows it up to the payload, and the payload.
fn packet(first: u8, second: u8, between: &[u8], payload: &[u8]) -> Vec<u8> {
    [header(first, second).as_slice(), between, payload].concat()
}

/// One-byte extensions as Chromium sends them: abs-send-time (3), transport-wide number (5), audio level (1), padding.
const ONE_BYTE: [u8; 16] = [0xbe, 0xde, 0, 3, 0x32, 1, 2, 3, 0x51, 0, 7, 0x10, 0x85, 0, 0, 0];
/// Two-byte extensions: an empty one, one of four bytes, padding.
const TWO_BYTE: [u8; 16] = [0x10, 0, 0, 3, 9, 0, 5, 4, 1, 2, 3, 4, 0, 0, 0, 0];
/// VP8 with extended descriptor: picture number, TL0PICIDX, TID and a key frame's first bytes.
pub(crate) const VP8_KEYFRAME: [u8; 16] =
    [0x90, 0xe0, 0x81, 0x23, 7, 0x20, 0x10, 2, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x68, 1];

pub(crate) fn rtp() -> Vec<Seed> {
    vec![
        seed("fixed-header-only", header(0x80, 111)),
        seed("opus", packet(0x90, 111, &ONE_BYTE, &[0x78, 1, 2, 3, 4, 5, 6, 7])),
        seed("vp8-keyframe", packet(0x90, 0x80 | 100, &ONE_BYTE, &VP8_KEYFRAME)),
        seed("two-byte-extensions", packet(0x90, 100, &TWO_BYTE, &VP8_KEYFRAME)),
        seed("two-sources-contribute", packet(0x82, 111, &[0, 0, 0, 1, 0, 0, 0, 2], b"mixed")),
        seed("rtx", packet(0x90, 96, &ONE_BYTE, &[0x12, 0x30, 0x10, 1, 2, 3])),
        seed("padding-only", packet(0xa0, 96, &[], &[0, 0, 0, 4])),
        seed("padding-after-payload", packet(0xb0, 100, &ONE_BYTE, &[1, 2, 3, 4, 0, 2])),
        seed("padding-longer-than-packet", packet(0xa0, 96, &[], &[0, 0, 0, 200])),
        seed("padding-of-zero", packet(0xa0, 96, &[], &[0, 0, 0, 0])),
        seed("extensions-longer-than-packet", packet(0x90, 96, &[0xbe, 0xde, 0xff, 0xff], &[1])),
        seed("extension-element-longer-than-block", packet(0x90, 96, &[0xbe, 0xde, 0, 1, 0x3f, 1, 2, 3], &[1])),
        seed("extension-id-15-stops", packet(0x90, 96, &[0xbe, 0xde, 0, 1, 0xf0, 1, 0x10, 3], &[1])),
        seed("fifteen-sources-missing", header(0x8f, 96)),
        seed("version-1", header(0x40, 96)),
        seed("truncated-in-header", [0x80, 96, 0, 1, 0, 0]),
    ]
}

/// A step of a script for the `srtp` target: how (1 RTCP, 2 damaged, then where), length, plain packet.
fn step(how: u8, plain: &[u8]) -> Vec<u8> {
    [&[how, plain.len() as u8], plain].concat()
}

pub(crate) fn srtp() -> Vec<Seed> {
    let opus = packet(0x90, 111, &ONE_BYTE, &[0x78, 1, 2, 3, 4, 5, 6, 7]);
    let numbered = |seq: u16| {
        let mut packet = opus.clone();
        packet.splice(2..4, seq.to_be_bytes());
        step(0, &packet)
    };
    let report = [0x81, 201, 0, 1, 0, 0, 0, 1];
    vec![
        seed("one-packet", step(0, &opus)),
        seed("replay", step(0, &opus).repeat(2)),
        seed("damaged-header", step(2, &opus)),
        seed("damaged-tag", step(2 | 1 << 2, &opus)),
        seed("roll-over", [65_533, 65_535, 0, 1, 65_534].into_iter().flat_map(numbered).collect::<Vec<_>>()),
        seed("behind-the-window", [5000, 1000, 4000].into_iter().flat_map(numbered).collect::<Vec<_>>()),
        seed("report", step(1, &report)),
        seed("report-damaged", step(3, &report)),
        seed("no-payload", step(0, &header(0x80, 96))),
        seed("raw-short", [0x80, 96, 0, 1]),
    ]
}
