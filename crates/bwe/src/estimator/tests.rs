use proptest::prelude::*;
use rtp::rtcp::{ArrivalDelta, Compound, RtcpPacket, TwccFeedbackHeader, write_twcc_feedback};

use super::*;
use model::Ssrc;

const PACKET: DataSize = DataSize::from_bytes(1000);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn kbps(kbps: u64) -> Bitrate {
    Bitrate::from_kbps(kbps)
}

/// Hands over a feedback as it comes from the wire.
fn feed(
    estimator: &mut BandwidthEstimator,
    now: Instant,
    base_seq: u16,
    reference_time: i32,
    statuses: &[Option<ArrivalDelta>],
) {
    let header = TwccFeedbackHeader {
        sender_ssrc: Ssrc(1),
        media_ssrc: Ssrc(2),
        base_seq: TwccSeq(base_seq),
        reference_time,
        feedback_count: 0,
    };
    let mut out = Vec::new();
    write_twcc_feedback(&mut out, &header, statuses);
    let Some(Ok(RtcpPacket::TransportFeedback(feedback))) = Compound::new(&out).next() else { panic!("no feedback") };
    estimator.handle_feedback(now, &feedback);
}

/// Sends a packet each 50 ms for some time, acknowledged one by one, each `growth_ms` later than the one before
/// (`packetTransmissionAndFeedbackBlock` of the upstream file). Answers the time at its end.
fn transmit(estimator: &mut BandwidthEstimator, start: Instant, epoch: Instant, growth_ms: u64) -> Instant {
    let mut now = start;
    let mut delay = Duration::ZERO;
    while now < start + ms(6000) {
        let seq = estimator.handle_sent(now, PACKET, None);
        let arrived = now + delay;
        delay += ms(growth_ms);
        let ticks = (arrived - epoch).as_millis() as i64 * 4;
        let delta = ArrivalDelta((ticks % 256) as i16);
        feed(estimator, arrived.max(now), seq.0, (ticks / 256) as i32, &[Some(delta)]);
        now += ms(50);
        estimator.handle_timeout(now);
    }
    now
}

/// `GoogCcNetworkControllerTest`, "UpdatesDelayBasedEstimate" (jitsi-videobridge, libwebrtc).
#[test]
fn a_growing_delay_lowers_the_estimate() {
    let start = sim::start();
    let settings = Settings { initial: kbps(60), min: kbps(5), max: kbps(300), ..Settings::default() };
    let mut estimator = BandwidthEstimator::new(start, settings);
    let now = transmit(&mut estimator, start, start, 0);
    let before = estimator.estimate();
    transmit(&mut estimator, now, start, 50);
    assert!(estimator.estimate() < before, "{} after {before}", estimator.estimate());
}

/// Sends a packet each 5 ms, 1.6 Mbit/s, over a line without latency; answers the estimates before it is cut for so long and after.
fn estimates_around_a_cut(cut: Duration) -> (Bitrate, Bitrate) {
    let start = sim::start();
    let mut estimator = BandwidthEstimator::new(start, Settings::default());
    let (cut_at, back_at) = (start + ms(5000), start + ms(5000) + cut);
    let (mut before, mut unreported) = (Bitrate::ZERO, Vec::new());
    let mut now = start;
    while now < back_at + ms(2000) {
        let seq = estimator.handle_sent(now, PACKET, None).0;
        unreported.push((seq, (now < cut_at || now >= back_at).then_some(now)));
        now += ms(5);
        let is_due = (now - start).as_millis().is_multiple_of(100) && (now <= cut_at || now > back_at + ms(100));
        if is_due {
            let ticks = |at: Instant| (at - start).as_millis() as i64 * 4;
            let first = unreported.iter().find_map(|(_, arrived)| *arrived).unwrap();
            let mut last = ticks(first) / 256 * 256;
            let statuses = unreported.iter().map(|(_, arrived)| {
                arrived.map(|arrived| {
                    let delta = ticks(arrived) - last;
                    last = ticks(arrived);
                    ArrivalDelta(delta as i16)
                })
            });
            let statuses: Vec<_> = statuses.collect();
            feed(&mut estimator, now, unreported[0].0, (ticks(first) / 256) as i32, &statuses);
            unreported.clear();
        }
        estimator.handle_timeout(now);
        if now == cut_at {
            before = estimator.estimate();
        }
    }
    (before, estimator.estimate())
}

