//! `teranga`: signaling, focus, bridge, TURN and web server in one process. Composition, no logic.
//!
//! Focus and bridge reach signaling over in-process links and cannot tell them from WebSocket ones.

mod banner;
mod cli;
mod import;
mod serve;
mod state;
mod turn;

use std::process::ExitCode;

use crate::cli::Command;

fn main() -> ExitCode {
    let arguments = match cli::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(cli::Stop { text, exit_code }) => {
            // Help and version are what was asked for; everything else is an error.
            if exit_code == 0 {
                print!("{text}")
            } else {
                eprintln!("{text}")
            }
            return ExitCode::from(exit_code);
        }
    };
    let result = match arguments.command {
        Command::Serve(options) => serve::run(&options),
        Command::Import(options) => import::run(&options),
    };
    web::exit("teranga", result.map_err(Into::into))
}
