//! Cost: the bridge and the ideal loop in turn, A-B-A-B, under the same traffic; ratios of neighbours.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::call::{Call, Played};
use crate::place::Place;
use crate::report;
use crate::sender::Target;
use crate::traffic::Scenario;

/// Measures the bridge against the ideal loop.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
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

    /// Without what the bridge does where no media flow, a part `idle` of one core.
    pub(crate) fn ratio_without(&self, idle: f64) -> f64 {
        self.ratio() * (1.0 - idle / self.bridge.load())
    }

    /// The smaller part of both.
    fn delivered_part(&self) -> f64 {
        self.bridge.delivered_part().min(self.ideal.delivered_part())
    }
}

/// What the rounds of a scenario gave.
pub(crate) struct Measured {
    pub(crate) rounds: Vec<Round>,
    /// How many more there were, in which something was lost.
    pub(crate) rejected: usize,
    /// What part of one core the bridge uses while no media flow.
    pub(crate) idle: f64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    options.place.take_client_side()?;
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
        let measured = measure(options, scenario).with_context(|| format!("scenario {}", scenario.name))?;
        failures.extend(report::print(&scenario, &measured, options.max_ratio, options.min_delivered / 100.0));
        if measured.rejected > 0 {
            println!("note: {} rounds were measured again because something was lost", measured.rejected);
        }
    }
    for failure in &failures {
        eprintln!("failed: {failure}");
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(options: &Options, scenario: Scenario) -> anyhow::Result<Measured> {
    let mut call = Call::new(scenario, options.place.feedback(), options.place.start_bridge(&[])?)?;
    call.join_all()?;
    call.start_media(Some(options.place.start_ideal(&[])?))?;
    let duration = Duration::from_secs_f64(options.seconds);
    let (mut rounds, mut rejected) = (Vec::new(), 0);
    // The first round does not count: caches, key frames and branch predictors.
    for number in 0.. {
        let round = Round { bridge: call.play(Target::Bridge, duration)?, ideal: call.play(Target::Ideal, duration)? };
        if options.verbose {
            report::print_round(number, &round);
        }
        let is_whole = round.delivered_part() * 100.0 >= options.min_delivered;
        match number {
            0 => {}
            _ if is_whole || rejected == options.rounds => rounds.push(round),
            _ => rejected += 1,
        }
        if rounds.len() == options.rounds {
            break;
        }
    }
    let idle = call.rest(duration)?;
    call.finish()?;
    Ok(Measured { rounds, rejected, idle })
}
