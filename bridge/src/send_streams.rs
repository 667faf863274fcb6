//! All streams to one receiver, and where those ended whose source is gone.
//!
//! Here: which SSRC is which source's, so that no number is ever given twice. Not here: one stream (`send`).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use model::{ExtSeqNum, RtpTimestamp, SeqNum, Ssrc};
use rand::Rng;
use streams::LastSent;

use crate::negotiated::{LayerSsrcs, SourceId};
use crate::send::{FirstNumbers, SendStream};

/// Streams of sources that went which one receiver remembers. Each participant that comes and goes leaves some: enough
/// for a day of a large conference.
const MAX_RETIRED_STREAMS: usize = 16 * 1024;

/// The streams to one receiver.
#[derive(Debug, Default)]
pub(crate) struct SendStreams {
    by_source: BTreeMap<SourceId, SendStream>,
    by_ssrc: BTreeMap<Ssrc, SourceId>,
    /// SSRCs of all streams and their retransmissions.
    in_use: BTreeSet<Ssrc>,
    /// Where streams ended whose source is gone, and where their retransmissions did; if one comes back, its numbers go
    /// on.
    retired: BTreeMap<Ssrc, LastSent>,
    retired_rtx: BTreeMap<Ssrc, ExtSeqNum>,
}

impl SendStreams {
    pub(crate) fn get_mut(&mut self, source: SourceId) -> Option<&mut SendStream> {
        self.by_source.get_mut(&source)
    }

    /// The source whose stream the receiver knows under `ssrc`.
    pub(crate) fn source_of(&self, ssrc: Ssrc) -> Option<SourceId> {
        self.by_ssrc.get(&ssrc).copied()
    }

    /// The stream of a source; a new one begins where one under the same SSRCs ended. `None` when the receiver has had
    /// more sources than are remembered, or an SSRC is another source's, or was one of the other kind before: a number
    /// could come twice.
    pub(crate) fn get_or_insert_with(
        &mut self,
        source: SourceId,
        ssrcs: LayerSsrcs,
        make: impl FnOnce(FirstNumbers) -> SendStream,
    ) -> Option<&mut SendStream> {
        let place = match self.by_source.entry(source) {
            Entry::Occupied(known) => return Some(known.into_mut()),
            Entry::Vacant(place) => place,
        };
        let LayerSsrcs { primary, rtx } = ssrcs;
        let is_taken = self.in_use.contains(&primary) || rtx.is_some_and(|rtx| self.in_use.contains(&rtx));
        let changes_kind =
            self.retired_rtx.contains_key(&primary) || rtx.is_some_and(|rtx| self.retired.contains_key(&rtx));
        if is_taken || changes_kind || self.retired.len().max(self.retired_rtx.len()) >= MAX_RETIRED_STREAMS {
            return None;
        }
        let mut rng = rand::rng();
        let first = FirstNumbers {
            earlier: self.retired.remove(&primary),
            earlier_rtx: rtx.and_then(|rtx| self.retired_rtx.remove(&rtx)),
            seq: SeqNum(rng.random()),
            rtx_seq: SeqNum(rng.random()),
            timestamp: RtpTimestamp(rng.random()),
        };
        self.by_ssrc.insert(primary, source);
        self.in_use.extend(std::iter::once(primary).chain(rtx));
        Some(place.insert(make(first)))
    }

    /// Forgets the streams of sources that are gone, but for where they ended.
    pub(crate) fn retain(&mut self, mut is_there: impl FnMut(SourceId) -> bool) {
        let Self { by_source, by_ssrc, in_use, retired, retired_rtx } = self;
        by_source.retain(|source, stream| {
            let stays = is_there(*source);
            if !stays {
                let LayerSsrcs { primary, rtx } = stream.ssrcs();
                retired.extend(stream.last_sent().map(|end| (primary, end)));
                retired_rtx.extend(rtx.map(|rtx| (rtx, stream.next_rtx_seq())));
                by_ssrc.remove(&primary);
                in_use.retain(|ssrc| *ssrc != primary && Some(*ssrc) != rtx);
            }
            stays
        });
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (SourceId, &mut SendStream)> {
        self.by_source.iter_mut().map(|(source, stream)| (*source, stream))
    }
}
