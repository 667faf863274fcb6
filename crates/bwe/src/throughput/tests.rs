//! The cases and figures of `RobustThroughputEstimatorTest` (jitsi-videobridge, libwebrtc), under its names in snake
//! case.

use super::*;

/// Packets of 1000 bytes, sent and received at rates in bytes a second.
struct Feedback {
    sent: Timestamp,
    arrived: Timestamp,
}

impl Feedback {
    fn new() -> Self {
        Self { sent: Timestamp::from_micros(100_000_000), arrived: Timestamp::from_micros(10_000_000) }
    }

    fn packets(&mut self, count: usize, send_rate: i64, receive_rate: i64) -> Vec<ReceivedPacket> {
        (0..count)
            .map(|_| {
                let sent = self.sent;
                self.sent = self.sent + TimeDelta::from_micros(1_000_000_000 / send_rate);
                self.arrived = self.arrived + TimeDelta::from_micros(1_000_000_000 / receive_rate);
                ReceivedPacket { sent, arrived: self.arrived, size: DataSize::from_bytes(1000), probe: None }
            })
            .collect()
    }
}

fn estimator(min_window_ms: i64) -> ThroughputEstimator {
    ThroughputEstimator { min_window: TimeDelta::from_ms(min_window_ms), ..ThroughputEstimator::new() }
}

fn bytes_per_second(estimator: &ThroughputEstimator) -> Option<u64> {
    estimator.throughput().map(|rate| rate.bps() / 8)
}

fn assert_near(estimator: &ThroughputEstimator, expected: u64) {
    let rate = bytes_per_second(estimator).expect("there is a throughput");
    assert!(rate.abs_diff(expected) * 20 <= expected, "{rate} is not within 5 % of {expected}");
}

#[test]
fn initial_estimate() {
    let (mut feedback, mut estimator) = (Feedback::new(), ThroughputEstimator::new());
    for (count, expected) in [(9, None), (1, Some(100_000)), (15, Some(100_000))] {
        estimator.update(&feedback.packets(count, 100_000, 100_000));
        assert_eq!(bytes_per_second(&estimator), expected);
    }
}

#[test]
fn estimate_adapts() {
    let (mut feedback, mut estimator) = (Feedback::new(), ThroughputEstimator::new());
    let mut run = |rate: i64, rounds, allowed: std::ops::RangeInclusive<u64>| {
        for _ in 0..rounds {
            estimator.update(&feedback.packets(10, rate, rate));
            let throughput = bytes_per_second(&estimator).unwrap();
            assert!(allowed.contains(&throughput), "{throughput} is not in {allowed:?}");
        }
    };
    run(100_000, 10, 100_000..=100_000);
    run(200_000, 20, 100_000..=200_000);
    run(200_000, 20, 200_000..=200_000);
    run(50_000, 5, 50_000..=200_000);
    run(50_000, 5, 50_000..=50_000);
}

#[test]
fn capped_by_receive_rate() {
    let mut estimator = ThroughputEstimator::new();
    estimator.update(&Feedback::new().packets(20, 100_000, 25_000));
    assert_near(&estimator, 25_000);
}

#[test]
fn capped_by_send_rate() {
    let mut estimator = ThroughputEstimator::new();
    estimator.update(&Feedback::new().packets(20, 50_000, 100_000));
    assert_near(&estimator, 50_000);
}

#[test]
fn delay_spike() {
    let (mut feedback, mut estimator) = (Feedback::new(), estimator(500));
    estimator.update(&feedback.packets(20, 100_000, 100_000));
    assert_eq!(bytes_per_second(&estimator), Some(100_000));
    // Nothing arrives for 250 ms, then all of it within 50 ms.
    feedback.arrived = feedback.arrived + TimeDelta::from_ms(250);
    for _ in 0..30 {
        estimator.update(&feedback.packets(1, 100_000, 600_000));
        assert_near(&estimator, 100_000);
    }
    for _ in 0..20 {
        estimator.update(&feedback.packets(5, 100_000, 100_000));
        assert_near(&estimator, 100_000);
    }
}

#[test]
fn high_loss() {
    let mut estimator = ThroughputEstimator::new();
    let received: Vec<_> = Feedback::new().packets(20, 100_000, 100_000).into_iter().step_by(2).collect();
    estimator.update(&received);
    assert_near(&estimator, 50_000);
}

#[test]
fn reordered_feedback() {
    let (mut feedback, mut estimator) = (Feedback::new(), ThroughputEstimator::new());
    estimator.update(&feedback.packets(20, 100_000, 100_000));
    assert_eq!(bytes_per_second(&estimator), Some(100_000));
    let delayed = feedback.packets(10, 100_000, 100_000);
    estimator.update(&feedback.packets(10, 100_000, 100_000));
    assert!(bytes_per_second(&estimator).unwrap() < 100_000);
    estimator.update(&delayed);
    assert_eq!(bytes_per_second(&estimator), Some(100_000));
    for _ in 0..10 {
        estimator.update(&feedback.packets(15, 100_000, 100_000));
        assert_eq!(bytes_per_second(&estimator), Some(100_000));
    }
}

