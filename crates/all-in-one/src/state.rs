//! What outlives a restart: the certificate and the secret of TURN, in a directory, or in memory where there is none.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use rustls::ServerConfig;

/// The accounts of this server, in the state directory.
pub(crate) const ACCOUNTS_FILE: &str = "accounts.sqlite";
/// What the server is told to do, in the state directory, unless it is told of another file.
pub(crate) const ENV_FILE: &str = "teranga.env";
/// Where the running server listens for commands of its operator.
const CONTROL_SOCKET: &str = "control.sock";
/// The process id of the server that uses the directory.
const PID_FILE: &str = "teranga.pid";

/// Where state is kept.
pub(crate) enum State {
    Directory(PathBuf),
    /// Lost at the end; `why` says what is wrong with the directory that would have been used.
    Memory {
        why: String,
    },
}

impl State {
    /// The directory that was asked for has to serve; where none was, a host without a place for state is served too.
    pub(crate) fn open(wanted: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(dir) = wanted {
            prepare(dir).with_context(|| {
                format!("cannot write state directory {} (choose another with --state-dir)", dir.display())
            })?;
            return Ok(Self::Directory(dir.to_owned()));
        }
        Ok(Self::open_default(default_dir()))
    }

    fn open_default(dir: Option<PathBuf>) -> Self {
        let Some(dir) = dir else {
            return Self::Memory { why: "neither XDG_STATE_HOME nor HOME is set".to_owned() };
        };
        match prepare(&dir) {
            Ok(()) => Self::Directory(dir),
            Err(error) => Self::Memory { why: format!("{}: {error}", dir.display()) },
        }
    }

    /// What the server does without for want of a directory, in words for an operator.
    pub(crate) fn missing(&self) -> Option<String> {
        match self {
            Self::Directory(_) => None,
            Self::Memory { why } => Some(format!(
                "a state directory ({why}; a new certificate and TURN secret at each start, and no accounts, see --state-dir)"
            )),
        }
    }

    /// TLS settings with the certificate of the last start, or with a new one for `names`.
    pub(crate) fn certificate(&self, names: &[String]) -> anyhow::Result<ServerConfig> {
        Ok(match self {
            Self::Directory(dir) => web::load_or_create_certificate(dir, names)?,
            Self::Memory { .. } => web::create_certificate(names)?,
        })
    }

    /// Where the accounts of this server are; `None` for in memory.
    pub(crate) fn accounts_file(&self) -> Option<PathBuf> {
        match self {
            Self::Directory(dir) => Some(dir.join(ACCOUNTS_FILE)),
            Self::Memory { .. } => None,
        }
    }

    /// Where commands reach this server; `None` for in memory.
    pub(crate) fn control_socket(&self) -> Option<PathBuf> {
        match self {
            Self::Directory(dir) => Some(dir.join(CONTROL_SOCKET)),
            Self::Memory { .. } => None,
        }
    }

    /// Lets `prosodyctl status` find this process while it runs.
    pub(crate) fn mark_running(&self) -> Option<RunningMark> {
        let Self::Directory(dir) = self else { return None };
        let path = dir.join(PID_FILE);
        // Who asks is told that nothing runs; all else works.
        std::fs::write(&path, format!("{}\n", std::process::id())).ok().map(|()| RunningMark(path))
    }

    /// The secret of the last start, or a new one.
    pub(crate) fn turn_secret(&self) -> anyhow::Result<String> {
        match self {
            Self::Directory(dir) => crate::turn::load_or_create_secret(dir),
            Self::Memory { .. } => Ok(crate::turn::new_secret()),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(dir) => dir.display().fmt(f),
            Self::Memory { .. } => f.write_str("in memory only: no state directory can be written"),
        }
    }
}

/// The directory that a server uses which was told `wanted`.
pub(crate) fn directory(wanted: Option<&Path>) -> anyhow::Result<PathBuf> {
    let dir = wanted.map(Path::to_owned).or_else(default_dir);
    dir.context("neither XDG_STATE_HOME nor HOME is set (use --state-dir)")
}

/// Which server a command is for.
#[derive(Debug, Args)]
pub(crate) struct ServerPlace {
    /// State directory of the server [default: $XDG_STATE_HOME/teranga or ~/.local/state/teranga].
    #[arg(long, env = "TERANGA_STATE_DIR", value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

impl ServerPlace {
    /// Where that server takes commands.
    pub(crate) fn control_socket(&self) -> anyhow::Result<PathBuf> {
        Ok(directory(self.state_dir.as_deref())?.join(CONTROL_SOCKET))
    }
}

/// The server that uses a directory, by process id, if one runs.
pub(crate) fn running(dir: &Path) -> Option<u32> {
    let pid: u32 = std::fs::read_to_string(dir.join(PID_FILE)).ok()?.trim().parse().ok()?;
    // The number may be another's by now.
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    program.file_name()?.to_str()?.starts_with("teranga").then_some(pid)
}

/// Says where a server runs, until it is dropped.
pub(crate) struct RunningMark(PathBuf);

impl Drop for RunningMark {
    fn drop(&mut self) {
        // A server that was started since has written its own.
        let is_ours = std::fs::read_to_string(&self.0).is_ok_and(|pid| pid.trim() == std::process::id().to_string());
        if is_ours {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

fn default_dir() -> Option<PathBuf> {
    let from = |variable: &str, below: &str| {
        std::env::var_os(variable).filter(|dir| !dir.is_empty()).map(|dir| Path::new(&dir).join(below))
    };
    from("XDG_STATE_HOME", "teranga").or_else(|| from("HOME", ".local/state/teranga"))
}

/// Makes the directory and sees that files can be made in it.
fn prepare(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let probe = dir.join(".write-test");
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(&probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_was_asked_for_has_to_serve() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(State::open(Some(&file.join("below"))).is_err());
        assert!(State::open(Some(&dir.path().join("below"))).unwrap().missing().is_none());
    }

    #[test]
    fn without_a_place_state_is_kept_in_memory_and_that_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        for place in [None, Some(file.join("below"))] {
            let state = State::open_default(place);
            assert!(state.missing().unwrap().contains("--state-dir"));
            assert!(state.certificate(&["localhost".to_owned()]).is_ok());
            assert_ne!(state.turn_secret().unwrap(), state.turn_secret().unwrap());
        }
        assert!(State::open_default(Some(dir.path().join("new"))).missing().is_none());
    }
}
