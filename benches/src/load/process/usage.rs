//! What a process has used since it started.

use std::fs;
use std::io;
use std::time::Duration;

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use super::stat::Stat;

/// Times in `/proc/PID/stat` are in these (`USER_HZ`, the same on all architectures of Linux that we run on).
const TICK: Duration = Duration::from_millis(10);

/// What a process has used, threads that have ended included where nothing else is said.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// What the scheduler counted, in nanoseconds' resolution.
    pub total: Duration,
    /// How the clock tick divides it, in ticks.
    user_ticks: u64,
    system_ticks: u64,
    /// By thread that lives.
    pub threads: Vec<ThreadUsage>,
    /// `read`, `write` and what goes the same way in the kernel (not `recvmsg` and `sendmsg`); `None` where we may not see it.
    pub read_write_calls: Option<u64>,
}

/// What one thread has used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadUsage {
    /// Unique on the host, at a time.
    pub id: u32,
    /// Cut at 15 bytes by the kernel.
    pub name: String,
    /// CPU time.
    pub total: Duration,
    /// Context switches.
    pub switches: Switches,
}

/// Context switches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// The thread waited for something.
    pub voluntary: u64,
    /// Another one got the CPU.
    pub involuntary: u64,
}

impl Usage {
    /// Of a process that runs.
    ///
    /// # Errors
    /// When there is none with this PID.
    pub fn read(pid: u32) -> io::Result<Self> {
        let stat = Stat::read(&pid.to_string())?;
        let mut threads = Vec::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
            let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // It may have ended since it was listed.
            threads.extend(ThreadUsage::read(pid, id).ok());
        }
        let of_threads = || threads.iter().map(|thread: &ThreadUsage| thread.total).sum();
        Ok(Self {
            total: cpu_clock(pid).unwrap_or_else(of_threads),
            user_ticks: stat.user_ticks,
            system_ticks: stat.system_ticks,
            threads,
            read_write_calls: fs::read_to_string(format!("/proc/{pid}/io"))
                .ok()
                .and_then(|text| Some(number(&text, "syscr:")?.saturating_add(number(&text, "syscw:")?))),
        })
    }

    /// What was used since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let none = ThreadUsage::default();
        let threads = self.threads.iter().map(|thread| {
            let before = earlier.threads.iter().find(|before| before.id == thread.id).unwrap_or(&none);
            ThreadUsage {
                id: thread.id,
                name: thread.name.clone(),
                total: thread.total.saturating_sub(before.total),
                switches: Switches {
                    voluntary: thread.switches.voluntary.saturating_sub(before.switches.voluntary),
                    involuntary: thread.switches.involuntary.saturating_sub(before.switches.involuntary),
                },
            }
        });
        Self {
            total: self.total.saturating_sub(earlier.total),
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(earlier.system_ticks),
            threads: threads.collect(),
            read_write_calls: self
                .read_write_calls
                .map(|calls| calls.saturating_sub(earlier.read_write_calls.unwrap_or(0))),
        }
    }

    /// Outside of the kernel, to the clock tick.
    #[must_use]
    pub fn user(&self) -> Duration {
        ticks(self.user_ticks)
    }

    /// In the kernel, to the clock tick.
    #[must_use]
    pub fn system(&self) -> Duration {
        ticks(self.system_ticks)
    }

    /// The part of [`Self::total`] that was spent outside of the kernel, 0 to 1.
    #[must_use]
    pub fn user_part(&self) -> f64 {
        let ticks = self.user_ticks + self.system_ticks;
        if ticks == 0 { 0.0 } else { self.user_ticks as f64 / ticks as f64 }
    }

    /// The thread that used most.
    #[must_use]
    pub fn busiest(&self) -> Duration {
        self.threads.iter().map(|thread| thread.total).max().unwrap_or_default()
    }

    /// Context switches of all threads.
    #[must_use]
    pub fn switches(&self) -> Switches {
        self.threads.iter().fold(Switches::default(), |all, thread| Switches {
            voluntary: all.voluntary + thread.switches.voluntary,
            involuntary: all.involuntary + thread.switches.involuntary,
        })
    }
}

impl ThreadUsage {
    fn read(pid: u32, id: u32) -> io::Result<Self> {
        let path = format!("{pid}/task/{id}");
        let stat = Stat::read(&path)?;
        let text = fs::read_to_string(format!("/proc/{path}/schedstat")).unwrap_or_default();
        // A kernel without scheduler statistics has the ticks only.
        let scheduled = text.split(' ').next().and_then(|ns| ns.parse().ok()).map(Duration::from_nanos);
        let total = scheduled.unwrap_or_else(|| ticks(stat.user_ticks + stat.system_ticks));
        let status = fs::read(format!("/proc/{path}/status"))?;
        let status = String::from_utf8_lossy(&status);
        Ok(Self {
            id,
            name: stat.name,
            total,
            switches: Switches {
                voluntary: number(&status, "voluntary_ctxt_switches:").unwrap_or(0),
                involuntary: number(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0),
            },
        })
    }
}

/// Resident memory of a process, in bytes. Pages that processes share count for each.
///
/// # Errors
/// When there is no process with this PID.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let status = fs::read(format!("/proc/{pid}/status"))?;
    // A process that ends has no memory any more.
    Ok(number(&String::from_utf8_lossy(&status), "VmRSS:").unwrap_or(0).saturating_mul(1024))
}

/// The CPU clock of a process (clock_getcpuclockid(3)): unlike the sum of the threads in `/proc` it has those that ended.
fn cpu_clock(pid: u32) -> Option<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
    Some(Duration::from(clock_gettime(clock).ok()?))
}

fn ticks(ticks: u64) -> Duration {
    TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
}

/// The number in the line that begins with `name`; a unit behind it is ignored.
fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_new_counts_from_zero() {
        let thread = |id, ms| ThreadUsage { id, total: Duration::from_millis(ms), ..ThreadUsage::default() };
        let before = Usage { threads: vec![thread(1, 5)], ..Usage::default() };
        let after = Usage { threads: vec![thread(1, 7), thread(2, 3)], ..Usage::default() };
        assert_eq!(after.since(&before).threads, [thread(1, 2), thread(2, 3)]);
        assert_eq!(after.since(&before).busiest(), Duration::from_millis(3));
    }

    #[test]
    fn time_of_a_thread_that_ended_is_not_lost() {
        let own = std::process::id();
        let before = Usage::read(own).unwrap();
        let worker = std::thread::spawn(|| {
            let start = clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
            while clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap()
                < start + nix::sys::time::TimeSpec::new(0, 30_000_000)
            {}
        });
        worker.join().unwrap();
        let used = Usage::read(own).unwrap().since(&before);
        assert!(used.total >= Duration::from_millis(30), "{used:?}");
    }

    #[test]
    fn reads_memory_and_switches_of_this_process() {
        let own = std::process::id();
        assert!(resident_bytes(own).unwrap() > 500_000);
        std::thread::sleep(Duration::from_millis(1));
        let usage = Usage::read(own).unwrap();
        assert!(usage.switches().voluntary > 0 && usage.read_write_calls > Some(0));
        assert!(Usage::read(u32::MAX).is_err());
    }

    #[test]
    fn numbers_are_found_by_the_whole_name() {
        let text = "VmRSS:\t    1772 kB\nvoluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t1\n";
        assert_eq!(number(text, "VmRSS:"), Some(1772));
        assert_eq!(number(text, "voluntary_ctxt_switches:"), Some(3));
        assert_eq!(number(text, "nonvoluntary_ctxt_switches:"), Some(1));
        assert_eq!(number(text, "VmHWM:"), None);
    }
}
