//! The cases and figures of `LossBasedBweV2Test` (jitsi-videobridge, libwebrtc), under its names in snake case. Left
//! out is what tests the validity of field trials, or those that are off by default.

use super::*;

const PACKET: u64 = 15_000;
const OBSERVATION_MS: i64 = 250;

/// (sent at ms, bytes, whether it arrived)
type Packet = (i64, u64, bool);

fn kbps(kbps: u64) -> Bitrate {
    Bitrate::from_kbps(kbps)
}

/// `config(enabled = true, valid = true)` of the upstream file, as far as it is not a constant here.
const UPSTREAM: Config = Config {
    rampup_factor: 1.2,
    candidate_factors: [1.1, 1.0, 0.95],
    upper_bound_balance: Bitrate::from_kbps(90),
    upper_bound_loss_offset: 0.1,
    min_observations: 1,
    max_increase: 1.5,
    ..Config::DEFAULT
};

/// `shortObservationConfig` of the upstream file.
const SHORT: Config = Config { min_observations: 1, observations: 2, ..Config::DEFAULT };

struct Fixture {
    bwe: LossBasedBwe,
    next_number: u64,
    delay_based: Bitrate,
    is_in_alr: bool,
}

impl Fixture {
    fn new(config: Config) -> Self {
        let bwe = LossBasedBwe::with_config(config, kbps(1), Bitrate::MAX);
        Self { bwe, next_number: 0, delay_based: Bitrate::MAX, is_in_alr: false }
    }

    fn bounded(config: Config, min: Bitrate, max: Bitrate) -> Self {
        Self { bwe: LossBasedBwe::with_config(config, min, max), ..Self::new(config) }
    }

    /// `setBandwidthEstimate` of the upstream class, which is for its tests.
    fn starting_at(mut self, estimate: Bitrate) -> Self {
        let inherent_loss = self.bwe.best.map_or(INITIAL_INHERENT_LOSS, |best| best.inherent_loss);
        self.bwe.best = Some(Channel { bandwidth: estimate, inherent_loss });
        self.bwe.result = LossBasedEstimate { rate: estimate, state: LossBasedState::DelayBased };
        self
    }

    fn with_throughput(mut self, throughput: Bitrate) -> Self {
        self.bwe.set_throughput(throughput);
        self
    }

    fn with_delay_based(self, delay_based: Bitrate) -> Self {
        Self { delay_based, ..self }
    }

    fn in_alr(self) -> Self {
        Self { is_in_alr: true, ..self }
    }

    fn feed(&mut self, packets: &[Packet]) {
        for &(sent_ms, size, has_arrived) in packets {
            let (sent, size) = (Timestamp::ZERO + TimeDelta::from_ms(sent_ms), DataSize::from_bytes(size));
            if has_arrived {
                self.bwe.on_received(self.next_number, sent, size);
            } else {
                self.bwe.on_lost(self.next_number, sent, size);
            }
            self.next_number += 1;
        }
        self.bwe.update(self.delay_based, self.is_in_alr);
    }

    /// Observations without loss from number `from` on until the state is `state`. Answers the next number.
    fn recover(&mut self, from: i64, state: LossBasedState) -> i64 {
        let mut next = from;
        while self.state() != state {
            assert!(next < from + 1000, "stays in {:?} at {}", self.state(), self.rate());
            self.feed(&received(next * OBSERVATION_MS));
            next += 1;
        }
        next
    }

    fn rate(&self) -> Bitrate {
        self.bwe.estimate().expect("ready").rate
    }

    fn state(&self) -> LossBasedState {
        self.bwe.estimate().expect("ready").state
    }
}

fn received(from_ms: i64) -> [Packet; 2] {
    [(from_ms, PACKET, true), (from_ms + OBSERVATION_MS, PACKET, true)]
}

fn half_lost(from_ms: i64) -> [Packet; 2] {
    [(from_ms, PACKET, true), (from_ms + OBSERVATION_MS, PACKET, false)]
}

fn all_lost(from_ms: i64) -> [Packet; 2] {
    [(from_ms, PACKET, false), (from_ms + OBSERVATION_MS, PACKET, false)]
}

fn tenth_lost(from_ms: i64, lost_size: u64) -> [Packet; 10] {
    std::array::from_fn(|i| {
        let is_last = i == 9;
        (from_ms + i as i64 * OBSERVATION_MS, if is_last { lost_size } else { PACKET }, !is_last)
    })
}

