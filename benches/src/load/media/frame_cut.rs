//! How libwebrtc cuts a frame: as few packets as possible, of about equal length.

use std::ops::Range;

/// The pieces of a frame: their lengths differ by one byte, the larger ones come last.
#[derive(Clone, Copy, Debug)]
pub struct FrameCut {
    bytes: usize,
    pieces: usize,
}

impl FrameCut {
    /// Of a frame of `bytes`, with at most `max_piece` of them in one packet. An empty frame has one empty piece.
    #[must_use]
    pub const fn new(bytes: usize, max_piece: usize) -> Self {
        let pieces = bytes.div_ceil(max_piece);
        Self { bytes, pieces: if pieces == 0 { 1 } else { pieces } }
    }

    /// How many there are, at least one.
    #[must_use]
    pub const fn pieces(self) -> usize {
        self.pieces
    }

    /// Where a piece lies in the frame; `None` from [`Self::pieces`] on.
    #[must_use]
    pub fn range(self, at: usize) -> Option<Range<usize>> {
        let Self { bytes, pieces } = self;
        let (base, first_larger) = (bytes / pieces, pieces - bytes % pieces);
        let start = at * base + at.saturating_sub(first_larger);
        (at < pieces).then(|| start..start + base + usize::from(at >= first_larger))
    }
}