#[test]
fn a_line_that_was_cut_carries_what_it_did_before() {
    for cut in [ms(350), ms(1000), ms(2500)] {
        let (before, after) = estimates_around_a_cut(cut);
        assert!(after >= before.scaled(0.9), "{after} after {cut:?}, {before} before");
    }
    // The rate was cut for the want of feedback, by a fifth a second after three.
    let (before, after) = estimates_around_a_cut(ms(8000));
    assert!(after >= before.scaled(0.2), "{after}, {before} before");
}

/// `GoogCcNetworkControllerTest`, "InitializeTargetRateOnFirstProcessInterval": probes at 3 and 5 (of 6) times the start.
#[test]
fn the_first_media_packet_starts_the_exponential_probing() {
    let start = sim::start();
    let settings = Settings { initial: kbps(60), min: kbps(5), max: kbps(300), ..Settings::default() };
    let mut estimator = BandwidthEstimator::new(start, settings);
    assert_eq!((estimator.estimate(), estimator.poll_timeout()), (kbps(60), None));
    // Audio does not.
    estimator.handle_sent(start, DataSize::from_bytes(120), None);
    assert_eq!(estimator.poll_probe(start), None);
    let mut rates = Vec::new();
    estimator.handle_sent(start, PACKET, None);
    for i in 0..500 {
        let now = start + ms(i);
        while let Some(probe) = estimator.poll_probe(now) {
            estimator.handle_sent(now, probe.size, Some(probe.cluster));
            rates.push(probe.bitrate);
        }
    }
    rates.dedup();
    assert_eq!(rates, [kbps(180), kbps(300)]);
}

/// `GoogCcNetworkControllerTest`, "ReactsToChangedNetworkConditions".
#[test]
fn remb_is_followed_where_it_was_negotiated() {
    let start = sim::start();
    let settings = Settings { initial: kbps(60), feedback: FeedbackKind::Remb, ..Settings::default() };
    let mut estimator = BandwidthEstimator::new(start, settings);
    for (at, rate) in [(0, 120), (25, 60), (50, 5000), (5000, 400), (60_000, 900)] {
        estimator.handle_remb(start + ms(at), kbps(rate));
        assert_eq!(estimator.estimate(), kbps(rate));
    }
    estimator.handle_remb(start + ms(70_000), Bitrate::MAX);
    assert_eq!(estimator.estimate(), Settings::default().max);
    estimator.handle_remb(start + ms(70_000), Bitrate::ZERO);
    assert_eq!(estimator.estimate(), Settings::default().min);
}

#[test]
fn loss_in_reports_limits_what_remb_allows() {
    let start = sim::start();
    let settings = Settings { feedback: FeedbackKind::Remb, ..Settings::default() };
    let mut estimator = BandwidthEstimator::new(start, settings);
    for i in 0..10 {
        estimator.handle_remb(start + ms(i * 1000), kbps(3000));
        estimator.handle_receiver_report_loss(start + ms(i * 1000), 0, 100);
    }
    assert_eq!(estimator.estimate(), kbps(3000));
    estimator.handle_receiver_report_loss(start + ms(10_000), 20, 100);
    assert_eq!(estimator.estimate(), kbps(2700));
    assert!((estimator.loss() - 0.2).abs() < 1e-9);
}

#[test]
fn remb_is_ignored_where_it_was_not_negotiated() {
    let start = sim::start();
    let mut estimator = BandwidthEstimator::new(start, Settings::default());
    estimator.handle_remb(start, kbps(100));
    assert_eq!(estimator.estimate(), Settings::default().initial);
    assert_eq!(estimator.statistics().counters.dropped_feedbacks, 1);
}

