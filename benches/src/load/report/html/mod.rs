//! The report as one page that needs nothing else: no script, no font, no picture from elsewhere.

pub(in crate::load) mod page;
mod plot;
mod plots;
mod stage_bars;

use std::io::{self, Write};

use super::headline::headlines;
use super::table::tables;
use super::{Report, TOOL, format};
use page::{Escaped, Page};

/// Writes the report as an HTML page.
///
/// # Errors
/// Those of `out`.
pub fn html(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let record = report.record;
    let mut page = Page::begin(out, &format!("Load test of {}", record.target))?;
    write_header(report, &mut page)?;
    write_headlines(report, &mut page)?;
    write_failures(report, &mut page)?;
    let tables = tables(report);
    // What was expected and how joins went come first, then pictures, then the rest.
    let is_early = |title: &str| title.starts_with("Expectations") || title.starts_with("Join");
    for table in tables.iter().filter(|table| is_early(&table.title)) {
        page.table(table)?;
        if table.title.starts_with("Join") {
            stage_bars::write(report.summary.whole(), page.out())?;
        }
        page.end_section()?;
    }
    plots::write(record, &mut page)?;
    for table in tables.iter().filter(|table| !is_early(&table.title)) {
        page.table(table)?;
        page.end_section()?;
    }
    write_ended(report, &mut page)?;
    write_setup(report, &mut page)?;
    page.end()
}

fn write_header(report: &Report<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let record = report.record;
    let (all, steady) = (format::clock(record.duration()), format::clock(report.summary.steady_time()));
    let started = format::date(record.started);
    let line = format!("{started} · {all} in all, {steady} steady · {} · {TOOL}", record.ended);
    page.header(&record.target, &line)?;
    if record.ended.is_partial() {
        page.banner("warn", &format!("Partial report: {}. It has what was measured until then.", record.ended))?;
    }
    for warning in report.warnings() {
        page.banner("warn", &warning)?;
    }
    let failed = report.verdicts.iter().filter(|verdict| !verdict.is_passed()).count();
    match (report.verdicts.len(), failed) {
        (0, _) => Ok(()),
        (all, 0) => page.banner("good", &format!("All {all} expectations are met.")),
        (all, failed) => page.banner("bad", &format!("{failed} of {all} expectations are not met.")),
    }
}

fn write_headlines(report: &Report<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let headlines = headlines(&report.summary);
    if headlines.is_empty() {
        return page.banner("warn", "Nothing was measured.");
    }
    let out = page.out();
    writeln!(out, "<div class=\"cards\">")?;
    for headline in headlines {
        writeln!(
            out,
            "<div class=\"card\"><span>{}</span><b>{}</b><small>{}</small></div>",
            Escaped(headline.label),
            Escaped(&headline.value),
            Escaped(&headline.detail)
        )?;
    }
    writeln!(out, "</div>")
}

fn write_failures(report: &Report<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let failures = report.summary.whole().failures();
    if failures.total() == 0 {
        return Ok(());
    }
    page.section("Failed participants")?;
    let out = page.out();
    writeln!(out, "<ul class=\"failures\">")?;
    for (cause, failure) in failures.iter() {
        write!(out, "<li><b>{}</b> × {}", format::grouped(failure.count), Escaped(&cause.to_string()))?;
        if !failure.example.is_empty() {
            write!(out, "<br><small>for example: <code>{}</code></small>", Escaped(&failure.example))?;
        }
        writeln!(out, "</li>")?;
    }
    writeln!(out, "</ul>")?;
    page.end_section()
}

fn write_ended(report: &Report<'_>, page: &mut Page<'_>) -> io::Result<()> {
    for series in &report.record.servers {
        for ended in &series.ended {
            let at = format::clock(ended.at);
            page.banner("warn", &format!("Process {} ({}, of {}) ended at {at}.", ended.pid, ended.name, series.name))?;
        }
    }
    Ok(())
}

fn write_setup(report: &Report<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let record = report.record;
    page.section("How it was measured")?;
    let out = page.out();
    writeln!(
        out,
        "<p>Each participant is a whole client: XMPP over WebSocket, ICE, DTLS-SRTP, RTP and RTCP. Joins are those of the whole \
         run; rates, loss, latency, freezes and CPU those of the steady part, which plots show without shade. Latency is one \
         way, from the departure of a packet at its sender to its arrival at each receiver, and has in it what the load \
         generator itself waits for a CPU. Loss is what did not arrive at first, before retransmission. A freeze is 200 ms and \
         more without a decodable frame. CPU a packet is the CPU time of all server processes over the packets that \
         participants received.</p>"
    )?;
    writeln!(out, "<p>Load generator on: {}.</p>", Escaped(&record.machine.to_string()))?;
    let scenario = serde_json::to_string_pretty(&record.scenario)?;
    writeln!(out, "<details open><summary>Scenario</summary><pre>{}</pre></details>", Escaped(&scenario))?;
    page.end_section()
}

#[cfg(test)]
mod tests;
