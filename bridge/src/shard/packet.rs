//! Packets as shards keep them: a datagram is received into a slot, decrypted and parsed there once, and the slot is then
//! shared by all who send or repeat it.
//!
//! Here: the slot, its descriptor, and the pool that uses slots again. Not here: the steps of a packet (`receive`).

use std::collections::VecDeque;
use std::sync::Arc;

use codecs::PictureFields;
use model::{ExtSeqNum, PayloadType, RtpTimestamp, Ssrc, prefetch};
use rtp::AudioLevel;

use super::audio::AudioForm;
use super::dependencies::{Dependencies, DependencyFields};
use super::layers::ActiveLayers;
use crate::keys::SourceId;

/// Longest datagram that is taken. Browsers send 1200 bytes at most, and an Ethernet carries no more than this.
pub(crate) const SLOT_BYTES: usize = 1500;

/// Slots that wait for a datagram beyond those of one batch: what a burst takes at once.
const MAX_FREE_SLOTS: usize = 512;
/// Packets that a shard remembers to have shared; past it the oldest are left to whoever still has them. A second of
/// 400,000 packets.
const MAX_SHARED_SLOTS: usize = 1 << 19;

/// What a stream is to its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamRole {
    /// An audio source.
    Audio { source: SourceId },
    /// A simulcast encoding of a video source: the lowest is 0.
    Video { source: SourceId, encoding: u8 },
}

impl StreamRole {
    pub(crate) const fn source(self) -> SourceId {
        match self {
            Self::Audio { source } | Self::Video { source, .. } => source,
        }
    }
}

/// Which frame a packet is of: its layers within its encoding, and where the frame begins and ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FrameLayer {
    /// At most [`MAX_SPATIAL`](super::layers::MAX_SPATIAL): what lies above counts as that.
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
    marks: u8,
}

/// What is true of a packet or its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The first packet of a frame, of one spatial layer.
    FrameStart = 1,
    /// The last one.
    FrameEnd = 2,
    /// The first packet of a picture, of all its spatial layers: here a receiver may be given other layers.
    PictureStart = 4,
    /// It starts a picture that needs no other.
    KeyFrame = 8,
    /// Pictures of higher temporal layers that follow need nothing of such layers that came before (U of VP9).
    SwitchingUp = 16,
    /// The frame needs the base layer only, so that its temporal layer can begin here (Y of VP8).
    LayerSync = 32,
    /// No higher spatial layer needs the frame (Z of VP9).
    NotForUpperSpatial = 64,
}

impl FrameLayer {
    pub(crate) const fn new(spatial: u8, temporal: u8) -> Self {
        Self { spatial, temporal, marks: 0 }
    }

    /// With a mark more, where that holds.
    #[must_use]
    pub(crate) const fn with(mut self, mark: Mark, holds: bool) -> Self {
        if holds {
            self.marks |= mark as u8;
        }
        self
    }

    pub(crate) const fn is(self, mark: Mark) -> bool {
        self.marks & mark as u8 != 0
    }
}

/// Numbers in the payload or its header extension that are given anew for each receiver.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Numbers {
    None,
    Vp8(PictureFields),
    Vp9(PictureFields),
    /// Of a dependency descriptor, whichever the codec.
    Dependency(DependencyFields),
}

impl Numbers {
    /// Which numbers there are.
    pub(crate) const fn kind(&self) -> NumberKind {
        match self {
            Self::None => NumberKind::None,
            Self::Vp8(_) => NumberKind::Vp8,
            Self::Vp9(_) => NumberKind::Vp9,
            Self::Dependency(_) => NumberKind::Dependency,
        }
    }
}

/// A kind of [`Numbers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberKind {
    None,
    Vp8,
    Vp9,
    Dependency,
}

/// Where the value of a header extension lies in a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ElementPlace {
    pub(crate) start: u16,
    /// 0 where the packet has no such element.
    pub(crate) len: u8,
}

