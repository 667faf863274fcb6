//! A queue that is full and stays so.
//!
//! Delays tell of a queue while it grows. One that is full does not grow: the trend of delays is flat, the delay-based
//! controller takes it for well and goes on growing, and the loss-based one takes a tenth of loss at a megabit for a
//! property of the line. Some receivers that share a line can sit in front of its full queue for minutes in that way.
//! What tells it from a lossy line is that the round trip is long, too. libwebrtc has a congestion window against this,
//! which an encoder heeds by dropping frames; a bridge cannot.

use crate::time::{TimeDelta, Timestamp};

/// So much more than the shortest round trip is a queue.
const MIN_QUEUEING: TimeDelta = TimeDelta::from_ms(100);

/// How long it stands before it is acted upon, each time.
const PATIENCE: TimeDelta = TimeDelta::from_secs(1);

/// Below this loss the flow that fills the queue is another one, as TCP does: to give way would be to starve.
const MIN_LOSS: f64 = 0.05;

/// For how long the shortest round trip holds, at least; at most twice as long. Paths change.
const BASE_WINDOW: TimeDelta = TimeDelta::from_secs(15);

/// Compares round trips with the shortest of the last half minute.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StandingQueue {
    base: Option<Base>,
    /// Since when each round trip has been long.
    since: Option<Timestamp>,
}

/// The shortest round trip of this window and of that before.
#[derive(Clone, Copy, Debug)]
struct Base {
    window_start: Timestamp,
    current: TimeDelta,
    previous: TimeDelta,
}

impl StandingQueue {
    /// Takes the shortest round trip of a feedback, whether it tells of a loss, and the loss of the last seconds. Answers
    /// whether the queue is full and was for long enough.
    pub(crate) fn update(&mut self, rtt: TimeDelta, has_loss: bool, loss: f64, now: Timestamp) -> bool {
        let base =
            self.base.map_or(Base { window_start: now, current: rtt, previous: rtt }, |base| base.with(rtt, now));
        self.base = Some(base);
        if rtt - base.current.min(base.previous) < MIN_QUEUEING {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let is_full = now - since >= PATIENCE && has_loss && loss >= MIN_LOSS;
        if is_full {
            self.since = Some(now);
        }
        is_full
    }
}

impl StandingQueue {
    /// Whether a queue stands that long already, full or not, as the last feedback told.
    pub(crate) fn is_standing(&self, now: Timestamp) -> bool {
        self.since.is_some_and(|since| now - since >= PATIENCE)
    }
}

impl Base {
    fn with(self, rtt: TimeDelta, now: Timestamp) -> Self {
        if now - self.window_start >= BASE_WINDOW {
            return Self { window_start: now, current: rtt, previous: self.current };
        }
        Self { current: self.current.min(rtt), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feedback each 100 ms. Answers at which of them, in ms, the queue is found full.
    fn run(rtt_ms: impl Fn(i64) -> i64, has_loss: bool, loss: f64) -> Vec<i64> {
        let mut queue = StandingQueue::default();
        let times = (0..60).map(|i| i * 100);
        times
            .filter(|ms| {
                let now = Timestamp::ZERO + TimeDelta::from_ms(*ms);
                queue.update(TimeDelta::from_ms(rtt_ms(*ms)), has_loss, loss, now)
            })
            .collect()
    }

    const FULL_FROM_1_TO_4: fn(i64) -> i64 = |ms| if (1000..4000).contains(&ms) { 350 } else { 50 };

    #[test]
    fn a_full_queue_is_found_each_second() {
        assert_eq!(run(FULL_FROM_1_TO_4, true, 0.1), [2000, 3000]);
    }

    #[test]
    fn neither_loss_nor_delay_alone_is_a_full_queue() {
        assert!(run(|_| 50, true, 0.3).is_empty());
        assert!(run(FULL_FROM_1_TO_4, false, 0.1).is_empty());
        assert!(run(FULL_FROM_1_TO_4, true, 0.02).is_empty());
        assert!(run(|ms| if ms % 500 == 0 { 50 } else { 350 }, true, 0.1).is_empty());
    }

    #[test]
    fn a_longer_path_becomes_the_base() {
        let mut queue = StandingQueue::default();
        let found = (0..400_i64).filter(|i| {
            let rtt = TimeDelta::from_ms(if *i == 0 { 50 } else { 350 });
            queue.update(rtt, true, 0.1, Timestamp::ZERO + TimeDelta::from_ms(i * 100))
        });
        let last = found.last().unwrap();
        assert!((150..=310).contains(&last), "{last}");
    }
}
