//! Which plots a page has.

use std::io;

use super::page::Page;
use super::plot::{Curve, Plot, Scale, TimeAxis};
use crate::load::report::{Interval, RunRecord, Unit};

/// Writes the plots of a run; those without values are left out.
pub(super) fn write(record: &RunRecord, page: &mut Page<'_>) -> io::Result<()> {
    let intervals = Interval::all(record);
    // A line needs two points.
    if intervals.len() < 2 {
        return Ok(());
    }
    let axis = TimeAxis {
        ends: intervals.iter().map(|interval| interval.at).collect(),
        lengths: intervals.iter().map(|interval| interval.length).collect(),
        shaded: shaded(&intervals),
    };
    let out = page.out();
    writeln!(out, "<div class=\"plots\">")?;
    for plot in plots(&intervals).into_iter().filter(Plot::has_values) {
        plot.write(&axis, out)?;
    }
    writeln!(out, "</div>")
}

/// Stretches that are not steady; all of a run that never was is not shaded, because nothing would stand out.
fn shaded(intervals: &[Interval]) -> Vec<(f64, f64)> {
    let is_steady = |interval: &&Interval| interval.phase == "steady";
    if !intervals.iter().any(|interval| is_steady(&interval)) {
        return Vec::new();
    }
    let mut shaded: Vec<(f64, f64)> = Vec::new();
    for interval in intervals.iter().filter(|interval| !is_steady(interval)) {
        let start = interval.at - interval.length;
        match shaded.last_mut() {
            Some((_, end)) if start - *end < 1e-6 => *end = interval.at,
            Some(_) | None => shaded.push((start, interval.at)),
        }
    }
    shaded
}

fn plots(intervals: &[Interval]) -> Vec<Plot> {
    let curve = |name: &str, value: &dyn Fn(&Interval) -> Option<f64>| Curve {
        name: name.to_owned(),
        values: intervals.iter().map(value).collect(),
    };
    let plot = |title, unit, scale, curves| Plot { title, unit, scale, first_colour: 1, curves };
    let servers = || intervals.iter().flat_map(|interval| &interval.servers).count() / intervals.len().max(1);
    let of_servers = |value: &dyn Fn(&crate::load::report::ServerInterval) -> Option<f64>| {
        let one = |index: usize| Curve {
            name: intervals
                .first()
                .and_then(|first| first.servers.get(index))
                .map_or_else(String::new, |server| server.name.clone()),
            values: intervals.iter().map(|interval| value(interval.servers.get(index)?)).collect(),
        };
        (0..servers()).map(one).collect::<Vec<_>>()
    };
    // The load generator keeps its colour, however many servers there are.
    let mut cpu = vec![curve("load generator", &|interval| Some(interval.load_cores))];
    cpu.extend(of_servers(&|server| server.cores));
    vec![
        plot(
            "Participants",
            Unit::Count,
            Scale::Linear,
            vec![
                curve("joined", &|interval| Some(interval.joined as f64)),
                curve("joining", &|interval| Some(interval.joining as f64)),
                curve("failed", &|interval| Some(interval.failed as f64)),
            ],
        ),
        plot(
            "Bitrate, all participants",
            Unit::Bitrate,
            Scale::Linear,
            vec![
                curve("received", &|interval| Some(interval.receive_bitrate)),
                curve("sent", &|interval| Some(interval.send_bitrate)),
            ],
        ),
        plot(
            "Forwarding latency",
            Unit::Time,
            Scale::Logarithmic,
            vec![
                curve("p50", &|interval| interval.latency_p50),
                curve("p95", &|interval| interval.latency_p95),
                curve("p99", &|interval| interval.latency_p99),
                curve("max", &|interval| interval.latency_max),
            ],
        ),
        plot(
            "Packet loss",
            Unit::Part,
            Scale::Linear,
            vec![curve("at first", &|interval| interval.loss), curve("for good", &|interval| interval.unrecoverable)],
        ),
        plot("CPU, cores", Unit::Cores, Scale::Linear, cpu),
        Plot {
            first_colour: 2,
            ..plot(
                "Server memory",
                Unit::Memory,
                Scale::Linear,
                of_servers(&|server| server.resident_bytes.map(|bytes| bytes as f64)),
            )
        },
        plot("Jitter", Unit::Time, Scale::Linear, vec![curve("p95", &|interval| interval.jitter_p95)]),
        plot(
            "Freezes that ended",
            Unit::Count,
            Scale::Linear,
            vec![curve("of all receivers", &|interval| interval.latency_p50.map(|_| interval.freezes as f64))],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::example;

    #[test]
    fn what_is_not_steady_is_shaded() {
        let intervals = Interval::all(&example::run());
        assert_eq!(shaded(&intervals), [(0.0, 4.0), (64.0, 65.0)]);
        assert!(shaded(&Interval::all(&example::cut_short())).is_empty());
    }

    #[test]
    fn servers_have_a_curve_each() {
        let intervals = Interval::all(&example::run());
        let cpu = plots(&intervals).into_iter().find(|plot| plot.title == "CPU, cores").unwrap();
        let names: Vec<&str> = cpu.curves.iter().map(|curve| &*curve.name).collect();
        assert_eq!(names, ["load generator", "jvb", "prosody"]);
        assert_eq!(cpu.curves[1].values[10], Some(0.4));
    }
}
