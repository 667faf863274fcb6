//! The common case of a stream to one receiver: a packet that follows the one before, under the same distances.
//!
//! Here: what such a packet needs. Not here: everything else, which catches up before it is used (`send`).

use std::time::Instant;

use codecs::PictureFields;
use model::PayloadType;
use streams::{Incoming, Rewritten};

use super::packet::{Descriptor, Numbers};
use super::selection::{Admission, is_plain};
use super::send::Distances;

/// Packets after which the rest of the stream catches up: half a round of a 7-bit picture id must not pass by.
const MAX_PACKETS: u32 = 32;

/// Packets in order, from the last one that the rest of the stream was shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InOrder {
    /// The last packet.
    pub(crate) last: Incoming,
    pub(crate) last_numbers: LastNumbers,
    payload_type: PayloadType,
    /// What passes, while nothing else is waited for.
    admission: Admission,
    /// When the first packet of its time came.
    pub(crate) last_at: Instant,
    /// From the source's numbers to the receiver's.
    pub(crate) distances: Distances,
    /// Packets and bytes of payload that the rest of the stream was not shown.
    pub(crate) packets: u32,
    pub(crate) octets: u32,
}

/// Of the picture or frame of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LastNumbers {
    None,
    Picture(PictureFields),
    Frame(u16),
}

impl LastNumbers {
    const fn of(packet: &Descriptor) -> Self {
        match &packet.numbers {
            Numbers::None => Self::None,
            Numbers::Vp8(picture) | Numbers::Vp9(picture) => Self::Picture(*picture),
            Numbers::Dependency(fields) => Self::Frame(fields.frame_number),
        }
    }
}

impl InOrder {
    /// Behind a packet that the whole stream was shown; the first of its time came at `at`.
    pub(crate) const fn after(packet: &Descriptor, distances: Distances, admission: Admission, at: Instant) -> Self {
        let last = Incoming { source: packet.ssrc, seq: packet.seq, timestamp: packet.timestamp };
        let last_numbers = LastNumbers::of(packet);
        let payload_type = packet.payload_type;
        Self { last, last_numbers, payload_type, admission, last_at: at, distances, packets: 0, octets: 0 }
    }

    /// The numbers of a packet, if it is the one that comes next, its frame follows too, and it passes like the one before.
    pub(crate) fn handle_packet(&mut self, packet: &Descriptor, now: Instant) -> Option<Rewritten> {
        let is_next = packet.ssrc == self.last.source && packet.seq.0 == self.last.seq.0 + 1;
        if !is_next || self.packets >= MAX_PACKETS || packet.payload_type != self.payload_type {
            return None;
        }
        if !follows(&self.last_numbers, packet) || !self.admission.admits(packet) || !is_plain(packet) {
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
        self.last_numbers = LastNumbers::of(packet);
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
fn follows(last: &LastNumbers, packet: &Descriptor) -> bool {
    match (last, &packet.numbers) {
        (LastNumbers::None, Numbers::None) => true,
        (LastNumbers::Picture(last), Numbers::Vp8(picture) | Numbers::Vp9(picture)) => picture_follows(last, picture),
        (LastNumbers::Frame(last), Numbers::Dependency(fields)) => fields.frame_number.wrapping_sub(*last) <= 1,
        (LastNumbers::None | LastNumbers::Picture(_) | LastNumbers::Frame(_), _) => false,
    }
}

fn picture_follows(last: &PictureFields, picture: &PictureFields) -> bool {
    if last.tl0_pic_idx.is_some() != picture.tl0_pic_idx.is_some() {
        return false;
    }
    match (last.picture_id, picture.picture_id) {
        (Some(last), Some(picture)) if last.width_bits() == picture.width_bits() => {
            let ahead = picture.get().wrapping_sub(last.get()) & ((1 << picture.width_bits()) - 1);
            ahead <= 1
        }
        // Without one all frames have the same.
        (last, picture) => last.is_none() && picture.is_none(),
    }
}
