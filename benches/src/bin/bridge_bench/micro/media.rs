//! What is done for a packet of media.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Instant;

use anyhow::Context;
use codecs::Vp8Descriptor;
use model::{ExtSeqNum, FiveTuple, PayloadType, RtpTimestamp, SeqNum, Ssrc, TwccSeq};
use net::{MediaShards, SendQueue, Without};
use rtp::{ExtensionId, MAX_OUTGOING_HEADER_LEN, OutgoingExtensions, OutgoingHeader, RtpParts, RtpView};
use srtp::{DtlsRole, ProtectionProfile, SessionKeys, SrtpReceiver, SrtpSender};
use streams::{Incoming, PictureRewriter, SequenceRewriter};

use super::{Operation, Piece};

/// Payload of a full packet of video.
const VIDEO: usize = 1180;
/// Payload of a packet of Opus.
const AUDIO: usize = 100;
/// Datagrams handed to the kernel at once.
const BATCH: usize = 64;
const TWCC: u8 = 5;

pub(super) fn pieces() -> Vec<Piece> {
    use ProtectionProfile::{AeadAes128Gcm, Aes128CmHmacSha1_80};
    vec![
        Piece::new("parse: header, extension, VP8 descriptor", |_| parse()),
        Piece::new("rewrite: numbers, descriptor, header", |_| rewrite()),
        Piece::new("protect video, AES-GCM", |_| protect(AeadAes128Gcm, VIDEO)).with_floor(151.0, "aws-lc-rs"),
        Piece::new("protect audio, AES-GCM", |_| protect(AeadAes128Gcm, AUDIO)).with_floor(77.0, "aws-lc-rs"),
        Piece::new("protect video, AES-CM", |_| protect(Aes128CmHmacSha1_80, VIDEO)).with_floor(822.0, "aws-lc"),
        Piece::new("unprotect video, AES-GCM", |times| unprotect(AeadAes128Gcm, VIDEO, times))
            .with_floor(156.0, "aws-lc-rs, with a copy"),
        Piece::new("unprotect audio, AES-GCM", |times| unprotect(AeadAes128Gcm, AUDIO, times))
            .with_floor(85.0, "aws-lc-rs, with a copy"),
        Piece::new("send a batch of video, kernel included", |_| send_batch())
            .in_calls_of(BATCH)
            .with_floor(190.0, "sendmmsg with GSO"),
    ]
}

/// A VP8 packet in the middle of a frame, with 15-bit picture id, TL0PICIDX and TID.
fn payload(len: usize) -> Vec<u8> {
    let mut payload = vec![0x5a; len];
    payload.splice(..6, [0x80, 0xe0, 0x81, 0x23, 0x42, 0x20]);
    payload
}

fn header(seq: SeqNum, timestamp: RtpTimestamp) -> anyhow::Result<OutgoingHeader<'static>> {
    let transport_seq = Some((ExtensionId::try_from(TWCC)?, TwccSeq(seq.0)));
    Ok(OutgoingHeader {
        marker: false,
        payload_type: PayloadType::try_from(100)?,
        seq,
        timestamp,
        ssrc: Ssrc(1_234_567_890),
        extensions: OutgoingExtensions { transport_seq, ..OutgoingExtensions::default() },
    })
}

fn written(seq: SeqNum) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0; MAX_OUTGOING_HEADER_LEN];
    let written = header(seq, RtpTimestamp(9000))?.write_to(&mut bytes)?;
    bytes.truncate(written.len);
    Ok(bytes)
}

fn session(profile: ProtectionProfile) -> anyhow::Result<(SrtpSender, SrtpReceiver)> {
    let material = vec![7; profile.keying_material_len()];
    let client = SessionKeys::from_dtls_export(profile, &material, DtlsRole::Client)?;
    let server = SessionKeys::from_dtls_export(profile, &material, DtlsRole::Server)?;
    Ok((SrtpSender::new(&client.outbound)?, SrtpReceiver::new(&server.inbound)?))
}

