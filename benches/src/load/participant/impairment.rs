//! A line that loses, delays and reorders, between a participant and its socket.

use std::collections::BTreeMap;
use std::time::Instant;

use rand::Rng;
use rand::rngs::SmallRng;

use crate::load::scenario::Impairment;

/// Datagrams on a line; what does not fit is lost, as on a real one.
const MAX_QUEUED: usize = 20_000;

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on at once.
    Now,
    /// It goes on later.
    At(Instant),
    /// It is lost.
    Lost,
}

/// One direction of a participant's line.
#[derive(Debug)]
pub struct DelayLine<T> {
    impairment: Impairment,
    random: SmallRng,
    /// By due time and order.
    queue: BTreeMap<(Instant, u64), T>,
    next: u64,
    /// When the last one that keeps its place is due: jitter does not reorder.
    last_due: Option<Instant>,
}

impl<T> DelayLine<T> {
    /// A line.
    #[must_use]
    pub const fn new(impairment: Impairment, random: SmallRng) -> Self {
        Self { impairment, random, queue: BTreeMap::new(), next: 0, last_due: None }
    }

    /// Whether nothing happens on it.
    #[must_use]
    pub fn is_transparent(&self) -> bool {
        self.impairment.is_none()
    }

    /// Decides on a datagram that enters at `now`.
    pub fn decide(&mut self, now: Instant) -> Fate {
        let Impairment { loss, delay, jitter, reorder } = self.impairment;
        if self.impairment.is_none() {
            return Fate::Now;
        }
        if self.random.random_bool(loss.get()) {
            return Fate::Lost;
        }
        let due = now + delay + jitter.mul_f64(self.random.random());
        if self.random.random_bool(reorder.get()) {
            return Fate::At(due + Impairment::OVERTAKEN_BY);
        }
        let due = self.last_due.map_or(due, |last| last.max(due));
        self.last_due = Some(due);
        if due <= now { Fate::Now } else { Fate::At(due) }
    }

    /// Keeps a datagram until it is due.
    pub fn push(&mut self, due: Instant, datagram: T) {
        if self.queue.len() < MAX_QUEUED {
            self.queue.insert((due, self.next), datagram);
            self.next += 1;
        }
    }

    /// The next datagram that is due, and since when.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, T)> {
        let first = self.queue.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((due, _), datagram) = first.remove_entry();
        Some((due, datagram))
    }

    /// When the next one is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((due, _), _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use rand::SeedableRng;

    #[expect(clippy::disallowed_methods, reason = "virtual time has to begin somewhere")]
    fn fates(impairment: Impairment) -> (Instant, Vec<(Instant, Fate)>) {
        let start = Instant::now();
        let mut line = DelayLine::<()>::new(impairment, SmallRng::seed_from_u64(7));
        let fates = (0..10_000).map(|at| {
            let now = start + Duration::from_millis(at);
            (now, line.decide(now))
        });
        (start, fates.collect())
    }

    #[test]
    fn a_line_without_faults_keeps_nothing() {
        assert!(fates(Impairment::default()).1.iter().all(|(_, fate)| *fate == Fate::Now));
    }

    #[test]
    fn loss_and_reordering_are_as_often_as_asked() {
        let impairment =
            Impairment { loss: "10%".parse().unwrap(), reorder: "5%".parse().unwrap(), ..Impairment::default() };
        let fates = fates(impairment).1;
        let lost = fates.iter().filter(|(_, fate)| *fate == Fate::Lost).count();
        let overtaken = fates.iter().filter(|(now, fate)| *fate == Fate::At(*now + Impairment::OVERTAKEN_BY)).count();
        assert!((900..1100).contains(&lost), "{lost}");
        assert!((380..520).contains(&overtaken), "{overtaken}");
    }

    #[test]
    fn delay_and_jitter_keep_the_order() {
        let (delay, jitter) = (Duration::from_millis(50), Duration::from_millis(20));
        let (_, fates) = fates(Impairment { delay, jitter, ..Impairment::default() });
        let due: Vec<_> = fates
            .iter()
            .map(|(now, fate)| {
                let Fate::At(due) = fate else { panic!("{fate:?}") };
                assert!((delay..=delay + jitter).contains(&(*due - *now)));
                *due
            })
            .collect();
        assert!(due.is_sorted());
    }

    #[test]
    fn what_is_kept_comes_out_when_it_is_due() {
        let (start, _) = fates(Impairment::default());
        let mut line = DelayLine::new(Impairment::default(), SmallRng::seed_from_u64(7));
        let ms = Duration::from_millis;
        line.push(start + ms(20), "second");
        line.push(start + ms(10), "first");
        assert_eq!(line.poll_timeout(), Some(start + ms(10)));
        assert_eq!(line.pop_due(start + ms(9)), None);
        assert_eq!(line.pop_due(start + ms(30)), Some((start + ms(10), "first")));
        assert_eq!(line.pop_due(start + ms(30)), Some((start + ms(20), "second")));
        assert_eq!(line.poll_timeout(), None);
    }
}
