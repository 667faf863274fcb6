//! Two targets in turn, A B A B …: what may be quoted on a noisy machine.
//!
//! What disturbs a machine disturbs both runs of a pair alike, so that their ratio says more than either figure. The spread
//! over pairs tells how much of it is chance.

mod chart;

use std::io::{self, Write};

use serde_json::{Value, json};

use super::report::page::Page;
use super::report::table::Table;
use super::report::{Better, MachineInfo, Metric, Summary, format, write_table};
use crate::statistics::Spread;

/// Goes up when a key changes its meaning or goes away.
const VERSION: u32 = 1;

/// Metrics that a reader wants first.
const HIGHLIGHTS: [&str; 17] = [
    "join_p50",
    "join_p95",
    "first_video_p95",
    "latency_p50",
    "latency_p99",
    "jitter_p95",
    "loss",
    "freezes",
    "layer_match",
    "receive_packets",
    "cpu_per_join",
    "cpu",
    "cpu_ns_per_packet",
    "packets_per_core",
    "memory_per_participant",
    "context_switches",
    "load_cpu",
];

/// Pairs of runs against two targets.
#[derive(Clone, Debug)]
pub struct Versus {
    names: [String; 2],
    machine: MachineInfo,
    pairs: Vec<[Summary; 2]>,
}

/// A metric of both.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// Name, label and unit. Its value means nothing here.
    pub metric: Metric,
    /// Medians of A and of B, over the pairs where it has data.
    pub medians: [Option<f64>; 2],
    /// B to A, pair by pair. `None` if no pair has both, A not zero.
    pub ratio: Option<Spread>,
    /// Pairs in the ratio.
    pub pairs: usize,
}

/// What all pairs say of B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// In each of two pairs or more B does better.
    Better,
    /// In each B does worse.
    Worse,
    /// Pairs disagree, there is only one, or neither way is up.
    Open,
}

impl Versus {
    /// To compare `b` with `a`, loaded from `machine`.
    #[must_use]
    pub fn new(a: impl Into<String>, b: impl Into<String>, machine: MachineInfo) -> Self {
        Self { names: [a.into(), b.into()], machine, pairs: Vec::new() }
    }

    /// Adds a pair: a run against A and the one against B that followed.
    pub fn push(&mut self, a: Summary, b: Summary) {
        self.pairs.push([a, b]);
    }

    /// Pairs so far.
    #[must_use]
    pub const fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// All metrics that one of them has data of, in the order of the summary.
    #[must_use]
    pub fn compared(&self) -> Vec<Compared> {
        let metrics = Summary::without_values();
        let all = metrics.metrics().iter().map(|metric| self.compare(metric));
        all.filter(|compared| compared.medians.iter().any(Option::is_some)).collect()
    }

    fn compare(&self, metric: &Metric) -> Compared {
        let values: Vec<[Option<f64>; 2]> =
            self.pairs.iter().map(|pair| pair.each_ref().map(|summary| summary.value(&metric.name))).collect();
        let median = |of: fn(&[Option<f64>; 2]) -> Option<f64>| {
            let known: Vec<f64> = values.iter().filter_map(of).collect();
            (!known.is_empty()).then(|| Spread::of(known).median)
        };
        let both = values.iter().filter_map(|[a, b]| Some(((*a)?, (*b)?)));
        let ratios: Vec<f64> = both.filter(|(a, _)| *a != 0.0).map(|(a, b)| b / a).collect();
        Compared {
            metric: metric.clone(),
            medians: [median(|[a, _]| *a), median(|[_, b]| *b)],
            pairs: ratios.len(),
            ratio: (!ratios.is_empty()).then(|| Spread::of(ratios)),
        }
    }