#[test]
fn no_bandwidth_estimate_given_no_initialization() {
    let mut test = Fixture::new(UPSTREAM);
    test.feed(&received(0));
    assert_eq!(test.bwe.estimate(), None);
}

#[test]
fn no_bandwidth_estimate_given_not_enough_feedback() {
    let mut test = Fixture::new(UPSTREAM).starting_at(kbps(600));
    assert_eq!(test.bwe.estimate(), None);
    test.feed(&[(0, PACKET, true), (OBSERVATION_MS / 2, PACKET, true)]);
    assert_eq!(test.bwe.estimate(), None);
}

#[test]
fn set_value_is_the_estimate_until_additional_feedback_has_been_received() {
    let mut test = Fixture::new(UPSTREAM).starting_at(kbps(600));
    test.feed(&received(0));
    assert_ne!(test.rate(), kbps(600));
    test = test.starting_at(kbps(600));
    assert_eq!(test.rate(), kbps(600));
    test.feed(&received(2 * OBSERVATION_MS));
    assert_ne!(test.rate(), kbps(600));
}

#[test]
fn set_acknowledged_bitrate_only_affects_the_bwe_when_additional_feedback_is_given() {
    let [mut one, mut other] = [(); 2].map(|()| Fixture::new(UPSTREAM).starting_at(kbps(600)));
    one.feed(&received(0));
    other.feed(&received(0));
    assert_eq!(one.rate(), kbps(660));
    one = one.with_throughput(kbps(900));
    assert_eq!(one.rate(), kbps(660));
    one.feed(&received(2 * OBSERVATION_MS));
    other.feed(&received(2 * OBSERVATION_MS));
    assert_ne!(one.rate(), other.rate());
}

#[test]
fn bandwidth_estimate_is_capped_to_be_tcp_fair_given_too_high_loss_rate() {
    let mut test = Fixture::new(UPSTREAM).starting_at(kbps(600));
    test.feed(&all_lost(0));
    assert_eq!(test.rate(), kbps(100));
}

#[test]
fn bandwidth_estimate_capped_by_delay_based_estimate_when_network_normal() {
    let mut test = Fixture::new(UPSTREAM).starting_at(kbps(600));
    test.feed(&received(0));
    assert!(test.rate() > kbps(600));
    test = test.with_delay_based(kbps(500));
    test.feed(&received(2 * OBSERVATION_MS));
    assert_eq!(test.rate(), kbps(500));
}

#[test]
fn use_acked_bitrate_for_emegency_back_off() {
    let mut test = Fixture::new(UPSTREAM).starting_at(kbps(600)).with_throughput(kbps(300));
    test.feed(&half_lost(0));
    test.feed(&all_lost(2 * OBSERVATION_MS));
    assert!(test.rate() <= kbps(300));
}

#[test]
fn no_bwe_change_if_observation_duration_unchanged() {
    let mut test = Fixture::new(UPSTREAM).starting_at(kbps(600)).with_throughput(kbps(300));
    test.feed(&received(0));
    let before = test.rate();
    test.feed(&received(0));
    assert_eq!(test.rate(), before);
}

/// And "NoBweIncreaseIfObservationDurationIsSmallAndNetworkUnderusing".
#[test]
fn no_bwe_change_if_observation_duration_is_small_and_network_normal() {
    let mut test = Fixture::new(UPSTREAM).starting_at(kbps(600));
    test.feed(&received(0));
    let before = test.rate();
    test.feed(&received(OBSERVATION_MS - 1));
    assert_eq!(test.rate(), before);
}

#[test]
fn increase_to_delay_based_estimate_if_no_loss_or_delay_increase() {
    let mut test = Fixture::new(UPSTREAM).starting_at(kbps(600)).with_delay_based(kbps(5000));
    for at in [0, 2 * OBSERVATION_MS] {
        test.feed(&received(at));
        assert_eq!(test.rate(), kbps(5000));
    }
}

#[test]
fn increase_by_hold_factor_after_loss_based_bwe_backs_off() {
    let mut test = Fixture::new(SHORT).starting_at(kbps(600)).with_throughput(kbps(100)).with_delay_based(kbps(5000));
    test.feed(&all_lost(0));
    let at_loss = test.rate();
    test.recover(2, LossBasedState::Increasing);
    assert_eq!(test.rate(), at_loss.scaled(1.2));
}

