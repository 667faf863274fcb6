//! How an operator names the processes of a server.

use std::fmt;
use std::fs;
use std::str::FromStr;

use thiserror::Error;

use super::stat::Stat;

/// Programs whose own name says nothing about what they run; names that go on with a version (`lua5.4`) are meant too.
const INTERPRETERS: [&str; 9] = ["java", "lua", "luajit", "node", "python", "beam.smp", "ruby", "perl", "php"];
/// The kernel cuts the name of a process here.
const MAX_KERNEL_NAME_LEN: usize = 15;

/// Which processes to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessQuery {
    /// One process.
    Pid(u32),
    /// All that have this name, or whose executable has it; of programs that an interpreter runs, all with this text in the
    /// command line.
    Name(String),
}

/// The text names no process.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the name of a process is missing (give a PID, or a name such as jvb or prosody)")]
pub struct ProcessQueryError;

impl FromStr for ProcessQuery {
    type Err = ProcessQueryError;

    fn from_str(text: &str) -> Result<Self, ProcessQueryError> {
        match (text.trim(), text.trim().parse()) {
            ("", _) => Err(ProcessQueryError),
            (_, Ok(pid)) => Ok(Self::Pid(pid)),
            (name, Err(_)) => Ok(Self::Name(name.to_owned())),
        }
    }
}

impl fmt::Display for ProcessQuery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => write!(formatter, "{pid}"),
            Self::Name(name) => formatter.write_str(name),
        }
    }
}

impl ProcessQuery {
    pub(super) fn fits(&self, stat: &Stat) -> bool {
        match self {
            Self::Pid(pid) => *pid == stat.pid,
            Self::Name(name) => {
                let executable = fs::read_link(format!("/proc/{}/exe", stat.pid)).ok();
                let executable = executable.as_deref().and_then(|path| path.file_name()?.to_str()).unwrap_or_default();
                // A program that was replaced on disk while it runs.
                let executable = executable.trim_end_matches(" (deleted)");
                let command_line = || {
                    let bytes = fs::read(format!("/proc/{}/cmdline", stat.pid)).unwrap_or_default();
                    String::from_utf8_lossy(&bytes).replace('\0', " ")
                };
                is_named(name, &stat.name, executable, command_line)
            }
        }
    }
}

fn is_named(asked: &str, kernel_name: &str, executable: &str, command_line: impl FnOnce() -> String) -> bool {
    let cut = asked.get(..MAX_KERNEL_NAME_LEN).unwrap_or(asked);
    // A name of full length may be the beginning of a longer one: then the executable decides.
    let has_name = kernel_name == cut && (asked.len() <= MAX_KERNEL_NAME_LEN || executable.is_empty());
    has_name || executable == asked || (is_interpreter(executable) && command_line().contains(asked))
}

fn is_interpreter(executable: &str) -> bool {
    let base = executable.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.' || letter == '-');
    INTERPRETERS.contains(&base) || INTERPRETERS.contains(&executable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_a_pid_and_all_else_a_name() {
        assert_eq!("123".parse(), Ok(ProcessQuery::Pid(123)));
        assert_eq!(" jvb ".parse(), Ok(ProcessQuery::Name("jvb".to_owned())));
        assert_eq!("9front".parse(), Ok(ProcessQuery::Name("9front".to_owned())));
        assert_eq!(" ".parse::<ProcessQuery>(), Err(ProcessQueryError));
    }

    #[test]
    fn a_name_is_that_of_the_process_or_of_its_executable() {
        let no_line = || String::new();
        assert!(is_named("prosody", "prosody", "lua5.4", no_line));
        assert!(is_named("teranga", "main-thread", "teranga", no_line));
        assert!(!is_named("teranga", "teranga-load", "teranga-load", no_line));
        assert!(is_named("a-very-long-name-of-a-server", "a-very-long-nam", "a-very-long-name-of-a-server", no_line));
        assert!(!is_named("a-very-long-name-of-a-server", "a-very-long-nam", "a-very-long-name-of-another", no_line));
    }

    #[test]
    fn the_command_line_counts_only_behind_an_interpreter() {
        let line = || "java -cp /usr/share/jicofo org.jitsi.jicofo.Main".to_owned();
        assert!(is_named("jicofo", "java", "java", line));
        assert!(is_named("jicofo", "x", "lua5.4", line));
        assert!(!is_named("jicofo", "vim", "vim", line));
        assert!(!is_named("jvb", "java", "java", line));
    }
}
