//! How much a receiver may have sent again, against what it is sent, and how often it may ask for a
//! key frame.

use std::time::{Duration, Instant};

/// Retransmissions that may be saved up: what one burst of loss takes, as many packets as a source remembers.
const MAX_SAVED: u32 = 512;
/// Packets sent for each that may be sent again: the repair of one third loss, and never more than half of what the
/// receiver gets anyway. A forged or foolish NACK cannot make the bridge send more than that.
const SENT_PER_REPAIR: u32 = 2;

/// The budget of one receiver, in parts of a retransmission.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RepairBudget {
    parts: u32,
}

impl RepairBudget {
    /// A packet was sent for the first time.
    pub(crate) fn earn(&mut self) {
        self.parts = (self.parts + 1).min(MAX_SAVED * SENT_PER_REPAIR);
    }

    /// Whether one may be sent again.
    pub(crate) const fn is_allowed(self) -> bool {
        self.parts >= SENT_PER_REPAIR
    }

    /// One was.
    pub(crate) const fn spend(&mut self) {
        self.parts = self.parts.saturating_sub(SENT_PER_REPAIR);
    }
}

/// Key frames that one receiver may ask for at once, and how soon another: each costs all receivers of the source.
const KEY_FRAME_BURST: u32 = 3;
const KEY_FRAME_PAUSE: Duration = Duration::from_secs(2);

/// Key frames that a receiver may ask for of one source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyFrameAllowance {
    left: u32,
    /// When the last one was given back.
    refilled: Option<Instant>,
}

impl Default for KeyFrameAllowance {
    fn default() -> Self {
        Self { left: KEY_FRAME_BURST, refilled: None }
    }
}

impl KeyFrameAllowance {
    /// Whether a key frame may be asked for now; notes that it is.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        let refilled = *self.refilled.get_or_insert(now);
        let pauses = now.saturating_duration_since(refilled).as_millis() / KEY_FRAME_PAUSE.as_millis();
        if pauses > 0 {
            self.left = KEY_FRAME_BURST.min(self.left + u32::try_from(pauses).unwrap_or(u32::MAX - KEY_FRAME_BURST));
            self.refilled = Some(now);
        }
        let is_admitted = self.left > 0;
        self.left -= u32::from(is_admitted);
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_gets_half_of_what_it_is_sent_again() {
        let mut budget = RepairBudget::default();
        assert!(!budget.is_allowed());
        (0..10).for_each(|_| budget.earn());
        let repairs = (0..100).filter(|_| budget.is_allowed().then(|| budget.spend()).is_some()).count();
        assert_eq!(repairs, 5);
        (0..1_000_000).for_each(|_| budget.earn());
        let repairs = (0..10_000).filter(|_| budget.is_allowed().then(|| budget.spend()).is_some()).count();
        assert_eq!(repairs, MAX_SAVED as usize, "no more than one burst is saved up");
    }

    #[test]
    fn key_frames_come_in_a_burst_and_then_slowly() {
        #[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
        let start = Instant::now();
        let mut allowance = KeyFrameAllowance::default();
        let admitted: Vec<u64> =
            (0..100).filter(|tenth| allowance.admit(start + Duration::from_millis(100) * *tenth as u32)).collect();
        assert_eq!(admitted, [0, 1, 2, 20, 40, 60, 80]);
        assert!((0..4).map(|_| allowance.admit(start + Duration::from_secs(100))).eq([true, true, true, false]));
    }
}
