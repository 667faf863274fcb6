//! Audio on its way from a sender to all its receivers: what goes to nobody, and redundancy (RFC 2198).
//!
//! Here: one incoming stream. Silence, and who is not among the loudest, end here, and numbers close up, so that receivers see
//! no loss. Not here: who is loudest (control's `loudest`), what one receiver gets of redundant audio (`source`, `send`).

use std::time::Instant;

use model::{ExtSeqNum, PayloadType, RtpTimestamp};
use rtp::red::{BlockHeader, MAX_HEADERS_LEN, MAX_REDUNDANT_BLOCKS, RedPayload, RedundantBlock, write_headers};
use streams::GaplessSequence;

use super::packet::{Descriptor, SLOT_BYTES};
use crate::audio::{AddedRedundancy, RedundancyDistance, Repeated, speech_begins};
use crate::counters::DropReason;

/// The level of silence (RFC 6464 §3).
const SILENCE: u8 = 127;
/// Bytes of a packet that is worth repeating: 20 ms at 160 kbit/s. Who sends more is not short of bandwidth, and three such
/// packets fit into one datagram.
const MAX_REPEATED_LEN: usize = 400;

/// How a packet's payload is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AudioForm {
    /// One block of its payload type; video too.
    #[default]
    Plain,
    /// Redundant audio of which the blocks are not known, as when it is encrypted end to end.
    Opaque,
    /// Redundant audio.
    Red(RedBlocks),
}

/// The blocks of redundant audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RedBlocks {
    primary_start: u16,
    primary_type: PayloadType,
    /// By how many packets before.
    redundant: [RedundantBlock; MAX_REDUNDANT_BLOCKS],
}

/// What goes out of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Part {
    #[default]
    Whole,
    /// The primary block, to those who take no redundancy.
    Primary,
    /// The block that repeats the packet that many before, which got lost.
    Before(u8),
}

impl RedBlocks {
    /// The block that repeats the packet `distance` before.
    pub(crate) fn before(&self, distance: u8) -> Option<RedundantBlock> {
        let at = usize::from(distance).checked_sub(1)?;
        self.redundant.get(at).copied().filter(|block| block.len > 0)
    }
}

impl Descriptor {
    /// The packet as which a part of it goes out. `None` where it has no such part.
    #[inline(never)]
    pub(crate) fn part(&self, part: Part) -> Option<Self> {
        let AudioForm::Red(blocks) = self.audio else { return (part == Part::Whole).then_some(*self) };
        let (start, len) = match part {
            Part::Whole => return Some(*self),
            Part::Primary => (blocks.primary_start, self.payload_len.checked_sub(blocks.primary_start)?),
            Part::Before(distance) => {
                let block = blocks.before(distance)?;
                (block.start, block.len)
            }
        };
        let mut packet = *self;
        packet.audio = AudioForm::Plain;
        packet.payload_type = blocks.primary_type;
        packet.payload_start += start;
        packet.payload_len = len;
        if let Part::Before(distance) = part {
            let block = blocks.before(distance)?;
            packet.seq = ExtSeqNum(self.seq.0.checked_sub(u64::from(distance))?);
            packet.timestamp = RtpTimestamp(self.timestamp.0.wrapping_sub(u32::from(block.timestamp_offset)));
            // Levels are those of the newest block.
            packet.audio_level = None;
            (packet.marker, packet.is_newest) = (false, false);
        }
        Some(packet)
    }
}

/// One incoming stream of audio.
#[derive(Debug, Default)]
pub(crate) struct AudioStream {
    /// The numbers under which it goes on.
    numbers: GaplessSequence,
    /// Packets of silence in a row that went on.
    silent: u8,
    /// When a level was heard last.
    heard: Option<Instant>,
    /// The packets before, the newest first, where redundancy is added.
    history: Option<Box<[Earlier; MAX_REDUNDANT_BLOCKS]>>,
}

/// A packet that may be repeated.
#[derive(Clone, Debug)]
struct Earlier {
    seq: ExtSeqNum,
    timestamp: RtpTimestamp,
    has_voice: bool,
    /// 0: it is none to repeat.
    len: usize,
    bytes: [u8; MAX_REPEATED_LEN],
}

