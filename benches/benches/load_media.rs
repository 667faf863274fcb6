//! What media costs the load generator, without RTP headers and encryption: a second of a camera with three encodings or
//! layers of which each packet is written, and the same read as its receiver does.
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::load::media::{
    Codec, Content, FREEZE_AFTER, FrameReader, Height, Layering, Library, MAX_PAYLOAD_LEN, MediaClock, MediaTime,
    ReaderSettings, ReceivedPacket, SenderNumber, Source, SourceKind, SourceSettings, VideoCodec,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use model::ExtSeqNum;

const SECOND: Duration = Duration::from_secs(1);

fn settings(now: Instant, kind: SourceKind, content: Content) -> SourceSettings {
    SourceSettings {
        kind,
        content,
        sender: SenderNumber(1),
        seed: 1,
        clock: MediaClock::new(now, MediaTime(0)),
        library: Arc::new(Library::new().unwrap()),
    }
}

/// Runs a source until `end` and hands each payload, with encoding, marker and time, to `take`.
fn send(source: &mut Source, end: Instant, buffer: &mut [u8], mut take: impl FnMut(Instant, ReceivedPacket<'_>, u8)) {
    while let Some(now) = source.poll_timeout().filter(|now| *now < end) {
        source.handle_timeout(now);
        while let Some(frame) = source.poll_frame() {
            for index in 0..frame.packets() {
                let packet = frame.packet(index).unwrap();
                let len = packet.write_to(frame.captured, buffer).unwrap();
                let descriptor = packet.dependency_descriptor();
                let received = ReceivedPacket {
                    seq: ExtSeqNum(0),
                    timestamp: frame.timestamp,
                    marker: packet.marker(),
                    payload: &buffer[..len],
                    dependency_descriptor: descriptor.as_ref().map(|bytes| bytes.as_slice()),
                };
                take(now, received, frame.layer.encoding);
            }
        }
    }
}

fn media(criterion: &mut Criterion) {
    let camera = |codec, layering| SourceKind::Camera { codec, height: Height::H720, layering };
    let kinds = [
        ("vp8-clip", camera(VideoCodec::Vp8, Layering::Simulcast), Content::Clip, Codec::Video(VideoCodec::Vp8)),
        (
            "vp8-synthetic",
            camera(VideoCodec::Vp8, Layering::Simulcast),
            Content::Synthetic,
            Codec::Video(VideoCodec::Vp8),
        ),
        ("vp9-svc", camera(VideoCodec::Vp9, Layering::Svc), Content::Synthetic, Codec::Video(VideoCodec::Vp9)),
        ("av1-svc", camera(VideoCodec::Av1, Layering::Svc), Content::Synthetic, Codec::Video(VideoCodec::Av1)),
        ("opus-clip", SourceKind::Microphone, Content::Clip, Codec::Opus),
    ];
    let mut group = criterion.benchmark_group("load_media");
    for (name, kind, content, codec) in kinds {
        #[expect(clippy::disallowed_methods, reason = "an Instant cannot be made otherwise; the bench only adds to it")]
        let start = Instant::now();
        let settings = settings(start, kind, content);
        let mut buffer = vec![0; MAX_PAYLOAD_LEN];
        let mut packets = 0;
        send(&mut Source::new(start, &settings), start + SECOND, &mut buffer, |_, _, _| packets += 1);
        group.throughput(Throughput::Elements(packets));
        let (mut source, mut end) = (Source::new(start, &settings), start);
        group.bench_function(BenchmarkId::new("send", name), |bencher| {
            bencher.iter(|| {
                end += SECOND;
                send(&mut source, end, &mut buffer, |_, packet, _| {
                    black_box(packet);
                });
            });
        });
        let settings_of_reader = ReaderSettings { codec, clock: settings.clock, freeze_after: FREEZE_AFTER };
        let mut readers = [(); 3].map(|()| (FrameReader::new(settings_of_reader), 0));
        let (mut source, mut end) = (Source::new(start, &settings), start);
        group.bench_function(BenchmarkId::new("send_and_read", name), |bencher| {
            bencher.iter(|| {
                end += SECOND;
                send(&mut source, end, &mut buffer, |now, packet, encoding| {
                    let (reader, seq) = &mut readers[usize::from(encoding)];
                    *seq += 1;
                    reader.handle_packet(now, &ReceivedPacket { seq: ExtSeqNum(*seq), ..packet });
                    while let Some(event) = reader.poll_event() {
                        black_box(event);
                    }
                });
            });
        });
    }
    group.finish();
}

criterion_group!(load_media, media);
criterion_main!(load_media);
