//! Processes under measurement: start them, talk to them line by line.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail};
use benches::load::process::{Usage, resident_bytes};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

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
            // As the bridge's own programs have it, and the ideal loop alike.
            .env(bridge::TUNABLES, bridge::HUGE_PAGES)
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
        Ok(Usage::read(self.child.id())?)
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        Ok(resident_bytes(self.child.id())?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
