//! Decoders of others as judges: what sources send of clips, trailers and all, is put together again from its packets and
//! decoded by ffmpeg, without an error and to the same pictures and tones as the clips themselves.
//!
//! Needs ffmpeg, which `make setup-tests` installs.

#![allow(clippy::unwrap_used, reason = "a test, its helpers included")]

mod container;
mod depacketize;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::load::media::{
    Codec, Content, FREEZE_AFTER, Frame, FrameReader, Height, Layering, Library, MediaClock, MediaTime, ReaderEvent,
    ReaderSettings, ReceivedPacket, SenderNumber, Source, SourceKind, SourceSettings, Trailer, VideoCodec,
};
use model::ExtSeqNum;

use depacketize::{Depacketizer, Payload};

/// A frame as its receiver puts it together.
struct Received {
    temporal: u8,
    bytes: Vec<u8>,
}

/// One loop of a clip, over RTP payloads and a reader.
fn loop_of(kind: SourceKind, codec: Codec, encoding: u8) -> Vec<Received> {
    #[expect(clippy::disallowed_methods, reason = "an Instant cannot be made otherwise; the test only adds to it")]
    let start = Instant::now();
    let clock = MediaClock::new(start, MediaTime(0));
    let settings = SourceSettings {
        kind,
        content: Content::Clip,
        sender: SenderNumber(1),
        seed: 1,
        clock,
        library: Arc::new(Library::new().unwrap()),
    };
    let mut source = Source::new(start, &settings);
    let mut reader = FrameReader::new(ReaderSettings { codec, clock, freeze_after: FREEZE_AFTER });
    let (mut received, mut seq) = (Vec::new(), 500);
    while let Some(now) = source.poll_timeout().filter(|now| *now < start + Duration::from_secs(2)) {
        source.handle_timeout(now);
        while let Some(frame) = source.poll_frame() {
            if frame.layer.encoding != encoding {
                continue;
            }
            let mut depacketizer = Depacketizer::new(codec);
            for index in 0..frame.packets() {
                let payload = payload_of(&frame, index, clock.time(now));
                assert!(payload.is_last == Trailer::read(&payload.bytes).is_some());
                let packet = ReceivedPacket {
                    seq: ExtSeqNum(seq),
                    timestamp: frame.timestamp,
                    marker: payload.marker,
                    payload: &payload.bytes,
                    dependency_descriptor: payload.dependency_descriptor.as_deref(),
                };
                reader.handle_packet(now, &packet);
                depacketizer.push(&payload.bytes);
                seq += 1;
            }
            assert!(matches!(reader.poll_event(), Some(ReaderEvent::Frame(_))), "{kind:?}");
            received.push(Received { temporal: frame.layer.temporal, bytes: depacketizer.finish() });
        }
    }
    received
}

fn payload_of(frame: &Frame, index: usize, sent: MediaTime) -> Payload {
    let packet = frame.packet(index).unwrap();
    let mut bytes = vec![0; packet.len()];
    assert_eq!(packet.write_to(sent, &mut bytes), Ok(bytes.len()));
    Payload {
        bytes,
        marker: packet.marker(),
        is_last: index + 1 == frame.packets(),
        dependency_descriptor: packet.dependency_descriptor().map(|bytes| bytes.as_slice().to_vec()),
    }
}

fn clip(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clips").join(name)
}

/// Check sums of all decoded pictures or stretches of sound, each with its time; fails on any complaint of the decoder.
fn decode(file: &Path, decoder: &str) -> Vec<String> {
    let media = if decoder == "libopus" || decoder == "opus" { "a" } else { "v" };
    let output = Command::new("ffmpeg")
        .args(["-v", "warning", "-xerror", "-threads", "1", &format!("-c:{media}"), decoder, "-i"])
        .arg(file)
        .args(["-map", &format!("0:{media}"), "-fps_mode", "passthrough", "-f", "framemd5", "-"])
        .output()
        .expect("ffmpeg is there after `make setup-tests`");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.trim().is_empty(), "{}, {decoder}: {complaints}", file.display());
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// The check sum alone.
fn sum(line: &str) -> &str {
    line.rsplit(',').next().unwrap().trim()
}

