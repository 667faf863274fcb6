//! What a receiver gets out of one stream: frames that it could decode, those that it could not, and freezes.
//!
//! Nothing is decoded: whether a frame is whole is told by markers and sequence numbers, whether its references are there by
//! picture numbers and dependency descriptors, layer and time of capture by the [`Trailer`].
//!
//! Here: the order of the steps. Packets become pictures in `assembly`, pictures become decodable in `decoder`.

mod assembly;
mod decoder;
mod freeze;
mod head;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use model::{ExtSeqNum, RtpTimestamp};
use streams::InterarrivalJitter;

use self::assembly::{Assembler, Piece};
use self::decoder::{Decoder, PLAYOUT_DELAY};
use self::freeze::FreezeDetector;
use super::{Codec, Layer, MediaClock, MediaTime, SenderNumber, Trailer};

/// A picture that stands so long is a freeze.
pub const FREEZE_AFTER: Duration = Duration::from_millis(200);

/// A client that joins asks for a key frame if it cannot decode for so long.
const FIRST_KEY_FRAME_WAIT: Duration = Duration::from_millis(200);
/// A client that lost a reference waits so long for the repair.
const REPAIR_WAIT: Duration = Duration::from_millis(300);
/// A client that decodes nothing for so long, though packets come, asks whatever the reason.
const KEY_FRAME_WAIT: Duration = Duration::from_secs(3);

/// Key frames within a playout delay: more than any sender makes. A later one says all that an earlier one does.
const MAX_SUPERSEDED: usize = 8;

/// How a reader is made.
#[derive(Clone, Copy, Debug)]
pub struct ReaderSettings {
    /// What the stream is encoded with.
    pub codec: Codec,
    /// The clock of the trailers.
    pub clock: MediaClock,
    /// From when on a standing picture is a freeze: [`FREEZE_AFTER`], longer for a screen of few frames a second.
    pub freeze_after: Duration,
}

/// A packet of the stream, decrypted, also one that came as a retransmission.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedPacket<'a> {
    /// Its number.
    pub seq: ExtSeqNum,
    /// Its media time.
    pub timestamp: RtpTimestamp,
    /// Its marker bit.
    pub marker: bool,
    /// Its payload without padding; empty for a packet of padding only.
    pub payload: &'a [u8],
    /// The dependency descriptor in its header, if any.
    pub dependency_descriptor: Option<&'a [u8]>,
}

/// What a reader saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReaderEvent {
    /// A frame that a client could decode.
    Frame(DecodableFrame),
    /// A frame that it could not.
    Undecodable(UndecodableCause),
    /// No decodable frame came for too long; `since` is when the last one came.
    FreezeBegan {
        /// When the last decodable frame came.
        since: Instant,
    },
    /// The next one came.
    FreezeEnded(Freeze),
}

/// A frame that is whole and whose references were decoded. All spatial layers of one time are one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecodableFrame {
    /// Its media time.
    pub timestamp: RtpTimestamp,
    /// It needs no other.
    pub is_key: bool,
    /// Its highest layer, as its sender numbered it; `None` without a trailer.
    pub layer: Option<Layer>,
    /// Lines of the picture.
    pub height: Option<u16>,
    /// Who sent it.
    pub sender: Option<SenderNumber>,
    /// When it was captured, by the sender's clock.
    pub captured: Option<MediaTime>,
    /// From capture to the arrival of its last packet.
    pub capture_latency: Option<Duration>,
    /// From the departure of its last packet to the arrival of the packet that made it whole.
    pub transit: Option<Duration>,
    /// Packets that it took.
    pub packets: usize,
    /// Bytes of their payloads.
    pub bytes: usize,
}

/// Why a frame could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UndecodableCause {
    /// Some of its packets never came.
    Incomplete,
    /// It is whole, but refers to a frame that was not decoded.
    MissingReference,
    /// It came too long after a later one.
    Late,
}

/// A freeze that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// When the last decodable frame before it came.
    pub since: Instant,
    /// From that frame to the next.
    pub lasted: Duration,
}

/// Receiver of one stream, sans-IO.
#[derive(Debug)]
pub struct FrameReader {
    settings: ReaderSettings,
    jitter: InterarrivalJitter,
    highest: Option<ExtSeqNum>,
    assembler: Assembler,
    decoder: Decoder,
    heads: head::HeadReader,
    /// Key frames, and from when on nothing in front of them is of use.
    superseded: VecDeque<(Instant, ExtSeqNum)>,
    freeze: FreezeDetector,
    first_packet: Option<Instant>,
    last_packet: Option<Instant>,
    events: VecDeque<ReaderEvent>,
}

impl FrameReader {
    /// A reader that nothing came to yet.
    #[must_use]
    pub fn new(settings: ReaderSettings) -> Self {
        Self {
            jitter: InterarrivalJitter::new(settings.codec.clock_rate_hz()),
            highest: None,
            assembler: Assembler::new(),
            decoder: Decoder::default(),
            heads: head::HeadReader::new(settings.codec),
            superseded: VecDeque::new(),
            freeze: FreezeDetector::new(settings.freeze_after),
            first_packet: None,
            last_packet: None,
            events: VecDeque::new(),
            settings,
        }
    }

