//! What does it cost to protect and to unprotect a packet? Nanoseconds of one core.
//!
//! `protect` writes a header of 20 bytes, a rewritten descriptor and a payload from elsewhere into a send slot, as the
//! bridge does for every receiver; `whole` has no descriptor, as audio. `fan_out` takes another key for each packet.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use model::ExtSeqNum;
use rtp::RtpParts;
use srtp::{MAX_RTP_OVERHEAD, MasterKey, ProtectionProfile, SrtpReceiver, SrtpSender};

const PROFILES: [ProtectionProfile; 3] =
    [ProtectionProfile::AeadAes128Gcm, ProtectionProfile::AeadAes256Gcm, ProtectionProfile::Aes128CmHmacSha1_80];

/// Bytes of a packet before protection: video, and audio.
const SIZES: [usize; 2] = [1200, 120];

/// One-byte extensions of eight bytes in all.
const HEADER: [u8; 20] = [0x90, 96, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7, 0xbe, 0xde, 0, 1, 0x10, 0x80, 0, 0];

/// A VP8 descriptor with picture id and layers.
const DESCRIPTOR: [u8; 6] = [0x90, 0xe0, 0x80, 1, 2, 0x20];

fn key(profile: ProtectionProfile, number: u16) -> MasterKey {
    let mut key = vec![7; profile.key_len()];
    key[..2].copy_from_slice(&number.to_be_bytes());
    MasterKey::new(profile, &key, &vec![9; profile.salt_len()]).expect("the lengths are those of the profile")
}

fn header(seq: u64) -> [u8; 20] {
    let mut header = HEADER;
    header[2..4].copy_from_slice(&(seq as u16).to_be_bytes());
    header
}

fn protect(sender: &SrtpSender, seq: u64, prefix: &[u8], payload: &[u8], slot: &mut [u8]) -> usize {
    let parts = RtpParts { header: &header(seq), prefix, payload };
    sender.protect_rtp(&parts, ExtSeqNum(seq), slot).expect("the slot has room")
}

fn protecting(c: &mut Criterion) {
    let mut group = c.benchmark_group("protect");
    let source = vec![0x5a; 1500];
    let mut slot = vec![0; 1500 + MAX_RTP_OVERHEAD];
    for profile in PROFILES {
        let sender = SrtpSender::new(&key(profile, 0)).expect("the key fits");
        let senders: Vec<_> = (0..1000).map(|i| SrtpSender::new(&key(profile, i)).expect("the key fits")).collect();
        for size in SIZES {
            let payload = &source[..size - HEADER.len() - DESCRIPTOR.len()];
            let whole = &source[..size - HEADER.len()];
            let mut seq = 0;
            group.bench_function(BenchmarkId::new(format!("{profile}/whole"), size), |b| {
                b.iter(|| {
                    seq += 1;
                    protect(&sender, seq, &[], black_box(whole), &mut slot)
                });
            });
            group.bench_function(BenchmarkId::new(format!("{profile}/descriptor"), size), |b| {
                b.iter(|| {
                    seq += 1;
                    protect(&sender, seq, black_box(&DESCRIPTOR), black_box(payload), &mut slot)
                });
            });
            let mut next = 0;
            group.bench_function(BenchmarkId::new(format!("{profile}/fan_out"), size), |b| {
                b.iter(|| {
                    seq += 1;
                    next = (next + 1) % senders.len();
                    protect(&senders[next], seq, black_box(&DESCRIPTOR), black_box(payload), &mut slot)
                });
            });
        }
    }
}

fn unprotecting(c: &mut Criterion) {
    let mut group = c.benchmark_group("unprotect");
    let source = vec![0x5a; 1500];
    for profile in PROFILES {
        let sender = SrtpSender::new(&key(profile, 0)).expect("the key fits");
        let mut receiver = SrtpReceiver::new(&key(profile, 0)).expect("the key fits");
        let mut seq = 0;
        for size in SIZES {
            group.bench_function(BenchmarkId::new(profile.to_string(), size), |b| {
                b.iter_batched_ref(
                    || {
                        seq += 1;
                        let mut packet = vec![0; size + MAX_RTP_OVERHEAD];
                        let len = protect(&sender, seq, &[], &source[..size - HEADER.len()], &mut packet);
                        packet.truncate(len);
                        packet
                    },
                    |packet| receiver.unprotect_rtp(packet).expect("the key is the same"),
                    BatchSize::SmallInput,
                );
            });
        }
        group.bench_function(BenchmarkId::new(format!("{profile}/replay"), 1200), |b| {
            let mut packet = vec![0; 1200 + MAX_RTP_OVERHEAD];
            let len = protect(&sender, seq, &[], &source[..1180], &mut packet);
            b.iter(|| receiver.unprotect_rtp(black_box(&mut packet[..len])).is_err());
        });
    }
}

criterion_group!(benches, protecting, unprotecting);
criterion_main!(benches);
