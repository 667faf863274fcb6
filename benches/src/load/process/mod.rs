//! Processes of the server under test on this host: what they use, by interval.
//!
//! Here: finding them by PID or name with all that they start, and reading `/proc` (Linux). Not here: what is made of it
//! (`report`). A server on another host has no such figures.

mod query;
mod series;
mod stat;
mod syscalls;
mod usage;

pub use query::{ProcessQuery, ProcessQueryError};
pub use series::{EndedProcess, ProcessPoint, ProcessSeries};
pub use usage::{Switches, ThreadUsage, Usage, resident_bytes};

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use stat::Stat;
use syscalls::SyscallCounters;
use thiserror::Error;

/// Why no processes are measured.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// `/proc` cannot be read.
    #[error("cannot list the processes in /proc")]
    List(#[source] io::Error),
    /// No process fits.
    #[error(
        "no process fits {0:?} (give a PID, a name as `ps -e` prints it, or, of programs that an interpreter runs, such as \
         java, a part of the command line)"
    )]
    NotFound(String),
    /// The kernel does not let us count system calls.
    #[error("system calls cannot be counted: {0}")]
    Syscalls(String),
}

/// The processes under measurement. Each counts once: for the first query that fits it or one that it descends from.
#[derive(Debug)]
pub struct ServerProcesses {
    queries: Vec<ProcessQuery>,
    series: Vec<ProcessSeries>,
    tracked: BTreeMap<u32, Tracked>,
    /// Others by PID: when they started and what they were called, to look at each once.
    strangers: BTreeMap<u32, (u64, String)>,
    syscalls: Option<SyscallCounters>,
    /// End of the latest interval.
    at: Duration,
}

#[derive(Debug)]
struct Tracked {
    started_ticks: u64,
    name: String,
    /// Index of the query.
    query: usize,
    before: Usage,
}

impl ServerProcesses {
    /// Finds all processes that fit `queries`, and reads where their counters stand. This process is never one of them.
    ///
    /// # Errors
    /// When nothing fits one of the queries.
    pub fn find(queries: &[ProcessQuery]) -> Result<Self, ProcessError> {
        let mut found = Self {
            queries: queries.to_vec(),
            series: queries.iter().map(|query| ProcessSeries::new(query.to_string())).collect(),
            tracked: BTreeMap::new(),
            strangers: BTreeMap::new(),
            syscalls: None,
            at: Duration::ZERO,
        };
        if queries.is_empty() {
            return Ok(found);
        }
        let processes = stat::all().map_err(ProcessError::List)?;
        found.take_in(&processes);
        for (index, query) in queries.iter().enumerate() {
            if !found.tracked.values().any(|tracked| tracked.query == index) {
                return Err(ProcessError::NotFound(query.to_string()));
            }
        }
        for (pid, tracked) in &mut found.tracked {
            // One that has just ended is noticed at the first sample.
            tracked.before = Usage::read(*pid).unwrap_or_default();
        }
        Ok(found)
    }

