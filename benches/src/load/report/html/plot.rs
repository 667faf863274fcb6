//! A line plot over time, as SVG.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use super::page::Escaped;
use crate::load::report::{Unit, format};

/// The last colour of the style.
const MAX_COLOUR: usize = 6;

/// Size of the drawing and of its margins, in its own units.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 210.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 24.0;

/// Seconds that the axis has at least.
const SHORTEST: f64 = 1e-3;

/// A plot of some curves with a common axis.
pub(super) struct Plot {
    pub(super) title: &'static str,
    pub(super) unit: Unit,
    pub(super) scale: Scale,
    /// Colour of the first curve, 1 to 6, so that a thing has the same in several plots.
    pub(super) first_colour: usize,
    /// As many are drawn as there are colours left.
    pub(super) curves: Vec<Curve>,
}

/// How values become heights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// From zero.
    Linear,
    /// By decades, for values that differ by much. Zeros lie on the axis.
    Logarithmic,
}

pub(super) struct Curve {
    pub(super) name: String,
    /// One for each interval; gaps where nothing was measured.
    pub(super) values: Vec<Option<f64>>,
}

/// What all plots of a page share.
pub(super) struct TimeAxis {
    /// Ends of the intervals in seconds.
    pub(super) ends: Vec<f64>,
    /// Lengths of the intervals.
    pub(super) lengths: Vec<f64>,
    /// Stretches that are not steady, from and to.
    pub(super) shaded: Vec<(f64, f64)>,
}

impl Plot {
    pub(super) fn has_values(&self) -> bool {
        self.curves.iter().any(|curve| curve.values.iter().any(Option::is_some))
    }

    pub(super) fn write(&self, axis: &TimeAxis, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "<figure><figcaption><b>{}</b>", Escaped(self.title))?;
        let curves = || (self.first_colour..=MAX_COLOUR).zip(&self.curves);
        for (colour, curve) in curves() {
            write!(out, "<span class=\"key\"><i class=\"c{colour}\"></i>{}</span>", Escaped(&curve.name))?;
        }
        writeln!(out, "</figcaption>")?;
        let label = Escaped(self.title);
        writeln!(out, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">")?;
        let end = axis.ends.last().copied().unwrap_or(0.0).max(SHORTEST);
        let x = |seconds: f64| LEFT + (seconds / end).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT);
        for (from, to) in &axis.shaded {
            let (left, width) = (x(*from), x(*to) - x(*from));
            let height = HEIGHT - TOP - BOTTOM;
            writeln!(
                out,
                "<rect class=\"shade\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\"/>"
            )?;
        }
        let heights = Heights::of(self);
        for (value, y) in heights.ticks() {
            writeln!(out, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>", WIDTH - RIGHT)?;
            let text = self.unit.format_tick(value);
            writeln!(
                out,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                Escaped(&text)
            )?;
        }
        for seconds in time_ticks(end) {
            let text = format::clock(Duration::from_secs_f64(seconds));
            let y = HEIGHT - 7.0;
            writeln!(out, "<text x=\"{:.1}\" y=\"{y}\" text-anchor=\"middle\">{text}</text>", x(seconds))?;
        }
        for (colour, curve) in curves() {
            let points = axis.ends.iter().zip(&curve.values);
            write_curve(colour, points.map(|(end, value)| (x(*end), value.map(|value| heights.y(value)))), out)?;
        }
        self.write_probes(axis, x, out)?;
        writeln!(out, "</svg></figure>")
    }

    /// Strips that tell the values of an interval when the pointer is on them.
    fn write_probes(&self, axis: &TimeAxis, x: impl Fn(f64) -> f64, out: &mut dyn Write) -> io::Result<()> {
        let height = HEIGHT - TOP - BOTTOM;
        for (index, (end, length)) in axis.ends.iter().zip(&axis.lengths).enumerate() {
            let mut text = format::clock(Duration::from_secs_f64(end.max(0.0)));
            for curve in self.curves.iter().take(MAX_COLOUR) {
                if let Some(value) = curve.values.get(index).copied().flatten() {
                    // Writing into a String cannot fail.
                    let _ = write!(text, "\n{}: {}", curve.name, self.unit.format(value));
                }
            }
            let (left, width) = (x(end - length), x(*end) - x(end - length));
            writeln!(
                out,
                "<rect class=\"probe\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\"><title>{}</title></rect>",
                Escaped(&text)
            )?;
        }
        Ok(())
    }
}

/// One path for each stretch without a gap; a value between two gaps is a dot.
fn write_curve(colour: usize, points: impl Iterator<Item = (f64, Option<f64>)>, out: &mut dyn Write) -> io::Result<()> {
    let mut stretch: Vec<(f64, f64)> = Vec::new();
    // A gap at the end closes the last stretch.
    for (x, y) in points.chain([(0.0, None)]) {
        if let Some(y) = y {
            stretch.push((x, y));
            continue;
        }
        match stretch.as_slice() {
            [] => {}
            [(x, y)] => writeln!(out, "<circle class=\"dot c{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\"/>")?,
            [first, others @ ..] => {
                write!(out, "<path class=\"curve c{colour}\" d=\"M{:.1} {:.1}L", first.0, first.1)?;
                let others: Vec<String> = others.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
                writeln!(out, "{}\"/>", others.join(" "))?;
            }
        }
        stretch.clear();
    }
    Ok(())
}

