//! [`Pacer`]: when the next packet may leave.

use std::time::{Duration, Instant};

use model::{Bitrate, DataSize};

/// Pace in terms of the estimate: frames are sent faster than they come, so that a queue does not stand.
const PACE_OF_ESTIMATE: f64 = 2.5;

/// Debt that is remembered at most, in time at the pace: a burst of what bypasses the pacer does not hold up media for
/// longer.
const MAX_DEBT: Duration = Duration::from_millis(500);

/// What a pacer is told about the queue in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct QueueState {
    /// Bytes that wait.
    pub size: DataSize,
    /// How long they wait on average.
    pub average_wait: Duration,
}

/// Answer of a pacer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// A packet may leave now.
    Now,
    /// Not before this.
    At(Instant),
}

/// How a pacer paces. The defaults are those of libwebrtc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacerSettings {
    /// Time at the pace whose packets may leave at once, so that a frame is not cut into many system calls.
    pub burst: Duration,
    /// No packet is to wait longer: the pace rises to what that takes, beyond the estimate.
    pub queue_time_limit: Duration,
}

impl Default for PacerSettings {
    fn default() -> Self {
        Self { burst: Duration::from_millis(40), queue_time_limit: Duration::from_secs(2) }
    }
}

/// A leaky bucket of bytes that leaks at 2.5 times the estimate (libwebrtc's `PacingController`). Accounting only: the
/// queue is the caller's.
///
/// The caller asks [`Self::poll`] before each packet of its queue, and tells [`Self::handle_sent`] about every packet
/// that leaves. Audio does not wait: it is sent and told. Nor do probes, whose rate is their sense: each burst of
/// [`crate::BandwidthEstimator::poll_probe`] is sent and told. Both make what waits wait longer.
///
/// ```
/// # use std::time::Duration;
/// # use bwe::{Pace, Pacer, PacerSettings, QueueState};
/// # use model::{Bitrate, DataSize};
/// # let start = sim::start();
/// let mut pacer = Pacer::new(start, Bitrate::from_kbps(1000), PacerSettings::default());
/// let queue = QueueState::default();
/// let mut sent = 0;
/// while pacer.poll(start, queue) == Pace::Now {
///     pacer.handle_sent(start, DataSize::from_bytes(1250));
///     sent += 1;
/// }
/// // 40 ms at 2.5 Mbit/s, and the packet that crosses them.
/// assert_eq!(sent, 11);
/// assert_eq!(pacer.poll(start, queue), Pace::At(start + Duration::from_millis(4)));
/// ```
#[derive(Clone, Debug)]
pub struct Pacer {
    settings: PacerSettings,
    /// Bits a second by the estimate.
    pace: f64,
    /// Bits that are not paid off yet at `updated`.
    debt: f64,
    updated: Instant,
}

impl Pacer {
    /// A pacer that nothing went through yet.
    #[must_use]
    pub fn new(now: Instant, estimate: Bitrate, settings: PacerSettings) -> Self {
        let mut pacer = Self { settings, pace: 1.0, debt: 0.0, updated: now };
        pacer.set_estimate(now, estimate);
        pacer
    }

    /// Takes another estimate.
    pub fn set_estimate(&mut self, now: Instant, estimate: Bitrate) {
        self.pay_off(now, self.pace);
        self.pace = (estimate.bps() as f64 * PACE_OF_ESTIMATE).max(1.0);
    }

    /// Bytes that may leave at once now, with an empty queue.
    pub fn room(&mut self, now: Instant) -> DataSize {
        self.pay_off(now, self.pace);
        let bits = self.pace * self.settings.burst.as_secs_f64() - self.debt;
        // A cast of floating point saturates.
        DataSize::from_bytes((bits / 8.0) as u64)
    }

    /// Whether the next packet of the queue may leave now, or when. `queue` is told without it.
    pub fn poll(&mut self, now: Instant, queue: QueueState) -> Pace {
        let pace = self.pace_for(queue);
        self.pay_off(now, pace);
        let wait = self.debt / pace - self.settings.burst.as_secs_f64();
        // Less than a microsecond is now: no timer is that fine.
        if wait < 1e-6 {
            return Pace::Now;
        }
        Pace::At(now + Duration::try_from_secs_f64(wait).unwrap_or(MAX_DEBT))
    }

    /// A packet leaves now, paced or not.
    pub fn handle_sent(&mut self, now: Instant, size: DataSize) {
        self.pay_off(now, self.pace);
        let most = self.pace * MAX_DEBT.as_secs_f64();
        self.debt = (self.debt + size.bytes() as f64 * 8.0).min(most);
    }

