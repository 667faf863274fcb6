//! The yardstick: a loop that does for a packet only what nobody can leave out, without ICE, feedback or memory of
//! anything. Receive what is there, decrypt, for each subscriber copy and patch the header and seal, send as runs of
//! equal lengths (UDP GSO) with `sendmmsg`, never wait.
//!
//! It is told keys and addresses over stdin, and is as lean as we can make it: a packet's sender is found by its port in
//! a table, the header is parsed once, the ciphertext is written where the kernel takes it from.

use std::io::{BufRead, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail};
use model::{RtpTimestamp, TwccSeq};
use rtp::{RtpParts, RtpPatch};
use srtp::{DtlsRole, SessionKeys, SrtpReceiver, SrtpSender, UnprotectedRtp};

use crate::keys;
use crate::packets::AUDIO_LEVEL_ID;
use benches::batch::{BATCH, ReceiveBatch, Run, SendBatch, SendCounts, Wait, prepare};

/// Longest header of the generator's packets: fixed header, extension header, level and transport-wide number.
const MAX_HEADER: usize = 24;
/// Added to every timestamp, as a forwarder has clocks of its own.
const TIMESTAMP_OFFSET: u32 = 0x1234_5678;
/// Sealed bytes after which the kernel is asked to send, whatever else was received. Stays in the cache.
const FULL_SLAB: usize = 512 * 1024;

/// Longest datagram that the generator makes.
const MAX_DATAGRAM: usize = 1_500;

/// What the harness may ask for.
#[derive(Debug, Default)]
struct Counters {
    packets: AtomicU64,
    messages: AtomicU64,
    calls: AtomicU64,
}

struct Member {
    address: SocketAddrV4,
    room: usize,
    receiver: SrtpReceiver,
    sender: SrtpSender,
    next_twcc: u16,
}

struct Ideal {
    socket: UdpSocket,
    members: Vec<Member>,
    /// Members by room.
    rooms: Vec<Vec<usize>>,
    /// Member by port, as all are on the loopback interface.
    by_port: Vec<Option<u16>>,
    /// Sealed datagrams, back to back.
    slab: Vec<u8>,
    /// Bytes of them.
    used: usize,
    runs: Vec<Run>,
    batch: SendBatch,
    counts: SendCounts,
    packets: u64,
}

/// A decrypted packet in its slot.
struct Pending {
    sender: usize,
    room: usize,
    plain: UnprotectedRtp,
    slot: usize,
}

/// Reads members from stdin until `run`, then forwards until stdin ends.
pub(crate) fn serve() -> anyhow::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    prepare(&socket)?;
    let mut ideal = Ideal {
        socket,
        members: Vec::new(),
        rooms: Vec::new(),
        by_port: vec![None; 1 << 16],
        slab: vec![0; FULL_SLAB + BATCH * MAX_DATAGRAM],
        used: 0,
        runs: Vec::new(),
        batch: SendBatch::new(),
        counts: SendCounts::default(),
        packets: 0,
    };
    let mut lines = std::io::stdin().lines();
    loop {
        let line = lines.next().context("no run")??;
        if line == "run" {
            break;
        }
        ideal.add(&line).with_context(|| format!("cannot add {:.40}", line))?;
    }
    // Holds the lock of stdin.
    drop(lines);
    let counters = Arc::new(Counters::default());
    let for_harness = Arc::clone(&counters);
    println!("{}", ideal.socket.local_addr()?);
    std::io::stdout().flush()?;
    std::thread::Builder::new().name("requests".to_owned()).spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if line.is_err() {
                break;
            }
            let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let Counters { packets, messages, calls } = &*for_harness;
            println!("{} {} {}", get(packets), get(messages), get(calls));
        }
        std::process::exit(0);
    })?;
    ideal.run(&counters)
}

impl Ideal {
    /// Takes a line of the harness: room, address, and the keys of the server's side.
    fn add(&mut self, line: &str) -> anyhow::Result<()> {
        let mut words = line.split(' ');
        let room: usize = words.next().context("no room")?.parse()?;
        let address: SocketAddr = words.next().context("no address")?.parse()?;
        let SocketAddr::V4(address) = address else { bail!("IPv4 only") };
        let (profile, material) = keys::parse(words.next().context("no keys")?)?;
        let keys = SessionKeys::from_dtls_export(profile, &material, DtlsRole::Server)?;
        let member = self.members.len();
        self.members.push(Member {
            address,
            room,
            receiver: SrtpReceiver::new(&keys.inbound)?,
            sender: SrtpSender::new(&keys.outbound)?,
            next_twcc: 1,
        });
        *self.by_port.get_mut(usize::from(address.port())).context("no such port")? = Some(u16::try_from(member)?);
        self.rooms.resize_with(self.rooms.len().max(room + 1), Vec::new);
        self.rooms.get_mut(room).context("no such room")?.push(member);
        Ok(())
    }

