//! Packets of one stream become pictures: all packets of one timestamp from the first to the marker.
//!
//! After libwebrtc's `PacketBuffer`: a packet is continuous if it starts a picture or follows a continuous one, and a picture
//! is whole once its marker is. Not here: whether a picture can be decoded (`decoder`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use model::{ExtSeqNum, RtpTimestamp};

use super::head::{Head, References, TemporalNumbers};
use crate::load::media::Trailer;

/// Packets from the oldest that something is missing of to the newest: more than the longest key frame of a screen, and what
/// 720p sends in a second.
const MAX_WINDOW: u64 = 512;
/// A repair comes within a second.
const REPAIR_AGE: Duration = Duration::from_secs(1);
/// Frames that a picture may have: spatial layers of VP9 (RFC 9628 §4.2, SID); of H.264, packets that could start it.
pub(super) const MAX_LAYERS: usize = 8;
/// Room that a window keeps when a loss is over.
const KEPT_CAPACITY: usize = 64;

/// A packet as it waits for the others of its picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) timestamp: RtpTimestamp,
    pub(super) marker: bool,
    pub(super) head: Head,
    pub(super) trailer: Option<Trailer>,
    pub(super) bytes: usize,
    pub(super) arrived: Instant,
}

/// All packets of one timestamp.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    pub(super) first: ExtSeqNum,
    pub(super) last: ExtSeqNum,
    pub(super) timestamp: RtpTimestamp,
    /// Of each layer frame, the lowest first; empty where no packet could be read.
    pub(super) heads: Heads,
    /// Of the last packet that has one.
    pub(super) trailer: Option<Trailer>,
    pub(super) packets: usize,
    pub(super) bytes: usize,
    /// When the last packet to come came.
    pub(super) completed: Instant,
}

/// At most [`MAX_LAYERS`] heads.
#[derive(Clone, Debug)]
pub(super) struct Heads {
    heads: [Option<Head>; MAX_LAYERS],
}

impl Heads {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Head> {
        self.heads.iter().flatten()
    }

    fn push(&mut self, head: Head) {
        if let Some(room) = self.heads.iter_mut().find(|head| head.is_none()) {
            *room = Some(head);
        }
    }
}

impl Picture {
    pub(super) fn is_key(&self) -> bool {
        self.heads.iter().any(|head| head.is_key)
    }

    /// Of the lowest layer.
    pub(super) fn numbers(&self) -> Option<TemporalNumbers> {
        self.heads.iter().next().map(|head| head.numbers)
    }

    /// Of the highest layer that tells it.
    pub(super) fn height(&self) -> Option<u16> {
        self.heads.iter().filter_map(|head| head.height).last()
    }
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Missing,
    /// A packet without payload, which is of no picture.
    Filler {
        arrived: Instant,
    },
    /// It belonged to a picture that is whole.
    Taken {
        arrived: Instant,
    },
    /// Its picture is not whole.
    Waiting {
        piece: Piece,
        is_continuous: bool,
    },
}

/// What stands in front of a packet.
#[derive(Clone, Copy, Debug)]
enum Before {
    Unknown,
    /// The end of a picture.
    Ended,
    /// A packet of a picture that is not whole.
    GoesOn {
        timestamp: RtpTimestamp,
        is_continuous: bool,
    },
}

#[derive(Debug)]
pub(super) struct Assembler {
    /// Number of the first slot; none before the first packet.
    base: Option<u64>,
    slots: VecDeque<Slot>,
    /// The packet in front of the first slot came.
    has_before_base: bool,
    /// Nothing was taken from the front yet.
    is_front_open: bool,
    pictures: VecDeque<Picture>,
    incomplete: usize,
    /// Timestamp of the picture that was last counted as incomplete.
    last_incomplete: Option<RtpTimestamp>,
}

impl Assembler {
    pub(super) const fn new() -> Self {
        Self {
            base: None,
            slots: VecDeque::new(),
            has_before_base: false,
            is_front_open: true,
            pictures: VecDeque::new(),
            incomplete: 0,
            last_incomplete: None,
        }
    }

