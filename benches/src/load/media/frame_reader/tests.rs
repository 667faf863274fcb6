//! Sources of this generator through a network of the test's choice into readers.

mod hostile;
mod network;
mod selection;

use std::sync::Arc;

use super::*;
use crate::load::media::{Content, Frame, Height, Layering, Library, Source, SourceKind, SourceSettings, VideoCodec};

/// A packet as it would lie behind the RTP header.
#[derive(Clone, Debug)]
struct Sent {
    seq: ExtSeqNum,
    timestamp: RtpTimestamp,
    marker: bool,
    payload: Vec<u8>,
    dependency_descriptor: Option<Vec<u8>>,
}

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made otherwise; tests only add to it")]
fn start() -> Instant {
    Instant::now()
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn settings(now: Instant, kind: SourceKind) -> SourceSettings {
    settings_of(now, kind, Content::Synthetic)
}

fn settings_of(now: Instant, kind: SourceKind, content: Content) -> SourceSettings {
    SourceSettings {
        kind,
        content,
        sender: SenderNumber(77),
        seed: 5,
        clock: MediaClock::new(now, MediaTime(0)),
        library: Arc::new(Library::new().unwrap()),
    }
}

fn camera(codec: VideoCodec) -> SourceKind {
    SourceKind::Camera { codec, height: Height::H720, layering: Layering::Simulcast }
}

fn reader(now: Instant, codec: Codec) -> FrameReader {
    FrameReader::new(ReaderSettings { codec, clock: MediaClock::new(now, MediaTime(0)), freeze_after: FREEZE_AFTER })
}

/// The frames of one encoding until `until`, each with when it was captured.
fn frames(source: &mut Source, encoding: u8, until: Instant) -> Vec<(Instant, Frame)> {
    let mut frames = Vec::new();
    while let Some(at) = source.poll_timeout().filter(|at| *at < until) {
        source.handle_timeout(at);
        while let Some(frame) = source.poll_frame() {
            if frame.layer.encoding == encoding {
                frames.push((at, frame));
            }
        }
    }
    frames
}

/// The packets of frames, numbered from `first_seq` on, with when each leaves.
fn packets(frames: &[(Instant, Frame)], clock: MediaClock, first_seq: u64) -> Vec<(Instant, Sent)> {
    let mut sent = Vec::new();
    for (at, frame) in frames {
        for index in 0..frame.packets() {
            let packet = frame.packet(index).unwrap();
            let mut payload = vec![0; packet.len()];
            assert_eq!(packet.write_to(clock.time(*at), &mut payload), Ok(payload.len()));
            let seq = ExtSeqNum(first_seq + sent.len() as u64);
            let dependency_descriptor = packet.dependency_descriptor().map(|bytes| bytes.as_slice().to_vec());
            let (timestamp, marker) = (frame.timestamp, packet.marker());
            sent.push((*at, Sent { seq, timestamp, marker, payload, dependency_descriptor }));
        }
    }
    sent
}

fn receive(reader: &mut FrameReader, at: Instant, sent: &Sent) -> Vec<ReaderEvent> {
    reader.handle_timeout(at);
    reader.handle_packet(
        at,
        &ReceivedPacket {
            seq: sent.seq,
            timestamp: sent.timestamp,
            marker: sent.marker,
            payload: &sent.payload,
            dependency_descriptor: sent.dependency_descriptor.as_deref(),
        },
    );
    std::iter::from_fn(|| reader.poll_event()).collect()
}

#[test]
fn each_frame_of_a_simulcast_arrives_with_layer_height_and_latency() {
    let start = start();
    let settings = settings(start, camera(VideoCodec::Vp8));
    for (encoding, height) in Height::ALL.iter().enumerate() {
        let mut source = Source::new(start, &settings);
        let sent = frames(&mut source, encoding as u8, start + ms(2_000));
        assert_eq!(sent.len(), 60);
        let mut reader = reader(start, Codec::Video(VideoCodec::Vp8));
        let mut received = Vec::new();
        for (at, packet) in packets(&sent, settings.clock, 1_000) {
            received.extend(receive(&mut reader, at + ms(30), &packet));
        }
        assert_eq!(received.len(), 60);
        for (event, (_, frame)) in received.iter().zip(&sent) {
            let ReaderEvent::Frame(got) = event else { panic!("{event:?}") };
            assert_eq!(got.height, Some(height.lines()));
            assert_eq!((got.layer, got.sender), (Some(frame.layer), Some(SenderNumber(77))));
            assert_eq!((got.is_key, got.packets), (frame.is_key, frame.packets()));
            assert!(got.transit.unwrap().abs_diff(ms(30)) < ms(1));
            assert!(got.capture_latency.unwrap().abs_diff(ms(30)) < ms(1));
        }
        assert!(reader.jitter() < ms(1), "{:?}", reader.jitter());
    }
}

#[test]
fn each_packet_of_audio_is_a_frame() {
    let start = start();
    let settings = settings(start, SourceKind::Microphone);
    let mut source = Source::new(start, &settings);
    let sent = frames(&mut source, 0, start + ms(1_000));
    assert_eq!(sent.len(), 50);
    let mut reader = reader(start, Codec::Opus);
    let received: Vec<_> = packets(&sent, settings.clock, 65_520)
        .iter()
        .flat_map(|(at, packet)| receive(&mut reader, *at + ms(5), packet))
        .collect();
    assert_eq!(received.len(), 50);
    assert!(received.iter().all(|event| matches!(event, ReaderEvent::Frame(frame) if frame.packets == 1)));
}

#[test]
fn a_lost_base_layer_frame_stops_decoding_until_the_next_key_frame() {
    let start = start();
    let settings = settings(start, camera(VideoCodec::Vp8));
    let mut source = Source::new(start, &settings);
    let mut sent = frames(&mut source, 0, start + ms(1_000));
    source.request_key_frame(0);
    sent.extend(frames(&mut source, 0, start + ms(2_000)));
    // The first base layer frame after the key frame is the fifth.
    let lost = sent[4].1.timestamp;
    let mut reader = reader(start, Codec::Video(VideoCodec::Vp8));
    let mut received = Vec::new();
    for (at, packet) in packets(&sent, settings.clock, 7) {
        if packet.timestamp != lost {
            received.extend(receive(&mut reader, at, &packet));
        }
        let since_loss = at.saturating_duration_since(sent[4].0);
        assert!(since_loss >= ms(300) || !reader.wants_key_frame(at));
        assert!(since_loss <= ms(350) || at >= sent[30].0 || reader.wants_key_frame(at));
    }
    let frames = received.iter().filter(|event| matches!(event, ReaderEvent::Frame(_))).count();
    assert_eq!(frames, 4 + 30);
    let undecodable = |cause| received.iter().filter(|event| **event == ReaderEvent::Undecodable(cause)).count();
    assert_eq!(undecodable(UndecodableCause::MissingReference), 25);
    let Some(ReaderEvent::FreezeEnded(freeze)) =
        received.iter().find(|event| matches!(event, ReaderEvent::FreezeEnded(_)))
    else {
        panic!("no freeze")
    };
    assert!(freeze.lasted.abs_diff(sent[30].0 - sent[3].0) < ms(1));
}

#[test]
fn a_lost_top_layer_frame_costs_only_what_refers_to_it() {
    let start = start();
    let settings = settings(start, camera(VideoCodec::Vp8));
    let mut source = Source::new(start, &settings);
    let sent = frames(&mut source, 0, start + ms(1_000));
    let decoded_without = |lost: usize| {
        let mut reader = reader(start, Codec::Video(VideoCodec::Vp8));
        let mut received = Vec::new();
        for (at, packet) in packets(&sent, settings.clock, 7) {
            if packet.timestamp != sent[lost].1.timestamp {
                received.extend(receive(&mut reader, at, &packet));
            }
        }
        received.iter().filter(|event| matches!(event, ReaderEvent::Frame(_))).count()
    };
    // Nothing refers to the last before one that is synchronised. The first of three is missed by all until then.
    assert_eq!(decoded_without(7), 29);
    assert_eq!(decoded_without(1), 30 - 4);
    // The middle layer is missed by all but the base layer.
    assert_eq!(decoded_without(2), 30 - 5);
}

/// The frame of an event that has to be one.
fn frame_of(event: &ReaderEvent, what: &str) -> DecodableFrame {
    let ReaderEvent::Frame(frame) = event else { panic!("{what}: {event:?}") };
    *frame
}

const CODECS: [VideoCodec; 4] = [VideoCodec::Vp8, VideoCodec::Vp9, VideoCodec::Av1, VideoCodec::H264];

/// Each kind of source, and its codec.
fn kinds() -> Vec<(SourceKind, Content, Codec)> {
    let mut kinds = vec![
        (SourceKind::Microphone, Content::Clip, Codec::Opus),
        (SourceKind::Microphone, Content::Synthetic, Codec::Opus),
    ];
    for codec in CODECS {
        for content in [Content::Clip, Content::Synthetic] {
            kinds.push((camera(codec), content, Codec::Video(codec)));
        }
        let svc = SourceKind::Camera { codec, height: Height::H720, layering: Layering::Svc };
        kinds.push((svc, Content::Synthetic, Codec::Video(codec)));
        kinds.push((SourceKind::Screen { codec }, Content::Synthetic, Codec::Video(codec)));
    }
    kinds
}

#[test]
fn all_that_any_source_sends_can_be_decoded() {
    let start = start();
    for (kind, content, codec) in kinds() {
        let settings = settings_of(start, kind, content);
        for encoding in 0..Source::new(start, &settings).encodings() {
            let mut source = Source::new(start, &settings);
            let mut sent = frames(&mut source, encoding as u8, start + ms(5_000));
            source.request_key_frame(encoding as u8);
            sent.extend(frames(&mut source, encoding as u8, start + ms(6_000)));
            let pictures = sent.iter().filter(|(_, frame)| frame.ends_picture).count();
            let keys = sent.iter().filter(|(_, frame)| frame.is_key).count();
            let mut reader = FrameReader::new(ReaderSettings { codec, clock: settings.clock, freeze_after: ms(300) });
            let received: Vec<_> = packets(&sent, settings.clock, 65_000)
                .iter()
                .flat_map(|(at, packet)| receive(&mut reader, *at, packet))
                .collect();
            let what = format!("{kind:?} {content:?} {encoding}");
            assert_eq!(received.len(), pictures, "{what}");
            let got: Vec<_> = received.iter().map(|event| frame_of(event, &what)).collect();
            assert_eq!(got.iter().filter(|frame| frame.is_key).count(), keys, "{what}");
            let tops = sent.iter().filter(|(_, frame)| frame.ends_picture);
            for (frame, (_, top)) in got.iter().zip(tops) {
                assert_eq!(frame.layer, Some(top.layer), "{what}");
                assert_eq!(frame.height, Some(top.height).filter(|height| *height > 0), "{what}");
            }
        }
    }
}

#[test]
fn a_pause_that_is_meant_is_no_freeze() {
    let start = start();
    let settings = settings(start, camera(VideoCodec::Vp8));
    let mut source = Source::new(start, &settings);
    let sent = packets(&frames(&mut source, 0, start + ms(1_000)), settings.clock, 1);
    let mut reader = reader(start, Codec::Video(VideoCodec::Vp8));
    let half = sent.len() / 2;
    let mut received: Vec<_> = sent[..half].iter().flat_map(|(at, sent)| receive(&mut reader, *at, sent)).collect();
    let last = sent[half - 1].0;
    assert_eq!(reader.poll_timeout(), Some(last + FREEZE_AFTER));
    reader.set_expected(last + ms(10), Expected::Paused);
    assert_eq!(reader.poll_timeout(), None);
    reader.handle_timeout(last + ms(5_000));
    assert_eq!(reader.poll_event(), None);
    reader.set_expected(last + ms(5_000), Expected::Flowing);
    for (at, sent) in &sent[half..] {
        received.extend(receive(&mut reader, *at + ms(5_000), sent));
    }
    assert!(received.iter().all(|event| matches!(event, ReaderEvent::Frame(_))));

    // One that is not meant begins after 200 ms and ends with what was expected no more.
    let end = sent[sent.len() - 1].0 + ms(5_000);
    reader.handle_timeout(end + FREEZE_AFTER);
    assert_eq!(reader.poll_event(), Some(ReaderEvent::FreezeBegan { since: end }));
    reader.handle_timeout(end + ms(400));
    assert_eq!(reader.poll_event(), None);
    reader.set_expected(end + ms(700), Expected::Paused);
    assert_eq!(reader.poll_event(), Some(ReaderEvent::FreezeEnded(Freeze { since: end, lasted: ms(700) })));
}

#[test]
fn padding_packets_leave_no_gap() {
    let start = start();
    for codec in CODECS {
        let settings = settings(start, SourceKind::Screen { codec });
        let mut source = Source::new(start, &settings);
        let sent = frames(&mut source, 0, start + ms(4_000));
        let mut reader = FrameReader::new(ReaderSettings {
            codec: Codec::Video(codec),
            clock: settings.clock,
            freeze_after: ms(1_000),
        });
        let mut decoded = 0;
        for (at, mut packet) in packets(&sent, settings.clock, 0) {
            // A packet of padding behind each packet of media.
            packet.seq = ExtSeqNum(packet.seq.0 * 2);
            let padding = Sent {
                seq: ExtSeqNum(packet.seq.0 + 1),
                payload: Vec::new(),
                marker: false,
                dependency_descriptor: None,
                ..packet.clone()
            };
            for packet in [packet, padding] {
                decoded += receive(&mut reader, at, &packet).len();
            }
        }
        assert_eq!(decoded, sent.len(), "{codec:?}");
    }
}