    /// Counts system calls too. It makes each call of every process of the host slower by a fraction of a microsecond, so
    /// that CPU figures taken at the same time are somewhat too high.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn count_syscalls(&mut self) -> Result<(), ProcessError> {
        let mut counters = SyscallCounters::new().map_err(ProcessError::Syscalls)?;
        for (pid, tracked) in &self.tracked {
            counters.add(*pid, tracked.query).map_err(ProcessError::Syscalls)?;
        }
        self.syscalls = Some(counters);
        Ok(())
    }

    /// Ends an interval at `at` since the start of the run, the time of the sample of the same interval.
    pub fn sample(&mut self, at: Duration) {
        if self.queries.is_empty() {
            return;
        }
        // Without a list nothing is known of this interval; the counters go on, and the next one has it all.
        let Ok(processes) = stat::all() else { return };
        let mut points: Vec<ProcessPoint> =
            self.queries.iter().map(|_| ProcessPoint::new(at, at - self.at.min(at))).collect();
        self.forget_ended(at, &processes);
        for pid in self.take_in(&processes) {
            // What cannot be counted of a newcomer is missing; it would be an error only at the start.
            if let (Some(counters), Some(tracked)) = (&mut self.syscalls, self.tracked.get(&pid)) {
                let _ = counters.add(pid, tracked.query);
            }
        }
        for (pid, tracked) in &mut self.tracked {
            let Ok(now) = Usage::read(*pid) else { continue };
            if let Some(point) = points.get_mut(tracked.query) {
                point.add(&now.since(&tracked.before), resident_bytes(*pid).unwrap_or(0));
            }
            tracked.before = now;
        }
        if let Some(counters) = &mut self.syscalls {
            for (query, point) in points.iter_mut().enumerate() {
                point.syscalls = Some(counters.take(query));
            }
        }
        self.at = at;
        for (series, point) in self.series.iter_mut().zip(points) {
            series.points.push(point);
        }
    }

    /// What was measured so far, one series for each query in their order.
    #[must_use]
    pub fn series(&self) -> &[ProcessSeries] {
        &self.series
    }

    /// Cores that all of them together used in the latest interval; `None` before the first.
    #[must_use]
    pub fn cores(&self) -> Option<f64> {
        self.series
            .iter()
            .filter_map(|series| series.points.last())
            .map(ProcessPoint::cores)
            .reduce(|all, one| all + one)
    }

    /// PIDs that are under measurement now.
    pub fn pids(&self) -> impl Iterator<Item = u32> {
        self.tracked.keys().copied()
    }

    fn forget_ended(&mut self, at: Duration, processes: &[Stat]) {
        let lives: BTreeMap<u32, u64> =
            processes.iter().filter(|stat| !stat.is_zombie).map(|stat| (stat.pid, stat.started_ticks)).collect();
        let Self { tracked, series, strangers, .. } = self;
        strangers.retain(|pid, (started, _)| lives.get(pid) == Some(started));
        tracked.retain(|pid, tracked| {
            let is_alive = lives.get(pid) == Some(&tracked.started_ticks);
            if !is_alive && let Some(series) = series.get_mut(tracked.query) {
                series.on_ended(EndedProcess { pid: *pid, name: tracked.name.clone(), at });
            }
            is_alive
        });
    }

    /// Takes those of `processes` that fit or descend from one that does; answers who is new.
    fn take_in(&mut self, processes: &[Stat]) -> Vec<u32> {
        let own = std::process::id();
        let mut candidates: Vec<&Stat> = processes
            .iter()
            .filter(|stat| stat.pid != own && !stat.is_zombie && !self.tracked.contains_key(&stat.pid))
            .collect();
        let mut new = Vec::new();
        for stat in &candidates {
            // A program that starts another in its place (exec) is looked at again.
            let is_known = self
                .strangers
                .get(&stat.pid)
                .is_some_and(|(started, name)| *started == stat.started_ticks && *name == stat.name);
            if is_known {
                continue;
            }
            match self.queries.iter().position(|query| query.fits(stat)) {
                Some(query) => {
                    self.tracked.insert(stat.pid, Tracked::new(stat, query));
                    new.push(stat.pid);
                }
                None => {
                    self.strangers.insert(stat.pid, (stat.started_ticks, stat.name.clone()));
                }
            }
        }
        // Children of children come in a later turn.
        loop {
            let before = new.len();
            candidates.retain(|stat| {
                let parent = self.tracked.get(&stat.parent).map(|parent| parent.query);
                let is_new = !self.tracked.contains_key(&stat.pid);
                if let (Some(query), true) = (parent, is_new) {
                    self.tracked.insert(stat.pid, Tracked::new(stat, query));
                    self.strangers.remove(&stat.pid);
                    new.push(stat.pid);
                }
                parent.is_none() && is_new
            });
            if new.len() == before {
                return new;
            }
        }
    }
}

impl Tracked {
    fn new(stat: &Stat, query: usize) -> Self {
        Self { started_ticks: stat.started_ticks, name: stat.name.clone(), query, before: Usage::default() }
    }
}

#[cfg(test)]
mod tests;
