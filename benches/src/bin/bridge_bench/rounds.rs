//! Cost: the bridge and the ideal loop in turn, A-B-A-B, under the same traffic; ratios of neighbours.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::call::{Call, Played};
use crate::process::{Server, pin};
use crate::report;
use crate::sender::Target;
use crate::signaling::TransportFeedback;
use crate::traffic::Scenario;

/// How to measure.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Which load; all if none is named.
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Conferences at once, instead of the scenario's own number.
    #[arg(long, value_name = "N")]
    rooms: Option<usize>,
    /// Participants of each conference, instead of the scenario's own number.
    #[arg(long, value_name = "N")]
    participants: Option<usize>,
    /// Slows senders down (below 1) or drives them.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    rate: f64,
    /// Rounds that count; one before them does not.
    #[arg(long, default_value_t = 6, value_name = "N")]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 4.0, value_name = "S")]
    seconds: f64,
    /// Threads of the bridge for media.
    #[arg(long, default_value_t = 1, value_name = "N")]
    media_threads: usize,
    /// CPUs of the bridge and of the ideal loop.
    #[arg(long, value_delimiter = ',', default_value = "1", value_name = "CPU")]
    server_cpus: Vec<usize>,
    /// CPUs of generator and sink.
    #[arg(long, value_delimiter = ',', default_value = "0", value_name = "CPU")]
    client_cpus: Vec<usize>,
    /// Senders do not number their packets for transport-wide feedback.
    #[arg(long)]
    no_transport_feedback: bool,
    /// Fails when the median ratio to the ideal loop is above.
    #[arg(long, value_name = "RATIO")]
    max_ratio: Option<f64>,
    /// Fails when less was delivered, in percent.
    #[arg(long, default_value_t = 99.9, value_name = "PERCENT")]
    min_delivered: f64,
    /// Prints every measurement.
    #[arg(long, short)]
    verbose: bool,
}

/// One round: the bridge, then the ideal loop.
pub(crate) struct Round {
    pub(crate) bridge: Played,
    pub(crate) ideal: Played,
}

impl Round {
    pub(crate) fn ratio(&self) -> f64 {
        self.bridge.cost_us() / self.ideal.cost_us()
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    pin(&options.client_cpus)?;
    let scenarios = if options.scenario.is_empty() {
        Scenario::ALL.to_vec()
    } else {
        let known = || Scenario::ALL.map(|scenario| scenario.name).join(", ");
        let named = options.scenario.iter().map(|name| {
            Scenario::by_name(name).with_context(|| format!("no scenario is called {name}; there are {}", known()))
        });
        named.collect::<anyhow::Result<Vec<_>>>()?
    };
    let mut failures = Vec::new();
    for mut scenario in scenarios {
        scenario.rooms = options.rooms.unwrap_or(scenario.rooms);
        if let Some(participants) = options.participants {
            scenario.participants = participants;
            scenario.audio_senders = scenario.audio_senders.min(participants);
            scenario.video_senders = scenario.video_senders.min(participants);
        }
        scenario.rate = options.rate;
        let rounds = measure(options, scenario).with_context(|| format!("scenario {}", scenario.name))?;
        failures.extend(report::print(&scenario, &rounds, options.max_ratio, options.min_delivered / 100.0));
    }
    for failure in &failures {
        eprintln!("failed: {failure}");
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(options: &Options, scenario: Scenario) -> anyhow::Result<Vec<Round>> {
    let feedback = if options.no_transport_feedback { TransportFeedback::Off } else { TransportFeedback::On };
    let cpus = options.server_cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let bridge = Server::start(
        &[],
        &["serve".into(), format!("--media-threads={}", options.media_threads), format!("--cpus={cpus}")],
    )?;
    let mut call = Call::new(scenario, feedback, bridge)?;
    call.join_all()?;
    call.start_media(Some(Server::start(&[], &["ideal".into(), format!("--cpus={cpus}")])?))?;
    let duration = Duration::from_secs_f64(options.seconds);
    let mut rounds = Vec::new();
    // The first round does not count: caches, key frames and branch predictors.
    for number in 0..=options.rounds {
        let round = Round { bridge: call.play(Target::Bridge, duration)?, ideal: call.play(Target::Ideal, duration)? };
        if options.verbose {
            report::print_round(number, &round);
        }
        rounds.push(round);
    }
    call.finish()?;
    rounds.remove(0);
    Ok(rounds)
}