#[test]
fn loss_based_state_is_delay_based_estimate_after_network_recovering() {
    let config = Config {
        candidate_factors: [100.0, 1.0, 0.5],
        min_observation_time: TimeDelta::from_ms(200),
        upper_bound_balance: kbps(10_000),
        max_increase: 100.0,
        must_explain_loss_to_increase: false,
        ..SHORT
    };
    let mut test = Fixture::new(config).starting_at(kbps(600)).with_throughput(kbps(300)).with_delay_based(kbps(600));
    test.feed(&all_lost(0));
    assert_eq!(test.state(), LossBasedState::Decreasing);
    for i in 1..=2 {
        test = test.with_throughput(kbps(600));
        test.feed(&received(i * OBSERVATION_MS));
        assert_eq!(test.state(), LossBasedState::DelayBased);
    }
}

#[test]
fn loss_based_state_is_not_delay_based_estimate_if_delay_based_estimate_infinite() {
    let config = Config {
        candidate_factors: [100.0, 1.0, 0.5],
        upper_bound_balance: kbps(10_000),
        max_increase: 100.0,
        ..SHORT
    };
    let mut test = Fixture::new(config).starting_at(kbps(600));
    test.feed(&all_lost(0));
    assert_eq!(test.state(), LossBasedState::Decreasing);
    test = test.with_throughput(kbps(600));
    test.feed(&received(OBSERVATION_MS));
    assert_ne!(test.state(), LossBasedState::DelayBased);
}

/// Prefers high bandwidth whatever is lost, without an upper bound by loss.
const AMBITIOUS: Config =
    Config { loss_preference: 0.99, rampup_factor: 1.2, upper_bound_balance: Bitrate::from_kbps(10_000), ..SHORT };

fn backed_off() -> (Fixture, Bitrate) {
    let mut test =
        Fixture::new(AMBITIOUS).starting_at(kbps(600)).with_throughput(kbps(300)).with_delay_based(kbps(5000));
    test.feed(&all_lost(0));
    assert_eq!(test.state(), LossBasedState::Decreasing);
    let backed_off = test.rate();
    assert!(backed_off < kbps(600));
    (test, backed_off)
}

#[test]
fn ensure_increase_even_if_acked_bitrate_bound() {
    let (mut test, backed_off) = backed_off();
    test = test.with_throughput(backed_off.scaled(0.5));
    test.recover(1, LossBasedState::Increasing);
    assert_eq!(test.rate(), Bitrate::from_bps(backed_off.bps() + 1));
}

#[test]
fn increase_by_factor_of_acked_bitrate_after_loss_based_bwe_backs_off() {
    let (mut test, backed_off) = backed_off();
    test = test.with_throughput(backed_off.scaled(0.9));
    let next = test.recover(1, LossBasedState::Increasing);
    let increased = test.rate();
    assert_eq!(increased, backed_off.scaled(0.9 * 1.2));
    test.feed(&received(next * OBSERVATION_MS));
    assert_eq!(test.rate(), increased);
}

#[test]
fn estimate_bitrate_is_bounded_during_delayed_window_after_loss_based_bwe_backs_off() {
    let mut test =
        Fixture::new(UPSTREAM).starting_at(kbps(600)).with_throughput(kbps(300)).with_delay_based(kbps(5000));
    test.feed(&received(0));
    test = test.with_throughput(kbps(5000));
    test.feed(&half_lost(298));
    let before = test.rate();
    test.feed(&received(299));
    assert_eq!(test.rate(), before);
}

#[test]
fn keep_increasing_estimate_after_delayed_increase_window() {
    let mut test =
        Fixture::new(UPSTREAM).starting_at(kbps(600)).with_throughput(kbps(300)).with_delay_based(kbps(5000));
    test.feed(&received(0));
    test = test.with_throughput(kbps(5000));
    test.feed(&received(299));
    let before = test.rate();
    test.feed(&received(301));
    assert!(test.rate() >= before);
}

