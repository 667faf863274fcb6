//! The queue in front of the line, by how much longer packets take than the shortest time of late.
//!
//! The trend of delays tells of a queue late: it has to grow by a twentieth of a second each second, and takes a second or
//! two to be sure. A queue that grows more slowly is at a sixth of a second by then; one that is full does not grow at all,
//! so that the delay-based controller takes it for well, and the loss-based one takes a tenth of loss at a megabit for a
//! property of the line. Receivers that share a line can sit in front of its full queue for minutes in that way. libwebrtc
//! has a congestion window against this, which an encoder heeds by dropping frames; a bridge cannot.
//!
//! So a queue is looked at itself. One that stands at the known capacity is answered once, and again only after it was
//! empty in between: whose queue does not empty for us is not ours, and to give way to TCP each time would be to starve.
//! One that is long and loses packets as well is answered each second.

use crate::time::{TimeDelta, Timestamp};

/// So much more than the shortest time, and the time of a packet, is a queue ...
const MIN_STANDING: TimeDelta = TimeDelta::from_ms(20);

/// ... if it was there for so long; frames come in bursts.
const STANDING_PATIENCE: TimeDelta = TimeDelta::from_ms(500);

/// Less than this is none.
const MAX_EMPTY: TimeDelta = TimeDelta::from_ms(10);

/// So much more than the shortest time is a long queue.
const MIN_LONG: TimeDelta = TimeDelta::from_ms(100);

/// How long it is there before it is acted upon, each time.
const LONG_PATIENCE: TimeDelta = TimeDelta::from_secs(1);

/// Below this loss, beyond what is inherent, the flow that fills the queue is another one, as TCP does.
const MIN_LOSS: f64 = 0.05;

/// For how long the shortest time holds, at least; at most twice as long. Paths change.
const BASE_WINDOW: TimeDelta = TimeDelta::from_secs(15);

/// What a feedback says about the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueReport {
    /// The shortest time that one of its packets took.
    pub(crate) delay: TimeDelta,
    /// Time that the line takes for a packet.
    pub(crate) packet_time: TimeDelta,
    /// Loss of the last seconds beyond what is inherent, if the feedback tells of any.
    pub(crate) loss: Option<f64>,
    /// Whether as much gets through as the line is known to carry.
    pub(crate) is_at_capacity: bool,
}

/// Compares delays with the shortest of the last half minute.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StandingQueue {
    base: Option<Base>,
    /// Since when each feedback told of a queue.
    standing_since: Option<Timestamp>,
    /// Whether it was empty since it was answered.
    was_empty: bool,
    /// Since when each told of a long one; later after an answer.
    long_since: Option<Timestamp>,
}

/// The shortest delay of this window and of that before.
#[derive(Clone, Copy, Debug)]
struct Base {
    window_start: Timestamp,
    current: TimeDelta,
    previous: TimeDelta,
}

impl StandingQueue {
    /// Answers whether to send less for the queue.
    pub(crate) fn update(&mut self, report: QueueReport, now: Timestamp) -> bool {
        let delay = report.delay;
        let base =
            self.base.map_or(Base { window_start: now, current: delay, previous: delay }, |base| base.with(delay, now));
        self.base = Some(base);
        let queueing = delay - base.current.min(base.previous);
        self.was_empty |= queueing < MAX_EMPTY;
        self.standing_since =
            if queueing < MIN_STANDING + report.packet_time { None } else { self.standing_since.or(Some(now)) };
        self.long_since = if queueing < MIN_LONG { None } else { self.long_since.or(Some(now)) };
        let is_full = self.long_since.is_some_and(|since| now - since >= LONG_PATIENCE)
            && report.loss.is_some_and(|loss| loss >= MIN_LOSS);
        if is_full {
            self.long_since = Some(now);
        }
        let is_ours = report.is_at_capacity
            && self.was_empty
            && self.standing_since.is_some_and(|since| now - since >= STANDING_PATIENCE);
        if is_ours {
            self.was_empty = false;
        }
        is_full || is_ours
    }

    /// Whether the last feedback told of a queue.
    pub(crate) const fn is_there(&self) -> bool {
        self.standing_since.is_some()
    }

    /// Whether a long queue stands for a while already, full or not.
    pub(crate) fn is_long(&self, now: Timestamp) -> bool {
        self.long_since.is_some_and(|since| now - since >= LONG_PATIENCE)
    }
}

impl Base {
    fn with(self, delay: TimeDelta, now: Timestamp) -> Self {
        if now - self.window_start >= BASE_WINDOW {
            return Self { window_start: now, current: delay, previous: self.current };
        }
        Self { current: self.current.min(delay), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feedback each 100 ms for six seconds. Answers at which of them, in ms, the queue is answered.
    fn run(delay_ms: impl Fn(i64) -> i64, loss: Option<f64>, is_at_capacity: bool) -> Vec<i64> {
        let mut queue = StandingQueue::default();
        let times = (0..60).map(|i| i * 100);
        times
            .filter(|ms| {
                let delay = TimeDelta::from_ms(delay_ms(*ms));
                let report = QueueReport { delay, packet_time: TimeDelta::from_ms(5), loss, is_at_capacity };
                queue.update(report, Timestamp::ZERO + TimeDelta::from_ms(*ms))
            })
            .collect()
    }

    const LONG_FROM_1_TO_4: fn(i64) -> i64 = |ms| if (1000..4000).contains(&ms) { 350 } else { 50 };

    #[test]
    fn a_full_queue_is_answered_each_second() {
        assert_eq!(run(LONG_FROM_1_TO_4, Some(0.1), false), [2000, 3000]);
    }

    #[test]
    fn neither_loss_nor_delay_alone_is_a_full_queue() {
        assert!(run(|_| 50, Some(0.3), false).is_empty());
        assert!(run(LONG_FROM_1_TO_4, None, false).is_empty());
        assert!(run(LONG_FROM_1_TO_4, Some(0.02), false).is_empty());
        assert!(run(|ms| if ms % 500 == 0 { 50 } else { 350 }, Some(0.1), false).is_empty());
    }

    #[test]
    fn a_queue_at_the_capacity_is_answered_once_until_it_was_empty() {
        assert_eq!(run(|ms| if ms < 1000 { 50 } else { 80 }, None, true), [1500]);
        let empty_at_3 = |ms| if ms < 1000 || ms == 3000 { 50 } else { 80 };
        assert_eq!(run(empty_at_3, None, true), [1500, 3600]);
        let lower_at_3 = |ms| match ms {
            0..1000 => 50,
            3000 => 65,
            _ => 80,
        };
        assert_eq!(run(lower_at_3, None, true), [1500]);
    }

    #[test]
    fn a_queue_below_the_capacity_or_of_a_packet_is_none_of_ours() {
        assert!(run(|ms| if ms < 1000 { 50 } else { 80 }, None, false).is_empty());
        assert!(run(|ms| if ms < 1000 { 50 } else { 74 }, None, true).is_empty());
    }

    #[test]
    fn a_longer_path_becomes_the_base() {
        let mut queue = StandingQueue::default();
        let found = (0..400_i64).filter(|i| {
            let delay = TimeDelta::from_ms(if *i == 0 { 50 } else { 350 });
            let report = QueueReport { delay, packet_time: TimeDelta::ZERO, loss: Some(0.1), is_at_capacity: false };
            queue.update(report, Timestamp::ZERO + TimeDelta::from_ms(i * 100))
        });
        let last = found.last().unwrap();
        assert!((150..=310).contains(&last), "{last}");
    }
}
