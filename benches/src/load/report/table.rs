//! Tables of a report, the same for terminals and pages.

use std::time::Duration;

use super::{Report, format};
use crate::load::measure::{Measurements, MediaKind, Stage, TimeHistogram};

/// A table of texts. All rows have as many cells as there are columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::load) struct Table {
    pub(in crate::load) title: String,
    /// The first one is left-aligned, the others are figures.
    pub(in crate::load) columns: Vec<String>,
    pub(in crate::load) rows: Vec<Vec<String>>,
}

impl Table {
    pub(in crate::load) fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        Self { title: title.into(), columns: columns.iter().map(|&name| name.to_owned()).collect(), rows: Vec::new() }
    }

    fn push(&mut self, first: impl Into<String>, others: impl IntoIterator<Item = String>) {
        self.rows.push(std::iter::once(first.into()).chain(others).collect());
    }
}

/// All tables of a report, those without rows left out.
pub(super) fn tables(report: &Report<'_>) -> Vec<Table> {
    let (measured, of) = basis(report);
    let all = [
        verdicts(report),
        stages(report),
        times(measured, of),
        media(measured, of),
        layers(measured, of),
        servers(report),
    ];
    all.into_iter().filter(|table| !table.rows.is_empty()).collect()
}

/// What rates are taken of: a run that was cut short before its steady part has only its whole.
fn basis<'a>(report: &'a Report<'_>) -> (&'a Measurements, &'static str) {
    if report.summary.steady_time() > Duration::ZERO {
        (report.summary.steady(), "steady part")
    } else {
        (report.summary.whole(), "whole run")
    }
}

fn verdicts(report: &Report<'_>) -> Table {
    let mut table = Table::new("Expectations", &["Expectation", "Outcome", "Measured"]);
    for verdict in &report.verdicts {
        table.push(verdict.expectation.to_string(), [verdict.outcome.as_str().to_owned(), verdict.seen.clone()]);
    }
    table
}

fn percentiles(times: &TimeHistogram) -> [String; 4] {
    let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|part| format::time(times.percentile(part)));
    [p50, p95, p99, format::time(times.max())]
}

fn stages(report: &Report<'_>) -> Table {
    let mut table = Table::new("Join by stage (whole run)", &["Stage", "Joins", "p50", "p95", "p99", "max"]);
    for stage in Stage::ALL {
        let times = report.summary.whole().stage(stage);
        if times.count() > 0 {
            table.push(stage.to_string(), std::iter::once(format::grouped(times.count())).chain(percentiles(times)));
        }
    }
    table
}

fn times(measured: &Measurements, of: &str) -> Table {
    let columns = ["", "Values", "p50", "p95", "p99", "max"];
    let mut table = Table::new(format!("Latency, jitter and freezes ({of})"), &columns);
    let mut add = |name: String, times: &TimeHistogram| {
        if times.count() > 0 {
            table.push(name, std::iter::once(format::grouped(times.count())).chain(percentiles(times)));
        }
    };
    for kind in MediaKind::ALL {
        add(format!("{kind} latency"), measured.latency(kind));
    }
    for kind in MediaKind::ALL {
        add(format!("{kind} jitter"), measured.jitter(kind));
    }
    for kind in MediaKind::ALL {
        add(format!("{kind} freeze"), measured.freezes(kind));
    }
    table
}

fn media(measured: &Measurements, of: &str) -> Table {
    let has_media = |kind: &MediaKind| measured.media_counts(*kind).fields().iter().any(|(_, count)| *count > 0);
    let kinds: Vec<MediaKind> = MediaKind::ALL.into_iter().filter(has_media).collect();
    let titles = kinds.iter().map(MediaKind::to_string).chain(["All".to_owned(), "Part".to_owned()]);
    let mut table = Table::new(format!("Packets and frames ({of})"), &[""]);
    table.columns.extend(titles);
    if kinds.is_empty() {
        return table;
    }
    let all = measured.all_media();
    // Each counter beside what it is a part of.
    let whole = |name: &str| match name {
        "lost_packets" | "unrecoverable_packets" => Some(all.expected_packets),
        "recovered_packets" => Some(all.lost_packets),
        "duplicated_packets" | "reordered_packets" => Some(all.received_packets),
        "retransmitted_packets" => Some(all.sent_packets),
        _ => None,
    };
    for (index, (name, sum)) in all.fields().into_iter().enumerate() {
        let of_kinds = kinds.iter().map(|kind| {
            let count = measured.media_counts(*kind).fields().get(index).map_or(0, |(_, count)| *count);
            format::grouped(count)
        });
        let part = whole(name).map_or_else(String::new, |whole| format::percent(sum, whole));
        table.push(sentence(name), of_kinds.chain([format::grouped(sum), part]));
    }
    table
}