/// What is known of a packet that may be forwarded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptor {
    pub(crate) role: StreamRole,
    pub(crate) ssrc: Ssrc,
    pub(crate) seq: ExtSeqNum,
    pub(crate) timestamp: RtpTimestamp,
    pub(crate) payload_type: PayloadType,
    pub(crate) marker: bool,
    /// Nothing that was sent after it came before it.
    pub(crate) is_newest: bool,
    /// Of video.
    pub(crate) frame: FrameLayer,
    /// Where the payload lies, without padding.
    pub(crate) payload_start: u16,
    pub(crate) payload_len: u16,
    pub(crate) audio: AudioForm,
    pub(crate) audio_level: Option<AudioLevel>,
    pub(crate) video_orientation: Option<u8>,
    /// Of the packet's source, as they were when it came; nothing for audio.
    pub(crate) layers: ActiveLayers,
    pub(crate) numbers: Numbers,
    /// Video layers allocation.
    pub(crate) allocation: ElementPlace,
}

impl Descriptor {
    /// The newest packet of a stream, in a format that needs no description, with no payload and no header extensions.
    #[inline]
    pub(crate) fn plain(
        role: StreamRole,
        ssrc: Ssrc,
        seq: ExtSeqNum,
        timestamp: RtpTimestamp,
        payload_type: PayloadType,
    ) -> Self {
        Self {
            role,
            ssrc,
            seq,
            timestamp,
            payload_type,
            marker: false,
            is_newest: true,
            frame: FrameLayer::default(),
            payload_start: 0,
            payload_len: 0,
            audio: AudioForm::Plain,
            audio_level: None,
            video_orientation: None,
            layers: ActiveLayers::default(),
            numbers: Numbers::None,
            allocation: ElementPlace::default(),
        }
    }

    /// Whether a receiver can start with this packet.
    pub(crate) const fn starts_key_frame(&self) -> bool {
        match self.role {
            StreamRole::Audio { .. } => true,
            // Not with one that comes late: what was sent behind it is already dropped, and cannot be repeated to the
            // receiver.
            StreamRole::Video { .. } => self.is_newest && self.frame.is(Mark::KeyFrame),
        }
    }

    pub(crate) const fn is_audio(&self) -> bool {
        matches!(self.role, StreamRole::Audio { .. })
    }

    /// The numbers of its picture.
    pub(crate) const fn picture(&self) -> Option<&PictureFields> {
        match &self.numbers {
            Numbers::Vp8(picture) | Numbers::Vp9(picture) => Some(picture),
            Numbers::None | Numbers::Dependency(_) => None,
        }
    }

    /// What its dependency descriptor says.
    pub(crate) const fn dependency(&self) -> Option<&DependencyFields> {
        match &self.numbers {
            Numbers::Dependency(dependency) => Some(dependency),
            Numbers::None | Numbers::Vp8(_) | Numbers::Vp9(_) => None,
        }
    }
}

/// A slot and a count of who has it. Whether it is one only is read without a locked instruction, as there are no weak references.
pub(crate) type SharedSlot = triomphe::Arc<Slot>;

/// Room for one datagram.
#[derive(Debug)]
pub(crate) struct Slot {
    bytes: [u8; SLOT_BYTES],
    /// Set once the datagram is a plain packet that may be forwarded.
    descriptor: Option<Descriptor>,
    /// The structure that the packet brings.
    structure: Option<Arc<Dependencies>>,
}

impl Slot {
    fn new() -> SharedSlot {
        SharedSlot::new(Self { bytes: [0; SLOT_BYTES], descriptor: None, structure: None })
    }

    /// The room, for a datagram to be received into and worked on.
    pub(crate) const fn bytes_mut(&mut self) -> &mut [u8; SLOT_BYTES] {
        &mut self.bytes
    }

    /// What is in it.
    pub(crate) const fn bytes(&self) -> &[u8; SLOT_BYTES] {
        &self.bytes
    }

    pub(crate) fn set_descriptor(&mut self, descriptor: Descriptor, structure: Option<Arc<Dependencies>>) {
        self.descriptor = Some(descriptor);
        self.structure = structure;
    }

