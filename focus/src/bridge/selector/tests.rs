//! Which bridges are chosen.

use std::time::Duration;

use super::*;
use crate::settings::SelectionStrategy;

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

fn wanted<'a>(used: &'a [ConferenceBridge], region: Option<&'a str>) -> BridgeWanted<'a> {
    BridgeWanted { used, region, ..BridgeWanted::default() }
}

fn used(nick: &str, participants: usize) -> ConferenceBridge {
    let relay_id = Some(format!("relay-{nick}"));
    ConferenceBridge { jid: jid(nick), relay_id, participants, recent: 0, for_visitors: false }
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of virtual time")]
fn start() -> Instant {
    Instant::now()
}

#[test]
fn takes_the_least_stressed_and_stays_with_it() {
    let selector = selector(&[("a", stats(0.5, false)), ("b", stats(0.1, false))]);
    assert_eq!(selector.select(&wanted(&[], None), start()), Some(jid("b")));
    assert_eq!(selector.select(&wanted(&[used("a", 1)], None), start()), Some(jid("a")));
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
    assert_eq!(selector.select(&wanted(&[], None), now), None);
    assert_eq!(selector.select(&wanted(&[used("a", 1)], None), now), Some(jid("a")), "who is there is with the others");
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
    assert_eq!(selector.select(&wanted(&[used("a", 1)], None), start()), None);
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
        ..SelectionSettings::default()
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

/// Five bridges that relay to each other, and which of them the next endpoint gets.
fn cascade(change: impl FnOnce(&mut SelectionSettings, &mut BridgeSettings)) -> BridgeSelector {
    let mut settings =
        (SelectionSettings { cascading: true, ..SelectionSettings::default() }, BridgeSettings::default());
    settings.0.region_groups = vec![vec!["eu-west".to_owned(), "eu-north".to_owned()], vec!["us".to_owned()]];
    change(&mut settings.0, &mut settings.1);
    let mut selector = BridgeSelector::new(settings.1, settings.0);
    for (nick, region, stress) in
        [("w1", "eu-west", 0.5), ("w2", "eu-west", 0.3), ("n1", "eu-north", 0.1), ("u1", "us", 0.4), ("u2", "us", 0.9)]
    {
        let relay_id = Some(format!("relay-{nick}"));
        let version = Some("1".to_owned());
        selector.update(&jid(nick), &BridgeStats { relay_id, version, ..in_region(region, stress) });
    }
    selector
}

fn next(selector: &BridgeSelector, used: &[ConferenceBridge], region: Option<&str>) -> Option<String> {
    let chosen = selector.select(&wanted(used, region), start());
    chosen.map(|jid| jid.resource().unwrap_or_default().to_owned())
}

#[test]
fn region_based_keeps_to_the_region_and_to_what_the_conference_has() {
    let region_based = |selection: &mut SelectionSettings, _: &mut BridgeSettings| {
        selection.strategy = SelectionStrategy::RegionBased;
    };
    let selector = cascade(region_based);
    let get = |used: &[ConferenceBridge], region| next(&selector, used, Some(region)).unwrap();
    assert_eq!(get(&[used("w1", 1)], "eu-west"), "w1", "in the conference before the less loaded");
    assert_eq!(get(&[used("n1", 1)], "eu-west"), "n1", "in the group and the conference");
    assert_eq!(get(&[used("w1", 1)], "us"), "u1", "another region, another bridge");
    assert_eq!(get(&[used("w1", 80)], "eu-west"), "w2", "no more than 80 of a conference on one");
    assert_eq!(get(&[used("u2", 1)], "us"), "u1", "overloaded, though in the conference");
    assert_eq!(get(&[used("w1", 1), used("u1", 1)], "asia"), "u1", "the least loaded of the conference");
    assert_eq!(next(&selector, &[used("w1", 1), used("u1", 1)], None).as_deref(), Some("u1"));
    let local = cascade(|selection, bridges| {
        region_based(selection, bridges);
        selection.local_region = Some("eu-west".to_owned());
    });
    assert_eq!(next(&local, &[], Some("eu-north")).as_deref(), Some("w2"), "the first one near the focus");
    assert_eq!(next(&local, &[used("w2", 1)], Some("eu-north")).as_deref(), Some("w2"));
    assert_eq!(next(&local, &[used("u1", 1)], Some("eu-north")).as_deref(), Some("n1"), "only the first");
    assert_eq!(next(&local, &[used("u1", 1)], Some("asia")).as_deref(), Some("w2"));
    let slow = cascade(|selection, bridges| {
        region_based(selection, bridges);
        bridges.max_participants_per_interval = Some(5);
    });
    let rushed = ConferenceBridge { recent: 5, ..used("w1", 5) };
    assert_eq!(next(&slow, &[rushed], Some("eu-west")).as_deref(), Some("w2"));
    let full = ["w1", "w2", "n1"].map(|nick| used(nick, 80));
    assert_eq!(get(&full, "eu-west"), "u1", "elsewhere, while there is room");
    let full: Vec<_> = ["w1", "w2", "n1", "u1"].iter().map(|nick| used(nick, 80)).collect();
    assert_eq!(next(&selector, &full, Some("eu-west")).as_deref(), Some("n1"), "the least loaded after all");
}

#[test]
fn the_other_strategies_share_a_conference_in_their_ways() {
    use SelectionStrategy::{IntraRegion, SingleBridge, SplitBridge};
    let with = |strategy| cascade(|selection, _| selection.strategy = strategy);
    let split = with(SplitBridge);
    assert_eq!(next(&split, &[used("n1", 1)], None).as_deref(), Some("w2"), "the least loaded of the others");
    let all: Vec<_> = [("w1", 2), ("w2", 3), ("n1", 3), ("u1", 1), ("u2", 4)].map(|(nick, n)| used(nick, n)).to_vec();
    assert_eq!(next(&split, &all, None).as_deref(), Some("u1"), "the one with the fewest");
    let intra = with(IntraRegion);
    assert_eq!(next(&intra, &[used("w1", 1)], Some("us")).as_deref(), Some("w1"), "the region of the first");
    assert_eq!(next(&intra, &[used("w1", 80)], Some("us")).as_deref(), Some("w2"));
    assert_eq!(next(&intra, &[used("w1", 80), used("w2", 80)], None).as_deref(), Some("w2"), "the least loaded");
    let single = with(SingleBridge);
    assert_eq!(next(&single, &[used("u2", 500)], Some("eu-west")).as_deref(), Some("u2"));
}

#[test]
fn visitors_and_participants_do_not_share_a_bridge_while_there_are_others() {
    let mut selector = cascade(|selection, _| selection.strategy = SelectionStrategy::Visitor);
    let get = |selector: &BridgeSelector, used: &[ConferenceBridge], is_visitor| {
        let wanted = BridgeWanted { is_visitor, ..wanted(used, Some("eu-west")) };
        selector.select(&wanted, start()).map(|jid| jid.resource().unwrap_or_default().to_owned())
    };
    let participants = used("w2", 3);
    let visitors = ConferenceBridge { for_visitors: true, ..used("w1", 3) };
    assert_eq!(get(&selector, std::slice::from_ref(&participants), true).as_deref(), Some("w1"));
    assert_eq!(get(&selector, &[participants.clone(), visitors.clone()], true).as_deref(), Some("w1"));
    assert_eq!(get(&selector, &[participants.clone(), visitors], false).as_deref(), Some("w2"));
    for nick in ["w1", "n1", "u1", "u2"] {
        selector.remove(&jid(nick));
    }
    assert_eq!(get(&selector, &[participants], true).as_deref(), Some("w2"), "better than none");
}

#[test]
fn bridges_that_cannot_relay_to_each_other_are_not_in_one_conference() {
    let mut selector = cascade(|selection, _| selection.strategy = SelectionStrategy::SplitBridge);
    selector.update(&jid("w2"), &BridgeStats { version: Some("2".to_owned()), ..BridgeStats::default() });
    assert_eq!(next(&selector, &[used("n1", 1)], None).as_deref(), Some("u1"), "of the same version");
    selector.selection.allow_mixed_versions = true;
    assert_eq!(next(&selector, &[used("n1", 1)], None).as_deref(), Some("w2"));
    selector.update(&jid("w2"), &BridgeStats { relay_id: Some("relay-n1".to_owned()), ..BridgeStats::default() });
    assert_eq!(next(&selector, &[used("n1", 1)], None).as_deref(), Some("u1"), "two bridges with one name");
    selector.get_mut(&jid("u1")).unwrap().lacks_relays();
    assert_eq!(next(&selector, &[used("n1", 1)], None).as_deref(), Some("w1"));
    assert_eq!(next(&selector, &[used("u1", 1)], None).as_deref(), Some("u1"), "it has a conference for itself");
    let nameless = ConferenceBridge { relay_id: None, ..used("n1", 1) };
    assert_eq!(next(&selector, &[nameless], None).as_deref(), Some("n1"), "it had no name when it got this one");
    selector.selection.cascading = false;
    assert_eq!(next(&selector, &[used("n1", 1)], None).as_deref(), Some("n1"));
}

#[test]
fn a_conference_has_no_more_bridges_than_can_be_linked() {
    let mut selector = cascade(|selection, _| selection.strategy = SelectionStrategy::SplitBridge);
    let nicks: Vec<String> = (0..MAX_CONFERENCE_BRIDGES).map(|number| format!("jvb-{number}")).collect();
    for nick in &nicks {
        let relay_id = Some(format!("relay-{nick}"));
        let version = Some("1".to_owned());
        selector.update(&jid(nick), &BridgeStats { relay_id, version, ..in_region("eu-west", 0.7) });
    }
    let all: Vec<_> = nicks.iter().zip(1..).map(|(nick, participants)| used(nick, participants)).collect();
    assert_eq!(next(&selector, &all[1..], None).as_deref(), Some("n1"), "one more");
    assert_eq!(next(&selector, &all, None).as_deref(), Some("jvb-0"), "the one with the fewest");
}