fn sums(lines: &[String]) -> Vec<&str> {
    lines.iter().map(|line| sum(line)).collect()
}

fn judge_video(codec: VideoCodec, suffix: &str, decoders: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let kind = SourceKind::Camera { codec, height: Height::H720, layering: Layering::Simulcast };
    for (encoding, height) in (0..).zip(Height::ALL) {
        let name = format!("{}.{suffix}", height.lines());
        let received = loop_of(kind, Codec::Video(codec), encoding);
        assert_eq!(received.len(), 60);
        let file = folder.path().join(&name);
        std::fs::write(&file, container::video(codec, height, &received)).unwrap();
        let original = clip(&format!("{}-{name}", suffix_to_codec(codec)));
        for decoder in decoders {
            let (ours, expected) = (decode(&file, decoder), decode(&original, decoder));
            assert_eq!(expected.len(), 60);
            assert_eq!(sums(&ours), sums(&expected), "{codec:?} {name} {decoder}");
        }
    }
}

fn suffix_to_codec(codec: VideoCodec) -> &'static str {
    match codec {
        VideoCodec::Vp8 => "vp8",
        VideoCodec::Vp9 => "vp9",
        VideoCodec::Av1 => "av1",
        VideoCodec::H264 => "h264",
    }
}

#[test]
fn vp8_with_trailers_decodes_to_the_clip() {
    judge_video(VideoCodec::Vp8, "ivf", &["vp8", "libvpx"]);
}

#[test]
fn vp9_with_trailers_decodes_to_the_clip() {
    judge_video(VideoCodec::Vp9, "ivf", &["vp9", "libvpx-vp9"]);
}

#[test]
fn av1_with_trailers_decodes_to_the_clip() {
    judge_video(VideoCodec::Av1, "ivf", &["libdav1d", "libaom-av1"]);
}

#[test]
fn h264_with_trailers_decodes_to_the_clip() {
    judge_video(VideoCodec::H264, "h264", &["h264"]);
}

#[test]
fn opus_with_trailers_decodes_to_the_clip() {
    let folder = tempfile::tempdir().unwrap();
    let received = loop_of(SourceKind::Microphone, Codec::Opus, 0);
    assert_eq!(received.len(), 100);
    let file = folder.path().join("opus.ogg");
    std::fs::write(&file, container::opus(&received)).unwrap();
    for decoder in ["opus", "libopus"] {
        let (ours, expected) = (decode(&file, decoder), decode(&clip("opus.ogg"), decoder));
        // The clip's last packet is in no whole loop of two seconds; the end of its sound is cut by its container.
        assert_eq!(sums(&ours)[..99], sums(&expected)[..99], "{decoder}");
    }
}

#[test]
fn temporal_layers_of_vp8_decode_without_those_above() {
    let folder = tempfile::tempdir().unwrap();
    let kind = SourceKind::Camera { codec: VideoCodec::Vp8, height: Height::H180, layering: Layering::Simulcast };
    let received = loop_of(kind, Codec::Video(VideoCodec::Vp8), 0);
    let all = decode(&clip("vp8-180.ivf"), "libvpx");
    let decoded = |name: &str, keep: &dyn Fn(usize, u8) -> bool| {
        let kept: Vec<usize> = (0..received.len()).filter(|at| keep(*at, received[*at].temporal)).collect();
        let file = folder.path().join(name);
        let frames = kept.iter().map(|at| &received[*at]);
        std::fs::write(&file, container::ivf(b"VP80", Height::H180, frames)).unwrap();
        let lines = decode(&file, "libvpx");
        assert_eq!(lines.len(), kept.len());
        for (line, at) in lines.iter().zip(kept) {
            assert_eq!(sum(line), sum(&all[at]), "{name}: frame {at}");
        }
    };
    decoded("base", &|_, temporal| temporal == 0);
    decoded("two-layers", &|_, temporal| temporal < 2);
    // Moving up at the synchronised frames: the second and the third of each four.
    decoded("up-at-the-top-layer", &|at, temporal| temporal == 0 || at == 41 || at == 57);
    decoded("up-at-the-middle-layer", &|at, temporal| temporal == 0 || at > 40 && temporal == 1 || at == 43);
}
