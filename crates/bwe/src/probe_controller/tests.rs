//! The cases and figures of `ProbeControllerTest` (jitsi-videobridge, libwebrtc), under its names in snake case. Left
//! out is what varies field trials, what this controller has no input for (bounds that change, a network that comes and
//! goes, estimates of the network's state), and what probes beyond the demand.

use super::*;

const START_BPS: u64 = 300;
const MAX_BPS: u64 = 10_000;
const MEGABIT: u64 = 1_000_000;

/// Long enough for the exponential probing to time out.
const EXPONENTIAL_TIMEOUT_MS: i64 = 5000;

struct Fixture {
    controller: ProbeController,
    now: Timestamp,
}

impl Fixture {
    /// A controller whose media flow, with the rates of its first probes.
    fn started(start_bps: u64, max_bps: u64) -> (Self, Vec<u64>) {
        let (start, max) = (Bitrate::from_bps(start_bps), Bitrate::from_bps(max_bps));
        let mut controller = ProbeController::new(start, max);
        let now = Timestamp::from_micros(100_000_000);
        let rates = rates(&controller.start(now));
        (Self { controller, now }, rates)
    }

    fn advance(&mut self, ms: i64) {
        self.now = self.now + TimeDelta::from_ms(ms);
    }

    fn estimate_by(&mut self, bps: u64, limited_by: LimitedBy) -> Vec<u64> {
        self.controller.on_feedback();
        rates(&self.controller.set_estimate(Bitrate::from_bps(bps), limited_by, self.now))
    }

    fn estimate(&mut self, bps: u64) -> Vec<u64> {
        self.estimate_by(bps, LimitedBy::Growth)
    }

    fn demand(&mut self, bps: u64) -> Vec<u64> {
        rates(&self.controller.set_demand(of(bps), self.now))
    }

    fn process(&mut self) -> Vec<u64> {
        rates(&self.controller.handle_timeout(self.now))
    }

    fn enter_alr(&mut self) {
        self.controller.set_alr(Some(self.now));
    }
}

/// So much is wanted, and as much of it sent as fits.
fn of(bps: u64) -> Demand {
    Demand { sent: Bitrate::from_bps(1), ideal: Bitrate::from_bps(bps), is_starved: false }
}

fn rates(clusters: &Clusters) -> Vec<u64> {
    clusters.iter().map(|cluster| cluster.bitrate.bps()).collect()
}

fn default_fixture() -> Fixture {
    Fixture::started(START_BPS, MAX_BPS).0
}

#[test]
fn initiates_probing_when_network_available() {
    let (_, probes) = Fixture::started(START_BPS, MAX_BPS);
    assert_eq!(probes, [3 * START_BPS, 6 * START_BPS]);
}

/// "SetsDefaultTargetDurationAndTargetProbeCount": 15 ms, 5 packets.
#[test]
fn sets_default_target_duration_and_target_probe_count() {
    let cluster = ProbeCluster { id: ProbeClusterId::FIRST, bitrate: Bitrate::from_bps(8 * MEGABIT) };
    assert_eq!(cluster.min_size().bytes(), 15_000);
    assert_eq!(ProbeCluster::MIN_PACKETS, 5);
}

#[test]
fn probes_on_max_allocated_bitrate_increase_only_when_in_alr() {
    let mut test = default_fixture();
    test.estimate(MAX_BPS - 1);
    test.advance(EXPONENTIAL_TIMEOUT_MS);
    assert!(test.process().is_empty());
    test.enter_alr();
    let probes = test.demand(MAX_BPS + 1);
    assert_eq!((probes.len(), probes[0]), (2, MAX_BPS));
    test.controller.set_alr(None);
    assert!(test.demand(MAX_BPS + 2).is_empty());
}

#[test]
fn probes_on_max_allocated_bitrate_limited_by_current_bwe() {
    let mut test = default_fixture();
    test.estimate(START_BPS);
    test.advance(EXPONENTIAL_TIMEOUT_MS);
    assert!(test.process().is_empty());
    test.enter_alr();
    assert_eq!(test.demand(MAX_BPS), [2 * START_BPS]);
    let further = test.estimate(START_BPS * 3 / 2);
    assert!(further.len() == 1 && further[0] > 2 * START_BPS, "{further:?}");
}

