//! Tables, and what is wrong with them.

use benches::statistics::Spread;

use crate::call::Played;
use crate::rounds::{Measured, Round};
use crate::traffic::Scenario;

/// The generator was this late at worst in a quiet measurement; later, and frames left in larger bursts than those of a
/// real call.
const LATE_MS: f64 = 20.0;

/// Prints one measurement of each program.
pub(crate) fn print_round(number: usize, round: &Round) {
    let line = |name: &str, played: &Played| {
        eprintln!(
            "  round {number} {name:6} {:6.2} µs/packet, {:5.1} % of a core, {:8.4} % of {}, p50 {:.0} p99 {:.0} µs, \
             late {:.1} ms, broken {}, strangers {}, surplus {}, NACKs {}, key frames asked {}",
            played.cost_us(),
            played.load() * 100.0,
            played.delivered_part() * 100.0,
            played.expected,
            played.latency_us[0],
            played.latency_us[1],
            played.worst_delay.as_secs_f64() * 1e3,
            played.seen.broken,
            played.seen.strangers,
            played.surplus,
            played.seen.nacks,
            played.seen.key_frame_requests,
        );
    };
    line("bridge", &round.bridge);
    line("ideal", &round.ideal);
}

/// Prints the table of a scenario; answers what failed.
pub(crate) fn print(
    scenario: &Scenario,
    measured: &Measured,
    max_ratio: Option<f64>,
    min_delivered: f64,
) -> Vec<String> {
    let Measured { rounds, idle, .. } = measured;
    let bridge: Vec<&Played> = rounds.iter().map(|round| &round.bridge).collect();
    let ideal: Vec<&Played> = rounds.iter().map(|round| &round.ideal).collect();
    println!(
        "\n{}: {} × {} participants, {} audio and {} video senders each; {:.0} packets/s in; {} rounds",
        scenario.name,
        scenario.rooms,
        scenario.participants,
        scenario.audio_senders,
        scenario.video_senders,
        median(&bridge, |played| played.sent as f64 / played.duration.as_secs_f64()),
        rounds.len(),
    );
    println!(
        "        {:>9} {:>6} {:>6} {:>10} {:>9} {:>7} {:>7} {:>7} {:>7} {:>7}",
        "µs/packet", "user", "kernel", "packets/s", "arrived %", "load %", "p50 µs", "p99 µs", "p99.9", "RSS MB"
    );
    print_row("bridge", &bridge);
    print_row("ideal", &ideal);
    let ratio = Spread::of(rounds.iter().map(Round::ratio));
    print!("ratio   {:.2} (rounds {:.2}–{:.2})", ratio.median, ratio.least, ratio.most);
    let sends: Vec<[u64; 3]> = ideal.iter().filter_map(|played| played.ideal_sends).collect();
    let per = |at: usize| {
        let total = |at: usize| sends.iter().filter_map(|counts| counts.get(at)).sum::<u64>() as f64;
        total(0) / total(at).max(1.0)
    };
    println!("; ideal: {:.2} packets a message, {:.1} a system call", per(1), per(2));
    println!(
        "idle    {:.1} % of a core, {:.0} µs/s a participant: reports, connectivity checks; ratio without them {:.2}",
        idle * 100.0,
        idle * 1e6 / scenario.total() as f64,
        Spread::of(rounds.iter().map(|round| round.ratio_without(*idle))).median,
    );

    let mut failures = Vec::new();
    for (name, all) in [("bridge", &bridge), ("ideal loop", &ideal)] {
        let delivered = Spread::of(all.iter().map(|played| played.delivered_part()));
        if delivered.least < min_delivered {
            failures.push(format!("{}: the {name} delivered {:.3} %", scenario.name, delivered.least * 100.0));
        }
        let broken: u64 = all.iter().map(|played| played.seen.broken + played.surplus).sum();
        if broken > 0 {
            failures.push(format!("{}: the {name} sent {broken} packets that it should not", scenario.name));
        }
        let late = median(all, |played| played.worst_delay.as_secs_f64() * 1e3);
        if late > LATE_MS {
            println!("note: the generator was up to {late:.0} ms late for the {name}: other work on this machine?");
        }
    }
    if let Some(limit) = max_ratio.filter(|limit| ratio.median > *limit) {
        failures.push(format!("{}: {:.2} times the ideal loop, the limit is {limit:.2}", scenario.name, ratio.median));
    }
    failures
}

fn print_row(name: &str, all: &[&Played]) {
    let cost = median(all, Played::cost_us);
    let user = median(all, |played| played.cost_us() * played.usage.user_part());
    println!(
        "{name:7} {cost:9.2} {user:6.2} {:6.2} {:10.0} {:9.3} {:7.1} {:7.0} {:7.0} {:7.0} {:7.1}",
        cost - user,
        median(all, |played| played.delivered as f64 / played.duration.as_secs_f64()),
        all.iter().map(|played| played.delivered_part()).fold(1.0, f64::min) * 100.0,
        median(all, |played| played.load() * 100.0),
        median(all, |played| played.latency_us[0]),
        median(all, |played| played.latency_us[1]),
        median(all, |played| played.latency_us[2]),
        median(all, |played| played.resident_bytes as f64 / 1e6),
    );
}

fn median(all: &[&Played], of: impl Fn(&Played) -> f64) -> f64 {
    Spread::of(all.iter().map(|played| of(played))).median
}