/// `sent_packets` as a person writes it.
fn sentence(name: &str) -> String {
    let words = name.replace('_', " ").replace("nacks", "NACKs");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn layers(measured: &Measurements, of: &str) -> Table {
    let columns = ["Asked for at most", "Best sent within", "Received", "Frames", "Part"];
    let mut table = Table::new(format!("Layers ({of})"), &columns);
    let lines = |height: u16| if height == 0 { "none".to_owned() } else { format!("{height}p") };
    for (pair, frames) in measured.layers().pairs() {
        let part = format::percent(frames, measured.layers().total());
        table.push(lines(pair.asked), [lines(pair.best), lines(pair.got), format::grouped(frames), part]);
    }
    table
}

fn servers(report: &Report<'_>) -> Table {
    let columns = [
        "Process",
        "Cores",
        "user",
        "system",
        "CPU a packet",
        "Memory",
        "peak",
        "Switches/s",
        "System calls/s",
        "Processes",
        "Threads",
    ];
    let mut table = Table::new("CPU and memory (steady part)", &columns);
    let rate = |rate: Option<f64>, missing: &str| rate.map_or_else(|| missing.to_owned(), format::number);
    for server in report.summary.servers() {
        table.push(
            &server.name,
            [
                format::number(server.cores),
                format::number(server.user_cores),
                format::number(server.system_cores),
                server.cpu_per_packet.map_or_else(|| format::NOTHING.to_owned(), format::seconds),
                super::Unit::Memory.format(server.resident_bytes as f64),
                super::Unit::Memory.format(server.peak_resident_bytes as f64),
                format::number(server.context_switches),
                rate(server.syscalls, "not measured"),
                server.processes.to_string(),
                server.threads.to_string(),
            ],
        );
    }
    if let Some(cores) = report.summary.value("load_cpu") {
        let per_packet = report.summary.value("load_cpu_ns_per_packet").map(|ns| format::seconds(ns / 1e9));
        let mut cells = vec![String::new(); columns.len() - 1];
        cells[0] = format::number(cores);
        cells[3] = per_packet.unwrap_or_else(|| format::NOTHING.to_owned());
        table.push("load generator (not the server)", cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::example;

    fn row<'a>(tables: &'a [Table], title: &str, first: &str) -> Vec<&'a str> {
        let table = tables.iter().find(|table| table.title.starts_with(title)).unwrap();
        let row = table.rows.iter().find(|row| row[0] == first).unwrap();
        row.iter().skip(1).map(String::as_str).collect()
    }

    #[test]
    fn tables_have_the_figures_of_the_run() {
        let record = example::run();
        let tables = tables(&Report::new(&record, &["loss<0.1%".parse().unwrap()]));
        assert_eq!(row(&tables, "Expectations", "loss<0.1%"), ["failed", "1 %"]);
        assert_eq!(row(&tables, "Join by stage", "Join, whole")[..1], ["20"]);
        assert_eq!(row(&tables, "Join by stage", "Join, whole")[4], "500 ms");
        assert_eq!(row(&tables, "Packets", "Lost packets"), ["0", "4,800", "4,800", "1 %"]);
        assert_eq!(row(&tables, "Packets", "Recovered packets"), ["0", "4,320", "4,320", "90 %"]);
        assert_eq!(row(&tables, "Layers", "720p"), ["720p", "360p", "60", "10 %"]);
        let jvb = row(&tables, "CPU", "jvb");
        assert_eq!(jvb[..5], ["0.400", "0.100", "0.300", "50 µs", "100 MB"]);
        assert_eq!(jvb[7], "not measured");
        assert_eq!(row(&tables, "CPU", "load generator (not the server)")[0], "0.250");
    }

    #[test]
    fn all_rows_are_as_wide_as_their_table() {
        for record in [example::run(), example::cut_short(), example::empty()] {
            for table in tables(&Report::new(&record, &["cpu<1".parse().unwrap()])) {
                assert!(table.rows.iter().all(|row| row.len() == table.columns.len()), "{table:?}");
            }
        }
    }

    #[test]
    fn of_a_run_without_a_steady_part_the_whole_is_told() {
        let mut record = example::run();
        record.samples.iter_mut().for_each(|sample| sample.phase = crate::load::measure::Phase::Joining);
        let tables = tables(&Report::new(&record, &[]));
        assert!(tables.iter().any(|table| table.title == "Packets and frames (whole run)"));
    }
}