    /// Takes a packet. One that came before, or is older than the window, changes nothing.
    pub(super) fn handle_piece(&mut self, seq: ExtSeqNum, piece: Piece) {
        let Some(at) = self.make_room(seq) else { return };
        if let Some(slot @ Slot::Missing) = self.slots.get_mut(at) {
            *slot = Slot::Waiting { piece, is_continuous: false };
            self.on_arrival(at);
            self.shrink_front();
        }
    }

    /// Takes a packet without payload: it only fills its place.
    pub(super) fn handle_filler(&mut self, seq: ExtSeqNum, arrived: Instant) {
        let Some(at) = self.make_room(seq) else { return };
        if let Some(slot @ Slot::Missing) = self.slots.get_mut(at) {
            *slot = Slot::Filler { arrived };
            self.on_arrival(at + 1);
            self.shrink_front();
        }
    }

    /// Forgets packets that waited longer than a repair takes.
    pub(super) fn give_up(&mut self, now: Instant) {
        loop {
            let oldest = self.slots.iter().enumerate().find_map(|(at, slot)| match slot {
                Slot::Missing => None,
                Slot::Filler { arrived } | Slot::Taken { arrived } => Some((at, *arrived)),
                Slot::Waiting { piece, .. } => Some((at, piece.arrived)),
            });
            match oldest {
                Some((at, arrived)) if now.saturating_duration_since(arrived) > REPAIR_AGE => self.drop_front(at + 1),
                Some(_) | None => break,
            }
        }
        self.shrink_front();
    }

    /// Forgets what is older than `seq`: nothing needs it any more.
    pub(super) fn skip_to(&mut self, seq: ExtSeqNum) {
        if let Some(count) = self.base.and_then(|base| seq.0.checked_sub(base)) {
            self.drop_front(usize::try_from(count).unwrap_or(usize::MAX).min(self.slots.len()));
            self.shrink_front();
        }
    }

    /// The next picture that is whole, in the order in which they became so.
    pub(super) fn poll_picture(&mut self) -> Option<Picture> {
        self.pictures.pop_front()
    }

    /// How many pictures were forgotten since the last call.
    pub(super) const fn take_incomplete(&mut self) -> usize {
        std::mem::replace(&mut self.incomplete, 0)
    }

    #[cfg(test)]
    pub(super) fn is_within_bounds(&self) -> bool {
        self.slots.len() as u64 <= MAX_WINDOW && self.pictures.is_empty()
    }

    /// The place of a number; none for one that is too old.
    fn make_room(&mut self, seq: ExtSeqNum) -> Option<usize> {
        let base = *self.base.get_or_insert(seq.0);
        if let Some(behind) = base.checked_sub(seq.0).filter(|behind| *behind > 0) {
            // The first packets of a stream may overtake each other too.
            if !self.is_front_open || behind.saturating_add(self.slots.len() as u64) > MAX_WINDOW {
                return None;
            }
            for _ in 0..behind {
                self.slots.push_front(Slot::Missing);
            }
            self.base = Some(seq.0);
            return Some(0);
        }
        let too_many = (seq.0 - base).saturating_sub(MAX_WINDOW - 1);
        if too_many > 0 {
            self.drop_front(usize::try_from(too_many).unwrap_or(usize::MAX).min(self.slots.len()));
            if self.slots.is_empty() {
                // A jump beyond all that was there.
                self.base = Some(seq.0);
                self.has_before_base = false;
            }
        }
        let at = usize::try_from(seq.0 - self.base?).ok()?;
        while self.slots.len() <= at {
            self.slots.push_back(Slot::Missing);
        }
        Some(at)
    }

