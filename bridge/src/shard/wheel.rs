//! Timers of a shard: setting one costs a push, whatever their number.
//!
//! A wheel of one-millisecond ticks. A timer cannot be taken back: its owner notes what it waits for, and lets a wake-up
//! that it waits for no longer pass.

use std::time::{Duration, Instant};

/// Ticks ahead; a later time is met by a tick on the way, from which the wheel goes on to it.
const TICKS: usize = 2048;
const WORDS: usize = TICKS / 64;
const TICK: Duration = Duration::from_millis(1);

/// When something has to be done: not sooner, and not later. What may wait a little is done when something else is, so that
/// a shard with a thousand endpoints wakes up for many of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

impl Due {
    /// At that time.
    pub(crate) const fn at(at: Instant) -> Self {
        Self { from: at, until: at }
    }

    /// Within `slack` from `from` on.
    pub(crate) fn within(from: Instant, slack: Duration) -> Self {
        Self { from, until: from + slack }
    }

    /// When the first of both is to be done; a time at which the other may be done as well is better.
    pub(crate) fn sooner(self, other: Self) -> Self {
        let until = self.until.min(other.until);
        let (first, second) = if self.from <= other.from { (self, other) } else { (other, self) };
        Self { from: if second.from <= until { second.from } else { first.from }, until }
    }
}

/// Keys by the tick at which they are due.
#[derive(Debug)]
pub(crate) struct TimerWheel<K> {
    start: Instant,
    /// Ticks that are done.
    done: u64,
    slots: Vec<Vec<(K, Instant)>>,
    /// Which slots have keys.
    occupied: [u64; WORDS],
}

impl<K: Copy> TimerWheel<K> {
    pub(crate) fn new(now: Instant) -> Self {
        let slots = std::iter::repeat_with(Vec::new).take(TICKS).collect();
        Self { start: now, done: 0, slots, occupied: [0; WORDS] }
    }

    /// Wakes `key` at the first tick that is not before `at`. Never sooner: that would mean nothing to its owner, who waits for no
    /// other one.
    pub(crate) fn set(&mut self, key: K, at: Instant) {
        self.set_at(self.tick_at(at), key, at);
    }

    /// Wakes `key` when it is due: with others if any are woken then, else as late as may be. Answers when.
    pub(crate) fn set_within(&mut self, key: K, due: Due) -> Instant {
        let last = self.tick_at(due.until);
        let with_others = self.first_occupied(self.tick_at(due.from)).filter(|tick| *tick < last);
        // What is far away is met on the way there.
        let at = with_others.map_or(due.until, |tick| self.time_of(tick));
        self.set_at(with_others.unwrap_or(last), key, at);
        at
    }

    fn set_at(&mut self, tick: u64, key: K, at: Instant) {
        let slot = slot_of(tick);
        if let (Some(keys), Some(word)) = (self.slots.get_mut(slot), self.occupied.get_mut(slot / 64)) {
            keys.push((key, at));
            *word |= 1 << (slot % 64);
        }
    }

    /// The first tick that is not before `at`, or the last one that there is a slot for.
    fn tick_at(&self, at: Instant) -> u64 {
        let passed = at.saturating_duration_since(self.start);
        let ticks = whole_ticks(passed) + u64::from(!passed.subsec_nanos().is_multiple_of(TICK.subsec_nanos()));
        ticks.clamp(self.done + 1, self.done + TICKS as u64 - 1)
    }

    fn time_of(&self, tick: u64) -> Instant {
        self.start + Duration::from_millis(tick)
    }

    /// Moves what is due at `now` to `due`.
    pub(crate) fn take_due(&mut self, now: Instant, due: &mut Vec<K>) {
        // Those who are on the way: set for long, or behind a wheel that stood while there was nothing to do.
        let mut later = Vec::new();
        let now_tick = whole_ticks(now.saturating_duration_since(self.start));
        while let Some(tick) = self.next_tick().filter(|tick| *tick <= now_tick) {
            let slot = slot_of(tick);
            if let (Some(keys), Some(word)) = (self.slots.get_mut(slot), self.occupied.get_mut(slot / 64)) {
                for (key, at) in keys.drain(..) {
                    if at <= now { due.push(key) } else { later.push((key, at)) }
                }
                *word &= !(1 << (slot % 64));
            }
            self.done = tick;
        }
        self.done = self.done.max(now_tick);
        for (key, at) in later {
            self.set(key, at);
        }
    }

    /// When something is due next.
    pub(crate) fn next(&self) -> Option<Instant> {
        let tick = self.next_tick()?;
        Some(self.time_of(tick))
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.slots.iter_mut().for_each(Vec::clear);
        self.occupied = [0; WORDS];
    }

    fn next_tick(&self) -> Option<u64> {
        self.first_occupied(self.done + 1)
    }