    /// Writes a table for a terminal.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn terminal(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "A = {}\nB = {}", format::plain(&self.names[0]), format::plain(&self.names[1]))?;
        writeln!(out, "{}\n", format::plain(&self.setup()))?;
        write_table(&self.table("All metrics", |_| true), out)
    }

    /// Writes a table for a README: the metrics that a reader wants first.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        let cell = |text: &str| format::plain(text).replace('|', "\\|");
        let table = self.table("", |name| HIGHLIGHTS.contains(&name));
        let [a, b] = self.names.each_ref().map(|name| cell(name));
        writeln!(out, "| | A: {a} | B: {b} | B / A | range |\n|---|---:|---:|---:|---:|")?;
        for row in &table.rows {
            let cells: Vec<String> = row.iter().take(5).map(|text| cell(text)).collect();
            writeln!(out, "| {} |", cells.join(" | "))?;
        }
        writeln!(out, "\n{}", format::plain(&self.setup()))
    }

    /// How much was measured, and where.
    fn setup(&self) -> String {
        let steady = |side: usize| {
            let seconds: Vec<f64> = self.pairs.iter().map(|pair| pair[side].steady_time().as_secs_f64()).collect();
            if seconds.is_empty() { 0.0 } else { Spread::of(seconds).median }
        };
        let [a, b] = [0, 1].map(steady);
        let pairs = self.pairs.len();
        format!("{pairs} pairs, A and B in turn, {a:.0} s and {b:.0} s each. Load generator on: {}.", self.machine)
    }

    /// Writes medians and ratios as JSON, in base units.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn json(&self, out: &mut dyn Write) -> io::Result<()> {
        let metric = |compared: &Compared| {
            let ratio =
                compared.ratio.map(|spread| json!({"median": spread.median, "min": spread.least, "max": spread.most}));
            let [a, b] = compared.medians;
            json!({
                "name": compared.metric.name, "label": compared.metric.label, "unit": compared.metric.unit.as_str(),
                "a": a, "b": b, "ratio": ratio, "pairs": compared.pairs, "reading": compared.reading().as_str(),
            })
        };
        let metrics: Vec<Value> = self.compared().iter().map(metric).collect();
        let [a, b] = &self.names;
        let document = json!({
            "version": VERSION, "a": a, "b": b, "machine": self.machine, "pairs": self.pairs.len(), "metrics": metrics,
        });
        serde_json::to_writer_pretty(&mut *out, &document)?;
        writeln!(out)
    }

    /// Writes one page that needs nothing else.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn html(&self, out: &mut dyn Write) -> io::Result<()> {
        let [a, b] = &self.names;
        let mut page = Page::begin(out, &format!("{b} beside {a}"))?;
        page.header(&format!("{b} beside {a}"), &format!("A = {a} · B = {b} · {}", self.setup()))?;
        if self.pairs.is_empty() {
            page.banner("warn", "No pair was completed.")?;
        }
        let compared = self.compared();
        let highlights: Vec<&Compared> = HIGHLIGHTS
            .iter()
            .filter_map(|name| {
                compared.iter().find(|compared| compared.metric.name == *name && compared.ratio.is_some())
            })
            .collect();
        if !highlights.is_empty() {
            page.section("B to A: median and range of the pairs")?;
            chart::write(&highlights, page.out())?;
            page.end_section()?;
        }
        page.table(&self.table("All metrics", |_| true))?;
        page.end_section()?;
        page.end()
    }

    fn table(&self, title: &str, is_wanted: impl Fn(&str) -> bool) -> Table {
        let mut table = Table::new(title, &["", "A", "B", "B / A", "range", "pairs", "B is"]);
        for compared in self.compared().iter().filter(|compared| is_wanted(&compared.metric.name)) {
            let value = |value: Option<f64>| {
                value.map_or_else(|| format::NOTHING.to_owned(), |value| compared.metric.unit.format(value))
            };
            let (ratio, range) = compared.ratio.map_or_else(
                || (format::NOTHING.to_owned(), format::NOTHING.to_owned()),
                |spread| (format!("{:.2}", spread.median), format!("{:.2}–{:.2}", spread.least, spread.most)),
            );
            let [a, b] = compared.medians.map(value);
            let reading = match compared.reading() {
                Reading::Open => String::new(),
                reading @ (Reading::Better | Reading::Worse) => reading.as_str().to_owned(),
            };
            table.rows.push(vec![
                compared.metric.label.clone(),
                a,
                b,
                ratio,
                range,
                compared.pairs.to_string(),
                reading,
            ]);
        }
        table
    }
}

impl Compared {
    /// What all pairs say of B.
    #[must_use]
    pub fn reading(&self) -> Reading {
        let Some(ratio) = self.ratio.filter(|_| self.pairs > 1) else { return Reading::Open };
        let (is_lower, is_higher) = (ratio.most < 1.0, ratio.least > 1.0);
        match self.metric.better {
            Better::Lower if is_lower => Reading::Better,
            Better::Lower if is_higher => Reading::Worse,
            Better::Higher if is_higher => Reading::Better,
            Better::Higher if is_lower => Reading::Worse,
            Better::Lower | Better::Higher | Better::Neither => Reading::Open,
        }
    }
}

impl Reading {
    /// In JSON and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Open => "open",
        }
    }
}

#[cfg(test)]
mod tests;