    /// The pace, or more where the queue would stand too long.
    fn pace_for(&self, queue: QueueState) -> f64 {
        let left = self.settings.queue_time_limit.saturating_sub(queue.average_wait).max(Duration::from_millis(1));
        self.pace.max(queue.size.bytes() as f64 * 8.0 / left.as_secs_f64())
    }

    fn pay_off(&mut self, now: Instant, pace: f64) {
        let elapsed = now.saturating_duration_since(self.updated);
        self.updated = self.updated.max(now);
        self.debt = (self.debt - pace * elapsed.as_secs_f64()).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: DataSize = DataSize::from_bytes(1250);
    const EMPTY: QueueState = QueueState { size: DataSize::ZERO, average_wait: Duration::ZERO };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn pacer(start: Instant, burst_ms: u64) -> Pacer {
        let settings = PacerSettings { burst: ms(burst_ms), ..PacerSettings::default() };
        Pacer::new(start, Bitrate::from_kbps(1000), settings)
    }

    /// Sends as fast as the pacer lets, for a second. Answers the bytes, and the longest wait.
    fn run(pacer: &mut Pacer, start: Instant, queue: QueueState) -> (u64, Duration) {
        let (mut now, mut bytes, mut longest) = (start, 0, Duration::ZERO);
        while now < start + ms(1000) {
            match pacer.poll(now, queue) {
                Pace::Now => {
                    pacer.handle_sent(now, PACKET);
                    bytes += PACKET.bytes();
                }
                Pace::At(then) => {
                    assert!(then > now);
                    longest = longest.max(then - now);
                    now = then;
                }
            }
        }
        (bytes, longest)
    }

    #[test]
    fn packets_leave_at_two_and_a_half_times_the_estimate() {
        let start = sim::start();
        let (bytes, longest) = run(&mut pacer(start, 0), start, EMPTY);
        assert!(bytes.abs_diff(312_500) <= 2 * PACKET.bytes(), "{bytes}");
        // 10 kbit at 2.5 Mbit/s.
        assert!(longest.abs_diff(ms(4)) < Duration::from_micros(2), "{longest:?}");
        let mut pacer = pacer(start, 0);
        pacer.set_estimate(start, Bitrate::from_kbps(500));
        let (bytes, _) = run(&mut pacer, start, EMPTY);
        assert!(bytes.abs_diff(156_250) <= 2 * PACKET.bytes(), "{bytes}");
    }

    #[test]
    fn there_is_room_for_a_burst_and_for_what_was_paid_off() {
        let start = sim::start();
        let mut pacer = pacer(start, 40);
        assert_eq!(pacer.room(start), DataSize::from_bytes(12_500));
        pacer.handle_sent(start, DataSize::from_bytes(20_000));
        assert_eq!(pacer.room(start), DataSize::ZERO);
        assert_eq!(pacer.room(start + ms(40)), DataSize::from_bytes(5000));
    }

    #[test]
    fn what_bypasses_the_pacer_holds_up_the_rest_for_half_a_second_at_most() {
        let start = sim::start();
        let mut pacer = pacer(start, 40);
        for _ in 0..10_000 {
            pacer.handle_sent(start, PACKET);
        }
        let Pace::At(then) = pacer.poll(start, EMPTY) else { panic!("no debt") };
        assert!((then - start).abs_diff(ms(460)) < ms(1));
    }

    #[test]
    fn a_queue_that_stands_too_long_raises_the_pace() {
        let start = sim::start();
        // A megabyte in a second, half of which is over.
        let queue = QueueState { size: DataSize::from_bytes(1_000_000), average_wait: ms(1000) };
        let (bytes, _) = run(&mut pacer(start, 0), start, queue);
        assert!(bytes.abs_diff(1_000_000) < 20_000, "{bytes}");
        // And one that waits beyond the limit leaves all but at once.
        let late = QueueState { average_wait: ms(5000), ..queue };
        assert_eq!(pacer(start, 1).poll(start, late), Pace::Now);
    }

    #[test]
    fn time_that_goes_back_changes_nothing() {
        let start = sim::start();
        let mut pacer = pacer(start + ms(10), 0);
        pacer.handle_sent(start + ms(10), PACKET);
        assert!(matches!(pacer.poll(start, EMPTY), Pace::At(_)));
        pacer.handle_sent(start, PACKET);
        assert!(matches!(pacer.poll(start + ms(10), EMPTY), Pace::At(_)));
        assert_eq!(pacer.poll(start + ms(18), EMPTY), Pace::Now);
    }
}
