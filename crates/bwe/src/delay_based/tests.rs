//! The cases and figures of `DelayBasedBweTest` (jitsi-videobridge, libwebrtc), under its names in snake case, on a link
//! like that of its helper: a queue without end in front of a line of some capacity.

use super::*;
use crate::probe_rate::ProbeRateEstimator;
use crate::throughput::ThroughputEstimator;

const MIN: Bitrate = Bitrate::from_kbps(5);
const MTU: i64 = 1200;

/// Where the sender's clock stands against ours.
const SEND_OFFSET_US: i64 = 1_000_000;

fn at_ms(ms: i64) -> Timestamp {
    Timestamp::ZERO + TimeDelta::from_ms(ms)
}

struct Fixture {
    estimator: DelayBasedBwe,
    throughput: ThroughputEstimator,
    probes: ProbeRateEstimator,
    now_us: i64,
    /// Added to times of arrival.
    arrival_offset_ms: i64,
    capacity_bps: i64,
    last_arrival_us: i64,
    next_frame_us: i64,
    latest: Option<u64>,
    /// Whether `latest` came since it was last taken.
    is_updated: bool,
    had_update: bool,
}

impl Fixture {
    fn new() -> Self {
        let now_us = 100_000_000;
        let mut probes = ProbeRateEstimator::default();
        probes.expect(PROBE_0, 5, DataSize::from_bytes(2000));
        probes.expect(PROBE_1, 8, DataSize::from_bytes(4000));
        probes.expect(PROBE_OF_5000, 5, DataSize::from_bytes(5000));
        Self {
            estimator: DelayBasedBwe::new(MIN),
            throughput: ThroughputEstimator::new(),
            probes,
            now_us,
            arrival_offset_ms: 0,
            capacity_bps: 1_000_000,
            last_arrival_us: now_us,
            next_frame_us: 0,
            latest: None,
            is_updated: false,
            had_update: false,
        }
    }

    fn elapse_ms(&mut self, ms: i64) {
        self.now_us += ms * 1000;
    }

    fn now_ms(&self) -> i64 {
        (self.now_us + 500) / 1000
    }

    fn latest(&self) -> u64 {
        self.latest.expect("there was an update")
    }

    fn take_update(&mut self) -> bool {
        std::mem::take(&mut self.is_updated)
    }

    /// Takes one packet that arrives now.
    fn packet(&mut self, sent_ms: i64, size: i64, probe: Option<ProbeClusterId>) {
        let arrived = at_ms(self.now_ms() + self.arrival_offset_ms);
        let size = DataSize::from_bytes(size as u64);
        let packet = ReceivedPacket { sent: at_ms(sent_ms), arrived, size, probe };
        self.feedback(&[packet], Timestamp::from_micros(self.now_us));
    }

    fn feedback(&mut self, received: &[ReceivedPacket], now: Timestamp) -> Option<u64> {
        let probe = received.iter().filter_map(|packet| self.probes.handle_packet(packet)).next_back();
        self.throughput.update(received);
        let average = self.throughput.throughput();
        let update = self.estimator.update(received, Throughput { average, at_overuse: average }, probe, now);
        let rate = update.rate?.bps();
        self.latest = Some(rate);
        self.is_updated = true;
        Some(rate)
    }

    /// Sends a frame of a stream of `bitrate_bps` through the link and takes the feedback about it. True where that
    /// lowered the rate.
    fn frame(&mut self, bitrate_bps: u64, fps: i64) -> bool {
        let mut packets = Vec::new();
        if self.now_us >= self.next_frame_us {
            let bits = (bitrate_bps as i64 + fps / 2) / fps;
            let count = ((bits + 4 * MTU) / (8 * MTU)).max(1);
            let size = (bits + 4 * count) / (8 * count);
            for _ in 0..count {
                let bits_per_ms = self.capacity_bps / 1000;
                let needed_us = (8000 * size + bits_per_ms / 2) / bits_per_ms;
                self.last_arrival_us = self.now_us.max(self.last_arrival_us) + needed_us;
                packets.push(ReceivedPacket {
                    sent: Timestamp::from_micros(self.now_us + SEND_OFFSET_US),
                    arrived: Timestamp::from_micros(self.last_arrival_us + self.arrival_offset_ms * 1000),
                    size: DataSize::from_bytes(size as u64),
                    probe: None,
                });
            }
            self.next_frame_us = self.now_us + (1_000_000 + fps / 2) / fps;
        }
        let next_us = self.next_frame_us.max(self.now_us);
        if packets.is_empty() {
            return false;
        }
        self.is_updated = false;
        let feedback_ms = (self.last_arrival_us + 500) / 1000;
        let rate = self.feedback(&packets, at_ms(feedback_ms));
        let is_overuse = self.had_update && rate.is_some_and(|rate| rate < bitrate_bps);
        self.had_update |= rate.is_some();
        self.now_us = next_us;
        is_overuse
    }
}

