//! Whose media and connectivity checks stay away, so that others can be told of it (JVB's `EndpointConnectionStatusMonitor`,
//! bridge.md §5).
//!
//! Here: when an endpoint counts as gone, and as back. Not here: what it sends (`endpoint`), when it is removed for good
//! (`videobridge`), the message (`conference`).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use model::EndpointId;

/// An endpoint that nothing ever came of counts as gone this long after it was made.
const FIRST_ACTIVITY_TIMEOUT: Duration = Duration::from_secs(15);
/// One that something came of, when nothing did for this long: consent is refreshed each five seconds or so (RFC 7675 §5.1).
const INACTIVITY_TIMEOUT: Duration = Duration::from_secs(8);
/// Whoever is gone is looked after this often.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// Endpoints that were gone when they were removed, and of which others are told when they come back under their name; more
/// than a conference has. Past it they are forgotten.
const MAX_REMEMBERED: usize = 1000;

/// What is known of an endpoint's activity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Activity {
    pub(crate) created_at: Instant,
    /// When something came from it last.
    pub(crate) last: Option<Instant>,
}

impl Activity {
    /// From when on it counts as gone.
    fn expires_at(self) -> Instant {
        self.last.map_or(self.created_at + FIRST_ACTIVITY_TIMEOUT, |last| last + INACTIVITY_TIMEOUT)
    }
}

/// An endpoint that is gone, or back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) endpoint: EndpointId,
    pub(crate) is_active: bool,
    /// It was connected before.
    pub(crate) was_connected: bool,
}

/// The endpoints of one conference that are gone.
#[derive(Debug, Default)]
pub(crate) struct ConnectivityMonitor {
    inactive: BTreeSet<EndpointId>,
    next_check: Option<Instant>,
}

impl ConnectivityMonitor {
    /// An endpoint is new, or one that was removed.
    pub(crate) fn handle_new_endpoint(&mut self, now: Instant) {
        let due = now + FIRST_ACTIVITY_TIMEOUT;
        let due = if self.inactive.is_empty() { due } else { now + CHECK_INTERVAL };
        self.next_check = Some(self.next_check.map_or(due, |check| check.min(due)));
    }

    /// When [`check`](Self::check) has something to do.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.next_check
    }

    /// Looks at all endpoints that are there; answers those that are gone or back since the last time.
    pub(crate) fn check<'a>(
        &mut self,
        endpoints: impl Iterator<Item = (&'a EndpointId, Activity)>,
        now: Instant,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut next: Option<Instant> = None;
        for (id, activity) in endpoints {
            let expires_at = activity.expires_at();
            let (is_active, was_active) = (now <= expires_at, !self.inactive.contains(id));
            // One that never connected and is made again says nothing yet.
            let is_news = is_active != was_active && (!is_active || activity.last.is_some());
            if is_news {
                let was_connected = activity.last.is_some();
                changes.push(Change { endpoint: id.clone(), is_active, was_connected });
                if is_active {
                    self.inactive.remove(id);
                } else {
                    self.inactive.insert(id.clone());
                }
            }
            let is_watched = !is_active || !was_active;
            let due = if is_watched { now + CHECK_INTERVAL } else { (expires_at + TICK).max(now + CHECK_INTERVAL) };
            next = Some(next.map_or(due, |next| next.min(due)));
        }
        self.next_check = next;
        if self.inactive.len() > MAX_REMEMBERED {
            self.inactive.pop_first();
        }
        changes
    }

    /// Whether an endpoint is gone.
    pub(crate) fn is_inactive(&self, endpoint: &EndpointId) -> bool {
        self.inactive.contains(endpoint)
    }
}

/// Behind the last instant at which an endpoint counts as there.
const TICK: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "the origin of a virtual clock")]
    fn start() -> Instant {
        Instant::now()
    }

    /// Runs checks up to `until`, in seconds, for one endpoint that something came of at `heard`; answers when it was gone or
    /// back, in milliseconds.
    fn changes(heard: &[f64], until: f64) -> Vec<(u128, bool)> {
        let start = start();
        let at = |secs: &f64| start + Duration::from_secs_f64(*secs);
        let mut monitor = ConnectivityMonitor::default();
        monitor.handle_new_endpoint(start);
        let id: EndpointId = "a1b2c3d4".parse().unwrap();
        let mut told = Vec::new();
        while let Some(now) = monitor.poll_timeout().filter(|now| *now <= at(&until)) {
            let last = heard.iter().map(at).filter(|heard| *heard <= now).max();
            let activity = Activity { created_at: start, last };
            for change in monitor.check(std::iter::once((&id, activity)), now) {
                told.push(((now - start).as_millis(), change.is_active));
            }
            assert!(monitor.poll_timeout().is_some_and(|next| next >= now + CHECK_INTERVAL));
        }
        told
    }

    #[test]
    fn one_that_never_connects_is_gone_after_fifteen_seconds() {
        assert_eq!(changes(&[], 60.0), [(15_500, false)]);
    }

    #[test]
    fn one_that_falls_silent_is_gone_after_eight_seconds_and_back_at_once() {
        let told = changes(&[1.0, 5.0, 12.0, 30.0, 33.0], 60.0);
        assert_eq!(told.iter().map(|(_, is_active)| *is_active).collect::<Vec<_>>(), [false, true, false]);
        assert!((20_000..=20_501).contains(&told[0].0), "{told:?}");
        assert!((30_000..=30_500).contains(&told[1].0), "{told:?}");
        assert!((41_000..=41_501).contains(&told[2].0), "{told:?}");
    }

    #[test]
    fn one_that_goes_on_sending_is_no_news() {
        let heard: Vec<f64> = (0..50).map(f64::from).collect();
        assert_eq!(changes(&heard, 50.0), []);
    }

    #[test]
    fn one_that_was_gone_is_news_when_it_comes_back_as_a_new_endpoint() {
        let start = start();
        let mut monitor = ConnectivityMonitor::default();
        let id: EndpointId = "a1b2c3d4".parse().unwrap();
        let after = |secs| start + Duration::from_secs(secs);
        let gone = Activity { created_at: start, last: Some(start) };
        assert_eq!(monitor.check([(&id, gone)].into_iter(), after(9)).len(), 1);
        assert!(monitor.check([].into_iter(), after(10)).is_empty());
        assert_eq!(monitor.poll_timeout(), None);
        monitor.handle_new_endpoint(after(20));
        let new = Activity { created_at: after(20), last: None };
        assert!(monitor.check([(&id, new)].into_iter(), after(21)).is_empty());
        let back = Activity { last: Some(after(22)), ..new };
        let changes = monitor.check([(&id, back)].into_iter(), after(22));
        assert_eq!(changes, [Change { endpoint: id.clone(), is_active: true, was_connected: true }]);
        assert!(!monitor.is_inactive(&id));
    }
}
