//! Which packets of a stream are missing and when to ask for them (RFC 4585 §6.2.1), with the numbers of JVB: at once,
//! then every round trip (150 ms while that is unknown), ten times.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use model::{ExtSeqNum, SeqNum};

/// Time between two requests for one packet while the round trip is unknown.
pub const DEFAULT_NACK_INTERVAL: Duration = Duration::from_millis(150);

/// Bounds of that time once the round trip is known: below, a repair cannot be told from one under way; above, it
/// comes too late for a conversation.
const NACK_INTERVAL_BOUNDS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// How often a packet is asked for.
pub const MAX_NACK_TRIES: u8 = 10;

/// A gap of this many packets is no loss to repair but a new start of the stream: everything is forgotten.
pub const NACK_RESET_JUMP: u64 = 100;

/// Most packets that are waited for; the oldest goes first. Five gaps of the largest size that is repaired.
pub const MAX_MISSING: usize = 512;

/// Room for so many missing packets is kept while none is missing, so that single losses allocate nothing.
const KEPT_CAPACITY: usize = 16;

/// The packets that one incoming stream lacks.
#[derive(Clone, Debug, Default)]
pub struct NackRegister {
    highest: Option<ExtSeqNum>,
    /// In ascending order.
    missing: VecDeque<Missing>,
    given_up: u64,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    seq: ExtSeqNum,
    tries: u8,
    /// When it may be asked for again.
    due: Instant,
}

impl NackRegister {
    /// Notes a packet that came, directly or as a retransmission.
    pub fn handle_packet(&mut self, seq: ExtSeqNum, now: Instant) {
        let Some(highest) = self.highest else {
            self.highest = Some(seq);
            return;
        };
        if seq <= highest {
            if let Ok(at) = self.missing.binary_search_by_key(&seq, |missing| missing.seq) {
                self.missing.remove(at);
            }
            return;
        }
        self.highest = Some(seq);
        if seq.0 - highest.0 >= NACK_RESET_JUMP {
            self.given_up += self.missing.len() as u64;
            self.missing.clear();
            return;
        }
        for lost in highest.0 + 1..seq.0 {
            if self.missing.len() >= MAX_MISSING {
                self.missing.pop_front();
                self.given_up += 1;
            }
            self.missing.push_back(Missing { seq: ExtSeqNum(lost), tries: 0, due: now });
        }
    }

    /// Stops waiting, as when the stream goes on with a key frame or nobody watches it.
    pub fn clear(&mut self) {
        self.missing.clear();
        self.missing.shrink_to(KEPT_CAPACITY);
    }

    /// Appends the packets to ask for now to `due`, in ascending order, and notes that they are asked for. `rtt` is the
    /// round trip to the sender, where known.
    pub fn poll_due(&mut self, now: Instant, rtt: Option<Duration>, due: &mut Vec<SeqNum>) {
        let (least, most) = NACK_INTERVAL_BOUNDS;
        let interval = rtt.map_or(DEFAULT_NACK_INTERVAL, |rtt| rtt.clamp(least, most));
        let given_up = &mut self.given_up;
        self.missing.retain_mut(|missing| {
            if missing.due > now {
                return true;
            }
            if missing.tries >= MAX_NACK_TRIES {
                *given_up += 1;
                return false;
            }
            missing.tries += 1;
            missing.due = now + interval;
            due.push(missing.seq.wire());
            true
        });
        if self.missing.is_empty() {
            self.missing.shrink_to(KEPT_CAPACITY);
        }
    }

    /// When [`Self::poll_due`] has something to do next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.missing.iter().map(|missing| missing.due).min()
    }

    /// Packets that are waited for.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.missing.len()
    }

    /// Packets that never came: asked for in vain, or forgotten at a limit.
    #[must_use]
    pub const fn given_up(&self) -> u64 {
        self.given_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_time::{ms, start};

    fn due(register: &mut NackRegister, now: Instant, rtt: Option<Duration>) -> Vec<u16> {
        let mut due = Vec::new();
        register.poll_due(now, rtt, &mut due);
        due.into_iter().map(|seq| seq.0).collect()
    }

    fn feed(register: &mut NackRegister, seqs: impl IntoIterator<Item = u64>, now: Instant) {
        for seq in seqs {
            register.handle_packet(ExtSeqNum(seq), now);
        }
    }

    #[test]
    fn asks_for_a_gap_at_once_and_across_the_wrap() {
        let (mut register, now) = (NackRegister::default(), start());
        feed(&mut register, [65_534, 65_538], now);
        assert_eq!(register.next_timeout(), Some(now));
        assert_eq!(due(&mut register, now, None), [65_535, 0, 1]);
        assert_eq!(due(&mut register, now, None), [0_u16; 0]);
    }

    #[test]
    fn what_comes_late_is_not_asked_for_again() {
        let (mut register, now) = (NackRegister::default(), start());
        feed(&mut register, [1, 4], now);
        assert_eq!(due(&mut register, now, None), [2, 3]);
        feed(&mut register, [3], now);
        assert_eq!(due(&mut register, now + ms(149), None), [0_u16; 0]);
        assert_eq!(due(&mut register, now + ms(150), None), [2]);
        feed(&mut register, [2, 2], now);
        assert_eq!((register.missing(), register.next_timeout()), (0, None));
    }

    #[test]
    fn repeats_every_round_trip_within_bounds() {
        for (rtt, interval) in [(1, 10), (40, 40), (2_000, 500)] {
            let (mut register, now) = (NackRegister::default(), start());
            feed(&mut register, [1, 3], now);
            assert_eq!(due(&mut register, now, Some(ms(rtt))), [2]);
            assert_eq!(due(&mut register, now + ms(interval - 1), Some(ms(rtt))), [0_u16; 0]);
            assert_eq!(due(&mut register, now + ms(interval), Some(ms(rtt))), [2]);
        }
    }

    #[test]
    fn gives_up_after_ten_tries() {
        let (mut register, now) = (NackRegister::default(), start());
        feed(&mut register, [1, 3], now);
        let tries: usize = (0..20).map(|i| due(&mut register, now + DEFAULT_NACK_INTERVAL * i, None).len()).sum();
        assert_eq!(tries, usize::from(MAX_NACK_TRIES));
        assert_eq!((register.missing(), register.given_up()), (0, 1));
    }

    #[test]
    fn a_jump_is_a_new_start() {
        let (mut register, now) = (NackRegister::default(), start());
        feed(&mut register, [1, 3, 3 + NACK_RESET_JUMP], now);
        assert_eq!(register.missing(), 0);
        feed(&mut register, [3 + 2 * NACK_RESET_JUMP - 1], now);
        assert_eq!(register.missing() as u64, NACK_RESET_JUMP - 2);
    }

    #[test]
    fn the_list_has_a_limit_and_drops_the_oldest() {
        let (mut register, now) = (NackRegister::default(), start());
        feed(&mut register, (0..20).map(|i| i * 99), now);
        assert_eq!(register.missing(), MAX_MISSING);
        assert_eq!(register.given_up(), 19 * 98 - MAX_MISSING as u64);
        assert_eq!(due(&mut register, now, None).last(), Some(&(19 * 99 - 1)));
    }
}
