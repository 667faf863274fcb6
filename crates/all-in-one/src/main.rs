//! `teranga`: signaling, focus, bridge, TURN and web server in one process. Composition, no logic.
//!
//! Focus and bridge reach signaling over in-process links and cannot tell them from WebSocket ones.

mod banner;
mod bridges;
mod cli;
mod config;
mod control;
mod import;
mod login_check;
mod password;
mod prosodyctl;
mod serve;
mod state;
mod tokens;
mod turn;
mod users;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::Command;

fn main() -> ExitCode {
    // Under the names of what it stands in for, it takes their arguments.
    let name = std::env::args_os().next().map(PathBuf::from).and_then(|path| Some(path.file_name()?.to_owned()));
    if let Some(shim @ ("prosodyctl" | "testsaslauthd")) = name.as_ref().and_then(|name| name.to_str()) {
        let file = match cli::env_file(&[]) {
            Ok(file) => file,
            Err(stop) => return say(stop),
        };
        if shim == "testsaslauthd" {
            return login_check::run_testsaslauthd(std::env::args_os(), &file);
        }
        let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
        return prosodyctl::run(&words.collect::<Vec<_>>(), &file);
    }
    let arguments = match cli::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(stop) => return say(stop),
    };
    match arguments.command {
        Command::Serve(options) => {
            bridge::use_huge_pages();
            web::exit("teranga", serve::run(&options).map_err(Into::into))
        }
        Command::Bridges(options) => web::exit("teranga", bridges::run(&options).map_err(Into::into)),
        Command::Import(options) => web::exit("teranga", import::run(&options).map_err(Into::into)),
        Command::User(command) => web::exit("teranga", users::run(&command).map_err(Into::into)),
        Command::Room(command) => web::exit("teranga", control::run_room(&command).map_err(Into::into)),
        Command::Config(command) => config::run(&command),
        Command::Reload(place) => web::exit("teranga", control::run_reload(&place).map_err(Into::into)),
        Command::Token(command) => web::exit("teranga", tokens::run(&command).map_err(Into::into)),
        Command::Ldap(command) => login_check::run_ldap(&command),
        Command::Auth(command) => login_check::run_auth(&command),
    }
}

/// Help and version are what was asked for; everything else is an error.
fn say(cli::Stop { text, exit_code }: cli::Stop) -> ExitCode {
    if exit_code == 0 {
        print!("{text}")
    } else {
        eprintln!("{text}")
    }
    ExitCode::from(exit_code)
}
