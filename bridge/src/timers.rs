//! When what has to be looked at: one time for each key.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Times by key, earliest first.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    /// From when on steps are counted: the first time that was set.
    origin: Option<Instant>,
    ordered: BTreeSet<(Instant, K)>,
    by_key: HashMap<K, Instant>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { origin: None, ordered: BTreeSet::new(), by_key: HashMap::new() }
    }
}

impl<K: Copy + Ord + Hash> Timers<K> {
    /// Sets the time of a key, in place of the one that it had.
    pub(crate) fn set(&mut self, key: K, at: Instant) {
        match self.by_key.insert(key, at) {
            Some(old) if old == at => return,
            Some(old) => {
                self.ordered.remove(&(old, key));
            }
            None => {}
        }
        self.ordered.insert((at, key));
    }

    /// Sets a time of `at` or less than `step` later: the same for all whose times lie within one step.
    pub(crate) fn set_with_others(&mut self, key: K, at: Instant, step: Duration) {
        let origin = *self.origin.get_or_insert(at);
        let steps = at.saturating_duration_since(origin).as_nanos().div_ceil(step.as_nanos().max(1));
        let rounded = u32::try_from(steps).ok().and_then(|steps| origin.checked_add(step.checked_mul(steps)?));
        self.set(key, rounded.unwrap_or(at));
    }

    pub(crate) fn remove(&mut self, key: K) {
        if let Some(at) = self.by_key.remove(&key) {
            self.ordered.remove(&(at, key));
        }
    }

    pub(crate) fn contains(&self, key: K) -> bool {
        self.by_key.contains_key(&key)
    }

    /// The earliest time.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.ordered.first().map(|(at, _)| *at)
    }

    /// Takes the earliest key out if its time has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (_, key) = self.ordered.first().copied().filter(|(at, _)| *at <= now)?;
        self.remove(key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn keys_come_due_in_order_and_once() {
        #[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        timers.set('a', at(30));
        timers.set('b', at(20));
        timers.set('a', at(10));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop_due(at(5)), None);
        assert_eq!(timers.pop_due(at(25)), Some('a'));
        assert_eq!(timers.pop_due(at(25)), Some('b'));
        assert_eq!((timers.pop_due(at(99)), timers.contains('a')), (None, false));
    }

    #[test]
    fn keys_of_one_step_come_due_together_and_none_too_soon() {
        #[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        let step = Duration::from_millis(200);
        for (key, ms) in [('a', 1000), ('b', 1001), ('c', 1200), ('d', 1201)] {
            timers.set_with_others(key, at(ms), step);
        }
        let due = |timers: &mut Timers<char>, ms| std::iter::from_fn(|| timers.pop_due(at(ms))).collect::<String>();
        assert_eq!([1000, 1199, 1200, 1399, 1400].map(|ms| due(&mut timers, ms)), ["a", "", "bc", "", "d"]);
    }
}
