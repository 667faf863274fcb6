//! Which whole pictures a decoder could decode: those whose references it decoded.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use model::ExtSeqNum;

use super::UndecodableCause;
use super::assembly::Picture;
use super::head::{Head, NamedReferences, References, TemporalNumbers};

/// Decoded pictures that are remembered: further back than any reference of a real-time encoder reaches.
const MAX_DECODED: usize = 64;
/// Frames of those pictures, three layers each.
const MAX_FRAMES: usize = 3 * MAX_DECODED;
/// Pictures that wait for a reference: two seconds of a camera.
const MAX_WAITING: usize = 64;
/// Numbers of packets without payload that are remembered.
const MAX_FILLERS: usize = 64;
/// A repair comes within a second.
const REPAIR_AGE: Duration = Duration::from_secs(1);
/// What a client's jitter buffer holds back: a picture that comes so much later than its successor is still shown.
pub(super) const PLAYOUT_DELAY: Duration = Duration::from_millis(100);

/// A picture that was decoded.
#[derive(Clone, Copy, Debug)]
struct Decoded {
    first: u64,
    last: u64,
    is_key: bool,
    completed: Instant,
    picture_id: Option<u64>,
    /// Number of the picture before it, if no packet is missing between.
    follows: Option<u64>,
    tl0_pic_idx: Option<u8>,
    temporal: u8,
}

/// One layer of it.
#[derive(Clone, Copy, Debug)]
struct DecodedFrame {
    id: u64,
    layer: u8,
    /// Number of the first packet of its picture.
    first: u64,
}

/// What is to be done with a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Decodable,
    /// A reference may still come.
    Waiting,
}

#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// In the order of their packets.
    decoded: VecDeque<Decoded>,
    /// The decoded frames that have numbers.
    frames: VecDeque<DecodedFrame>,
    /// In the order of their packets.
    waiting: VecDeque<Picture>,
    fillers: VecDeque<u64>,
    last_decoded: Option<Instant>,
    done: VecDeque<Picture>,
    undecodable: VecDeque<UndecodableCause>,
}

impl Decoder {
    /// Takes a whole picture.
    pub(super) fn handle_picture(&mut self, picture: Picture) {
        if self.is_late(&picture) {
            self.undecodable.push_back(UndecodableCause::Late);
            return;
        }
        let at = self.waiting.partition_point(|waiting| waiting.first < picture.first);
        self.waiting.insert(at, picture);
        self.decode_waiting(at);
        if self.waiting.len() > MAX_WAITING && self.waiting.pop_front().is_some() {
            self.undecodable.push_back(UndecodableCause::MissingReference);
        }
    }

    /// Notes a packet without payload: what follows it follows the picture before it.
    pub(super) fn handle_filler(&mut self, seq: ExtSeqNum) {
        if self.fillers.len() >= MAX_FILLERS {
            self.fillers.pop_front();
        }
        self.fillers.push_back(seq.0);
        self.decode_waiting(0);
    }

    /// Forgets pictures that waited longer than a repair takes.
    pub(super) fn give_up(&mut self, now: Instant) {
        while self.waiting.front().is_some_and(|picture| now.saturating_duration_since(picture.completed) > REPAIR_AGE)
        {
            self.waiting.pop_front();
            self.undecodable.push_back(UndecodableCause::MissingReference);
        }
    }

    /// Forgets pictures in front of a key frame that was shown.
    pub(super) fn skip_to(&mut self, key_frame: ExtSeqNum) {
        while self.waiting.pop_front_if(|picture| picture.first < key_frame).is_some() {
            self.undecodable.push_back(UndecodableCause::MissingReference);
        }
    }

    pub(super) fn poll_decoded(&mut self) -> Option<Picture> {
        self.done.pop_front()
    }

    pub(super) fn poll_undecodable(&mut self) -> Option<UndecodableCause> {
        self.undecodable.pop_front()
    }

    pub(super) const fn last_decoded(&self) -> Option<Instant> {
        self.last_decoded
    }

