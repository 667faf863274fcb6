//! `teranga-load`: how many rooms does a Jitsi-compatible deployment carry, and what do people feel?
//!
//! Participants are real clients: XMPP over WebSocket, Jingle, ICE, DTLS-SRTP, media with feedback. benches/README.md tells how
//! to read the report.
#![allow(clippy::disallowed_methods, reason = "a load generator reads the clock")]

mod options;
mod run;
mod versus;

use std::process::ExitCode;

use clap::Parser;

use crate::options::Options;

/// All went as it should and every expectation was met.
const PASSED: u8 = 0;
/// An expectation was not met, or nobody got in.
const NOT_MET: u8 = 1;
/// There was no run: bad options, a target that is not there.
const NO_RUN: u8 = 2;

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = if options.versus.is_some() { versus::run(&options) } else { run::run(&options) };
    match outcome {
        Ok(true) => ExitCode::from(PASSED),
        Ok(false) => ExitCode::from(NOT_MET),
        Err(error) => {
            eprintln!("teranga-load: {error:#}");
            ExitCode::from(NO_RUN)
        }
    }
}
