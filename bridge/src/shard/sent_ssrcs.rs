//! Which SSRC of one receiver's session is which source's, and where streams ended whose source is gone.
//!
//! Here: no number of an SSRC is ever given twice in one SRTP session. Not here: one stream (`send`).

use std::collections::{BTreeMap, BTreeSet};

use model::{ExtSeqNum, RtpTimestamp, SeqNum, Ssrc};
use rand::Rng;
use rand::rngs::StdRng;
use streams::{DependencyNumbers, LastSent, PictureNumbers};

use super::send::{FirstNumbers, SendStream};
use crate::keys::SourceId;
use crate::negotiated::LayerSsrcs;

/// Streams of sources that went which one receiver remembers. Each participant that comes and goes leaves some: enough
/// for a day of a large conference.
const MAX_RETIRED_STREAMS: usize = 16 * 1024;

/// The SSRCs that one receiver was sent packets under.
#[derive(Debug)]
pub(crate) struct SentSsrcs {
    by_ssrc: BTreeMap<Ssrc, SourceId>,
    /// SSRCs of all streams and their retransmissions.
    in_use: BTreeSet<Ssrc>,
    /// Where streams ended whose source is gone, and where their retransmissions did; if one comes back, its numbers go
    /// on.
    retired: BTreeMap<Ssrc, Ended>,
    retired_rtx: BTreeMap<Ssrc, ExtSeqNum>,
    random: StdRng,
}

/// Where a stream ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ended {
    pub(crate) last: LastSent,
    pub(crate) picture: Option<PictureNumbers>,
    pub(crate) frame: Option<DependencyNumbers>,
}

impl SentSsrcs {
    /// `random` is where the numbers of streams begin.
    pub(crate) const fn new(random: StdRng) -> Self {
        Self {
            by_ssrc: BTreeMap::new(),
            in_use: BTreeSet::new(),
            retired: BTreeMap::new(),
            retired_rtx: BTreeMap::new(),
            random,
        }
    }

    /// The source whose stream the receiver knows under `ssrc`.
    pub(crate) fn source_of(&self, ssrc: Ssrc) -> Option<SourceId> {
        self.by_ssrc.get(&ssrc).copied()
    }

    /// The sources that the receiver has a stream of.
    pub(crate) fn sources(&self) -> impl Iterator<Item = SourceId> {
        self.by_ssrc.values().copied()
    }

    /// Where a new stream of a source begins; under the same SSRCs as an earlier one, where that ended. `None` when the
    /// receiver has had more sources than are remembered, or an SSRC is another source's, or was one of the other kind
    /// before: a number could come twice.
    pub(crate) fn begin(&mut self, source: SourceId, ssrcs: LayerSsrcs) -> Option<FirstNumbers> {
        let LayerSsrcs { primary, rtx } = ssrcs;
        let is_taken = self.in_use.contains(&primary) || rtx.is_some_and(|rtx| self.in_use.contains(&rtx));
        let changes_kind =
            self.retired_rtx.contains_key(&primary) || rtx.is_some_and(|rtx| self.retired.contains_key(&rtx));
        if is_taken || changes_kind || self.retired.len().max(self.retired_rtx.len()) >= MAX_RETIRED_STREAMS {
            return None;
        }
        self.by_ssrc.insert(primary, source);
        self.in_use.extend(std::iter::once(primary).chain(rtx));
        Some(FirstNumbers {
            earlier: self.retired.remove(&primary),
            earlier_rtx: rtx.and_then(|rtx| self.retired_rtx.remove(&rtx)),
            seq: SeqNum(self.random.random()),
            rtx_seq: SeqNum(self.random.random()),
            timestamp: RtpTimestamp(self.random.random()),
        })
    }

    /// The source of a stream is gone: notes where the stream ended.
    pub(crate) fn end(&mut self, stream: &mut SendStream) {
        let LayerSsrcs { primary, rtx } = stream.ssrcs();
        self.retired.extend(stream.ended().map(|end| (primary, end)));
        self.retired_rtx.extend(rtx.map(|rtx| (rtx, stream.next_rtx_seq())));
        self.by_ssrc.remove(&primary);
        self.in_use.remove(&primary);
        rtx.map(|rtx| self.in_use.remove(&rtx));
    }
}
