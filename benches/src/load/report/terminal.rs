//! The report on a terminal.

use std::io::{self, Write};

use super::format::plain;
use super::headline::headlines;
use super::table::{Table, tables};
use super::{Report, TOOL, format};

/// Writes the report as text. Nothing that a server said can steer the terminal: control characters are replaced.
///
/// # Errors
/// Those of `out`.
pub fn terminal(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let record = report.record;
    writeln!(out, "{TOOL}: {}", plain(&record.target))?;
    let (all, steady) = (format::clock(record.duration()), format::clock(report.summary.steady_time()));
    writeln!(out, "{}, {all} (steady {steady}), {}", format::date(record.started), plain(&record.ended.to_string()))?;
    if record.ended.is_partial() {
        writeln!(out, "PARTIAL REPORT: what was measured until then follows")?;
    }
    for warning in report.warnings() {
        writeln!(out, "WARNING: {warning}")?;
    }
    let headlines = headlines(&report.summary);
    if headlines.is_empty() {
        writeln!(out, "\nnothing was measured")?;
    } else {
        writeln!(out)?;
    }
    let label = headlines.iter().map(|headline| headline.label.chars().count()).max().unwrap_or(0);
    let value = headlines.iter().map(|headline| headline.value.chars().count()).max().unwrap_or(0);
    for headline in &headlines {
        writeln!(out, "  {:label$}  {:>value$}   {}", headline.label, headline.value, headline.detail)?;
    }
    write_failures(report, out)?;
    for table in tables(report) {
        writeln!(out)?;
        write_table(&table, out)?;
    }
    for server in &record.servers {
        for ended in &server.ended {
            let at = format::clock(ended.at);
            writeln!(
                out,
                "\nprocess {} ({}, of {}) ended at {at}",
                ended.pid,
                plain(&ended.name),
                plain(&server.name)
            )?;
        }
    }
    Ok(())
}

fn write_failures(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let failures = report.summary.whole().failures();
    if failures.total() > 0 {
        writeln!(out, "\nFailed participants")?;
    }
    for (cause, failure) in failures.iter() {
        writeln!(out, "  {} × {cause}", format::grouped(failure.count))?;
        if !failure.example.is_empty() {
            writeln!(out, "      for example: {}", plain(&failure.example))?;
        }
    }
    Ok(())
}

/// Writes a table with columns as wide as they need to be.
pub(in crate::load) fn write_table(table: &Table, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", plain(&table.title))?;
    let lines: Vec<Vec<String>> = std::iter::once(&table.columns)
        .chain(&table.rows)
        .map(|row| row.iter().map(|cell| plain(cell)).collect())
        .collect();
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..table.columns.len()).map(|column| width(column).unwrap_or(0)).collect();
    for line in &lines {
        let mut text = String::from("  ");
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            match column {
                0 => text.push_str(&format!("{cell:width$}")),
                _ => text.push_str(&format!("  {cell:>width$}")),
            }
        }
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::measure::FailureCause;
    use crate::load::report::{RunRecord, example};

    fn text(record: &RunRecord) -> String {
        let mut out = Vec::new();
        terminal(&Report::new(record, &["loss<0.1%".parse().unwrap()]), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_report_begins_with_what_it_is_of() {
        let text = text(&example::run());
        assert!(text.starts_with("teranga-load 0."), "{text}");
        assert!(
            text.contains(": https://meet.example.org\n2026-11-28 22:33:46 UTC, 1:05 (steady 1:00), completed\n"),
            "{text}"
        );
        assert!(!text.contains("PARTIAL"));
        assert!(text.contains("  1 × no ICE candidate pair works"), "{text}");
    }

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new("T", &["Name", "n"]);
        table.rows = vec![vec!["é".to_owned(), "1".to_owned()], vec!["longer".to_owned(), "1,000".to_owned()]];
        let mut out = Vec::new();
        write_table(&table, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "T\n  Name        n\n  é           1\n  longer  1,000\n");
    }

    #[test]
    fn a_partial_report_says_so_and_why() {
        let text = text(&example::cut_short());
        assert!(text.contains("cut short: the server is gone\nPARTIAL REPORT"), "{text}");
        assert!(text.contains("process 7 (java, of jvb) ended at 0:03"), "{text}");
        assert!(text.contains("no data"), "{text}");
        assert!(text.contains("15 joins · 1 failed"), "{text}");
        assert!(self::text(&example::empty()).contains("nothing was measured"));
    }

    #[test]
    fn what_a_server_said_cannot_steer_the_terminal() {
        let mut record = example::run();
        record.samples[0].measurements.record_failure(FailureCause::Tls, "\u{1b}[2Jgone\r\nnext");
        record.target = "https://x\u{7}".to_owned();
        let text = text(&record);
        assert!(!text.contains(['\u{1b}', '\u{7}', '\r']), "{text}");
        assert!(text.contains("for example: \u{fffd}[2Jgone\u{fffd}\u{fffd}next"), "{text}");
    }
}
