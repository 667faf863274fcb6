//! Joins and departures of one room at a steady pace (`mod_muc_rate_limit`): everybody is told of each, so many at once
//! are many stanzas.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::join::HeldJoin;
use super::occupant::Occupant;
use super::presence::Cause;
use crate::window::Window;

/// Joins or departures of one room that wait, as in stock.
pub(super) const MAX_WAITING: usize = 1000;

const SECOND: Duration = Duration::from_secs(1);

/// What waits for its turn.
#[derive(Debug, Default)]
pub(super) struct Pace {
    pub(super) joins: Paced<HeldJoin>,
    pub(super) departures: Paced<(Occupant, Cause)>,
}

/// Things of which only so many are done in a second; the rest waits, in order.
#[derive(Debug)]
pub(super) struct Paced<T> {
    /// Those that were wanted within a second.
    wanted: Window,
    pub(super) waiting: VecDeque<T>,
}

impl<T> Default for Paced<T> {
    fn default() -> Self {
        Self { wanted: Window::default(), waiting: VecDeque::new() }
    }
}

impl<T> Paced<T> {
    /// Whether one more may be done at once; counts it if so.
    pub(super) fn is_due(&mut self, limit: Option<NonZeroU32>, now: Instant) -> bool {
        let Some(limit) = limit else { return true };
        self.waiting.is_empty() && self.count(limit, now)
    }

    /// The next of those that wait whose turn has come.
    pub(super) fn pop_due(&mut self, limit: Option<NonZeroU32>, now: Instant) -> Option<T> {
        let is_due = !self.waiting.is_empty() && limit.is_none_or(|limit| self.count(limit, now));
        if is_due { self.waiting.pop_front() } else { None }
    }

    fn count(&mut self, limit: NonZeroU32, now: Instant) -> bool {
        self.wanted.count(SECOND, now) <= limit.get()
    }
}

impl Pace {
    /// When the next turn comes, if anything waits.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        let joins = self.joins.wanted.end(SECOND).filter(|_| !self.joins.waiting.is_empty());
        let departures = self.departures.wanted.end(SECOND).filter(|_| !self.departures.waiting.is_empty());
        joins.into_iter().chain(departures).min()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_second_and_the_rest_in_order() {
        let (limit, start) = (NonZeroU32::new(2), Instant::now());
        let later = |ms| start + Duration::from_millis(ms);
        let mut paced = Paced::default();
        assert!(paced.is_due(limit, start) && paced.is_due(limit, later(10)));
        for n in 0..3 {
            assert!(!paced.is_due(limit, later(20)));
            paced.waiting.push_back(n);
        }
        assert_eq!(paced.pop_due(limit, later(999)), None);
        assert_eq!((paced.pop_due(limit, later(1000)), paced.pop_due(limit, later(1001))), (Some(0), Some(1)));
        assert_eq!(paced.pop_due(limit, later(1002)), None);
        assert!(!paced.is_due(limit, later(2000)), "nobody passes who waits");
        assert_eq!(paced.pop_due(limit, later(2000)), Some(2));
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let mut paced = Paced::<()>::default();
        assert!((0..100).all(|_| paced.is_due(None, Instant::now())));
    }
}
