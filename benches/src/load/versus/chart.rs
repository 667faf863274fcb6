//! Ratios as ranges on one axis.

use std::io::{self, Write};

use super::{Compared, Reading};
use crate::load::report::page::Escaped;
use crate::statistics::Spread;

const WIDTH: f64 = 900.0;
const ROW: f64 = 24.0;
const LEFT: f64 = 230.0;
const RIGHT: f64 = 60.0;
/// The axis reaches at least to half and double, at most to a hundredth and a hundredfold.
const LEAST_DOUBLINGS: f64 = 1.0;
const MOST_DOUBLINGS: f64 = 6.7;

/// Writes a row for each metric that has a ratio: equal distances are equal factors.
pub(super) fn write(rows: &[&Compared], out: &mut dyn Write) -> io::Result<()> {
    let ratios: Vec<(&Compared, Spread)> = rows.iter().filter_map(|row| Some((*row, row.ratio?))).collect();
    let farthest = |(_, ratio): &(&Compared, Spread)| doublings(ratio.least).abs().max(doublings(ratio.most).abs());
    let reach = ratios.iter().map(farthest).fold(LEAST_DOUBLINGS, f64::max).ceil().min(MOST_DOUBLINGS);
    let x = |ratio: f64| LEFT + (doublings(ratio).clamp(-reach, reach) / reach + 1.0) / 2.0 * (WIDTH - LEFT - RIGHT);
    let height = ROW * (ratios.len() + 1) as f64;
    writeln!(out, "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Ratios\">")?;
    for power in (-(reach as i32))..=(reach as i32) {
        let ratio = 2f64.powi(power);
        let (x, bottom) = (x(ratio), height - ROW);
        let class = if power == 0 { "grid one" } else { "grid" };
        writeln!(out, "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{bottom}\"/>")?;
        let text = if power < 0 { format!("1/{}", 2f64.powi(-power)) } else { format!("{ratio}") };
        writeln!(out, "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>", height - 6.0)?;
    }
    for (index, (row, ratio)) in ratios.into_iter().enumerate() {
        let middle = ROW * index as f64 + ROW / 2.0;
        let colour = match row.reading() {
            Reading::Better => "c3",
            Reading::Worse => "c2",
            Reading::Open => "c6",
        };
        writeln!(out, "<text class=\"name\" x=\"0\" y=\"{}\">{}</text>", middle + 4.0, Escaped(&row.metric.label))?;
        let (from, to, median) = (x(ratio.least), x(ratio.most), x(ratio.median));
        writeln!(out, "<path class=\"curve range {colour}\" d=\"M{from:.1} {middle}L{to:.1} {middle}\"/>")?;
        writeln!(out, "<circle class=\"dot {colour}\" cx=\"{median:.1}\" cy=\"{middle}\" r=\"5\"/>")?;
        let end = WIDTH - RIGHT + 14.0;
        writeln!(out, "<text class=\"name\" x=\"{end}\" y=\"{}\">{:.2}</text>", middle + 4.0, ratio.median)?;
    }
    writeln!(out, "</svg><p><small>Green: B does better in all pairs; orange: worse in all; grey: open.</small></p>")
}

/// Logarithm to the base of two; that of nothing is far away.
fn doublings(ratio: f64) -> f64 {
    if ratio > 0.0 { ratio.log2() } else { -MOST_DOUBLINGS }
}