/// The axis of values.
struct Heights {
    scale: Scale,
    /// Values at the bottom and at the top.
    low: f64,
    high: f64,
}

impl Heights {
    fn of(plot: &Plot) -> Self {
        let values = || plot.curves.iter().flat_map(|curve| curve.values.iter().flatten().copied());
        let highest = values().fold(0.0, f64::max);
        let lowest = values().filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
        match plot.scale {
            Scale::Logarithmic if lowest.is_finite() => {
                let low = 10f64.powf(lowest.log10().floor());
                let high = 10f64.powf(highest.log10().ceil());
                Self { scale: Scale::Logarithmic, low, high: if high > low { high } else { low * 10.0 } }
            }
            Scale::Logarithmic | Scale::Linear => {
                let step = step(highest);
                Self { scale: Scale::Linear, low: 0.0, high: (highest / step).ceil().max(1.0) * step }
            }
        }
    }

    fn y(&self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::Linear => value / self.high,
            Scale::Logarithmic => (value.max(self.low) / self.low).log10() / (self.high / self.low).log10(),
        };
        HEIGHT - BOTTOM - part.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }

    fn ticks(&self) -> Vec<(f64, f64)> {
        let values: Vec<f64> = match self.scale {
            Scale::Linear => {
                let step = step(self.high);
                let count = (self.high / step).round() as u32;
                (0..=count).map(|index| f64::from(index) * step).collect()
            }
            Scale::Logarithmic => {
                let decades = (self.high / self.low).log10().round() as i32;
                (0..=decades).map(|decade| self.low * 10f64.powi(decade)).collect()
            }
        };
        values.into_iter().map(|value| (value, self.y(value))).collect()
    }
}

/// 1, 2 or 5 times a power of ten, so that `highest` has three to six of it. One of nothing.
fn step(highest: f64) -> f64 {
    if highest <= 0.0 {
        return 1.0;
    }
    let rough = highest / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= rough * 0.999).unwrap_or(10.0);
    factor * power
}

/// Whole seconds, minutes or hours: at most eight.
fn time_ticks(end: f64) -> Vec<f64> {
    const STEPS: [f64; 14] =
        [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21_600.0];
    let step = STEPS.into_iter().find(|step| end / step <= 8.0).unwrap_or(86_400.0);
    (0..=8).map(|index| f64::from(index) * step).take_while(|seconds| *seconds <= end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn svg(scale: Scale, values: &[Option<f64>]) -> String {
        let curve = Curve { name: "a<b".to_owned(), values: values.to_vec() };
        let plot = Plot { title: "T", unit: Unit::Count, scale, first_colour: 1, curves: vec![curve] };
        let ends: Vec<f64> = (1..=values.len()).map(|end| end as f64).collect();
        let axis = TimeAxis { lengths: vec![1.0; ends.len()], ends, shaded: vec![(0.0, 1.0)] };
        let mut out = Vec::new();
        plot.write(&axis, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_curve_has_gaps_where_nothing_was_measured() {
        let text = svg(Scale::Linear, &[Some(1.0), Some(4.0), None, Some(2.0)]);
        // The top is 4; the first value lies at a quarter of the height, the second at the top.
        assert!(text.contains("d=\"M187.0 141.5L308.0 8.0\""), "{text}");
        assert!(text.contains("<circle class=\"dot c1\" cx=\"550.0\" cy=\"97.0\""), "{text}");
        assert!(text.contains("<title>0:02\na&lt;b: 4</title>") && !text.contains("a<b"), "{text}");
    }

    #[test]
    fn decades_are_at_equal_distances() {
        let text = svg(Scale::Logarithmic, &[Some(1.0), Some(10.0), Some(100.0), Some(0.0)]);
        assert!(text.contains("186.0L240.7 97.0") || text.contains(" 186.0L"), "{text}");
        assert!(text.contains(" 97.0 ") && text.contains(" 8.0 "), "{text}");
        assert_eq!(text.matches("class=\"grid\"").count(), 3);
    }

    #[test]
    fn zeros_and_nothing_are_drawn_without_nonsense() {
        for text in [
            svg(Scale::Linear, &[Some(0.0), Some(0.0)]),
            svg(Scale::Logarithmic, &[Some(0.0)]),
            svg(Scale::Linear, &[]),
        ] {
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        }
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!([4.0, 3.0, 7.0, 99.0, 0.012].map(step), [1.0, 1.0, 2.0, 50.0, 0.005]);
        assert_eq!(time_ticks(65.0), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        assert_eq!(time_ticks(0.5), [0.0]);
    }
}
