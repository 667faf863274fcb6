//! The report for programs.

use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::{Interval, Metric, Report, RunRecord, ServerSummary, TOOL, format};
use crate::load::measure::{Interruption, Measurements, MediaKind, Stage, TimeHistogram};

/// Goes up when a key changes its meaning or goes away. New keys may come without.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    tool: &'static str,
    target: &'a str,
    /// RFC 3339.
    started: String,
    /// Seconds.
    duration: f64,
    /// Of these, of the steady part.
    steady: f64,
    /// `completed`, `interrupted` or `failed`.
    ended: &'static str,
    /// For people.
    ended_text: String,
    partial: bool,
    passed: bool,
    scenario: &'a Value,
    machine: &'a super::MachineInfo,
    metrics: Metrics<'a>,
    expectations: Value,
    failures: Value,
    stages: Value,
    whole: Value,
    steady_media: Value,
    layers: Value,
    interruptions: Value,
    servers: Vec<Value>,
    timeline: Vec<Interval>,
}

/// In their order; [`Value`] would sort them.
pub(in crate::load) struct Metrics<'a>(pub(in crate::load) &'a [Metric]);

impl Serialize for Metrics<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for metric in self.0 {
            let value = json!({"value": metric.value, "unit": metric.unit.as_str(), "label": metric.label});
            map.serialize_entry(&metric.name, &value)?;
        }
        map.end()
    }
}

