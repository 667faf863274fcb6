//! A bridge and its receivers in virtual time, behind a line of some rate: frames, pacer, probes and padding on one side,
//! transport-wide feedback each 100 ms on the other. Frames come 30 times a second, a little off their time and their
//! size; the queue of the line holds 300 ms. Run with `--nocapture` for the figures.

mod world;

use std::ops::Range;
use std::time::Duration;

use bwe::LossBasedState;
use model::Bitrate;
use sim::Conditions;
use world::{Client, Sender, World};

const PATH: Conditions = Conditions::clean(Duration::from_millis(25));

const SEEDS: Range<u64> = 1..11;

const fn kbps(kbps: u64) -> Bitrate {
    Bitrate::from_kbps(kbps)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Estimates in terms of the rate of a line.
struct Samples(Vec<f64>);

impl Samples {
    fn of(world: &World, client: usize, line: Bitrate, within: Range<Duration>) -> Self {
        let samples = world.estimates(client, within).into_iter();
        Self(samples.map(|(_, rate)| rate.bps() as f64 / line.bps() as f64).collect())
    }

    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn greatest(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }

    /// Part of them that lies further from the mean than a fifth of it.
    fn outliers(&self) -> f64 {
        let mean = self.mean();
        let outliers = self.0.iter().filter(|sample| (**sample / mean - 1.0).abs() > 0.2).count();
        outliers as f64 / self.0.len() as f64
    }
}

/// Jain's index of fairness: 1 where all get the same, 1/n where one gets all.
fn jain(world: &World, within: Range<u64>) -> f64 {
    let rates = [0, 1].map(|client| world.throughput(client, secs(within.start)..secs(within.end)).bps() as f64);
    let sum: f64 = rates.iter().sum();
    sum * sum / (2.0 * rates.iter().map(|rate| rate * rate).sum::<f64>())
}

/// When an estimate first fulfils a condition, from some time on.
fn reached(world: &World, from: Duration, is_there: impl Fn(Bitrate) -> bool) -> Duration {
    let samples = world.estimates(0, from..secs(3600));
    let (at, _) = samples.into_iter().find(|(_, rate)| is_there(*rate)).expect("it gets there");
    at - from
}

/// Issue "Step 4", item 4: within 3 s at 85 to 100 % of a line of 2 Mbit/s, then no swing beyond 20 %. Mean 94 %, 82 to
/// 106 %, nothing dropped.
#[test]
fn the_estimate_converges_and_stays() {
    let line = kbps(2000);
    for seed in SEEDS {
        let mut world = World::new(PATH, seed, line);
        world.add(Client::wanting(kbps(5000)));
        world.run(secs(120));
        let start = Samples::of(&world, 0, line, secs(1)..secs(3));
        assert!(0.85 <= start.least() && start.greatest() <= 1.0, "{}..{}", start.least(), start.greatest());
        let steady = Samples::of(&world, 0, line, secs(3)..secs(120));
        let (mean, least, greatest) = (steady.mean(), steady.least(), steady.greatest());
        println!("seed {seed}: mean {mean:.3}, {least:.2} to {greatest:.2}, {} dropped", world.dropped());
        assert!((0.9..1.0).contains(&mean), "{mean}");
        assert_eq!(steady.outliers(), 0.0);
        assert_eq!(world.dropped(), 0);
    }
}

/// The same for an encoder whose frames vary twice as much.
#[test]
fn an_uneven_encoder_is_estimated_nearly_as_well() {
    let line = kbps(2000);
    for seed in SEEDS {
        let mut world = World::new(PATH, seed, line);
        world.add(Client::wanting(kbps(5000)).with_variation(20));
        world.run(secs(120));
        let steady = Samples::of(&world, 0, line, secs(3)..secs(120));
        println!("seed {seed}: mean {:.3}, outliers {:.3}", steady.mean(), steady.outliers());
        assert!((0.88..1.0).contains(&steady.mean()), "{}", steady.mean());
        assert!(steady.outliers() < 0.02, "{}", steady.outliers());
    }
}

/// Issue "Step 4", item 4: Jain's index of at least 0.9, over two minutes after the first ten seconds, without a queue
/// that stands. Who backs off first is chance, so that the shares wander: of 160 single minutes the mean was 0.977, and
/// four were below 0.9, the worst at 0.86.
#[test]
fn two_receivers_share_a_line() {
    let line = kbps(2000);
    for seed in SEEDS {
        let mut world = World::new(PATH, seed, line);
        world.add(Client::wanting(kbps(5000)));
        world.add(Client::wanting(kbps(5000)));
        world.run(secs(10));
        let dropped = world.dropped();
        world.run(secs(120));
        let fairness = jain(&world, 10..130);
        let dropped = world.dropped() - dropped;
        println!("seed {seed}: {fairness:.3}, {dropped} dropped");
        assert!(fairness >= 0.9, "{fairness:?}");
        // Of about 26 000 packets.
        assert!(dropped < 130, "{dropped}");
        let used: u64 = [0, 1].iter().map(|client| world.throughput(*client, secs(10)..secs(130)).bps()).sum();
        assert!(used as f64 > 0.88 * line.bps() as f64, "{used}");
    }
}

/// One that comes later gets its share, though the other has the line.
#[test]
fn a_late_receiver_gets_its_share() {
    for seed in SEEDS {
        let mut world = World::new(PATH, seed, kbps(4000));
        world.add(Client::wanting(kbps(5000)));
        world.add(Client::wanting(kbps(5000)).joining_after(secs(10)));
        world.run(secs(130));
        let fairness = jain(&world, 10..130);
        println!("seed {seed}: {fairness:.3}, of its first half minute {:.3}", jain(&world, 10..40));
        assert!(fairness >= 0.9, "{fairness:?}");
    }
}

/// 5, then 0.3, then 3 Mbit/s: down within a second and a half, up within six.
#[test]
fn steps_are_followed() {
    for seed in SEEDS {
        let mut world = World::new(PATH, seed, kbps(5000));
        world.add(Client::wanting(kbps(5000)));
        world.run(secs(20));
        world.set_rate(kbps(300));
        world.run(secs(30));
        world.set_rate(kbps(3000));
        world.run(secs(20));
        let down = reached(&world, secs(20), |rate| rate <= kbps(300));
        let up = reached(&world, secs(50), |rate| rate >= kbps(2550));
        let low = Samples::of(&world, 0, kbps(300), secs(25)..secs(50));
        println!("seed {seed}: down in {down:?}, {:.2} to {:.2} there, up in {up:?}", low.least(), low.greatest());
        assert!(down < secs(3), "{down:?}");
        assert!(up < secs(8), "{up:?}");
        assert!(low.least() > 0.7 && low.greatest() < 1.25, "{} to {}", low.least(), low.greatest());
    }
}

/// Loss that has nothing to do with the rate: half of the line and more is left at 10 %.
#[test]
fn random_loss_does_not_collapse_the_estimate() {
    let line = kbps(2000);
    for (loss, least_mean) in [(2, 0.85), (5, 0.75), (10, 0.5)] {
        for seed in SEEDS {
            let mut world = World::new(PATH.with_loss(loss), seed, line);
            world.add(Client::wanting(kbps(5000)));
            world.run(secs(60));
            let samples = Samples::of(&world, 0, line, secs(5)..secs(60));
            println!("{loss} %, seed {seed}: mean {:.2}, least {:.2}", samples.mean(), samples.least());
            assert!(samples.mean() > least_mean, "{}", samples.mean());
            assert!(samples.least() > 0.4, "{}", samples.least());
        }
    }
}

/// Half a minute of audio, then video: the estimate that audio could not prove is found within half a second, and does
/// not fall to what audio took.
#[test]
fn video_after_audio_finds_the_line() {
    let line = kbps(2000);
    for seed in SEEDS {
        let mut world = World::new(PATH, seed, line);
        world.add(Client::wanting(Bitrate::ZERO).with_audio());
        world.run(secs(30));
        let audio = world.statistics(0);
        assert!(audio.is_application_limited);
        assert_eq!(audio.counters.probe_clusters, 0);
        assert!(audio.estimate >= kbps(2500), "{}", audio.estimate);
        world.set_demand(0, kbps(5000));
        world.run(secs(30));
        let found = reached(&world, secs(30), |rate| rate <= line);
        let video = Samples::of(&world, 0, line, secs(30) + found..secs(60));
        println!("seed {seed}: found in {found:?}, then {:.2} to {:.2}", video.least(), video.greatest());
        assert!(found < Duration::from_millis(500), "{found:?}");
        assert!(video.least() > 0.75 && video.greatest() < 1.2, "{} to {}", video.least(), video.greatest());
        assert!(!world.statistics(0).is_application_limited);
    }
}

/// A bridge sends layers, not rates: between two of them padding and probes find that the next fits.
#[test]
fn the_next_layer_is_found() {
    for seed in SEEDS {
        let mut world = World::new(PATH, seed, kbps(4000));
        world.add(Client::wanting(kbps(2500)).sent_by(Sender::Layered));
        world.run(secs(10));
        world.set_rate(kbps(500));
        world.run(secs(20));
        let low = Samples::of(&world, 0, kbps(500), secs(15)..secs(30));
        world.set_rate(kbps(4000));
        world.run(secs(20));
        let up = reached(&world, secs(30), |rate| rate >= kbps(2500));
        println!("seed {seed}: {:.2} to {:.2} at 0.5 Mbit/s, up in {up:?}", low.least(), low.greatest());
        assert!(low.least() > 0.7 && low.greatest() < 1.25, "{} to {}", low.least(), low.greatest());
        assert!(up < secs(10), "{up:?}");
        assert_eq!(world.statistics(0).loss_state, LossBasedState::DelayBased);
        // What is wanted is there: no more probes.
        let clusters = world.statistics(0).counters.probe_clusters;
        world.run(secs(30));
        assert_eq!(world.statistics(0).counters.probe_clusters, clusters);
    }
}
