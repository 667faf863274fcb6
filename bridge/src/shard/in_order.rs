//! The common case of a stream to one receiver: a packet that follows the one before, under the same distances.
//!
//! Here: what such a packet needs, together in two cache lines, as a bridge has as many streams as sources times receivers
//! and each packet visits those of all its receivers. Not here: everything else, which catches up before it is used
//! (`send`).

use std::time::Instant;

use codecs::Vp8Descriptor;
use model::{ExtSeqNum, Ssrc};
use streams::{Incoming, Rewritten};

use super::packet::Descriptor;
use super::send::Distances;

/// Packets after which the rest of the stream catches up: half a round of a 7-bit picture id must not pass by.
const MAX_PACKETS: u32 = 32;

/// Packets in order, from the last one that the rest of the stream was shown.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct InOrder {
    /// The source's number of the packet that comes next.
    next: ExtSeqNum,
    distances: Distances,
    /// The last packet.
    last: Last,
    /// Packets and bytes of payload that the rest of the stream was not shown.
    packets: u32,
    octets: u32,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    incoming: Incoming,
    vp8: Option<Vp8Descriptor>,
    /// When the first packet of its time came.
    at: Instant,
}

/// What the rest of a stream has to catch up with: the last of some packets that came in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CatchUp {
    pub(crate) incoming: Incoming,
    pub(crate) vp8: Option<Vp8Descriptor>,
    /// When the first packet of its time came.
    pub(crate) at: Instant,
    pub(crate) distances: Distances,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
}

impl InOrder {
    /// Behind a packet that the whole stream was shown.
    pub(crate) fn after(packet: &Descriptor, distances: Distances, at: Instant) -> Self {
        let incoming = Incoming { source: packet.ssrc, seq: packet.seq, timestamp: packet.timestamp };
        let last = Last { incoming, vp8: packet.vp8, at };
        Self { next: ExtSeqNum(packet.seq.0 + 1), distances, last, packets: 0, octets: 0 }
    }

    /// The source's stream.
    pub(crate) const fn source(&self) -> Ssrc {
        self.last.incoming.source
    }

    /// From the source's numbers to the receiver's.
    pub(crate) const fn distances(&self) -> &Distances {
        &self.distances
    }

    /// The numbers of a packet, if it is the one that comes next and its frame follows too.
    pub(crate) fn handle_packet(&mut self, packet: &Descriptor, now: Instant) -> Option<Rewritten> {
        if packet.ssrc != self.source() || packet.seq != self.next || self.packets >= MAX_PACKETS {
            return None;
        }
        if !follows(self.last.vp8.as_ref(), packet.vp8.as_ref()) {
            return None;
        }
        let ahead = packet.timestamp.0.wrapping_sub(self.last.incoming.timestamp.0);
        if ahead >= 1 << 31 {
            return None;
        }
        if ahead > 0 {
            self.last.at = now;
        }
        self.last.incoming.seq = packet.seq;
        self.last.incoming.timestamp = packet.timestamp;
        self.last.vp8 = packet.vp8;
        self.next = ExtSeqNum(packet.seq.0 + 1);
        self.packets += 1;
        self.octets += u32::from(packet.payload_len);
        Some(Rewritten { seq: self.distances.seq(packet.seq), timestamp: self.distances.timestamp(packet.timestamp) })
    }

    /// What came in order since this was asked last.
    pub(crate) fn take(&mut self) -> Option<CatchUp> {
        if self.packets == 0 {
            return None;
        }
        let Last { incoming, vp8, at } = self.last;
        let (packets, octets) = (std::mem::take(&mut self.packets), std::mem::take(&mut self.octets));
        Some(CatchUp { incoming, vp8, at, distances: self.distances, packets, octets })
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
