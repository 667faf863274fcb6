use super::*;

/// Sequence header of a 320x180 stream of libaom, without size: profile 0, one operating point of level 0.
const SEQUENCE_HEADER: [u8; 12] = [0x08, 0x00, 0x00, 0x00, 0x04, 0x3c, 0xfe, 0xcc, 0xda, 0xf9, 0x00, 0x40];

fn elements(payload: &[u8]) -> Vec<Result<ObuElement<'_>, Av1Error>> {
    Av1Payload::parse(payload).unwrap().elements().collect()
}

fn whole(bytes: &[u8]) -> Result<ObuElement<'_>, Av1Error> {
    Ok(ObuElement { bytes, continues_obu: false, goes_on: false })
}

#[test]
fn the_last_counted_element_has_no_length() {
    assert_eq!(elements(&[0x10, 0x30, 1, 2]), [whole(&[0x30, 1, 2])]);
    assert_eq!(elements(&[0x20, 2, 0x30, 1, 0x78, 9]), [whole(&[0x30, 1]), whole(&[0x78, 9])]);
    assert_eq!(elements(&[0x30, 1, 0x10, 1, 0x18, 0x20, 5]), [whole(&[0x10]), whole(&[0x18]), whole(&[0x20, 5])]);
}

#[test]
fn without_count_each_element_has_a_length() {
    let four = [0x00, 1, 0x10, 2, 0x30, 7, 0x81, 0x00, 0x40, 0];
    assert_eq!(elements(&four), [whole(&[0x10]), whole(&[0x30, 7]), whole(&[0x40]), whole(&[])]);
    assert_eq!(elements(&[0x00, 3, 1, 2]), [Err(Av1Error::Truncated)]);
    assert_eq!(elements(&[0x00, 0x80]), [Err(Av1Error::Truncated)]);
    assert_eq!(elements(&[0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), [Err(Av1Error::Length)]);
}

#[test]
fn first_and_last_elements_may_be_pieces() {
    let payload = [0xe0, 1, 7, 0x30, 8];
    let read = elements(&payload);
    assert_eq!(read[0], Ok(ObuElement { bytes: &[7], continues_obu: true, goes_on: false }));
    assert_eq!(read[1], Ok(ObuElement { bytes: &[0x30, 8], continues_obu: false, goes_on: true }));
    assert_eq!(read[0].unwrap().header(), None);
    assert_eq!(read[1].unwrap().header().map(|header| header.obu_type), Some(ObuType::Frame));
}

#[test]
fn a_key_frame_starts_with_a_sequence() {
    let key = [&[0x28, 12][..], &SEQUENCE_HEADER, &[0x30, 0x10, 1, 2]].concat();
    let payload = Av1Payload::parse(&key).unwrap();
    assert!(payload.is_key_frame_start() && payload.starts_coded_video_sequence);
    assert!(!Av1Payload::parse(&[0x10, 0x30, 1]).unwrap().is_key_frame_start());
    // A repeated sequence header without N, as before a key frame that goes on the sequence.
    let repeated = [&[0x20, 12][..], &SEQUENCE_HEADER, &[0x30, 0x10, 1, 2]].concat();
    assert!(Av1Payload::parse(&repeated).unwrap().is_key_frame_start());
    // A piece that looks like one is none.
    assert!(!Av1Payload::parse(&[0x90, 0x08, 1]).unwrap().is_key_frame_start());
}

#[test]
fn reads_size_and_layer() {
    let key = [&[0x20, 12][..], &SEQUENCE_HEADER, &[0x34, 0x48, 1, 2]].concat();
    let payload = Av1Payload::parse(&key).unwrap();
    let header = payload.sequence_header().unwrap();
    assert_eq!((header.profile, header.operating_points), (0, 1));
    assert_eq!(payload.resolution(), Some(Resolution { width: 320, height: 180 }));
    assert_eq!(payload.layer(), Some((2, 1)));
    for len in 0..7 {
        assert_eq!(Av1SequenceHeader::parse(&SEQUENCE_HEADER[1..=len]), None, "{len}");
    }
}

#[test]
fn the_reduced_header_and_the_decoder_model_are_passed_over() {
    // reduced_still_picture_header: profile 1, still, reduced, level 0; 4+1 bits each: width 17, height 9.
    let reduced = bits("001 1 1 00000 0100 0100 10000 01000");
    let size = |bytes: &[u8]| Av1SequenceHeader::parse(bytes).unwrap().max_resolution;
    assert_eq!(size(&reduced), Resolution { width: 17, height: 9 });
    let timing = "1 00000000000000000000000000000001 00000000000000000000000000011110 1 010";
    let model = "1 00010 00000000000000000000000000000001 00000 00000";
    let points = "1 00001 000000000000 01000 1 1 101 101 0 1 0011 000000000001 00000 0 0";
    let full = bits(&format!("000 0 0 {timing} {model} {points} 0100 0100 10000 01000"));
    assert_eq!(size(&full), Resolution { width: 17, height: 9 });
    assert_eq!(Av1SequenceHeader::parse(&full).unwrap().operating_points, 2);
}

#[test]
fn nothing_behind_the_aggregation_header_is_no_payload() {
    assert_eq!(Av1Payload::parse(&[]), Err(Av1Error::Truncated));
    assert_eq!(Av1Payload::parse(&[0x10]), Err(Av1Error::Truncated));
    assert_eq!(ObuHeader::parse(&[0x34]), None);
    assert_eq!(ObuHeader::parse(&[0xb0]), None);
}

/// Bytes of a string of bits, filled with zeros.
fn bits(text: &str) -> Vec<u8> {
    let bits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').map(|byte| byte - b'0').collect();
    bits.chunks(8).map(|bits| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | bit << (7 - at))).collect()
}
