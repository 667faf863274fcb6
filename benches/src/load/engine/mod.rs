//! Runs a scenario: threads with participants, each a task with its WebSocket and its socket for media.
//!
//! Not here: what a participant says and does (`participant`), what is made of the figures (`report`).
#![allow(clippy::disallowed_methods, reason = "the engine reads the clock")]

mod client;
mod connect;
mod crew;
mod opener;
mod socket;
mod timeline;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use dtls::DtlsContext;
use tokio::sync::{mpsc, watch};

use self::crew::{Crew, CrewReport};
use self::opener::Opener;
use self::timeline::Timeline;
use super::measure::{Measurements, Phase, Sample};
use super::media::{Library, MediaClock, MediaTime};
use super::participant::Failure;
use super::scenario::{Scenario, SignalingKind, Target, TargetOptions};

pub use connect::fetch_config;

/// How often threads say what they measured.
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// Between the last join and the steady part: the first key frames and layers.
const SETTLING_TIME: Duration = Duration::from_secs(3);
/// How long those may take who are still joining when all others have joined or failed.
const STRAGGLER_TIME: Duration = Duration::from_secs(60);
/// How long leaving may take.
const LEAVING_TIME: Duration = Duration::from_secs(5);

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// After its duration.
    Complete,
    /// Somebody stopped it.
    Stopped,
    /// No participant was left.
    NobodyLeft,
}

/// What all participants of a process share.
struct Shared {
    scenario: Scenario,
    target: Target,
    timeline: Timeline,
    library: Arc<Library>,
    context: Arc<DtlsContext>,
    clock: MediaClock,
    tls: Arc<rustls::ClientConfig>,
    /// Differs from run to run; the number of the first room where rooms have numbers.
    run: u64,
    start: Instant,
}

/// Runs a scenario against a target until it is over or `stop` says so. `sink` gets a sample each second, from this thread.
///
/// # Errors
/// This host lacks what the load generator needs; never for what the target does.
pub fn run(
    scenario: &Scenario,
    target: &Target,
    stop: &watch::Receiver<bool>,
    mut sink: impl FnMut(Sample),
) -> anyhow::Result<Ending> {
    anyhow::ensure!(
        !scenario.svc || target.signaling == SignalingKind::Jitsi,
        "--svc goes with --signaling jitsi only"
    );
    let trust = net::ServerTrust::of_flag(target.insecure);
    let tls = Arc::new(net::client_config(trust)?);
    let opener = target.opener.as_ref().map(|login| Opener::start(scenario, target, login, &tls)).transpose()?;
    let (start, wall) = (Instant::now(), SystemTime::UNIX_EPOCH.elapsed()?);
    let shared = Arc::new(Shared {
        scenario: scenario.clone(),
        target: target.clone(),
        timeline: Timeline::new(scenario),
        library: Arc::new(Library::new().context("clips of the load generator")?),
        context: Arc::new(DtlsContext::new()?),
        // The wall time: participants of other processes may be in the same room.
        clock: MediaClock::new(start, MediaTime(wall.as_micros().try_into()?)),
        tls,
        // Some of the numbers that JSON can hold.
        run: u64::from(rand::random::<u32>()) << 16,
        start,
    });
    let (phase_sender, phase) = watch::channel(Phase::Joining);
    let (report_sender, mut reports) = mpsc::unbounded_channel();
    let threads = scenario.threads.min(scenario.total_participants());
    let crews = (0..threads).map(|thread| {
        let (shared, phase, reports) = (Arc::clone(&shared), phase.clone(), report_sender.clone());
        let name = format!("load-{thread}");
        thread::Builder::new().name(name).spawn(move || Crew::new(shared, thread, threads, phase, reports).run())
    });
    let crews = crews.collect::<Result<Vec<_>, _>>().context("cannot start a thread")?;
    drop(report_sender);
    let mut director = Director::new(scenario, start, threads);
    let ending = director.direct(&mut reports, stop, &phase_sender, &mut sink);
    for crew in crews {
        match crew.join() {
            Ok(result) => result?,
            Err(_) => anyhow::bail!("a thread of the load generator panicked"),
        }
    }
    if let Some(opener) = opener {
        opener.stop()?;
    }
    Ok(ending)
}