impl Default for Earlier {
    fn default() -> Self {
        Self { seq: ExtSeqNum(0), timestamp: RtpTimestamp(0), has_voice: false, len: 0, bytes: [0; MAX_REPEATED_LEN] }
    }
}

/// Whether the sender of audio is among those that are forwarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Audibility {
    #[default]
    Forwarded,
    LeftOut,
}

impl AudioForm {
    /// Of a packet in redundant audio; the primary block has to be of a codec that `is_known`.
    pub(crate) fn of_red(payload: &[u8], is_known: impl FnOnce(PayloadType) -> bool) -> Self {
        let Ok(red) = RedPayload::parse(payload) else { return Self::Opaque };
        let RedPayload { primary_start, primary_type, redundant } = red;
        if !is_known(primary_type) {
            return Self::Opaque;
        }
        Self::Red(RedBlocks { primary_start, primary_type, redundant: redundant.map(Option::unwrap_or_default) })
    }
}

impl AudioStream {
    /// Notes that there is something to hear; answers whether it begins now.
    pub(crate) fn begins(&mut self, now: Instant) -> bool {
        speech_begins(self.heard.replace(now), now)
    }

    /// Whether a packet is silence that goes to nobody. `limit` packets of it in a row are forwarded.
    pub(crate) fn is_silence(&mut self, packet: &Descriptor, limit: Option<u8>) -> bool {
        let Some(limit) = limit.filter(|_| packet.audio_level.is_some_and(|level| level.level == SILENCE)) else {
            self.silent = 0;
            return false;
        };
        if self.silent >= limit {
            return true;
        }
        self.silent += 1;
        false
    }

    /// A packet goes to nobody, for `reason`. One that was overtaken by a packet that went goes on all the same: a gap would
    /// stay.
    pub(crate) fn leave_out(&mut self, packet: &mut Descriptor, reason: DropReason) -> Result<(), DropReason> {
        if self.numbers.leave_out(packet.seq) { Err(reason) } else { self.pass(packet) }
    }

    /// Gives a packet that goes on its number.
    pub(crate) fn pass(&mut self, packet: &mut Descriptor) -> Result<(), DropReason> {
        let seq = self.numbers.pass(packet.seq).ok_or(DropReason::Duplicate)?;
        if let AudioForm::Red(blocks) = &mut packet.audio {
            // What was left out on purpose is not repeated either, and brings what lies before it closer.
            let mut redundant = [RedundantBlock::default(); MAX_REDUNDANT_BLOCKS];
            for (before, block) in (1..).zip(blocks.redundant) {
                let repeated = packet.seq.0.checked_sub(before).and_then(|seq| self.numbers.find(ExtSeqNum(seq)));
                let at = repeated.and_then(|repeated| usize::try_from(seq.0 - repeated.0 - 1).ok());
                if let Some(place) = at.and_then(|at| redundant.get_mut(at)) {
                    *place = block;
                }
            }
            blocks.redundant = redundant;
        }
        packet.seq = seq;
        Ok(())
    }

    /// Makes redundant audio of a plain packet in its slot, as far as there is room.
    pub(crate) fn add_redundancy(
        &mut self,
        packet: &mut Descriptor,
        bytes: &mut [u8; SLOT_BYTES],
        add: AddedRedundancy,
    ) {
        let history = self.history.get_or_insert_default();
        let repeated = if packet.is_newest { repeated(history, packet, add) } else { [None; MAX_REDUNDANT_BLOCKS] };
        let Some(blocks) = write_red(packet, repeated, bytes) else { return };
        packet.payload_len += blocks.primary_start;
        packet.audio = AudioForm::Red(blocks);
        if packet.is_newest
            && let Some(primary) = packet.part(Part::Primary)
        {
            history.rotate_right(1);
            let [newest, ..] = &mut **history;
            newest.set(&primary, bytes);
        }
    }
}

