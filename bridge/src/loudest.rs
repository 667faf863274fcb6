//! Who is loudest, where only those are forwarded (`route-loudest-only` of Jitsi's bridge).
//!
//! Here: the ranking. Not here: levels above the noise of a microphone (`speaker`), what is done with the packets of others
//! (`shard::audio`).

use std::collections::BTreeMap;
use std::time::Instant;

use crate::audio::LoudestSettings;
use crate::relay::Owner;

/// The ranking of the endpoints of one conference, those behind relays too.
#[derive(Debug)]
pub(crate) struct Loudest {
    settings: LoudestSettings,
    /// How loud each was, smoothed, and when it was last heard.
    energy: BTreeMap<Owner, (u8, Instant)>,
    /// The loudest first; as many as are forwarded at most.
    ranked: Vec<Owner>,
}

impl Loudest {
    pub(crate) const fn new(settings: LoudestSettings) -> Self {
        Self { settings, energy: BTreeMap::new(), ranked: Vec::new() }
    }

    /// Takes how loud a packet was, above the noise. Answers whether its endpoint is among the loudest with it.
    pub(crate) fn handle_level(&mut self, of: Owner, loudness: u8, now: Instant) -> bool {
        let Self { settings, energy, ranked } = self;
        let before = energy.get(&of).map_or(0, |(score, _)| u32::from(*score));
        let percent = u32::from(settings.newest_percent.min(100));
        // To the nearest; a mean of bytes is one.
        let score = ((percent * u32::from(loudness) + (100 - percent) * before + 50) / 100) as u8;
        energy.insert(of, (score, now));
        ranked.retain(|other| {
            let heard_at = energy.get(other).map(|(_, at)| *at);
            *other != of && heard_at.is_some_and(|at| now.saturating_duration_since(at) <= settings.expire_after)
        });
        // Who is as loud was there first.
        let is_louder = |other: &Owner| energy.get(other).is_some_and(|(theirs, _)| *theirs >= score);
        let rank = ranked.iter().take_while(|other| is_louder(other)).count();
        if rank >= settings.count {
            return false;
        }
        ranked.insert(rank, of);
        ranked.truncate(settings.count);
        true
    }

    /// Forgets an endpoint that left.
    pub(crate) fn remove(&mut self, of: Owner) {
        self.energy.remove(&of);
        self.ranked.retain(|other| *other != of);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn only_so_many_are_loudest_and_a_louder_one_takes_a_place() {
        let (mut loudest, now) = (Loudest::new(LoudestSettings::of(2)), start());
        assert!(loudest.handle_level(Owner::Local(1), 60, now));
        assert!(loudest.handle_level(Owner::Local(2), 50, now));
        assert!(!loudest.handle_level(Owner::Local(3), 40, now), "20, smoothed, against 25 and 30");
        assert!(loudest.handle_level(Owner::Local(3), 80, now), "50");
        assert!(!loudest.handle_level(Owner::Local(2), 20, now));
    }

    #[test]
    fn who_falls_silent_makes_room() {
        let (mut loudest, now) = (Loudest::new(LoudestSettings::of(1)), start());
        assert!(loudest.handle_level(Owner::Local(1), 90, now));
        let later = now + Duration::from_millis(150);
        assert!(!loudest.handle_level(Owner::Local(2), 10, later));
        assert!(loudest.handle_level(Owner::Local(2), 10, later + Duration::from_millis(1)));
        loudest.remove(Owner::Local(2));
        assert!(loudest.handle_level(Owner::Local(3), 1, later + Duration::from_millis(1)));
    }

    #[test]
    fn of_equals_the_first_stays() {
        let (mut loudest, now) = (Loudest::new(LoudestSettings::of(1)), start());
        for _ in 0..10 {
            assert!(loudest.handle_level(Owner::Local(1), 50, now));
            assert!(!loudest.handle_level(Owner::Local(2), 50, now));
        }
    }
}
