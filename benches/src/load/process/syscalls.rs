//! System calls of processes, counted by the kernel (perf_event_open(2), tracepoint `raw_syscalls:sys_enter`).

use std::fs;
use std::io;

use perf_event::events::Tracepoint;
use perf_event::{Builder, Counter};

/// Where the kernel numbers its tracepoints; it may be mounted at either.
const TRACEPOINT: [&str; 2] = [
    "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id",
    "/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id",
];
/// Threads that are counted each by its own counter, which is an open file. Their later threads and children are with them.
const MAX_COUNTERS: usize = 2000;

pub(super) struct SyscallCounters {
    tracepoint: Tracepoint,
    counters: Vec<ThreadCounter>,
}

struct ThreadCounter {
    query: usize,
    counter: Counter,
    before: u64,
}

impl std::fmt::Debug for SyscallCounters {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SyscallCounters").field("counters", &self.counters.len()).finish_non_exhaustive()
    }
}

impl SyscallCounters {
    pub(super) fn new() -> Result<Self, String> {
        let id = TRACEPOINT.iter().find_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
        let id = id
            .ok_or("the kernel's tracepoints cannot be read (as root: mount -t tracefs tracefs /sys/kernel/tracing)")?;
        Ok(Self { tracepoint: Tracepoint::with_id(id), counters: Vec::new() })
    }

    /// Counts all threads of a process from now on, and those that they start.
    pub(super) fn add(&mut self, pid: u32, query: usize) -> Result<(), String> {
        let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Ok(()) };
        for entry in entries.filter_map(Result::ok) {
            let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if self.counters.len() == MAX_COUNTERS {
                return Err(format!("more than {MAX_COUNTERS} threads"));
            }
            match self.open(thread) {
                Ok(counter) => self.counters.push(ThreadCounter { query, counter, before: 0 }),
                // The thread has ended.
                Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => {}
                Err(error) => {
                    return Err(format!("{error} (be root, or sysctl kernel.perf_event_paranoid=-1)"));
                }
            }
        }
        Ok(())
    }

    fn open(&self, thread: i32) -> io::Result<Counter> {
        let mut builder = Builder::new(self.tracepoint);
        let counter = builder.observe_pid(thread).any_cpu().inherit(true).include_kernel().enabled(true).build()?;
        Ok(counter)
    }

    /// Calls of the processes of a query since the last time.
    pub(super) fn take(&mut self, query: usize) -> u64 {
        let mut sum = 0;
        for counter in self.counters.iter_mut().filter(|counter| counter.query == query) {
            let Ok(now) = counter.counter.read() else { continue };
            sum += now.saturating_sub(counter.before);
            counter.before = now;
        }
        sum
    }
}
