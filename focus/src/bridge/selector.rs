//! The choice of a bridge.

use std::time::Instant;

use indexmap::IndexMap;
use jitsi_protocol::bridge_stats::BridgeStats;
use xmpp::Jid;

use super::Bridge;
use crate::settings::BridgeSettings;

/// Bridges of one brewery: the largest deployments have some hundreds.
const MAX_BRIDGES: usize = 4096;

/// What a presence changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BridgeChange {
    /// Nothing that anyone waits for.
    None,
    /// A bridge may be chosen now that could not before.
    Available,
    /// The bridge goes away now.
    ShuttingDown,
}

/// All bridges, and which one a conference gets: one for the whole conference (jicofo's SingleBridge strategy).
#[derive(Debug)]
pub(crate) struct BridgeSelector {
    settings: BridgeSettings,
    bridges: IndexMap<Jid, Bridge>,
}

impl BridgeSelector {
    pub(crate) fn new(settings: BridgeSettings) -> Self {
        Self { settings, bridges: IndexMap::new() }
    }

    /// A bridge said something of itself.
    pub(crate) fn update(&mut self, jid: &Jid, stats: &BridgeStats) -> BridgeChange {
        if !self.bridges.contains_key(jid) {
            if self.bridges.len() >= MAX_BRIDGES {
                tracing::warn!(bridge = %jid, "bridge ignored, there are {MAX_BRIDGES} already");
                return BridgeChange::None;
            }
            let region = stats.region.as_deref().unwrap_or("-");
            tracing::info!(bridge = %jid, version = stats.version.as_deref().unwrap_or("-"), region, "bridge added");
            self.bridges.insert(jid.clone(), Bridge::new(jid.clone(), self.settings));
        }
        let Some(bridge) = self.bridges.get_mut(jid) else { return BridgeChange::None };
        let could_be_chosen = !bridge.is_draining();
        let was_shutting_down = bridge.is_shutting_down();
        bridge.update(stats);
        if bridge.is_shutting_down() {
            return if was_shutting_down { BridgeChange::None } else { BridgeChange::ShuttingDown };
        }
        if could_be_chosen || bridge.is_draining() { BridgeChange::None } else { BridgeChange::Available }
    }

    /// A bridge left. Answers whether it was known.
    pub(crate) fn remove(&mut self, jid: &Jid) -> bool {
        let was_known = self.bridges.shift_remove(jid).is_some();
        if was_known {
            tracing::info!(bridge = %jid, "bridge removed");
        }
        was_known
    }

    /// All bridges left. Answers which there were.
    pub(crate) fn clear(&mut self) -> Vec<Jid> {
        std::mem::take(&mut self.bridges).into_keys().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.bridges.len()
    }

    pub(crate) fn get_mut(&mut self, jid: &Jid) -> Option<&mut Bridge> {
        self.bridges.get_mut(jid)
    }

    /// The bridge for one more endpoint of a conference that uses `used` already.
    pub(crate) fn select(&self, used: &[Jid], region: Option<&str>, now: Instant) -> Option<Jid> {
        let is_usable = |bridge: &&Bridge| bridge.is_operational(now) && !bridge.is_shutting_down();
        // One bridge for everybody: as long as it works the next endpoint goes there, overloaded or not.
        if let Some(bridge) = used.iter().filter_map(|jid| self.bridges.get(jid)).find(is_usable) {
            return Some(bridge.jid.clone());
        }
        let candidates: Vec<&Bridge> = self.bridges.values().filter(is_usable).collect();
        let candidates = preferred(candidates, |bridge| !bridge.is_draining());
        let candidates = preferred(candidates, |bridge| !bridge.is_in_graceful_shutdown());
        let candidates = preferred(candidates, |bridge| region.is_some() && bridge.region() == region);
        let stress = |bridge: &&Bridge| bridge.corrected_stress(now);
        let least = candidates.into_iter().min_by(|a, b| stress(a).total_cmp(&stress(b)))?;
        if least.is_overloaded(now) {
            tracing::warn!(bridge = %least.jid, stress = least.corrected_stress(now), "every bridge is overloaded");
        }
        Some(least.jid.clone())
    }

    /// The next time at which a failure is forgotten.
    pub(crate) fn next_recovery(&self, now: Instant) -> Option<Instant> {
        self.bridges.values().filter_map(Bridge::recovers_at).filter(|&at| at > now).min()
    }
}