/// "TestExponentialProbing": another probe only above 0.7 · 6 · 300 = 1260.
#[test]
fn exponential_probing() {
    let mut test = default_fixture();
    assert!(test.estimate(1000).is_empty());
    assert_eq!(test.estimate(1800), [2 * 1800]);
}

#[test]
fn initial_probing_timeout() {
    let mut test = default_fixture();
    test.advance(EXPONENTIAL_TIMEOUT_MS);
    assert!(test.process().is_empty());
    assert!(test.estimate(1800).is_empty());
}

#[test]
fn request_probe_in_alr() {
    let mut test = default_fixture();
    test.estimate(500);
    test.enter_alr();
    test.advance(3001);
    test.process();
    test.estimate(250);
    assert_eq!(rates(&test.controller.on_recovered(test.now)), [425]);
}

/// "RequestProbeWhenAlrEndedRecently", "RequestProbeWhenAlrNotEndedRecently".
#[test]
fn request_probe_when_alr_ended_recently() {
    for (ended_before_ms, expected) in [(2999, vec![425]), (3001, vec![])] {
        let mut test = default_fixture();
        test.estimate(500);
        test.advance(5001);
        test.process();
        test.estimate(250);
        test.controller.on_alr_ended(test.now);
        test.advance(ended_before_ms);
        assert_eq!(rates(&test.controller.on_recovered(test.now)), expected);
    }
}

#[test]
fn request_probe_when_bwe_drop_not_recent() {
    let mut test = default_fixture();
    test.estimate(500);
    test.enter_alr();
    test.advance(5001);
    test.process();
    test.estimate(250);
    test.advance(5001);
    assert!(test.controller.on_recovered(test.now).is_empty());
}

#[test]
fn periodic_probing() {
    let mut test = default_fixture();
    test.estimate(500);
    test.enter_alr();
    assert_eq!(test.controller.next_timeout(), Some(test.now + TimeDelta::from_micros(1_000_001)));
    test.advance(5000);
    assert_eq!(test.process(), [1000]);
    test.advance(4000);
    assert!(test.process().is_empty());
    assert!(test.estimate(500).is_empty());
    assert_eq!(test.controller.next_timeout(), Some(test.now + TimeDelta::from_ms(1000)));
    test.advance(1000);
    assert_eq!(test.process().len(), 1);
    assert!(test.estimate(500).is_empty());
}

#[test]
fn no_probes_before_media_flow() {
    let mut controller = ProbeController::new(Bitrate::from_bps(START_BPS), Bitrate::from_bps(MAX_BPS));
    let now = Timestamp::ZERO;
    controller.set_alr(Some(now));
    assert_eq!(controller.next_timeout(), None);
    assert!(controller.handle_timeout(now + TimeDelta::from_secs(10)).is_empty());
    assert!(controller.set_demand(of(MAX_BPS), now).is_empty());
    assert_eq!(controller.state, State::Init);
}

/// "TestExponentialProbingOverflow": not beyond the maximum, and not twice.
#[test]
fn exponential_probing_overflow() {
    let (mut test, _) = Fixture::started(10 * MEGABIT, 100 * MEGABIT);
    assert_eq!(test.estimate(60 * MEGABIT), [100 * MEGABIT]);
    assert!(test.estimate(100 * MEGABIT).is_empty());
}

/// At most twice what is wanted, as in "TestAllocatedBitrateCap".
#[test]
fn allocated_bitrate_cap() {
    let (mut test, _) = Fixture::started(10 * MEGABIT, 100 * MEGABIT);
    test.estimate(10 * MEGABIT);
    test.enter_alr();
    test.demand(11 * MEGABIT);
    test.advance(5000);
    test.estimate(10_900_000);
    assert_eq!(test.process(), [21_800_000]);
    test.estimate(2 * MEGABIT);
    test.demand(3 * MEGABIT / 2);
    test.advance(5000);
    assert!(test.process().is_empty());
}

