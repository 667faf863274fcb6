//! Metrics of a run: the one place for their names.
//!
//! Joins are those of the whole run. Rates, loss, latency, freezes and CPU are those of the steady part, when all that were to
//! be there were there.

use std::time::Duration;

use super::{Better, Metric, RunRecord, Unit};
use crate::load::measure::{Measurements, MediaKind, Phase, Stage, TimeHistogram};
use crate::load::process::{EndedProcess, ProcessPoint, ProcessSeries};

/// What a run gave, as metrics and as what tables are made of.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    metrics: Vec<Metric>,
    whole: Measurements,
    steady: Measurements,
    steady_time: Duration,
    servers: Vec<ServerSummary>,
}

/// What the processes of one name used in the steady part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerSummary {
    /// PID or name, as asked for.
    pub name: String,
    /// CPU seconds while participants joined.
    pub joining_cpu: f64,
    /// Cores in use.
    pub cores: f64,
    /// Of these outside of the kernel.
    pub user_cores: f64,
    /// Of these in the kernel.
    pub system_cores: f64,
    /// CPU time for each packet that a participant received, in seconds.
    pub cpu_per_packet: Option<f64>,
    /// Resident memory at the end.
    pub resident_bytes: u64,
    /// The most of it.
    pub peak_resident_bytes: u64,
    /// A second.
    pub context_switches: f64,
    /// `read` and `write`, a second.
    pub read_write_calls: Option<f64>,
    /// All system calls a second, if they were counted.
    pub syscalls: Option<f64>,
    /// Processes at the end.
    pub processes: u32,
    /// Their threads.
    pub threads: u32,
    /// Processes that ended, in the whole run.
    pub ended: Vec<EndedProcess>,
}

impl Summary {
    /// Of a run, complete or not.
    #[must_use]
    pub fn of(record: &RunRecord) -> Self {
        let (mut whole, mut steady) = (Measurements::default(), Measurements::default());
        let mut run = Run { steady_time: record.steady_time(), ..Run::default() };
        let mut load_cpu = Duration::ZERO;
        for (length, sample) in record.intervals() {
            whole.merge(&sample.measurements);
            run.participants = run.participants.max(sample.gauges.joined);
            if sample.phase == Phase::Joining {
                run.first_joins += sample.measurements.joined();
            }
            if sample.phase == Phase::Steady {
                steady.merge(&sample.measurements);
                run.participant_seconds += sample.gauges.joined as f64 * length.as_secs_f64();
                run.participants_at_end = sample.gauges.joined;
                load_cpu += sample.load_cpu;
            }
        }
        run.load_cores = divide(load_cpu.as_secs_f64(), run.steady_time.as_secs_f64());
        let received = steady.all_media().received_packets;
        let servers: Vec<_> = record.servers.iter().map(|series| server(record, series, received)).collect();
        let metrics = metrics(&whole, &steady, &run, &total(&servers));
        Self { metrics, whole, steady, steady_time: run.steady_time, servers: servers.into_iter().flatten().collect() }
    }

    /// All metrics, without values: their names, units and order.
    #[must_use]
    pub fn without_values() -> Self {
        let none = Measurements::default();
        Self { metrics: metrics(&none, &none, &Run::default(), &None), ..Self::default() }
    }

    /// All metrics, in order; those without data too.
    #[must_use]
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// The metric of this name.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    /// The value of the metric of this name; `None` if there is no such metric or it has no data.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<f64> {
        self.metric(name)?.value
    }

    /// Counts of the whole run.
    #[must_use]
    pub const fn whole(&self) -> &Measurements {
        &self.whole
    }

    /// Counts of the steady part.
    #[must_use]
    pub const fn steady(&self) -> &Measurements {
        &self.steady
    }

    /// How long the steady part was.
    #[must_use]
    pub const fn steady_time(&self) -> Duration {
        self.steady_time
    }

    /// Server processes, in the order in which they were asked for; those without a measurement in the steady part left out.
    #[must_use]
    pub fn servers(&self) -> &[ServerSummary] {
        &self.servers
    }
}

