//! What operators say, read by every binary in one way.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches};

use crate::EnvFile;

/// Reads the options of a binary from its arguments and from the environment. A variable without a value counts as one that is
/// not there: docker compose passes on as empty what an `.env` does not set.
///
/// # Errors
/// What is wrong with them, or the help that they ask for.
pub fn read_options<P: CommandFactory + FromArgMatches>(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<P, clap::Error> {
    read_options_with(arguments, &EnvFile::default())
}

/// The same, with a file of variables that come before those of the environment.
///
/// # Errors
/// What is wrong with them, or the help that they ask for.
pub fn read_options_with<P: CommandFactory + FromArgMatches>(
    arguments: impl IntoIterator<Item = OsString>,
    file: &EnvFile,
) -> Result<P, clap::Error> {
    let mut command = command::<P>(file);
    let mut matches = command.try_get_matches_from_mut(arguments).map_err(|error| without_secret(error, &command))?;
    P::from_arg_matches_mut(&mut matches)
}

/// An error that repeats no value of an option for secrets: it may end in a log.
fn without_secret(mut error: clap::Error, command: &Command) -> clap::Error {
    let long = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(arg)) => {
            arg.split([' ', '=']).next().unwrap_or_default().trim_start_matches('-').to_owned()
        }
        Some(_) | None => return error,
    };
    if has_secret(command, &long) && error.get(ContextKind::InvalidValue).is_some() {
        error.insert(ContextKind::InvalidValue, ContextValue::String("********".to_owned()));
    }
    error
}

fn has_secret(command: &Command, long: &str) -> bool {
    command.get_arguments().any(|arg| arg.get_long() == Some(long) && arg.is_hide_env_values_set())
        || command.get_subcommands().any(|command| has_secret(command, long))
}

/// The command of a binary as it is read with a file of variables.
#[must_use]
pub fn command<P: CommandFactory>(file: &EnvFile) -> Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    with_variables(P::command(), &is_empty, file)
}

/// The same, of this process; it ends where they are wrong or help is asked for.
#[must_use]
pub fn options<P: CommandFactory + FromArgMatches>() -> P {
    read_options(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Where the value of an option comes from, in words; `None` when it has none.
#[must_use]
pub fn origin_of(arg: &Arg, matches: &ArgMatches, file: &EnvFile) -> Option<String> {
    let source = matches.value_source(arg.get_id().as_str())?;
    let name = name_of(arg).filter(|name| file.get(name).is_some_and(|value| !value.is_empty()));
    Some(if source == ValueSource::CommandLine {
        "command line".to_owned()
    } else if source == ValueSource::EnvVariable {
        "environment".to_owned()
    } else {
        name.and_then(|name| file.place_of(&name)).unwrap_or_else(|| "default".to_owned())
    })
}

fn name_of(arg: &Arg) -> Option<String> {
    arg.get_env().map(|name| name.to_string_lossy().into_owned())
}

/// A command that does not look at variables that are to be left out, and takes those of a file instead of the environment's.
fn with_variables(command: Command, is_left_out: &impl Fn(&OsStr) -> bool, file: &EnvFile) -> Command {
    let command = command.mut_args(|arg| match name_of(&arg).and_then(|name| file.get(&name)) {
        Some("") => arg.env(None::<&'static str>),
        Some(value) => arg.env(None::<&'static str>).default_value(value.to_owned()).required(false),
        None if arg.get_env().is_some_and(is_left_out) => arg.env(None::<&'static str>),
        None => arg,
    });
    command.mut_subcommands(|command| with_variables(command, is_left_out, file))
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;
    use clap::builder::BoolishValueParser;

    use super::*;

    #[test]
    fn a_variable_without_a_value_is_not_there() {
        // Both are there wherever tests run.
        let arg = |name| Arg::new(name).long(name).env(name).default_value("default");
        let command = Command::new("x").subcommand(Command::new("serve").args([arg("PATH"), arg("CARGO_PKG_NAME")]));
        let command = with_variables(command, &|name| name == "PATH", &EnvFile::default());
        let matches = command.get_matches_from(["x", "serve"]);
        let serve = matches.subcommand_matches("serve").unwrap();
        assert_eq!(serve.get_one::<String>("PATH").unwrap(), "default");
        assert_eq!(serve.get_one::<String>("CARGO_PKG_NAME").unwrap(), "web");
    }

    #[test]
    fn a_file_comes_before_the_environment_and_behind_the_command_line() {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), "PATH=file\nCARGO_PKG_NAME=\nSWITCH=1\nLIST=a,b\nNEEDED=x\n").unwrap();
        let file = EnvFile::read(path.path()).unwrap();
        let arg = |name| Arg::new(name).long(name).env(name);
        let command = Command::new("x").args([
            arg("PATH"),
            arg("CARGO_PKG_NAME"),
            arg("SWITCH").action(ArgAction::SetTrue).value_parser(BoolishValueParser::new()),
            arg("LIST").action(ArgAction::Append).value_delimiter(','),
            arg("NEEDED").required(true),
        ]);
        let command = with_variables(command, &|_| false, &file);
        let matches = command.clone().get_matches_from(["x"]);
        assert_eq!(matches.get_one::<String>("PATH").unwrap(), "file");
        assert_eq!(matches.get_one::<String>("CARGO_PKG_NAME"), None, "the file says that there is none");
        assert!(matches.get_flag("SWITCH"));
        assert_eq!(matches.get_many::<String>("LIST").unwrap().collect::<Vec<_>>(), ["a", "b"]);
        let origin = |matches: &ArgMatches, name: &str| {
            let arg = command.get_arguments().find(|arg| arg.get_id() == name).unwrap();
            origin_of(arg, matches, &file)
        };
        let matches = command.clone().get_matches_from(["x", "--PATH", "words"]);
        assert_eq!(matches.get_one::<String>("PATH").unwrap(), "words");
        assert_eq!(origin(&matches, "PATH").as_deref(), Some("command line"));
    }

    #[test]
    fn an_error_repeats_no_secret() {
        let arg = |name| Arg::new(name).long(name).value_parser(clap::value_parser!(u16));
        let serve = Command::new("serve").args([arg("secret").hide_env_values(true), arg("port")]);
        let mut command = Command::new("x").subcommand(serve);
        let mut said = |option: &str| {
            let error = command.try_get_matches_from_mut(["x", "serve", option, "planted"]).unwrap_err();
            without_secret(error, &command).to_string()
        };
        let secret = said("--secret");
        assert!(secret.contains("--secret") && !secret.contains("planted"), "{secret}");
        assert!(said("--port").contains("planted"));
    }
}