#[test]
fn not_increase_if_inherent_loss_less_than_average_loss() {
    let config = Config { candidate_factors: [1.2; 3], ..SHORT };
    let mut test = Fixture::new(config).starting_at(kbps(600));
    test.feed(&tenth_lost(0, PACKET));
    test.feed(&tenth_lost(OBSERVATION_MS, PACKET));
    assert_eq!(test.rate(), kbps(600));
}

#[test]
fn select_high_bandwidth_candidate_if_loss_rate_is_less_than_threshold() {
    let config = Config { loss_preference: 0.2, must_explain_loss_to_increase: false, ..SHORT };
    let mut test = Fixture::new(config).starting_at(kbps(600)).with_delay_based(kbps(5000));
    test.feed(&tenth_lost(0, PACKET));
    test.feed(&tenth_lost(OBSERVATION_MS, PACKET));
    assert!(test.rate() > kbps(600));
}

#[test]
fn select_low_bandwidth_candidate_if_loss_rate_is_higher_than_threshold() {
    let config = Config { loss_preference: 0.05, ..SHORT };
    let mut test = Fixture::new(config).starting_at(kbps(600)).with_delay_based(kbps(5000));
    test.feed(&tenth_lost(0, PACKET));
    test.feed(&tenth_lost(OBSERVATION_MS, PACKET));
    assert!(test.rate() < kbps(600));
}

#[test]
fn estimate_is_not_higher_than_max_bitrate() {
    let mut test = Fixture::bounded(UPSTREAM, kbps(10), kbps(1000)).starting_at(kbps(1000));
    test.feed(&received(0));
    assert!(test.rate() <= kbps(1000));
}

fn all_lost_at_low_throughput() -> Fixture {
    Fixture::bounded(SHORT, kbps(10), kbps(1_000_000))
        .starting_at(kbps(600))
        .with_throughput(kbps(100))
        .with_delay_based(kbps(5000))
}

#[test]
fn not_back_off_to_acked_rate_in_alr() {
    let mut test = all_lost_at_low_throughput().in_alr();
    test.feed(&all_lost(0));
    assert!(kbps(100) < test.rate() && test.rate() < kbps(600), "{}", test.rate());
}

#[test]
fn back_off_to_acked_rate_if_not_in_alr() {
    let mut test = all_lost_at_low_throughput();
    test.feed(&all_lost(0));
    assert_eq!(test.rate(), kbps(100));
}

/// "NotReadyToUseInStartPhase", "ReadyToUseInStartPhase".
#[test]
fn ready_to_use_in_start_phase() {
    let mut test = Fixture::new(SHORT).with_delay_based(kbps(600));
    assert_eq!(test.bwe.estimate(), None);
    test.feed(&all_lost(0));
    assert!(test.bwe.estimate().is_some());
}

/// "BoundEstimateByAckedRate", "NotBoundEstimateByAckedRate".
#[test]
fn bound_estimate_by_acked_rate() {
    let rate_with = |throughput_bound| {
        let config = Config { throughput_bound, ..SHORT };
        let mut test =
            Fixture::bounded(config, kbps(10), kbps(1_000_000)).starting_at(kbps(600)).with_throughput(kbps(500));
        test.feed(&all_lost(0));
        test.rate()
    };
    assert_eq!(rate_with(1.0), kbps(500));
    assert!(rate_with(0.0) < kbps(500));
}

#[test]
fn has_decrease_state_because_of_upper_bound() {
    let config = Config { candidate_factors: [1.0; 3], upper_bound_balance: kbps(10), ..SHORT };
    let mut test =
        Fixture::bounded(config, kbps(10), kbps(1_000_000)).starting_at(kbps(500)).with_throughput(kbps(100));
    test.feed(&tenth_lost(0, PACKET));
    assert_eq!((test.rate(), test.state()), (kbps(200), LossBasedState::Decreasing));
}

#[test]
fn has_increase_state_because_of_lower_bound() {
    let config = Config { candidate_factors: [1.0; 3], throughput_bound: 10.0, ..SHORT };
    let mut test = Fixture::bounded(config, kbps(10), kbps(1_000_000)).starting_at(kbps(100)).with_throughput(kbps(1));
    test.feed(&half_lost(0));
    assert_eq!(test.state(), LossBasedState::Decreasing);
    test = test.with_throughput(kbps(200));
    test.feed(&half_lost(2 * OBSERVATION_MS));
    assert_eq!((test.rate(), test.state()), (kbps(2000), LossBasedState::Increasing));
}

