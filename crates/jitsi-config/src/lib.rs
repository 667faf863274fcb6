//! What the configuration of a stock Prosody, Jicofo or bridge means for ours.
//!
//! Reads HOCON (`jicofo.conf`, `jvb.conf`), the older `sip-communicator.properties` and Prosody's Lua, and answers environment
//! variables of `teranga-focus`, `teranga-bridge` and `teranga serve`, with a line for every key that has no effect. Here: the keys
//! (`jvb`, `jicofo`, `legacy`, `prosody`), how a rule is applied (`rules`), how Lua is read (`lua`). Not here: the variables' own
//! meaning (the binaries).

mod jicofo;
mod jvb;
mod legacy;
mod lua;
mod prosody;
mod rules;
mod values;

use std::path::{Path, PathBuf};

use hocon::Config;

/// Whose configuration it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `jicofo.conf`.
    Jicofo,
    /// `jvb.conf`.
    Jvb,
    /// `prosody.cfg.lua`, or a file of its `conf.d`.
    Prosody,
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Not there, or not to be read, or no HOCON.
    #[error("cannot read {}", path.display())]
    Hocon {
        /// Which.
        path: PathBuf,
        /// Why.
        source: hocon::HoconError,
    },
    /// The same of a file of properties, or of Lua.
    #[error("cannot read {}: {why}", path.display())]
    Text {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// What a configuration means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// Variables and their values.
    pub settings: Vec<(&'static str, String)>,
    /// Keys without effect, and why. Values are not repeated: they may be secrets.
    pub without_effect: Vec<(String, String)>,
}

/// Reads a file; one whose name ends in `.properties` has the older names. Files that it includes are read too.
///
/// # Errors
/// [`ImportError`] when it cannot be read. Keys that are not known are no error.
pub fn import(program: Program, file: &Path) -> Result<Import, ImportError> {
    let failed = |why: String| ImportError::Text { path: file.to_owned(), why };
    let text = || std::fs::read_to_string(file).map_err(|error| failed(error.to_string()));
    if program == Program::Prosody {
        return Ok(prosody::import(&text()?));
    }
    let is_legacy = file.extension().is_some_and(|extension| extension == "properties");
    if !is_legacy {
        let path = file.to_owned();
        let config = hocon::parse_file(file).map_err(|source| ImportError::Hocon { path, source })?;
        return Ok(of_config(program, &config));
    }
    let (modern, unknown) = legacy::modernize(program, &text()?).map_err(failed)?;
    let mut import = of_config(program, &modern);
    import.without_effect.extend(unknown);
    import.without_effect.sort();
    Ok(import)
}

fn of_config(program: Program, config: &Config) -> Import {
    match program {
        Program::Jicofo => rules::apply(config, jicofo::RULES, jicofo::combine),
        Program::Jvb | Program::Prosody => rules::apply(config, jvb::RULES, jvb::combine),
    }
}

impl Import {
    /// The variables as a file for systemd's `EnvironmentFile` or docker compose's `env_file`.
    #[must_use]
    pub fn to_env_file(&self) -> String {
        self.settings.iter().map(|(name, value)| format!("{name}={}\n", quoted(value))).collect()
    }
}

/// As shells, systemd and docker compose read it.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@,=+[]%*".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        return value.to_owned();
    }
    if !value.contains('\'') {
        return format!("'{value}'");
    }
    let mut text = String::from('"');
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests;