/// Writes the report as JSON. Times are in seconds, rates a second, parts 0 to 1; what was not measured is `null`.
///
/// # Errors
/// Those of `out`.
pub fn json(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let (record, summary) = (report.record, &report.summary);
    let document = Document {
        version: VERSION,
        tool: TOOL,
        target: &record.target,
        started: format::utc(record.started),
        duration: record.duration().as_secs_f64(),
        steady: summary.steady_time().as_secs_f64(),
        ended: record.ended.as_str(),
        ended_text: record.ended.to_string(),
        partial: record.ended.is_partial(),
        passed: report.is_passed(),
        scenario: &record.scenario,
        machine: &record.machine,
        metrics: Metrics(summary.metrics()),
        expectations: expectations(report),
        failures: failures(report),
        stages: Stage::ALL
            .into_iter()
            .map(|stage| keyed(stage.as_str(), times(summary.whole().stage(stage))))
            .collect(),
        whole: media(summary.whole()),
        steady_media: media(summary.steady()),
        layers: layers(summary.steady()),
        interruptions: interruptions(record, summary.whole()),
        servers: summary.servers().iter().map(server).collect(),
        timeline: Interval::all(record),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

fn keyed(key: &str, value: Value) -> (String, Value) {
    (key.to_owned(), value)
}

fn expectations(report: &Report<'_>) -> Value {
    let verdict = |verdict: &super::Verdict| {
        let (text, outcome) = (verdict.expectation.to_string(), verdict.outcome.as_str());
        json!({"expectation": text, "outcome": outcome, "value": verdict.value, "measured": verdict.seen})
    };
    report.verdicts.iter().map(verdict).collect()
}

fn failures(report: &Report<'_>) -> Value {
    let failures = report.summary.whole().failures().iter();
    let values = failures.map(|(cause, failure)| {
        let value = json!({"count": failure.count, "message": cause.to_string(), "example": failure.example});
        keyed(cause.as_str(), value)
    });
    values.collect::<Map<_, _>>().into()
}

fn times(times: &TimeHistogram) -> Value {
    let seconds = |time: Option<std::time::Duration>| time.map(|time| time.as_secs_f64());
    let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|part| seconds(times.percentile(part)));
    json!({"count": times.count(), "p50": p50, "p95": p95, "p99": p99, "max": seconds(times.max()), "total": times.total().as_secs_f64()})
}

/// Counters and times by kind.
fn media(measurements: &Measurements) -> Value {
    let of = |kind: MediaKind| {
        let counts = measurements.media_counts(kind);
        let mut value: Map<String, Value> =
            counts.fields().into_iter().map(|(name, count)| keyed(name, count.into())).collect();
        value.insert("latency".to_owned(), times(measurements.latency(kind)));
        value.insert("jitter".to_owned(), times(measurements.jitter(kind)));
        value.insert("freezes".to_owned(), times(measurements.freezes(kind)));
        keyed(kind.as_str(), value.into())
    };
    MediaKind::ALL.into_iter().map(of).collect::<Map<_, _>>().into()
}

fn layers(measurements: &Measurements) -> Value {
    let pairs = measurements.layers().pairs();
    pairs
        .map(|(pair, frames)| json!({"asked": pair.asked, "best": pair.best, "got": pair.got, "frames": frames}))
        .collect()
}

/// Who was missing to whom for how long; `at` is when that ended, since the start of the run.
fn interruptions(record: &RunRecord, measurements: &Measurements) -> Value {
    let started = record.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    let value = |interruption: &Interruption| {
        let at = Duration::from_micros(interruption.ended.0).saturating_sub(started).as_secs_f64();
        let (kind, source, receiver) =
            (interruption.kind.as_str(), interruption.source.as_str(), interruption.receiver.as_str());
        json!({"at": at, "lasted": interruption.lasted.as_secs_f64(), "kind": kind, "source": source, "receiver": receiver})
    };
    measurements.interruptions().iter().map(value).collect()
}

fn server(server: &ServerSummary) -> Value {
    let ended = |ended: &crate::load::process::EndedProcess| json!({"pid": ended.pid, "name": ended.name, "at": ended.at.as_secs_f64()});
    json!({
        "name": server.name,
        "cores": server.cores,
        "user_cores": server.user_cores,
        "system_cores": server.system_cores,
        "cpu_ns_per_packet": server.cpu_per_packet.map(|seconds| seconds * 1e9),
        "resident_bytes": server.resident_bytes,
        "peak_resident_bytes": server.peak_resident_bytes,
        "context_switches": server.context_switches,
        "read_write_calls": server.read_write_calls,
        "syscalls": server.syscalls,
        "processes": server.processes,
        "threads": server.threads,
        "ended": server.ended.iter().map(ended).collect::<Value>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::example;

    fn written(record: &RunRecord) -> (String, Value) {
        let mut out = Vec::new();
        json(&Report::new(record, &["loss<0.1%".parse().unwrap()]), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let value = serde_json::from_str(&text).unwrap();
        (text, value)
    }

    #[test]
    fn has_the_figures_of_the_run() {
        let (text, value) = written(&example::run());
        assert_eq!(value["version"], 1);
        assert_eq!(value["metrics"]["loss"], json!({"value": 0.01, "unit": "ratio", "label": "Packet loss"}));
        assert_eq!(value["metrics"]["syscalls"]["value"], Value::Null);
        assert_eq!((&value["partial"], &value["passed"]), (&json!(false), &json!(false)));
        assert_eq!(value["expectations"][0]["outcome"], "failed");
        assert_eq!(value["failures"]["ice"]["count"], 1);
        assert_eq!((&value["stages"]["join"]["count"], &value["stages"]["join"]["max"]), (&json!(20), &json!(0.5)));
        assert_eq!(value["steady_media"]["camera"]["lost_packets"], 4800);
        assert_eq!(value["steady_media"]["camera"]["freezes"]["total"], 3.0);
        assert_eq!(value["layers"][0], json!({"asked": 720, "best": 720, "got": 360, "frames": 60}));
        let interruption =
            json!({"at": 7.0, "lasted": 0.3, "kind": "camera", "source": "ab12cd34-v0", "receiver": "ef567890"});
        assert_eq!(value["interruptions"], json!([interruption]));
        assert_eq!(value["servers"][0]["name"], "jvb");
        assert_eq!(value["timeline"].as_array().map(Vec::len), Some(65));
        assert_eq!(value["scenario"], json!({"rooms": 1, "participants": 20}));
        // Metrics are in their order, not in that of the alphabet.
        let position = |name: &str| text.find(&format!("\"{name}\": {{")).unwrap();
        assert!(position("participants") < position("join_p50") && position("join_p50") < position("cpu"));
    }

    #[test]
    fn keys_are_those_that_programs_rely_on() {
        for record in [example::run(), example::cut_short(), example::empty()] {
            let (_, value) = written(&record);
            let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
            let mut expected = [
                "version",
                "tool",
                "target",
                "started",
                "duration",
                "steady",
                "ended",
                "ended_text",
                "partial",
                "passed",
                "scenario",
                "machine",
                "metrics",
                "expectations",
                "failures",
                "stages",
                "whole",
                "steady_media",
                "layers",
                "interruptions",
                "servers",
                "timeline",
            ];
            expected.sort_unstable();
            let mut keys = keys;
            keys.sort_unstable();
            assert_eq!(keys, expected);
        }
    }

    #[test]
    fn a_partial_report_says_so_and_why() {
        let (_, value) = written(&example::cut_short());
        assert_eq!((&value["partial"], &value["ended"]), (&json!(true), &json!("failed")));
        assert_eq!(value["ended_text"], "cut short: the server is gone");
        assert_eq!(value["metrics"]["loss"]["value"], Value::Null);
        assert_eq!(value["metrics"]["joins"]["value"], 15.0);
    }
}
