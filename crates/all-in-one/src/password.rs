//! Passwords for commands: by prompt, from standard input or from a file, so that they stay out of the shell's history and of `ps`.

use std::fs::File;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

/// Longest password.
const MAX_BYTES: u64 = 4096;
/// What is said of a password on the command line.
pub(crate) const ON_COMMAND_LINE: &str =
    "warning: a password on the command line stays in the shell's history and shows in ps (leave it out to be asked)";

/// Where a password comes from.
#[derive(Debug, Default, Args)]
pub(crate) struct PasswordFlags {
    /// The password. It stays in the shell's history and shows in ps: leave it out to be asked.
    #[arg(short, long, value_name = "PASSWORD", conflicts_with = "password_file")]
    pub(crate) password: Option<String>,
    /// File with the password on its first line; - for standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

/// Whether a prompt asks again, so that a typing error does not lock anybody out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Once,
    Twice,
}

impl PasswordFlags {
    /// The password: what the flags say, else it is asked for, or read where nobody is there to be asked.
    pub(crate) fn read(&self, ask: Ask) -> anyhow::Result<String> {
        let password = match (&self.password, &self.password_file) {
            (Some(password), _) => {
                eprintln!("{ON_COMMAND_LINE}");
                password.clone()
            }
            (None, Some(path)) if path == Path::new("-") => from_lines(std::io::stdin().lock(), ask)?,
            (None, Some(path)) => {
                let failed = || format!("cannot read {}", path.display());
                from_lines(File::open(path).with_context(failed)?, Ask::Once).with_context(failed)?
            }
            (None, None) if std::io::stdin().is_terminal() => prompted(ask)?,
            (None, None) => from_lines(std::io::stdin().lock(), ask)?,
        };
        if password.is_empty() {
            bail!("the password is empty");
        }
        Ok(password)
    }
}

fn prompted(ask: Ask) -> anyhow::Result<String> {
    let prompt = |text| rpassword::prompt_password(text).context("cannot ask for the password");
    let password = prompt("Enter password: ")?;
    if ask == Ask::Twice && prompt("Retype password: ")? != password {
        bail!("the passwords differ");
    }
    Ok(password)
}

/// The first line. Who asks twice may be given two, which have to be the same.
fn from_lines(input: impl Read, ask: Ask) -> anyhow::Result<String> {
    let mut lines = BufReader::new(input.take(2 * MAX_BYTES)).lines();
    let password = lines.next().transpose().context("cannot read the password")?.unwrap_or_default();
    if password.len() as u64 > MAX_BYTES {
        bail!("the password is longer than {MAX_BYTES} bytes");
    }
    if ask == Ask::Twice
        && let Some(again) = lines.next()
    {
        let again = again.context("cannot read the password")?;
        if !again.is_empty() && again != password {
            bail!("the passwords differ");
        }
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s0_43_a_password_is_the_first_line_and_may_come_twice() {
        for (text, ask, expected) in [
            ("pw\n", Ask::Once, Some("pw")),
            ("pw", Ask::Twice, Some("pw")),
            ("pw\r\nother\n", Ask::Once, Some("pw")),
            ("pw\npw\n", Ask::Twice, Some("pw")),
            ("pw\nother\n", Ask::Twice, None),
            ("", Ask::Once, Some("")),
        ] {
            assert_eq!(from_lines(text.as_bytes(), ask).ok().as_deref(), expected, "{text:?}");
        }
        assert!(from_lines("x".repeat(9000).as_bytes(), Ask::Once).is_err());
    }
}
