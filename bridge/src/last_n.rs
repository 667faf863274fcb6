//! How many videos a receiver gets at most, whatever it asks for: what an operator sets, and what a busy bridge does.
//!
//! Here: the limits of the bridge. Not here: what clients ask for (`constraints`), which videos those are (`allocation`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Limits of an operator. The default is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LastNSettings {
    /// For every receiver (`videobridge.cc.jvb-last-n` of Jitsi's bridge).
    pub any: Option<usize>,
    /// For receivers that could get so many videos with their own, or more, up to the next entry
    /// (`conference-last-n-limits`).
    pub by_size: BTreeMap<usize, usize>,
    /// Takes videos away from everybody while the bridge is overloaded (`reducer-enabled`).
    pub by_load: Option<LoadReducerSettings>,
}

/// When videos are taken away, and how fast they come back. The default is that of Jitsi's bridge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadReducerSettings {
    /// From this load on there is too much: part of the time that the busiest media thread is busy.
    pub overloaded: f64,
    /// Below this one there is room again.
    pub recovered: f64,
    /// How many of the videos are left, and how many more come back.
    pub reduce_by: f64,
    /// See `reduce_by`.
    pub recover_by: f64,
    /// What was done shows after this time; before nothing more is done.
    pub impact_time: Duration,
    /// What is left at least.
    pub least: usize,
    /// A limit that high is none.
    pub most: usize,
}

impl Default for LoadReducerSettings {
    fn default() -> Self {
        Self {
            overloaded: 0.9,
            recovered: 0.72,
            reduce_by: 0.75,
            recover_by: 1.25,
            impact_time: Duration::from_secs(60),
            least: 1,
            most: 40,
        }
    }
}

/// The limits that hold in a conference.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastNLimits {
    pub(crate) settings: LastNSettings,
    /// What load allows.
    pub(crate) by_load: Option<usize>,
}

impl LastNLimits {
    /// Videos that a receiver gets at most of `others` that there are.
    pub(crate) fn most(&self, others: usize) -> usize {
        let by_size = self.settings.by_size.range(..=others.saturating_add(1)).next_back().map(|(_, most)| *most);
        [self.settings.any, by_size, self.by_load].into_iter().flatten().min().unwrap_or(usize::MAX)
    }
}

/// Follows the load of the bridge.
#[derive(Debug)]
pub(crate) struct LoadReducer {
    settings: LoadReducerSettings,
    last_n: Option<usize>,
    changed_at: Option<Instant>,
}

impl LoadReducer {
    pub(crate) const fn new(settings: LoadReducerSettings) -> Self {
        Self { settings, last_n: None, changed_at: None }
    }

    /// Takes a measurement of the load; `forwarded` are the videos of the receiver that gets most of them. Answers the limit
    /// where that is another one now.
    pub(crate) fn handle_load(&mut self, load: f64, forwarded: usize, now: Instant) -> Option<Option<usize>> {
        let settings = &self.settings;
        let is_early = self.changed_at.is_some_and(|at| now.saturating_duration_since(at) < settings.impact_time);
        let last_n = if is_early {
            return None;
        } else if load >= settings.overloaded && forwarded > 0 {
            Some(settings.least.max(scaled(forwarded, settings.reduce_by)))
        } else if load < settings.recovered
            && let Some(last_n) = self.last_n
        {
            Some(scaled(last_n, settings.recover_by).max(last_n + 1)).filter(|last_n| *last_n < settings.most)
        } else {
            return None;
        };
        self.changed_at = Some(now);
        if last_n == self.last_n {
            return None;
        }
        self.last_n = last_n;
        Some(last_n)
    }
}

/// Rounded down.
fn scaled(count: usize, by: f64) -> usize {
    (count as f64 * by) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn the_smallest_limit_holds() {
        let by_size = BTreeMap::from([(20, 20), (30, 15), (50, 10), (90, 2)]);
        let mut limits = LastNLimits { settings: LastNSettings { by_size, ..LastNSettings::default() }, by_load: None };
        // The sizes of jitsi-videobridge's `reference.conf`, counted with the receiver's own.
        let most = [1, 18, 19, 28, 29, 48, 49, 88, 89, 500].map(|others| limits.most(others));
        assert_eq!(most, [usize::MAX, usize::MAX, 20, 20, 15, 15, 10, 10, 2, 2]);
        limits.by_load = Some(12);
        assert_eq!((limits.most(30), limits.most(60)), (12, 10));
        limits.settings.any = Some(0);
        assert_eq!(limits.most(1), 0);
    }

    /// The scales of jitsi-videobridge's `LastNReducerTest`.
    fn upstream() -> LoadReducerSettings {
        let (reduce_by, recover_by, impact_time) = (0.5, 2.0, Duration::from_secs(10));
        LoadReducerSettings { reduce_by, recover_by, impact_time, ..LoadReducerSettings::default() }
    }

    /// `LastNReducerTest`.
    #[test]
    fn the_limit_follows_what_is_forwarded() {
        let now = start();
        let mut reducer = LoadReducer::new(upstream());
        assert_eq!(reducer.handle_load(1.0, 0, now), None, "no conferences");
        assert_eq!(reducer.handle_load(0.1, 12, now), None, "no limit to lift");
        assert_eq!(reducer.handle_load(1.0, 12, now), Some(Some(6)));
        let mut reducer = LoadReducer { last_n: Some(4), ..LoadReducer::new(upstream()) };
        assert_eq!(reducer.handle_load(0.1, 4, now), Some(Some(8)));
    }

    /// `JvbLoadManagerTest`: what is done when.
    #[test]
    fn nothing_more_is_done_before_it_can_show() {
        let start = start();
        let at = |secs| start + Duration::from_secs(secs);
        let mut reducer = LoadReducer::new(upstream());
        assert_eq!(reducer.handle_load(0.89, 12, at(0)), None);
        assert_eq!(reducer.handle_load(0.9, 12, at(1)), Some(Some(6)));
        assert_eq!(reducer.handle_load(0.9, 12, at(2)), None, "too early");
        assert_eq!(reducer.handle_load(0.9, 6, at(61)), Some(Some(3)));
        assert_eq!(reducer.handle_load(0.8, 3, at(200)), None, "neither overloaded nor recovered");
        assert_eq!(reducer.handle_load(0.7, 3, at(205)), Some(Some(6)));
        assert_eq!(reducer.handle_load(0.7, 6, at(206)), None, "too early");
        assert_eq!(reducer.handle_load(0.7, 6, at(300)), Some(Some(12)));
        assert_eq!(reducer.handle_load(0.7, 12, at(400)), Some(Some(24)));
        assert_eq!(reducer.handle_load(0.7, 24, at(500)), Some(None), "as good as none");
        assert_eq!(reducer.handle_load(0.7, 50, at(600)), None);
    }

    #[test]
    fn one_video_is_left_and_one_comes_back_at_least() {
        let now = start();
        let mut reducer = LoadReducer { last_n: Some(1), ..LoadReducer::new(LoadReducerSettings::default()) };
        assert_eq!(reducer.handle_load(0.0, 1, now), Some(Some(2)));
        let mut reducer = LoadReducer::new(LoadReducerSettings::default());
        assert_eq!(reducer.handle_load(1.0, 1, now), Some(Some(1)));
    }
}
