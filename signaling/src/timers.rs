//! Deadlines by key, the next one first.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Instant;

/// At most one deadline a key.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    order: BTreeSet<(Instant, K)>,
    by_key: HashMap<K, Instant>,
}

impl<K: Clone + Ord + Hash> Timers<K> {
    pub(crate) fn new() -> Self {
        Self { order: BTreeSet::new(), by_key: HashMap::new() }
    }

    /// Sets the key's deadline, replacing the one it had.
    pub(crate) fn set(&mut self, key: K, at: Instant) {
        self.clear(&key);
        self.order.insert((at, key.clone()));
        self.by_key.insert(key, at);
    }

    /// Forgets the key's deadline.
    pub(crate) fn clear(&mut self, key: &K) {
        if let Some(at) = self.by_key.remove(key) {
            self.order.remove(&(at, key.clone()));
        }
    }

    /// Whether the key has a deadline.
    pub(crate) fn is_set(&self, key: &K) -> bool {
        self.by_key.contains_key(key)
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out a key whose deadline has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn keys_come_due_in_order_and_once() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut timers = Timers::new();
        timers.set('b', at(2));
        timers.set('a', at(3));
        timers.set('c', at(4));
        timers.set('a', at(1));
        timers.clear(&'c');
        assert_eq!(timers.next(), Some(at(1)));
        assert_eq!(timers.pop_due(start), None);
        assert_eq!((timers.pop_due(at(9)), timers.pop_due(at(9)), timers.pop_due(at(9))), (Some('a'), Some('b'), None));
    }
}
