//! Frames that a source gives, cut into the payloads of RTP packets.
//!
//! A frame holds shared bytes and a few numbers; a packet of it is put together only in the buffer that leaves:
//! descriptor, a piece of the frame, trailer. Nothing is allocated for a packet.

use std::sync::Arc;

use bytes::Bytes;
use model::RtpTimestamp;
use rtp::{AudioLevel, BufferTooSmall};

use super::frame_cut::FrameCut;
use super::packetize::Descriptor;
use super::trailer::{TRAILER_LEN, VP9_INDEX_LEN};
use super::{Layer, MediaTime, SenderNumber, Trailer};

/// Most bytes of a frame in one packet: what libwebrtc leaves of its 1200 bytes behind headers and extensions.
pub(super) const MAX_PIECE_LEN: usize = 1_060;

/// Longest that stands in front of a piece: a VP9 descriptor with scalability structure.
pub(super) const MAX_PREFIX_LEN: usize = 48;

/// Longest that stands behind a trailer.
const MAX_SUFFIX_LEN: usize = VP9_INDEX_LEN;

/// Longest dependency descriptor: templates of three spatial layers with three temporal ones take about ninety bytes.
const MAX_DESCRIPTOR_LEN: usize = 128;

/// Longest payload of a packet.
pub const MAX_PAYLOAD_LEN: usize = MAX_PREFIX_LEN + MAX_PIECE_LEN + 1 + TRAILER_LEN + MAX_SUFFIX_LEN;

/// Few bytes by value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortBytes<const MAX: usize> {
    bytes: [u8; MAX],
    len: u8,
}

impl<const MAX: usize> ShortBytes<MAX> {
    pub(super) const EMPTY: Self = Self { bytes: [0; MAX], len: 0 };

    /// Appends; what has no room is left out.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        let start = usize::from(self.len);
        if let Some(room) = self.bytes.get_mut(start..start + bytes.len()) {
            room.copy_from_slice(bytes);
            self.len += bytes.len() as u8;
        }
    }

    /// Becomes what `write` puts there, unless that is too long.
    pub(super) fn fill(&mut self, write: impl FnOnce(&mut [u8]) -> usize) {
        let len = write(&mut self.bytes);
        self.len = if len <= MAX { len as u8 } else { 0 };
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// What stands in front of a piece of a frame.
pub(super) type Prefix = ShortBytes<MAX_PREFIX_LEN>;

/// What stands behind a trailer.
pub(super) type Suffix = ShortBytes<MAX_SUFFIX_LEN>;

/// Data of a dependency descriptor: at most that of a key frame of three spatial and three temporal layers.
pub type DescriptorBytes = ShortBytes<MAX_DESCRIPTOR_LEN>;

/// How the bytes of a frame become packets.
#[derive(Clone, Debug)]
pub(super) enum Pieces {
    /// A frame of a clip, cut when the clip was read. The last one only has a trailer.
    Cut(Arc<[Bytes]>),
    /// Bytes without meaning, to be cut into so many about equal pieces, with an empty one in front if there is a lead. Each
    /// has a trailer.
    Synthetic { bytes: Bytes, cut: FrameCut, lead: usize },
}

impl Pieces {
    /// Bytes without meaning.
    pub(super) fn synthetic(bytes: Bytes) -> Self {
        let cut = FrameCut::new(bytes.len(), MAX_PIECE_LEN);
        Self::Synthetic { bytes, cut, lead: 0 }
    }

    /// The same behind a packet that has nothing of them.
    pub(super) fn with_lead(self) -> Self {
        match self {
            Self::Synthetic { bytes, cut, .. } => Self::Synthetic { bytes, cut, lead: 1 },
            cut @ Self::Cut(_) => cut,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Cut(pieces) => pieces.len(),
            Self::Synthetic { cut, lead, .. } => lead + cut.pieces(),
        }
    }

    const fn lead(&self) -> usize {
        match self {
            Self::Cut(_) => 0,
            Self::Synthetic { lead, .. } => *lead,
        }
    }

    /// The piece of a packet.
    fn get(&self, at: usize) -> Option<&[u8]> {
        match self {
            Self::Cut(pieces) => pieces.get(at).map(|piece| &**piece),
            Self::Synthetic { bytes, cut, lead } => {
                let Some(at) = at.checked_sub(*lead) else { return Some(&[]) };
                bytes.get(cut.range(at)?)
            }
        }
    }
}

/// One frame of one layer, as it leaves the encoder.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The layer. `layer.encoding` tells the stream: a simulcast has an SSRC for each encoding.
    pub layer: Layer,
    /// Lines of the picture; 0 for audio.
    pub height: u16,
    /// The frame needs no other: an Opus packet, or the first of a video sequence.
    pub is_key: bool,
    /// No frame of a higher spatial layer follows at this time, so that the last packet has the marker.
    pub ends_picture: bool,
    /// Time of capture in units of the codec's clock, from a random start for each stream.
    pub timestamp: RtpTimestamp,
    /// Time of capture.
    pub captured: MediaTime,
    /// How loud it is; of audio only.
    pub audio_level: Option<AudioLevel>,
    pub(super) sender: SenderNumber,
    pub(super) descriptor: Descriptor,
    pub(super) pieces: Pieces,
}