/// What is neither counted by participants nor by servers.
#[derive(Debug, Default)]
struct Run {
    steady_time: Duration,
    /// Joins before the steady part.
    first_joins: u64,
    /// Most at once.
    participants: u64,
    participants_at_end: u64,
    /// Time of all participants in the steady part.
    participant_seconds: f64,
    load_cores: Option<f64>,
}

fn divide(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    divide(part as f64, whole as f64)
}

/// Of the steady part; `None` if nothing was measured in it.
fn server(record: &RunRecord, series: &ProcessSeries, received: u64) -> Option<ServerSummary> {
    let points = points_of(record, series, Phase::Steady);
    let joining_cpu = points_of(record, series, Phase::Joining).iter().map(|point| point.cpu.as_secs_f64()).sum();
    let last = points.last()?;
    let seconds = points.iter().map(|point| point.interval).sum::<Duration>().as_secs_f64();
    let sum = |of: fn(&ProcessPoint) -> f64| points.iter().map(|point| of(point)).sum::<f64>();
    let cpu = sum(|point| point.cpu.as_secs_f64());
    let (user, system) = (sum(|point| point.user.as_secs_f64()), sum(|point| point.system.as_secs_f64()));
    let cores = divide(cpu, seconds)?;
    // Ticks divide what the finer clock counted.
    let user_cores = divide(user, user + system).map_or(0.0, |part| cores * part);
    let rate = |of: fn(&ProcessPoint) -> Option<u64>| {
        let counted = points.iter().map(|point| of(point)).sum::<Option<u64>>()?;
        divide(counted as f64, seconds)
    };
    Some(ServerSummary {
        name: series.name.clone(),
        joining_cpu,
        cores,
        user_cores,
        system_cores: if user + system > 0.0 { cores - user_cores } else { 0.0 },
        cpu_per_packet: divide(cpu, received as f64),
        resident_bytes: last.resident_bytes,
        peak_resident_bytes: points.iter().map(|point| point.resident_bytes).max().unwrap_or(0),
        context_switches: rate(|point| Some(point.switches.voluntary + point.switches.involuntary)).unwrap_or(0.0),
        read_write_calls: rate(|point| point.read_write_calls),
        syscalls: rate(|point| point.syscalls),
        processes: last.processes,
        threads: last.threads,
        ended: series.ended.clone(),
    })
}

/// What was measured of a process in a phase.
fn points_of<'a>(record: &RunRecord, series: &'a ProcessSeries, phase: Phase) -> Vec<&'a ProcessPoint> {
    let intervals: Vec<(Duration, Duration)> = record
        .intervals()
        .filter(|(_, sample)| sample.phase == phase)
        .map(|(length, sample)| (sample.at.saturating_sub(length), sample.at))
        .collect();
    let is_within = |point: &&ProcessPoint| intervals.iter().any(|(from, to)| *from < point.at && point.at <= *to);
    series.points.iter().filter(is_within).collect()
}

/// All servers together; `None` unless each was measured.
fn total(servers: &[Option<ServerSummary>]) -> Option<ServerSummary> {
    let mut servers = servers.iter();
    let mut all = servers.next()?.clone()?;
    for one in servers {
        let one = one.as_ref()?;
        all.joining_cpu += one.joining_cpu;
        all.cores += one.cores;
        all.user_cores += one.user_cores;
        all.system_cores += one.system_cores;
        all.cpu_per_packet = all.cpu_per_packet.zip(one.cpu_per_packet).map(|(all, one)| all + one);
        all.resident_bytes += one.resident_bytes;
        all.peak_resident_bytes += one.peak_resident_bytes;
        all.context_switches += one.context_switches;
        all.syscalls = all.syscalls.zip(one.syscalls).map(|(all, one)| all + one);
    }
    Some(all)
}

/// Collects metrics in their order.
#[derive(Default)]
struct List(Vec<Metric>);

impl List {
    fn add(&mut self, name: &str, label: &str, unit: Unit, better: Better, value: Option<f64>) {
        let (name, label) = (name.to_owned(), label.to_owned());
        self.0.push(Metric { name, label, unit, better, value });
    }

