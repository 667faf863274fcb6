use super::*;

/// Constrained baseline of 320x180: 20 by 12 macroblocks, 12 lines cropped.
const SPS: [u8; 9] = [0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41, 0x9f, 0x9e];
const PPS: [u8; 4] = [0x68, 0xcb, 0x83, 0xcb];

fn stap_a(units: &[&[u8]]) -> Vec<u8> {
    let mut payload = vec![0x78];
    for unit in units {
        payload.extend((unit.len() as u16).to_be_bytes());
        payload.extend_from_slice(unit);
    }
    payload
}

fn parse(payload: &[u8]) -> H264Payload<'_> {
    H264Payload::parse(payload).unwrap()
}

#[test]
fn single_units_tell_key_frames_and_the_first_slice() {
    let (idr, later_slice_of_idr) = ([0x65, 0x88, 0x84], [0x65, 0x42, 0x84]);
    assert!(parse(&idr).is_key_frame_start() && parse(&idr).is_frame_start() && parse(&idr).is_idr());
    assert!(!parse(&later_slice_of_idr).is_key_frame_start() && !parse(&later_slice_of_idr).is_frame_start());
    assert!(parse(&later_slice_of_idr).is_idr());
    let delta = [0x41, 0x9a, 0x24];
    assert!(!parse(&delta).is_key_frame_start() && parse(&delta).is_frame_start() && !parse(&delta).is_idr());
    assert_eq!((parse(&delta).nal_ref_idc(), parse(&[0x01, 0x9a]).nal_ref_idc()), (2, 0));
    assert!(parse(&delta).ends_nal_unit());
    assert!(!parse(&[0x0c, 0xff]).is_frame_start());
}

#[test]
fn an_aggregate_of_parameter_sets_starts_a_key_frame() {
    let payload = stap_a(&[&SPS, &PPS, &[0x65, 0x88]]);
    let read = parse(&payload);
    assert!(read.is_frame_start() && read.is_key_frame_start() && read.is_idr() && read.ends_nal_unit());
    let types: Vec<_> = read.nal_units().map(|unit| unit.nal_type).collect();
    assert_eq!(types, [NalUnitType::Sps, NalUnitType::Pps, NalUnitType::Idr]);
    assert_eq!(read.nal_ref_idc(), 3);
    // Parameter sets of a picture alone start a frame, but no key frame.
    assert!(!parse(&PPS).is_key_frame_start() && parse(&PPS).is_frame_start());
}

#[test]
fn an_aggregate_that_lies_ends_there() {
    let mut payload = stap_a(&[&PPS, &SPS]);
    payload.truncate(payload.len() - 1);
    assert_eq!(parse(&payload).nal_units().count(), 1);
    assert_eq!(parse(&[0x78, 0, 0, 1]).nal_units().count(), 0);
    assert_eq!(H264Payload::parse(&[0x78, 0, 1]), Err(H264Error::Truncated));
}

#[test]
fn fragments_tell_start_and_end_of_their_unit() {
    let start = parse(&[0x7c, 0x85, 0x88, 1]);
    assert!(start.is_key_frame_start() && start.is_frame_start() && !start.ends_nal_unit());
    let middle = parse(&[0x7c, 0x05, 0x88, 1]);
    assert!(!middle.is_key_frame_start() && !middle.is_frame_start() && middle.is_idr());
    assert!(parse(&[0x7c, 0x45, 1]).ends_nal_unit());
    let unit = start.nal_units().next().unwrap();
    assert_eq!((unit.nal_type, unit.ref_idc, unit.body), (NalUnitType::Idr, 3, &[0x88, 1][..]));
    assert_eq!(H264Payload::parse(&[0x7c, 0xc5, 1]), Err(H264Error::WholeFragment));
    assert_eq!(H264Payload::parse(&[0x7c]), Err(H264Error::Truncated));
}

#[test]
fn other_packetization_modes_are_refused() {
    for kind in [0, 25, 26, 27, 29, 30, 31] {
        assert_eq!(H264Payload::parse(&[0x60 | kind, 1, 2, 3]), Err(H264Error::PayloadType(kind)));
    }
    assert_eq!(H264Payload::parse(&[]), Err(H264Error::Truncated));
}

#[test]
fn reads_the_size_of_the_picture() {
    // 720p of x264, high profile, with emulation prevention in the timing that follows.
    let high = [0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x10, 0, 0, 3, 0, 0x10];
    assert_eq!(parse(&high).resolution(), Some(Resolution { width: 1280, height: 720 }));
    // 1080 lines in fields.
    let interlaced = [0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x04, 0x4f, 0xde, 0x02, 0x20, 0, 0, 3, 0];
    assert_eq!(parse(&interlaced).resolution(), Some(Resolution { width: 1920, height: 1080 }));
    assert_eq!(parse(&SPS).resolution(), Some(Resolution { width: 320, height: 180 }));
    assert_eq!(parse(&[0x41, 0x9a]).resolution(), None);
    for len in 1..8 {
        assert_eq!(parse(&SPS[..len]).resolution(), None, "{len}");
    }
}
