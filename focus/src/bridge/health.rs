//! Health checks of bridges by IQ (focus.md §8.6).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use xmpp::{Condition, Jid, StanzaError};

use crate::iq::IqOutcome;

/// What a check says of a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BridgeHealth {
    /// Nothing bad.
    Well,
    /// It did not answer twice in a row: nobody is moved, but nobody is added either.
    Silent,
    /// It says itself that it is not well: everybody is moved.
    Failed,
}

/// When which bridge is checked.
#[derive(Debug)]
pub(crate) struct HealthChecks {
    /// `None` where bridges are not asked.
    interval: Option<Duration>,
    /// Set, bridges are not asked: how long one may be silent.
    presence_timeout: Option<Duration>,
    bridges: BTreeMap<Jid, Check>,
}

#[derive(Debug)]
enum Check {
    /// The next check is at this time; `is_retry` when the last one was not answered.
    Due { at: Instant, is_retry: bool },
    /// A check is under way.
    Pending { is_retry: bool },
}

impl HealthChecks {
    pub(crate) fn new(interval: Option<Duration>, presence_timeout: Option<Duration>) -> Self {
        Self { interval, presence_timeout, bridges: BTreeMap::new() }
    }

    /// Whether bridges are believed rather than asked.
    pub(crate) fn is_by_presence(&self) -> bool {
        self.presence_timeout.is_some()
    }

    /// A bridge said something; checked from now on. Answers what that says of its health.
    pub(crate) fn on_presence(&mut self, bridge: &Jid, is_healthy: Option<bool>, now: Instant) -> BridgeHealth {
        if let Some(timeout) = self.presence_timeout {
            self.bridges.insert(bridge.clone(), Check::Due { at: now + timeout, is_retry: false });
            return if is_healthy == Some(false) { BridgeHealth::Failed } else { BridgeHealth::Well };
        }
        if let Some(interval) = self.interval
            && !self.bridges.contains_key(bridge)
        {
            self.bridges.insert(bridge.clone(), Check::Due { at: now + interval, is_retry: false });
        }
        BridgeHealth::Well
    }

    pub(crate) fn remove(&mut self, bridge: &Jid) {
        self.bridges.remove(bridge);
    }

    pub(crate) fn clear(&mut self) {
        self.bridges.clear();
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let due = |check: &Check| match check {
            Check::Due { at, .. } => Some(*at),
            Check::Pending { .. } => None,
        };
        self.bridges.values().filter_map(due).min()
    }

    /// The bridges to check now; by presence, those that were silent too long.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Jid> {
        let mut due = Vec::new();
        for (bridge, check) in &mut self.bridges {
            if let Check::Due { at, is_retry } = *check
                && at <= now
            {
                *check = Check::Pending { is_retry };
                due.push(bridge.clone());
            }
        }
        due
    }

    pub(crate) fn on_outcome(&mut self, bridge: &Jid, outcome: &IqOutcome, now: Instant) -> BridgeHealth {
        let Some((check, interval)) = self.bridges.get_mut(bridge).zip(self.interval) else {
            return BridgeHealth::Well;
        };
        let Check::Pending { is_retry } = *check else { return BridgeHealth::Well };
        *check = Check::Due { at: now + interval, is_retry: false };
        match outcome {
            IqOutcome::Timeout if is_retry => BridgeHealth::Silent,
            IqOutcome::Timeout => {
                *check = Check::Due { at: now + interval / 2, is_retry: true };
                BridgeHealth::Well
            }
            IqOutcome::Answer(answer) if answer.attr("type") == Some("error") => {
                let condition = StanzaError::of_stanza(answer).condition;
                if matches!(condition, Condition::InternalServerError | Condition::ServiceUnavailable) {
                    BridgeHealth::Failed
                } else {
                    BridgeHealth::Well
                }
            }
            IqOutcome::Answer(_) => BridgeHealth::Well,
        }
    }
}

#[cfg(test)]
mod tests {
    use xmpp::{Element, iq_error, iq_result, ns};

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
    fn moves_nobody_for_silence_but_everybody_for_an_error() {
        let bridge: Jid = "b@m/jvb".parse().unwrap();
        let interval = Duration::from_secs(10);
        let mut checks = HealthChecks::new(Some(interval), None);
        let mut now = Instant::now();
        checks.on_presence(&bridge, Some(false), now);
        assert!(checks.take_due(now).is_empty());
        let mut check = |checks: &mut HealthChecks, outcome: &IqOutcome| {
            now = checks.deadline().unwrap();
            assert_eq!(checks.take_due(now), std::slice::from_ref(&bridge));
            checks.on_outcome(&bridge, outcome, now)
        };
        let request = Element::new("iq", ns::CLIENT);
        let error = |condition| IqOutcome::Answer(iq_error(&request, &StanzaError::new(condition)));
        assert_eq!(check(&mut checks, &IqOutcome::Answer(iq_result(&request))), BridgeHealth::Well);
        assert_eq!(check(&mut checks, &IqOutcome::Timeout), BridgeHealth::Well);
        assert_eq!(check(&mut checks, &IqOutcome::Timeout), BridgeHealth::Silent);
        assert_eq!(check(&mut checks, &IqOutcome::Timeout), BridgeHealth::Well);
        assert_eq!(check(&mut checks, &error(Condition::FeatureNotImplemented)), BridgeHealth::Well);
        assert_eq!(check(&mut checks, &error(Condition::InternalServerError)), BridgeHealth::Failed);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
    fn presence_is_believed_where_settings_say_so() {
        let bridge: Jid = "b@m/jvb".parse().unwrap();
        let timeout = Duration::from_secs(45);
        let mut checks = HealthChecks::new(Some(Duration::from_secs(10)), Some(timeout));
        let now = Instant::now();
        assert_eq!(checks.on_presence(&bridge, Some(false), now), BridgeHealth::Failed);
        assert_eq!(checks.on_presence(&bridge, None, now), BridgeHealth::Well);
        let later = now + Duration::from_secs(30);
        assert_eq!(checks.on_presence(&bridge, Some(true), later), BridgeHealth::Well);
        assert!(checks.take_due(now + timeout).is_empty());
        assert_eq!(checks.take_due(later + timeout), [bridge]);
        assert_eq!(checks.deadline(), None, "once for a silence");
    }
}
