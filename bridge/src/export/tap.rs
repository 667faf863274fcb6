//! The way of copies of audio packets from shards to an exporter.
//!
//! A shard fills a buffer that the exporter made before, and gives it back to the exporter: no memory, no lock, and nobody is
//! woken, as the exporter looks now and then. Slots themselves would come back too late from one that hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use model::{ExtSeqNum, PayloadType, RtpTimestamp};
use rtp::AudioLevel;

use super::ExportedSource;
use crate::shard::audio::Part;
use crate::shard::packet::{Descriptor, SLOT_BYTES, Slot};

/// Packets that wait for one exporter at most, as in JVB; more are lost.
const MAX_WAITING: usize = 1024;
/// Buffers of an exporter at first, and how many more there are each time that they run short.
const STEP: usize = 64;

/// A packet of audio on its way.
#[derive(Debug)]
pub(crate) struct ExportedPacket {
    pub(crate) source: Option<Arc<ExportedSource>>,
    pub(crate) seq: ExtSeqNum,
    pub(crate) timestamp: RtpTimestamp,
    pub(crate) payload_type: PayloadType,
    pub(crate) level: Option<AudioLevel>,
    pub(crate) at: Instant,
    len: usize,
    bytes: [u8; SLOT_BYTES],
}

impl ExportedPacket {
    pub(crate) fn payload(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct Shared {
    /// Whether anybody takes packets.
    is_open: AtomicBool,
    lost: AtomicU64,
}

/// Where shards copy to; each has a copy of it.
#[derive(Clone, Debug)]
pub(crate) struct AudioTap {
    empty: Receiver<Box<ExportedPacket>>,
    filled: Sender<Box<ExportedPacket>>,
    shared: Arc<Shared>,
}

/// Where the copies come out.
#[derive(Debug)]
pub(crate) struct AudioQueue {
    empty: Sender<Box<ExportedPacket>>,
    filled: Receiver<Box<ExportedPacket>>,
    shared: Arc<Shared>,
    /// Buffers that there are.
    made: usize,
}

/// Both ends.
pub(crate) fn audio_tap() -> (AudioTap, AudioQueue) {
    let (give, empty) = bounded(MAX_WAITING);
    let (filled, take) = bounded(MAX_WAITING);
    let shared = Arc::new(Shared::default());
    let tap = AudioTap { empty, filled, shared: Arc::clone(&shared) };
    (tap, AudioQueue { empty: give, filled: take, shared, made: 0 })
}

impl AudioTap {
    /// Copies a described packet of `source`. Redundant audio goes without what it repeats: exporters take plain codecs.
    fn copy(&self, source: &Arc<ExportedSource>, slot: &Slot, whole: &Descriptor, now: Instant) {
        if !self.shared.is_open.load(Ordering::Relaxed) {
            return;
        }
        let Ok(mut buffer) = self.empty.try_recv() else {
            // Several shards count here: an addition proper, unlike in their own counters.
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let primary = whole.part(Part::Primary);
        let packet = primary.as_ref().unwrap_or(whole);
        let payload = slot.payload(packet);
        buffer.len = payload.len();
        if let Some(room) = buffer.bytes.get_mut(..payload.len()) {
            room.copy_from_slice(payload);
        }
        buffer.source = Some(Arc::clone(source));
        (buffer.seq, buffer.timestamp, buffer.at) = (packet.seq, packet.timestamp, now);
        (buffer.payload_type, buffer.level) = (packet.payload_type, packet.audio_level);
        // There is room for as many as there are buffers; the exporter may be gone.
        drop(self.filled.try_send(buffer));
    }
}

impl AudioQueue {
    /// Packets are copied from now on; those of before are gone.
    pub(crate) fn open(&mut self, now: Instant) {
        while let Ok(packet) = self.filled.try_recv() {
            self.give_back(packet);
        }
        self.grow(now);
        self.shared.is_open.store(true, Ordering::Relaxed);
    }

    /// No more packets are copied.
    pub(crate) fn close(&self) {
        self.shared.is_open.store(false, Ordering::Relaxed);
    }

    /// The next packet; to be given back.
    pub(crate) fn take(&self) -> Option<Box<ExportedPacket>> {
        self.filled.try_recv().ok()
    }

    pub(crate) fn give_back(&self, mut packet: Box<ExportedPacket>) {
        packet.source = None;
        drop(self.empty.try_send(packet));
    }

    /// Makes more buffers where few are left. To be called when all packets were taken.
    pub(crate) fn grow(&mut self, now: Instant) {
        if self.empty.len() >= STEP / 2 {
            return;
        }
        for _ in 0..STEP.min(MAX_WAITING - self.made) {
            self.made += 1;
            drop(self.empty.try_send(Box::new(ExportedPacket {
                source: None,
                seq: ExtSeqNum(0),
                timestamp: RtpTimestamp(0),
                payload_type: PayloadType::from_low_bits(0),
                level: None,
                at: now,
                len: 0,
                bytes: [0; SLOT_BYTES],
            })));
        }
    }

    /// Packets that found no buffer since the last time.
    pub(crate) fn take_lost(&self) -> u64 {
        self.shared.lost.swap(0, Ordering::Relaxed)
    }
}

/// All exporters that get a source.
#[derive(Debug)]
pub(crate) struct SourceTaps {
    pub(crate) source: Arc<ExportedSource>,
    pub(crate) taps: Vec<AudioTap>,
}

impl SourceTaps {
    /// Copies a described packet to all of them.
    #[inline(never)]
    pub(crate) fn copy(&self, slot: &Slot, now: Instant) {
        let Some(packet) = slot.descriptor() else { return };
        for tap in &self.taps {
            tap.copy(&self.source, slot, packet, now);
        }
    }
}