fn parse() -> anyhow::Result<Operation> {
    let packet = [written(SeqNum(7))?, payload(VIDEO)].concat();
    let twcc = ExtensionId::try_from(TWCC)?;
    Ok(Box::new(move || {
        let view = RtpView::parse(black_box(&packet)).ok();
        let seq =
            view.and_then(|view| view.extension(twcc)).and_then(|element| element.data.first_chunk::<2>().copied());
        let descriptor = view.and_then(|view| Vp8Descriptor::parse(view.payload()).ok());
        black_box((seq, descriptor));
    }))
}

fn rewrite() -> anyhow::Result<Operation> {
    let payload = payload(VIDEO);
    let picture = Vp8Descriptor::parse(&payload).context("no descriptor")?.picture();
    let header = header(SeqNum(1), RtpTimestamp(1))?;
    let now = Instant::now();
    let mut rewriter = SequenceRewriter::new(90_000, SeqNum(1), RtpTimestamp(1));
    let mut vp8 = PictureRewriter::default();
    let packet = |seq| Incoming { source: Ssrc(1), seq: ExtSeqNum(seq), timestamp: RtpTimestamp(seq as u32) };
    rewriter.switch_to(&packet(0), now);
    vp8.switch_to(Ssrc(1), &picture);
    let mut seq = 0;
    Ok(Box::new(move || {
        seq += 1;
        let numbers = rewriter.rewrite(&packet(seq), now);
        let vp8 = vp8.rewrite(Ssrc(1), &picture);
        let (Some(numbers), Some(vp8)) = (numbers, vp8) else { return };
        let prefix = picture.rewritten(&payload, vp8.picture_id, vp8.tl0_pic_idx);
        let mut bytes = [0; MAX_OUTGOING_HEADER_LEN];
        let header = OutgoingHeader { seq: numbers.seq.wire(), timestamp: numbers.timestamp, ..header };
        black_box((header.write_to(&mut bytes).ok(), prefix, bytes));
    }))
}

fn protect(profile: ProtectionProfile, len: usize) -> anyhow::Result<Operation> {
    let (sender, _) = session(profile)?;
    let (header, payload) = (written(SeqNum(7))?, payload(len));
    let (mut seq, mut out) = (0, vec![0; 1500]);
    Ok(Box::new(move || {
        seq += 1;
        let parts = RtpParts { header: &header, prefix: &[], payload: &payload };
        black_box(sender.protect_rtp(&parts, ExtSeqNum(seq), &mut out).ok());
    }))
}

fn unprotect(profile: ProtectionProfile, len: usize, times: usize) -> anyhow::Result<Operation> {
    let (sender, mut receiver) = session(profile)?;
    let payload = payload(len);
    let mut packets = Vec::with_capacity(times);
    for seq in 0..times as u64 {
        let seq = ExtSeqNum(seq);
        let header = written(seq.wire())?;
        let mut packet = vec![0; 1500];
        let parts = RtpParts { header: &header, prefix: &[], payload: &payload };
        let len = sender.protect_rtp(&parts, seq, &mut packet)?;
        packet.truncate(len);
        packets.push(packet);
    }
    let mut packets = packets.into_iter();
    Ok(Box::new(move || {
        if let Some(mut packet) = packets.next() {
            black_box(receiver.unprotect_rtp(&mut packet).ok());
        }
    }))
}

/// To a socket that nobody reads: what does not fit its buffer is dropped by the kernel at its end of the way.
fn send_batch() -> anyhow::Result<Operation> {
    let sink = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let to = sink.local_addr()?;
    let bound = MediaShards::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 1, Without::default())?;
    let path = FiveTuple::udp(SocketAddr::from((Ipv4Addr::LOCALHOST, bound.port)), to);
    let shard = bound.shards.into_iter().next().context("no shard")?;
    let mut sender = shard.media_sender()?;
    let datagram = vec![0x80; 1200];
    let mut queue = SendQueue::default();
    Ok(Box::new(move || {
        for _ in 0..BATCH {
            queue.push(path, &datagram);
        }
        black_box((sender.send(&mut queue), &shard, &sink));
    }))
}
