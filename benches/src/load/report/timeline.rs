//! A run over time: what plots show and JSON has.

use std::time::Duration;

use serde::Serialize;

use super::RunRecord;
use crate::load::measure::{MediaKind, Sample, TimeHistogram};
use crate::load::process::{ProcessPoint, ProcessSeries};

/// One interval of a run. Times in seconds; absent where nothing was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// End, since the start of the run.
    pub at: f64,
    /// Length.
    pub length: f64,
    /// `joining`, `steady` or `leaving`.
    pub phase: &'static str,
    /// Participants on their way in, at the end.
    pub joining: u64,
    /// Participants that are in, at the end.
    pub joined: u64,
    /// Participants that failed so far.
    pub failed: u64,
    /// Bits a second.
    pub send_bitrate: f64,
    /// Bits a second.
    pub receive_bitrate: f64,
    /// One way.
    pub latency_p50: Option<f64>,
    /// One way.
    pub latency_p95: Option<f64>,
    /// One way.
    pub latency_p99: Option<f64>,
    /// One way.
    pub latency_max: Option<f64>,
    /// Interarrival jitter.
    pub jitter_p95: Option<f64>,
    /// Lost of expected packets, 0 to 1.
    pub loss: Option<f64>,
    /// Packets never recovered, of those expected.
    pub unrecoverable: Option<f64>,
    /// Packets a second that all together received.
    pub audio_packets: f64,
    /// Frames of cameras a second that they could decode.
    pub camera_frames: f64,
    /// Freezes that ended.
    pub freezes: u64,
    /// Cores that the load generator used.
    pub load_cores: f64,
    /// By query.
    pub servers: Vec<ServerInterval>,
}

/// Processes of a query in an interval.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServerInterval {
    /// PID or name, as asked for.
    pub name: String,
    /// Cores in use; absent where nothing was measured.
    pub cores: Option<f64>,
    /// Resident memory at the end.
    pub resident_bytes: Option<u64>,
}

impl Interval {
    /// All intervals of a run, in order.
    #[must_use]
    pub fn all(record: &RunRecord) -> Vec<Self> {
        record.intervals().map(|(length, sample)| Self::of(length, sample, &record.servers)).collect()
    }

    fn of(length: Duration, sample: &Sample, servers: &[ProcessSeries]) -> Self {
        let media = sample.measurements.all_media();
        let latency = sample.measurements.all_latency();
        let seconds = length.as_secs_f64();
        let rate = |count: f64| if seconds > 0.0 { count / seconds } else { 0.0 };
        let part = |count: u64| (media.expected_packets > 0).then(|| count as f64 / media.expected_packets as f64);
        let start = sample.at.saturating_sub(length);
        Self {
            at: sample.at.as_secs_f64(),
            length: seconds,
            phase: sample.phase.as_str(),
            joining: sample.gauges.joining,
            joined: sample.gauges.joined,
            failed: sample.gauges.failed,
            send_bitrate: rate(media.sent_bytes as f64 * 8.0),
            receive_bitrate: rate(media.received_bytes as f64 * 8.0),
            latency_p50: percentile(&latency, 0.5),
            latency_p95: percentile(&latency, 0.95),
            latency_p99: percentile(&latency, 0.99),
            latency_max: latency.max().map(|time| time.as_secs_f64()),
            jitter_p95: percentile(&sample.measurements.all_jitter(), 0.95),
            loss: part(media.lost_packets),
            unrecoverable: part(media.unrecoverable_packets),
            audio_packets: rate(sample.measurements.media_counts(MediaKind::Audio).received_packets as f64),
            camera_frames: rate(sample.measurements.media_counts(MediaKind::Camera).frames as f64),
            freezes: sample.measurements.all_freezes().count(),
            load_cores: rate(sample.load_cpu.as_secs_f64()),
            servers: servers.iter().map(|series| ServerInterval::of(series, start, sample.at)).collect(),
        }
    }
}

fn percentile(times: &TimeHistogram, part: f64) -> Option<f64> {
    times.percentile(part).map(|time| time.as_secs_f64())
}

impl ServerInterval {
    fn of(series: &ProcessSeries, start: Duration, end: Duration) -> Self {
        // They are in the order of time.
        let first = series.points.partition_point(|point| point.at <= start);
        let after = series.points.partition_point(|point| point.at <= end);
        let points: &[ProcessPoint] = series.points.get(first..after).unwrap_or_default();
        let seconds = points.iter().map(|point| point.interval).sum::<Duration>().as_secs_f64();
        let cpu = points.iter().map(|point| point.cpu).sum::<Duration>().as_secs_f64();
        Self {
            name: series.name.clone(),
            cores: (seconds > 0.0).then(|| cpu / seconds),
            resident_bytes: points.last().map(|point| point.resident_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::example;

    #[test]
    fn an_interval_has_rates_of_its_own_length() {
        let record = example::run();
        let intervals = Interval::all(&record);
        assert_eq!(intervals.len(), record.samples.len());
        let steady = intervals.iter().find(|interval| interval.phase == "steady").unwrap();
        assert_eq!((steady.joined, steady.joining, steady.length), (20, 0, 1.0));
        assert_eq!((steady.send_bitrate, steady.receive_bitrate), (8e6, 64e6));
        assert_eq!((steady.audio_packets, steady.camera_frames), (1600.0, 990.0));
        assert_eq!(steady.loss, Some(0.01));
        assert_eq!(steady.servers[0].cores, Some(0.4));
        assert_eq!(steady.servers[0].resident_bytes, Some(100_000_000));
    }

    #[test]
    fn where_nothing_was_measured_nothing_is_said() {
        let mut record = example::run();
        record.servers[0].points.clear();
        let first = Interval::all(&record).into_iter().next().unwrap();
        assert_eq!((first.latency_p50, first.loss), (None, None));
        assert_eq!((first.servers[0].cores, first.servers[0].resident_bytes), (None, None));
    }
}