/// Those for which `is_preferred` holds, or everybody when it holds for none.
fn preferred(bridges: Vec<&Bridge>, is_preferred: impl Fn(&Bridge) -> bool) -> Vec<&Bridge> {
    let chosen: Vec<&Bridge> = bridges.iter().copied().filter(|bridge| is_preferred(bridge)).collect();
    if chosen.is_empty() { bridges } else { chosen }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn jid(nick: &str) -> Jid {
        format!("jvbbrewery@internal-muc.meet.jitsi/{nick}").parse().unwrap()
    }

    fn stats(stress_level: f64, drain: bool) -> BridgeStats {
        BridgeStats { stress_level: Some(stress_level), drain: Some(drain), ..BridgeStats::default() }
    }

    fn selector(bridges: &[(&str, BridgeStats)]) -> BridgeSelector {
        let mut selector = BridgeSelector::new(BridgeSettings::default());
        for (nick, stats) in bridges {
            selector.update(&jid(nick), stats);
        }
        selector
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn takes_the_least_stressed_and_stays_with_it() {
        let selector = selector(&[("a", stats(0.5, false)), ("b", stats(0.1, false))]);
        assert_eq!(selector.select(&[], None, start()), Some(jid("b")));
        assert_eq!(selector.select(&[jid("a")], None, start()), Some(jid("a")));
    }

    #[test]
    fn prefers_the_region_of_the_endpoint() {
        let near = BridgeStats { region: Some("eu".to_owned()), ..stats(0.7, false) };
        let selector = selector(&[("far", stats(0.1, false)), ("near", near)]);
        assert_eq!(selector.select(&[], Some("eu"), start()), Some(jid("near")));
        assert_eq!(selector.select(&[], Some("us"), start()), Some(jid("far")));
    }

    #[test]
    fn draining_and_graceful_bridges_come_last() {
        let graceful = BridgeStats { graceful_shutdown: Some(true), ..stats(0.0, false) };
        let bridges = [("drain", stats(0.0, true)), ("graceful", graceful), ("busy", stats(0.9, false))];
        assert_eq!(selector(&bridges).select(&[], None, start()), Some(jid("busy")));
        assert_eq!(selector(&bridges[..2]).select(&[], None, start()), Some(jid("graceful")));
        assert_eq!(selector(&bridges[..1]).select(&[], None, start()), Some(jid("drain")));
    }

    #[test]
    fn a_bridge_without_statistics_counts_as_draining() {
        let mut selector = selector(&[("new", BridgeStats::default()), ("busy", stats(0.9, false))]);
        assert_eq!(selector.select(&[], None, start()), Some(jid("busy")));
        assert_eq!(selector.update(&jid("new"), &stats(0.0, false)), BridgeChange::Available);
        assert_eq!(selector.update(&jid("new"), &stats(0.0, false)), BridgeChange::None);
        assert_eq!(selector.select(&[], None, start()), Some(jid("new")));
    }

    #[test]
    fn new_endpoints_count_until_the_bridge_can_have_reported_them() {
        let mut selector = selector(&[("a", stats(0.1, false)), ("b", stats(0.12, false))]);
        let now = start();
        for _ in 0..3 {
            selector.get_mut(&jid("a")).unwrap().endpoint_added(now);
        }
        assert_eq!(selector.select(&[], None, now), Some(jid("b")));
        assert_eq!(selector.select(&[], None, now + Duration::from_secs(20)), Some(jid("a")));
    }

    #[test]
    fn a_failed_bridge_is_left_out_for_a_minute() {
        let mut selector = selector(&[("a", stats(0.0, false))]);
        let now = start();
        selector.get_mut(&jid("a")).unwrap().failed(now);
        assert_eq!(selector.select(&[jid("a")], None, now), None);
        let recovery = selector.next_recovery(now).unwrap();
        assert_eq!(recovery, now + Duration::from_secs(60));
        assert_eq!(selector.select(&[], None, recovery), Some(jid("a")));
        assert_eq!(selector.next_recovery(recovery), None);
    }

    #[test]
    fn a_bridge_that_shuts_down_says_so_once_and_for_all() {
        let mut selector = selector(&[("a", stats(0.0, false))]);
        let down = BridgeStats { shutting_down: Some(true), ..stats(0.0, false) };
        assert_eq!(selector.update(&jid("a"), &down), BridgeChange::ShuttingDown);
        assert_eq!(selector.update(&jid("a"), &down), BridgeChange::None);
        selector.update(&jid("a"), &BridgeStats { shutting_down: Some(false), ..stats(0.0, false) });
        assert_eq!(selector.select(&[jid("a")], None, start()), None);
    }
}