const fn probe_id(id: u8) -> ProbeClusterId {
    match ProbeClusterId::new(id) {
        Some(id) => id,
        None => panic!("not a cluster"),
    }
}

const PROBE_0: ProbeClusterId = probe_id(1);
const PROBE_1: ProbeClusterId = probe_id(2);
const PROBE_OF_5000: ProbeClusterId = probe_id(3);

#[test]
fn probe_detection() {
    let mut test = Fixture::new();
    for _ in 0..5 {
        test.elapse_ms(10);
        test.packet(test.now_ms(), 1000, Some(PROBE_0));
    }
    assert!(test.take_update());
    for _ in 0..8 {
        test.elapse_ms(5);
        test.packet(test.now_ms(), 1000, Some(PROBE_1));
    }
    assert!(test.latest() > 1_500_000);
}

#[test]
fn probe_detection_non_paced_packets() {
    let mut test = Fixture::new();
    for _ in 0..5 {
        test.elapse_ms(5);
        let sent_ms = test.now_ms();
        test.packet(sent_ms, 1000, Some(PROBE_0));
        // Not of the probe, in between.
        test.packet(sent_ms, 100, None);
        test.elapse_ms(5);
    }
    assert!(test.latest() > 800_000, "{}", test.latest());
}

#[test]
fn probe_detection_faster_arrival() {
    let mut test = Fixture::new();
    for i in 1..=5 {
        test.elapse_ms(1);
        test.packet(10 * i, 1000, Some(PROBE_0));
    }
    assert!(!test.take_update());
}

#[test]
fn probe_detection_slower_arrival() {
    let mut test = Fixture::new();
    for i in 1..=8 {
        test.elapse_ms(7);
        test.packet(5 * i, 1000, Some(PROBE_1));
    }
    assert!(test.latest().abs_diff((0.95 * 1_140_000.0) as u64) <= 10_000, "{}", test.latest());
}

#[test]
fn probe_detection_slower_arrival_high_bitrate() {
    let mut test = Fixture::new();
    for i in 1..=8 {
        test.elapse_ms(2);
        test.packet(i, 1000, Some(PROBE_1));
    }
    assert!(test.latest().abs_diff((0.95 * 4_000_000.0) as u64) <= 10_000, "{}", test.latest());
}

/// Five seconds of a packet each 20 ms, the first five of which probe.
fn initial_packets(test: &mut Fixture) -> i64 {
    let mut sent_ms = 0;
    for i in 0..253 {
        if i == 2 {
            assert_eq!(test.estimator.rate_control.estimate(), None);
            assert!(!test.take_update());
        }
        test.packet(sent_ms, MTU, (i < 5).then_some(PROBE_OF_5000));
        test.elapse_ms(20);
        sent_ms += 20;
    }
    sent_ms
}

#[test]
fn initial_behavior() {
    let mut test = Fixture::new();
    assert_eq!(test.estimator.rate_control.estimate(), None);
    test.elapse_ms(1000);
    initial_packets(&mut test);
    assert!(test.latest().abs_diff(730_000) <= 50_000, "{}", test.latest());
    assert_eq!(test.estimator.rate_control.estimate().unwrap().bps(), test.latest());
}

#[test]
fn rate_increase_reordering() {
    let mut test = Fixture::new();
    let mut sent_ms = initial_packets(&mut test);
    assert!(test.latest().abs_diff(730_000) <= 50_000, "{}", test.latest());
    for _ in 0..10 {
        test.elapse_ms(40);
        sent_ms += 40;
        test.packet(sent_ms, 1000, None);
        test.packet(sent_ms - 20, 1000, None);
    }
    assert!(test.latest().abs_diff(730_000) <= 50_000, "{}", test.latest());
}

