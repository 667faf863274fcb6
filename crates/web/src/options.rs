//! What operators say, read by every binary in one way.

use std::ffi::{OsStr, OsString};

use clap::{Command, CommandFactory, FromArgMatches};

/// Reads the options of a binary from its arguments and from the environment. A variable without a value counts as one that is
/// not there: docker compose passes on as empty what an `.env` does not set.
///
/// # Errors
/// What is wrong with them, or the help that they ask for.
pub fn read_options<P: CommandFactory + FromArgMatches>(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<P, clap::Error> {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let mut matches = without_variables(P::command(), &is_empty).try_get_matches_from(arguments)?;
    P::from_arg_matches_mut(&mut matches)
}

/// The same, of this process; it ends where they are wrong or help is asked for.
#[must_use]
pub fn options<P: CommandFactory + FromArgMatches>() -> P {
    read_options(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// A command that does not look at those variables.
fn without_variables(command: Command, is_left_out: &impl Fn(&OsStr) -> bool) -> Command {
    let command = command
        .mut_args(|arg| if arg.get_env().is_some_and(is_left_out) { arg.env(None::<&'static str>) } else { arg });
    command.mut_subcommands(|command| without_variables(command, is_left_out))
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    #[test]
    fn a_variable_without_a_value_is_not_there() {
        // Both are there wherever tests run.
        let arg = |name| Arg::new(name).long(name).env(name).default_value("default");
        let command = Command::new("x").subcommand(Command::new("serve").args([arg("PATH"), arg("CARGO_PKG_NAME")]));
        let matches = without_variables(command, &|name| name == "PATH").get_matches_from(["x", "serve"]);
        let serve = matches.subcommand_matches("serve").unwrap();
        assert_eq!(serve.get_one::<String>("PATH").unwrap(), "default");
        assert_eq!(serve.get_one::<String>("CARGO_PKG_NAME").unwrap(), "web");
    }
}
