//! The common case of a stream to one receiver: a packet that follows the one before, under the same distances.
//!
//! Here: what such a packet needs. Not here: everything else, which catches up before it is used (`send`).

use std::time::Instant;

use codecs::Vp8Descriptor;
use streams::{Incoming, Rewritten};

use super::packet::Descriptor;
use super::send::Distances;

/// Packets after which the rest of the stream catches up: half a round of a 7-bit picture id must not pass by.
const MAX_PACKETS: u32 = 32;

/// Packets in order, from the last one that the rest of the stream was shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InOrder {
    /// The last packet.
    pub(crate) last: Incoming,
    pub(crate) last_vp8: Option<Vp8Descriptor>,
    /// When the first packet of its time came.
    pub(crate) last_at: Instant,
    /// From the source's numbers to the receiver's.
    pub(crate) distances: Distances,
    /// Packets and bytes of payload that the rest of the stream was not shown.
    pub(crate) packets: u32,
    pub(crate) octets: u32,
}

impl InOrder {
    /// Behind a packet that the whole stream was shown; the first of its time came at `at`.
    pub(crate) fn after(packet: &Descriptor, distances: Distances, at: Instant) -> Self {
        let last = Incoming { source: packet.ssrc, seq: packet.seq, timestamp: packet.timestamp };
        Self { last, last_vp8: packet.vp8, last_at: at, distances, packets: 0, octets: 0 }
    }

    /// The numbers of a packet, if it is the one that comes next and its frame follows too.
    pub(crate) fn handle_packet(&mut self, packet: &Descriptor, now: Instant) -> Option<Rewritten> {
        let is_next = packet.ssrc == self.last.source && packet.seq.0 == self.last.seq.0 + 1;
        if !is_next || self.packets >= MAX_PACKETS || !follows(self.last_vp8.as_ref(), packet.vp8.as_ref()) {
            return None;
        }
        let ahead = packet.timestamp.0.wrapping_sub(self.last.timestamp.0);
        if ahead >= 1 << 31 {
            return None;
        }
        if ahead > 0 {
            self.last_at = now;
        }
        self.last.seq = packet.seq;
        self.last.timestamp = packet.timestamp;
        self.last_vp8 = packet.vp8;
        self.packets += 1;
        self.octets += u32::from(packet.payload_len);
        Some(Rewritten { seq: self.distances.seq(packet.seq), timestamp: self.distances.timestamp(packet.timestamp) })
    }

    /// The last of the packets that came in order since this was asked, if any did.
    pub(crate) fn take(&mut self) -> Option<Self> {
        let missed = *self;
        (self.packets, self.octets) = (0, 0);
        (missed.packets > 0).then_some(missed)
    }
}

/// Whether a packet belongs to the same frame as the one before or to the frame that follows it.
fn follows(last: Option<&Vp8Descriptor>, packet: Option<&Vp8Descriptor>) -> bool {
    let (Some(last), Some(packet)) = (last, packet) else { return last.is_none() && packet.is_none() };
    if last.tl0_pic_idx.is_some() != packet.tl0_pic_idx.is_some() {
        return false;
    }
    match (last.picture_id, packet.picture_id) {
        (Some(last), Some(packet)) if last.width_bits() == packet.width_bits() => {
            let ahead = packet.get().wrapping_sub(last.get()) & ((1 << packet.width_bits()) - 1);
            ahead <= 1
        }
        // Without one all frames have the same.
        (last, packet) => last.is_none() && packet.is_none(),
    }
}