#[test]
fn has_delay_based_state_if_loss_based_bwe_is_max() {
    let mut test = Fixture::bounded(SHORT, kbps(10), kbps(1000)).with_delay_based(kbps(2000));
    test.feed(&received(0));
    assert_eq!((test.rate(), test.state()), (kbps(1000), LossBasedState::DelayBased));
    test.feed(&half_lost(OBSERVATION_MS));
    assert_eq!(test.state(), LossBasedState::Decreasing);
    assert!(test.rate() < kbps(1000));
    test.recover(2, LossBasedState::DelayBased);
    assert_eq!(test.rate(), kbps(1000));
}

#[test]
fn increase_using_padding_state() {
    let config = Config { padding_duration: TimeDelta::from_secs(1), ..SHORT };
    let mut test = Fixture::new(config).starting_at(kbps(2500));
    test.feed(&half_lost(0));
    assert_eq!(test.state(), LossBasedState::Decreasing);
    test.recover(1, LossBasedState::Increasing);
}

#[test]
fn best_candidate_resets_to_upper_bound() {
    let config = Config { padding_duration: TimeDelta::from_secs(1), ..SHORT };
    let mut test = Fixture::new(config).starting_at(kbps(2500)).in_alr();
    test.feed(&half_lost(0));
    let after_loss = test.rate();
    assert_eq!(test.state(), LossBasedState::Decreasing);
    test.feed(&received(OBSERVATION_MS));
    test.feed(&received(2 * OBSERVATION_MS));
    assert_eq!(test.state(), LossBasedState::Increasing);
    assert!(test.rate().bps().abs_diff(after_loss.bps()) <= 100_000, "{} after {after_loss}", test.rate());
}

#[test]
fn decrease_to_acked_candidate_if_padding_in_alr() {
    let config = Config { padding_duration: TimeDelta::from_secs(1), upper_bound_balance: kbps(10_000), ..SHORT };
    let mut test = Fixture::new(config).starting_at(kbps(1000)).in_alr();
    let mut next = 0;
    while test.bwe.result.state != LossBasedState::Decreasing {
        test.feed(&all_lost(next * OBSERVATION_MS));
        next += 1;
    }
    next = test.recover(next, LossBasedState::Increasing);
    assert!(test.rate() > kbps(900));
    test = test.with_throughput(kbps(100));
    test.feed(&all_lost(next * OBSERVATION_MS));
    assert_eq!((test.rate(), test.state()), (kbps(100), LossBasedState::Decreasing));
}

#[test]
fn decrease_after_padding() {
    let config = Config { padding_duration: TimeDelta::from_secs(1), rampup_factor: 2.0, ..SHORT };
    let mut test = Fixture::new(config).starting_at(kbps(2500)).with_throughput(kbps(51));
    test.feed(&half_lost(0));
    assert_eq!((test.rate(), test.state()), (kbps(51), LossBasedState::Decreasing));
    test = test.with_throughput(kbps(26));
    let increased = test.recover(1, LossBasedState::Increasing);
    let decreased = test.recover(increased, LossBasedState::Decreasing);
    assert_eq!((decreased - 1 - increased) * OBSERVATION_MS, 1000);
}

#[test]
fn hold_rate_not_lower_than_acked_rate() {
    let config = Config { hold_growth: 10.0, ..SHORT };
    let mut test = Fixture::new(config).starting_at(kbps(2500));
    test.feed(&half_lost(0));
    assert_eq!(test.state(), LossBasedState::Decreasing);
    test = test.with_throughput(kbps(1000));
    test.feed(&half_lost(OBSERVATION_MS));
    assert_eq!((test.rate(), test.state()), (kbps(1000), LossBasedState::Decreasing));
}

#[test]
fn estimate_not_lower_than_acked_rate() {
    let mut test = Fixture::new(SHORT).starting_at(kbps(2500));
    test.feed(&all_lost(0));
    assert!(test.rate() < kbps(1000));
    test = test.with_throughput(kbps(1000));
    test.feed(&half_lost(OBSERVATION_MS));
    assert_eq!(test.rate(), kbps(1000));
    test.feed(&received(2 * OBSERVATION_MS));
    test.feed(&received(3 * OBSERVATION_MS));
    assert!(test.rate() > kbps(1000));
}

