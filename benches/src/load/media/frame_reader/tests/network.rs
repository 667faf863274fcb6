//! Networks that lose, reorder and repeat, against what the senders know of the references of their frames.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// The times of frames that a decoder can decode of what arrives of their packets, by the true references.
fn truly_decodable(sent: &[(Instant, Frame)], codec: VideoCodec, lost: &BTreeSet<u32>) -> BTreeSet<u32> {
    // Pictures since the key frame, each with whether it was decoded; spatial layers live and die together here.
    let mut since_key: Vec<bool> = Vec::new();
    let mut decodable = BTreeSet::new();
    for (_, frame) in sent.iter().filter(|(_, frame)| frame.ends_picture) {
        let is_key = sent.iter().any(|(_, other)| other.timestamp == frame.timestamp && other.is_key);
        if is_key {
            since_key.clear();
        }
        let at = since_key.len();
        let references: Vec<usize> = match (codec, is_key) {
            (_, true) => Vec::new(),
            (VideoCodec::H264, _) => vec![at - 1],
            (VideoCodec::Vp9 | VideoCodec::Av1, _) => vec![at - [4, 1, 2, 1][at % 4]],
            // libwebrtc's pattern of eight: last, golden and alternate frame.
            (VideoCodec::Vp8, _) => {
                let back: &[usize] = [&[4][..], &[1], &[2], &[3, 1, 2], &[4], &[1, 3, 2], &[2, 4], &[3, 1, 2]][at % 8];
                back.iter().map(|back| at - back).collect()
            }
        };
        let is_decodable =
            !lost.contains(&frame.timestamp.0) && references.iter().all(|reference| since_key[*reference]);
        since_key.push(is_decodable);
        if is_decodable {
            decodable.insert(frame.timestamp.0);
        }
    }
    decodable
}

/// Five seconds of a source with a key frame a second.
fn sent_by(kind: SourceKind, seed: u64, now: Instant) -> Vec<(Instant, Frame)> {
    let mut source = Source::new(now, &SourceSettings { seed, ..settings(now, kind) });
    let encoding = u8::from(source.encodings() > 1);
    (1..=5)
        .flat_map(|second| {
            source.request_key_frame(encoding);
            frames(&mut source, encoding, now + ms(1_000) * second)
        })
        .collect()
}

fn kind_of(codec: VideoCodec) -> SourceKind {
    SourceKind::Camera { codec, height: Height::H720, layering: Layering::Svc }
}

fn decoded(events: &[ReaderEvent]) -> Vec<u32> {
    let time = |event: &ReaderEvent| match event {
        ReaderEvent::Frame(frame) => Some(frame.timestamp.0),
        ReaderEvent::Undecodable(_) | ReaderEvent::FreezeBegan { .. } | ReaderEvent::FreezeEnded(_) => None,
    };
    events.iter().filter_map(time).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn what_loss_leaves_decodable_is_told(
        codec in prop::sample::select(CODECS.as_slice()),
        seed in any::<u64>(),
        losses in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let start = start();
        let sent = sent_by(kind_of(codec), seed, start);
        let all = packets(&sent, MediaClock::new(start, MediaTime(0)), 65_500);
        // Parameter sets of H.264 are the same in all key frames: who lost them has them.
        let matters = |at: &usize| codec != VideoCodec::H264 || all[*at].1.payload[0] != 0x78;
        let lost: BTreeSet<usize> = losses.iter().map(|index| index.index(all.len())).filter(matters).collect();
        let lost_frames = lost.iter().map(|at| all[*at].1.timestamp.0).collect();
        let expected = truly_decodable(&sent, codec, &lost_frames);
        let mut reader = reader(start, Codec::Video(codec));
        let mut events = Vec::new();
        for (at, (when, packet)) in all.iter().enumerate() {
            if !lost.contains(&at) {
                events.extend(receive(&mut reader, *when, packet));
            }
        }
        let told: BTreeSet<u32> = decoded(&events).into_iter().collect();
        prop_assert_eq!(told.len(), decoded(&events).len());
        match codec {
            // Numbers of VP8 say less than its encoder knows: nothing may be told that is not so, and all of the base layer.
            VideoCodec::Vp8 => {
                prop_assert!(told.is_subset(&expected));
                let is_base = |time: &u32| sent.iter().any(|(_, frame)| frame.timestamp.0 == *time && frame.layer.temporal == 0);
                let base = |times: &BTreeSet<u32>| times.iter().copied().filter(is_base).collect::<BTreeSet<u32>>();
                prop_assert_eq!(base(&told), base(&expected));
            }
            VideoCodec::Vp9 | VideoCodec::Av1 | VideoCodec::H264 => prop_assert_eq!(told, expected),
        }
    }

    #[test]
    fn reordering_and_repetition_lose_nothing(
        codec in prop::sample::select(CODECS.as_slice()),
        seed in any::<u64>(),
        delays in prop::collection::vec(0_u64..60, 64),
        repeated in prop::collection::vec(any::<bool>(), 64),
    ) {
        let start = start();
        let sent = sent_by(kind_of(codec), seed, start);
        let all = packets(&sent, MediaClock::new(start, MediaTime(0)), 0);
        let mut arrivals = BTreeMap::new();
        for (at, (when, packet)) in all.iter().enumerate() {
            // Structures of key frames have to come before the frames that they describe, as for libwebrtc.
            let is_key = sent.iter().any(|(_, frame)| frame.is_key && frame.timestamp == packet.timestamp);
            let delay = if is_key { 0 } else { delays[at % delays.len()] };
            arrivals.insert((*when + ms(delay), at, 0), packet);
            if repeated[at % repeated.len()] {
                arrivals.insert((*when + ms(delay + 45), at, 1), packet);
            }
        }
        let mut reader = reader(start, Codec::Video(codec));
        let events: Vec<_> = arrivals.iter().flat_map(|((when, ..), packet)| receive(&mut reader, *when, packet)).collect();
        let pictures = sent.iter().filter(|(_, frame)| frame.ends_picture).count();
        prop_assert_eq!(decoded(&events).len(), pictures);
        prop_assert_eq!(events.len(), pictures, "{:?}", events.iter().find(|event| !matches!(event, ReaderEvent::Frame(_))));
    }

    #[test]
    fn a_repair_within_the_playout_delay_loses_nothing(
        codec in prop::sample::select(CODECS.as_slice()),
        losses in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
    ) {
        let start = start();
        let sent = sent_by(kind_of(codec), 3, start);
        let all = packets(&sent, MediaClock::new(start, MediaTime(0)), 0);
        let lost: BTreeSet<usize> = losses.iter().map(|index| index.index(all.len())).collect();
        let mut arrivals = BTreeMap::new();
        for (at, (when, packet)) in all.iter().enumerate() {
            let is_key = sent.iter().any(|(_, frame)| frame.is_key && frame.timestamp == packet.timestamp);
            let delay = if lost.contains(&at) && !is_key { 80 } else { 0 };
            arrivals.insert((*when + ms(delay), at), packet);
        }
        let mut reader = reader(start, Codec::Video(codec));
        let events: Vec<_> = arrivals.iter().flat_map(|((when, _), packet)| receive(&mut reader, *when, packet)).collect();
        prop_assert_eq!(decoded(&events).len(), sent.iter().filter(|(_, frame)| frame.ends_picture).count());
    }
}
