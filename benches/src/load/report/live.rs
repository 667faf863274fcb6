//! A run while it goes on: bars where somebody looks, lines in a log.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Unit, format};
use crate::load::measure::{Gauges, Measurements, Sample};

/// Between lines, where there are no bars.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// Shows the samples that it is told.
pub struct Live {
    view: View,
    participants: u64,
    /// End of the latest sample.
    at: Duration,
}

enum View {
    Bars { all: MultiProgress, time: ProgressBar, joined: ProgressBar, rates: ProgressBar },
    Lines { out: Box<dyn Write + Send>, since: Duration, measured: Box<Measurements>, load_cpu: Duration },
}

impl std::fmt::Debug for Live {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Live")
            .field("participants", &self.participants)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl Live {
    /// On stderr: bars if it is a terminal, else a line each five seconds. `participants` are to come, and the run is to last
    /// for `duration`.
    #[must_use]
    pub fn on_stderr(participants: u64, duration: Duration) -> Self {
        if std::io::stderr().is_terminal() {
            Self::bars(ProgressDrawTarget::stderr(), participants, duration)
        } else {
            Self::lines(Box::new(std::io::stderr()), participants)
        }
    }

    /// A line each five seconds.
    #[must_use]
    pub fn lines(out: Box<dyn Write + Send>, participants: u64) -> Self {
        let (since, measured, load_cpu) = (Duration::ZERO, Box::default(), Duration::ZERO);
        Self { view: View::Lines { out, since, measured, load_cpu }, participants, at: Duration::ZERO }
    }

    fn bars(target: ProgressDrawTarget, participants: u64, duration: Duration) -> Self {
        let all = MultiProgress::with_draw_target(target);
        let style = |template: &str| {
            // A template of ours; a wrong one costs the looks only.
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("█▌ ")
        };
        let add = |length: u64, template: &str| all.add(ProgressBar::new(length).with_style(style(template)));
        let time = add(duration.as_secs(), "run     {bar:40.cyan/dim} {msg}");
        let joined = add(participants, "joined  {bar:40.green/dim} {msg}");
        let rates = add(0, "{msg}");
        Self { view: View::Bars { all, time, joined, rates }, participants, at: Duration::ZERO }
    }

    /// Shows a sample, and the cores that the server used in it if that is known.
    pub fn show(&mut self, sample: &Sample, server_cores: Option<f64>) {
        let length = sample.at.saturating_sub(self.at);
        self.at = sample.at;
        let people = people(&sample.gauges, self.participants);
        match &mut self.view {
            View::Bars { time, joined, rates, .. } => {
                time.set_position(sample.at.as_secs());
                time.set_message(format::clock(sample.at));
                joined.set_position(sample.gauges.joined);
                joined.set_message(people);
                rates.set_message(figures(&sample.measurements, length, sample.load_cpu, server_cores).join("\n"));
            }
            View::Lines { out, since, measured, load_cpu } => {
                measured.merge(&sample.measurements);
                *load_cpu += sample.load_cpu;
                let length = sample.at.saturating_sub(*since);
                if length < BETWEEN_LINES {
                    return;
                }
                let figures = figures(measured, length, *load_cpu, server_cores).join("; ");
                // Nobody reads it any more: the run goes on.
                let _ = writeln!(out, "{} {people}; {figures}", format::clock(sample.at));
                *since = sample.at;
                **measured = Measurements::default();
                *load_cpu = Duration::ZERO;
            }
        }
    }

    /// Prints a message of one line without disturbing the bars.
    pub fn note(&mut self, text: &str) {
        match &mut self.view {
            View::Bars { all, .. } => {
                let _ = all.println(text);
            }
            View::Lines { out, .. } => {
                let _ = writeln!(out, "{text}");
            }
        }
    }

    /// Takes the bars away: the report follows.
    pub fn finish(self) {
        if let View::Bars { all, .. } = self.view {
            let _ = all.clear();
        }
    }
}

fn people(gauges: &Gauges, participants: u64) -> String {
    let Gauges { joining, joined, failed } = gauges;
    format!("{joined}/{participants} joined, {joining} joining, {failed} failed")
}

/// Rates, quality, CPU: each a phrase.
fn figures(measured: &Measurements, length: Duration, load_cpu: Duration, server_cores: Option<f64>) -> [String; 3] {
    let seconds = length.as_secs_f64();
    let rate = |count: f64| if seconds > 0.0 { count / seconds } else { 0.0 };
    let media = measured.all_media();
    let bitrate = |bytes: u64| Unit::Bitrate.format(rate(bytes as f64 * 8.0));
    let latency = measured.all_latency();
    let [p50, p99] = [0.5, 0.99].map(|part| format::time(latency.percentile(part)));
    let server = server_cores.map_or_else(String::new, |cores| format!("server {}, ", Unit::Cores.format(cores)));
    [
        format!("sent {}, received {}", bitrate(media.sent_bytes), bitrate(media.received_bytes)),
        format!(
            "latency p50 {p50} p99 {p99}, loss {}, {} freezes",
            format::percent(media.lost_packets, media.expected_packets),
            measured.all_freezes().count()
        ),
        format!("{server}load generator {}", Unit::Cores.format(rate(load_cpu.as_secs_f64()))),
    ]
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::load::report::example;

    /// What was written, to be looked at afterwards.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut written = self.0.lock().map_err(|_| std::io::Error::other("another writer panicked"))?;
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_gets_a_line_each_five_seconds_with_the_rates_of_those() {
        let written = Written::default();
        let mut live = Live::lines(Box::new(written.clone()), 21);
        for sample in &example::run().samples {
            live.show(sample, Some(0.5));
        }
        live.note("a note");
        live.finish();
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 14, "{text}");
        // Of the first five seconds only the last had media.
        assert!(
            lines[0].starts_with("0:05 20/21 joined, 0 joining, 1 failed; sent 1.60 Mbit/s, received 12.8 Mbit/s;"),
            "{text}"
        );
        assert!(
            lines[1].contains("sent 8 Mbit/s, received 64 Mbit/s; latency p50 1.00 ms p99 98.3 ms")
                || lines[1].contains("loss 1 %"),
            "{text}"
        );
        assert!(lines[1].ends_with("loss 1 %, 1 freezes; server 0.500 cores, load generator 0.250 cores"), "{text}");
        assert_eq!(lines[13], "a note");
    }

    #[test]
    fn bars_follow_the_run() {
        let mut live = Live::bars(ProgressDrawTarget::hidden(), 21, Duration::from_secs(65));
        for sample in example::run().samples.iter().take(30) {
            live.show(sample, None);
        }
        let View::Bars { time, joined, rates, .. } = &live.view else { panic!("no bars") };
        assert_eq!((time.position(), time.length(), joined.position()), (30, Some(65), 20));
        assert!(rates.message().starts_with("sent 8 Mbit/s, received 64 Mbit/s\nlatency p50"), "{}", rates.message());
        live.note("a note");
        live.finish();
    }
}
