//! `/proc/PID/stat` (proc_pid_stat(5)).

use std::fs;
use std::io;

/// What a line says that we need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) pid: u32,
    /// At most 15 bytes.
    pub(super) name: String,
    pub(super) is_zombie: bool,
    pub(super) parent: u32,
    pub(super) user_ticks: u64,
    pub(super) system_ticks: u64,
    /// Ticks since boot: tells processes apart that get the same PID in turn.
    pub(super) started_ticks: u64,
}

impl Stat {
    /// Of a process or, with `PID/task/TID`, of a thread.
    pub(super) fn read(path: &str) -> io::Result<Self> {
        // A name may be of any bytes.
        let bytes = fs::read(format!("/proc/{path}/stat"))?;
        Self::parse(&String::from_utf8_lossy(&bytes))
            .ok_or_else(|| io::Error::other("a stat file in a form unknown to us"))
    }

    /// The name, in brackets, may itself have brackets and spaces.
    fn parse(line: &str) -> Option<Self> {
        let (pid, rest) = line.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Numbers as in the manual page, where the state is the third field.
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Self {
            pid: pid.parse().ok()?,
            name: name.to_owned(),
            is_zombie: matches!(field(3)?, "Z" | "X" | "x"),
            parent: field(4)?.parse().ok()?,
            user_ticks: field(14)?.parse().ok()?,
            system_ticks: field(15)?.parse().ok()?,
            started_ticks: field(22)?.parse().ok()?,
        })
    }
}

/// Of all processes that can be read.
pub(super) fn all() -> io::Result<Vec<Stat>> {
    let entries = fs::read_dir("/proc")?.filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // One may end between the list and the look at it.
    Ok(pids.filter_map(|pid| Stat::read(&pid.to_string()).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_behind_a_name_with_spaces_and_brackets() {
        let line = "7 (a b) c) S 1 7 7 0 -1 4194304 100 0 0 0 123 45 0 0 20 0 3 0 99 1 2";
        let expected = Stat {
            pid: 7,
            name: "a b) c".to_owned(),
            is_zombie: false,
            parent: 1,
            user_ticks: 123,
            system_ticks: 45,
            started_ticks: 99,
        };
        assert_eq!(Stat::parse(line), Some(expected));
    }

    #[test]
    fn a_line_that_is_cut_is_refused() {
        assert_eq!(Stat::parse("7 (a) S 1 7"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn this_process_is_in_the_list() {
        assert!(all().unwrap().iter().any(|stat| stat.pid == std::process::id() && !stat.is_zombie));
    }
}
