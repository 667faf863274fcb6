//! Recorders by what they say in their brewery, and which one a session gets (`jicofo: JibriDetector.kt`).

use std::time::{Duration, Instant};

use indexmap::IndexMap;
use xmpp::Jid;

/// Recorders of one brewery: far more than meetings that are recorded at a time.
const MAX_INSTANCES: usize = 4096;
/// How long a recorder is left alone that was just chosen, until its presence says that it is busy.
const SELECT_TIMEOUT: Duration = Duration::from_millis(200);
/// How long a recorder is left alone that failed.
const FAILURE_TIMEOUT: Duration = Duration::from_secs(60);

/// Why no recorder can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoJibri {
    /// There are some.
    AllBusy,
    /// There is none.
    NotAvailable,
}

/// The recorders of a brewery.
#[derive(Debug, Default)]
pub(crate) struct JibriDetector {
    instances: IndexMap<Jid, Instance>,
}

#[derive(Debug)]
struct Instance {
    is_available: bool,
    last_failed: Option<Instant>,
    last_selected: Option<Instant>,
}

impl JibriDetector {
    /// A recorder said whether it is well and idle. Recorders speak only when that changes, so news outweighs a failure.
    pub(crate) fn update(&mut self, jibri: &Jid, is_available: bool) {
        if let Some(known) = self.instances.get_mut(jibri) {
            known.is_available = is_available;
            if is_available {
                known.last_failed = None;
            }
        } else if self.instances.len() < MAX_INSTANCES {
            tracing::info!(%jibri, is_available, "recorder added");
            let instance = Instance { is_available, last_failed: None, last_selected: None };
            self.instances.insert(jibri.clone(), instance);
        } else {
            tracing::warn!(%jibri, "recorder ignored, there are {MAX_INSTANCES} already");
        }
    }

    /// A recorder left. Answers whether it was known.
    pub(crate) fn remove(&mut self, jibri: &Jid) -> bool {
        let was_known = self.instances.shift_remove(jibri).is_some();
        if was_known {
            tracing::info!(%jibri, "recorder removed");
        }
        was_known
    }

    /// All recorders left. Answers which there were.
    pub(crate) fn clear(&mut self) -> Vec<Jid> {
        std::mem::take(&mut self.instances).into_keys().collect()
    }

    pub(crate) fn failed(&mut self, jibri: &Jid, now: Instant) {
        if let Some(known) = self.instances.get_mut(jibri) {
            known.last_failed = Some(now);
        }
    }

    /// A recorder for a session: of those that are available the one whose failure, if any, is oldest.
    pub(crate) fn select(&mut self, now: Instant) -> Result<Jid, NoJibri> {
        if self.instances.is_empty() {
            return Err(NoJibri::NotAvailable);
        }
        let is_past = |at: Option<Instant>, pause| at.is_none_or(|at| now.saturating_duration_since(at) >= pause);
        let available = self.instances.iter_mut().filter(|(_, instance)| {
            instance.is_available
                && is_past(instance.last_selected, SELECT_TIMEOUT)
                && is_past(instance.last_failed, FAILURE_TIMEOUT)
        });
        let (jibri, instance) = available.min_by_key(|(_, instance)| instance.last_failed).ok_or(NoJibri::AllBusy)?;
        instance.last_selected = Some(now);
        Ok(jibri.clone())
    }

    pub(crate) fn len(&self) -> usize {
        self.instances.len()
    }

    pub(crate) fn available(&self) -> usize {
        self.instances.values().filter(|instance| instance.is_available).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(nick: &str) -> Jid {
        format!("jibribrewery@internal-muc.meet.jitsi/{nick}").parse().unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn takes_an_idle_one_and_leaves_it_alone_for_a_moment() {
        let mut detector = JibriDetector::default();
        assert_eq!(detector.select(start()), Err(NoJibri::NotAvailable));
        detector.update(&jid("busy"), false);
        assert_eq!(detector.select(start()), Err(NoJibri::AllBusy));
        detector.update(&jid("idle"), true);
        let now = start();
        assert_eq!(detector.select(now), Ok(jid("idle")));
        assert_eq!(detector.select(now), Err(NoJibri::AllBusy));
        assert_eq!(detector.select(now + SELECT_TIMEOUT), Ok(jid("idle")));
        assert_eq!((detector.len(), detector.available()), (2, 1));
    }

    #[test]
    fn one_that_failed_has_to_wait_and_comes_last() {
        let mut detector = JibriDetector::default();
        detector.update(&jid("a"), true);
        detector.update(&jid("b"), true);
        let now = start();
        detector.failed(&jid("a"), now);
        assert_eq!(detector.select(now), Ok(jid("b")));
        detector.update(&jid("b"), false);
        assert_eq!(detector.select(now + Duration::from_secs(59)), Err(NoJibri::AllBusy));
        assert_eq!(detector.select(now + FAILURE_TIMEOUT), Ok(jid("a")));
        detector.failed(&jid("a"), now + FAILURE_TIMEOUT);
        detector.update(&jid("a"), true);
        assert_eq!(
            detector.select(now + FAILURE_TIMEOUT + SELECT_TIMEOUT),
            Ok(jid("a")),
            "it says that it is well again"
        );
    }

    #[test]
    fn is_forgotten_when_it_leaves() {
        let mut detector = JibriDetector::default();
        detector.update(&jid("a"), true);
        assert!(detector.remove(&jid("a")) && !detector.remove(&jid("a")));
        detector.update(&jid("b"), true);
        assert_eq!(detector.clear(), [jid("b")]);
        assert_eq!(detector.select(start()), Err(NoJibri::NotAvailable));
    }
}