/// Decides on the phases of a run by what the threads report.
struct Director {
    start: Instant,
    duration: Duration,
    participants: u64,
    threads: usize,
    phase: Phase,
    phase_since: Instant,
    /// When nobody was joining any more.
    all_in: Option<Instant>,
    last_join: Instant,
    used_cpu: Duration,
}

impl Director {
    fn new(scenario: &Scenario, start: Instant, threads: usize) -> Self {
        Self {
            start,
            duration: scenario.duration,
            participants: scenario.total_participants() as u64,
            threads,
            phase: Phase::Joining,
            phase_since: start,
            all_in: None,
            last_join: start + Timeline::new(scenario).last_join(),
            used_cpu: own_cpu_time(),
        }
    }

    fn direct(
        &mut self,
        reports: &mut mpsc::UnboundedReceiver<CrewReport>,
        stop: &watch::Receiver<bool>,
        phase: &watch::Sender<Phase>,
        sink: &mut impl FnMut(Sample),
    ) -> Ending {
        let mut ending = Ending::Complete;
        let mut living = self.threads;
        let mut round: Vec<CrewReport> = Vec::with_capacity(self.threads);
        // A report of each living thread makes a sample; the channel ends with the last thread.
        while let Some(report) = reports.blocking_recv() {
            living -= usize::from(report.is_last);
            round.push(report);
            let waits_for = round.iter().filter(|report| !report.is_last).count();
            if waits_for < living {
                continue;
            }
            let sample = self.sample(&mut round);
            let gauges = sample.gauges;
            sink(sample);
            let now = Instant::now();
            let next = match self.phase {
                Phase::Leaving => Phase::Leaving,
                _ if *stop.borrow() => {
                    ending = Ending::Stopped;
                    Phase::Leaving
                }
                _ if gauges.failed >= self.participants => {
                    ending = Ending::NobodyLeft;
                    Phase::Leaving
                }
                Phase::Joining => {
                    let is_all_in = now >= self.last_join && gauges.joining == 0;
                    let all_in = is_all_in.then(|| *self.all_in.get_or_insert(now));
                    let is_settled = all_in.is_some_and(|at| now.saturating_duration_since(at) >= SETTLING_TIME);
                    let is_too_late = now >= self.last_join + STRAGGLER_TIME;
                    if is_settled || is_too_late { Phase::Steady } else { Phase::Joining }
                }
                Phase::Steady if now.saturating_duration_since(self.phase_since) >= self.duration => Phase::Leaving,
                Phase::Steady => Phase::Steady,
            };
            if next != self.phase {
                self.phase = next;
                self.phase_since = now;
                phase.send_replace(next);
            }
        }
        ending
    }

    fn sample(&mut self, round: &mut Vec<CrewReport>) -> Sample {
        let mut measurements = Measurements::default();
        let mut gauges = super::measure::Gauges::default();
        for report in round.drain(..) {
            measurements.merge(&report.measurements);
            gauges += report.gauges;
        }
        let used = own_cpu_time();
        let load_cpu = used.saturating_sub(std::mem::replace(&mut self.used_cpu, used));
        Sample { at: self.start.elapsed(), phase: self.phase, measurements, gauges, load_cpu }
    }
}

/// User and system time of this process.
fn own_cpu_time() -> Duration {
    // Every Linux has this clock.
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// The target of the options; reads its `config.js` unless all is said.
///
/// # Errors
/// The `config.js` cannot be fetched.
pub fn find_target(options: &TargetOptions) -> Result<Target, Failure> {
    let script = if options.is_complete() || options.signaling != SignalingKind::Jitsi {
        String::new()
    } else {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(super::measure::FailureCause::Local, error.to_string()))?;
        runtime.block_on(fetch_config(&options.url, options.insecure))?
    };
    Ok(options.resolve(&script))
}
