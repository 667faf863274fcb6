//! Packets that nobody honest sends.

use proptest::prelude::*;

use super::*;

fn any_codec() -> impl Strategy<Value = Codec> {
    prop::sample::select([[Codec::Opus].as_slice(), &CODECS.map(Codec::Video)].concat())
}

/// Payloads that look like the start of something more often than chance would have it.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let starts: Vec<Vec<u8>> = vec![
        vec![],
        vec![0x90, 0xe0, 0x80, 0x01, 1, 0, 0x10, 0, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xb4, 0],
        vec![0x90, 0xe0, 0x80, 0x02, 1, 0x40],
        vec![0xab, 0x80, 1, 0x10, 1, 0x18, 1, 0x40, 0, 0xb4, 255],
        vec![0xe8, 0x80, 2, 0x50, 1],
        vec![0x18, 0x08],
        vec![0x10, 0x30],
        vec![0x67, 0x42],
        vec![0x7c, 0x85],
    ];
    (prop::sample::select(starts), prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(start, rest)| [start, rest].concat())
}

fn descriptor() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        Just(None),
        prop::collection::vec(any::<u8>(), 0..60).prop_map(Some),
        any::<[u8; 2]>().prop_map(|number| Some([&[0x80], number.as_slice()].concat())),
    ]
}

/// Steps of sequence number, timestamp and time in milliseconds.
fn step() -> impl Strategy<Value = (i64, u32, u64)> {
    (
        prop_oneof![Just(1), -3_i64..4, -2_000_i64..2_000, any::<i32>().prop_map(i64::from)],
        prop_oneof![Just(0), Just(3_000), any::<u32>()],
        0_u64..50,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn nothing_grows_beyond_its_bound(
        codec in any_codec(),
        packets in prop::collection::vec((step(), any::<bool>(), payload(), descriptor()), 1..400),
    ) {
        let mut now = start();
        let mut reader = reader(now, codec);
        let (mut seq, mut timestamp) = (1_u64 << 33, 0_u32);
        let mut decoded = 0;
        for ((ahead, later, passed), marker, payload, dependency_descriptor) in &packets {
            seq = seq.saturating_add_signed(*ahead);
            timestamp = timestamp.wrapping_add(*later);
            now += ms(*passed);
            let sent = Sent {
                seq: ExtSeqNum(seq),
                timestamp: RtpTimestamp(timestamp),
                marker: *marker,
                payload: payload.clone(),
                dependency_descriptor: dependency_descriptor.clone(),
            };
            for event in receive(&mut reader, now, &sent) {
                decoded += usize::from(matches!(event, ReaderEvent::Frame(_)));
            }
            prop_assert!(reader.assembler.is_within_bounds());
            prop_assert!(reader.decoder.is_within_bounds());
            let _ = (reader.wants_key_frame(now), reader.jitter(), reader.poll_timeout());
        }
        prop_assert!(decoded <= packets.len());
    }
}

#[test]
fn numbers_at_either_end_are_numbers() {
    let start = start();
    let mut reader = reader(start, Codec::Video(VideoCodec::H264));
    for seq in [0, u64::MAX, u64::MAX - 1, 0, 1 << 40] {
        let sent = Sent {
            seq: ExtSeqNum(seq),
            timestamp: RtpTimestamp(0),
            marker: true,
            payload: vec![0x65, 0x88],
            dependency_descriptor: None,
        };
        receive(&mut reader, start, &sent);
        assert!(reader.assembler.is_within_bounds());
    }
}