#[test]
fn rate_increase_rtp_timestamps() {
    let mut test = Fixture::new();
    let mut bitrate_bps = 30_000;
    let mut iterations = 0;
    while bitrate_bps < 500_000 {
        let is_overuse = test.frame(bitrate_bps, 30);
        assert!(!is_overuse || test.latest() > bitrate_bps);
        if is_overuse || test.take_update() {
            bitrate_bps = test.latest();
        }
        iterations += 1;
    }
    assert_eq!(iterations, 617);
}

/// Steady at 1 Mbit/s, then half of it: the time until the rate is below that.
fn capacity_drop(expected_ms: i64, clock_jump_ms: i64) {
    let mut test = Fixture::new();
    let mut bitrate_bps = 900_000;
    let mut was_overused = false;
    for _ in 0..300 {
        if test.frame(bitrate_bps, 30) {
            assert!((800_000..=1_100_000).contains(&test.latest()), "{}", test.latest());
            was_overused = true;
            bitrate_bps = test.latest();
        } else if test.take_update() {
            bitrate_bps = test.latest();
        }
        if was_overused && bitrate_bps >= 1_000_000 {
            break;
        }
    }
    assert!(was_overused);
    assert!(bitrate_bps.abs_diff(1_000_000) <= 180_000, "{bitrate_bps}");
    test.take_update();
    test.arrival_offset_ms += clock_jump_ms;
    test.capacity_bps = 500_000;
    let start_ms = test.now_ms();
    let mut dropped_ms = None;
    for _ in 0..100 {
        test.frame(bitrate_bps, 30);
        if test.latest() <= 500_000 {
            dropped_ms.get_or_insert(test.now_ms());
        }
        if test.take_update() {
            bitrate_bps = test.latest();
        }
    }
    let took_ms = dropped_ms.expect("the rate followed the capacity") - start_ms;
    assert!((took_ms - expected_ms).abs() <= 33, "{took_ms} ms, not {expected_ms}");
}

#[test]
fn capacity_drop_one_stream() {
    capacity_drop(500, 0);
}

#[test]
fn capacity_drop_pos_offset_change() {
    capacity_drop(867, 30_000);
}

#[test]
fn capacity_drop_neg_offset_change() {
    capacity_drop(933, -30_000);
}

#[test]
fn timestamp_grouping() {
    let mut test = Fixture::new();
    let mut sent_ms = 0;
    for _ in 0..300 {
        test.packet(sent_ms, 1000, None);
        test.elapse_ms(20);
        sent_ms += 20;
    }
    assert!(test.latest() >= 400_000, "{}", test.latest());
    // Batches that were sent close together and arrive 10 ms further apart each.
    for _ in 0..100 {
        for _ in 0..15 {
            test.packet(sent_ms, 100, None);
            test.elapse_ms(1);
            sent_ms += 1;
        }
        test.elapse_ms(10);
        sent_ms += 20 - 15;
    }
    assert!(test.latest() < 400_000, "{}", test.latest());
}

/// A sender that was silent, by whose clock no time went by.
fn silence(silence_s: i64) {
    let mut test = Fixture::new();
    let mut sent_ms = 0;
    for _ in 0..3000 {
        test.packet(sent_ms, 1000, None);
        test.elapse_ms(10);
        sent_ms += 10;
    }
    let before = test.estimator.rate_control.estimate().unwrap();
    test.elapse_ms(silence_s * 1000);
    for _ in 0..24 {
        test.packet(sent_ms, 1000, None);
        test.elapse_ms(20);
        sent_ms += 10;
    }
    assert!(test.estimator.rate_control.estimate().unwrap() < before);
}

#[test]
fn short_timeout_and_wrap() {
    silence(35);
}

#[test]
fn long_timeout_and_wrap() {
    silence(640);
}

#[test]
fn initial_overuse() {
    let mut test = Fixture::new();
    test.capacity_bps = 200_000;
    test.estimator.set_start_rate(Bitrate::from_kbps(300));
    let mut bitrate_bps = 300_000;
    let is_overused = (0..40).any(|_| {
        let is_overuse = test.frame(bitrate_bps, 90);
        if !is_overuse && test.take_update() {
            bitrate_bps = test.latest();
        }
        is_overuse
    });
    assert!(is_overused);
    assert!((160_001..=200_000).contains(&test.latest()), "{}", test.latest());
}
