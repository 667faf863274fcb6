//! Processes under measurement: start them, talk to them line by line, read what they used.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// Times in `/proc/PID/stat` are in these (`USER_HZ`, the same on all architectures of Linux that we run on).
const TICK: Duration = Duration::from_millis(10);

/// Puts this thread, and those that it will start, on `cpus`.
pub(crate) fn pin(cpus: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("cannot run on the CPUs {cpus:?}"))
}

/// Gives this process and its children more of their CPUs than other programs get, where that is allowed: figures then
/// suffer less from what else the machine does.
pub(crate) fn prefer() {
    // Where the kernel groups processes by session, the priority within the group says nothing to other sessions.
    let is_grouped = fs::read_to_string("/proc/sys/kernel/sched_autogroup_enabled").is_ok_and(|on| on.trim() == "1");
    let group = if is_grouped { fs::write("/proc/self/autogroup", PRIORITY.to_string()).is_ok() } else { true };
    let own = rustix::process::setpriority_process(None, PRIORITY).is_ok();
    if !group || !own {
        eprintln!("note: other programs have the same priority; figures may be noisy");
    }
}

/// Of `nice`.
const PRIORITY: i32 = -15;

/// A process of ours that is asked by lines. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Server {
    /// Starts this program again with `arguments`, behind `wrapper` (a tool such as valgrind) if there is any.
    pub(crate) fn start(wrapper: &[String], arguments: &[String]) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let mut words = wrapper.iter().cloned().chain([program.display().to_string()]).chain(arguments.iter().cloned());
        let first = words.next().context("no program")?;
        let mut child = Command::new(&first)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {first}"))?;
        let (requests, answers) = child.stdin.take().zip(child.stdout.take()).context("no pipes")?;
        Ok(Self { child, requests, answers: BufReader::new(answers) })
    }

    /// Sends a line that has no answer.
    pub(crate) fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.requests, "{line}").context("the server is gone")
    }

    /// Sends a line and answers the next line of the server.
    pub(crate) fn ask(&mut self, line: &str) -> anyhow::Result<String> {
        self.tell(line)?;
        self.requests.flush()?;
        let mut answer = String::new();
        if self.answers.read_line(&mut answer)? == 0 {
            bail!("the server ended at {:.200}", line);
        }
        Ok(answer.trim_end().to_owned())
    }

    /// Ends the process by the end of its input and waits for it.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        let Self { child, requests, .. } = &mut self;
        // Closed by putting another pipe's end in its place: a field of a type with `Drop` cannot be moved out.
        let (_, other) = std::io::pipe()?;
        *requests = ChildStdin::from(std::os::fd::OwnedFd::from(other));
        child.wait()?;
        Ok(())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        usage(self.child.id())
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time that a process has used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// What the scheduler counted of all threads, in nanoseconds' resolution.
    pub(crate) total: Duration,
    /// How the clock tick divides it, in ticks.
    user_ticks: u64,
    system_ticks: u64,
    /// By thread.
    pub(crate) threads: Vec<ThreadUsage>,
}

/// CPU time of one thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ThreadUsage {
    id: u64,
    pub(crate) name: String,
    pub(crate) total: Duration,
}

impl Usage {
    /// What was used since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let threads = self.threads.iter().map(|thread| {
            let before = earlier.threads.iter().find(|before| before.id == thread.id);
            let before = before.map_or(Duration::ZERO, |before| before.total);
            ThreadUsage { total: thread.total.saturating_sub(before), ..thread.clone() }
        });
        Self {
            total: self.total.saturating_sub(earlier.total),
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(earlier.system_ticks),
            threads: threads.collect(),
        }
    }

    /// The part of [`Self::total`] that was spent outside of the kernel, 0 to 1.
    pub(crate) fn user_part(&self) -> f64 {
        let ticks = self.user_ticks + self.system_ticks;
        if ticks == 0 { 0.0 } else { self.user_ticks as f64 / ticks as f64 }
    }

    /// The thread that used most.
    pub(crate) fn busiest(&self) -> Duration {
        self.threads.iter().map(|thread| thread.total).max().unwrap_or_default()
    }
}

fn usage(pid: u32) -> anyhow::Result<Usage> {
    let (user_ticks, system_ticks) = ticks(&fs::read_to_string(format!("/proc/{pid}/stat"))?).context("stat")?;
    let mut threads = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = entry?.path();
        let id = path.file_name().and_then(|name| name.to_str()?.parse().ok()).context("thread id")?;
        let name = fs::read_to_string(path.join("comm"))?.trim_end().to_owned();
        // A kernel without scheduler statistics has the ticks only.
        let total = match fs::read_to_string(path.join("schedstat")) {
            Ok(text) => Duration::from_nanos(text.split(' ').next().context("schedstat")?.parse()?),
            Err(_) => {
                let (user, system) = ticks(&fs::read_to_string(path.join("stat"))?).context("stat")?;
                TICK.saturating_mul(u32::try_from(user + system)?)
            }
        };
        threads.push(ThreadUsage { id, name, total });
    }
    Ok(Usage { total: threads.iter().map(|thread| thread.total).sum(), user_ticks, system_ticks, threads })
}

/// utime and stime of a line of `/proc/PID/stat`: the 12th and 13th field behind the name, which may have spaces.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_behind_a_name_with_spaces() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 100 0 0 0 123 45 0 0 20 0 3 0 99 1 2";
        assert_eq!(ticks(stat), Some((123, 45)));
    }

    #[test]
    fn a_thread_that_is_new_counts_from_zero() {
        let thread = |id, ms| ThreadUsage { id, name: String::new(), total: Duration::from_millis(ms) };
        let before = Usage { threads: vec![thread(1, 5)], ..Usage::default() };
        let after = Usage { threads: vec![thread(1, 7), thread(2, 3)], ..Usage::default() };
        assert_eq!(after.since(&before).threads, [thread(1, 2), thread(2, 3)]);
        assert_eq!(after.since(&before).busiest(), Duration::from_millis(3));
    }
}