#[test]
fn deep_reordering() {
    let (mut feedback, mut estimator) = (Feedback::new(), estimator(500));
    let mut delayed = feedback.packets(1, 100_000, 100_000);
    for _ in 0..10 {
        estimator.update(&feedback.packets(10, 100_000, 100_000));
        assert_eq!(bytes_per_second(&estimator), Some(100_000));
    }
    // Arrives a second late, sent half a second before the oldest of the window.
    delayed[0].arrived = feedback.arrived;
    estimator.update(&delayed);
    assert_near(&estimator, 100_000);
    for _ in 0..10 {
        estimator.update(&feedback.packets(10, 100_000, 100_000));
        assert_near(&estimator, 100_000);
    }
}

#[test]
fn resets_if_clock_change_backwards() {
    let (mut feedback, mut estimator) = (Feedback::new(), ThroughputEstimator::new());
    estimator.update(&feedback.packets(20, 100_000, 100_000));
    assert_eq!(bytes_per_second(&estimator), Some(100_000));
    feedback.arrived = feedback.arrived + TimeDelta::from_secs(-2);
    estimator.update(&feedback.packets(20, 200_000, 200_000));
    assert_eq!(bytes_per_second(&estimator), Some(200_000));
}

#[test]
fn stream_paused_and_resumed() {
    let (mut feedback, mut estimator) = (Feedback::new(), ThroughputEstimator::new());
    estimator.update(&feedback.packets(20, 100_000, 100_000));
    assert_near(&estimator, 100_000);
    feedback.sent = feedback.sent + TimeDelta::from_secs(60);
    feedback.arrived = feedback.arrived + TimeDelta::from_secs(60);
    estimator.update(&feedback.packets(5, 100_000, 100_000));
    assert_eq!(bytes_per_second(&estimator), None);
    for _ in 0..4 {
        estimator.update(&feedback.packets(5, 100_000, 100_000));
        assert_eq!(bytes_per_second(&estimator), Some(100_000));
    }
}

#[test]
fn a_window_that_began_before_the_sender_sent_much_is_told_from_the_latest_packets() {
    let (mut feedback, mut estimator) = (Feedback::new(), ThroughputEstimator::new());
    estimator.update(&feedback.packets(9, 10_000, 10_000));
    assert_eq!(estimator.latest(), None);
    estimator.update(&feedback.packets(20, 400_000, 200_000));
    assert!(bytes_per_second(&estimator).unwrap() < 60_000);
    assert_eq!(estimator.latest().map(|rate| rate.bps() / 8), Some(200_000));
}

#[test]
fn window_is_bounded_whatever_times_are_claimed() {
    let mut estimator = ThroughputEstimator::new();
    for i in 0..10_000_i64 {
        let arrived = Timestamp::from_micros(i.wrapping_mul(0x5851_f42d_4c95_7f2d));
        let packet = ReceivedPacket { sent: Timestamp::ZERO, arrived, size: DataSize::from_bytes(1000), probe: None };
        estimator.update(&[packet]);
        assert!(estimator.window.len() <= MAX_WINDOW_PACKETS);
        estimator.throughput();
    }
}

/// Ours: of two of five feedbacks nothing is heard.
#[test]
fn lost_feedback_is_no_pause() {
    let (mut feedback, mut estimator) = (Feedback::new(), ThroughputEstimator::new());
    estimator.update(&feedback.packets(20, 100_000, 100_000));
    let unheard = feedback.packets(20, 100_000, 100_000);
    let unheard: Vec<_> = unheard.iter().map(|packet| Unheard { sent: packet.sent, size: packet.size }).collect();
    let after = feedback.packets(10, 100_000, 100_000);
    estimator.fill_gap(after[0].arrived, &unheard, 1.0);
    estimator.update(&after);
    assert_near(&estimator, 100_000);
    // Where the line became slower meanwhile, it was so for them, too.
    let unheard: Vec<_> = feedback
        .packets(20, 100_000, 20_000)
        .iter()
        .map(|packet| Unheard { sent: packet.sent, size: packet.size })
        .collect();
    let after = feedback.packets(20, 100_000, 20_000);
    estimator.fill_gap(after[0].arrived, &unheard, 1.0);
    estimator.update(&after);
    assert_near(&estimator, 20_000);
}

/// What the runs add up to is what a walk over the window says, whatever the order of packets.
#[test]
fn runs_are_the_window() {
    let mut random = sim::Random::new(7);
    let mut estimator = ThroughputEstimator::new();
    let (mut sent, mut arrived) = (Timestamp::from_micros(1_000_000), Timestamp::from_micros(9_000_000));
    for _ in 0..2000 {
        let packets: Vec<_> = (0..random.below(60))
            .map(|_| {
                sent = sent + TimeDelta::from_micros(random.below(9000) as i64);
                arrived = arrived + TimeDelta::from_micros(random.below(9000) as i64);
                let early = TimeDelta::from_micros((random.below(20) / 19 * random.below(300_000)) as i64);
                let size = DataSize::from_bytes(random.below(1200));
                ReceivedPacket { sent, arrived: arrived + (TimeDelta::ZERO - early), size, probe: None }
            })
            .collect();
        estimator.update(&packets);
        let throughput = estimator.throughput();
        let runs = estimator.runs.clone();
        assert_eq!(runs.iter().map(|run| run.packets).sum::<usize>(), estimator.window.len());
        estimator.rebuild_runs();
        assert_eq!(estimator.throughput(), throughput);
    }
}