    fn lower(&mut self, name: &str, label: &str, unit: Unit, value: Option<f64>) {
        self.add(name, label, unit, Better::Lower, value);
    }

    /// Percentiles of a time.
    fn times(&mut self, name: &str, label: &str, times: &TimeHistogram) {
        for (suffix, part) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
            let value = times.percentile(part).map(|time| time.as_secs_f64());
            self.lower(&format!("{name}_{suffix}"), &format!("{label} {suffix}"), Unit::Time, value);
        }
        let max = times.max().map(|time| time.as_secs_f64());
        self.lower(&format!("{name}_max"), &format!("{label} max"), Unit::Time, max);
    }
}

fn metrics(whole: &Measurements, steady: &Measurements, run: &Run, server: &Option<ServerSummary>) -> Vec<Metric> {
    let mut list = List::default();
    join_metrics(&mut list, whole, run);
    quality_metrics(&mut list, steady, run);
    traffic_metrics(&mut list, steady, run);
    server_metrics(&mut list, steady, run, server.as_ref());
    list.0
}

fn join_metrics(list: &mut List, whole: &Measurements, run: &Run) {
    let started = whole.joins_started();
    let some = |count: u64| (started > 0).then_some(count as f64);
    list.add("participants", "Participants at once", Unit::Count, Better::Neither, some(run.participants));
    list.add("joins", "Joins", Unit::Count, Better::Neither, some(whole.joined()));
    let failed = whole.failures().total();
    list.lower("failed", "Failed participants", Unit::Count, some(failed));
    list.lower("failed_part", "Failed, of joins begun", Unit::Part, ratio(failed, started));
    // The whole first.
    for stage in std::iter::once(Stage::Join).chain(Stage::ALL.into_iter().filter(|stage| *stage != Stage::Join)) {
        list.times(stage.as_str(), &stage.to_string(), whole.stage(stage));
    }
}

fn quality_metrics(list: &mut List, steady: &Measurements, run: &Run) {
    list.times("latency", "Forwarding latency", &steady.all_latency());
    list.times("jitter", "Jitter", &steady.all_jitter());
    for kind in MediaKind::ALL {
        list.times(&format!("{}_latency", kind.as_str()), &format!("{kind} latency"), steady.latency(kind));
        list.times(&format!("{}_jitter", kind.as_str()), &format!("{kind} jitter"), steady.jitter(kind));
    }
    let all = steady.all_media();
    list.lower("loss", "Packet loss", Unit::Part, ratio(all.lost_packets, all.expected_packets));
    for kind in MediaKind::ALL {
        let counts = steady.media_counts(kind);
        let value = ratio(counts.lost_packets, counts.expected_packets);
        list.lower(&format!("{}_loss", kind.as_str()), &format!("{kind} packet loss"), Unit::Part, value);
    }
    let part = |list: &mut List, name, label, count, of| list.lower(name, label, Unit::Part, ratio(count, of));
    part(list, "unrecoverable", "Packets lost for good", all.unrecoverable_packets, all.expected_packets);
    part(list, "duplicated", "Packets duplicated", all.duplicated_packets, all.received_packets);
    part(list, "reordered", "Packets reordered", all.reordered_packets, all.received_packets);
    let undecodable = all.undecodable_incomplete + all.undecodable_reference + all.undecodable_late;
    part(list, "undecodable", "Frames not decodable", undecodable, all.frames + undecodable);
    let minutes = run.participant_seconds / 60.0;
    let per_minute = |list: &mut List, name, label, count: u64| {
        list.lower(name, label, Unit::PerMinute, divide(count as f64, minutes));
    };
    let freezes = steady.all_freezes();
    per_minute(list, "freezes", "Freezes a receiver", freezes.count());
    let frozen = divide(freezes.total().as_secs_f64(), run.participant_seconds);
    list.lower("freeze_time", "Time frozen", Unit::Part, frozen);
    list.times("freeze", "Freeze", &freezes);
    per_minute(list, "key_frame_requests", "Key frames asked of a sender", all.key_frame_requests_received);
    per_minute(list, "key_frame_requests_sent", "Key frames asked by a receiver", all.key_frame_requests_sent);
    per_minute(list, "nacks", "NACKs to a sender", all.nacks_received);
    per_minute(list, "nacks_sent", "NACKs by a receiver", all.nacks_sent);
    let layers = steady.layers();
    let of_layers = |frames| ratio(frames, layers.total());
    list.add("layer_match", "Frames of the layer asked for", Unit::Part, Better::Higher, of_layers(layers.matching()));
    part(list, "layer_below", "Frames of a lower layer", layers.below(), layers.total());
    part(list, "layer_above", "Frames of a higher layer", layers.above(), layers.total());
}