/// "NotProbeWhenInAlrIfLossBasedDecreases", "DontProbeIfHighRtt", "DontProbeIfDelayIncreased".
#[test]
fn probe_in_alr_by_what_limits() {
    for (limited_by, expected) in [
        (LimitedBy::Growth, vec![START_BPS * 2]),
        (LimitedBy::Loss, vec![]),
        (LimitedBy::RoundTrip, vec![]),
        (LimitedBy::Delay, vec![]),
    ] {
        let mut test = default_fixture();
        test.estimate_by(START_BPS, limited_by);
        test.advance(EXPONENTIAL_TIMEOUT_MS);
        assert!(test.process().is_empty());
        test.enter_alr();
        test.advance(5001);
        assert_eq!(test.process(), expected, "{limited_by:?}");
    }
}

/// "SkipAlrProbeIfEstimateLargerThanFractionOfMaxAllocated".
#[test]
fn skip_alr_probe_if_estimate_larger_than_demand() {
    let (mut test, _) = Fixture::started(START_BPS, MAX_BPS);
    test.estimate(MAX_BPS / 2);
    test.advance(10_000);
    test.enter_alr();
    assert!(test.demand(MAX_BPS / 2).is_empty());
    assert_eq!(test.controller.next_timeout(), None);
    test.advance(2000);
    assert!(test.process().is_empty());
    assert!(!test.demand(MAX_BPS / 2 + 1).is_empty());
}

#[test]
fn nothing_is_probed_where_nothing_is_wanted() {
    let start = Bitrate::from_bps(START_BPS);
    let mut controller = ProbeController::new(start, Bitrate::from_bps(MAX_BPS));
    controller.set_demand(Demand::default(), Timestamp::ZERO);
    assert!(controller.start(Timestamp::ZERO).is_empty());
    controller.set_alr(Some(Timestamp::ZERO));
    assert_eq!(controller.next_timeout(), None);
}

#[test]
fn a_line_that_turns_out_wider_is_probed_though_not_often() {
    let mut test = default_fixture();
    test.estimate(500);
    let outgrown = |test: &mut Fixture| rates(&test.controller.on_unknown_capacity(test.now));
    // While another probe is under way, and shortly after it.
    assert!(outgrown(&mut test).is_empty());
    test.advance(4999);
    test.process();
    assert!(outgrown(&mut test).is_empty());
    test.advance(1);
    assert_eq!(outgrown(&mut test), [1000]);
    assert_eq!(test.estimate(900), [1800]);
}

/// Not of upstream: an encoder sends something at any rate.
#[test]
fn probes_while_something_does_not_fit() {
    for (sent_bps, interval_ms) in [(0, 1500), (100, 4000)] {
        let mut test = default_fixture();
        test.estimate(START_BPS);
        test.advance(EXPONENTIAL_TIMEOUT_MS);
        assert!(test.process().is_empty());
        let demand = Demand { sent: Bitrate::from_bps(sent_bps), is_starved: true, ..of(MAX_BPS) };
        assert!(test.controller.set_demand(demand, test.now).is_empty());
        test.advance(interval_ms - 1);
        assert!(test.process().is_empty());
        // Asked again and again.
        assert!(test.controller.set_demand(demand, test.now).is_empty());
        test.advance(1);
        assert_eq!(test.controller.next_timeout(), Some(test.now));
        assert_eq!(test.process(), [2 * START_BPS]);
        assert_eq!(test.estimate(START_BPS * 3 / 2), [3 * START_BPS], "there is more");
        test.advance(interval_ms);
        test.process();
        assert!(test.estimate_by(START_BPS, LimitedBy::Delay).is_empty());
        test.advance(interval_ms);
        assert!(test.process().is_empty(), "queues fill");
        test.estimate(START_BPS);
        assert!(test.process().is_empty(), "not that often");
        test.advance(interval_ms);
        assert_eq!(test.process(), [2 * START_BPS]);
        test.advance(EXPONENTIAL_TIMEOUT_MS);
        test.demand(MAX_BPS);
        assert!(test.process().is_empty(), "it fits");
    }
}

#[test]
fn who_says_nothing_is_not_probed_on_and_on() {
    let mut test = default_fixture();
    test.advance(1001);
    assert!(test.process().is_empty());
    test.enter_alr();
    assert_eq!(test.controller.next_timeout(), None);
    test.advance(60_000);
    assert!(test.process().is_empty());
    test.controller.on_feedback();
    assert_eq!(test.process(), [2 * START_BPS]);
}
