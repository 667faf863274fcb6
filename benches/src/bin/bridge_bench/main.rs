//! `bridge-bench`: what does the bridge cost for a packet, beside a loop that does only what nobody can leave out?
//!
//! One program in several roles, as processes of its own: the bridge under test (`server`), the yardstick (`ideal`), and
//! the harness with the participants, who send (`generator`) and receive (`call`). benches/README.md tells how to read
//! the figures.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod call;
mod cores;
mod generator;
mod ideal;
mod instructions;
mod keys;
mod memory;
mod micro;
mod packets;
mod participant;
mod place;
mod process;
mod report;
mod rounds;
mod sender;
mod server;
mod signaling;
mod traffic;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures the bridge against a loop that only decrypts, seals and sends.
#[derive(Debug, Parser)]
#[command(name = "bridge-bench", about)]
struct Options {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    rounds: rounds::Options,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Compares one with two data threads.
    Cores(cores::Options),
    /// Memory of a participant, and whether it comes back when participants go.
    Memory(memory::Options),
    /// Instructions for a packet, counted by callgrind.
    Instructions(instructions::Options),
    /// Time and instructions of single pieces: parse, rewrite, protect, send; stanzas and rooms.
    Micro(micro::Options),
    /// The bridge under test, asked over stdin.
    #[command(hide = true)]
    Serve {
        #[arg(long, default_value_t = 1)]
        media_threads: usize,
        #[arg(long, value_delimiter = ',')]
        cpus: Vec<usize>,
    },
    /// The ideal loop, told keys over stdin.
    #[command(hide = true)]
    Ideal {
        #[arg(long, value_delimiter = ',')]
        cpus: Vec<usize>,
    },
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bridge-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> anyhow::Result<ExitCode> {
    match options.role {
        Some(Role::Cores(options)) => cores::run(&options),
        Some(Role::Memory(options)) => memory::run(&options),
        Some(Role::Instructions(options)) => instructions::run(&options),
        Some(Role::Micro(options)) => micro::run(&options),
        Some(Role::Serve { media_threads, cpus }) => {
            process::pin(&cpus)?;
            server::serve(media_threads).map(|()| ExitCode::SUCCESS)
        }
        Some(Role::Ideal { cpus }) => {
            process::pin(&cpus)?;
            ideal::serve().map(|()| ExitCode::SUCCESS)
        }
        None => rounds::run(&options.rounds),
    }
}