#[test]
fn padding_fills_up_to_the_estimate_while_more_is_wanted() {
    let start = sim::start();
    let mut estimator = BandwidthEstimator::new(start, Settings::default());
    assert_eq!(estimator.padding(), Bitrate::ZERO);
    let demand = |sent, ideal| Demand { sent: kbps(sent), ideal: kbps(ideal), is_starved: false };
    estimator.set_demand(start, demand(700, 2000));
    assert_eq!(estimator.padding(), Bitrate::ZERO);
    estimator.set_demand(start, demand(700, 4000));
    assert_eq!(estimator.padding(), kbps(1800));
    estimator.set_demand(start, demand(3000, 4000));
    assert_eq!(estimator.padding(), Bitrate::ZERO);
}

#[test]
fn nothing_is_due_while_nothing_flows() {
    let start = sim::start();
    let mut estimator = BandwidthEstimator::new(start, Settings::default());
    estimator.set_demand(start, Demand { sent: kbps(40), ideal: kbps(40), is_starved: false });
    for i in 0..100 {
        let now = start + ms(i * 20);
        let seq = estimator.handle_sent(now, DataSize::from_bytes(120), None);
        let ticks = i as i32 * 80;
        feed(&mut estimator, now + ms(10), seq.0, ticks / 256, &[Some(ArrivalDelta((ticks % 256) as i16))]);
    }
    assert!(estimator.statistics().is_application_limited);
    assert_eq!(estimator.poll_timeout(), None);
}

#[test]
fn statuses_are_counted_by_what_they_say() {
    let start = sim::start();
    let mut estimator = BandwidthEstimator::new(start, Settings::default());
    for _ in 0..10 {
        estimator.handle_sent(start, PACKET, None);
    }
    let arrived = Some(ArrivalDelta(4));
    feed(&mut estimator, start + ms(50), 0, 7, &[arrived; 4]);
    assert_eq!(estimator.statistics().counters.ignored_statuses, 0);
    // Four known ones, six new ones, then one that was not sent, after which nobody looks.
    feed(&mut estimator, start + ms(100), 0, 8, &[arrived; 5000]);
    assert_eq!(estimator.statistics().counters.ignored_statuses, 5);
    assert_eq!(estimator.statistics().counters.feedbacks, 2);
    feed(&mut estimator, start + ms(100), 40_000, 8, &[arrived; 5000]);
    assert_eq!(estimator.statistics().counters.dropped_feedbacks, 1);
}

#[derive(Clone, Debug)]
enum Event {
    Sent { size: u16, probe: bool, after_us: u32 },
    Feedback { base: i16, reference: i32, statuses: Vec<Option<i16>>, repeat: u16, after_us: u32 },
    Report { lost: u64, expected: u64 },
    Rtt(u64),
    Remb(u64),
    Demand(u64, u64),
    PathChange,
    Timeout { after_ms: u64, back: bool },
}

fn event() -> impl Strategy<Value = Event> {
    let status = prop_oneof![
        4 => (0_i16..200).prop_map(Some),
        2 => Just(None),
        1 => any::<i16>().prop_map(Some),
    ];
    // Near what was sent, or anywhere.
    let base = prop_oneof![3 => -60_i16..20, 1 => any::<i16>()];
    let reference = prop_oneof![3 => 0_i32..50, 1 => any::<i32>()];
    prop_oneof![
        20 => (any::<u16>(), any::<bool>(), 0_u32..20_000)
            .prop_map(|(size, probe, after_us)| Event::Sent { size, probe, after_us }),
        8 => (base, reference, prop::collection::vec(status, 0..60), 0_u16..3, 0_u32..100_000).prop_map(
            |(base, reference, statuses, repeat, after_us)| {
                Event::Feedback { base, reference, statuses, repeat, after_us }
            }
        ),
        1 => (any::<u64>(), any::<u64>()).prop_map(|(lost, expected)| Event::Report { lost, expected }),
        1 => any::<u64>().prop_map(Event::Rtt),
        1 => any::<u64>().prop_map(Event::Remb),
        1 => (any::<u64>(), any::<u64>()).prop_map(|(sent, ideal)| Event::Demand(sent, ideal)),
        1 => Just(Event::PathChange),
        3 => (0_u64..100_000, any::<bool>()).prop_map(|(after_ms, back)| Event::Timeout { after_ms, back }),
    ]
}

