//! A decoder without pictures: which frames it could show, and when it asks for a key frame.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::super::encoder::Truth;

/// From the last picture, or the last time it asked, to the next.
const PATIENCE: Duration = Duration::from_millis(300);
/// Frames behind the newest of its encoding that are still waited for.
const MAX_BEHIND: u32 = 300;

/// Encoding and number.
type Frame = (u8, u32);

/// A picture, or a spatial layer of one, that could be shown.
#[derive(Clone, Copy, Debug)]
pub(in crate::tests) struct Shown {
    pub(in crate::tests) at: Instant,
    pub(in crate::tests) truth: Truth,
}

/// What one receiver makes of one stream.
#[derive(Debug)]
pub(in crate::tests) struct Player {
    /// Frames that are not decoded yet, each with a bit for a packet that is there.
    pending: BTreeMap<Frame, (Truth, u32)>,
    decoded: BTreeSet<Frame>,
    pub(in crate::tests) shown: Vec<Shown>,
    /// Since when it has been waiting.
    waits_since: Instant,
}

impl Player {
    pub(in crate::tests) const fn new(now: Instant) -> Self {
        Self { pending: BTreeMap::new(), decoded: BTreeSet::new(), shown: Vec::new(), waits_since: now }
    }

    /// A packet of a frame arrives.
    pub(in crate::tests) fn take(&mut self, truth: &Truth, now: Instant) {
        let frame = (truth.encoding, truth.frame);
        if self.decoded.contains(&frame) {
            return;
        }
        let (_, parts) = self.pending.entry(frame).or_insert((*truth, 0));
        *parts |= 1 << truth.index;
        let waiting = self.pending.range((truth.encoding, 0)..=(truth.encoding, u32::MAX));
        let waiting: Vec<Frame> = waiting.map(|(frame, _)| *frame).collect();
        for frame in waiting {
            self.decode(frame, now);
        }
        let oldest = truth.frame.saturating_sub(MAX_BEHIND);
        self.pending.retain(|(encoding, frame), _| *encoding == truth.encoding && *frame >= oldest);
    }

    fn decode(&mut self, frame: Frame, now: Instant) {
        let (truth, parts) = self.pending[&frame];
        let is_whole = parts.count_ones() == u32::from(truth.packets);
        let mut needs = truth.needs.into_iter().flatten();
        if is_whole && needs.all(|need| self.decoded.contains(&(frame.0, need))) {
            self.pending.remove(&frame);
            self.decoded.insert(frame);
            self.shown.push(Shown { at: now, truth });
            self.waits_since = now;
        }
    }

    /// Whether it does now, of a stream whose last packet came at `last_at`.
    pub(in crate::tests) fn asks_for_key_frame(&mut self, last_at: Instant, now: Instant) -> bool {
        let asks = now.saturating_duration_since(self.waits_since) >= PATIENCE
            && now.saturating_duration_since(last_at) < PATIENCE;
        if asks {
            self.waits_since = now;
        }
        asks
    }
}