impl Earlier {
    fn set(&mut self, packet: &Descriptor, bytes: &[u8; SLOT_BYTES]) {
        self.seq = packet.seq;
        self.timestamp = packet.timestamp;
        self.has_voice = packet.audio_level.is_some_and(|level| level.voice_activity);
        self.len = 0;
        let (start, len) = (usize::from(packet.payload_start), usize::from(packet.payload_len));
        if let (Some(payload), Some(room)) = (bytes.get(start..start + len), self.bytes.get_mut(..len)) {
            room.copy_from_slice(payload);
            self.len = len;
        }
    }

    /// As a block of a later packet.
    fn header(&self, packet: &Descriptor) -> Option<BlockHeader> {
        BlockHeader::new(packet.timestamp.0.wrapping_sub(self.timestamp.0), self.len)
    }
}

/// What a packet repeats, by how many packets before; the one before it always where it repeats the one before that, as
/// receivers count blocks. These are the rules of `PROTECT_ALL` in Jitsi's bridge.
fn repeated<'a>(
    history: &'a [Earlier; MAX_REDUNDANT_BLOCKS],
    packet: &Descriptor,
    add: AddedRedundancy,
) -> [Option<&'a Earlier>; MAX_REDUNDANT_BLOCKS] {
    let find = |distance: u64| {
        let seq = packet.seq.0.checked_sub(distance)?;
        let earlier = history.iter().find(|earlier| earlier.seq.0 == seq && earlier.len > 0)?;
        earlier.header(packet).map(|_| earlier)
    };
    let is_worth_it = |earlier: &&Earlier| add.repeated == Repeated::Everything || earlier.has_voice;
    let before = find(1);
    let two_before = match add.distance {
        RedundancyDistance::One => None,
        RedundancyDistance::Two => before.and(find(2)).filter(is_worth_it),
    };
    match two_before {
        Some(_) => [before, two_before],
        None => [before.filter(is_worth_it), None],
    }
}

/// Writes headers and redundant blocks in front of a packet's payload, which moves back by what they take. `None` where the slot
/// has no room for it.
fn write_red(
    packet: &Descriptor,
    repeated: [Option<&Earlier>; MAX_REDUNDANT_BLOCKS],
    bytes: &mut [u8; SLOT_BYTES],
) -> Option<RedBlocks> {
    let mut headers = [0; MAX_HEADERS_LEN];
    let mut oldest_first = repeated.into_iter().rev().flatten();
    let told = [oldest_first.next(), oldest_first.next()].map(|earlier| earlier?.header(packet));
    let headers_len = match told {
        [Some(first), Some(second)] => write_headers(packet.payload_type, &[first, second], &mut headers),
        [Some(only), None] => write_headers(packet.payload_type, &[only], &mut headers),
        [None, _] => write_headers(packet.payload_type, &[], &mut headers),
    };
    let blocks_len: usize = repeated.iter().flatten().map(|earlier| earlier.len).sum();
    let (start, len) = (usize::from(packet.payload_start), usize::from(packet.payload_len));
    let primary_start = headers_len + blocks_len;
    let payload = bytes.get_mut(start..start + primary_start + len)?;
    payload.copy_within(..len, primary_start);
    payload.get_mut(..headers_len)?.copy_from_slice(headers.get(..headers_len)?);
    let mut redundant = [RedundantBlock::default(); MAX_REDUNDANT_BLOCKS];
    let mut at = headers_len;
    for (earlier, block) in repeated.into_iter().zip(&mut redundant).rev() {
        let Some(earlier) = earlier else { continue };
        payload.get_mut(at..at + earlier.len)?.copy_from_slice(earlier.bytes.get(..earlier.len)?);
        *block = RedundantBlock {
            start: at as u16,
            len: earlier.len as u16,
            timestamp_offset: packet.timestamp.0.wrapping_sub(earlier.timestamp.0) as u16,
        };
        at += earlier.len;
    }
    Some(RedBlocks { primary_start: primary_start as u16, primary_type: packet.payload_type, redundant })
}

#[cfg(test)]
mod tests;