/// `GoogCcNetworkControllerTest`, "OnNetworkRouteChanged", "ProbeAfterRouteChangeWhenTransportWritable" (libwebrtc): the
/// rate of the start, two probes with the first packets, and nothing of before.
#[test]
fn another_path_starts_anew() {
    let start = sim::start();
    let settings = Settings { initial: kbps(60), min: kbps(5), max: kbps(300), ..Settings::default() };
    let mut estimator = BandwidthEstimator::new(start, settings);
    let now = transmit(&mut estimator, start, start, 0);
    assert!(estimator.estimate() > kbps(60), "{}", estimator.estimate());
    let late = estimator.handle_sent(now, PACKET, None);
    let clusters = estimator.counters.probe_clusters;
    estimator.on_path_change();
    assert_eq!(estimator.estimate(), kbps(60));
    assert_eq!(estimator.statistics().throughput, None);
    // What left on the old path is no news.
    let ignored = estimator.counters.ignored_statuses;
    feed(&mut estimator, now + ms(10), late.0, 0, &[None]);
    assert_eq!((estimator.counters.ignored_statuses - ignored, estimator.loss()), (1, 0.0));
    let next = estimator.handle_sent(now + ms(20), PACKET, None);
    assert_eq!(next, TwccSeq(late.0 + 1));
    assert_eq!(estimator.counters.probe_clusters - clusters, 2);
}

