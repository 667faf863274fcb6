//! What rooms are told of all visitors together: how many there are, not more often than need be, and which codecs all of
//! them can do with (`jicofo: RateLimitedStat.kt, PreferenceAggregator.kt`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A number that is told at intervals.
#[derive(Debug, Default)]
pub(super) struct RateLimitedCount {
    value: usize,
    told: Option<Told>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    value: usize,
    at: Instant,
}

impl RateLimitedCount {
    pub(super) fn set(&mut self, value: usize, now: Instant, interval: Duration) {
        self.value = value;
        self.tell(now, interval);
    }

    /// Takes over what is to be told, if the time for it came.
    pub(super) fn tell(&mut self, now: Instant, interval: Duration) {
        let is_new = self.told.is_none_or(|told| told.value != self.value);
        if is_new && self.due(interval).is_none_or(|due| due <= now) {
            self.told = Some(Told { value: self.value, at: now });
        }
    }

    /// What rooms are told; nothing before there was a visitor.
    pub(super) fn told(&self) -> Option<usize> {
        self.told.map(|told| told.value)
    }

    /// When [`RateLimitedCount::tell`] has something to do.
    pub(super) fn deadline(&self, interval: Duration) -> Option<Instant> {
        self.told.filter(|told| told.value != self.value).and_then(|_| self.due(interval))
    }

    fn due(&self, interval: Duration) -> Option<Instant> {
        self.told.map(|told| told.at + interval)
    }
}

/// What many agree on: of the codecs that each of them named, in an order of preference, those that all named, the one first
/// whose places in all orders add up to the least (a Borda count).
#[derive(Debug, Default)]
pub(super) struct Preferences {
    count: usize,
    by_codec: BTreeMap<String, Rank>,
    has_changed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rank {
    count: usize,
    places: usize,
}

impl Preferences {
    pub(super) fn add(&mut self, codecs: &[String]) {
        self.count += 1;
        self.has_changed = true;
        for (place, codec) in distinct(codecs) {
            let rank = self.by_codec.entry(codec.to_owned()).or_default();
            rank.count += 1;
            rank.places += place;
        }
    }

    /// Takes away what was added before.
    pub(super) fn remove(&mut self, codecs: &[String]) {
        self.count = self.count.saturating_sub(1);
        for (place, codec) in distinct(codecs) {
            let Some(rank) = self.by_codec.get_mut(codec) else { continue };
            rank.count = rank.count.saturating_sub(1);
            rank.places = rank.places.saturating_sub(place);
            if rank.count == 0 {
                self.by_codec.remove(codec);
            }
        }
    }

    /// What rooms are told: names separated by commas, the best first; nothing before somebody named some.
    pub(super) fn told(&self) -> Option<String> {
        self.has_changed.then(|| self.common().join(","))
    }

    fn common(&self) -> Vec<&str> {
        let mut common: Vec<_> = self.by_codec.iter().filter(|(_, rank)| rank.count == self.count).collect();
        common.sort_by_key(|(_, rank)| rank.places);
        common.into_iter().map(|(codec, _)| codec.as_str()).collect()
    }
}

/// Each codec once, with its place.
fn distinct(codecs: &[String]) -> impl Iterator<Item = (usize, &str)> {
    let mut seen = BTreeSet::new();
    codecs.iter().map(String::as_str).filter(move |codec| seen.insert(*codec)).enumerate()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
    fn a_number_is_told_at_once_and_then_at_intervals() {
        let start = Instant::now();
        let mut count = RateLimitedCount::default();
        assert_eq!((count.told(), count.deadline(INTERVAL)), (None, None));
        count.set(1, start, INTERVAL);
        assert_eq!((count.told(), count.deadline(INTERVAL)), (Some(1), None));
        let later = start + Duration::from_secs(5);
        count.set(2, later, INTERVAL);
        count.set(3, later, INTERVAL);
        assert_eq!((count.told(), count.deadline(INTERVAL)), (Some(1), Some(start + INTERVAL)));
        count.tell(start + INTERVAL, INTERVAL);
        assert_eq!((count.told(), count.deadline(INTERVAL)), (Some(3), None));
        count.set(4, start + 3 * INTERVAL, INTERVAL);
        assert_eq!(count.told(), Some(4), "long enough after the last time");
        count.set(5, start + 3 * INTERVAL, INTERVAL);
        count.set(4, start + 3 * INTERVAL, INTERVAL);
        assert_eq!(count.deadline(INTERVAL), None, "as it was told");
    }

    #[test]
    fn codecs_that_all_know_are_told_in_the_order_that_most_prefer() {
        let list = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let mut preferences = Preferences::default();
        assert_eq!(preferences.told(), None);
        preferences.add(&list("av1 vp9 vp8"));
        assert_eq!(preferences.told().as_deref(), Some("av1,vp9,vp8"));
        preferences.add(&list("vp9 vp9 vp8 av1"));
        assert_eq!(preferences.told().as_deref(), Some("vp9,av1,vp8"), "places 1, 2 and 3");
        preferences.add(&list("vp8 vp9"));
        assert_eq!(preferences.told().as_deref(), Some("vp9,vp8"));
        preferences.remove(&list("vp8 vp9"));
        assert_eq!(preferences.told().as_deref(), Some("vp9,av1,vp8"));
        preferences.remove(&list("av1 vp9 vp8"));
        preferences.remove(&list("vp9 vp9 vp8 av1"));
        assert_eq!(preferences.told().as_deref(), Some(""));
        assert!(preferences.by_codec.is_empty());
        preferences.remove(&list("h264"));
        assert_eq!(preferences.count, 0);
    }
}