    /// Takes a packet, duplicates too; answers its trailer, if it has one. Take the events afterwards.
    pub fn handle_packet(&mut self, now: Instant, packet: &ReceivedPacket<'_>) -> Option<Trailer> {
        self.first_packet.get_or_insert(now);
        self.last_packet = Some(now);
        if self.highest.is_none_or(|highest| packet.seq > highest) {
            self.highest = Some(packet.seq);
            self.jitter.handle_packet(packet.timestamp, now);
        }
        let trailer = Trailer::read(packet.payload);
        let piece = Piece {
            timestamp: packet.timestamp,
            marker: packet.marker || self.settings.codec == Codec::Opus,
            head: self.heads.read(packet),
            trailer,
            bytes: packet.payload.len(),
            arrived: now,
        };
        if packet.payload.is_empty() {
            self.assembler.handle_filler(packet.seq, now);
            self.decoder.handle_filler(packet.seq);
        } else {
            self.assembler.handle_piece(packet.seq, piece);
        }
        self.drain(now);
        trailer
    }

    /// Notices a freeze. Take the events afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(since) = self.freeze.handle_timeout(now) {
            self.events.push_back(ReaderEvent::FreezeBegan { since });
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.freeze.poll_timeout()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ReaderEvent> {
        self.events.pop_front()
    }

    /// Whether the stream ought to flow: not while the source is muted or the bridge was told not to forward it. What
    /// stands then is no freeze; one that is under way ends.
    pub fn set_expected(&mut self, now: Instant, expected: Expected) {
        if let Some(freeze) = self.freeze.set_expected(now, expected == Expected::Flowing) {
            self.events.push_back(ReaderEvent::FreezeEnded(freeze));
        }
    }

    /// Whether a client would ask for a key frame: it cannot begin, or waits in vain for a reference. Always false for audio.
    /// How often it asks is the caller's choice.
    #[must_use]
    pub fn wants_key_frame(&self, now: Instant) -> bool {
        let (Codec::Video(_), Some(first), Some(last)) = (self.settings.codec, self.first_packet, self.last_packet)
        else {
            return false;
        };
        let is_flowing = now.saturating_duration_since(last) < FIRST_KEY_FRAME_WAIT;
        let waits_for = |since: Instant, at_most| now.saturating_duration_since(since) >= at_most;
        match self.decoder.last_decoded() {
            None => waits_for(first, FIRST_KEY_FRAME_WAIT),
            Some(decoded) => {
                self.decoder.waiting_since().is_some_and(|since| waits_for(since, REPAIR_WAIT))
                    || is_flowing && waits_for(decoded, KEY_FRAME_WAIT)
            }
        }
    }

    /// Interarrival jitter (RFC 3550 A.8), of packets in order.
    #[must_use]
    pub fn jitter(&self) -> Duration {
        self.jitter.duration()
    }

    fn drain(&mut self, now: Instant) {
        while let Some(picture) = self.assembler.poll_picture() {
            self.decoder.handle_picture(picture);
        }
        self.assembler.give_up(now);
        self.decoder.give_up(now);
        while let Some((_, key_frame)) = self.superseded.pop_front_if(|(due, _)| *due <= now) {
            self.assembler.skip_to(key_frame);
            self.decoder.skip_to(key_frame);
        }
        while let Some(picture) = self.decoder.poll_decoded() {
            if picture.is_key() {
                if self.superseded.len() >= MAX_SUPERSEDED {
                    self.superseded.pop_front();
                }
                self.superseded.push_back((picture.completed + PLAYOUT_DELAY, picture.first));
            }
            if let Some(freeze) = self.freeze.handle_frame(picture.completed) {
                self.events.push_back(ReaderEvent::FreezeEnded(freeze));
            }
            self.events.push_back(ReaderEvent::Frame(self.describe(&picture)));
        }
        for _ in 0..self.assembler.take_incomplete() {
            self.events.push_back(ReaderEvent::Undecodable(UndecodableCause::Incomplete));
        }
        while let Some(cause) = self.decoder.poll_undecodable() {
            self.events.push_back(ReaderEvent::Undecodable(cause));
        }
    }

    fn describe(&self, picture: &assembly::Picture) -> DecodableFrame {
        let arrived = self.settings.clock.time(picture.completed);
        let trailer = picture.trailer;
        DecodableFrame {
            timestamp: picture.timestamp,
            is_key: picture.is_key() || self.settings.codec == Codec::Opus,
            layer: trailer.map(|trailer| trailer.layer),
            height: trailer.map(|trailer| trailer.height).filter(|height| *height > 0).or(picture.height()),
            sender: trailer.map(|trailer| trailer.sender),
            captured: trailer.map(|trailer| trailer.captured),
            capture_latency: trailer.and_then(|trailer| arrived.since(trailer.captured)),
            transit: trailer.and_then(|trailer| arrived.since(trailer.sent)),
            packets: picture.packets,
            bytes: picture.bytes,
        }
    }
}

/// Whether frames of a stream are to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// They are.
    Flowing,
    /// Nobody sends, or nobody wants them.
    Paused,
}

#[cfg(test)]
mod tests;
