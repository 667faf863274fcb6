//! Does a second data thread on a second core double what the bridge can do?
//!
//! On a machine with two cores, generator and sink share them with the bridge, so that packets a second at saturation
//! would tell what they leave, not what the bridge can. Instead both bridges get the same traffic, below saturation,
//! and what counts is the CPU time of the busiest thread for a delivered packet: its inverse is the rate at which that
//! thread has a whole core to do, where the bridge saturates. Uneven shards and work that is done twice show; what two
//! cores cost each other by sharing caches shows too, as both run at once.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use benches::statistics::Spread;
use clap::Args;

use crate::call::{Call, Played};
use crate::place::Place;
use crate::sender::Target;
use crate::traffic::Scenario;

/// Compares one data thread with several.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// Which load; repeatable.
    #[arg(long, value_name = "NAME", default_values = ["meeting32", "many-small"])]
    scenario: Vec<String>,
    /// CPUs, and with them data threads, of the second bridge.
    #[arg(long, value_delimiter = ',', default_value = "0,1", value_name = "CPU")]
    more_cpus: Vec<usize>,
    /// Rounds that count; one before them does not.
    #[arg(long, default_value_t = 6, value_name = "N")]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 4.0, value_name = "S")]
    seconds: f64,
    /// Speed of the senders to the first bridge; those to the second are as many times faster as it has threads. Slower
    /// than real ones, so that generator and sink fit the machine too.
    #[arg(long, default_value_t = 0.6, value_name = "FACTOR")]
    rate: f64,
    /// Fails when the median growth is below.
    #[arg(long, value_name = "FACTOR")]
    min_growth: Option<f64>,
}

/// Packets a second at which the busiest thread has a whole core to do.
fn capacity(played: &Played) -> f64 {
    played.delivered as f64 / played.usage.busiest().as_secs_f64()
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    options.place.take_client_side()?;
    let more = Place {
        media_threads: options.more_cpus.len(),
        server_cpus: options.more_cpus.clone(),
        ..options.place.clone()
    };
    let mut is_enough = true;
    for name in &options.scenario {
        let mut scenario = Scenario::by_name(name).with_context(|| format!("no scenario is called {name}"))?;
        scenario.rate = options.rate;
        // At the same load of each thread: packets cost less the busier a thread is.
        let threads = more.media_threads as f64 / options.place.media_threads as f64;
        let busier = Scenario { rate: options.rate * threads, ..scenario };
        let mut calls = [start(&options.place, scenario)?, start(&more, busier)?];
        let duration = Duration::from_secs_f64(options.seconds);
        let mut rounds = Vec::new();
        for number in 0..=options.rounds {
            let [one, several] = &mut calls;
            let round = [one.play(Target::Bridge, duration)?, several.play(Target::Bridge, duration)?];
            if number > 0 {
                rounds.push(round);
            }
        }
        println!("\n{name}: {} × {} participants", scenario.rooms, scenario.participants);
        for (at, threads) in [(0, options.place.media_threads), (1, more.media_threads)] {
            print_row(threads, rounds.iter().filter_map(|round| round.get(at)));
        }
        let growth = Spread::of(rounds.iter().map(|[one, several]| capacity(several) / capacity(one)));
        println!("growth  {:.2} (rounds {:.2}–{:.2})", growth.median, growth.least, growth.most);
        if options.min_growth.is_some_and(|limit| growth.median < limit) {
            eprintln!("failed: {name} grows by {:.2}", growth.median);
            is_enough = false;
        }
        for call in calls {
            call.finish()?;
        }
    }
    Ok(if is_enough { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn start(place: &Place, scenario: Scenario) -> anyhow::Result<Call> {
    let mut call = Call::new(scenario, place.feedback(), place.start_bridge(&[])?)?;
    call.join_all()?;
    call.start_media(None)?;
    Ok(call)
}

fn print_row<'a>(threads: usize, all: impl Iterator<Item = &'a Played>) {
    let all: Vec<&Played> = all.collect();
    let median = |of: &dyn Fn(&Played) -> f64| Spread::of(all.iter().map(|played| of(played))).median;
    println!(
        "{threads} thread{} {:6.2} µs/packet, {:8.0} packets/s at saturation of the busiest thread, {:.3} % arrived",
        if threads == 1 { " " } else { "s" },
        median(&Played::cost_us),
        median(&capacity),
        all.iter().map(|played| played.delivered_part()).fold(1.0, f64::min) * 100.0,
    );
    // Of the last round, so that a shard without work shows.
    let Some(last) = all.last() else { return };
    let shares = last.usage.threads.iter().filter(|thread| thread.total > Duration::from_millis(1));
    let shares = shares.map(|thread| {
        format!("{} {:.1} %", thread.name, thread.total.as_secs_f64() / last.duration.as_secs_f64() * 100.0)
    });
    println!("          of a core: {}", shares.collect::<Vec<_>>().join(", "));
}