    /// The dependency structure that begins with the packet.
    pub(crate) const fn structure(&self) -> Option<&Arc<Dependencies>> {
        self.structure.as_ref()
    }

    pub(crate) const fn descriptor(&self) -> Option<&Descriptor> {
        self.descriptor.as_ref()
    }

    /// The payload that a descriptor of the packet, or of a part of it, names.
    pub(crate) fn payload(&self, descriptor: &Descriptor) -> &[u8] {
        let start = usize::from(descriptor.payload_start);
        self.bytes.get(start..start + usize::from(descriptor.payload_len)).unwrap_or_default()
    }

    /// The dependency descriptor that `fields` were read from.
    pub(crate) fn dependency_descriptor(&self, fields: &DependencyFields) -> &[u8] {
        let start = usize::from(fields.extension_start);
        self.bytes.get(start..start + usize::from(fields.extension_len)).unwrap_or_default()
    }

    /// The value of a header extension.
    pub(crate) fn element(&self, place: ElementPlace) -> &[u8] {
        let start = usize::from(place.start);
        self.bytes.get(start..start + usize::from(place.len)).unwrap_or_default()
    }
}

/// The slots of one shard. After it has warmed up, none is allocated or freed on the way of a packet.
#[derive(Debug, Default)]
pub(crate) struct SlotPool {
    free: Vec<SharedSlot>,
    /// Slots that were shared, oldest first: they come back when nobody else has them.
    shared: VecDeque<SharedSlot>,
}

impl SlotPool {
    /// A slot that nobody else has.
    pub(crate) fn take(&mut self) -> SharedSlot {
        self.free.pop().or_else(|| self.reclaim()).unwrap_or_else(Slot::new)
    }

    /// The slot is not needed here any more; others may still have it.
    pub(crate) fn give(&mut self, slot: SharedSlot) {
        if !slot.is_unique() {
            self.shared.push_back(slot);
            if self.shared.len() > MAX_SHARED_SLOTS {
                self.shared.pop_front();
            }
        } else if self.free.len() < MAX_FREE_SLOTS {
            self.free.push(slot);
        }
    }

    /// Gives memory back that a burst left behind: to be called now and then.
    pub(crate) fn trim(&mut self) {
        while let Some(slot) = self.reclaim() {
            if self.free.len() < MAX_FREE_SLOTS {
                self.free.push(slot);
            }
        }
        self.free.truncate(MAX_FREE_SLOTS / 2);
        self.free.shrink_to(MAX_FREE_SLOTS);
        if self.shared.len() < self.shared.capacity() / 4 {
            self.shared.shrink_to(self.shared.len() * 2);
        }
    }

    /// The oldest shared slot, if its last user let go of it.
    fn reclaim(&mut self) -> Option<SharedSlot> {
        let oldest = self.shared.pop_front_if(|oldest| oldest.is_unique())?;
        // The next one was not touched for long either.
        if let Some(next) = self.shared.front() {
            prefetch(&**next, 1);
        }
        Some(oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_takes_two_cache_lines() {
        assert!(size_of::<Descriptor>() <= 128, "{}", size_of::<Descriptor>());
    }

    #[test]
    fn a_shared_slot_comes_back_when_its_last_user_lets_go() {
        let mut pool = SlotPool::default();
        let slot = pool.take();
        let first = SharedSlot::as_ptr(&slot);
        let kept = slot.clone();
        pool.give(slot);
        assert_ne!(SharedSlot::as_ptr(&pool.take()), first, "somebody has it");
        drop(kept);
        assert_eq!(SharedSlot::as_ptr(&pool.take()), first);
    }

    #[test]
    fn what_a_burst_took_is_given_back() {
        let mut pool = SlotPool::default();
        let burst: Vec<_> = (0..2000).map(|_| pool.take()).collect();
        let kept = burst.clone();
        burst.into_iter().for_each(|slot| pool.give(slot));
        assert_eq!((pool.free.len(), pool.shared.len()), (0, 2000));
        drop(kept);
        pool.trim();
        assert_eq!((pool.free.len(), pool.shared.len()), (MAX_FREE_SLOTS / 2, 0));
    }
}
