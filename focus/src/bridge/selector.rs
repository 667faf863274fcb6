//! The choice of a bridge.

use std::time::Instant;

use indexmap::IndexMap;
use jitsi_protocol::bridge_stats::BridgeStats;
use xmpp::Jid;

use super::Bridge;
use crate::settings::{BridgeSettings, SelectionSettings, SelectionStrategy};

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

/// For what a bridge is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BridgeWanted<'a> {
    /// The bridges that the conference has.
    pub(crate) used: &'a [Jid],
    /// Where the endpoint is.
    pub(crate) region: Option<&'a str>,
    /// The version to which the conference is pinned.
    pub(crate) version: Option<&'a str>,
    /// The bridge from which the conference was moved: taken only when there is no other.
    pub(crate) avoid: Option<&'a Jid>,
}

/// All bridges, and which one a conference gets: one for the whole conference.
#[derive(Debug)]
pub(crate) struct BridgeSelector {
    settings: BridgeSettings,
    selection: SelectionSettings,
    bridges: IndexMap<Jid, Bridge>,
}

impl BridgeSelector {
    pub(crate) fn new(settings: BridgeSettings, selection: SelectionSettings) -> Self {
        Self { settings, selection, bridges: IndexMap::new() }
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

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bridge> {
        self.bridges.values()
    }

    /// The bridge of that occupant JID, or of that nick in the brewery.
    pub(crate) fn find(&self, name: &str) -> Option<&Bridge> {
        let is_meant = |bridge: &&Bridge| bridge.jid.as_str() == name || bridge.jid.resource() == Some(name);
        self.bridges.values().find(is_meant)
    }

    /// The bridge for one more endpoint of a conference.
    pub(crate) fn select(&self, wanted: &BridgeWanted<'_>, now: Instant) -> Option<Jid> {
        let is_usable = |bridge: &&Bridge| bridge.is_operational(now) && !bridge.is_shutting_down();
        // One bridge for everybody: as long as it works the next endpoint goes there, overloaded or not.
        if let Some(bridge) = wanted.used.iter().filter_map(|jid| self.bridges.get(jid)).find(is_usable) {
            return Some(bridge.jid.clone());
        }
        let has_version =
            |bridge: &&Bridge| wanted.version.is_none_or(|version| bridge.full_version().as_deref() == Some(version));
        let candidates: Vec<&Bridge> = self.bridges.values().filter(is_usable).filter(has_version).collect();
        let candidates = preferred(candidates, |bridge| Some(&bridge.jid) != wanted.avoid);
        let candidates = preferred(candidates, |bridge| !bridge.is_draining());
        let mut candidates = preferred(candidates, |bridge| !bridge.is_in_graceful_shutdown());
        candidates.sort_by(|a, b| a.corrected_stress(now).total_cmp(&b.corrected_stress(now)));
        let chosen = self.choose(&candidates, wanted.region, now)?;
        if chosen.is_overloaded(now) {
            tracing::warn!(bridge = %chosen.jid, stress = chosen.corrected_stress(now), "every bridge is overloaded");
        }
        Some(chosen.jid.clone())
    }

    /// The first bridge of a conference among candidates, the least loaded first (focus.md §8.3).
    fn choose<'a>(&self, candidates: &[&'a Bridge], region: Option<&str>, now: Instant) -> Option<&'a Bridge> {
        let selection = &self.selection;
        let in_region = |region: Option<&str>, bridge: &Bridge| region.is_some() && bridge.region() == region;
        let first = |is_wanted: &dyn Fn(&Bridge) -> bool| candidates.iter().copied().find(|bridge| is_wanted(bridge));
        let has_room = |bridge: &Bridge| !bridge.is_overloaded(now);
        let least = candidates.first().copied();
        match selection.strategy {
            SelectionStrategy::SplitBridge => least,
            SelectionStrategy::SingleBridge => first(&|bridge| in_region(region, bridge)).or(least),
            SelectionStrategy::IntraRegion => first(&|bridge| in_region(region, bridge) && has_room(bridge)).or(least),
            SelectionStrategy::RegionBased => {
                let local = selection.local_region.as_deref();
                let group = selection.group_of(region);
                let is_in = |group: &[&str], bridge: &Bridge| bridge.region().is_some_and(|own| group.contains(&own));
                // Of the first two who meet one is usually near the focus: it asked for the conference.
                let is_near = local.is_some_and(|local| group.contains(&local));
                let is_served = candidates.iter().any(|bridge| is_in(&group, bridge));
                let region = if is_near || !is_served { local.or(region) } else { region };
                let group = selection.group_of(region);
                first(&|bridge| in_region(region, bridge) && has_room(bridge))
                    .or_else(|| first(&|bridge| is_in(&group, bridge) && has_room(bridge)))
                    .or_else(|| first(&has_room))
                    .or(least)
            }
        }
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
        let mut selector = BridgeSelector::new(BridgeSettings::default(), SelectionSettings::default());
        for (nick, stats) in bridges {
            selector.update(&jid(nick), stats);
        }
        selector
    }

    fn wanted<'a>(used: &'a [Jid], region: Option<&'a str>) -> BridgeWanted<'a> {
        BridgeWanted { used, region, ..BridgeWanted::default() }
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn takes_the_least_stressed_and_stays_with_it() {
        let selector = selector(&[("a", stats(0.5, false)), ("b", stats(0.1, false))]);
        assert_eq!(selector.select(&wanted(&[], None), start()), Some(jid("b")));
        assert_eq!(selector.select(&wanted(&[jid("a")], None), start()), Some(jid("a")));
    }

    #[test]
    fn prefers_the_region_of_the_endpoint() {
        let near = BridgeStats { region: Some("eu".to_owned()), ..stats(0.7, false) };
        let selector = selector(&[("far", stats(0.1, false)), ("near", near)]);
        assert_eq!(selector.select(&wanted(&[], Some("eu")), start()), Some(jid("near")));
        assert_eq!(selector.select(&wanted(&[], Some("us")), start()), Some(jid("far")));
    }

    #[test]
    fn draining_and_graceful_bridges_come_last() {
        let graceful = BridgeStats { graceful_shutdown: Some(true), ..stats(0.0, false) };
        let bridges = [("drain", stats(0.0, true)), ("graceful", graceful), ("busy", stats(0.9, false))];
        assert_eq!(selector(&bridges).select(&wanted(&[], None), start()), Some(jid("busy")));
        assert_eq!(selector(&bridges[..2]).select(&wanted(&[], None), start()), Some(jid("graceful")));
        assert_eq!(selector(&bridges[..1]).select(&wanted(&[], None), start()), Some(jid("drain")));
    }

    #[test]
    fn a_bridge_without_statistics_counts_as_draining() {
        let mut selector = selector(&[("new", BridgeStats::default()), ("busy", stats(0.9, false))]);
        assert_eq!(selector.select(&wanted(&[], None), start()), Some(jid("busy")));
        assert_eq!(selector.update(&jid("new"), &stats(0.0, false)), BridgeChange::Available);
        assert_eq!(selector.update(&jid("new"), &stats(0.0, false)), BridgeChange::None);
        assert_eq!(selector.select(&wanted(&[], None), start()), Some(jid("new")));
    }

    #[test]
    fn new_endpoints_count_until_the_bridge_can_have_reported_them() {
        let mut selector = selector(&[("a", stats(0.1, false)), ("b", stats(0.12, false))]);
        let now = start();
        for _ in 0..3 {
            selector.get_mut(&jid("a")).unwrap().endpoint_added(now);
        }
        assert_eq!(selector.select(&wanted(&[], None), now), Some(jid("b")));
        assert_eq!(selector.select(&wanted(&[], None), now + Duration::from_secs(20)), Some(jid("a")));
    }

    #[test]
    fn a_failed_bridge_is_left_out_for_a_minute() {
        let mut selector = selector(&[("a", stats(0.0, false))]);
        let now = start();
        selector.get_mut(&jid("a")).unwrap().failed(now);
        assert_eq!(selector.select(&wanted(&[jid("a")], None), now), None);
        let recovery = selector.next_recovery(now).unwrap();
        assert_eq!(recovery, now + Duration::from_secs(60));
        assert_eq!(selector.select(&wanted(&[], None), recovery), Some(jid("a")));
        assert_eq!(selector.next_recovery(recovery), None);
    }

    #[test]
    fn a_bridge_that_shuts_down_says_so_once_and_for_all() {
        let mut selector = selector(&[("a", stats(0.0, false))]);
        let down = BridgeStats { shutting_down: Some(true), ..stats(0.0, false) };
        assert_eq!(selector.update(&jid("a"), &down), BridgeChange::ShuttingDown);
        assert_eq!(selector.update(&jid("a"), &down), BridgeChange::None);
        selector.update(&jid("a"), &BridgeStats { shutting_down: Some(false), ..stats(0.0, false) });
        assert_eq!(selector.select(&wanted(&[jid("a")], None), start()), None);
    }

    fn in_region(region: &str, stress_level: f64) -> BridgeStats {
        BridgeStats { region: Some(region.to_owned()), ..stats(stress_level, false) }
    }

    /// Which of these bridges an endpoint of each region gets.
    fn chosen(strategy: SelectionStrategy, bridges: &[(&str, BridgeStats)], regions: &[Option<&str>]) -> Vec<String> {
        let mut selector = selector(bridges);
        selector.selection = SelectionSettings {
            strategy,
            region_groups: vec![vec!["eu-west".to_owned(), "eu-north".to_owned()], vec!["us".to_owned()]],
            local_region: Some("eu-west".to_owned()),
        };
        let choose = |region: &Option<&str>| selector.select(&wanted(&[], *region), start());
        regions.iter().filter_map(choose).map(|jid| jid.resource().unwrap().to_owned()).collect()
    }

    #[test]
    fn each_strategy_has_its_first_bridge() {
        use SelectionStrategy::{IntraRegion, RegionBased, SingleBridge, SplitBridge};
        let bridges = [
            ("west", in_region("eu-west", 0.5)),
            ("north", in_region("eu-north", 0.4)),
            ("full", in_region("us", 0.9)),
            ("asia", in_region("asia", 0.2)),
        ];
        let regions = [Some("us"), Some("eu-north"), Some("nowhere"), None];
        assert_eq!(chosen(SingleBridge, &bridges, &regions), ["full", "north", "asia", "asia"]);
        assert_eq!(chosen(SplitBridge, &bridges, &regions), ["asia", "asia", "asia", "asia"]);
        assert_eq!(chosen(IntraRegion, &bridges, &regions), ["asia", "north", "asia", "asia"]);
        // Near the focus when somebody near meets somebody near, and when there is no bridge near the endpoint.
        assert_eq!(chosen(RegionBased, &bridges, &regions), ["asia", "west", "west", "west"]);
        let without_west = [("north", in_region("eu-north", 0.4)), ("us", in_region("us", 0.1))];
        assert_eq!(chosen(RegionBased, &without_west, &[Some("eu-west"), Some("us")]), ["north", "us"]);
    }

    #[test]
    fn a_pinned_version_is_the_only_one() {
        let of_version = |version: &str, release: Option<&str>| BridgeStats {
            version: Some(version.to_owned()),
            release: release.map(str::to_owned),
            ..stats(0.1, false)
        };
        let selector = selector(&[("a", of_version("2.3", None)), ("b", of_version("2.3", Some("7")))]);
        let pinned =
            |version| selector.select(&BridgeWanted { version: Some(version), ..BridgeWanted::default() }, start());
        assert_eq!(pinned("2.3"), Some(jid("a")));
        assert_eq!(pinned("2.3-7"), Some(jid("b")));
        assert_eq!(pinned("2.4"), None);
    }

    #[test]
    fn a_bridge_to_avoid_is_better_than_none() {
        let mut selector = selector(&[("a", stats(0.0, false))]);
        let avoid = jid("a");
        let moved = BridgeWanted { avoid: Some(&avoid), ..BridgeWanted::default() };
        assert_eq!(selector.select(&moved, start()), Some(jid("a")));
        selector.update(&jid("b"), &stats(0.9, false));
        assert_eq!(selector.select(&moved, start()), Some(jid("b")));
    }

    #[test]
    fn a_bridge_on_which_ice_fails_counts_as_overloaded_for_a_while() {
        let mut selector = selector(&[("a", stats(0.0, false)), ("b", stats(0.5, false))]);
        let now = start();
        let report = |selector: &mut BridgeSelector, endpoints| {
            selector.get_mut(&jid("a")).unwrap().restart_requested(endpoints, now);
        };
        for _ in 0..4 {
            report(&mut selector, 40);
        }
        assert!(!selector.bridges[&jid("a")].is_failing_ice(now), "off by default");
        selector.bridges[&jid("a")].settings.ice_failure_detection.is_enabled = true;
        report(&mut selector, 20);
        assert!(!selector.bridges[&jid("a")].is_failing_ice(now), "too few endpoints to judge");
        report(&mut selector, 40);
        assert_eq!(selector.select(&wanted(&[], None), now), Some(jid("b")));
        let later = now + Duration::from_secs(600);
        assert_eq!(selector.select(&wanted(&[], None), later), Some(jid("a")));
        assert_eq!(selector.find("b").map(|bridge| &bridge.jid), Some(&jid("b")));
    }
}
