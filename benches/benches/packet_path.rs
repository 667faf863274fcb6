//! What does a forwarded packet cost above the socket? Once for each packet that comes in: unprotect. Once for each
//! receiver: renumber, write a header, protect. By protection profile, for a full video packet and for one of audio.
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "the rewriter is told the time")]
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::time::Instant;

use codecs::Vp8Descriptor;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use model::{ExtSeqNum, PayloadType, RtpTimestamp, SeqNum, Ssrc, TwccSeq};
use rtp::{ExtensionId, MAX_OUTGOING_HEADER_LEN, OutgoingExtensions, OutgoingHeader, RtpParts, RtpView};
use srtp::{DtlsRole, ProtectionProfile, SessionKeys, SrtpReceiver, SrtpSender};
use streams::{Incoming, PictureRewriter, SequenceRewriter};

const PROFILES: [ProtectionProfile; 3] =
    [ProtectionProfile::AeadAes128Gcm, ProtectionProfile::AeadAes256Gcm, ProtectionProfile::Aes128CmHmacSha1_80];
/// Payloads of a full video packet and of a packet of Opus.
const PAYLOADS: [usize; 2] = [1180, 100];

fn session(profile: ProtectionProfile) -> (SrtpSender, SrtpReceiver) {
    let material = vec![7; profile.keying_material_len()];
    let client = SessionKeys::from_dtls_export(profile, &material, DtlsRole::Client).unwrap();
    let server = SessionKeys::from_dtls_export(profile, &material, DtlsRole::Server).unwrap();
    (SrtpSender::new(&client.outbound).unwrap(), SrtpReceiver::new(&server.inbound).unwrap())
}

/// A VP8 packet in the middle of a frame, with 15-bit picture id, TL0PICIDX and TID.
fn payload(len: usize) -> Vec<u8> {
    let mut payload = vec![0x5a; len];
    payload.splice(..6, [0x80, 0xe0, 0x81, 0x23, 0x42, 0x20]);
    payload
}

fn header(seq: ExtSeqNum, timestamp: RtpTimestamp) -> OutgoingHeader<'static> {
    let transport_seq = Some((ExtensionId::try_from(5).unwrap(), TwccSeq(seq.wire().0)));
    OutgoingHeader {
        marker: false,
        payload_type: PayloadType::try_from(100).unwrap(),
        seq: seq.wire(),
        timestamp,
        ssrc: Ssrc(1_234_567_890),
        extensions: OutgoingExtensions { transport_seq, ..OutgoingExtensions::default() },
    }
}

fn protected(sender: &SrtpSender, seq: ExtSeqNum, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [0; MAX_OUTGOING_HEADER_LEN];
    let written = header(seq, RtpTimestamp(9000)).write_to(&mut bytes).unwrap();
    let mut out = vec![0; 1500];
    let parts = RtpParts { header: &bytes[..written.len], prefix: &[], payload };
    let len = sender.protect_rtp(&parts, seq, &mut out).unwrap();
    out.truncate(len);
    out
}

fn unprotect(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unprotect");
    for profile in PROFILES {
        for len in PAYLOADS {
            let (sender, mut receiver) = session(profile);
            let payload = payload(len);
            let mut seq = 0;
            group.throughput(Throughput::Elements(1));
            group.bench_function(BenchmarkId::new(format!("{profile:?}"), len), |bencher| {
                bencher.iter_batched(
                    || {
                        seq += 1;
                        protected(&sender, ExtSeqNum(seq), &payload)
                    },
                    |mut packet| {
                        let plain = receiver.unprotect_rtp(&mut packet).unwrap();
                        let view = RtpView::parse(&packet[..plain.len]).unwrap();
                        Vp8Descriptor::parse(view.payload()).unwrap().len()
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
}

fn forward(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forward");
    for profile in PROFILES {
        for len in PAYLOADS {
            let (sender, _) = session(profile);
            let payload = payload(len);
            let picture = Vp8Descriptor::parse(&payload).unwrap().picture();
            let now = Instant::now();
            let mut rewriter = SequenceRewriter::new(90_000, SeqNum(1), RtpTimestamp(1));
            let mut vp8 = PictureRewriter::default();
            let packet = |seq| Incoming { source: Ssrc(1), seq: ExtSeqNum(seq), timestamp: RtpTimestamp(seq as u32) };
            rewriter.switch_to(&packet(0), now);
            vp8.switch_to(Ssrc(1), &picture);
            let (mut seq, mut out) = (0, vec![0; 1500]);
            group.throughput(Throughput::Elements(1));
            group.bench_function(BenchmarkId::new(format!("{profile:?}"), len), |bencher| {
                bencher.iter(|| {
                    seq += 1;
                    let numbers = rewriter.rewrite(&packet(seq), now).unwrap();
                    let vp8 = vp8.rewrite(Ssrc(1), &picture).unwrap();
                    let prefix = picture.rewritten(&payload, vp8.picture_id, vp8.tl0_pic_idx);
                    let mut bytes = [0; MAX_OUTGOING_HEADER_LEN];
                    let written = header(numbers.seq, numbers.timestamp).write_to(&mut bytes).unwrap();
                    let rest = &payload[prefix.as_bytes().len()..];
                    let parts = RtpParts { header: &bytes[..written.len], prefix: prefix.as_bytes(), payload: rest };
                    sender.protect_rtp(&parts, numbers.seq, &mut out).unwrap()
                });
            });
        }
    }
}

criterion_group!(packet_path, unprotect, forward);
criterion_main!(packet_path);
