//! Which of the last packets of a source went to a receiver.

use model::ExtSeqNum;

/// Packets that are told apart, back from the newest: more than a second of audio.
const WINDOW: u64 = u64::BITS as u64;

/// The newest packets of a source, and which of them were sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct SentWindow {
    newest: u64,
    /// The lowest bit is for the newest.
    sent: u64,
}

impl SentWindow {
    /// A packet was sent.
    pub const fn note(&mut self, seq: ExtSeqNum) {
        self.note_from(seq, seq);
    }

    /// All packets from `first` up to `last` were sent.
    pub const fn note_from(&mut self, first: ExtSeqNum, last: ExtSeqNum) {
        if last.0 > self.newest {
            let ahead = last.0 - self.newest;
            self.sent = if ahead < WINDOW { self.sent << ahead } else { 0 };
            self.newest = last.0;
        }
        let behind = self.newest - last.0;
        let count = last.0.saturating_sub(first.0) + 1;
        if behind < WINDOW {
            let run = if count < WINDOW { (1 << count) - 1 } else { u64::MAX };
            self.sent |= run << behind;
        }
    }

    /// Whether a packet was sent; one too old to be told counts as that.
    #[must_use]
    pub const fn has(&self, seq: ExtSeqNum) -> bool {
        if seq.0 > self.newest {
            return false;
        }
        let behind = self.newest - seq.0;
        behind >= WINDOW || self.sent >> behind & 1 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_was_sent_and_what_was_not() {
        let mut window = SentWindow::default();
        window.note(ExtSeqNum(1000));
        window.note_from(ExtSeqNum(1003), ExtSeqNum(1005));
        window.note(ExtSeqNum(1002));
        let sent: Vec<_> = (1000..1008).filter(|seq| window.has(ExtSeqNum(*seq))).collect();
        assert_eq!(sent, [1000, 1002, 1003, 1004, 1005]);
        assert!(window.has(ExtSeqNum(1005 - WINDOW)) && !window.has(ExtSeqNum(1006 - WINDOW)));
    }

    #[test]
    fn a_run_may_be_longer_than_the_window() {
        let mut window = SentWindow::default();
        window.note_from(ExtSeqNum(1), ExtSeqNum(500));
        assert!((1..=500).all(|seq| window.has(ExtSeqNum(seq))));
        window.note(ExtSeqNum(500 + WINDOW));
        assert!(!window.has(ExtSeqNum(501)));
    }
}