    /// Since when the oldest picture that cannot be decoded waits.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.waiting.front().map(|picture| picture.completed)
    }

    #[cfg(test)]
    pub(super) fn is_within_bounds(&self) -> bool {
        self.decoded.len() <= MAX_DECODED
            && self.frames.len() <= MAX_FRAMES
            && self.waiting.len() <= MAX_WAITING
            && self.fillers.len() <= MAX_FILLERS
            && self.done.is_empty()
            && self.undecodable.is_empty()
    }

    /// Whether a later picture was shown already.
    fn is_late(&self, picture: &Picture) -> bool {
        self.decoded
            .iter()
            .rev()
            .take_while(|decoded| decoded.first > picture.first.0)
            .any(|decoded| picture.completed.saturating_duration_since(decoded.completed) > PLAYOUT_DELAY)
    }

    /// Decodes what can be decoded of the waiting, from a place on: each may be a reference of those behind it.
    fn decode_waiting(&mut self, start: usize) {
        let mut at = start;
        while let Some(picture) = self.waiting.get(at) {
            match self.verdict(picture) {
                Verdict::Waiting => at += 1,
                Verdict::Decodable => {
                    if let Some(picture) = self.waiting.remove(at) {
                        self.on_decodable(picture);
                    }
                }
            }
        }
    }

    fn on_decodable(&mut self, picture: Picture) {
        for head in picture.heads.iter() {
            let frame = match &head.references {
                References::Named(named) => Some((named.id, named.layer)),
                References::Temporal => head.numbers.picture_id.map(|id| (id, 0)),
                References::Continued | References::None | References::Previous => None,
            };
            if self.frames.len() >= MAX_FRAMES {
                self.frames.pop_front();
            }
            self.frames.extend(frame.map(|(id, layer)| DecodedFrame { id, layer, first: picture.first.0 }));
        }
        let numbers = picture.numbers();
        let decoded = Decoded {
            first: picture.first.0,
            last: picture.last.0,
            is_key: picture.is_key(),
            completed: picture.completed,
            picture_id: numbers.and_then(|numbers| numbers.picture_id),
            follows: self.follows_decoded(picture.first).and_then(|neighbour| neighbour.picture_id),
            tl0_pic_idx: numbers.and_then(|numbers| numbers.tl0_pic_idx),
            temporal: numbers.and_then(|numbers| numbers.temporal).unwrap_or(0),
        };
        let place = self.decoded.partition_point(|other| other.first < decoded.first);
        self.decoded.insert(place, decoded);
        if self.decoded.len() > MAX_DECODED {
            self.decoded.pop_front();
        }
        self.last_decoded = self.last_decoded.max(Some(picture.completed));
        self.done.push_back(picture);
    }

    fn verdict(&self, picture: &Picture) -> Verdict {
        let mut heads = picture.heads.iter().peekable();
        let has_all = |head: &Head| match head.references {
            References::None => true,
            References::Continued => false,
            References::Previous => self.follows_decoded(picture.first).is_some(),
            References::Temporal => self.has_temporal_references(picture, &head.numbers),
            References::Named(named) => self.has_named_references(picture, &named),
        };
        let is_decodable = picture.is_key() || heads.peek().is_some() && heads.all(has_all);
        if is_decodable { Verdict::Decodable } else { Verdict::Waiting }
    }

    fn has_named_references(&self, picture: &Picture, named: &NamedReferences) -> bool {
        // Numbers may begin anew with a sequence.
        let since = self.since_key(picture.first).last().map_or(0, |oldest| oldest.first);
        let has = |id, layer| {
            let is_it = |frame: &DecodedFrame| {
                (frame.id, frame.layer) == (id, layer) && (since..picture.first.0).contains(&frame.first)
            };
            let in_picture = |head: &Head| match &head.references {
                References::Named(other) => (other.id, other.layer) == (id, layer),
                References::Continued | References::None | References::Previous | References::Temporal => false,
            };
            self.frames.iter().rev().any(is_it) || picture.heads.iter().any(in_picture)
        };
        let lower = named.layer.checked_sub(1).filter(|_| named.needs_lower_layer);
        // A frame cannot be its own reference.
        named.ids().all(|id| id < named.id && has(id, named.layer)) && lower.is_none_or(|lower| has(named.id, lower))
    }

    /// The decoded pictures in front of `first`, the newest first, back to the nearest key frame.
    fn since_key(&self, first: ExtSeqNum) -> impl Iterator<Item = &Decoded> {
        let mut is_over = false;
        self.decoded.iter().rev().skip_while(move |decoded| decoded.first >= first.0).take_while(move |decoded| {
            let is_part = !is_over;
            is_over = decoded.is_key;
            is_part
        })
    }

    /// The decoded picture that ends right before `first`: nothing was lost between.
    fn follows_decoded(&self, first: ExtSeqNum) -> Option<&Decoded> {
        let mut before = first.0.checked_sub(1)?;
        while self.fillers.contains(&before) {
            before = before.checked_sub(1)?;
        }
        self.decoded.iter().rev().find(|decoded| decoded.last == before)
    }

    /// As libwebrtc's `RtpVp8RefFinder`: a base layer frame needs the one before it; others need the base layer frame of
    /// their number and, unless they are synchronised to it, the newest frame of each layer up to their own.
    fn has_temporal_references(&self, picture: &Picture, numbers: &TemporalNumbers) -> bool {
        let (Some(id), Some(tl0_pic_idx), Some(temporal)) = (numbers.picture_id, numbers.tl0_pic_idx, numbers.temporal)
        else {
            return self.has_previous(picture, numbers);
        };
        let before = || self.since_key(picture.first);
        let base_idx = if temporal == 0 { tl0_pic_idx.wrapping_sub(1) } else { tl0_pic_idx };
        if !before().any(|decoded| decoded.temporal == 0 && decoded.tl0_pic_idx == Some(base_idx)) {
            return false;
        }
        if temporal == 0 || numbers.is_layer_sync {
            return true;
        }
        let newest_of =
            |layer| before().find(|decoded| decoded.temporal == layer).and_then(|decoded| decoded.picture_id);
        let oldest_reference = (0..=temporal).map(newest_of).min().flatten();
        oldest_reference.is_some_and(|oldest| {
            id.saturating_sub(oldest) <= MAX_DECODED as u64
                && (oldest + 1..id).all(|between| self.is_accounted_for(picture, id, between, temporal))
        })
    }

    /// Whether a number before that of `picture` is decoded, or of no use to a frame of layer `temporal`, or was left out on
    /// purpose: no packet is missing between its neighbours.
    fn is_accounted_for(&self, picture: &Picture, id: u64, between: u64, temporal: u8) -> bool {
        let next = self.decoded.iter().find(|decoded| decoded.picture_id.is_some_and(|other| other >= between));
        let follows = match next.filter(|next| next.first < picture.first.0) {
            Some(next) if next.picture_id == Some(between) => return true,
            Some(next) => next.follows,
            None => self.follows_decoded(picture.first).and_then(|neighbour| neighbour.picture_id),
        };
        follows.is_some_and(|neighbour| neighbour < between && between < id)
            || self.waiting.iter().any(|waiting| self.is_above(waiting, between, temporal))
    }

    /// Whether a waiting picture has that number and a temporal layer that nothing of layer `temporal` refers to.
    fn is_above(&self, waiting: &Picture, picture_id: u64, temporal: u8) -> bool {
        waiting.numbers().is_some_and(|numbers| {
            numbers.temporal.is_some_and(|other| other > temporal) && numbers.picture_id == Some(picture_id)
        })
    }

    /// Without temporal layers each frame needs the one before it.
    fn has_previous(&self, picture: &Picture, numbers: &TemporalNumbers) -> bool {
        let previous = numbers.picture_id.and_then(|id| id.checked_sub(1));
        self.follows_decoded(picture.first).is_some()
            || previous.is_some() && self.decoded.iter().any(|decoded| decoded.picture_id == previous)
    }
}
