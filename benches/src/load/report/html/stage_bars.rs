//! How long each stage of a join takes, as bars.

use std::io::{self, Write};
use std::time::Duration;

use super::page::Escaped;
use crate::load::measure::{Measurements, Stage};
use crate::load::report::format;

const WIDTH: f64 = 900.0;
const ROW: f64 = 22.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 90.0;

/// Writes a bar for each stage that was passed, to its p50, p95 and p99.
pub(super) fn write(measured: &Measurements, out: &mut dyn Write) -> io::Result<()> {
    let percentiles = |stage: Stage| {
        let times = measured.stage(stage);
        let at = |part| times.percentile(part).as_ref().map(Duration::as_secs_f64);
        Some((stage, at(0.5)?, at(0.95)?, at(0.99)?))
    };
    let rows: Vec<_> = Stage::ALL.into_iter().filter_map(percentiles).collect();
    let longest = rows.iter().map(|(.., p99)| *p99).fold(f64::MIN_POSITIVE, f64::max);
    let height = ROW * rows.len() as f64;
    writeln!(
        out,
        "<svg class=\"bars\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Time of each stage\">"
    )?;
    for (index, (stage, p50, p95, p99)) in rows.into_iter().enumerate() {
        let y = ROW * index as f64;
        let text_y = y + 15.0;
        writeln!(out, "<text class=\"name\" x=\"0\" y=\"{text_y}\">{}</text>", Escaped(&stage.to_string()))?;
        // The longest first: the others lie on it.
        for (class, seconds) in [("bar99", p99), ("bar95", p95), ("bar50", p50)] {
            let width = seconds / longest * (WIDTH - LEFT - RIGHT);
            let (y, height) = (y + 4.0, ROW - 8.0);
            writeln!(
                out,
                "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\" rx=\"2\"/>"
            )?;
        }
        let x = LEFT + p99 / longest * (WIDTH - LEFT - RIGHT) + 8.0;
        writeln!(out, "<text x=\"{x:.1}\" y=\"{text_y}\">{}</text>", Escaped(&format::seconds(p95)))?;
    }
    writeln!(out, "</svg><p><small>Bars reach to the median, p95 (the figure) and p99.</small></p>")
}
