//! User-space instructions for a delivered packet, counted by callgrind: a figure that does not feel what else the machine
//! does, and so can be a gate.
//!
//! Each server runs once under valgrind. A short and a long play are counted from dump to dump, and the slope between
//! them is the figure: what a play costs beside its packets falls out. Valgrind offers AES-NI and AVX2 but not AVX-512,
//! so that ciphers take more instructions than on a processor that has it; compare figures of this kind with each other
//! only.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use crate::call::{Call, Played};
use crate::place::Place;
use crate::sender::Target;
use crate::traffic::{Members, Picture, Scenario};

/// The gate: a tenth above the 5 860 that a packet took before layers of all codecs (+ 150), bandwidth estimation (+ 280) and
/// prefetches (+ 40), which take instructions and save time. Lower it when the bridge gets better.
const MAX_INSTRUCTIONS: f64 = 6_490.0;

/// What a relayed packet, in over one link and out over others, may take of what a forwarded one does.
const MAX_RELAYED_PART: f64 = 1.1;

/// How often a bridge may be above it: runs of one program differ by a hundredth, by how packets fall into rounds.
const TRIES: usize = 3;

/// A room of six at a quarter of the rates of a real call: what a bridge manages that runs fifty times slower.
const SCENARIO: Scenario = Scenario {
    name: "instructions",
    rooms: 1,
    participants: 6,
    audio_senders: 6,
    video_senders: 6,
    picture: Picture::Full,
    members: Members::Endpoints,
    rate: 0.25,
};

/// Counts instructions.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// Seconds of the short play.
    #[arg(long, default_value_t = 4.0, value_name = "S")]
    short: f64,
    /// Seconds of the long play.
    #[arg(long, default_value_t = 20.0, value_name = "S")]
    long: f64,
    /// Fails when the bridge takes more for a packet.
    #[arg(long, default_value_t = MAX_INSTRUCTIONS, value_name = "N")]
    max_instructions: f64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    options.place.take_client_side()?;
    let directory = std::env::temp_dir().join(format!("bridge-bench-{}", std::process::id()));
    for _ in 0..TRIES {
        std::fs::create_dir_all(&directory)?;
        let counted = count(options, &directory);
        std::fs::remove_dir_all(&directory)?;
        let [bridge, ideal, relayed] = counted?;
        println!(
            "instructions a packet: bridge {bridge:.0}, ideal {ideal:.0}, ratio {:.2}, relayed {relayed:.0}, part {:.2}",
            bridge / ideal,
            relayed / bridge
        );
        if bridge <= options.max_instructions && relayed <= bridge * MAX_RELAYED_PART {
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!("the limit is {:.0}, for a relayed one {:.0}", options.max_instructions, bridge * MAX_RELAYED_PART);
    }
    eprintln!("failed: above the limit {TRIES} times");
    Ok(ExitCode::FAILURE)
}

fn count(options: &Options, directory: &Path) -> anyhow::Result<[f64; 3]> {
    // Participants need a bridge to get keys from; for the ideal loop it runs at full speed.
    let mut counts = [0.0; 3];
    let relayed = Scenario { members: Members::Relays, ..SCENARIO };
    let plays = [(SCENARIO, Target::Bridge), (SCENARIO, Target::Ideal), (relayed, Target::Bridge)];
    for (count, (scenario, target)) in counts.iter_mut().zip(plays) {
        let wrapper = valgrind(directory);
        let (slow, none): (&[String], &[String]) = (&wrapper, &[]);
        let (of_bridge, of_ideal) = match target {
            Target::Bridge => (slow, none),
            Target::Ideal => (none, slow),
        };
        let mut call = Call::new(scenario, options.place.feedback(), options.place.start_bridge(of_bridge)?)?;
        call.join_all()?;
        call.start_media(Some(options.place.start_ideal(of_ideal)?))?;
        // Key frames and first packets of every stream.
        call.play(target, Duration::from_secs(1))?;
        let short = counted_play(&mut call, target, options.short, directory)?;
        let long = counted_play(&mut call, target, options.long, directory)?;
        *count = (long.0 - short.0) / (long.1 - short.1);
        call.finish()?;
    }
    Ok(counts)
}

/// Instructions and packets of a play.
fn counted_play(call: &mut Call, target: Target, seconds: f64, directory: &Path) -> anyhow::Result<(f64, f64)> {
    let pid = call.server(target)?.pid();
    control(pid, "--zero")?;
    let played: Played = call.play(target, Duration::from_secs_f64(seconds))?;
    control(pid, "--dump")?;
    if played.delivered < played.expected {
        bail!("{} of {} packets arrived: valgrind is too slow here", played.delivered, played.expected);
    }
    Ok((counted_instructions(directory)?, played.delivered as f64))
}

/// What callgrind wrote into a directory; the files go.
pub(crate) fn counted_instructions(directory: &Path) -> anyhow::Result<f64> {
    let mut total = 0.0;
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        let totals = text.lines().filter_map(|line| line.strip_prefix("totals: "));
        for count in totals {
            total += count.trim().parse::<f64>().with_context(|| format!("totals of {count}"))?;
        }
        std::fs::remove_file(path)?;
    }
    if total == 0.0 {
        bail!("callgrind counted nothing");
    }
    Ok(total)
}

fn valgrind(directory: &Path) -> Vec<String> {
    let file = directory.join("counts.%p");
    ["valgrind", "--quiet", "--tool=callgrind"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("--callgrind-out-file={}", file.display())])
        .collect()
}

/// Tells callgrind to begin anew, or to write what it has counted.
fn control(pid: u32, command: &str) -> anyhow::Result<()> {
    let output = Command::new("callgrind_control")
        .args([command, &pid.to_string()])
        .output()
        .context("cannot start callgrind_control; it comes with valgrind")?;
    if !output.status.success() {
        bail!("callgrind_control {command}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
