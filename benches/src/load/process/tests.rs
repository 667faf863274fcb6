#![allow(clippy::disallowed_methods, reason = "processes of the system have no virtual time")]

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::*;

/// A shell that runs `script`. Killed when dropped.
struct Shell(Child);

impl Shell {
    fn run(script: &str) -> Self {
        let child = Command::new("sh").args(["-c", script]).stdout(Stdio::null()).spawn().expect("a shell");
        Self(child)
    }

    fn query(&self) -> ProcessQuery {
        ProcessQuery::Pid(self.0.id())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const fn second(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// Samples until `is_done`; the virtual seconds go up by one each time.
fn sample_until(processes: &mut ServerProcesses, is_done: impl Fn(&ServerProcesses) -> bool) {
    let start = Instant::now();
    for number in 1.. {
        std::thread::sleep(Duration::from_millis(20));
        processes.sample(second(number));
        if is_done(processes) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", processes.tracked);
    }
}

#[test]
fn measures_what_a_process_and_its_children_use() {
    // The shell waits, its child works.
    let shell = Shell::run("sh -c 'while :; do :; done' & wait");
    let mut processes = ServerProcesses::find(&[shell.query()]).unwrap();
    let used =
        |processes: &ServerProcesses| processes.series()[0].points.iter().map(|point| point.cpu).sum::<Duration>();
    sample_until(&mut processes, |processes| used(processes) > Duration::from_millis(60));
    let child = processes.pids().find(|pid| *pid != shell.0.id()).expect("the child is found");

    let point = processes.series()[0].points.last().unwrap();
    assert_eq!(point.processes, 2);
    assert!(point.resident_bytes > 200_000, "{point:?}");
    assert_eq!(point.interval, second(1));
    assert!(processes.cores().unwrap() > 0.0);

    Command::new("kill").arg(child.to_string()).status().unwrap();
    sample_until(&mut processes, |processes| !processes.series()[0].ended.is_empty());
    assert!(processes.series()[0].ended.iter().any(|ended| ended.pid == child));
}

#[test]
fn the_end_of_a_process_is_told_and_no_error() {
    let mut shell = Shell::run("exec sleep 100");
    let mut processes = ServerProcesses::find(&[shell.query()]).unwrap();
    processes.sample(second(1));
    shell.0.kill().unwrap();
    // Not waited for: it is a zombie, which has ended all the same.
    sample_until(&mut processes, |processes| processes.pids().count() == 0);
    let series = &processes.series()[0];
    assert_eq!(series.ended.iter().filter(|ended| ended.pid == shell.0.id()).count(), 1);
    assert_eq!(series.points.last().map(|point| (point.processes, point.resident_bytes)), Some((0, 0)));
}

#[test]
fn a_process_counts_once_though_two_queries_fit() {
    let shell = Shell::run("sleep 3; :");
    let mut inner = ServerProcesses::find(&[shell.query()]).unwrap();
    sample_until(&mut inner, |inner| inner.pids().count() == 2);
    let child = inner.pids().find(|pid| *pid != shell.0.id()).expect("sleep is found");
    let mut processes = ServerProcesses::find(&[ProcessQuery::Pid(child), shell.query()]).unwrap();
    processes.sample(second(1));
    let counts: Vec<u32> = processes.series().iter().map(|series| series.points[0].processes).collect();
    assert_eq!(counts, [1, 1]);
}

#[test]
fn a_query_that_nothing_fits_is_an_error_with_the_next_step() {
    let error = ServerProcesses::find(&["no-such-server".parse().unwrap()]).unwrap_err().to_string();
    assert!(error.contains("no-such-server") && error.contains("PID"), "{error}");
    // This process itself is no server.
    assert!(ServerProcesses::find(&[ProcessQuery::Pid(std::process::id())]).is_err());
}

#[test]
fn without_queries_there_is_nothing_to_measure() {
    let mut processes = ServerProcesses::find(&[]).unwrap();
    processes.sample(second(1));
    assert!(processes.series().is_empty() && processes.cores().is_none());
}

#[test]
fn counts_system_calls_or_says_why_not() {
    let shell = Shell::run("while :; do echo x; done");
    let mut processes = ServerProcesses::find(&[shell.query()]).unwrap();
    match processes.count_syscalls() {
        Ok(()) => sample_until(&mut processes, |processes| {
            processes.series()[0].points.iter().filter_map(|point| point.syscalls).sum::<u64>() > 100
        }),
        Err(error) => {
            assert!(error.to_string().starts_with("system calls cannot be counted: "), "{error}");
            processes.sample(second(1));
            assert_eq!(processes.series()[0].points[0].syscalls, None);
        }
    }
}
