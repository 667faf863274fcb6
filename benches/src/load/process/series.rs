//! What processes used over a run.

use std::time::Duration;

use super::usage::{Switches, Usage};

/// Ended processes that are named. A server that starts one for each request may end thousands.
const MAX_ENDED: usize = 20;

/// The processes of one query over a run.
#[derive(Clone, Debug, Default)]
pub struct ProcessSeries {
    /// PID or name, as asked for.
    pub name: String,
    /// By interval.
    pub points: Vec<ProcessPoint>,
    /// Processes that ended in mid-run: the first 20.
    pub ended: Vec<EndedProcess>,
}

/// A process that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedProcess {
    /// It had this number.
    pub pid: u32,
    /// And this name.
    pub name: String,
    /// Noticed at this time since the start of the run.
    pub at: Duration,
}

/// What the processes of a query used in an interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessPoint {
    /// End of the interval, since the start of the run.
    pub at: Duration,
    /// How long it was.
    pub interval: Duration,
    /// CPU time, to the nanosecond.
    pub cpu: Duration,
    /// How the clock tick divides it: its sum with [`Self::system`] is that of [`Self::cpu`] only over a longer time.
    pub user: Duration,
    /// In the kernel.
    pub system: Duration,
    /// At the end of the interval. Pages that processes share count for each.
    pub resident_bytes: u64,
    /// Context switches.
    pub switches: Switches,
    /// `read`, `write` and what goes the same way in the kernel; `None` where we may not see them.
    pub read_write_calls: Option<u64>,
    /// All system calls; `None` if they are not counted.
    pub syscalls: Option<u64>,
    /// Processes at the end of the interval.
    pub processes: u32,
    /// Their threads.
    pub threads: u32,
}

impl ProcessSeries {
    pub(super) fn new(name: String) -> Self {
        Self { name, points: Vec::new(), ended: Vec::new() }
    }

    pub(super) fn on_ended(&mut self, ended: EndedProcess) {
        if self.ended.len() < MAX_ENDED {
            self.ended.push(ended);
        }
    }
}

impl ProcessPoint {
    pub(super) fn new(at: Duration, interval: Duration) -> Self {
        Self { at, interval, ..Self::default() }
    }

    /// Adds what one more process used.
    pub(super) fn add(&mut self, used: &Usage, resident_bytes: u64) {
        let switches = used.switches();
        self.cpu += used.total;
        self.user += used.user();
        self.system += used.system();
        self.resident_bytes += resident_bytes;
        self.switches.voluntary += switches.voluntary;
        self.switches.involuntary += switches.involuntary;
        if let Some(calls) = used.read_write_calls {
            *self.read_write_calls.get_or_insert_default() += calls;
        }
        self.processes += 1;
        self.threads = self.threads.saturating_add(u32::try_from(used.threads.len()).unwrap_or(u32::MAX));
    }

    /// Cores in use, on average.
    #[must_use]
    pub fn cores(&self) -> f64 {
        if self.interval.is_zero() { 0.0 } else { self.cpu.as_secs_f64() / self.interval.as_secs_f64() }
    }
}