    fn run(mut self, counters: &Counters) -> anyhow::Result<()> {
        let mut receive = ReceiveBatch::new();
        let mut pending: Vec<Pending> = Vec::with_capacity(BATCH);
        loop {
            pending.clear();
            let Self { socket, members, by_port, .. } = &mut self;
            receive.receive(socket, Wait::ForOne, |datagram| {
                let Some(sender) = by_port.get(usize::from(datagram.from.port())).copied().flatten() else { return };
                let sender = usize::from(sender);
                let Some(member) = members.get_mut(sender).filter(|member| member.address == datagram.from) else {
                    return;
                };
                if let Ok(plain) = member.receiver.unprotect_rtp(datagram.data) {
                    pending.push(Pending { sender, room: member.room, plain, slot: datagram.slot });
                }
            })?;
            self.forward(&pending, &receive)?;
            counters.packets.store(self.packets, Ordering::Relaxed);
            counters.messages.store(self.counts.messages, Ordering::Relaxed);
            counters.calls.store(self.counts.calls, Ordering::Relaxed);
        }
    }

    /// Seals everything for one subscriber after the other, so that what goes to one place lies in one piece.
    fn forward(&mut self, pending: &[Pending], received: &ReceiveBatch) -> anyhow::Result<()> {
        let mut at = 0;
        while let Some(first) = pending.get(at) {
            let room = first.room;
            // Rooms that come again later in the batch were served with their first packet.
            if !pending.iter().take(at).any(|earlier| earlier.room == room) {
                for subscriber in 0..self.rooms.get(room).map_or(0, Vec::len) {
                    self.seal_for(room, subscriber, pending, received);
                    if self.used >= FULL_SLAB {
                        self.flush()?;
                    }
                }
            }
            at += 1;
        }
        self.flush()
    }

    fn seal_for(&mut self, room: usize, subscriber: usize, pending: &[Pending], received: &ReceiveBatch) {
        let Some(&subscriber) = self.rooms.get(room).and_then(|members| members.get(subscriber)) else { return };
        let Some(member) = self.members.get_mut(subscriber) else { return };
        let mut open: Option<Run> = None;
        for packet in pending.iter().filter(|packet| packet.room == room && packet.sender != subscriber) {
            let UnprotectedRtp { header, seq, len } = packet.plain;
            let bytes = received.bytes(packet.slot, len);
            let (Some(from), Some(payload)) = (bytes.get(..header.header_len()), bytes.get(header.header_len()..))
            else {
                continue;
            };
            let mut patched = [0; MAX_HEADER];
            let Some(patched) = patched.get_mut(..from.len()) else { continue };
            patched.copy_from_slice(from);
            let Ok(mut patch) = RtpPatch::new(patched) else { continue };
            patch
                .set_seq(seq.wire())
                .set_timestamp(RtpTimestamp(header.timestamp.0.wrapping_add(TIMESTAMP_OFFSET)))
                .set_ssrc(header.ssrc);
            // The number stands behind the audio level, if there is one.
            let has_level = from.get(16).is_some_and(|element| element >> 4 == AUDIO_LEVEL_ID);
            patch.set_transport_seq(if has_level { 19 } else { 17 }, TwccSeq(member.next_twcc));
            member.next_twcc = member.next_twcc.wrapping_add(1);

            let start = self.used;
            let parts = RtpParts { header: patched, prefix: &[], payload };
            let space = self.slab.get_mut(start..).unwrap_or_default();
            let Ok(sealed) = member.sender.protect_rtp(&parts, seq, space) else { continue };
            self.used += sealed;
            self.packets += 1;
            if !open.as_mut().is_some_and(|run| run.try_extend(sealed)) {
                self.runs.extend(open.replace(Run {
                    to: member.address,
                    start,
                    bytes: sealed,
                    segment: sealed as u16,
                    count: 1,
                }));
            }
        }
        self.runs.extend(open);
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if !self.runs.is_empty() {
            self.batch.send(&self.socket, &self.slab, &mut self.runs, &mut self.counts)?;
            self.runs.clear();
        }
        self.used = 0;
        Ok(())
    }
}
