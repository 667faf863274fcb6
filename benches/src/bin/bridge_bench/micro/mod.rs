//! Pieces of the way of a packet and of a stanza, one at a time: time, user-space instructions, and the floor that was measured
//! for it where there is one.
//!
//! Instructions are counted by callgrind inside [`repeat`] only, so that setting up costs nothing, and do not feel what else
//! the machine does; times do.

mod media;
mod signaling;

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use benches::statistics::Spread;
use clap::Args;

use crate::instructions::counted_instructions;

/// Times that are measured of each piece.
const ROUNDS: usize = 9;
/// Repetitions under callgrind, which is fifty times slower.
const COUNTED_TIMES: usize = 2_000;

/// Measures the pieces.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Only pieces with this in their name.
    #[arg(long, default_value = "")]
    only: String,
    /// Do not count instructions, which takes valgrind and most of the time.
    #[arg(long)]
    no_instructions: bool,
    /// Run one piece so often and say nothing: what callgrind looks at.
    #[arg(long, hide = true, requires = "only")]
    times: Option<usize>,
}

/// One thing that is done for a packet or a stanza.
struct Piece {
    name: &'static str,
    /// What the measurements that the design rests on found for it, or for the least that anybody needs.
    floor: Option<Floor>,
    /// How many packets or stanzas one call does.
    per_call: usize,
    /// Makes the operation, ready to be called so often.
    make: fn(times: usize) -> anyhow::Result<Operation>,
}

type Operation = Box<dyn FnMut()>;

/// A floor in nanoseconds, and what it is of.
struct Floor {
    nanoseconds: f64,
    of: &'static str,
}

impl Piece {
    const fn new(name: &'static str, make: fn(usize) -> anyhow::Result<Operation>) -> Self {
        Self { name, floor: None, per_call: 1, make }
    }

    const fn with_floor(mut self, nanoseconds: f64, of: &'static str) -> Self {
        self.floor = Some(Floor { nanoseconds, of });
        self
    }

    const fn in_calls_of(mut self, per_call: usize) -> Self {
        self.per_call = per_call;
        self
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let pieces: Vec<Piece> = media::pieces().into_iter().chain(signaling::pieces()).collect();
    let chosen: Vec<&Piece> = pieces.iter().filter(|piece| piece.name.contains(&options.only)).collect();
    ensure!(!chosen.is_empty(), "no piece has {:?} in its name", options.only);
    if let Some(times) = options.times {
        for piece in chosen {
            repeat(&mut *(piece.make)(times)?, times);
        }
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:44} {:>10} {:>18} {:>13}  floor", "piece", "ns", "range", "instructions");
    for piece in chosen {
        let time = time(piece)?;
        let instructions = if options.no_instructions { None } else { Some(instructions(piece)?) };
        let instructions = instructions.map_or_else(|| "–".to_owned(), |count| format!("{count:.0}"));
        let floor = piece.floor.as_ref().map_or_else(String::new, |floor| {
            format!("{:.0} ns, {} (× {:.1})", floor.nanoseconds, floor.of, time.median / floor.nanoseconds)
        });
        let range = format!("{:.0}–{:.0}", time.least, time.most);
        println!("{:44} {:>10.0} {range:>18} {instructions:>13}  {floor}", piece.name, time.median);
    }
    Ok(ExitCode::SUCCESS)
}

/// Nanoseconds of a packet or stanza.
fn time(piece: &Piece) -> anyhow::Result<Spread> {
    let times = 20_000 / piece.per_call;
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..=ROUNDS {
        let mut operation = (piece.make)(times)?;
        let start = Instant::now();
        repeat(&mut *operation, times);
        rounds.push(start.elapsed().as_nanos() as f64 / (times * piece.per_call) as f64);
    }
    // The first round warms the caches.
    Ok(Spread::of(rounds.split_off(1)))
}

/// User-space instructions of a packet or stanza.
fn instructions(piece: &Piece) -> anyhow::Result<f64> {
    let directory = std::env::temp_dir().join(format!("bridge-bench-micro-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let counted = count(piece, &directory);
    std::fs::remove_dir_all(&directory)?;
    Ok(counted? / (COUNTED_TIMES * piece.per_call) as f64)
}

fn count(piece: &Piece, directory: &Path) -> anyhow::Result<f64> {
    let status = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--toggle-collect=bridge_bench::micro::repeat"])
        .arg(format!("--callgrind-out-file={}", directory.join("counts").display()))
        .arg(std::env::current_exe()?)
        .args(["micro", "--only", piece.name, "--times", &COUNTED_TIMES.to_string()])
        .status()
        .context("cannot start valgrind; make setup-tests installs it, --no-instructions does without")?;
    if !status.success() {
        bail!("{} under valgrind: {status}", piece.name);
    }
    counted_instructions(directory)
}

/// Calls an operation. Named for callgrind, so that it must stay a function of its own.
#[inline(never)]
fn repeat(operation: &mut dyn FnMut(), times: usize) {
    for _ in 0..times {
        black_box(&mut *operation)();
    }
}
