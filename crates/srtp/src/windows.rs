//! Replay windows of the streams of one direction, by SSRC.

use model::Ssrc;

use crate::replay::ReplayWindow;

/// A bounded set of windows, sorted by SSRC. The SSRCs lie beside the windows, so that a search touches one or two
/// cache lines for the ten streams of a client; no hash is computed, and no SSRC can be chosen to collide.
pub(crate) struct Windows {
    limit: usize,
    ssrcs: Vec<Ssrc>,
    streams: Vec<Stream>,
    /// Where the last packet was accepted: the packets of a frame come one behind the other.
    last: usize,
    /// Counts accepted packets, to tell which stream was silent the longest.
    accepted: u64,
    evicted: u64,
}

struct Stream {
    window: ReplayWindow,
    last_accepted: u64,
}

impl Windows {
    /// An empty set of at most `limit` windows. At the limit the stream that was silent the longest is forgotten.
    pub(crate) const fn with_limit(limit: usize) -> Self {
        Self { limit, ssrcs: Vec::new(), streams: Vec::new(), last: 0, accepted: 0, evicted: 0 }
    }

    /// Where the window of a stream is, until the next [`Self::accept`].
    pub(crate) fn find(&self, ssrc: Ssrc) -> Option<usize> {
        if self.ssrcs.get(self.last) == Some(&ssrc) {
            return Some(self.last);
        }
        self.ssrcs.binary_search(&ssrc).ok()
    }

    pub(crate) fn window(&self, at: usize) -> Option<&ReplayWindow> {
        self.streams.get(at).map(|stream| &stream.window)
    }

    /// Takes a number that passed the check of the window at `known`, or the first of a new stream.
    pub(crate) fn accept(&mut self, known: Option<usize>, ssrc: Ssrc, index: u64) {
        self.accepted += 1;
        if let Some((at, stream)) = known.and_then(|at| Some((at, self.streams.get_mut(at)?))) {
            stream.window.accept(index);
            stream.last_accepted = self.accepted;
            self.last = at;
            return;
        }
        if self.streams.len() >= self.limit {
            let ages = self.streams.iter().enumerate().map(|(at, stream)| (stream.last_accepted, at));
            if let Some((_, oldest)) = ages.min() {
                self.streams.remove(oldest);
                self.ssrcs.remove(oldest);
                self.evicted += 1;
            }
        }
        let at = self.ssrcs.partition_point(|known| *known < ssrc);
        self.ssrcs.insert(at, ssrc);
        let stream = Stream { window: ReplayWindow::starting_at(index), last_accepted: self.accepted };
        self.streams.insert(at, stream);
        self.last = at;
    }

    pub(crate) const fn len(&self) -> usize {
        self.streams.len()
    }

    pub(crate) const fn evicted(&self) -> u64 {
        self.evicted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_in_any_order_keep_windows_of_their_own() {
        let mut windows = Windows::with_limit(100);
        for i in 0..50_u32 {
            let ssrc = Ssrc(i * 37 % 50);
            windows.accept(windows.find(ssrc), ssrc, u64::from(ssrc.0) + 1000);
        }
        for i in 0..50 {
            let at = windows.find(Ssrc(i)).unwrap();
            assert_eq!(windows.window(at).unwrap().highest(), u64::from(i) + 1000);
        }
        assert_eq!((windows.find(Ssrc(50)), windows.len(), windows.evicted()), (None, 50, 0));
    }

    #[test]
    fn the_limit_holds_and_the_quietest_goes() {
        let mut windows = Windows::with_limit(3);
        for ssrc in [5, 1, 9, 5, 7].map(Ssrc) {
            windows.accept(windows.find(ssrc), ssrc, 1);
        }
        assert_eq!((windows.len(), windows.evicted()), (3, 1));
        assert_eq!(windows.find(Ssrc(1)), None);
        assert!([5, 7, 9].iter().all(|ssrc| windows.find(Ssrc(*ssrc)).is_some()));
    }
}