    /// The first tick from `first` on, which the wheel is not past, that somebody is woken at.
    fn first_occupied(&self, first: u64) -> Option<u64> {
        let first_slot = slot_of(first);
        // The word that the search begins in is looked at twice: from its bit on, and up to it.
        (0..=WORDS).find_map(|step| {
            let at = (first_slot / 64 + step) % WORDS;
            let mut word = *self.occupied.get(at)?;
            let before = (1_u64 << (first_slot % 64)) - 1;
            if step == 0 {
                word &= !before;
            } else if step == WORDS {
                word &= before;
            }
            let slot = at * 64 + word.trailing_zeros() as usize;
            (word != 0).then(|| first + ((slot + TICKS - first_slot) % TICKS) as u64)
        })
    }
}

/// Ticks that have passed; a tick is a millisecond.
const fn whole_ticks(passed: Duration) -> u64 {
    passed.as_secs() * 1000 + passed.subsec_millis() as u64
}

const fn slot_of(tick: u64) -> usize {
    (tick % TICKS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
    fn start() -> Instant {
        Instant::now()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn no_key_comes_due_a_nanosecond_too_early() {
        let start = start();
        let mut wheel = TimerWheel::new(start);
        wheel.set('a', start + ms(20) + Duration::from_nanos(1));
        let mut due = Vec::new();
        wheel.take_due(start + ms(20), &mut due);
        assert_eq!((due.as_slice(), wheel.next()), (&[][..], Some(start + ms(21))));
    }

    #[test]
    fn a_key_that_is_set_behind_a_wheel_that_stood_comes_due_at_its_time() {
        let start = start();
        let mut wheel = TimerWheel::new(start);
        let mut due = Vec::new();
        // Nobody asked what is due for a minute.
        wheel.set('a', start + ms(61_000));
        wheel.take_due(start + ms(60_000), &mut due);
        assert_eq!(due, []);
        wheel.take_due(start + ms(60_999), &mut due);
        assert_eq!((due.as_slice(), wheel.next()), (&[][..], Some(start + ms(61_000))));
        wheel.take_due(start + ms(61_000), &mut due);
        assert_eq!(due, ['a']);
    }

    #[test]
    fn keys_come_due_at_their_tick_and_once() {
        let start = start();
        let mut wheel = TimerWheel::new(start);
        for (key, at) in [('a', 30), ('b', 20), ('c', 20), ('d', 700)] {
            wheel.set(key, start + ms(at));
        }
        let mut due = Vec::new();
        wheel.take_due(start + ms(19), &mut due);
        assert_eq!((due.as_slice(), wheel.next()), (&[][..], Some(start + ms(20))));
        wheel.take_due(start + ms(30), &mut due);
        assert_eq!((due.as_slice(), wheel.next()), (&['b', 'c', 'a'][..], Some(start + ms(700))));
        wheel.take_due(start + ms(5000), &mut due);
        assert_eq!((due.len(), wheel.next()), (4, None));
    }

    #[test]
    fn never_early_and_within_a_tick_wherever_the_wheel_stands() {
        let start = start();
        let mut wheel = TimerWheel::new(start);
        let mut now = start;
        for step in 1..5000_u64 {
            let at = now + Duration::from_micros(step * 7919 % 1_900_000);
            wheel.set((), at);
            let next = wheel.next().unwrap();
            assert!(next >= at && next < at + ms(2), "{step}");
            let mut due = Vec::new();
            wheel.take_due(next, &mut due);
            assert_eq!((due.len(), wheel.next()), (1, None));
            now = next;
        }
    }

    #[test]
    fn what_may_wait_is_done_with_what_may_not() {
        let start = start();
        let mut wheel = TimerWheel::new(start);
        assert_eq!(
            wheel.set_within('a', Due::within(start + ms(100), ms(50))),
            start + ms(150),
            "alone: as late as may be"
        );
        wheel.set('b', start + ms(120));
        assert_eq!(wheel.set_within('c', Due::within(start + ms(101), ms(50))), start + ms(120));
        assert_eq!(wheel.set_within('d', Due::within(start + ms(130), ms(15))), start + ms(145), "none is due then");
        assert_eq!(wheel.set_within('e', Due::at(start + ms(130))), start + ms(130));
        let mut due = Vec::new();
        wheel.take_due(start + ms(120), &mut due);
        assert_eq!((due.as_slice(), wheel.next()), (&['b', 'c'][..], Some(start + ms(130))));
    }

    #[test]
    fn of_two_the_sooner_end_counts_and_the_later_start_where_it_can() {
        let start = start();
        let due = |from, until| Due { from: start + ms(from), until: start + ms(until) };
        assert_eq!(due(10, 60).sooner(due(30, 40)), due(30, 40));
        assert_eq!(due(10, 20).sooner(due(30, 40)), due(10, 20));
        assert_eq!(due(30, 30).sooner(due(10, 60)), due(30, 30));
    }

    #[test]
    fn what_is_far_away_wakes_on_the_way_and_what_is_past_at_once() {
        let start = start();
        let mut wheel = TimerWheel::new(start);
        wheel.set('f', start + ms(100_000));
        assert!(wheel.next().unwrap() <= start + ms(2048));
        wheel.clear();
        assert_eq!(wheel.next(), None);
        wheel.take_due(start + ms(10), &mut Vec::new());
        wheel.set('p', start);
        assert_eq!(wheel.next(), Some(start + ms(11)));
    }
}
