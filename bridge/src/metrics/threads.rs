//! The sums of what all threads count.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use crate::counters::{Counters, DropReason, LOOP_TIME_BOUNDS_US};

type Number = fn(&Counters) -> u64;

/// Counters that each thread has: name, help, which.
const SUMS: [(&str, &str, Number); 17] = [
    ("jitsi_jvb_packets_received_total", "Datagrams received on the media port", |c| c.packets_received.get()),
    ("jitsi_jvb_bytes_received_total", "Bytes of datagrams received on the media port", |c| c.bytes_received.get()),
    ("jitsi_jvb_packets_sent_total", "Datagrams sent from the media port", |c| c.packets_sent.get()),
    ("jitsi_jvb_bytes_sent_total", "Bytes of datagrams sent from the media port", |c| c.bytes_sent.get()),
    ("teranga_bridge_sends_refused_total", "Datagrams that could not be sent", |c| c.sends_refused.get()),
    ("teranga_bridge_send_messages_total", "Pieces that datagrams were handed to the kernel in", |c| {
        c.send_messages.get()
    }),
    ("teranga_bridge_send_calls_total", "System calls that sent datagrams", |c| c.send_calls.get()),
    ("teranga_bridge_hops_total", "Media that came to another shard than its sender's home", |c| c.hops.get()),
    ("teranga_bridge_retransmissions_total", "RTP packets sent again on request", |c| c.retransmissions.get()),
    (
        "teranga_bridge_audio_recovered_total",
        "Packets of audio that never came, sent out of a later one that repeats them",
        |c| c.audio_recovered.get(),
    ),
    (
        "teranga_bridge_probe_packets_total",
        "RTP packets sent to find out what a path carries: repeated ones and padding",
        |c| c.probe_packets.get(),
    ),
    ("jitsi_jvb_relay_packets_received_total", "Packets of RTP received from other bridges", |c| {
        c.relay_packets_received.get()
    }),
    ("jitsi_jvb_relay_bytes_received_total", "Bytes of these", |c| c.relay_bytes_received.get()),
    ("jitsi_jvb_relay_packets_sent_total", "Packets of RTP sent to other bridges", |c| c.relay_packets_sent.get()),
    ("jitsi_jvb_relay_bytes_sent_total", "Bytes of these", |c| c.relay_bytes_sent.get()),
    (
        "teranga_bridge_early_packets_total",
        "Packets of other bridges that waited for their source to be announced, and went on",
        |c| c.early_packets.get(),
    ),
    ("teranga_bridge_key_frames_requested_total", "PLI sent to senders of video", |c| c.key_frames_requested.get()),
];

const DROPPED: (&str, &str) = ("teranga_bridge_dropped_total", "Packets and messages that went no further");
const LOOP_TIME: (&str, &str) =
    ("teranga_bridge_loop_seconds", "Time of one turn of a shard's loop, from its first packet to the last one sent");

/// Reads the counters of all threads when it is asked.
pub(super) struct ThreadsCollector {
    threads: Vec<Arc<Counters>>,
    descriptions: Vec<Desc>,
}

impl ThreadsCollector {
    pub(super) fn new(threads: Vec<Arc<Counters>>) -> Result<Self, prometheus::Error> {
        let describe = |name: &str, help: &str, labels: &[&str]| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())
        };
        let mut descriptions = Vec::new();
        for (name, help, _) in SUMS {
            descriptions.push(describe(name, help, &[])?);
        }
        descriptions.push(describe(DROPPED.0, DROPPED.1, &["reason"])?);
        descriptions.push(describe(LOOP_TIME.0, LOOP_TIME.1, &["shard"])?);
        Ok(Self { threads, descriptions })
    }

    fn sum(&self, number: impl Fn(&Counters) -> u64) -> u64 {
        self.threads.iter().map(|counters| number(counters)).sum()
    }

    fn loop_times(&self) -> Vec<Metric> {
        // The first thread is control, which has no such loop.
        let shards = self.threads.iter().skip(1).enumerate();
        let metrics = shards.map(|(shard, counters)| {
            let cumulative = counters.loop_time.cumulative();
            let mut histogram = Histogram::default();
            histogram.set_sample_count(cumulative.last().copied().unwrap_or_default());
            histogram.set_sample_sum(counters.loop_time.sum_us() as f64 / 1e6);
            let buckets = LOOP_TIME_BOUNDS_US.iter().zip(cumulative).map(|(bound_us, count)| {
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(*bound_us as f64 / 1e6);
                bucket.set_cumulative_count(count);
                bucket
            });
            histogram.set_bucket(buckets.collect());
            let mut metric = Metric::from_label(vec![label("shard", shard.to_string())]);
            metric.set_histogram(histogram);
            metric
        });
        metrics.collect()
    }
}

impl Collector for ThreadsCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let counter = |labels, value: u64| {
            let mut counter = Counter::default();
            counter.set_value(value as f64);
            let mut metric = Metric::from_label(labels);
            metric.set_counter(counter);
            metric
        };
        let sums = SUMS.iter().map(|(name, help, number)| {
            family((name, help), MetricType::COUNTER, vec![counter(Vec::new(), self.sum(number))])
        });
        let dropped = DropReason::ALL
            .iter()
            .map(|(reason, word)| counter(vec![label("reason", (*word).to_owned())], self.sum(|c| c.dropped(*reason))));
        let dropped = family(DROPPED, MetricType::COUNTER, dropped.collect());
        let loop_times = family(LOOP_TIME, MetricType::HISTOGRAM, self.loop_times());
        sums.chain([dropped, loop_times]).collect()
    }
}

pub(super) fn family((name, help): (&str, &str), kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn label(name: &str, value: String) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value);
    label
}

impl fmt::Debug for ThreadsCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadsCollector").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}
