//! The figures that a reader wants first.

use super::{Summary, format};

/// A figure with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Headline {
    pub(super) label: &'static str,
    pub(super) value: String,
    /// In small letters below.
    pub(super) detail: String,
}

/// Of a run. Those without data are left out.
pub(super) fn headlines(summary: &Summary) -> Vec<Headline> {
    let text = |name: &str| summary.metric(name).map_or_else(|| format::NOTHING.to_owned(), super::Metric::text);
    let percentiles = |name: &str, suffixes: [&str; 2]| {
        suffixes.map(|suffix| format!("{suffix} {}", text(&format!("{name}_{suffix}")))).join(" · ")
    };
    let all = [
        ("participants", "Participants", format!("{} joins · {} failed", text("joins"), text("failed"))),
        ("join_p95", "Join, p95", percentiles("join", ["p50", "p99"])),
        ("latency_p50", "Forwarding latency, median", percentiles("latency", ["p95", "p99"])),
        ("loss", "Packet loss", format!("{} lost for good", text("unrecoverable"))),
        ("freezes", "Freezes of a receiver", format!("frozen {} of the time", text("freeze_time"))),
        (
            "layer_match",
            "Layer as asked for",
            format!("lower {} · higher {}", text("layer_below"), text("layer_above")),
        ),
        ("receive_bitrate", "Received by participants", format!("sent {}", text("send_bitrate"))),
        ("cpu", "Server CPU", format!("user {} · system {}", text("cpu_user"), text("cpu_system"))),
        ("cpu_ns_per_packet", "Server CPU a packet", format!("{} a core", text("packets_per_core"))),
        ("memory_per_participant", "Server memory a participant", format!("{} in all", text("memory"))),
        ("load_cpu", "CPU of the load generator", format!("{} a packet", text("load_cpu_ns_per_packet"))),
    ];
    let with_data = all.into_iter().filter(|(name, ..)| summary.value(name).is_some());
    with_data.map(|(name, label, detail)| Headline { label, value: text(name), detail }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::{RunRecord, example};

    #[test]
    fn the_first_figures_are_those_of_the_run() {
        let headlines = headlines(&Summary::of(&example::run()));
        let values: Vec<_> = headlines.iter().map(|headline| (headline.label, &*headline.value)).collect();
        assert_eq!(values[0], ("Participants", "20"));
        assert_eq!(values[3], ("Packet loss", "1 %"));
        assert_eq!(headlines[3].detail, "0.100 % lost for good");
        assert!(values.contains(&("Server CPU a packet", "62,500 ns")));
    }

    #[test]
    fn what_was_not_measured_is_left_out() {
        let labels = |record: &RunRecord| {
            headlines(&Summary::of(record)).iter().map(|headline| headline.label).collect::<Vec<_>>()
        };
        assert_eq!(labels(&example::cut_short()), ["Participants", "Join, p95"]);
        assert!(labels(&example::empty()).is_empty());
    }
}