    fn drop_front(&mut self, count: usize) {
        for _ in 0..count {
            let Some(slot) = self.slots.pop_front() else { break };
            self.is_front_open = false;
            self.base = self.base.map(|base| base.saturating_add(1));
            match slot {
                Slot::Missing => self.has_before_base = false,
                Slot::Filler { .. } => {}
                Slot::Taken { .. } => self.has_before_base = true,
                Slot::Waiting { piece, .. } => {
                    if self.last_incomplete.replace(piece.timestamp) != Some(piece.timestamp) {
                        self.incomplete += 1;
                    }
                    // What was in front of it is lost, but the picture that comes next may begin here.
                    self.has_before_base = piece.marker;
                }
            }
        }
    }

    fn shrink_front(&mut self) {
        let is_done = |slot: &&Slot| matches!(slot, Slot::Taken { .. } | Slot::Filler { .. });
        let done = self.slots.iter().take_while(is_done).count();
        self.drop_front(done);
        if self.slots.is_empty() && self.slots.capacity() > KEPT_CAPACITY {
            self.slots.shrink_to(KEPT_CAPACITY);
        }
    }

    /// What stands in front of a place, past packets without payload.
    fn before(&self, at: usize) -> Before {
        for slot in self.slots.iter().take(at).rev() {
            return match *slot {
                Slot::Filler { .. } => continue,
                Slot::Missing => Before::Unknown,
                Slot::Taken { .. } => Before::Ended,
                Slot::Waiting { piece, .. } if piece.marker => Before::Ended,
                Slot::Waiting { piece, is_continuous } => Before::GoesOn { timestamp: piece.timestamp, is_continuous },
            };
        }
        if self.has_before_base { Before::Ended } else { Before::Unknown }
    }

    /// Goes from a place forward for as long as packets become continuous by what stands before them.
    fn on_arrival(&mut self, start: usize) {
        let mut at = start;
        loop {
            let before = self.before(at);
            match self.slots.get_mut(at) {
                Some(Slot::Filler { .. }) => {}
                Some(Slot::Waiting { piece, is_continuous }) if !*is_continuous => {
                    *is_continuous = piece.head.starts_picture
                        || match before {
                            Before::Unknown => false,
                            Before::Ended => true,
                            // A picture without marker ends where the next one begins.
                            Before::GoesOn { timestamp, is_continuous } => {
                                is_continuous || timestamp != piece.timestamp
                            }
                        };
                    if *is_continuous && piece.marker {
                        self.complete(at);
                    }
                }
                Some(Slot::Waiting { .. } | Slot::Missing | Slot::Taken { .. }) | None => break,
            }
            at += 1;
        }
    }

    /// Takes the picture that ends at a place, all packets of which are continuous.
    fn complete(&mut self, last: usize) {
        let Some(base) = self.base else { return };
        let Some(Slot::Waiting { piece: end, .. }) = self.slots.get(last).copied() else { return };
        let mut picture = Picture {
            first: ExtSeqNum(base + last as u64),
            last: ExtSeqNum(base + last as u64),
            timestamp: end.timestamp,
            heads: Heads { heads: [None; MAX_LAYERS] },
            trailer: end.trailer,
            packets: 0,
            bytes: 0,
            completed: end.arrived,
        };
        let mut first = last;
        for before in (0..last).rev() {
            match self.slots.get(before) {
                Some(Slot::Filler { .. }) => {}
                Some(Slot::Waiting { piece, is_continuous: true })
                    if piece.timestamp == end.timestamp && !piece.marker =>
                {
                    first = before;
                }
                Some(Slot::Waiting { .. } | Slot::Missing | Slot::Taken { .. }) | None => break,
            }
        }
        for at in first..=last {
            let Some(slot) = self.slots.get_mut(at) else { continue };
            let Slot::Waiting { piece, .. } = *slot else { continue };
            *slot = Slot::Taken { arrived: piece.arrived };
            picture.packets += 1;
            picture.bytes += piece.bytes;
            picture.completed = picture.completed.max(piece.arrived);
            picture.trailer = piece.trailer.or(picture.trailer);
            match piece.head.references {
                References::Continued => {}
                References::None | References::Previous | References::Temporal | References::Named(_) => {
                    picture.heads.push(piece.head);
                }
            }
        }
        picture.first = ExtSeqNum(base + first as u64);
        self.pictures.push_back(picture);
    }
}