impl Frame {
    /// How many packets it takes, at least one.
    #[must_use]
    pub fn packets(&self) -> usize {
        self.pieces.len()
    }

    /// One of its packets; `None` from [`Self::packets`] on.
    #[must_use]
    pub fn packet(&self, at: usize) -> Option<Packet<'_>> {
        let piece = self.pieces.get(at)?;
        let lead = self.pieces.lead();
        let is_last = at + 1 == self.pieces.len();
        let has_trailer = match self.pieces {
            Pieces::Cut(_) => is_last,
            Pieces::Synthetic { .. } => true,
        };
        let place =
            PlaceInFrame { is_lead: at < lead, is_first: at == lead, is_last, has_trailer, piece_len: piece.len() };
        Some(Packet { frame: self, place, prefix: self.descriptor.prefix(self, place), piece })
    }
}

/// Where in its frame a packet stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlaceInFrame {
    /// It has nothing of the frame.
    pub(super) is_lead: bool,
    /// It is the first that has.
    pub(super) is_first: bool,
    pub(super) is_last: bool,
    pub(super) has_trailer: bool,
    pub(super) piece_len: usize,
}

/// One packet of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    frame: &'a Frame,
    place: PlaceInFrame,
    prefix: Prefix,
    piece: &'a [u8],
}

impl Packet<'_> {
    /// The marker bit of its RTP header.
    #[must_use]
    pub const fn marker(&self) -> bool {
        // An Opus packet has the marker only behind a pause (RFC 7587 §4.1), which these sources do not make.
        self.frame.audio_level.is_none() && self.place.is_last && self.frame.ends_picture
    }

    /// Bytes of the payload, at most [`MAX_PAYLOAD_LEN`].
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a payload is never empty")]
    pub fn len(&self) -> usize {
        let behind = match self.place.has_trailer {
            true => {
                self.frame.descriptor.before_trailer(self.place).len() + TRAILER_LEN + self.suffix().as_slice().len()
            }
            false => 0,
        };
        self.prefix.as_slice().len() + self.piece.len() + behind
    }

    /// Data of the dependency descriptor that belongs into its header, where one was negotiated; AV1 has one.
    #[must_use]
    pub fn dependency_descriptor(&self) -> Option<DescriptorBytes> {
        self.frame.descriptor.dependency_descriptor(self.frame, self.place)
    }

    /// Writes the payload of a packet that leaves at `sent` to the start of `dest`; answers its length.
    ///
    /// # Errors
    /// `dest` is shorter than [`Self::len`].
    pub fn write_to(&self, sent: MediaTime, dest: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let (need, have) = (self.len(), dest.len());
        let dest = dest.get_mut(..need).ok_or(BufferTooSmall { need, have })?;
        let rest = put(dest, self.prefix.as_slice());
        let rest = put(rest, self.piece);
        if self.place.has_trailer {
            let rest = put(rest, self.frame.descriptor.before_trailer(self.place));
            let rest = put(rest, &self.trailer(sent).to_bytes());
            put(rest, self.suffix().as_slice());
        }
        Ok(need)
    }

    fn suffix(&self) -> Suffix {
        self.frame.descriptor.after_trailer()
    }

    fn trailer(&self, sent: MediaTime) -> Trailer {
        let Frame { captured, layer, height, sender, .. } = *self.frame;
        Trailer { captured, sent, layer, height, sender }
    }
}

/// Copies to the start of `dest`, which is long enough; answers what is behind.
fn put<'a>(dest: &'a mut [u8], bytes: &[u8]) -> &'a mut [u8] {
    let (start, rest) = dest.split_at_mut_checked(bytes.len()).unwrap_or_default();
    if start.len() == bytes.len() {
        start.copy_from_slice(bytes);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_cut_about_equally_with_the_larger_packets_last() {
        for len in 1..20_000 {
            let bytes = Bytes::from(vec![0; len]);
            let pieces = Pieces::synthetic(bytes);
            let sizes: Vec<_> = (0..pieces.len()).map(|at| pieces.get(at).unwrap().len()).collect();
            assert!(pieces.get(pieces.len()).is_none());
            assert_eq!(sizes.iter().sum::<usize>(), len);
            assert!(sizes.is_sorted() && sizes.iter().all(|size| *size <= MAX_PIECE_LEN));
            assert!(sizes.last().unwrap() - sizes[0] <= 1);
        }
    }
}