#[test]
fn end_hold_duration_if_delay_based_estimate_works() {
    let mut test = Fixture::new(SHORT).starting_at(kbps(2500));
    test.feed(&half_lost(0));
    assert_eq!(test.state(), LossBasedState::Decreasing);
    let delay_based = test.rate().saturating_add(kbps(10));
    test = test.with_delay_based(delay_based);
    test.feed(&received(OBSERVATION_MS));
    test.feed(&received(2 * OBSERVATION_MS));
    assert_eq!((test.rate(), test.state()), (delay_based, LossBasedState::DelayBased));
}

#[test]
fn use_byte_loss_rate() {
    let mut test = Fixture::new(SHORT).starting_at(kbps(500));
    test.feed(&tenth_lost(0, 20 * PACKET));
    assert_eq!(test.state(), LossBasedState::Decreasing);
    assert!(test.rate() < kbps(160));
}

/// Five observations without loss, then one with nothing but loss, of `lost`.
fn loss_spike(lost: &[Packet]) -> Fixture {
    let config = Config { observations: 5, ..Config::DEFAULT };
    let mut test = Fixture::new(config).starting_at(kbps(500)).with_delay_based(kbps(500));
    for i in 0..5 {
        test.feed(&received(i * OBSERVATION_MS));
    }
    test.feed(lost);
    test
}

#[test]
fn use_byte_loss_rate_ignore_loss_spike() {
    let mut test = loss_spike(&all_lost(5 * OBSERVATION_MS));
    test.feed(&received(6 * OBSERVATION_MS));
    assert_eq!(test.rate(), kbps(500));
    test.feed(&all_lost(7 * OBSERVATION_MS));
    assert_eq!(test.state(), LossBasedState::Decreasing);
    assert!(test.rate() < kbps(500));
}

#[test]
fn use_byte_loss_rate_does_not_ignore_loss_spike_on_send_burst() {
    let at = 5 * OBSERVATION_MS;
    let burst: Vec<_> = [0, 10, 20, 30, OBSERVATION_MS].map(|ms| (at + ms, PACKET, false)).into();
    let test = loss_spike(&burst);
    assert_eq!(test.state(), LossBasedState::Decreasing);
    assert!(test.rate() < kbps(500));
}

#[test]
fn estimate_does_not_back_off_due_to_packet_reordering_between_feedback() {
    let mut test = Fixture::new(SHORT).starting_at(kbps(2500)).with_delay_based(kbps(2500));
    let sent = Timestamp::ZERO;
    let size = DataSize::from_bytes(PACKET);
    test.bwe.on_received(1, sent, size);
    test.bwe.on_lost(2, sent, size);
    test.bwe.on_received(3, sent, size);
    test.bwe.update(kbps(2500), false);
    test.bwe.on_received(2, sent, size);
    test.bwe.on_lost(4, sent, size);
    test.bwe.on_received(5, sent, size);
    test.bwe.update(kbps(2500), false);
    assert_eq!(test.bwe.observations.loss(), 0.0);
    test.feed(&received(OBSERVATION_MS));
    // Eight statuses, one loss: the packet that came late is none.
    assert!((test.bwe.observations.loss() - 1.0 / 8.0).abs() < 1e-9, "{}", test.bwe.observations.loss());
}

/// Ours: half is lost, of which all but a hundredth is known to be inherent.
#[test]
fn loss_that_is_known_to_be_inherent_does_not_limit() {
    for (known, is_limited) in [(0.0, true), (0.49, false)] {
        let mut test =
            Fixture::new(UPSTREAM).starting_at(kbps(600)).with_throughput(kbps(300)).with_delay_based(kbps(600));
        test.bwe.set_known_loss(known);
        for i in 0..20 {
            test.feed(&half_lost(i * OBSERVATION_MS));
        }
        assert_eq!(test.rate() < kbps(600), is_limited, "{:?}", test.rate());
        assert_eq!(test.state() == LossBasedState::Decreasing, is_limited);
    }
}

/// Ours: what was explained in another way ends the limit at once.
#[test]
fn release_ends_the_limit() {
    let (mut test, rate) = backed_off();
    assert!(rate < test.delay_based);
    test.bwe.release();
    assert_eq!((test.rate(), test.state()), (test.delay_based, LossBasedState::DelayBased));
}