/// `GoogCcScenario`, "MaintainsLowRateInSafeResetTrial" (libwebrtc).
#[test]
fn another_path_starts_no_faster_than_the_old_one() {
    let start = sim::start();
    let settings = Settings { initial: kbps(2500), min: kbps(5), ..Settings::default() };
    let mut estimator = BandwidthEstimator::new(start, settings);
    transmit(&mut estimator, start, start, 50);
    let before = estimator.estimate();
    assert!(before < kbps(2500), "{before}");
    estimator.on_path_change();
    assert_eq!(estimator.estimate(), before);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever comes in whatever order, with clocks that jump: no panic, an estimate within its bounds, probes that
    /// end, and bounded memory.
    #[test]
    fn no_input_breaks_the_bounds(events in prop::collection::vec(event(), 1..400), is_remb in any::<bool>()) {
        let start = sim::start();
        let feedback = if is_remb { FeedbackKind::Remb } else { FeedbackKind::TransportWide };
        let settings = Settings { feedback, ..Settings::default() };
        let mut estimator = BandwidthEstimator::new(start, settings);
        let mut now = start + ms(1_000_000);
        let mut cluster = None;
        let mut last = TwccSeq(0);
        for event in events {
            match event {
                Event::Sent { size, probe, after_us } => {
                    now += Duration::from_micros(after_us.into());
                    let size = DataSize::from_bytes(size.into());
                    last = estimator.handle_sent(now, size, if probe { cluster } else { None });
                }
                Event::Feedback { base, reference, statuses, repeat, after_us } => {
                    now += Duration::from_micros(after_us.into());
                    let statuses: Vec<_> = statuses.into_iter().map(|delta| delta.map(ArrivalDelta)).collect();
                    for _ in 0..=repeat {
                        feed(&mut estimator, now, last.0.wrapping_add_signed(base), reference, &statuses);
                    }
                }
                Event::Report { lost, expected } => estimator.handle_receiver_report_loss(now, lost, expected),
                Event::Rtt(nanos) => estimator.handle_rtt(Duration::from_nanos(nanos)),
                Event::Remb(bps) => estimator.handle_remb(now, Bitrate::from_bps(bps)),
                Event::Demand(sent, ideal) => {
                    let (sent, ideal) = (Bitrate::from_bps(sent), Bitrate::from_bps(ideal));
                    estimator.set_demand(now, Demand { sent, ideal, is_starved: sent > ideal });
                }
                Event::PathChange => estimator.on_path_change(),
                Event::Timeout { after_ms, back } => {
                    now = if back { start } else { now + ms(after_ms) };
                    estimator.handle_timeout(now);
                }
            }
            let mut bursts = 0;
            while let Some(probe) = estimator.poll_probe(now) {
                cluster = Some(probe.cluster);
                bursts += 1;
                prop_assert!(bursts < 100);
            }
            let estimate = estimator.estimate();
            prop_assert!(settings.min <= estimate && estimate <= settings.max, "{estimate}");
            prop_assert!((0.0..=1.0).contains(&estimator.loss()), "{}", estimator.loss());
            let _ = (estimator.poll_timeout(), estimator.padding(), estimator.statistics());
            prop_assert!(estimator.sent.len() <= (1 << 15) + 64);
        }
    }

    /// Packets that are only noted count as those of which everything is told at once.
    #[test]
    fn what_is_told_late_makes_no_difference(events in prop::collection::vec(event(), 1..400)) {
        let start = sim::start();
        let [mut at_once, mut late] = [(); 2].map(|()| BandwidthEstimator::new(start, Settings::default()));
        let mut now = start + ms(1_000);
        let (mut last, mut cluster) = (TwccSeq(0), None);
        for event in events {
            match event {
                Event::Sent { size, probe, after_us } => {
                    now += Duration::from_micros(after_us.into());
                    let (size, probe) = (DataSize::from_bytes(size.into()), if probe { cluster } else { None });
                    last = at_once.handle_sent(now, size, probe);
                    at_once.catch_up();
                    prop_assert_eq!(late.handle_sent(now, size, probe), last);
                    continue;
                }
                Event::Feedback { base, reference, statuses, after_us, .. } => {
                    now += Duration::from_micros(after_us.into());
                    let statuses: Vec<_> = statuses.into_iter().map(|delta| delta.map(ArrivalDelta)).collect();
                    let base = last.0.wrapping_add_signed(base);
                    for estimator in [&mut at_once, &mut late] {
                        feed(estimator, now, base, reference, &statuses);
                    }
                }
                Event::Demand(sent, ideal) => {
                    let (sent, ideal) = (Bitrate::from_bps(sent), Bitrate::from_bps(ideal));
                    let demand = Demand { sent, ideal, is_starved: sent > ideal };
                    for estimator in [&mut at_once, &mut late] {
                        estimator.set_demand(now, demand);
                    }
                }
                Event::PathChange => {
                    for estimator in [&mut at_once, &mut late] {
                        estimator.on_path_change();
                    }
                }
                Event::Timeout { after_ms, .. } => {
                    now += ms(after_ms);
                    for estimator in [&mut at_once, &mut late] {
                        estimator.handle_timeout(now);
                    }
                }
                Event::Report { .. } | Event::Rtt(_) | Event::Remb(_) => {}
            }
            loop {
                let probe = at_once.poll_probe(now);
                prop_assert_eq!(late.poll_probe(now), probe);
                cluster = probe.map(|probe| probe.cluster).or(cluster);
                if probe.is_none() {
                    break;
                }
            }
            prop_assert_eq!(late.estimate(), at_once.estimate());
            prop_assert_eq!(late.poll_timeout(), at_once.poll_timeout());
            prop_assert_eq!(late.padding(), at_once.padding());
            prop_assert_eq!(late.sent.len(), at_once.sent.len());
        }
    }

    /// A caller that handles what is due until nothing is comes to an end.
    #[test]
    fn a_timeout_that_was_handled_is_not_due_any_more(events in prop::collection::vec(event(), 1..100)) {
        let start = sim::start();
        let mut estimator = BandwidthEstimator::new(start, Settings::default());
        let mut now = start;
        for event in events {
            if let Event::Sent { size, after_us, .. } = event {
                now += Duration::from_micros(after_us.into());
                estimator.handle_sent(now, DataSize::from_bytes(size.into()), None);
            }
            // As a shard does: until nothing is due.
            for round in 0.. {
                let Some(due) = estimator.poll_timeout().filter(|due| *due <= now) else { break };
                prop_assert!(round < 10, "{due:?} stays due at {now:?}");
                estimator.handle_timeout(now);
                while estimator.poll_probe(now).is_some() {}
            }
        }
    }
}