fn traffic_metrics(list: &mut List, steady: &Measurements, run: &Run) {
    let all = steady.all_media();
    let rate = |count: u64| divide(count as f64, run.steady_time.as_secs_f64());
    let mut neither = |name: &str, label: &str, unit, value| list.add(name, label, unit, Better::Neither, value);
    neither("send_bitrate", "Sent", Unit::Bitrate, rate(all.sent_bytes.saturating_mul(8)));
    neither("receive_bitrate", "Received", Unit::Bitrate, rate(all.received_bytes.saturating_mul(8)));
    neither("send_packets", "Packets sent", Unit::PerSecond, rate(all.sent_packets));
    neither("receive_packets", "Packets received", Unit::PerSecond, rate(all.received_packets));
    for kind in MediaKind::ALL {
        let received = rate(steady.media_counts(kind).received_packets);
        neither(&format!("{}_packets", kind.as_str()), &format!("{kind} packets received"), Unit::PerSecond, received);
    }
    neither("frames", "Frames decodable", Unit::PerSecond, rate(all.frames));
    list.lower("skipped", "Captures skipped by the load generator", Unit::PerSecond, rate(all.skipped_captures));
}

fn server_metrics(list: &mut List, steady: &Measurements, run: &Run, server: Option<&ServerSummary>) {
    let of = |value: fn(&ServerSummary) -> f64| server.map(value);
    let per_join = server.and_then(|server| divide(server.joining_cpu, run.first_joins as f64));
    list.lower("cpu_per_join", "Server CPU for a join", Unit::Time, per_join);
    list.lower("cpu", "Server CPU", Unit::Cores, of(|server| server.cores));
    list.lower("cpu_user", "Server CPU, user", Unit::Cores, of(|server| server.user_cores));
    list.lower("cpu_system", "Server CPU, system", Unit::Cores, of(|server| server.system_cores));
    let per_packet = server.and_then(|server| server.cpu_per_packet);
    list.lower(
        "cpu_ns_per_packet",
        "Server CPU for a packet",
        Unit::Nanoseconds,
        per_packet.map(|seconds| seconds * 1e9),
    );
    let per_core = per_packet.and_then(|seconds| divide(1.0, seconds));
    list.add("packets_per_core", "Packets a core", Unit::PerSecond, Better::Higher, per_core);
    list.lower("memory", "Server memory", Unit::Memory, of(|server| server.resident_bytes as f64));
    let participants = run.participants_at_end as f64;
    let each = server.and_then(|server| divide(server.resident_bytes as f64, participants));
    list.lower("memory_per_participant", "Server memory a participant", Unit::Memory, each);
    list.lower("context_switches", "Server context switches", Unit::PerSecond, of(|server| server.context_switches));
    list.lower("syscalls", "Server system calls", Unit::PerSecond, server.and_then(|server| server.syscalls));
    list.lower("load_cpu", "CPU of the load generator", Unit::Cores, run.load_cores);
    let received = steady.all_media().received_packets as f64;
    let load = run.load_cores.map(|cores| cores * run.steady_time.as_secs_f64());
    let per_packet = load.and_then(|seconds| divide(seconds * 1e9, received));
    list.lower("load_cpu_ns_per_packet", "CPU of the load generator for a packet", Unit::Nanoseconds, per_packet);
}

#[cfg(test)]
mod tests;
